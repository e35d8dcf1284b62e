package report

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var testQueues = map[string]config.Queue{
	"claims": {Goal: config.Duration(20 * time.Second), ShortAbandon: config.Duration(5 * time.Second)},
	"urgent": {Goal: config.Duration(10 * time.Second), ShortAbandon: config.Duration(2 * time.Second)},
}

// feeder gives facts to Figures as a log would.
type feeder struct {
	*Figures
	visits int
}

func newFeeder() *feeder { return &feeder{Figures: New(testQueues, []string{"en", "es"})} }

func (f *feeder) emit(call string, fact event.Fact) {
	f.Observe(event.Event{At: time.Now(), Call: call, Fact: fact})
}

// visit joins a queue and ends there.
func (f *feeder) visit(queue, language string, result event.VisitResult, waited time.Duration) {
	f.visits++
	id := fmt.Sprint("v", f.visits)
	f.emit("", event.VisitJoined{Visit: id, Queue: queue, Language: language})
	f.emit("", event.VisitEnded{Visit: id, Queue: queue, Language: language, Result: result, Waited: waited})
}

func (f *feeder) lineOf(t *testing.T, queue, language string) Line {
	t.Helper()
	for _, l := range f.Lines() {
		if l.Queue == queue && l.Language == language {
			return l
		}
	}
	t.Fatalf("there is no line %s/%s", queue, language)
	return Line{}
}

// The classic example again, this time from events.
func TestClassicHourFromEvents(t *testing.T) {
	f := newFeeder()
	for range 75 {
		f.visit("claims", "en", event.Answered, 20*time.Second) // just within
	}
	for range 10 {
		f.visit("claims", "en", event.Answered, 20*time.Second+time.Millisecond)
	}
	for range 6 {
		f.visit("claims", "en", event.Abandoned, 5*time.Second) // just short
	}
	for range 4 {
		f.visit("claims", "en", event.Abandoned, 5*time.Second+time.Millisecond)
	}
	for range 5 {
		f.visit("claims", "en", event.Abandoned, time.Minute)
	}
	c := f.lineOf(t, "claims", "en").Counts
	want := classic
	want.Handling = Handling{}
	want.Waits = 75*20*time.Second + 10*(20*time.Second+time.Millisecond)
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestGoalsAreTheQueuesOwn(t *testing.T) {
	f := newFeeder()
	f.visit("claims", "en", event.Answered, 15*time.Second)
	f.visit("urgent", "en", event.Answered, 15*time.Second)
	f.visit("urgent", "en", event.FlowedOut, 15*time.Second)
	if c := f.lineOf(t, "claims", "en"); c.AnsweredInGoal != 1 {
		t.Errorf("claims: %+v", c)
	}
	if u := f.lineOf(t, "urgent", "en"); u.AnsweredInGoal != 0 || u.Answered != 1 || u.FlowedOut != 1 {
		t.Errorf("urgent: %+v", u)
	}
	if other := f.lineOf(t, "claims", "es"); other.Counts != (Counts{}) {
		t.Errorf("another language was counted: %+v", other)
	}
}

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeeder()
		f.emit("c1", event.VisitJoined{Visit: "a", Queue: "claims", Language: "es"})
		time.Sleep(30 * time.Second)
		f.emit("c2", event.VisitJoined{Visit: "b", Queue: "claims", Language: "es"})
		time.Sleep(10 * time.Second)
		if l := f.lineOf(t, "claims", "es"); l.Waiting != 2 || l.Longest != 40*time.Second {
			t.Errorf("two wait: %+v", l)
		}
		f.emit("c1", event.VisitEnded{Visit: "a", Queue: "claims", Result: event.Answered, Waited: 40 * time.Second})
		if l := f.lineOf(t, "claims", "es"); l.Waiting != 1 || l.Longest != 10*time.Second {
			t.Errorf("one waits: %+v", l)
		}
		f.emit("c2", event.VisitEnded{Visit: "b", Queue: "claims", Result: event.Abandoned, Waited: 10 * time.Second})
		if l := f.lineOf(t, "claims", "es"); l.Waiting != 0 || l.Longest != 0 {
			t.Errorf("nobody waits: %+v", l)
		}
	})
}

