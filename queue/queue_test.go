package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
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
	q.leaving = time.Minute // a machine may stand still
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error("closing:", err)
		}
	})
	r := &recorder{messages: make(chan message, 1000)}
	q.Listen(r)
	return q, r
}

func TestOpenRefusesNames(t *testing.T) {
	for _, name := range []string{"", "a{b", "a}b", "a\x1fb", "a\nb"} {
		if q, err := Open(context.Background(), config.Redis{}, name, "n1", testLog); err == nil {
			t.Errorf("domain %q was taken", name)
			_ = q.Close()
		}
		if q, err := Open(context.Background(), config.Redis{}, "test", name, testLog); err == nil {
			t.Errorf("node %q was taken", name)
			_ = q.Close()
		}
	}
}

func TestOpenWithoutRedis(t *testing.T) {
	socket := t.TempDir() + "/nobody.sock"
	_, err := Open(context.Background(), config.Redis{Addr: socket}, "test", "n1", testLog)
	if err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("error %v does not name %s", err, socket)
	}
}

// A Redis that goes away must not keep a node from ending.
func TestCloseWithoutRedis(t *testing.T) {
	server := miniredis.RunT(t)
	q, err := Open(context.Background(), config.Redis{Addr: server.Addr()}, "test", "n1", testLog)
	if err != nil {
		t.Fatal(err)
	}
	q.Listen(&recorder{messages: make(chan message, 1)})
	server.Close()
	begin := time.Now()
	if err := q.Close(); err == nil {
		t.Error("no error, though nothing could be purged")
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("closing took %s", took)
	}
}

func TestIDsWithControlCharactersAreRefused(t *testing.T) {
	q, _ := open(t, config.Redis{}, "n1")
	ctx := context.Background()
	for what, err := range map[string]error{
		"visit": q.Join(ctx, Visit{ID: "a\x1fb", Joined: time.Now()}),
		"call":  q.Join(ctx, Visit{ID: "a", Call: "\x1e", Joined: time.Now()}),
		"agent": q.Register(ctx, "a\nb", nil, false),
	} {
		if err == nil {
			t.Errorf("%s with a control character was taken", what)
		}
	}
}

// Scripts are lost when Redis restarts; they are sent again then.
func TestScriptsAreSentAgain(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		q, h := open(t, cfg, "n1")
		ctx := context.Background()
		if err := q.client.ScriptFlush(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if err := q.Register(ctx, "anna", nil, false); err != nil {
			t.Fatal(err)
		}
		h.next(t)
	})
}

// More groups than are looked at in one go, on either side of the match.
func TestMatchAmongManyGroups(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		q, h := open(t, cfg, "n1")
		ctx := context.Background()
		need := func(i int) Skills { return Skills{fmt.Sprint("skill", i): 1} }
		const groups = 3*16 + 5
		for i := range groups {
			v := Visit{ID: fmt.Sprint("v", i), Queue: "q", Requires: need(i), Joined: time.UnixMilli(int64(1000 + i))}
			if err := q.Join(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		// The last group's agent first: his visit is the last looked at.
		for i := groups - 1; i >= 0; i-- {
			agent := fmt.Sprint("a", i)
			if err := q.Register(ctx, agent, need(i), true); err != nil {
				t.Fatal(err)
			}
			h.next(t) // offline to ready
			h.next(t) // ready to reserved
			o := h.next(t).offer
			if o.Agent != agent || o.Visit != fmt.Sprint("v", i) {
				t.Fatalf("%s was offered to %s", o.Visit, o.Agent)
			}
			if err := q.Leave(ctx, o.Visit); err != nil {
				t.Fatal(err)
			}
			h.next(t) // reserved to ready
		}
		for i := range groups {
			v := Visit{ID: fmt.Sprint("w", i), Queue: "q", Requires: need(i), Joined: time.Now()}
			if err := q.Join(ctx, v); err != nil {
				t.Fatal(err)
			}
			h.next(t) // ready to reserved
			if o := h.next(t).offer; o.Agent != fmt.Sprint("a", i) {
				t.Fatalf("%s was offered to %s", o.Visit, o.Agent)
			}
		}
	})
}

// The inbox is cut as it is read: it does not grow with the day.
func TestInboxIsCut(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		q, h := open(t, cfg, "n1")
		ctx := context.Background()
		if err := q.Register(ctx, "anna", nil, false); err != nil {
			t.Fatal(err)
		}
		h.next(t)
		for range 200 {
			if err := errors.Join(q.SetReady(ctx, "anna"), q.SetPaused(ctx, "anna", "key")); err != nil {
				t.Fatal(err)
			}
			h.next(t)
			h.next(t)
		}
		left, err := q.client.XLen(ctx, q.nodeKey("inbox")).Result()
		if err != nil {
			t.Fatal(err)
		}
		if left > 3*trimEvery {
			t.Errorf("%d of 401 entries are still there", left)
		}
	})
}

func TestScriptsAreMeasured(t *testing.T) {
	q, _ := open(t, config.Redis{}, "n1")
	if err := q.Leave(context.Background(), "nobody"); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(q.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "bugle_queue_script_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == "leave" && m.GetHistogram().GetSampleCount() == 1 {
				return
			}
		}
	}
	t.Error("the run of script leave was not measured")
}
