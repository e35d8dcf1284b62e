package call

import "github.com/bugle-voice/bugle/sip"

// Class groups the ends of a call for figures and records.
type Class string

// The classes.
const (
	Completed Class = "completed" // two have talked
	Abandoned Class = "abandoned" // the caller left before an agent answered
	Finished  Class = "finished"  // the flow came to its own end
	Refused   Class = "refused"   // never answered, for a reason of ours
	Failed    Class = "failed"    // something broke
	Unreached Class = "unreached" // whom an agent called did not answer
)

// Termination is how a call ended. It is one of the values below and
// nothing else: the same one gives the SIP code, the record and the metric's
// label. An agent's feature code is no call and has none.
type Termination struct {
	Class  Class
	Reason string
	Code   int // final response of the ends that come before our 200
}

// Every end of a call.
var (
	CallerHungUp  = Termination{Class: Completed, Reason: "caller_hung_up"}
	AgentHungUp   = Termination{Class: Completed, Reason: "agent_hung_up"}
	LeftRinging   = Termination{Class: Abandoned, Reason: "before_answer"} // CANCEL before our 200
	LeftFlow      = Termination{Class: Abandoned, Reason: "in_flow"}
	LeftQueue     = Termination{Class: Abandoned, Reason: "in_queue"}
	FlowEnded     = Termination{Class: Finished, Reason: "flow_ended"}
	LeftMessage   = Termination{Class: Finished, Reason: "left_message"} // hung up after a recording was kept
	UnknownNumber = Termination{Refused, "unknown_number", 404}
	OutsideOff    = Termination{Refused, "outside_off", 403}         // an agent dialled outside, which the site has not set up
	OutsideDenied = Termination{Refused, "outside_not_allowed", 403} // a number agents may not call
	NoCodec       = Termination{Refused, "no_common_codec", 488}
	BadOffer      = Termination{Refused, "bad_offer", 488} // a description that cannot be agreed to
	NoPort        = Termination{Refused, "no_media_port", 503}
	MediaLost     = Termination{Class: Failed, Reason: "media_lost"} // no RTP for media.silence
	Signalling    = Termination{Class: Failed, Reason: "signalling"} // lost ACK, broken transport
	Routing       = Termination{Class: Failed, Reason: "routing"}    // the queue could not take the call
	Drained       = Termination{Class: Failed, Reason: "drain_limit"}
	Crashed       = Termination{Failed, "panic", 500}
	FlowBroken    = Termination{Class: Failed, Reason: "flow"}

	// Of calls that agents make themselves.
	HandedOver       = Termination{Class: Completed, Reason: "handed_over"} // whom the agent talked with goes on in another call of his
	OwnAtOnce        = Termination{Refused, "own_at_once", 403}             // he has too many calls of his own
	OutsidePerHour   = Termination{Refused, "outside_per_hour", 403}        // he has called outside too often
	OutsideAtOnce    = Termination{Refused, "outside_at_once", 403}         // he has too many such calls
	OutsideUnknown   = Termination{Refused, "outside_not_known", 503}       // Redis is away, and cannot tell
	CalleeBusy       = Termination{Unreached, "busy", 486}
	CalleeAway       = Termination{Unreached, "away", 480} // has no phone that is registered
	CalleeDeclined   = Termination{Unreached, "declined", 603}
	CalleeUnknown    = Termination{Unreached, "unknown", 404} // outside nobody has this number
	NoAnswer         = Termination{Unreached, "no_answer", 480}
	TrunkFailed      = Termination{Unreached, "trunk_failed", 503}                // no trunk has taken the call
	EmergencyRefused = Termination{Class: Refused, Reason: "emergency_refused"}   // and the agent has been told so
	EmergencyFailed  = Termination{Class: Failed, Reason: "emergency_not_routed"} // no trunk has taken it; the agent has been told
)

// cause is what the caller's phone is told of an end that it cannot tell by itself.
func (t Termination) cause() sip.Cause {
	switch t {
	case HandedOver:
		return sip.Cause{Protocol: "SIP", Code: 200, Text: "Call completed elsewhere"}
	case EmergencyRefused:
		return sip.Cause{Protocol: "Q.850", Code: 21, Text: "Emergency calls are not possible here"}
	case EmergencyFailed:
		return sip.Cause{Protocol: "Q.850", Code: 38, Text: "Emergency call could not be made"}
	}
	return sip.Cause{}
}

// Error lets what ends a call travel as the error that stopped its flow.
func (t Termination) Error() string { return string(t.Class) + ": " + t.Reason }
