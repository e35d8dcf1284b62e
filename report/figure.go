package report

import (
	"strconv"
	"time"
)

// figure is one thing a report shows of each line.
type figure struct {
	name  string // as CSV and JSON have it
	value func(*Counts) value
}

// value is what a figure can be.
type value interface {
	// append writes it as JSON, which CSV shares.
	append(b []byte) []byte
	// String gives it as people read it.
	String() string
}

type (
	number  uint64
	seconds time.Duration
)

func (n number) append(b []byte) []byte  { return strconv.AppendUint(b, uint64(n), 10) }
func (n number) String() string          { return strconv.FormatUint(uint64(n), 10) }
func (s seconds) append(b []byte) []byte { return appendSeconds(b, time.Duration(s)) }
func (s seconds) String() string         { return Mean{time.Duration(s), 1}.String() }

// figures is all that a report shows, in order. Ratios go from 0 to 1; times are
// in seconds.
var figures = []figure{
	{"offered", func(c *Counts) value { return number(c.Offered) }},
	{"answered", func(c *Counts) value { return number(c.Answered) }},
	{"answered_in_goal", func(c *Counts) value { return number(c.AnsweredInGoal) }},
	{"abandoned", func(c *Counts) value { return number(c.Abandoned) }},
	{"abandoned_in_goal", func(c *Counts) value { return number(c.AbandonedInGoal) }},
	{"short_abandoned", func(c *Counts) value { return number(c.ShortAbandoned) }},
	{"called_back", func(c *Counts) value { return number(c.CalledBack) }},
	{"flowed_out", func(c *Counts) value { return number(c.FlowedOut) }},
	{"waiting", func(c *Counts) value { return number(c.Waiting()) }},

	{"service_level", func(c *Counts) value { return c.ServiceLevel() }},
	{"service_level_answered", func(c *Counts) value { return c.ServiceLevelAnswered() }},
	{"service_level_without_short", func(c *Counts) value { return c.ServiceLevelWithoutShort() }},
	{"service_level_with_abandoned", func(c *Counts) value { return c.ServiceLevelWithAbandoned() }},
	{"abandonment", func(c *Counts) value { return c.Abandonment() }},
	{"abandonment_of_offered", func(c *Counts) value { return c.AbandonmentOfOffered() }},
	{"abandonment_without_short", func(c *Counts) value { return c.AbandonmentWithoutShort() }},
	{"speed_of_answer_seconds", func(c *Counts) value { return c.SpeedOfAnswer() }},
	{"estimated", func(c *Counts) value { return number(c.Estimated) }},
	{"estimate_bias_seconds", func(c *Counts) value { return c.EstimateBias() }},
	{"estimate_error_seconds", func(c *Counts) value { return c.EstimateError() }},

	{"handled", func(c *Counts) value { return number(c.Handled) }},
	{"talk_seconds", func(c *Counts) value { return seconds(c.Talk) }},
	{"hold_seconds", func(c *Counts) value { return seconds(c.Hold) }},
	{"wrap_up_seconds", func(c *Counts) value { return seconds(c.WrapUp) }},
	{"handle_time_seconds", func(c *Counts) value { return c.HandleTime() }},
	{"handle_time_routine_seconds", func(c *Counts) value { return c.Routine().HandleTime() }},
	{"handle_time_clinical_seconds", func(c *Counts) value { return c.Clinical.HandleTime() }},
	{"escalated", func(c *Counts) value { return number(c.Escalated) }},
	{"escalation", func(c *Counts) value { return c.Escalation() }},
	{"ready_seconds", func(c *Counts) value { return seconds(c.Ready) }},
	{"busy_seconds", func(c *Counts) value { return seconds(c.Busy) }},
	{"occupancy", func(c *Counts) value { return c.Occupancy() }},

	{"first_contacts", func(c *Counts) value { return number(c.Contacts) }},
	{"first_contact_resolution", func(c *Counts) value { return c.FirstContactResolution() }},
	{"promises_due", func(c *Counts) value { return number(c.PromisesDue) }},
	{"promises_kept", func(c *Counts) value { return c.Promises() }},
	{"satisfaction_answers", func(c *Counts) value { return number(c.Rated) }},
	{"satisfaction", func(c *Counts) value { return c.Satisfaction() }},
	{"promoter_answers", func(c *Counts) value { return number(c.Scored) }},
	{"promoter_score", func(c *Counts) value { return c.PromoterScore() }},
}
