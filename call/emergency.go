package call

import (
	"cmp"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/sip"
)

// emergency conducts an agent's call to an emergency number, by the site's rule. No
// limit holds for it, nothing is counted against the agent and nothing is waited
// for. One that is not put through, by the rule or because every trunk has failed,
// is never silent: the agent is told to use another telephone.
func (c *inbound) emergency() (*ring, Termination) {
	c.alarm(c.agent, c.to)
	c.engageAside()
	other, end := c.help()
	if end == EmergencyRefused || end == EmergencyFailed {
		end = c.announce(c.to.Emergency.Prompt, end)
	}
	return other, end
}

// help has an emergency call put through. If it is not, and the agent has not hung up
// himself, that is told before anything else.
func (c *inbound) help() (other *ring, end Termination) {
	end = Crashed
	defer func() {
		if other == nil && end != LeftRinging && end != HandedOver {
			c.noHelp(c.agent, c.to, end)
		}
	}()
	if len(c.to.Trunks) == 0 {
		return nil, EmergencyRefused
	}
	if other, end = c.byTrunk(c.to); end.Class == Unreached {
		end = EmergencyFailed
	}
	return other, end
}

// emergencyCall is a call for help by a trunk, as the site's rule wants it.
func (c *inbound) emergencyCall(to Destination, trunk string) sip.TrunkCall {
	rule := to.Emergency
	call := sip.TrunkCall{
		Trunk: trunk, Number: cmp.Or(rule.Number, to.Number), From: rule.From, Call: c.id, Emergency: true,
	}
	if rule.Location != "" { // RFC 6442 section 4
		call.Headers = map[string]string{"Geolocation": "<" + rule.Location + ">", "Geolocation-Routing": "yes"}
	}
	return call
}

// alarm tells that an agent calls for help, or sends a caller there.
func (c *inbound) alarm(agent string, to Destination) {
	c.metrics.emergency.WithLabelValues(to.Number).Inc()
	c.by(agent).Error("EMERGENCY CALL", "number", to.Number, "action", to.Emergency.Action)
}

// noHelp tells that an agent's call for help is not put through.
func (c *inbound) noHelp(agent string, to Destination, why Termination) {
	c.metrics.unhelped.WithLabelValues(to.Number, why.Reason).Inc()
	c.by(agent).Error("an emergency call is not put through", "number", to.Number, "reason", why.Reason)
	action := "emergency.failed"
	if why == EmergencyRefused {
		action = "emergency.refused"
	}
	c.Events.Emit(c.id, event.Audited{
		Actor: "agent:" + agent, Action: action, Object: "call " + c.id, Detail: why.Reason + " " + to.Number,
	})
}

// urgent says whether a leg is an agent's emergency call.
func (c *Conductor) urgent(leg *sip.Leg) bool {
	_, _, is := c.Config.Calls.EmergencyRule(leg.Number())
	return is && leg.Agent() != ""
}
