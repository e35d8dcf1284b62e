package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

func duration(d time.Duration) *config.Duration { return (*config.Duration)(&d) }

var (
	testAgents = map[string]config.Agent{
		"anna":  {Name: "Anna", Languages: map[string]int{"en": 3}, Skills: map[string]int{"claims": 2}},
		"bob":   {Name: "Bob", Languages: map[string]int{"en": 2}, Skills: map[string]int{"claims": 1}},
		"sofia": {Name: "Sofia", Tier: 2, Languages: map[string]int{"en": 1, "es": 5}, Skills: map[string]int{"claims": 3}},
	}
	testQueues = map[string]config.Queue{
		"claims": {
			Requires: map[string]int{"claims": 1}, Ring: config.Duration(15 * time.Second),
			WrapUp: duration(30 * time.Second), Goal: config.Duration(20 * time.Second), Class: "routine", ShortAbandon: config.Duration(5 * time.Second),
		},
		"urgent":  {HeadStart: config.Duration(10 * time.Minute), WrapUp: duration(0)},
		"general": {},
	}
)

// recorder is an event log in memory.
type recorder struct {
	mu    sync.Mutex
	facts []string
	calls []event.Event
}

func (r *recorder) Emit(call string, f event.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = append(r.facts, fmt.Sprintf("%s %s %+v", f.Kind(), call, f))
	r.calls = append(r.calls, event.Event{Call: call, Fact: f})
}

// take gives what was recorded since the last time: facts about calls, then
// facts about agents. How these two lie in time to each other is not fixed.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	facts := r.facts
	r.facts = nil
	slices.SortStableFunc(facts, func(a, b string) int { return cmp.Compare(ofAgent(a), ofAgent(b)) })
	return facts
}

func ofAgent(fact string) int {
	if strings.HasPrefix(fact, "agent.") || strings.HasPrefix(fact, "wrapup.") {
		return 1
	}
	return 0
}

// desk is a router on an embedded Redis in virtual time.
type desk struct {
	*Router
	t      *testing.T
	events *recorder
}

// virtual runs a test with a desk, in a bubble whose clock stands still while
// anything moves. At its end nobody may wait and no agent may be held.
func virtual(t *testing.T, test func(d *desk)) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		q, err := queue.Open(ctx, config.Redis{}, "test", "n1", discard)
		if err != nil {
			t.Fatal(err)
		}
		d := &desk{t: t, events: &recorder{}}
		d.Router = New(Options{Queue: q, Events: d.events, Agents: testAgents, Queues: testQueues, Log: discard})
		test(d)
		snapshot, err := q.Snapshot(ctx)
		if err != nil {
			t.Error(err)
		}
		if len(snapshot.Lines) > 0 || snapshot.Agents[Reserved]+snapshot.Agents[Talking] > 0 {
			t.Errorf("left over: %+v", snapshot)
		}
		d.Close()
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (d *desk) ready(agents ...string) {
	d.t.Helper()
	for _, a := range agents {
		d.Registered(a)
		if err := d.SetState(context.Background(), a, Ready, ""); err != nil {
			d.t.Fatal(err)
		}
		time.Sleep(time.Second) // the next one is ready later
	}
}

func (d *desk) join(id, queue, language string) *Waiting {
	d.t.Helper()
	w, err := d.Join(context.Background(), Visit{ID: id, Call: "call-" + id, Queue: queue, Language: language, Estimate: 42 * time.Second})
	if err != nil {
		d.t.Fatal(err)
	}
	return w
}

// offer waits for the next offer, which must be to this agent.
func (d *desk) offer(w *Waiting, agent string) Offer {
	d.t.Helper()
	synctest.Wait()
	select {
	case o := <-w.Offers():
		if o.Agent != agent {
			d.t.Fatalf("offered to %s, want %s", o.Agent, agent)
		}
		return o
	default:
		d.t.Fatalf("no offer; want one to %s", agent)
		return Offer{}
	}
}

func (d *desk) noOffer(w *Waiting) {
	d.t.Helper()
	synctest.Wait()
	select {
	case o := <-w.Offers():
		d.t.Fatalf("offered to %s, want nobody", o.Agent)
	default:
	}
}

