package router

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/event"
)

func (d *desk) engage(call string) *Own {
	d.t.Helper()
	o, err := d.Engage(context.Background(), "anna", call)
	if err != nil {
		d.t.Fatal(err)
	}
	return o
}

// Who is on the phone by himself is offered nobody, and is what he was afterwards.
func TestEngagedAgentIsOfferedNobody(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna")
		first, second := d.engage("own-1"), d.engage("own-2")
		d.state("anna", Talking, "", "")
		caller := d.join("v1", "claims", "en")
		first.End()
		first.End()
		d.noOffer(caller)
		d.state("anna", Talking, "", "")
		second.End()
		d.offer(caller, "anna")
		caller.Leave(event.Abandoned)
		d.state("anna", Ready, "", "")

		if _, err := d.Engage(context.Background(), "bob", "own-3"); !errors.Is(err, ErrNotRegistered) {
			t.Errorf("without a phone: %v", err)
		}
		if _, err := d.Engage(context.Background(), "nobody", "own-4"); !errors.Is(err, ErrUnknownAgent) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// What he is before and does meanwhile, and what he is afterwards.
func TestStateAfterAnOwnCall(t *testing.T) {
	set := func(to State) func(*desk) {
		return func(d *desk) {
			if err := d.SetState(context.Background(), "anna", to, "lunch"); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name              string
		before, meanwhile func(*desk)
		want              State
		reason            string
	}{
		{"ready", set(Ready), func(*desk) {}, Ready, ""},
		{"paused", set(Paused), func(*desk) {}, Paused, "lunch"},
		{"asks for a pause", set(Ready), set(Paused), Paused, "lunch"},
		{"ends his pause", set(Paused), set(Ready), Ready, ""},
		{"his phone goes", set(Ready), func(d *desk) { d.Unregistered("anna") }, Offline, ""},
		{"paused, his phone comes back", set(Paused), func(d *desk) { d.Unregistered("anna"); d.Registered("anna") }, Paused, "lunch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(d *desk) {
				d.Registered("anna")
				c.before(d)
				own := d.engage("own")
				d.is(Talking)
				c.meanwhile(d)
				d.is(Talking)
				own.End()
				d.state("anna", c.want, c.reason, "")
			})
		})
	}
}

// is checks what anna is, whatever else is known of her.
func (d *desk) is(want State) {
	d.t.Helper()
	synctest.Wait()
	all, err := d.Agents(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	if all[0].State != want {
		d.t.Errorf("%s is %s, want %s", all[0].ID, all[0].State, want)
	}
}

// A wrap-up goes on beside an own call, and so does a talk.
func TestOwnCallBesideAVisit(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna")
		w := d.join("v1", "claims", "en")
		talk := d.answered(w, d.offer(w, "anna"))
		consult := d.engage("own-1")
		talk.End(time.Minute, 0)
		d.state("anna", WrapUp, "", "")
		consult.End()
		d.state("anna", WrapUp, "", "")

		longer := d.engage("own-2")
		d.state("anna", WrapUp, "", "")
		time.Sleep(31 * time.Second) // past the limit of the wrap-up
		d.state("anna", Talking, "", "")
		longer.End()
		d.state("anna", Ready, "", "")
	})
}

func TestCallsOutsideAreCounted(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna")
		out := func(want error) *Own {
			t.Helper()
			h, err := d.CallOutside(context.Background(), "anna", "own", 4, 2)
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			return h
		}
		first, second := out(nil), out(nil)
		out(ErrAtOnce).End()
		first.End()
		out(nil).End()
		second.End()
		out(nil).End()
		out(ErrPerHour)
		d.state("anna", Ready, "", "")
		time.Sleep(time.Hour)
		out(nil).End()
	})
}