// A visit begins and ends once, whatever is said of it.
func TestUnmatchedFacts(t *testing.T) {
	f := newFeeder()
	f.visit("claims", "en", event.Answered, time.Second)
	f.emit("", event.VisitEnded{Visit: "v1", Queue: "claims", Language: "en", Result: event.Abandoned})
	f.emit("", event.VisitJoined{Visit: "w", Queue: "claims", Language: "en"})
	f.emit("", event.VisitJoined{Visit: "w", Queue: "claims", Language: "en"})
	f.emit("", event.VisitEnded{Visit: "never", Queue: "claims", Language: "en", Result: event.Answered})
	if l := f.lineOf(t, "claims", "en"); l.Offered != 2 || l.Answered != 1 || l.Abandoned != 0 || l.Waiting != 1 {
		t.Errorf("%+v", l)
	}
	if f.unmatched != 3 {
		t.Errorf("%d are unmatched", f.unmatched)
	}
}

func TestHandleTimeOfALanguage(t *testing.T) {
	f := newFeeder()
	f.emit("", event.TalkEnded{Visit: "v1", Queue: "claims", Language: "es", Agent: "sofia", Talk: 100 * time.Second, Hold: 10 * time.Second})
	f.emit("", event.WrapUpEnded{Visit: "v1", Queue: "claims", Language: "es", Agent: "sofia", Took: 20 * time.Second})
	f.emit("", event.WrapUpEnded{Visit: "elsewhere", Queue: "claims", Language: "en", Agent: "bert", Took: 7 * time.Second})
	if got := f.lineOf(t, "claims", "es").HandleTime().Value(); got != 130*time.Second {
		t.Errorf("handle time is %v", got)
	}
	if got := f.lineOf(t, "claims", "en").WrapUp; got != 7*time.Second {
		t.Errorf("a wrap-up after a talk on another node counts %v", got)
	}
}

