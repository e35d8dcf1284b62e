package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// State is what an agent is doing.
type State string

// The states of an agent.
const (
	Offline  State = "offline"
	Paused   State = "paused"
	Ready    State = "ready"
	Reserved State = "reserved" // being rung
	Talking  State = "talking"
	WrapUp   State = "wrapup"
)

// Agent is what is known of an agent's doings.
type Agent struct {
	ID      string
	State   State
	Since   time.Time // when he entered State; zero if he was never seen
	Reason  string    // of a pause
	Pending string    // reason of a pause that begins when he would be ready again
	Leaving bool      // his phone is gone: offline when the talk is over
	Visit   string    // which he is rung for, talks with or wraps up
	Node    string    // which owns his session
	Profile string    // his skills, as Skills.String writes them
}

var (
	//go:embed register.lua
	registerLua    string
	registerScript = newScript("register", registerLua)

	//go:embed unregister.lua
	unregisterLua    string
	unregisterScript = newScript("unregister", unregisterLua)

	//go:embed ready.lua
	readyLua    string
	readyScript = newScript("ready", readyLua)

	//go:embed pause.lua
	pauseLua    string
	pauseScript = newScript("pause", pauseLua)

	//go:embed wrapup.lua
	wrapupLua    string
	wrapupScript = newScript("wrapup", wrapupLua)
)

// Register says that a phone of the agent is registered at this node, which
// owns his session from now on. If he was offline he is paused, or ready if
// asked for; otherwise nothing changes but his skills. Of Register and
// [Queue.Unregister] the one that was called last holds, whichever is slower; a
// caller with a newer wish ends the context of the older one first.
func (q *Queue) Register(ctx context.Context, agent string, skills Skills, ready bool) error {
	flag := "0"
	if ready {
		flag = "1"
	}
	_, err := q.ordered(ctx, registerScript, agent, q.node, skills.String(), flag, q.now())
	return err
}

// Unregister says that the agent's last phone is gone. He is offline at once,
// or when the ringing or talk he is in is over. It does nothing if his session
// is another node's.
func (q *Queue) Unregister(ctx context.Context, agent string) error {
	_, err := q.ordered(ctx, unregisterScript, agent, q.node, q.now())
	return err
}

// SetReady makes an agent ready; a wrap-up ends with it. While he is rung or
// talks it only takes back a pause asked for. ErrNotRegistered if he has no
// phone.
func (q *Queue) SetReady(ctx context.Context, agent string) error {
	return registeredOnly(q.run(ctx, readyScript, agent, q.now()))
}

// SetPaused pauses an agent; a wrap-up ends with it. While he is rung or talks
// it waits until he would be ready again. ErrNotRegistered if he has no phone.
func (q *Queue) SetPaused(ctx context.Context, agent, reason string) error {
	return registeredOnly(q.run(ctx, pauseScript, agent, reason, q.now()))
}

// EndWrapUp ends an agent's wrap-up: the one that followed the talk with this
// token, or any if token is empty. ErrNotInWrapUp if he is in no such one.
func (q *Queue) EndWrapUp(ctx context.Context, agent, token string) error {
	word, err := q.run(ctx, wrapupScript, agent, token, q.now())
	if word == "stale" {
		return ErrNotInWrapUp
	}
	return err
}

func registeredOnly(word string, err error) error {
	if word == "unregistered" {
		return ErrNotRegistered
	}
	return err
}

// Agents gives what is known of these agents, in the same order. One who was
// never seen is offline.
func (q *Queue) Agents(ctx context.Context, ids []string) ([]Agent, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	records, err := q.client.HMGet(ctx, q.prefix+"agents", ids...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("queue: reading agents: %w", err)
	}
	agents := make([]Agent, len(ids))
	for i, id := range ids {
		record, _ := records[i].(string)
		agents[i] = parseAgent(id, record)
	}
	return agents, nil
}

// parseAgent reads the record that put_agent of records.lua writes.
func parseAgent(id, record string) Agent {
	f := strings.Split(record, unitSep)
	if len(f) != 11 {
		return Agent{ID: id, State: Offline}
	}
	return Agent{
		ID:      id,
		Node:    f[0],
		Profile: f[2],
		Leaving: f[1] != "1" && f[3] != string(Offline),
		State:   State(f[3]),
		Since:   fromMillis(f[4]),
		Reason:  f[5],
		Pending: f[7],
		Visit:   f[8],
	}
}

func fromMillis(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
