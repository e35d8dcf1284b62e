package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// headline is a figure of the total with its variants beside it, so that nobody
// has to ask which one it is.
type headline struct {
	name string
	main value
	also []variant
}

type variant struct {
	value
	name string
}

func headlines(c *Counts) []headline {
	return []headline{
		{"service level", c.ServiceLevel(), []variant{
			{c.ServiceLevelAnswered(), "of those answered"}, {c.ServiceLevelWithoutShort(), "without short abandons"},
			{c.ServiceLevelWithAbandoned(), "with abandons in time"}}},
		{"abandoned", c.Abandonment(), []variant{
			{c.AbandonmentOfOffered(), "of those offered"}, {c.AbandonmentWithoutShort(), "without short abandons"}}},
		{"speed of answer", c.SpeedOfAnswer(), nil},
		{"estimated wait off by", c.EstimateError(), []variant{
			{c.EstimateBias(), "too long in the mean"}, {number(c.Estimated), "estimates"}}},
		{"handle time", c.HandleTime(), []variant{
			{c.Routine().HandleTime(), "routine"}, {c.Clinical.HandleTime(), "clinical"}}},
		{"occupancy", c.Occupancy(), nil},
		{"escalation", c.Escalation(), nil},
		{"first-contact resolution", c.FirstContactResolution(), []variant{{number(c.Contacts), "contacts"}}},
		{"promises kept", c.Promises(), []variant{{number(c.PromisesDue), "due"}}},
		{"satisfaction", c.Satisfaction(), []variant{{number(c.Rated), "answers"}}},
		{"promoter score", c.PromoterScore(), []variant{{number(c.Scored), "answers"}}},
	}
}

// column is what the table shows of a row: less than CSV does, for it has to
// fit a screen.
var columns = []figure{
	{"offered", func(c *Counts) value { return number(c.Offered) }},
	{"answered", func(c *Counts) value { return number(c.Answered) }},
	{"in goal", func(c *Counts) value { return number(c.AnsweredInGoal) }},
	{"abandoned", func(c *Counts) value { return number(c.Abandoned) }},
	{"flowed out", func(c *Counts) value { return number(c.FlowedOut) }},
	{"service", func(c *Counts) value { return c.ServiceLevel() }},
	{"abandoned", func(c *Counts) value { return c.Abandonment() }},
	{"ASA", func(c *Counts) value { return c.SpeedOfAnswer() }},
	{"AHT", func(c *Counts) value { return c.HandleTime() }},
	{"occupancy", func(c *Counts) value { return c.Occupancy() }},
}

// table writes the report for people: the headlines, then a line a row and the
// total. Rows without a visit or anyone at work are left out.
func (r *Report) table(w io.Writer) error {
	const minute = "2006-01-02 15:04"
	fmt.Fprintf(w, "%s until before %s, %s\n\n", r.From.Format(minute), r.To.Format(minute), r.From.Location())
	for _, h := range headlines(&r.Total) {
		line := fmt.Sprintf("%-25s %8s", h.name, h.main)
		for i, v := range h.also {
			between := "   ("
			if i > 0 {
				between = ", "
			}
			line += fmt.Sprintf("%s%s %s", between, v.String(), v.name)
		}
		if len(h.also) > 0 {
			line += ")"
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)

	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	heading := []string{"from"}
	for _, d := range r.By {
		heading = append(heading, string(d))
	}
	for _, c := range columns {
		heading = append(heading, c.name)
	}
	writeLine(out, heading)
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Counts != (Counts{}) {
			writeLine(out, append([]string{r.moment(row.From)}, row.Values...), &row.Counts)
		}
	}
	writeLine(out, append([]string{"total"}, make([]string, len(r.By))...), &r.Total)
	return out.Flush()
}

// moment names a row's beginning, with the offset in the days in which clocks
// change.
func (r *Report) moment(t time.Time) string {
	day := dayOf(t, t.Location())
	switch {
	case r.Interval == Day || r.Interval == Whole:
		return t.Format(time.DateOnly)
	case day.to.Sub(day.from) != 24*time.Hour:
		return t.Format("2006-01-02 15:04-07:00")
	}
	return t.Format("2006-01-02 15:04")
}

func writeLine(w io.Writer, fields []string, of ...*Counts) {
	for _, c := range of {
		for _, f := range columns {
			fields = append(fields, f.value(c).String())
		}
	}
	fmt.Fprintln(w, strings.Join(fields, "\t")+"\t")
}
