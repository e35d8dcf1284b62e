package store

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
)

// benchOnBoth is onBoth for benchmarks.
func benchOnBoth(b *testing.B, bench func(b *testing.B, d site)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, site{dir: b.TempDir(), sealer: newSealer()}) })
	b.Run("postgres", func(b *testing.B) {
		bench(b, site{config: config.Store{Postgres: server.Database(b)}, sealer: newSealer()})
	})
}

// BenchmarkApply takes in batches of 100 events: what 200 ms of a busy node
// are. 500 events/s leave 2 ms for each.
func BenchmarkApply(b *testing.B) {
	benchOnBoth(b, func(b *testing.B, d site) {
		h := d.open(b, "n1").History(testQueues)
		all := day(rand.New(rand.NewPCG(1, 2)), 20000, d.sealer).events
		b.ResetTimer()
		n := 0
		for i := 0; i < b.N; i++ {
			if n+100 > len(all) {
				b.Fatal("too few events")
			}
			must(b, h.Apply(b.Context(), fromN1, all[n:n+100]))
			n += 100
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/event")
	})
}

// BenchmarkVisits reads a day of 100,000 calls.
func BenchmarkVisits(b *testing.B) {
	benchOnBoth(b, func(b *testing.B, d site) {
		s := d.open(b, "n1")
		h := s.History(testQueues)
		var events []event.Event
		log := new(story)
		for i := range 100_000 {
			id := time.Duration(i).String()
			log.events = log.events[:0]
			log.tell(id, event.CallStarted{Number: "n", CallerHash: id}, event.VisitJoined{Visit: id, Queue: "claims", Language: "en", Requires: map[string]int{"claims": 1}},
				event.VisitEnded{Visit: id, Queue: "claims", Result: event.Answered, Agent: "a", Waited: time.Second},
				event.TalkEnded{Visit: id, Queue: "claims", Agent: "a", Talk: time.Second})
			for _, ev := range log.events {
				ev.Seq, ev.At = uint64(len(events)+1), noon.Add(time.Duration(i)*time.Millisecond)
				events = append(events, ev)
			}
		}
		for len(events) > 0 {
			n := min(10000, len(events))
			must(b, h.Apply(b.Context(), fromN1, events[:n]))
			events = events[n:]
		}
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			n := 0
			for _, err := range s.Visits(b.Context(), noon, noon.Add(time.Hour)) {
				must(b, err)
				n++
			}
			if n != 100_000 {
				b.Fatal(n)
			}
		}
	})
}
