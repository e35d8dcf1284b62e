package event

import "time"

// NodeStarted is the first fact of a node's life.
type NodeStarted struct {
	Node    string `json:"node"`
	Version string `json:"version"`
}

// NodeStopped is the last one of an orderly end.
type NodeStopped struct {
	Node string `json:"node"`
}

// FactsLost says that facts before it could not be written, a full disk being
// the usual cause. It is the first fact kept after that.
type FactsLost struct {
	Count uint64 `json:"count"`
}

// CallStarted is a caller's INVITE, or an agent's who calls somebody himself.
type CallStarted struct {
	Number string `json:"number"` // dialled; one that is not ours shortened
	Caller string `json:"caller"` // shortened: never the whole number
	Trunk  string `json:"trunk"`

	// Of a call that an agent makes himself: who, and what kind of place he has
	// dialled: agent, queue, flow (a number of ours), number (outside), emergency,
	// nowhere.
	Agent string `json:"agent,omitempty"`
	To    string `json:"to,omitempty"`

	CallerHash   string `json:"caller_hash,omitempty"`   // keyed hash of the number: tells who calls again
	CallerSealed []byte `json:"caller_sealed,omitempty"` // the number, for those who hold the key
}

// CallAnswered is our 200 to the caller.
type CallAnswered struct{}

// StepEntered is the flow going on to a step.
type StepEntered struct {
	Flow     string `json:"flow"`
	Step     string `json:"step"`
	Language string `json:"language"`
}

// CallEnded is the end of the last leg.
type CallEnded struct {
	Class    string        `json:"class"` // call.Termination
	Reason   string        `json:"reason"`
	Duration time.Duration `json:"duration_ns"` // since CallStarted
}

// VisitJoined is a call joining a queue.
type VisitJoined struct {
	Visit    string         `json:"visit"`
	Queue    string         `json:"queue"`
	Language string         `json:"language"`
	Requires map[string]int `json:"requires"`

	// What holds for this visit, whatever the configuration says later.
	Goal     time.Duration `json:"goal_ns,omitempty"`     // an answer within it is in time
	Short    time.Duration `json:"short_ns,omitempty"`    // leaving within it is too soon to be answered
	Estimate time.Duration `json:"estimate_ns,omitempty"` // of the wait, made at joining; 0 if none could be made
	Class    string        `json:"class,omitempty"`       // subject class of the queue: routine, clinical
}

// VisitEnded is the one end of a queue visit.
type VisitEnded struct {
	Visit    string        `json:"visit"`
	Queue    string        `json:"queue"`
	Language string        `json:"language"`
	Result   VisitResult   `json:"result"`
	Agent    string        `json:"agent,omitempty"`  // who answered
	Tier     int           `json:"tier,omitempty"`   // his, when he answered
	Reason   string        `json:"reason,omitempty"` // where the result does not say all: Interrupted, InterruptedNoNumber
	Waited   time.Duration `json:"waited_ns"`        // from joining to the agent's answer or the caller's leaving
}

// VisitResult is how a queue visit ended.
type VisitResult string

// The results of DESIGN.md section 8: O = A + B + C + F + still waiting.
const (
	Answered  VisitResult = "answered"
	Abandoned VisitResult = "abandoned"  // the caller left before an answer
	FlowedOut VisitResult = "flowed_out" // we took him out: drain limit, fault
	CallBack  VisitResult = "callback"   // we owe him a call, with his place in line
)

// Why a visit ended as it did, of one that the death of its node cut off. It counts
// as its result says: we owe a call, or, as the number was withheld, have failed
// a caller whom nobody can call, and took him out of line.
const (
	Interrupted         = "interrupted"           // with CallBack
	InterruptedNoNumber = "interrupted_no_number" // with FlowedOut
)

// OfferMade is one agent being rung for one visit.
type OfferMade struct {
	Visit string `json:"visit"`
	Queue string `json:"queue"`
	Agent string `json:"agent"`
	Why   string `json:"why"` // why this match was made
}

// OfferEnded is the end of that ringing.
type OfferEnded struct {
	Visit  string        `json:"visit"`
	Queue  string        `json:"queue"`
	Agent  string        `json:"agent"`
	Result OfferResult   `json:"result"`
	Rang   time.Duration `json:"rang_ns"`
}

// OfferResult is how an offer ended.
type OfferResult string

// How an offer can end.
const (
	OfferAnswered  OfferResult = "answered"
	OfferDeclined  OfferResult = "declined"  // the phone refused, or could not be reached
	OfferTimedOut  OfferResult = "timed_out" // RONA: ring, no answer
	OfferWithdrawn OfferResult = "withdrawn" // the caller left
)

// TalkEnded is the end of a visit's talk. Where agents have handed the caller on
// to each other it tells of all of them.
type TalkEnded struct {
	Visit    string        `json:"visit"`
	Queue    string        `json:"queue"`
	Language string        `json:"language"`
	Agent    string        `json:"agent"`          // the last
	Tier     int           `json:"tier,omitempty"` // the highest of them, when they answered
	Talk     time.Duration `json:"talk_ns"`        // without hold
	Hold     time.Duration `json:"hold_ns"`
}

// WrapUpEnded is the end of an agent's time after a call.
type WrapUpEnded struct {
	Visit    string        `json:"visit"`
	Part     string        `json:"part,omitempty"` // of the visit, if it was handed on to him; tells its wrap-ups apart
	Queue    string        `json:"queue"`
	Language string        `json:"language"`
	Agent    string        `json:"agent"`
	Took     time.Duration `json:"took_ns"`
}