// Every metric and each label, once.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feeder{Figures: New(map[string]config.Queue{"claims": testQueues["claims"]}, []string{"en"})}
		f.emit("c1", event.CallStarted{})
		f.emit("c2", event.CallStarted{})
		f.emit("c2", event.CallEnded{Class: "caller", Reason: "hung_up"})
		f.visit("claims", "en", event.Answered, 12*time.Second)
		f.visit("claims", "en", event.Answered, 2*time.Hour)
		f.visit("claims", "en", event.Abandoned, 3*time.Second)
		f.visit("claims", "en", event.FlowedOut, time.Second)
		f.visit("claims", "en", event.CallBack, time.Second)
		f.emit("c3", event.VisitJoined{Visit: "e", Queue: "claims", Language: "en", Goal: time.Minute, Estimate: 25 * time.Second})
		f.emit("c3", event.VisitEnded{Visit: "e", Queue: "claims", Language: "en", Result: event.Answered, Waited: 32 * time.Second})
		f.emit("c3", event.SurveyAnswered{Visit: "e", Queue: "claims", Language: "en", Question: "csat", Answer: 4})
		f.emit("c3", event.SurveyAnswered{Visit: "e", Queue: "claims", Language: "en", Question: "nps", Answer: 9})
		f.emit("c3", event.SurveyAnswered{Visit: "e", Queue: "claims", Language: "en", Question: "nps", Answer: 6})
		f.emit("c1", event.VisitJoined{Visit: "w", Queue: "claims", Language: "en"})
		f.emit("c1", event.OfferEnded{Queue: "claims", Result: event.OfferTimedOut})
		f.emit("c1", event.Transferred{How: event.Blind, To: "queue", Target: "urgent", Result: "done"})
		f.emit("c1", event.TalkEnded{Visit: "v1", Queue: "claims", Language: "en", Agent: "a", Tier: 3, Talk: 90 * time.Second, Hold: 6 * time.Second})
		f.emit("", event.WrapUpEnded{Visit: "v1", Queue: "claims", Language: "en", Agent: "a", Took: 10 * time.Second})
		f.emit("", event.AgentChanged{Agent: "a", From: "offline", To: "paused"})
		f.emit("", event.AgentChanged{Agent: "a", From: "paused", To: "ready", After: time.Hour})
		f.emit("", event.AgentChanged{Agent: "a", From: "ready", To: "reserved", After: 30 * time.Second})
		f.emit("", event.AgentChanged{Agent: "a", From: "reserved", To: "talking", After: 5 * time.Second})
		f.emit("", event.AgentChanged{Agent: "a", From: "talking", To: "wrapup", After: 96 * time.Second})
		f.emit("", event.AgentChanged{Agent: "a", From: "wrapup", To: "ready", After: 10500 * time.Millisecond})
		f.emit("", event.AgentChanged{Agent: "b", From: "offline", To: "paused"})
		f.emit("", event.AgentChanged{Agent: "b", From: "paused", To: "offline"})
		time.Sleep(4 * time.Second)

		const want = `
# HELP bugle_agents Agents of this node, by state.
# TYPE bugle_agents gauge
bugle_agents{state="paused"} 0
bugle_agents{state="ready"} 1
bugle_agents{state="reserved"} 0
bugle_agents{state="talking"} 0
bugle_agents{state="wrapup"} 0
# HELP bugle_agents_busy_seconds_total Time agents talked or were in wrap-up, counted when it ends.
# TYPE bugle_agents_busy_seconds_total counter
bugle_agents_busy_seconds_total 106.5
# HELP bugle_agents_ready_seconds_total Time agents were ready, counted when it ends.
# TYPE bugle_agents_ready_seconds_total counter
bugle_agents_ready_seconds_total 30
# HELP bugle_calls_active Calls under way.
# TYPE bugle_calls_active gauge
bugle_calls_active 1
# HELP bugle_calls_total Calls that ended, by how.
# TYPE bugle_calls_total counter
bugle_calls_total{class="caller",reason="hung_up"} 1
# HELP bugle_offers_total Agents rung for a visit, by how it ended.
# TYPE bugle_offers_total counter
bugle_offers_total{queue="claims",result="answered"} 0
bugle_offers_total{queue="claims",result="declined"} 0
bugle_offers_total{queue="claims",result="timed_out"} 1
bugle_offers_total{queue="claims",result="withdrawn"} 0
# HELP bugle_queue_abandoned_in_goal_total Queue visits the caller left within the queue's goal.
# TYPE bugle_queue_abandoned_in_goal_total counter
bugle_queue_abandoned_in_goal_total{language="en",queue="claims"} 1
# HELP bugle_queue_abandoned_total Queue visits the caller left before an answer.
# TYPE bugle_queue_abandoned_total counter
bugle_queue_abandoned_total{language="en",queue="claims"} 1
# HELP bugle_queue_answered_in_goal_total Queue visits answered within the queue's goal.
# TYPE bugle_queue_answered_in_goal_total counter
bugle_queue_answered_in_goal_total{language="en",queue="claims"} 2
# HELP bugle_queue_answered_total Queue visits answered by an agent.
# TYPE bugle_queue_answered_total counter
bugle_queue_answered_total{language="en",queue="claims"} 3
# HELP bugle_queue_called_back_total Queue visits whose caller is owed a call instead.
# TYPE bugle_queue_called_back_total counter
bugle_queue_called_back_total{language="en",queue="claims"} 1
# HELP bugle_queue_escalated_total Talks that ended with an agent of Tier 3.
# TYPE bugle_queue_escalated_total counter
bugle_queue_escalated_total{language="en",queue="claims"} 1
# HELP bugle_queue_estimated_wait_seconds Wait to be expected by who joins now, as this node sees the queue; missing until there is one.
# TYPE bugle_queue_estimated_wait_seconds gauge
bugle_queue_estimated_wait_seconds{language="en",queue="claims"} 800.688
# HELP bugle_queue_estimate_too_long_seconds_total Sum by which estimates exceeded the waits.
# TYPE bugle_queue_estimate_too_long_seconds_total counter
bugle_queue_estimate_too_long_seconds_total{language="en",queue="claims"} 0
# HELP bugle_queue_estimate_too_short_seconds_total Sum by which estimates fell short of the waits.
# TYPE bugle_queue_estimate_too_short_seconds_total counter
bugle_queue_estimate_too_short_seconds_total{language="en",queue="claims"} 7
# HELP bugle_queue_satisfaction_answers_total Callers' answers from 1 to 5 to how satisfied they are.
# TYPE bugle_queue_satisfaction_answers_total counter
bugle_queue_satisfaction_answers_total{language="en",queue="claims"} 1
# HELP bugle_queue_satisfied_total Of these, 4 and 5.
# TYPE bugle_queue_satisfied_total counter
bugle_queue_satisfied_total{language="en",queue="claims"} 1
# HELP bugle_queue_promoter_answers_total Callers' answers from 0 to 10 to whether they would recommend us.
# TYPE bugle_queue_promoter_answers_total counter
bugle_queue_promoter_answers_total{language="en",queue="claims"} 2
# HELP bugle_queue_promoters_total Of these, 9 and 10.
# TYPE bugle_queue_promoters_total counter
bugle_queue_promoters_total{language="en",queue="claims"} 1
# HELP bugle_queue_detractors_total Of these, 0 to 6.
# TYPE bugle_queue_detractors_total counter
bugle_queue_detractors_total{language="en",queue="claims"} 1
# HELP bugle_queue_flowed_out_total Queue visits ended by us, for example when a node shuts down.
# TYPE bugle_queue_flowed_out_total counter
bugle_queue_flowed_out_total{language="en",queue="claims"} 1
# HELP bugle_queue_longest_wait_seconds Time the visit that joined first has waited; 0 if none waits.
# TYPE bugle_queue_longest_wait_seconds gauge
bugle_queue_longest_wait_seconds{language="en",queue="claims"} 4
# HELP bugle_queue_offered_total Queue visits that joined.
# TYPE bugle_queue_offered_total counter
bugle_queue_offered_total{language="en",queue="claims"} 7
# HELP bugle_queue_short_abandoned_total Queue visits the caller left too soon to be answered.
# TYPE bugle_queue_short_abandoned_total counter
bugle_queue_short_abandoned_total{language="en",queue="claims"} 1
# HELP bugle_queue_waiting Visits waiting now.
# TYPE bugle_queue_waiting gauge
bugle_queue_waiting{language="en",queue="claims"} 1
# HELP bugle_transfers_total Callers handed on by agents, or meant to be, by how, to whom and how it went.
# TYPE bugle_transfers_total counter
bugle_transfers_total{kind="blind",result="done",to="queue"} 1
# HELP bugle_report_unmatched_total Visits that joined or ended twice, or ended without a beginning: a defect.
# TYPE bugle_report_unmatched_total counter
bugle_report_unmatched_total 0
`
		histograms := []string{"bugle_queue_answer_seconds", "bugle_queue_talk_seconds", "bugle_queue_hold_seconds", "bugle_queue_wrapup_seconds", "bugle_queue_estimate_error_seconds"}
		var rest []string
		for line := range strings.Lines(want) {
			if name, isHelp := strings.CutPrefix(line, "# HELP "); isHelp {
				rest = append(rest, strings.Fields(name)[0])
			}
		}
		if err := testutil.CollectAndCompare(f, strings.NewReader(want), rest...); err != nil {
			t.Error(err)
		}
		if got := len(rest) + len(histograms); got != len(descs) {
			t.Errorf("the test knows %d metrics of %d", got, len(descs))
		}
		for _, name := range histograms {
			if n := testutil.CollectAndCount(f, name); n != 1 {
				t.Errorf("%s: %d series", name, n)
			}
		}
		problems, err := testutil.CollectAndLint(f)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	})
}

