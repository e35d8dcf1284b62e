package queue

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

func TestSnapshot(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		q, h := open(t, cfg, "n1")
		ctx := context.Background()
		at := func(ms int64) time.Time { return time.UnixMilli(ms) }
		for _, v := range []Visit{
			{ID: "1", Queue: "claims", Language: "en", Requires: Skills{"en": 1}, Joined: at(5000)},
			{ID: "2", Queue: "claims", Language: "en", Requires: Skills{"en": 2}, Joined: at(3000)},
			{ID: "3", Queue: "claims", Language: "en", Requires: Skills{"en": 1}, Joined: at(4000), HeadStart: time.Minute},
			{ID: "4", Queue: "claims", Language: "es", Requires: Skills{"es": 1}, Joined: at(9000)},
			{ID: "5", Queue: "a|b,c:1", Language: "de", Requires: Skills{"x|y": 1}, Joined: at(7000)},
		} {
			if err := q.Join(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range []struct {
			id     string
			skills Skills
			ready  bool
		}{
			{"anna", Skills{"es": 1}, true}, // rung for 4, who still counts as waiting
			{"bob", Skills{"fr": 1}, true},
			{"carl", nil, false},
			{"dora", Skills{"x|y": 1}, true}, // talks with 5, who does not
		} {
			if err := q.Register(ctx, a.id, a.skills, a.ready); err != nil {
				t.Fatal(err)
			}
		}
		for {
			if o := h.next(t).offer; o.Visit == "5" {
				if err := q.Answer(ctx, o.Visit, o.Token); err != nil {
					t.Fatal(err)
				}
				break
			}
		}

		got, err := q.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := Snapshot{
			Lines: []Line{
				{Queue: "claims", Language: "en", Waiting: 3, Oldest: at(3000)},
				{Queue: "claims", Language: "es", Waiting: 1, Oldest: at(9000)},
			},
			Agents: map[State]int{Reserved: 1, Ready: 1, Paused: 1, Talking: 1},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
