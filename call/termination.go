package call

// Class groups the ends of a call for figures and records.
type Class string

// The classes.
const (
	Completed Class = "completed" // caller and agent have talked
	Abandoned Class = "abandoned" // the caller left before an agent answered
	Finished  Class = "finished"  // the flow came to its own end
	Refused   Class = "refused"   // never answered, for a reason of ours
	Failed    Class = "failed"    // something broke
)

// Termination is how a caller's call ended. It is one of the values below and
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
)

// Error lets what ends a call travel as the error that stopped its flow.
func (t Termination) Error() string { return string(t.Class) + ": " + t.Reason }