// Transferred is an agent's wish to hand his caller on, tried and over.
type Transferred struct {
	Transfer string        `json:"transfer"` // its id
	Visit    string        `json:"visit"`    // in which they talk
	Agent    string        `json:"agent"`
	How      TransferKind  `json:"kind"`
	To       string        `json:"to"`               // agent, queue, flow, number (outside), emergency, nowhere
	Target   string        `json:"target,omitempty"` // its name; an outside number is sealed
	Sealed   []byte        `json:"sealed,omitempty"` // that number, for those who hold the key
	Result   string        `json:"result"`           // done, or why not: declined, busy, no_answer, refused, failed, caller_left, returned
	Took     time.Duration `json:"took_ns"`          // since he asked for it
}

// TransferKind is how a caller is handed on.
type TransferKind string

// The kinds of transfer.
const (
	Blind    TransferKind = "blind"    // without a word to whom he goes
	Attended TransferKind = "attended" // after they have talked, or while the phone rang

	// Conference is the agent having talked with both at once: done if they have stayed
	// together when he left.
	Conference TransferKind = "conference"
)

// AgentChanged is an agent going from one state to another.
type AgentChanged struct {
	Agent  string        `json:"agent"`
	From   string        `json:"from"`
	To     string        `json:"to"`
	Reason string        `json:"reason,omitempty"` // of a pause: "key", "api", "no_answer", …
	After  time.Duration `json:"after_ns"`         // how long the agent was in From
}

// RecordingMade is something a caller said having been kept, sealed and whole.
type RecordingMade struct {
	Recording string        `json:"recording"` // its id, under which it can be exported
	Name      string        `json:"name"`      // which one of the call, as the flow calls it
	Length    time.Duration `json:"length_ns"` // of the audio
	Bytes     int64         `json:"bytes"`     // of the sealed file

	// When it was made, if that is told of later: after a crash. Zero: just now.
	Made time.Time `json:"made,omitzero"`
}

// SurveyAnswered is a caller's answer to a question about a visit of his.
type SurveyAnswered struct {
	Visit    string `json:"visit"`
	Queue    string `json:"queue"`
	Language string `json:"language"`
	Question string `json:"question"` // csat, nps
	Answer   int    `json:"answer"`   // csat: 1 to 5; nps: 0 to 10
}

// FollowUpSettled is the one end of a call we owed someone.
type FollowUpSettled struct {
	FollowUp string    `json:"follow_up"`
	Queue    string    `json:"queue"`
	Language string    `json:"language"`
	Result   string    `json:"result"` // store.FollowUpResult: done, failed, dropped, erased
	DueTo    time.Time `json:"due_to"` // done by then, the promise is kept
}

// Audited is something done that the audit is to know of. It is emitted, and
// synced, before it is done; the history takes it into the audit's chain. No part
// of it may hold a telephone number or other private text.
type Audited struct {
	Actor  string `json:"actor"`
	Action string `json:"action"`
	Object string `json:"object"`
	From   string `json:"from,omitempty"` // the address he came from; empty on the node itself
	Detail string `json:"detail,omitempty"`
}

// AuditHead is the last entry of the node's chain of the audit, as the database
// had it at that moment: an audit that lacks it later has been tampered with.
type AuditHead struct {
	Node string `json:"node"`
	Seq  uint64 `json:"seq"`
	Hash []byte `json:"hash"`
}

// LegEnded is the end of one side of a call that had sound: how well it has
// travelled.
type LegEnded struct {
	Side  string `json:"side"`            // caller, agent
	Agent string `json:"agent,omitempty"` // whose phone it was
	Codec string `json:"codec"`
	Suite string `json:"suite,omitempty"` // of its encryption, as RFC 4568 names it

	PacketsIn  uint64        `json:"packets_in"`
	PacketsOut uint64        `json:"packets_out"`
	Lost       uint64        `json:"lost"`                    // of those that should have come in
	Heard      Travel        `json:"heard,omitzero"`          // what was said there, as it reached us
	Sent       Travel        `json:"sent,omitzero"`           // what we sent, by the far end's reports; zero if it sends none
	RoundTrip  time.Duration `json:"round_trip_ns,omitempty"` // mean, by RTCP
}

// Travel tells how well one direction of a leg's sound has travelled.
type Travel struct {
	Loss   float64       `json:"loss"` // share of the packets
	Jitter time.Duration `json:"jitter_ns"`
	MOS    float64       `json:"mos"` // by the E-model (ITU-T G.107), 1 to 4.41; 0: not known
}

func (NodeStarted) Kind() string     { return "node.started" }
func (NodeStopped) Kind() string     { return "node.stopped" }
func (FactsLost) Kind() string       { return "log.lost" }
func (CallStarted) Kind() string     { return "call.started" }
func (CallAnswered) Kind() string    { return "call.answered" }
func (StepEntered) Kind() string     { return "step.entered" }
func (CallEnded) Kind() string       { return "call.ended" }
func (VisitJoined) Kind() string     { return "visit.joined" }
func (VisitEnded) Kind() string      { return "visit.ended" }
func (OfferMade) Kind() string       { return "offer.made" }
func (OfferEnded) Kind() string      { return "offer.ended" }
func (TalkEnded) Kind() string       { return "talk.ended" }
func (WrapUpEnded) Kind() string     { return "wrapup.ended" }
func (Transferred) Kind() string     { return "call.transferred" }
func (AgentChanged) Kind() string    { return "agent.changed" }
func (RecordingMade) Kind() string   { return "recording.made" }
func (SurveyAnswered) Kind() string  { return "survey.answered" }
func (FollowUpSettled) Kind() string { return "followup.settled" }
func (Audited) Kind() string         { return "audit.entry" }
func (AuditHead) Kind() string       { return "audit.head" }
func (LegEnded) Kind() string        { return "leg.ended" }
