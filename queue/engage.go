package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
)

var (
	// ErrPerHour says that the agent has called outside as often as he may in an hour.
	ErrPerHour = errors.New("too many calls outside within an hour")
	// ErrAtOnce says that the agent has as many calls outside as he may have at once.
	ErrAtOnce = errors.New("too many calls outside at once")
)

// Own is a call of this node that an agent makes himself, beside all visits. It ends
// by [Queue.Leave] with its ID.
type Own struct {
	ID    string // of no other, and of no visit
	Call  string
	Agent string
}

var (
	//go:embed engage.lua
	engageLua    string
	engageScript = newScript("engage", engageLua)

	//go:embed outside.lua
	outsideLua    string
	outsideScript = newScript("outside", outsideLua)
)

// Engage keeps an agent from being offered callers, and from changing his state,
// while he makes a call himself: he is talking, unless he is being rung, talking or
// wrapping up already. ErrNotRegistered if he has no phone. After another error a
// [Queue.Leave] is needed.
func (q *Queue) Engage(ctx context.Context, o Own) error {
	word, err := q.ordered(ctx, engageScript, o.ID, q.node, q.epoch, o.Call, o.Agent, q.now())
	return owned(word, err)
}

// CallOutside counts a call outside that an agent is about to make, or to send a
// caller away with: of these he may make so many within an hour, and have so many
// at once. ErrPerHour, ErrAtOnce. After another error a [Queue.Leave] is needed.
func (q *Queue) CallOutside(ctx context.Context, o Own, perHour, atOnce int) error {
	word, err := q.ordered(ctx, outsideScript, o.ID, q.node, q.epoch, o.Call, o.Agent, perHour, atOnce, q.now())
	return owned(word, err)
}

// owned makes an error of the word of a script about an own call.
func owned(word string, err error) error {
	if err != nil {
		return err
	}
	switch word {
	case "ok":
		return nil
	case "unregistered":
		return ErrNotRegistered
	case "per_hour":
		return ErrPerHour
	case "at_once":
		return ErrAtOnce
	}
	return fmt.Errorf("queue: a script said %q", word)
}