func (d *desk) answered(w *Waiting, o Offer) *Talk {
	d.t.Helper()
	talk, err := w.Answered(o)
	if err != nil {
		d.t.Fatal(err)
	}
	return talk
}

// state is an agent's, and the reason and the pending reason of his pause.
func (d *desk) state(agent string, want State, reason, pending string) {
	d.t.Helper()
	synctest.Wait()
	infos, err := d.Agents(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, a := range infos {
		if a.ID == agent && (a.State != want || a.Reason != reason || a.Pending != pending) {
			d.t.Errorf("%s is %s (%q, pending %q), want %s (%q, pending %q)",
				agent, a.State, a.Reason, a.Pending, want, reason, pending)
		}
	}
}

// told holds the facts recorded since the last time against a list.
func (d *desk) told(want ...string) {
	d.t.Helper()
	synctest.Wait()
	if diff := gocmp.Diff(want, d.events.take()); diff != "" {
		d.t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestACallFromJoiningToReadyAgain(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("sofia")
		d.told(
			"agent.changed  {Agent:sofia From:offline To:paused Reason:registered After:0s}",
			"agent.changed  {Agent:sofia From:paused To:ready Reason: After:0s}",
		)
		w := d.join("v1", "claims", "es")
		o := d.offer(w, "sofia")
		if o.Ring != 15*time.Second || o.Visit.ID != "v1" || o.Token == "" {
			t.Errorf("offer %+v", o)
		}
		time.Sleep(4 * time.Second)
		talk := d.answered(w, o)
		d.state("sofia", Talking, "", "")
		if talk.Agent() != "sofia" {
			t.Errorf("talk with %s", talk.Agent())
		}
		time.Sleep(time.Minute)
		talk.End(50*time.Second, 10*time.Second)
		talk.End(0, 0)
		d.state("sofia", WrapUp, "", "")
		time.Sleep(31 * time.Second)
		d.state("sofia", Ready, "", "")
		d.told(
			"visit.joined call-v1 {Visit:v1 Queue:claims Language:es Requires:map[claims:1] Goal:20s Short:5s Estimate:42s Class:routine}",
			"offer.made call-v1 {Visit:v1 Queue:claims Agent:sofia Why:longest ready, for 1s, with claims≥1, es≥1}",
			"offer.ended call-v1 {Visit:v1 Queue:claims Agent:sofia Result:answered Rang:4s}",
			"visit.ended call-v1 {Visit:v1 Queue:claims Language:es Result:answered Agent:sofia Tier:2 Reason: Waited:4s}",
			"talk.ended call-v1 {Visit:v1 Queue:claims Language:es Agent:sofia Tier:2 Talk:50s Hold:10s}",
			"agent.changed  {Agent:sofia From:ready To:reserved Reason: After:1s}",
			"agent.changed  {Agent:sofia From:reserved To:talking Reason: After:4s}",
			"agent.changed  {Agent:sofia From:talking To:wrapup Reason: After:1m0s}",
			"wrapup.ended  {Visit:v1 Part: Queue:claims Language:es Agent:sofia Took:30s}",
			"agent.changed  {Agent:sofia From:wrapup To:ready Reason: After:30s}",
		)
	})
}

func TestACallerWaitsForHisLanguage(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna", "bob")
		w := d.join("v1", "claims", "es")
		d.noOffer(w)
		time.Sleep(time.Minute)
		d.ready("sofia")
		o := d.offer(w, "sofia")
		if want := "first in line, for 1m0s, when an agent with claims≥1, es≥1 became ready"; o.Why != want {
			t.Errorf("why: %q, want %q", o.Why, want)
		}
		w.Leave(event.Abandoned)
	})
}

