package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

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
	FlowedOut       uint64 // F: taken out of the queue by us

	Waits time.Duration // of those answered, from joining to the agent's answer

	Handled uint64        // talks that ended
	Talk    time.Duration // of those, without hold
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
		FlowedOut:       c.FlowedOut + o.FlowedOut,
		Waits:           c.Waits + o.Waits,
		Handled:         c.Handled + o.Handled,
		Talk:            c.Talk + o.Talk,
		Hold:            c.Hold + o.Hold,
		WrapUp:          c.WrapUp + o.WrapUp,
	}
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

// SpeedOfAnswer is the ASA, the mean wait of those answered, ring time included;
// 0 if nobody was.
func (c Counts) SpeedOfAnswer() time.Duration {
	return mean(c.Waits, c.Answered)
}

// HandleTime is the AHT, the mean of talk, hold and wrap-up over the talks that
// ended; 0 if none did.
func (c Counts) HandleTime() time.Duration {
	return mean(c.Talk+c.Hold+c.WrapUp, c.Handled)
}

func mean(sum time.Duration, n uint64) time.Duration {
	if n == 0 {
		return 0
	}
	return sum / time.Duration(n)
}

// Ratio is a part of a whole. Nothing of nothing is no figure: it is neither 0
// nor 100 %.
type Ratio struct{ Part, Whole uint64 }

// Value gives the ratio from 0 to 1, NaN of nothing.
func (r Ratio) Value() float64 {
	if r.Whole == 0 {
		return math.NaN()
	}
	return float64(r.Part) / float64(r.Whole)
}

// String gives the ratio in percent with one decimal, as reports have it.
func (r Ratio) String() string {
	if r.Whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*r.Value())
}

// MarshalJSON gives the ratio from 0 to 1 with four decimals, null of nothing.
func (r Ratio) MarshalJSON() ([]byte, error) {
	if r.Whole == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(r.Value()*1e4)/1e4, 'f', -1, 64), nil
}
