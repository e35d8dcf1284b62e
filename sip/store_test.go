package sip

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

// broken is a store that has gone.
type broken struct{ MemoryBindings }

func (*broken) Get(context.Context, string) ([]Binding, error) { return nil, errors.New("gone") }

func TestRegistrarWithoutStore(t *testing.T) {
	cfg := openConfig("udp")
	cfg.Domain = "help.example"
	s := start(t, Options{Config: cfg, Bindings: &broken{}, Credentials: passwords{"help.example", map[string]string{"anna": "secret"}}})
	if got := proved(t, s, newWire(t, s), "a", 1, "Contact: <sip:x@10.1.1.1>"); !strings.HasPrefix(got, "SIP/2.0 503") {
		t.Errorf("got %.40s", got)
	}
}

// forgetful is a store that fails once it has been written to so often.
type forgetful struct {
	MemoryBindings
	writes atomic.Int64
}

func (f *forgetful) left() error {
	if f.writes.Add(-1) < 0 {
		f.writes.Store(1 << 20) // and then is there again
		return errors.New("gone")
	}
	return nil
}

func (f *forgetful) Put(ctx context.Context, b Binding) error {
	if err := f.left(); err != nil {
		return err
	}
	return f.MemoryBindings.Put(ctx, b)
}

func (f *forgetful) Remove(ctx context.Context, user, contact string) error {
	if err := f.left(); err != nil {
		return err
	}
	return f.MemoryBindings.Remove(ctx, user, contact)
}

// TestRefusedRegisterChangesNothing has the store fail at each of the writes of
// a REGISTER that changes several bindings.
func TestRefusedRegisterChangesNothing(t *testing.T) {
	for after := range 3 {
		store, d := &forgetful{}, newDesk(nil)
		store.writes.Store(1 << 20)
		cfg := openConfig("udp")
		cfg.Domain = "help.example"
		s := start(t, Options{Config: cfg, Bindings: store, Handler: d, Credentials: passwords{"help.example", map[string]string{"anna": "secret"}}})
		w := newWire(t, s)
		proved(t, s, w, "a", 1, "Contact: <sip:x@10.1.1.1>", "Contact: <sip:y@10.1.1.2>")
		next(t, "event", d.events)
		next(t, "event", d.events)
		was := map[string]Binding{}
		for _, b := range bound(t, store) {
			was[b.Contact] = b
		}
		store.writes.Store(int64(after))
		got := proved(t, s, w, "a", 2, "Contact: <sip:x@10.1.1.1>;expires=60", "Contact: <sip:z@10.1.1.3>", "Contact: <sip:y@10.1.1.2>;expires=0")
		if !strings.HasPrefix(got, "SIP/2.0 503") {
			t.Fatalf("got %.40s", got)
		}
		if is := bound(t, store); len(is) != len(was) {
			t.Errorf("failing after %d: %d bindings", after, len(is))
		}
		for _, b := range bound(t, store) {
			if old := was[b.Contact]; old.CSeq != b.CSeq || !old.Expires.Equal(b.Expires) {
				t.Errorf("failing after %d: binding %+v was %+v", after, b, old)
			}
		}
		if n, ev := s.registrar.count(), len(d.events); n != 2 || ev != 0 {
			t.Errorf("failing after %d: %d remembered, %d told of", after, n, ev)
		}
	}
}

func bound(t *testing.T, store Bindings) []Binding {
	t.Helper()
	bs, err := store.Get(t.Context(), "anna")
	if err != nil {
		t.Fatal(err)
	}
	return bs
}

// TestCallersByTheAgentsProxy holds that an agent who registers through a
// proxy does not make every call through it an agent's.
func TestCallersByTheAgentsProxy(t *testing.T) {
	d := newDesk(nil)
	cfg := openConfig("udp")
	cfg.Domain = "help.example"
	s := start(t, Options{Config: cfg, Handler: d, Credentials: passwords{"help.example", map[string]string{"anna": "secret"}}})
	proxy := newCaller(t, s, "by-proxy")
	proved(t, s, proxy.wire, "reg", 1, "Contact: <sip:anna@10.1.2.3:5060>", "Path: <sip:"+proxy.addr()+";lr>")
	proxy.request("INVITE", 1, offer...)
	l := next(t, "the caller's leg", d.legs)
	if l.Trunk() != "loop" || l.Agent() != "" {
		t.Errorf("trunk %q agent %q", l.Trunk(), l.Agent())
	}
	l.Hangup()
	proxy.recv("SIP/2.0 480")
	proxy.resend("ACK", 1, 1)
	// The agent's own calls through it are told by From.
	proxy.send("INVITE sip:*70@help.example SIP/2.0", "Via: SIP/2.0/UDP "+proxy.addr()+";branch=z9hG4bK-agent",
		"From: <sip:anna@help.example>;tag=x", "To: <sip:*70@help.example>", "Call-ID: by-proxy-2", "CSeq: 1 INVITE", "Contact: <sip:anna@10.1.2.3>")
	proxy.recv("SIP/2.0 401")
	proved(t, s, proxy.wire, "reg", 2, "Contact: <sip:anna@10.1.2.3:5060>;expires=0", "Path: <sip:"+proxy.addr()+";lr>")
	if n := s.registrar.count(); n != 0 {
		t.Errorf("%d bindings remembered", n)
	}
}

// fragile is a store that panics.
type fragile struct{ MemoryBindings }

func (*fragile) Get(context.Context, string) ([]Binding, error) { panic("in the store") }

func TestPanicInStoreIsAnswered(t *testing.T) {
	cfg := openConfig("udp")
	cfg.Domain = "help.example"
	s := start(t, Options{Config: cfg, Bindings: &fragile{}, Credentials: passwords{"help.example", map[string]string{"anna": "secret"}}})
	if got := proved(t, s, newWire(t, s), "a", 1, "Contact: <sip:x@10.1.1.1>"); !strings.HasPrefix(got, "SIP/2.0 500") {
		t.Errorf("got %.40s", got)
	}
}
