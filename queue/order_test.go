package queue

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// A step without an answer that reaches Redis after its contrary does nothing.
func TestStepsThatComeLate(t *testing.T) {
	ctx := context.Background()
	join := func(q *Queue) error { return q.Join(ctx, Visit{ID: "v1", Queue: "claims", Joined: time.Now()}) }
	leave := func(q *Queue) error { return q.Leave(ctx, "v1") }
	register := func(q *Queue) error { return q.Register(ctx, "anna", nil, true) }
	unregister := func(q *Queue) error { return q.Unregister(ctx, "anna") }
	type step = func(*Queue) error
	tests := []struct {
		name    string
		before  []step
		late    step
		after   []step // and then the late one comes
		waiting int
		agent   State
	}{
		{"a join after leaving", nil, join, []step{leave}, 0, Offline},
		{"a join of one of two", nil, join, []step{leave, func(q *Queue) error {
			return q.Join(ctx, Visit{ID: "v2", Queue: "claims", Joined: time.Now()})
		}}, 1, Offline},
		{"a join in time", nil, join, nil, 1, Offline},
		{"a registration after the end of it", nil, register, []step{unregister}, 0, Offline},
		{"another one", []step{register}, register, []step{unregister}, 0, Offline},
		{"the end of a registration after the next", []step{register}, unregister, []step{register}, 0, Ready},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
				q, _ := open(t, cfg, "n1")
				w := &wire{}
				q.client.AddHook(w)
				take := func(steps ...step) {
					t.Helper()
					for _, s := range steps {
						if err := s(q); err != nil {
							t.Fatal(err)
						}
					}
				}
				take(tt.before...)
				w.hold = true
				if err := tt.late(q); !errors.Is(err, errNoAnswer) {
					t.Fatal(err)
				}
				w.hold = false
				take(tt.after...)
				_ = q.client.Do(ctx, w.kept...).Err() // nobody hears it
				s, err := q.Snapshot(ctx)
				if err != nil {
					t.Fatal(err)
				}
				waiting := 0
				for _, l := range s.Lines {
					waiting += l.Waiting
				}
				agents, err := q.Agents(ctx, []string{"anna"})
				if err != nil {
					t.Fatal(err)
				}
				if waiting != tt.waiting || agents[0].State != tt.agent {
					t.Errorf("%d wait, anna is %s; want %d, %s", waiting, agents[0].State, tt.waiting, tt.agent)
				}
			})
		})
	}
}

// A step whose context has ended is not taken.
func TestAStepNobodyWantsAnyMore(t *testing.T) {
	q, _ := open(t, config.Redis{}, "n1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := q.Register(ctx, "anna", nil, true); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it to be cancelled", err)
	}
}

// What was not answered in time is not sent again behind the asker's back.
func TestNothingIsSentTwice(t *testing.T) {
	stall := queuetest.NewStall(t)
	q, _ := open(t, stall.Redis, "n1")
	stall.HoldNext("v1")
	if err := q.Leave(context.Background(), "v1"); err == nil {
		t.Error("the command that is held up was answered")
	}
	stall.Release()
}

// A node that starts with an empty Redis counts from the beginning, and must
// not be held up by what an earlier life of it wrote there meanwhile.
func TestStartingAfterRedisLostEverything(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		old, _ := open(t, cfg, "n1")
		second, _ := open(t, cfg, "n1") // two starts, so that the next begins lower
		if err := old.client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		for _, agent := range []string{"anna", "bob"} {
			if err := errors.Join(second.Register(ctx, agent, nil, true), second.Leave(ctx, "v0")); err != nil {
				t.Fatal(err)
			}
		}
		third, h := open(t, cfg, "n1")
		if err := errors.Join(
			third.Register(ctx, "anna", nil, true),
			third.Join(ctx, Visit{ID: "v1", Queue: "claims", Joined: time.Now()}),
		); err != nil {
			t.Fatal(err)
		}
		if o := nextOffer(t, h); o.Visit != "v1" || o.Agent != "anna" {
			t.Errorf("%+v", o)
		}
	})
}

