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
	rule := c.to.Emergency
	c.metrics.emergency.WithLabelValues(c.to.Number).Inc()
	c.log.Error("EMERGENCY CALL", "number", c.to.Number, "action", rule.Action)
	c.engageAside()
	if len(c.to.Trunks) == 0 {
		return nil, c.noHelp(EmergencyRefused)
	}
	other, end := c.byTrunk(c.emergencyCall(c.to), c.to.Trunks)
	if other == nil && end.Class == Unreached { // else he has hung up, or we have no way to let him hear anything
		end = c.noHelp(EmergencyFailed)
	}
	return other, end
}

// emergencyCall is a call for help, as the site's rule wants it.
func (c *inbound) emergencyCall(to Destination) sip.TrunkCall {
	rule := to.Emergency
	call := sip.TrunkCall{
		Number: cmp.Or(rule.Number, to.Number), From: rule.From, Call: c.id, Emergency: true,
	}
	if rule.Location != "" { // RFC 6442 section 4
		call.Headers = map[string]string{"Geolocation": "<" + rule.Location + ">", "Geolocation-Routing": "yes"}
	}
	return call
}

// noHelp tells the agent that his call is not put through.
func (c *inbound) noHelp(why Termination) Termination {
	c.metrics.unhelped.WithLabelValues(c.to.Number, why.Reason).Inc()
	c.log.Error("an emergency call is not put through", "number", c.to.Number, "reason", why.Reason)
	c.Events.Emit(c.id, event.Audited{
		Actor: "agent:" + c.agent, Action: "emergency." + string(why.Class), Object: "call " + c.id, Detail: why.Reason + " " + c.to.Number,
	})
	return c.announce(c.to.Emergency.Prompt, why)
}

// urgent says whether a leg is an agent's emergency call.
func (c *Conductor) urgent(leg *sip.Leg) bool {
	_, _, is := c.Config.Calls.EmergencyRule(leg.Number())
	return is && leg.Agent() != ""
}
