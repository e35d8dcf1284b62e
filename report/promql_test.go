package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Prometheus cannot call counts.go, so rules and dashboard write some of its
// formulas again. This asks Prometheus for them over counts whose figures Go
// knows; each count differs, so that no two formulas agree by chance.
func TestPrometheusReckonsAsCountsDoes(t *testing.T) {
	perMinute := Counts{
		Offered: 113, Answered: 79, AnsweredInGoal: 61, Abandoned: 23, ShortAbandoned: 7, FlowedOut: 5, Waits: 1234 * time.Second,
		Handling:  Handling{71, 34567 * time.Second, 2345 * time.Second, 4321 * time.Second},
		Estimated: 61, TooLong: 345 * time.Second, TooShort: 678 * time.Second,
		PromisesDue: 17, PromisesKept: 13, Rated: 29, Satisfied: 19, Scored: 31, Promoters: 11, Detracted: 3, Contacts: 53, Resolved: 47,
		Busy: (5 + 3) * time.Minute, Ready: 4 * time.Minute,
	}
	level, abandonment := perMinute.ServiceLevel().Value(), perMinute.Abandonment().Value()
	speed, handling := perMinute.SpeedOfAnswer().Value().Seconds(), perMinute.HandleTime().Value().Seconds()
	const byQueue, byLanguage = `{queue="claims"}`, `{queue="claims",language="en"}`

	var b strings.Builder
	rules, err := filepath.Abs(filepath.Join(rulesDir, "bugle.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n", rules)
	for _, s := range series(perMinute) {
		fmt.Fprintf(&b, "  - {series: '%s', values: '%s'}\n", s[0], s[1])
	}
	b.WriteString("  promql_expr_test:\n")
	for _, f := range []struct {
		expr, labels string
		want         float64
	}{
		{"queue:bugle_service_level:ratio_rate1h", byQueue, level},
		{"queue:bugle_abandonment:ratio_rate1h", byQueue, abandonment},
		{"queue:bugle_speed_of_answer_seconds:mean_rate1h", byQueue, speed},
		{"queue:bugle_handle_time_seconds:mean_rate1h", byQueue, handling},
		{"bugle_occupancy:ratio_avg1h", "{}", perMinute.Occupancy().Value()},
		{panel(t, "Service level", "A"), "{}", level},
		{panel(t, "Abandoned", "A"), "{}", abandonment},
		{panel(t, "Speed of answer", "A"), "{}", speed},
		{panel(t, "Handle time", "A"), "{}", handling},
		{panel(t, "Service level by queue", "A"), byQueue, level},
		{panel(t, "Queues by language", "G"), byLanguage, level},
		{panel(t, "Estimated wait off by", "A"), "{}", perMinute.EstimateError().Value().Seconds()},
		{panel(t, "Estimates too long by", "A"), "{}", perMinute.EstimateBias().Value().Seconds()},
		{panel(t, "Promises kept", "A"), "{}", perMinute.Promises().Value()},
		{panel(t, "Satisfied", "A"), "{}", perMinute.Satisfaction().Value()},
		{panel(t, "Promoter score", "A"), "{}", perMinute.PromoterScore().Value()},
		{panel(t, "First-contact resolution", "A"), "{}", perMinute.FirstContactResolution().Value()},
		{panel(t, "Estimated wait", "A"), byLanguage, 42},
	} {
		fmt.Fprintf(&b, "  - {expr: %q, eval_time: 2h, exp_samples: [{labels: '%s', value: %v}]}\n",
			"round("+f.expr+", 0.0001)", f.labels, math.Round(f.want*1e4)/1e4)
	}
	file := filepath.Join(t.TempDir(), "figures.test.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", file)
}

// series gives the metrics of a node on which the same happens each minute, as
// promtool takes them: name and values.
func series(c Counts) [][2]string {
	var all [][2]string
	for name, each := range map[string]float64{
		"offered_total": float64(c.Offered), "answered_total": float64(c.Answered), "answered_in_goal_total": float64(c.AnsweredInGoal),
		"abandoned_total": float64(c.Abandoned), "short_abandoned_total": float64(c.ShortAbandoned), "flowed_out_total": float64(c.FlowedOut),
		"answer_seconds_sum": c.Waits.Seconds(), "answer_seconds_count": float64(c.Answered),
		"talk_seconds_sum": c.Talk.Seconds(), "talk_seconds_count": float64(c.Handled),
		"estimate_error_seconds_sum": (c.TooLong + c.TooShort).Seconds(), "estimate_error_seconds_count": float64(c.Estimated),
		"estimate_too_long_seconds_total": c.TooLong.Seconds(), "estimate_too_short_seconds_total": c.TooShort.Seconds(),
		"satisfaction_answers_total": float64(c.Rated), "satisfied_total": float64(c.Satisfied),
		"promoter_answers_total": float64(c.Scored), "promoters_total": float64(c.Promoters), "detractors_total": float64(c.Detracted),
		"hold_seconds_sum": c.Hold.Seconds(), "wrapup_seconds_sum": c.WrapUp.Seconds(),
	} {
		all = append(all, [2]string{`bugle_queue_` + name + `{queue="claims",language="en"}`, fmt.Sprintf("0+%vx120", each)})
	}
	// Two nodes say the same of first contacts and promises, and each what it expects.
	for node, wait := range map[string]int{"n1": 40, "n2": 44} {
		labels := `{queue="claims",language="en",instance="` + node + `"}`
		all = append(all, [2]string{`bugle_first_contacts` + labels, fmt.Sprintf("%dx120", c.Contacts)},
			[2]string{`bugle_first_contacts_resolved` + labels, fmt.Sprintf("%dx120", c.Resolved)},
			[2]string{`bugle_promises_due` + labels, fmt.Sprintf("%dx120", c.PromisesDue)},
			[2]string{`bugle_promises_kept` + labels, fmt.Sprintf("%dx120", c.PromisesKept)},
			[2]string{`bugle_queue_estimated_wait_seconds` + labels, fmt.Sprintf("%dx120", wait)})
	}
	wrapUp := 3 * time.Minute
	for state, agents := range map[string]time.Duration{"talking": c.Busy - wrapUp, "wrapup": wrapUp, "ready": c.Ready, "paused": 9 * time.Minute} {
		all = append(all, [2]string{`bugle_agents{state="` + state + `"}`, fmt.Sprintf("%vx120", agents.Minutes())})
	}
	return all
}

// panel gives what the dashboard asks for, with its variables filled in.
func panel(t *testing.T, title, ref string) string {
	t.Helper()
	for _, p := range readBoard(t).Panels {
		for _, target := range p.Targets {
			if p.Title == title && target.RefID == ref {
				return strings.NewReplacer("$__range", "1h", "$queue", ".*", "$language", ".*").Replace(target.Expr)
			}
		}
	}
	t.Fatalf("the dashboard has no panel %q with target %s", title, ref)
	return ""
}