func TestNoAnswerKeepsThePlace(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna")
		first := d.join("v1", "claims", "en")
		time.Sleep(time.Second)
		second := d.join("v2", "claims", "en")
		o := d.offer(first, "anna")
		time.Sleep(o.Ring)
		first.Refused(o, event.OfferTimedOut)
		d.state("anna", Paused, "no_answer", "")
		d.noOffer(first)

		d.ready("bob") // the first in line is still the first
		d.noOffer(second)
		declined := d.offer(first, "bob")
		first.Refused(declined, event.OfferDeclined)
		d.state("bob", Paused, "declined", "")

		d.ready("anna") // another caller is better for both than the same again
		d.offer(second, "anna")
		second.Leave(event.Abandoned)
		again := d.offer(first, "anna")
		if again.Why != "offered before, but nobody else with claims≥1, en≥1 is ready" {
			t.Errorf("why: %q", again.Why)
		}
		if _, err := first.Answered(o); !errors.Is(err, ErrStale) {
			t.Errorf("the first offer's token: %v, want ErrStale", err)
		}
		d.answered(first, again).End(time.Second, 0)
	})
}

func TestLeavingAtAnyInstant(t *testing.T) {
	end := func(d *desk, w *Waiting) {
		w.Leave(event.Abandoned)
		w.Leave(event.FlowedOut)
		d.state("anna", Ready, "", "")
	}
	t.Run("in line", func(t *testing.T) {
		virtual(t, func(d *desk) {
			w := d.join("v1", "claims", "en")
			time.Sleep(3 * time.Second)
			w.Leave(event.Abandoned)
			w.Leave(event.Abandoned)
			d.told(
				"visit.joined call-v1 {Visit:v1 Queue:claims Language:en Requires:map[claims:1] Goal:20s Short:5s Estimate:42s Class:routine}",
				"visit.ended call-v1 {Visit:v1 Queue:claims Language:en Result:abandoned Agent: Tier:0 Reason: Waited:3s}",
			)
		})
	})
	t.Run("offer not taken from the channel", func(t *testing.T) {
		virtual(t, func(d *desk) {
			d.ready("anna")
			end(d, d.join("v1", "claims", "en"))
		})
	})
	t.Run("while the agent rings", func(t *testing.T) {
		virtual(t, func(d *desk) {
			d.ready("anna")
			w := d.join("v1", "claims", "en")
			o := d.offer(w, "anna")
			d.events.take()
			time.Sleep(2 * time.Second)
			end(d, w)
			d.told(
				"offer.ended call-v1 {Visit:v1 Queue:claims Agent:anna Result:withdrawn Rang:2s}",
				"visit.ended call-v1 {Visit:v1 Queue:claims Language:en Result:abandoned Agent: Tier:0 Reason: Waited:2s}",
				"agent.changed  {Agent:anna From:reserved To:ready Reason: After:2s}",
			)
			if _, err := w.Answered(o); !errors.Is(err, ErrStale) {
				t.Errorf("a late answer: %v, want ErrStale", err)
			}
			w.Refused(o, event.OfferTimedOut)
			d.state("anna", Ready, "", "")
			d.told()
		})
	})
	t.Run("after the answer", func(t *testing.T) {
		virtual(t, func(d *desk) {
			d.ready("anna")
			w := d.join("v1", "claims", "en")
			talk := d.answered(w, d.offer(w, "anna"))
			w.Leave(event.Abandoned)
			d.state("anna", Talking, "", "")
			talk.End(time.Second, 0)
		})
	})
}

func TestALeavingCallersAgentKeepsHisPlace(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna", "bob")
		w := d.join("v1", "claims", "en")
		d.offer(w, "anna")
		w.Leave(event.Abandoned)
		next := d.join("v2", "claims", "en")
		d.offer(next, "anna") // longer ready than bob, still
		next.Leave(event.Abandoned)
	})
}

func TestUrgentOvertakesByItsHeadStart(t *testing.T) {
	virtual(t, func(d *desk) {
		old := d.join("v1", "general", "en")
		time.Sleep(9*time.Minute + 59*time.Second)
		fresh := d.join("v2", "general", "en")
		time.Sleep(time.Second + time.Millisecond)
		urgent := d.join("v3", "urgent", "en")
		d.ready("anna")
		d.offer(old, "anna") // waited longer than the head start
		old.Leave(event.Abandoned)
		talk := d.answered(urgent, d.offer(urgent, "anna"))
		talk.End(time.Second, 0) // this queue gives no wrap-up
		d.offer(fresh, "anna")
		fresh.Leave(event.FlowedOut)
	})
}
