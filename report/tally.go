package report

import (
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
)

// How facts become Counts. The running node counts what it hears of (figures.go)
// and a report what has been written down (gather.go); both do it here, so that
// they cannot differ.

// The words of the configuration, of room router and of the surveys that matter.
const (
	classClinical = "clinical"

	stateReady   = "ready"
	stateTalking = "talking"
	stateWrapUp  = "wrapup"

	questionCSAT = "csat"
	questionNPS  = "nps"

	topTier = 3
)

// goals is what counting needs to know of the queues.
type goals map[string]config.Queue

// limits is a visit's goal and within what leaving is a short abandon.
type limits struct{ goal, short time.Duration }

// of gives the limits that were told when a visit joined: what is configured later
// changes no figure of the past. Where none were told, as by older versions, the
// queue's of now count; a queue that the configuration no longer has is held against
// the usual ones.
func (g goals) of(queue string, goal, short time.Duration) limits {
	if goal > 0 {
		return limits{goal, short}
	}
	if q, ok := g[queue]; ok {
		return limits{q.Goal.D(), q.ShortAbandon.D()}
	}
	return limits{20 * time.Second, 5 * time.Second}
}

func (c *Counts) joined() { c.Offered++ }

// left counts the end of a visit to a queue, with the estimate of its wait; 0 for none.
func (c *Counts) left(l limits, estimate time.Duration, result event.VisitResult, waited time.Duration) {
	switch result {
	case event.Answered:
		c.Answered++
		c.Waits += waited
		if waited <= l.goal {
			c.AnsweredInGoal++
		}
		if estimate > 0 {
			c.Estimated++
			c.TooLong += max(0, estimate-waited)
			c.TooShort += max(0, waited-estimate)
		}
	case event.Abandoned:
		c.Abandoned++
		if waited <= l.goal {
			c.AbandonedInGoal++
		}
		if waited <= l.short {
			c.ShortAbandoned++
		}
	case event.CallBack:
		c.CalledBack++
	default:
		c.FlowedOut++
	}
}

// talked counts the end of a talk with an agent of a tier, in a queue of a class.
func (c *Counts) talked(class string, tier int, talk, hold time.Duration) {
	done := Handling{Handled: 1, Talk: talk, Hold: hold}
	c.handle(class, done)
	if tier == topTier {
		c.Escalated++
	}
}

func (c *Counts) wrappedUp(class string, took time.Duration) {
	c.handle(class, Handling{WrapUp: took})
}

func (c *Counts) handle(class string, h Handling) {
	c.Handling = c.Handling.plus(h)
	if class == classClinical {
		c.Clinical = c.Clinical.plus(h)
	}
}

// staffed counts an agent's time in a state, and reports whether that counts.
// Being rung is neither work nor readiness.
func (c *Counts) staffed(state string, d time.Duration) bool {
	switch state {
	case stateReady:
		c.Ready += d
	case stateTalking, stateWrapUp:
		c.Busy += d
	default:
		return false
	}
	return true
}

// surveyed counts a caller's answer. One outside the scale is none.
func (c *Counts) surveyed(question string, answer int) {
	switch {
	case question == questionCSAT && answer >= 1 && answer <= 5:
		c.Rated++
		if answer >= 4 {
			c.Satisfied++
		}
	case question == questionNPS && answer >= 0 && answer <= 10:
		c.Scored++
		if answer >= 9 {
			c.Promoters++
		} else if answer <= 6 {
			c.Detracted++
		}
	}
}

// promised counts a follow-up whose window or work is over. What the caller took back
// with all we knew of him was not due.
func (c *Counts) promised(result store.FollowUpResult, settled, dueTo time.Time) {
	if result == store.FollowUpErased {
		return
	}
	c.PromisesDue++
	if result == store.FollowUpDone && !settled.After(dueTo) {
		c.PromisesKept++
	}
}

func (c *Counts) contacted(resolved bool) {
	c.Contacts++
	if resolved {
		c.Resolved++
	}
}
