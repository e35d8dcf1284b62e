package queue

import (
	"context"
	_ "embed"
	"time"
)

// Visit is one stay of a call in a queue.
type Visit struct {
	ID        string
	Call      string
	Queue     string
	Language  string
	Requires  Skills        // everything an agent needs for it, the language included
	Joined    time.Time     // when the caller began to wait
	HeadStart time.Duration // priority: he is treated as if he had joined so much earlier
}

var (
	//go:embed join.lua
	joinLua    string
	joinScript = newScript("join", joinLua)

	//go:embed leave.lua
	leaveLua    string
	leaveScript = newScript("leave", leaveLua)
)

// interrupted is the reason of the pause of an agent whose talk died with its
// node: his phone may still believe in it.
const interrupted = "interrupted"

// Join puts a visit of this node in line, and offers it at once if an agent
// who fits is ready. The offer comes to the [Handler], perhaps before Join
// returns. Joining again with the same id does nothing. After an error a
// [Queue.Leave] is needed: the join may have been taken, or be taken later.
func (q *Queue) Join(ctx context.Context, v Visit) error {
	joined := millis(v.Joined)
	_, err := q.ordered(ctx, joinScript, v.ID, q.node, q.epoch, v.Call, group(v),
		joined-v.HeadStart.Milliseconds(), joined, q.now())
	return err
}

// Leave takes a visit out, whatever state it is in, and releases the agent it
// held: an agent being rung gets his place among the ready back. It is no
// error if the visit is gone already. No join called before it, however late it
// reaches Redis, brings the visit back.
func (q *Queue) Leave(ctx context.Context, visit string) error {
	return q.leave(ctx, visit, "")
}

// leave gives an agent who was talking a pause with this reason, if any.
func (q *Queue) leave(ctx context.Context, visit, pause string) error {
	_, err := q.run(ctx, leaveScript, visit, pause, q.now(), q.node, q.steps.Add(1))
	return err
}
