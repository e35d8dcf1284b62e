package queue

import (
	"context"
	_ "embed"
)

var (
	//go:embed hold.lua
	holdLua    string
	holdScript = newScript("hold", holdLua)
)

// Hold takes an agent by name, past every line: to be rung for a call that is
// handed on to him, or, with talks, for one that he is in already. From then on
// it is an offer, or a talk, with the token it gives: [Queue.Answer],
// [Queue.Hangup] and [Queue.Leave] end it. The visit's queue and language are
// for the record only; from names a visit that holds him now and ends in the
// same step, "" if there is none. ErrBusy unless he is ready or paused, or held
// by from; ErrNotRegistered if he has no phone. After any other error a
// [Queue.Leave] is needed, as after [Queue.Join].
func (q *Queue) Hold(ctx context.Context, v Visit, agent string, talks bool, from string) (token string, err error) {
	flag := "0"
	if talks {
		flag = "1"
	}
	word, err := q.ordered(ctx, holdScript, v.ID, q.node, q.epoch, v.Call, group(v), agent, flag, from, q.now())
	switch {
	case err != nil:
		return "", err
	case word == "busy":
		return "", ErrBusy
	case word == "unregistered":
		return "", ErrNotRegistered
	}
	return word, nil
}
