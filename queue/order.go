package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Steps and fences.
//
// A step that was given up, because Redis did not answer in time, may still
// reach it: after a stall of the network, say, when the caller it was about has
// long hung up. To whoever took it Redis would seem to do it out of the blue,
// and nobody would ever take back what it did.
//
// So a node numbers the steps whose late coming would do harm: those that put a
// visit in line, and those that begin or end an agent's session. Each record
// keeps the number of the last, and a fence for the whole node, one number,
// stands for all records that are gone: it rises when a visit ends, and when a
// visit that is not there is told to leave. A step no later than the record or
// the fence is refused for good. That hits, now and then, a step of somebody
// else that was overtaken on the way; he is alive, and takes it again under a
// new number.
//
// All other steps need no number: they show a token that is of one use, or do
// nothing that is not asked for.

// ordered takes a numbered step. Every script for it has the number as its last
// argument, and returns "late N" if the step had to be later than N.
// It gives any other word.
func (q *Queue) ordered(ctx context.Context, s script, args ...any) (string, error) {
	args = append(args, nil)
	for {
		step := q.steps.Add(1)
		// Looked at after the number is taken: whoever ended the context took his
		// own number after that, so it is the higher one.
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("queue: %s: %w", s.name, err)
		}
		args[len(args)-1] = step
		word, err := q.run(ctx, s, args...)
		if err != nil {
			return "", err
		}
		than, late := strings.CutPrefix(word, "late ")
		if !late {
			return word, nil
		}
		if err := q.overtake(than); err != nil {
			return "", fmt.Errorf("queue: %s: %w", s.name, err)
		}
	}
}

// overtake lets steps from now on be later than one that Redis knows. They are
// anyway, unless Redis lost what it knew of this node's starts.
func (q *Queue) overtake(step string) error {
	known, err := strconv.ParseFloat(step, 64) // a score; exact up to 2^53
	if err != nil {
		return fmt.Errorf("number of a step: %w", err)
	}
	for {
		at := q.steps.Load()
		if at >= uint64(known) || q.steps.CompareAndSwap(at, uint64(known)) {
			return nil
		}
	}
}

// fence refuses all steps taken until now that have not reached Redis yet.
func (q *Queue) fence(ctx context.Context) error {
	return q.client.ZAddGT(ctx, q.prefix+"fences", redis.Z{
		Score: float64(q.steps.Add(1)), Member: q.node,
	}).Err()
}
