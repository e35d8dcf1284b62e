package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/google/go-cmp/cmp"
)

// spentBy adds up an agent's time by state.
func spentBy(t *testing.T, s *Store, agent string) map[string]time.Duration {
	t.Helper()
	spent := map[string]time.Duration{}
	for a, err := range s.AgentTime(t.Context(), time.UnixMilli(0), after(1<<30), true) {
		must(t, err)
		if a.Agent == agent {
			spent[a.State] += a.Spent
		}
	}
	return spent
}

// manyStates is a log of agents who change often, with the time each spent in each state
// by quarter, counted second by second.
func manyStates(rnd *rand.Rand) (*story, map[AgentTime]time.Duration) {
	log, want := new(story), map[AgentTime]time.Duration{}
	states := []string{"ready", "talking", "wrapup", "paused"}
	for a := range 5 {
		agent, at, was := fmt.Sprint("a", a), noon, "offline"
		for range 40 {
			took := time.Duration(rnd.IntN(3000)) * time.Second
			for s := range int(took / time.Second) {
				want[AgentTime{at.Add(time.Duration(s) * time.Second).Truncate(quarter), agent, was, 0}] += time.Second
			}
			at = at.Add(took)
			now := states[rnd.IntN(len(states))]
			log.tell("", event.AgentChanged{Agent: agent, From: was, To: now, After: took})
			log.events[len(log.events)-1].At = at
			was = now
		}
	}
	return log, want
}

func TestAgentTimeIsTheSumOfStates(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		log, want := manyStates(rand.New(rand.NewPCG(1, 2)))
		must(t, s.History(testQueues).Apply(ctx, fromN1, log.events))
		got, sums, wantSums := map[AgentTime]time.Duration{}, map[AgentTime]time.Duration{}, map[AgentTime]time.Duration{}
		for a, err := range s.AgentTime(ctx, noon, after(1<<30), true) {
			must(t, err)
			got[AgentTime{a.Quarter, a.Agent, a.State, 0}] = a.Spent
			wantSums[AgentTime{a.Quarter, "", a.State, 0}] += a.Spent
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for a, err := range s.AgentTime(ctx, noon, after(1<<30), false) {
			must(t, err)
			sums[AgentTime{a.Quarter, "", a.State, 0}] = a.Spent
		}
		if diff := cmp.Diff(wantSums, sums); diff != "" {
			t.Error(diff)
		}
	})
}

// A database that was filled before agents' time was summed up gets the sums with
// the migration, as if they had been there always.
func TestMigrationSumsAgentTime(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		log, _ := manyStates(rand.New(rand.NewPCG(3, 4)))
		must(t, s.History(testQueues).Apply(ctx, fromN1, log.events))
		want := dump(t, s)
		p, err := s.migrator()
		must(t, err)
		_, err = p.DownTo(ctx, 2)
		must(t, err)
		_, err = p.Up(ctx)
		must(t, err)
		got := dump(t, s)
		if diff := cmp.Diff(want["agent_time"], got["agent_time"]); diff != "" {
			t.Error(diff)
		}
		for a, err := range s.AgentsNow(ctx) {
			must(t, err)
			if last := log.events[40*int(a.Agent[1]-'0')+39]; !a.At.Equal(last.At) || a.State != last.Fact.(event.AgentChanged).To {
				t.Errorf("%+v, want that of %+v", a, last)
			}
		}
	})
}
