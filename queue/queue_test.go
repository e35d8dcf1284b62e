package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bugle-voice/bugle/config"
)

var testLog = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is an offer or a change, as the handler of a node got it.
type message struct {
	offer  Offer
	change Change
}

// recorder is a handler that keeps what it gets until a test asks for it.
type recorder struct{ messages chan message }

func (r *recorder) Offered(o Offer)  { r.messages <- message{offer: o} }
func (r *recorder) Changed(c Change) { r.messages <- message{change: c} }

// next waits for the next message.
func (r *recorder) next(t testing.TB, what ...string) message {
	t.Helper()
	select {
	case m := <-r.messages:
		return m
	case <-time.After(10 * time.Second):
		t.Fatalf("no message in the inbox: %q", what)
		return message{}
	}
}

// open opens a node that ends with the test and records its inbox.
func open(t testing.TB, cfg config.Redis, node string) (*Queue, *recorder) {
	t.Helper()
	q, err := Open(context.Background(), cfg, "test", node, testLog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error("closing:", err)
		}
	})
	r := &recorder{messages: make(chan message, 1000)}
	q.Listen(r)
	return q, r
}
