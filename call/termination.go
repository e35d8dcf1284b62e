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

// Termination is how a call ended. It is one of the values below and nothing
// else: the same one gives the SIP code, the record and the metric's label.
type Termination struct {
	Class  Class
	Reason string
	Code   int // final response where the INVITE is still unanswered
}

// Every end of a call.
var (
	CallerHungUp  = Termination{Completed, "caller_hung_up", 487}
	AgentHungUp   = Termination{Completed, "agent_hung_up", 487}
	LeftRinging   = Termination{Abandoned, "before_answer", 487} // CANCEL before our 200
	LeftFlow      = Termination{Abandoned, "in_flow", 487}
	LeftQueue     = Termination{Abandoned, "in_queue", 487}
	LeftMessage   = Termination{Finished, "left_message", 487} // hung up after a recording was kept
	FlowEnded     = Termination{Finished, "flow_ended", 480}
	FeatureDone   = Termination{Finished, "feature_code", 480} // *70, *71, *72
	UnknownNumber = Termination{Refused, "unknown_number", 404}
	NoCodec       = Termination{Refused, "no_common_codec", 488}
	NoPort        = Termination{Refused, "no_media_port", 503}
	Draining      = Termination{Refused, "draining", 503}
	MediaLost     = Termination{Failed, "media_lost", 480} // no RTP for media.silence
	Signalling    = Termination{Failed, "signalling", 500} // lost ACK, broken transport
	Routing       = Termination{Failed, "routing", 500}    // the queue could not take the call
	Drained       = Termination{Failed, "drain_limit", 503}
	Crashed       = Termination{Failed, "panic", 500}
	FlowBroken    = Termination{Failed, "flow", 500}
)

// Error lets what ends a call travel as the error that stopped its flow.
func (t Termination) Error() string { return string(t.Class) + ": " + t.Reason }
