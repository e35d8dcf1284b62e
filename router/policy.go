package router

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
)

// wrapUpLimit is how long an agent of this queue may wrap up; 0 is not at all.
func (r *Router) wrapUpLimit(queue string) time.Duration {
	if d := r.queues[queue].WrapUp; d != nil {
		return d.D()
	}
	return 0
}

// pauseReason is why an agent is paused who did not take an offer; "" if it was
// not for him to take.
func pauseReason(res event.OfferResult) string {
	switch res {
	case event.OfferTimedOut:
		return "no_answer"
	case event.OfferWithdrawn:
		return ""
	}
	return string(res)
}

// why says in a few words why this match was made.
func why(o queue.Offer, needs queue.Skills) string {
	with := make([]string, 0, len(needs))
	for _, skill := range slices.Sorted(maps.Keys(needs)) {
		with = append(with, fmt.Sprintf("%s≥%d", skill, needs[skill]))
	}
	needed := strings.Join(with, ", ")
	switch o.Why {
	case queue.ByAgent:
		return fmt.Sprintf("first in line, for %s, when an agent with %s became ready",
			o.Waited.Round(time.Second), needed)
	case queue.Again:
		return fmt.Sprintf("offered before, but nobody else with %s is ready", needed)
	default:
		return fmt.Sprintf("longest ready, for %s, with %s", o.Ready.Round(time.Second), needed)
	}
}
