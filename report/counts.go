package report

import "time"

// Counts is what was counted over some queue visits: of one queue or many, of an
// interval or since the start. Every figure is a function of it. Counts of
// different visits may be added up; figures may not.
type Counts struct {
	Offered         uint64 // O: visits that joined
	Answered        uint64 // A
	AnsweredInGoal  uint64 // A≤T: within the goal of their queue
	Abandoned       uint64 // B: the caller left before an answer
	AbandonedInGoal uint64 // B≤T
	ShortAbandoned  uint64 // Bs: left so soon that nobody could have answered
	CalledBack      uint64 // C: owed a call instead of an answer
	FlowedOut       uint64 // F: taken out of the queue by us

	Waits time.Duration // of those answered, from joining to the agent's answer

	Estimated uint64        // of those answered, whose wait had been estimated
	TooLong   time.Duration // by which these estimates exceeded the waits
	TooShort  time.Duration // by which they fell short of them

	Handling           // all talks that ended
	Clinical  Handling // those of clinical queues; the others are routine
	Escalated uint64   // of those handled, by an agent of Tier 3

	Ready time.Duration // agents' time ready for a call
	Busy  time.Duration // agents' time talking or in wrap-up

	Contacts uint64 // first contacts of a caller on a subject, whose time to call again is over
	Resolved uint64 // of those, without a further call

	PromisesDue  uint64 // follow-ups whose window ended
	PromisesKept uint64 // of those, done within it

	Rated     uint64 // answers from 1 to 5
	Satisfied uint64 // 4 and 5
	Scored    uint64 // answers from 0 to 10
	Promoters uint64 // 9 and 10
	Detracted uint64 // 0 to 6
}

// Handling is agents' work on talks that ended.
type Handling struct {
	Handled uint64
	Talk    time.Duration // without hold
	Hold    time.Duration
	WrapUp  time.Duration
}

// Plus adds the counts of other visits.
func (c Counts) Plus(o Counts) Counts {
	return Counts{
		Offered:         c.Offered + o.Offered,
		Answered:        c.Answered + o.Answered,
		AnsweredInGoal:  c.AnsweredInGoal + o.AnsweredInGoal,
		Abandoned:       c.Abandoned + o.Abandoned,
		AbandonedInGoal: c.AbandonedInGoal + o.AbandonedInGoal,
		ShortAbandoned:  c.ShortAbandoned + o.ShortAbandoned,
		CalledBack:      c.CalledBack + o.CalledBack,
		FlowedOut:       c.FlowedOut + o.FlowedOut,
		Waits:           c.Waits + o.Waits,
		Estimated:       c.Estimated + o.Estimated,
		TooLong:         c.TooLong + o.TooLong,
		TooShort:        c.TooShort + o.TooShort,
		Handling:        c.Handling.plus(o.Handling),
		Clinical:        c.Clinical.plus(o.Clinical),
		Escalated:       c.Escalated + o.Escalated,
		Ready:           c.Ready + o.Ready,
		Busy:            c.Busy + o.Busy,
		Contacts:        c.Contacts + o.Contacts,
		Resolved:        c.Resolved + o.Resolved,
		PromisesDue:     c.PromisesDue + o.PromisesDue,
		PromisesKept:    c.PromisesKept + o.PromisesKept,
		Rated:           c.Rated + o.Rated,
		Satisfied:       c.Satisfied + o.Satisfied,
		Scored:          c.Scored + o.Scored,
		Promoters:       c.Promoters + o.Promoters,
		Detracted:       c.Detracted + o.Detracted,
	}
}

func (h Handling) plus(o Handling) Handling {
	return Handling{h.Handled + o.Handled, h.Talk + o.Talk, h.Hold + o.Hold, h.WrapUp + o.WrapUp}
}

// Waiting is how many had joined and not left: O = A + B + C + F + waiting.
func (c Counts) Waiting() uint64 {
	return c.Offered - c.Answered - c.Abandoned - c.CalledBack - c.FlowedOut
}

// ServiceLevel is the headline: of the callers who were answered or gave up, the
// part answered within the goal. A≤T / (A + B); the goal is 80 % in 20 s.
func (c Counts) ServiceLevel() Ratio {
	return Ratio{c.AnsweredInGoal, c.Answered + c.Abandoned}
}

