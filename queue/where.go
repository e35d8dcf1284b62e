package queue

import (
	"context"
	_ "embed"
	"time"
)

var (
	//go:embed where.lua
	whereLua    string
	whereScript = newScript("where", whereLua)
)

// An address holds so long after it was announced, and is announced so often: a node
// that has died is soon sent nothing more.
const (
	announced     = 15 * time.Second
	announceEvery = 5 * time.Second
)

// Announce says, until ctx ends, at which address this node takes calls: other nodes
// have calls sent there that belong to one of its own.
func (q *Queue) Announce(ctx context.Context, address string) {
	key := q.nodeKey("address")
	again := time.NewTicker(announceEvery)
	defer again.Stop()
	for {
		// What fails is tried again soon enough; that Redis is away is told elsewhere.
		_ = q.client.Set(ctx, key, address, announced).Err()
		select {
		case <-again.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = q.client.Del(last, key).Err()
			return
		}
	}
}

// Elsewhere gives the address of the node that conducts the call in which an agent
// talks, or one that he has made himself; none if that is this node, or not known,
// or if he is in no call.
func (q *Queue) Elsewhere(ctx context.Context, agent string) (string, error) {
	return q.run(ctx, whereScript, agent, q.node)
}
