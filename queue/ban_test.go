package queue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// openStill opens a queue whose clock stands, until the test moves it.
func openStill(t *testing.T, cfg config.Redis) (*Queue, *time.Time) {
	t.Helper()
	clock := time.UnixMilli(1_000_000)
	q, err := openAt(t.Context(), cfg, "test", "n1", testLog, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q, &clock
}

func TestBans(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		q, clock := openStill(t, cfg)
		put := func(source string, d time.Duration) {
			t.Helper()
			if err := q.PutBan(ctx, source, d); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(when string, want map[string]time.Duration) {
			t.Helper()
			got, err := q.Bans(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		expect("at first", map[string]time.Duration{})
		put("192.0.2.1", time.Minute)
		put("2001:db8::", time.Hour)
		expect("two", map[string]time.Duration{"192.0.2.1": time.Minute, "2001:db8::": time.Hour})
		put("192.0.2.1", time.Second)
		expect("a longer one stays", map[string]time.Duration{"192.0.2.1": time.Minute, "2001:db8::": time.Hour})
		*clock = clock.Add(time.Minute)
		expect("one is over", map[string]time.Duration{"2001:db8::": 59 * time.Minute})
		// All but the last in one go: miniredis sorts them all at each step.
		source := func(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8, i&255) }
		const atOnce = maxBans - 20
		many := make([]redis.Z, atOnce)
		for i := range many {
			many[i] = redis.Z{Member: source(i), Score: float64(clock.Add(time.Minute).UnixMilli())}
		}
		if err := q.client.ZAdd(ctx, q.prefix+"bans", many...).Err(); err != nil {
			t.Fatal(err)
		}
		for i := atOnce; i < maxBans; i++ {
			put(source(i), time.Minute)
		}
		got, err := q.Bans(ctx)
		if err != nil || len(got) != maxBans || got["2001:db8::"] == 0 {
			t.Errorf("%d bans, %v, want %d with the longest among them", len(got), err, maxBans)
		}
	})
}