// What two nodes are told of an agent who registers at one and then the other.
func TestASessionThatMoves(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		clock := time.UnixMilli(1_000_000)
		at := func(node string) (*Queue, *recorder) {
			q, err := openAt(ctx, cfg, "test", node, testLog, func() time.Time { return clock })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = q.Close() })
			r := &recorder{messages: make(chan message, 100)}
			q.Listen(r)
			return q, r
		}
		q1, told1 := at("n1")
		q2, told2 := at("n2")
		told := func(r *recorder, want ...string) {
			t.Helper()
			var got []string
			for range want {
				got = append(got, r.next(t).text())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}

		must(q1.Register(ctx, "anna", nil, false))
		must(q1.SetPaused(ctx, "anna", "lunch"))
		told(told1, `change anna offline paused "registered" 0 `)
		clock = clock.Add(time.Minute)
		must(q2.Register(ctx, "anna", nil, true))
		told(told1, `change anna paused offline "" 0 `)
		told(told2, `change anna offline paused "lunch" 0 `)

		// The time in a state is told once, by the node that saw its end.
		must(q2.SetReady(ctx, "anna"))
		told(told2, `change anna paused ready "" 60000 `)
		must(q2.Join(ctx, Visit{ID: "v1", Queue: "claims", Language: "es", Joined: clock}))
		told(told2, `change anna ready reserved "" 0 v1`)
		o := told2.next(t).offer
		must(q2.Answer(ctx, "v1", o.Token))
		clock = clock.Add(time.Minute)
		must(q1.Register(ctx, "anna", nil, true))
		told(told2, `change anna reserved talking "" 0 v1`, `change anna talking offline "" 0 `)
		told(told1, `change anna offline talking "" 0 `)
		if _, err := q2.Hangup(ctx, "v1", o.Token, true); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Second)
		must(q2.Register(ctx, "anna", nil, true))
		told(told1, `change anna talking wrapup "" 60000 v1`, `change anna wrapup offline "" 0 `)
		told(told2, `change anna offline wrapup "" 0 `)
		must(q2.EndWrapUp(ctx, "anna", o.Token))
		told(told2, `change anna wrapup ready "" 1000 v1`)
		must(q2.Unregister(ctx, "anna"))
		told(told2, `change anna ready offline "" 0 `)
	})
}

// However many have refused each other: who has not comes first.
func TestBehindManyRefusals(t *testing.T) {
	ctx := context.Background()
	const many = 20
	t.Run("of one agent", func(t *testing.T) {
		queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
			q, h := open(t, cfg, "n1")
			for i := range many {
				v := Visit{ID: fmt.Sprintf("v%02d", i), Queue: "claims", Joined: time.UnixMilli(int64(1000 + i))}
				if err := q.Join(ctx, v); err != nil {
					t.Fatal(err)
				}
			}
			if err := q.Register(ctx, "anna", nil, false); err != nil {
				t.Fatal(err)
			}
			for i := range many + 1 {
				if err := q.SetReady(ctx, "anna"); err != nil {
					t.Fatal(err)
				}
				o := nextOffer(t, h)
				want, why := fmt.Sprintf("v%02d", i%many), ByAgent
				if i == many {
					why = Again // the first of them all
				}
				if o.Visit != want || o.Why != why {
					t.Fatalf("offered %s (%s), want %s (%s)", o.Visit, o.Why, want, why)
				}
				if err := q.Refuse(ctx, o.Visit, o.Token, "no_answer"); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
	t.Run("of one visit", func(t *testing.T) {
		queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
			q, h := open(t, cfg, "n1")
			if err := q.Join(ctx, Visit{ID: "v1", Queue: "claims", Joined: time.Now()}); err != nil {
				t.Fatal(err)
			}
			refuse := func(agent string) {
				t.Helper()
				o := nextOffer(t, h)
				if o.Agent != agent {
					t.Fatalf("offered to %s, want %s", o.Agent, agent)
				}
				if err := q.Refuse(ctx, "v1", o.Token, "no_answer"); err != nil {
					t.Fatal(err)
				}
			}
			for i := range many {
				if err := q.Register(ctx, fmt.Sprintf("a%02d", i), nil, true); err != nil {
					t.Fatal(err)
				}
				refuse(fmt.Sprintf("a%02d", i))
			}
			// While one more is rung, all who refused and then a new one become ready.
			if err := q.Register(ctx, "holder", nil, true); err != nil {
				t.Fatal(err)
			}
			for i := range many {
				if err := q.SetReady(ctx, fmt.Sprintf("a%02d", i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := q.Register(ctx, "fresh", nil, true); err != nil {
				t.Fatal(err)
			}
			refuse("holder")
			refuse("fresh")
			refuse("a00")
		})
	})
}

// nextOffer waits for the next offer, whatever else is told before it.
func nextOffer(t *testing.T, h *recorder) Offer {
	t.Helper()
	for {
		if o := h.next(t).offer; o.Visit != "" {
			return o
		}
	}
}
