package queue

import (
	"context"
	_ "embed"
	"time"
)

// Offer is a match: Agent is to be rung for Visit. Until it is answered or
// refused with its token, or the visit leaves, both are held for each other.
type Offer struct {
	Visit  string
	Agent  string
	Token  string        // proves that the offer is still in force; of one use
	Why    Why           // what made the match
	Ready  time.Duration // how long the agent had been ready
	Waited time.Duration // how long the caller had been waiting
	Seq    uint64        // the decision's number in the domain
}

// Why is what made a match.
type Why string

// A match is made when one side comes and the other is there.
const (
	ByVisit Why = "agent" // a visit came: the agent was the longest ready who fits
	ByAgent Why = "line"  // an agent came: the visit was the first in line he fits
	Again   Why = "again" // these two failed before, and there was no other
)

var (
	//go:embed answer.lua
	answerLua    string
	answerScript = newScript("answer", answerLua)

	//go:embed refuse.lua
	refuseLua    string
	refuseScript = newScript("refuse", refuseLua)

	//go:embed hangup.lua
	hangupLua    string
	hangupScript = newScript("hangup", hangupLua)
)

// Answer makes a talk of an offer. ErrStale means that the caller is gone, or
// belongs to another agent by now: this one's phone is to be hung up.
func (q *Queue) Answer(ctx context.Context, visit, token string) error {
	return staleUnlessOK(q.run(ctx, answerScript, visit, token, q.now()))
}

// Refuse ends an offer that was not taken: the agent is paused with the reason,
// or without one is ready again behind the others, and the visit is offered to another or is back in its place, where this
// agent gets it again only when there is no other. It may follow an [Queue.Answer]
// that failed. ErrStale if the token is no longer in force.
func (q *Queue) Refuse(ctx context.Context, visit, token, reason string) error {
	return staleUnlessOK(q.run(ctx, refuseScript, visit, token, reason, q.now()))
}

// Hangup ends a talk. With wrapUp the agent is in wrap-up afterwards, until
// [Queue.EndWrapUp]; the result says whether he is (not if his phone is gone).
// ErrStale if there is no such talk.
func (q *Queue) Hangup(ctx context.Context, visit, token string, wrapUp bool) (bool, error) {
	flag := "0"
	if wrapUp {
		flag = "1"
	}
	word, err := q.run(ctx, hangupScript, visit, token, flag, q.now())
	if word == "stale" {
		return false, ErrStale
	}
	return word == "wrapup", err
}

func staleUnlessOK(word string, err error) error {
	if err == nil && word != "ok" {
		return ErrStale
	}
	return err
}
