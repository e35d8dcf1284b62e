package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bugle-voice/bugle/event"
)

// The legs of a call are found with it, once each, and go when it goes.
func TestLegsOfACall(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		agent := event.LegEnded{Side: "agent", Agent: "maria", Codec: "PCMU", PacketsIn: 350, PacketsOut: 351, Lost: 7, RoundTrip: 30 * time.Millisecond,
			Heard: event.Travel{Loss: .02, Jitter: 5 * time.Millisecond, MOS: 4.1}, Sent: event.Travel{Loss: .01, Jitter: time.Millisecond, MOS: 4.3}}
		told := new(story).
			tell("c1", event.CallStarted{Number: "helpline"}).
			tell("c2", event.CallStarted{Number: "helpline"}).
			tell("c1", agent, event.LegEnded{Side: "caller", Codec: "PCMA", Suite: "AEAD_AES_128_GCM", PacketsIn: 600, PacketsOut: 601}).events
		for range 2 {
			must(t, s.History(testQueues).Apply(ctx, fromN1, told))
		}
		page, err := s.Calls(ctx, CallSearch{})
		must(t, err)
		if len(page.Calls) != 2 || page.Calls[0].ID != "c2" || page.Calls[0].Legs != nil {
			t.Fatalf("found %+v", page.Calls)
		}
		want := []Leg{
			{Call: "c1", Side: "agent", Agent: "maria", Codec: "PCMU", Ended: after(2), PacketsIn: 350, PacketsOut: 351, Lost: 7,
				Heard: agent.Heard, Sent: agent.Sent, RoundTrip: 30 * time.Millisecond},
			{Call: "c1", Side: "caller", Codec: "PCMA", Suite: "AEAD_AES_128_GCM", Ended: after(3), PacketsIn: 600, PacketsOut: 601},
		}
		if diff := cmp.Diff(want, page.Calls[1].Legs); diff != "" {
			t.Errorf("legs: %s", diff)
		}
		must(t, s.inTx(ctx, "purge", func(tx *tx) error {
			_, _, err := purgeRecords(ctx, tx, after(1000).UnixMilli())
			return err
		}))
		if left, err := collect(s.legsOf(ctx, []Call{{ID: "c1"}})); err != nil || len(left) != 0 {
			t.Errorf("after the call was purged: %+v (%v)", left, err)
		}
	})
}
