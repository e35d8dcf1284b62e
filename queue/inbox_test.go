package queue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bugle-voice/bugle/queue/queuetest"
)

// collector is a handler that keeps all it gets.
type collector struct{ got []message }

func (c *collector) Offered(o Offer)  { c.got = append(c.got, message{offer: o}) }
func (c *collector) Changed(x Change) { c.got = append(c.got, message{change: x}) }

func TestDeliver(t *testing.T) {
	offer := message{offer: Offer{
		Visit: "v1", Agent: "anna", Token: "n1.1.7", Why: ByAgent,
		Ready: 1500 * time.Millisecond, Waited: 2 * time.Second, Seq: 7,
	}}
	change := message{change: Change{
		Agent: "anna", From: Ready, To: Reserved, After: time.Second, Visit: "v1", Queue: "claims", Language: "en", Seq: 7,
	}}
	const (
		offerText  = "offer\x1fv1\x1fanna\x1fn1.1.7\x1fline\x1f1500\x1f2000\x1f7"
		changeText = "change\x1fanna\x1fready\x1freserved\x1f\x1f1000\x1fv1\x1fclaims|en|en:1\x1f7"
	)
	tests := []struct {
		name, messages string
		want           []message
	}{
		{"an offer", offerText, []message{offer}},
		{"two in an entry", changeText + recordSep + offerText, []message{change, offer}},
		{"a kind of tomorrow", "probe\x1fanna" + recordSep + offerText, []message{offer}},
		{"an offer cut short", "offer\x1fv1", nil},
		{"a clock behind", "change\x1fa\x1fready\x1fpaused\x1fkey\x1f-5\x1f\x1f\x1f9",
			[]message{{change: Change{Agent: "a", From: Ready, To: Paused, Reason: "key", Seq: 9}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h collector
			in := inbox{q: &Queue{log: testLog}}
			in.deliver(tt.messages, &h)
			if diff := cmp.Diff(tt.want, h.got, cmp.AllowUnexported(message{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzDeliver(f *testing.F) {
	f.Add("offer\x1fv1\x1fanna\x1fn1.1.7\x1fline\x1f1500\x1f2000\x1f7")
	f.Add("change\x1fa\x1fready\x1fpaused\x1fkey\x1f-5\x1f\x1f%zz|\x1f9\x1e")
	in := inbox{q: &Queue{log: testLog}}
	f.Fuzz(func(_ *testing.T, messages string) { in.deliver(messages, &collector{}) })
}

// A second node is told what the first decides about its calls and agents.
func TestInboxesOfTwoNodes(t *testing.T) {
	cfg := queuetest.Server(t)
	q1, calls := open(t, cfg, "n1")
	q2, agents := open(t, cfg, "n2")
	ctx := t.Context()
	if err := q1.Join(ctx, Visit{ID: "v1", Queue: "claims", Language: "en", Joined: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := q2.Register(ctx, "anna", nil, true); err != nil {
		t.Fatal(err)
	}
	o := calls.next(t).offer
	if o.Visit != "v1" || o.Agent != "anna" {
		t.Fatalf("the call's node was told %+v", o)
	}
	if err := q1.Answer(ctx, "v1", o.Token); err != nil {
		t.Fatal(err)
	}
	for _, want := range []State{Ready, Reserved, Talking} {
		if c := agents.next(t).change; c.To != want || c.Agent != "anna" {
			t.Errorf("the agent's node was told %+v, want %s", c, want)
		}
	}
}
