package queue

import (
	"context"
	"log/slog"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// BenchmarkCall is what one call costs here from joining to the agent's being
// ready again: join, offer, answer, hang-up, end of wrap-up, each with its
// message through the inbox. CPU of the whole process; for redis-server that
// is only our side.
func BenchmarkCall(b *testing.B) {
	b.Run("embedded", func(b *testing.B) { benchmarkCall(b, config.Redis{}) })
	b.Run("redis", func(b *testing.B) { benchmarkCall(b, queuetest.Server(b)) })
}

func benchmarkCall(b *testing.B, cfg config.Redis) {
	ctx := context.Background()
	q, err := Open(ctx, cfg, "bench", "n1", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	h := &recorder{messages: make(chan message, 100)}
	q.Listen(h)
	needs := Skills{"claims": 1, "en": 1}
	for _, agent := range []string{"anna", "bob", "carl"} {
		if err := q.Register(ctx, agent, Skills{"claims": 2, "en": 3, "es": 1}, true); err != nil {
			b.Fatal(err)
		}
		h.next(b) // offline to ready
	}
	b.ReportAllocs()
	begin := cpu(b)
	i := 0
	for b.Loop() {
		i++
		id := strconv.Itoa(i)
		if err := q.Join(ctx, Visit{ID: id, Queue: "claims", Language: "en", Requires: needs, Joined: time.Now()}); err != nil {
			b.Fatal(err)
		}
		h.next(b) // ready to reserved
		offer := h.next(b).offer
		if err := q.Answer(ctx, id, offer.Token); err != nil {
			b.Fatal(err)
		}
		if _, err := q.Hangup(ctx, id, offer.Token, true); err != nil {
			b.Fatal(err)
		}
		if err := q.EndWrapUp(ctx, offer.Agent, offer.Token); err != nil {
			b.Fatal(err)
		}
		h.next(b) // reserved to talking
		h.next(b) // talking to wrap-up
		h.next(b) // wrap-up to ready
	}
	b.ReportMetric(float64((cpu(b)-begin).Microseconds())/1000/float64(i), "cpu-ms/call")
}

// cpu is what this process has used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
