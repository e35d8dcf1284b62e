package report

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
)

// A day of 100,000 calls, with 400,000 changes of agents' states, from SQLite.
func BenchmarkDay(b *testing.B) {
	const calls = 100_000
	s, err := store.Open(b.Context(), store.Options{DataDir: b.TempDir(), Node: "n1"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	day := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	history, seq := s.History(testQueues), uint64(0)
	for batch := range 20 {
		events := someCalls(batch*calls/20, calls/20, day, 24*time.Hour/calls)
		for i := range events {
			seq++
			events[i].Seq = seq
		}
		if err := history.Apply(b.Context(), store.Origin{Node: "n1", Log: "bench"}, events); err != nil {
			b.Fatal(err)
		}
	}
	r := &Reporter{Source: s, Queues: testQueues}
	for _, by := range [][]Dimension{nil, {ByQueue, ByLanguage}, {ByAgent}} {
		b.Run(fmt.Sprint("by", by), func(b *testing.B) {
			for b.Loop() {
				made, err := r.Report(b.Context(), Query{From: day, To: day.AddDate(0, 0, 1), Interval: Quarter, By: by})
				if err != nil || made.Total.Offered != calls {
					b.Fatal(err, made.Total.Offered)
				}
				if err := made.Write(io.Discard, CSV); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func someCalls(first, n int, day time.Time, apart time.Duration) []event.Event {
	var all []event.Event
	for i := first; i < first+n; i++ {
		at := day.Add(time.Duration(i) * apart).Truncate(time.Millisecond)
		call, visit := fmt.Sprintf("call%022d", i), fmt.Sprintf("visit%021d", i)
		queue, language, agent := [...]string{"claims", "urgent"}[i%2], [...]string{"en", "es", "de"}[i%3], fmt.Sprintf("agent%03d", i%200)
		after := func(d time.Duration, call string, f event.Fact) {
			all = append(all, event.Event{At: at.Add(d), Call: call, Fact: f})
		}
		after(0, call, event.CallStarted{Number: "helpline", CallerHash: fmt.Sprintf("%032d", i*7%70_000)})
		after(0, call, event.VisitJoined{Visit: visit, Queue: queue, Language: language, Requires: map[string]int{queue: 1, language: 1}})
		after(10*time.Second, call, event.VisitEnded{Visit: visit, Queue: queue, Language: language, Result: event.Answered, Agent: agent, Waited: 10 * time.Second})
		after(70*time.Second, call, event.TalkEnded{Visit: visit, Queue: queue, Language: language, Agent: agent, Talk: time.Minute})
		after(80*time.Second, call, event.WrapUpEnded{Visit: visit, Queue: queue, Agent: agent, Took: 10 * time.Second})
		after(80*time.Second, call, event.CallEnded{Class: "caller", Reason: "hung_up", Duration: 80 * time.Second})
		state, since := "ready", -20*time.Second
		for _, next := range []struct {
			state string
			at    time.Duration
		}{{"reserved", 5 * time.Second}, {"talking", 10 * time.Second}, {"wrapup", 70 * time.Second}, {"ready", 80 * time.Second}} {
			after(next.at, "", event.AgentChanged{Agent: agent, From: state, To: next.state, After: next.at - since})
			state, since = next.state, next.at
		}
	}
	return all
}
