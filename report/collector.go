package report

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Agent states as room router names them. Offline agents belong to no node, so
// no node exports them.
const offline = "offline"

var agentStates = []string{"paused", "ready", "reserved", "talking", "wrapup"}

var byLine = []string{"queue", "language"}

// One scrape takes all values at one moment, so that sums hold in it: offered is
// answered, abandoned, called back, flowed out and waiting.
var (
	offeredDesc         = desc("queue_offered_total", "Queue visits that joined.", byLine...)
	answeredDesc        = desc("queue_answered_total", "Queue visits answered by an agent.", byLine...)
	answeredInGoalDesc  = desc("queue_answered_in_goal_total", "Queue visits answered within the queue's goal.", byLine...)
	abandonedDesc       = desc("queue_abandoned_total", "Queue visits the caller left before an answer.", byLine...)
	abandonedInGoalDesc = desc("queue_abandoned_in_goal_total", "Queue visits the caller left within the queue's goal.", byLine...)
	shortAbandonedDesc  = desc("queue_short_abandoned_total", "Queue visits the caller left too soon to be answered.", byLine...)
	calledBackDesc      = desc("queue_called_back_total", "Queue visits whose caller is owed a call instead.", byLine...)
	flowedOutDesc       = desc("queue_flowed_out_total", "Queue visits ended by us, for example when a node shuts down.", byLine...)
	escalatedDesc       = desc("queue_escalated_total", "Talks that ended with an agent of Tier 3.", byLine...)
	waitingDesc         = desc("queue_waiting", "Visits waiting now.", byLine...)
	longestWaitDesc     = desc("queue_longest_wait_seconds", "Time the visit that joined first has waited; 0 if none waits.", byLine...)
	expectDesc          = desc("queue_estimated_wait_seconds", "Wait to be expected by who joins now, as this node sees the queue; missing until there is one.", byLine...)
	estimateOffDesc     = desc("queue_estimate_error_seconds", "By how much the estimated wait of those answered was off, either way.", byLine...)
	tooLongDesc         = desc("queue_estimate_too_long_seconds_total", "Sum by which estimates exceeded the waits.", byLine...)
	tooShortDesc        = desc("queue_estimate_too_short_seconds_total", "Sum by which estimates fell short of the waits.", byLine...)
	ratedDesc           = desc("queue_satisfaction_answers_total", "Callers' answers from 1 to 5 to how satisfied they are.", byLine...)
	satisfiedDesc       = desc("queue_satisfied_total", "Of these, 4 and 5.", byLine...)
	scoredDesc          = desc("queue_promoter_answers_total", "Callers' answers from 0 to 10 to whether they would recommend us.", byLine...)
	promotersDesc       = desc("queue_promoters_total", "Of these, 9 and 10.", byLine...)
	detractorsDesc      = desc("queue_detractors_total", "Of these, 0 to 6.", byLine...)
	answerDesc          = desc("queue_answer_seconds", "Wait of those answered, from joining to the agent's answer.", byLine...)
	talkDesc            = desc("queue_talk_seconds", "Talk of a caller with an agent, without hold.", byLine...)
	holdDesc            = desc("queue_hold_seconds", "Hold during a talk.", byLine...)
	wrapUpDesc          = desc("queue_wrapup_seconds", "An agent's time after a talk.", byLine...)
	offersDesc          = desc("offers_total", "Agents rung for a visit, by how it ended.", "queue", "result")
	transfersDesc       = desc("transfers_total", "Callers handed on by agents, or meant to be, by how, to whom and how it went.", "kind", "to", "result")
	callsDesc           = desc("calls_total", "Calls that ended, by how.", "class", "reason")
	callsActiveDesc     = desc("calls_active", "Calls under way.")
	agentsDesc          = desc("agents", "Agents of this node, by state.", "state")
	readyTimeDesc       = desc("agents_ready_seconds_total", "Time agents were ready, counted when it ends.")
	busyTimeDesc        = desc("agents_busy_seconds_total", "Time agents talked or were in wrap-up, counted when it ends.")
	unmatchedDesc       = desc("report_unmatched_total", "Visits that joined or ended twice, or ended without a beginning: a defect.")
)

