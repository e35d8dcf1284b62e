package router

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
)

// What an agent asks for while he talks comes after the talk.
func TestAskedWhileTalking(t *testing.T) {
	ctx := context.Background()
	pause := func(d *desk) error { return d.SetState(ctx, "anna", Paused, "key") }
	ready := func(d *desk) error { return d.SetState(ctx, "anna", Ready, "") }
	gone := func(d *desk) error { d.Unregistered("anna"); return nil }
	back := func(d *desk) error { d.Registered("anna"); return nil }
	done := func(d *desk) error { return d.WrapUpDone(ctx, "anna") }
	type steps []func(*desk) error

	tests := []struct {
		name     string
		ringing  steps // while his phone rings
		talking  steps
		wrapping steps // after the talk
		want     State
		reason   string
	}{
		{name: "nothing", want: WrapUp},
		{name: "wrap-up done", wrapping: steps{done}, want: Ready},
		{name: "ready in wrap-up", wrapping: steps{ready}, want: Ready},
		{name: "pause in wrap-up", wrapping: steps{pause}, want: Paused, reason: "key"},
		{name: "pause while ringing", ringing: steps{pause}, wrapping: steps{done}, want: Paused, reason: "key"},
		{name: "pause while talking", talking: steps{pause}, wrapping: steps{done}, want: Paused, reason: "key"},
		{name: "pause, taken back", ringing: steps{pause}, talking: steps{ready}, wrapping: steps{done}, want: Ready},
		{name: "phone gone", talking: steps{gone}, want: Offline},
		{name: "phone gone and back", talking: steps{gone, back}, wrapping: steps{done}, want: Ready},
		{name: "phone gone in wrap-up", wrapping: steps{gone}, want: Offline},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			virtual(t, func(d *desk) {
				all := func(s steps) {
					for _, step := range s {
						if err := step(d); err != nil {
							t.Fatal(err)
						}
					}
				}
				d.ready("anna")
				w := d.join("v1", "claims", "en")
				o := d.offer(w, "anna")
				all(tt.ringing)
				d.state("anna", Reserved, "", pendingOf(tt.ringing))
				talk := d.answered(w, o)
				all(tt.talking)
				talk.End(time.Second, 0)
				all(tt.wrapping)
				d.state("anna", tt.want, tt.reason, "")
			})
		})
	}
}

// pendingOf is the pause that waits after these steps of the table.
func pendingOf[T any](ringing []T) string {
	if len(ringing) > 0 {
		return "key"
	}
	return ""
}

func TestRegisteringAgainChangesNothing(t *testing.T) {
	virtual(t, func(d *desk) {
		d.Registered("anna")
		d.state("anna", Paused, "registered", "")
		d.ready("anna")
		d.Registered("anna")
		d.state("anna", Ready, "", "")
		d.Unregistered("anna")
		d.state("anna", Offline, "", "")
		d.Unregistered("anna")
		d.state("anna", Offline, "", "")
	})
}

func TestReadyOnRegister(t *testing.T) {
	virtual(t, func(d *desk) {
		d.readyOnRegister = true
		w := d.join("v1", "claims", "en")
		d.Registered("anna")
		d.offer(w, "anna")
		w.Leave(event.Abandoned)
		d.state("anna", Ready, "", "")
	})
}

// A wrap-up that ended early leaves no limit behind that could end the next.
func TestALimitEndsItsOwnWrapUpOnly(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna")
		talk := func(id string) {
			w := d.join(id, "claims", "en")
			d.answered(w, d.offer(w, "anna")).End(time.Second, 0)
		}
		talk("v1")
		time.Sleep(20 * time.Second)
		if err := d.WrapUpDone(context.Background(), "anna"); err != nil {
			t.Fatal(err)
		}
		talk("v2")
		time.Sleep(29 * time.Second) // 49 s after the first wrap-up began
		d.state("anna", WrapUp, "", "")
		time.Sleep(2 * time.Second)
		d.state("anna", Ready, "", "")
	})
}

func TestErrors(t *testing.T) {
	virtual(t, func(d *desk) {
		ctx := context.Background()
		d.Registered("bob")
		d.Registered("nobody")
		d.Unregistered("nobody")
		_, noQueue := d.Join(ctx, Visit{ID: "v1", Queue: "none", Language: "en"})
		tests := []struct {
			name      string
			got, want error
		}{
			{"no such queue", noQueue, ErrUnknownQueue},
			{"no such agent", d.SetState(ctx, "nobody", Ready, ""), ErrUnknownAgent},
			{"no such agent's wrap-up", d.WrapUpDone(ctx, "nobody"), ErrUnknownAgent},
			{"no phone, ready", d.SetState(ctx, "anna", Ready, ""), ErrNotRegistered},
			{"no phone, pause", d.SetState(ctx, "anna", Paused, "key"), ErrNotRegistered},
			{"a state nobody sets", d.SetState(ctx, "bob", Talking, ""), ErrUnknownState},
			{"no wrap-up", d.WrapUpDone(ctx, "bob"), ErrNotInWrapUp},
		}
		for _, tt := range tests {
			if !errors.Is(tt.got, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
			}
		}
	})
}

func TestAgentsAreTheConfiguredOnes(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("sofia")
		infos, err := d.Agents(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(infos) != 3 || infos[0].ID != "anna" || infos[1].ID != "bob" || infos[2].ID != "sofia" {
			t.Fatalf("agents %+v", infos)
		}
		if a := infos[0]; a.State != Offline || !a.Since.IsZero() || a.Name != "Anna" || a.Languages["en"] != 3 {
			t.Errorf("one who was never here: %+v", a)
		}
		if a := infos[2]; a.State != Ready || time.Since(a.Since) != time.Second || a.Skills["claims"] != 3 {
			t.Errorf("one who is ready: %+v", a)
		}
	})
}

var _ queue.Handler = inbox{}
