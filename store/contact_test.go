package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/google/go-cmp/cmp"
)

// What the databases find is what the definition says, held against random callers
// who call often, at the same moment too, and are handed on within a call.
func TestFirstContacts(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, random := d.open(t, "n1"), rand.New(rand.NewPCG(1, 2))
		const within = 50 * time.Second
		log := new(story)
		for i := range 300 {
			call := fmt.Sprint("c", i)
			log.tell(call, event.CallStarted{CallerHash: []string{"", "a", "b", "c", "d"}[random.IntN(5)]})
			for n := range 1 + random.IntN(2) {
				id, queue := fmt.Sprintf("%s-%d", call, n), []string{"claims", "urgent"}[random.IntN(2)]
				result := []event.VisitResult{event.Answered, event.Abandoned}[random.IntN(2)]
				log.tell(call, event.VisitJoined{Visit: id, Queue: queue}, event.VisitEnded{Visit: id, Queue: queue, Result: result})
				at := noon.Add(time.Duration(random.IntN(3000)) * time.Second)
				for _, ev := range log.events[len(log.events)-2:] {
					ev.At = at
					log.events[ev.Seq-1] = ev
				}
			}
		}
		must(t, s.History(testQueues).Apply(t.Context(), fromN1, log.events))
		must(t, s.History(testQueues).Apply(t.Context(), Origin{"n2", "n2"}, // of which only this is known
			new(story).tell("c1", event.WrapUpEnded{Visit: "stub", Queue: "claims"}).events))
		from, to := noon.Add(500*time.Second), noon.Add(2500*time.Second)
		all, err := collect(s.Visits(t.Context(), noon, noon.Add(time.Hour)))
		must(t, err)
		got, want := map[string]bool{}, firstContacts(all, from, to, within)
		for c, err := range s.FirstContacts(t.Context(), from, to, within) {
			must(t, err)
			if got[c.ID] = c.Again; c.Queue == "" || c.CallerHash == "" || !slices.ContainsFunc(all, func(v Visit) bool { return cmp.Equal(v, c.Visit) }) {
				t.Errorf("got %+v", c)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("again, by visit (-want +got):\n%s", diff)
		}
		again := 0
		for _, b := range want {
			if b {
				again++
			}
		}
		if again < 10 || len(want)-again < 10 {
			t.Errorf("%d first contacts, %d with another call: too few to show anything", len(want), again)
		}
	})
}

// firstContacts is the definition: of visits in order, whether each first contact's
// caller called again.
func firstContacts(all []Visit, from, to time.Time, within time.Duration) map[string]bool {
	again := map[string]bool{}
	for i, v := range all {
		same := func(o Visit) bool {
			return o.CallerHash == v.CallerHash && o.Queue == v.Queue && o.Joined.Sub(v.Joined).Abs() <= within
		}
		before := func(o Visit) bool { return same(o) && o.Result == event.Answered }
		if v.CallerHash == "" || v.Result != event.Answered || v.Joined.Before(from) || !v.Joined.Before(to) || slices.ContainsFunc(all[:i], before) {
			continue
		}
		again[v.ID] = slices.ContainsFunc(all[i+1:], func(o Visit) bool { return same(o) && o.Call != v.Call })
	}
	return again
}
