package router

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func (d *desk) hold(name, agent string) *Held {
	d.t.Helper()
	h, err := d.Hold(context.Background(), Visit{ID: "v1", Call: "call-v1", Queue: "claims", Language: "es"}, name, agent)
	if err != nil {
		d.t.Fatal(err)
	}
	return h
}

// Who is held is offered to nobody, and is what he was when he is let go.
func TestAnAgentHeldByName(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna", "bob")
		held := d.hold("1", "anna")
		d.state("anna", Reserved, "", "")
		first, second := d.join("w1", "claims", "en"), d.join("w2", "claims", "en")
		offer := d.offer(first, "bob")
		d.noOffer(second)
		for _, busy := range []string{"anna", "bob"} {
			if _, err := d.Hold(context.Background(), Visit{ID: "v2"}, "1", busy); !errors.Is(err, ErrBusy) {
				t.Errorf("%s, who is rung, could be held: %v", busy, err)
			}
		}
		held.Release()
		d.offer(second, "anna")
		second.Leave("abandoned")

		if err := d.SetState(context.Background(), "anna", Paused, "lunch"); err != nil {
			t.Fatal(err)
		}
		held = d.hold("2", "anna")
		if err := held.Answered(); err != nil {
			t.Fatal(err)
		}
		d.state("anna", Talking, "", "lunch")
		held.Release()
		held.Release()
		d.state("anna", Paused, "lunch", "")

		d.answered(first, offer).End(time.Second, 0)
		d.state("bob", WrapUp, "", "")
		if _, err := d.Hold(context.Background(), Visit{ID: "v2"}, "1", "bob"); !errors.Is(err, ErrBusy) {
			t.Errorf("bob, who wraps up, could be held: %v", err)
		}
		if _, err := d.Hold(context.Background(), Visit{ID: "v2"}, "1", "sofia"); !errors.Is(err, ErrNotRegistered) {
			t.Errorf("without a phone: %v", err)
		}
		if _, err := d.Hold(context.Background(), Visit{ID: "v2"}, "1", "nobody"); !errors.Is(err, ErrUnknownAgent) {
			t.Errorf("unknown: %v", err)
		}
	})
}

// A visit that two agents talked in one after the other is handled once, by the
// higher tier; both wrap up.
func TestATalkHandedOn(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("sofia", "bob")
		w := d.join("v1", "claims", "es")
		talk := d.answered(w, d.offer(w, "sofia"))
		held := d.hold("2", "bob")
		if err := held.Answered(); err != nil {
			t.Fatal(err)
		}
		next := held.Talk()
		synctest.Wait()
		d.events.take()
		talk.Over(next, 20*time.Second, 5*time.Second)
		d.state("sofia", Talking, "", "")
		talk.End(time.Hour, time.Hour)
		d.state("sofia", WrapUp, "", "")
		d.state("bob", Talking, "", "")
		time.Sleep(time.Second)
		next.End(30*time.Second, time.Second)
		time.Sleep(31 * time.Second)
		d.told(
			"talk.ended call-v1 {Visit:v1 Queue:claims Language:es Agent:bob Tier:2 Talk:50s Hold:6s}",
			"agent.changed  {Agent:sofia From:talking To:wrapup Reason: After:0s}",
			"agent.changed  {Agent:bob From:talking To:wrapup Reason: After:1s}",
			"wrapup.ended  {Visit:v1 Part: Queue:claims Language:es Agent:sofia Took:30s}",
			"agent.changed  {Agent:sofia From:wrapup To:ready Reason: After:30s}",
			"wrapup.ended  {Visit:v1 Part:2 Queue:claims Language:es Agent:bob Took:30s}",
			"agent.changed  {Agent:bob From:wrapup To:ready Reason: After:30s}",
		)
	})
}

// An agent who is in a call of his own goes over to a caller's without being free
// in between, though a caller waits for him.
func TestAnAgentMovesFromOneCallToAnother(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna")
		own := d.engage("c2")
		d.state("anna", Talking, "", "")
		waiting := d.join("w1", "claims", "en")
		moved, err := own.Move(context.Background(), Visit{ID: "v1", Call: "call-v1", Queue: "claims", Language: "en"}, "2")
		if err != nil {
			t.Fatal(err)
		}
		own.End() // is over: does nothing
		d.state("anna", Talking, "", "")
		d.noOffer(waiting)
		moved.Talk().End(time.Second, 0)
		d.state("anna", WrapUp, "", "")
		time.Sleep(31 * time.Second)
		d.offer(waiting, "anna")
		waiting.Leave("abandoned")

		held := d.hold("3", "anna")
		if held, err = held.Move(context.Background(), Visit{ID: "v9", Call: "call-v9"}, "1"); err != nil {
			t.Fatal(err)
		}
		d.state("anna", Reserved, "", "")
		held.Release()
		if _, err = held.Move(context.Background(), Visit{ID: "v10", Call: "call-v10"}, "1"); err != nil {
			t.Errorf("free, he could not be held: %v", err)
		}
		d.state("anna", Reserved, "", "")
		synctest.Wait()
		d.Unregistered("anna")
		if err := d.queue.Leave(context.Background(), "v10+1"); err != nil {
			t.Fatal(err)
		}
		d.state("anna", Offline, "", "")
	})
}