func TestHistogram(t *testing.T) {
	h := newHistogram([]float64{1, 5, 10})
	for _, s := range []float64{0, 1, 1.5, 5, 10, 11} {
		h.observe(time.Duration(s * float64(time.Second)))
	}
	if diff := cmp.Diff(map[float64]uint64{1: 2, 5: 4, 10: 5}, h.cumulative()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if h.n != 6 || h.sum != 28*time.Second+500*time.Millisecond {
		t.Errorf("n %d, sum %v", h.n, h.sum)
	}
}

// Everything starts at 0, or the first call of the day would not be seen by a
// rate.
func TestEveryCombinationShowsFromTheStart(t *testing.T) {
	f := New(testQueues, []string{"en", "es"})
	for _, name := range []string{"bugle_queue_offered_total", "bugle_queue_answer_seconds", "bugle_queue_waiting"} {
		if n := testutil.CollectAndCount(f, name); n != 4 {
			t.Errorf("%s has %d series", name, n)
		}
	}
	if n := testutil.CollectAndCount(f, "bugle_offers_total"); n != 8 {
		t.Errorf("bugle_offers_total has %d series", n)
	}
}

// Whatever happens in whatever order, O = A + B + C + F + waiting, in every line and
// at every scrape.
func TestOfferedIsAccountedFor(t *testing.T) {
	f := newFeeder()
	results := []event.VisitResult{event.Answered, event.Abandoned, event.FlowedOut, event.CallBack}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 2000 {
				visit, queue, language := fmt.Sprint(r.IntN(50), "-", w), "claims", "en"
				if r.IntN(2) == 0 {
					queue = "urgent"
				}
				if r.IntN(2) == 0 {
					f.emit("", event.VisitJoined{Visit: visit, Queue: queue, Language: language})
				} else {
					f.emit("", event.VisitEnded{Visit: visit, Queue: queue, Language: language, Result: results[r.IntN(4)]})
				}
				if r.IntN(100) == 0 {
					checkSums(t, f.Lines())
				}
			}
		})
	}
	wg.Wait()
	checkSums(t, f.Lines())
}

func checkSums(t *testing.T, lines []Line) {
	for _, l := range lines {
		if sum := l.Answered + l.Abandoned + l.CalledBack + l.FlowedOut + uint64(l.Waiting); l.Offered != sum {
			t.Errorf("%s/%s: %d offered, %d accounted for", l.Queue, l.Language, l.Offered, sum)
		}
	}
}