var descs = []*prometheus.Desc{
	offeredDesc, answeredDesc, answeredInGoalDesc, abandonedDesc, abandonedInGoalDesc, shortAbandonedDesc, calledBackDesc, flowedOutDesc, escalatedDesc,
	waitingDesc, longestWaitDesc, expectDesc, estimateOffDesc, tooLongDesc, tooShortDesc,
	ratedDesc, satisfiedDesc, scoredDesc, promotersDesc, detractorsDesc,
	answerDesc, talkDesc, holdDesc, wrapUpDesc,
	offersDesc, transfersDesc, callsDesc, callsActiveDesc, agentsDesc, readyTimeDesc, busyTimeDesc, unmatchedDesc,
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("bugle_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (f *Figures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f *Figures) Collect(ch chan<- prometheus.Metric) {
	for _, m := range f.metrics() {
		ch <- m
	}
}

// metrics gives every figure at one moment.
func (f *Figures) metrics() []prometheus.Metric {
	f.mu.Lock()
	defer f.mu.Unlock()
	var s sample
	now := time.Now()
	for key, l := range f.lines {
		s.line(key, l, now)
	}
	for key, n := range f.offers {
		s.counter(offersDesc, n, key.queue, string(key.result))
	}
	for key, n := range f.transfers {
		s.counter(transfersDesc, n, string(key.kind), key.to, key.result)
	}
	for end, n := range f.ended {
		s.counter(callsDesc, n, end.class, end.reason)
	}
	s.gauge(callsActiveDesc, float64(len(f.calls)))
	s.seconds(readyTimeDesc, f.staff.Ready)
	s.seconds(busyTimeDesc, f.staff.Busy)
	s.counter(unmatchedDesc, f.unmatched)

	states := make(map[string]int)
	for _, state := range agentStates {
		states[state] = 0
	}
	for _, state := range f.agents {
		states[state]++
	}
	for state, n := range states {
		s.gauge(agentsDesc, float64(n), state)
	}
	return s.metrics
}

// sample gathers the metrics of one scrape.
type sample struct{ metrics []prometheus.Metric }

func (s *sample) line(key lineKey, l *line, now time.Time) {
	q, lang := key.queue, key.language
	s.counter(offeredDesc, l.Offered, q, lang)
	s.counter(answeredDesc, l.Answered, q, lang)
	s.counter(answeredInGoalDesc, l.AnsweredInGoal, q, lang)
	s.counter(abandonedDesc, l.Abandoned, q, lang)
	s.counter(abandonedInGoalDesc, l.AbandonedInGoal, q, lang)
	s.counter(shortAbandonedDesc, l.ShortAbandoned, q, lang)
	s.counter(calledBackDesc, l.CalledBack, q, lang)
	s.counter(flowedOutDesc, l.FlowedOut, q, lang)
	s.counter(escalatedDesc, l.Escalated, q, lang)
	s.gauge(waitingDesc, float64(len(l.waiting)), q, lang)
	s.gauge(longestWaitDesc, l.longest(now).Seconds(), q, lang)
	if wait := l.expect.estimate(len(l.waiting)); wait > 0 {
		s.gauge(expectDesc, wait.Seconds(), q, lang)
	}
	s.histogram(estimateOffDesc, &l.off, q, lang)
	s.seconds(tooLongDesc, l.TooLong, q, lang)
	s.seconds(tooShortDesc, l.TooShort, q, lang)
	s.counter(ratedDesc, l.Rated, q, lang)
	s.counter(satisfiedDesc, l.Satisfied, q, lang)
	s.counter(scoredDesc, l.Scored, q, lang)
	s.counter(promotersDesc, l.Promoters, q, lang)
	s.counter(detractorsDesc, l.Detracted, q, lang)
	s.histogram(answerDesc, &l.answer, q, lang)
	s.histogram(talkDesc, &l.talk, q, lang)
	s.histogram(holdDesc, &l.hold, q, lang)
	s.histogram(wrapUpDesc, &l.wrapUp, q, lang)
}

func (s *sample) counter(d *prometheus.Desc, n uint64, labels ...string) {
	s.metrics = append(s.metrics, prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...))
}

func (s *sample) seconds(d *prometheus.Desc, total time.Duration, labels ...string) {
	s.metrics = append(s.metrics, prometheus.MustNewConstMetric(d, prometheus.CounterValue, total.Seconds(), labels...))
}

func (s *sample) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.metrics = append(s.metrics, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
}

func (s *sample) histogram(d *prometheus.Desc, h *histogram, labels ...string) {
	s.metrics = append(s.metrics, prometheus.MustNewConstHistogram(d, h.n, h.sum.Seconds(), h.cumulative(), labels...))
}

var _ prometheus.Collector = (*Figures)(nil)
