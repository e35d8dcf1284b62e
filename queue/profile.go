package queue

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
)

var (
	//go:embed profile.lua
	profileLua    string
	profileScript = newScript("profile", profileLua)
)

// SetSkills says that an agent whose session is this node's has other skills.
// What he is doing goes on; what he is offered next fits them. Of SetSkills,
// Register and Unregister the one that was called last holds.
func (q *Queue) SetSkills(ctx context.Context, agent string, skills Skills) error {
	_, err := q.ordered(ctx, profileScript, agent, q.node, skills.String(), q.now())
	return err
}

// Mine gives the agents whose sessions are this node's, sorted.
func (q *Queue) Mine(ctx context.Context) ([]Agent, error) {
	ids, err := q.client.SMembers(ctx, q.nodeKey("agents")).Result()
	if err != nil {
		return nil, fmt.Errorf("queue: reading the agents of node %s: %w", q.node, err)
	}
	slices.Sort(ids)
	return q.Agents(ctx, ids)
}