// ServiceLevelAnswered looks at answered callers only: A≤T / A.
func (c Counts) ServiceLevelAnswered() Ratio {
	return Ratio{c.AnsweredInGoal, c.Answered}
}

// ServiceLevelWithoutShort leaves out callers who gave up at once:
// A≤T / (A + B − Bs).
func (c Counts) ServiceLevelWithoutShort() Ratio {
	return Ratio{c.AnsweredInGoal, c.Answered + c.Abandoned - c.ShortAbandoned}
}

// ServiceLevelWithAbandoned counts callers who gave up within the goal as
// served: (A≤T + B≤T) / (A + B).
func (c Counts) ServiceLevelWithAbandoned() Ratio {
	return Ratio{c.AnsweredInGoal + c.AbandonedInGoal, c.Answered + c.Abandoned}
}

// Abandonment is the part that gave up of those who were answered or gave up:
// B / (A + B); the goal is at most 5 % in core hours.
func (c Counts) Abandonment() Ratio {
	return Ratio{c.Abandoned, c.Answered + c.Abandoned}
}

// AbandonmentOfOffered is B / O.
func (c Counts) AbandonmentOfOffered() Ratio {
	return Ratio{c.Abandoned, c.Offered}
}

// AbandonmentWithoutShort leaves out callers who gave up at once:
// (B − Bs) / (A + B − Bs).
func (c Counts) AbandonmentWithoutShort() Ratio {
	return Ratio{c.Abandoned - c.ShortAbandoned, c.Answered + c.Abandoned - c.ShortAbandoned}
}

// SpeedOfAnswer is the ASA, the mean wait of those answered, ring time included.
func (c Counts) SpeedOfAnswer() Mean {
	return Mean{c.Waits, c.Answered}
}

// EstimateBias is the mean error of the estimated waits: more than 0 where callers
// were told too much.
func (c Counts) EstimateBias() Mean {
	return Mean{c.TooLong - c.TooShort, c.Estimated}
}

// EstimateError is the mean absolute error of the estimated waits: by how much an
// estimate was off, either way.
func (c Counts) EstimateError() Mean {
	return Mean{c.TooLong + c.TooShort, c.Estimated}
}

// HandleTime is the AHT, the mean of talk, hold and wrap-up over the talks that
// ended. It says little where subject classes are mixed: routine calls take 8 to
// 12 minutes, clinical ones 20 to 30.
func (h Handling) HandleTime() Mean {
	return Mean{h.Talk + h.Hold + h.WrapUp, h.Handled}
}

// Routine is the handling of queues that are not clinical.
func (c Counts) Routine() Handling {
	return Handling{
		c.Handled - c.Clinical.Handled,
		c.Talk - c.Clinical.Talk, c.Hold - c.Clinical.Hold, c.WrapUp - c.Clinical.WrapUp,
	}
}

// Occupancy is the part of agents' time at work that was spent on calls:
// handle / (handle + ready), by the clock.
func (c Counts) Occupancy() Ratio {
	return Ratio{uint64(c.Busy), uint64(c.Busy + c.Ready)}
}

// Escalation is the part of those handled that reached Tier 3; the goal is at
// most 5 %.
func (c Counts) Escalation() Ratio {
	return Ratio{c.Escalated, c.Handled}
}

// FirstContactResolution is the part of callers who did not have to call again
// on the subject within 7 days. It stands in for what only the caller knows;
// the goal is 80 to 90 %.
func (c Counts) FirstContactResolution() Ratio {
	return Ratio{c.Resolved, c.Contacts}
}

// Promises is the part of callbacks and other follow-ups kept in their window,
// of those due.
func (c Counts) Promises() Ratio {
	return Ratio{c.PromisesKept, c.PromisesDue}
}

// Satisfaction is the CSAT, the part of answers of 1 to 5 that are 4 or 5; the
// goal is 85 %.
func (c Counts) Satisfaction() Ratio {
	return Ratio{c.Satisfied, c.Rated}
}

// PromoterScore is the NPS: of answers of 0 to 10, the percentage of 9 and 10
// minus that of 0 to 6; the goal is +25 to +50.
func (c Counts) PromoterScore() Score {
	return Score{c.Promoters, c.Detracted, c.Scored}
}
