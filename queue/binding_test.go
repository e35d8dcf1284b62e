package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

func TestBindings(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		q, clock := openStill(t, cfg)
		put := func(contact, value string, lasts time.Duration) {
			t.Helper()
			if err := q.PutBinding(ctx, "anna", contact, clock.Add(lasts), []byte(value), ""); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(when string, want ...string) {
			t.Helper()
			values, err := q.Bindings(ctx, "anna")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range values {
				got = append(got, string(v))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}

		expect("at first")
		put("sip:anna@10.0.0.2", "desk \x00\n phone", time.Minute)
		put("sip:anna@10.0.0.1", "mobile", time.Second)
		expect("two phones", "mobile", "desk \x00\n phone")
		put("sip:anna@10.0.0.2", "desk again", time.Minute)
		expect("registered again", "mobile", "desk again")
		*clock = clock.Add(time.Second)
		expect("one has expired", "desk again")
		put("sip:anna@10.0.0.3", "third", time.Minute)
		if n := q.client.HLen(ctx, q.prefix+"bind:anna").Val(); n != 2 {
			t.Errorf("%d bindings are kept, the expired one too", n)
		}
		remove := func(contact string, lasts time.Duration) {
			t.Helper()
			if err := q.RemoveBinding(ctx, "anna", contact, clock.Add(lasts)); err != nil {
				t.Fatal(err)
			}
		}
		remove("sip:anna@10.0.0.3", time.Minute-time.Millisecond)
		expect("one that was put again is not removed by who knew the one before", "desk again", "third")
		for range 2 {
			remove("sip:anna@10.0.0.2", time.Hour)
		}
		expect("one removed", "third")
		if ttl := q.client.PTTL(ctx, q.prefix+"bind:anna").Val(); ttl <= time.Minute || ttl > time.Hour+time.Minute {
			t.Errorf("what is left stays for %s", ttl)
		}
	})
}

func TestSenders(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		q, clock := openStill(t, cfg)
		put := func(user, sender string, lasts time.Duration) {
			t.Helper()
			if err := q.PutBinding(ctx, user, "sip:"+user, clock.Add(lasts), []byte("x"), sender); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(when string, want ...string) {
			t.Helper()
			got, err := q.Senders(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		expect("at first")
		put("anna", "one", time.Minute)
		put("ben", "one", time.Second)
		put("sofia", "two", time.Second)
		put("maria", "", time.Minute)
		expect("two places, one of two phones", "one", "two")
		*clock = clock.Add(time.Second)
		expect("the later of two phones counts", "one")
		put("sofia", "two", time.Second)
		expect("again", "one", "two")
		*clock = clock.Add(time.Minute)
		expect("at last")
		put("sofia", "two", time.Second)
		if n := q.client.ZCard(ctx, q.prefix+"senders").Val(); n != 1 {
			t.Errorf("%d senders are kept, expired ones too", n)
		}
	})
}

// A user whose phone comes from ever other places takes no room without end, and nobody
// else's place.
func TestSendersAreBounded(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		q, clock := openStill(t, cfg)
		put := func(user string, n int, lasts time.Duration) {
			t.Helper()
			if err := q.PutBinding(ctx, user, "sip:"+user, clock.Add(lasts), []byte("x"), fmt.Sprintf("p%03d", n)); err != nil {
				t.Fatal(err)
			}
		}
		put("ben", 1, time.Second)
		for i := range 100 {
			put("anna", i, time.Minute+time.Duration(i)*time.Second)
		}
		got, err := q.Senders(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"p001"}
		for i := 80; i < 100; i++ {
			want = append(want, fmt.Sprintf("p%03d", i))
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
			t.Error(diff)
		}
		if ttl := q.client.PTTL(ctx, q.prefix+"senders:anna").Val(); ttl <= 0 {
			t.Errorf("where anna was stays for %s", ttl)
		}
	})
}
