package sip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// broken is a store that has gone.
type broken struct{ MemoryBindings }

func (*broken) Get(context.Context, string) ([]Binding, error) { return nil, errors.New("gone") }

func TestRegistrarWithoutStore(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		o, _, _ := withAgents("md5", "udp")
		o.Bindings = &broken{}
		s := startIn(t, e, o)
		if got := proved(t, s, newWire(t, s), "a", 1, "Contact: <sip:x@10.1.1.1>"); !strings.HasPrefix(got, "SIP/2.0 503") {
			t.Errorf("got %.40s", got)
		}
	})
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

func (f *forgetful) Remove(ctx context.Context, b Binding) error {
	if err := f.left(); err != nil {
		return err
	}
	return f.MemoryBindings.Remove(ctx, b)
}

// TestRefusedRegisterChangesNothing has the store fail at each of the writes of
// a REGISTER that changes several bindings.
func TestRefusedRegisterChangesNothing(t *testing.T) {
	for after := range 3 {
		virtual(t, func(t *testing.T, e *ether) {
			store := &forgetful{}
			store.writes.Store(1 << 20)
			o, d, _ := withAgents("md5", "udp")
			o.Bindings = store
			s := startIn(t, e, o)
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
		})
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
	virtual(t, func(t *testing.T, e *ether) {
		o, d, _ := withAgents("md5", "udp")
		o.Config.Trunks = openConfig().Trunks
		s := startIn(t, e, o)
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
	})
}

// fragile is a store that panics.
type fragile struct{ MemoryBindings }

func (*fragile) Get(context.Context, string) ([]Binding, error) { panic("in the store") }

func TestPanicInStoreIsAnswered(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		o, _, _ := withAgents("md5", "udp")
		o.Bindings = &fragile{}
		e.panics = 1
		s := startIn(t, e, o)
		if got := proved(t, s, newWire(t, s), "a", 1, "Contact: <sip:x@10.1.1.1>"); !strings.HasPrefix(got, "SIP/2.0 500") {
			t.Errorf("got %.40s", got)
		}
	})
}

// TestPanicBeforeARequestIsRead: whatever is wrong with it, a message ends nothing else.
func TestPanicBeforeARequestIsRead(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		s := startIn(t, e, Options{Handler: newDesk(nil)})
		req := parse(t, "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKp\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: p\r\nCSeq: 1 OPTIONS\r\n\r\n")
		req.AppendHeader((*gosip.ContactHeader)(nil))
		e.panics = 1
		s.handle(inbound{msg: req, flow: flow{at: s.listeners[0], remote: "127.0.0.1:9"}})
	})
}

// absent is a store that is away for a while, and may have lost everything then.
type absent struct {
	MemoryBindings
	away atomic.Bool
}

func (a *absent) Get(ctx context.Context, user string) ([]Binding, error) {
	if a.away.Load() {
		return nil, errors.New("away")
	}
	return a.MemoryBindings.Get(ctx, user)
}

func (a *absent) lose() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users = nil
}

// door is a registrar at work, in a bubble, that is asked without sockets.
type door struct {
	t     *testing.T
	r     *registrar
	at    flow
	seq   int
	told  atomic.Int64 // how often a phone was told of
	gone  atomic.Int64
	store *absent
}

func newDoor(t *testing.T) *door {
	d := &door{t: t, store: &absent{}}
	d.r = newRegistrar(d.store, "n1", 0, func(string, Binding) { d.told.Add(1) }, func(string) { d.gone.Add(1) })
	d.at = flow{at: newListener("udp", newServer(Options{}).edge, nil), remote: "192.0.2.7:5060"}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.r.sweep(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return d
}

func (d *door) register(want int, contact string) *gosip.Response {
	d.t.Helper()
	d.seq++
	req := parse(d.t, fmt.Sprintf("REGISTER sip:d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK%d\r\nFrom: <sip:anna@d>;tag=1\r\nTo: <sip:anna@d>\r\nCall-ID: c\r\nCSeq: %d REGISTER\r\nContact: %s\r\n\r\n", d.seq, d.seq, contact))
	res := d.r.answer(d.t.Context(), "anna", req, d.at, "tag")
	if res.StatusCode != want {
		d.t.Errorf("REGISTER %s: %d, want %d", contact, res.StatusCode, want)
	}
	return res
}

func (d *door) bound(want int) {
	d.t.Helper()
	synctest.Wait()
	if all, _ := d.store.MemoryBindings.Get(d.t.Context(), "anna"); len(all) != want {
		d.t.Errorf("%d phones bound, want %d", len(all), want)
	}
}

// TestStoreIsAway holds that phones which are registered stay so, whatever becomes
// of the store meanwhile, and that others are told to come back.
func TestStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		d.register(200, "<sip:anna@10.0.0.1>;expires=600")
		time.Sleep(mendEvery + time.Second)
		d.store.away.Store(true)
		time.Sleep(8 * time.Minute)
		if res := d.register(200, "<sip:anna@10.0.0.1>;expires=600"); len(headersOf(res, "contact", "m")) != 1 {
			t.Error("the answer does not list the phone")
		}
		if res := d.register(503, "<sip:anna@10.0.0.2>"); header(res, "retry-after", "") == "" {
			t.Error("a new phone is not told when to try again")
		}
		d.register(503, "<sip:anna@10.0.0.1>;expires=0")
		time.Sleep(8 * time.Minute) // the store's own has expired
		d.bound(0)
		d.store.away.Store(false)
		time.Sleep(mendEvery + time.Second)
		d.bound(1)
		if d.gone.Load() != 0 {
			t.Errorf("the agent was taken for gone %d times", d.gone.Load())
		}
		d.register(200, "<sip:anna@10.0.0.1>;expires=0")
		time.Sleep(2 * mendEvery)
		d.bound(0)
	})
}

// TestStoreLosesEverything holds that a store which comes back empty gets back what
// stands, but not what another node has bound since.
func TestStoreLosesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		d.register(200, "<sip:anna@10.0.0.1>")
		d.register(200, "<sip:anna@10.0.0.2>")
		time.Sleep(time.Minute)
		synctest.Wait()
		d.store.lose()
		elsewhere := Binding{User: "anna", Contact: "sip:anna@10.0.0.2", Node: "n2", Expires: time.Now().Add(time.Hour)}
		if err := d.store.Put(t.Context(), elsewhere); err != nil {
			t.Fatal(err)
		}
		told := d.told.Load()
		time.Sleep(mendEvery + time.Second)
		d.bound(2)
		all, _ := d.store.MemoryBindings.Get(t.Context(), "anna")
		for _, b := range all {
			if b.Contact == elsewhere.Contact && b.Node != "n2" {
				t.Error("the other node's binding was overwritten")
			}
		}
		if d.told.Load() != told+1 {
			t.Errorf("%d phones told of anew, want 1", d.told.Load()-told)
		}
		time.Sleep(defaultExpires) // nothing refreshes them: they are not put back for ever
		d.bound(1)
	})
}

// TestExpiredElsewhere: a phone that came back at another node between our look and our
// removal stays.
func TestExpiredElsewhere(t *testing.T) {
	store := &MemoryBindings{}
	was := Binding{User: "anna", Contact: "sip:anna@10.0.0.1", Expires: time.Now().Add(time.Minute)}
	now := was
	now.Expires, now.Node = was.Expires.Add(time.Minute), "n2"
	if err := store.Put(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(t.Context(), was); err != nil || len(bound(t, store)) != 1 {
		t.Errorf("%v, %d left", err, len(bound(t, store)))
	}
	if err := store.Remove(t.Context(), now); err != nil || len(bound(t, store)) != 0 {
		t.Errorf("%v, %d left", err, len(bound(t, store)))
	}
}

// TestOutboundIsThePhonesOwn: that another phone of the user supports RFC 5626 says
// nothing of this one.
func TestOutboundIsThePhonesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		const supports = "\r\nSupported: outbound"
		for contact, want := range map[string]string{`<sip:anna@10.0.0.1>;reg-id=1;+sip.instance="<urn:a>"` + supports: "outbound", "<sip:anna@10.0.0.2>" + supports: ""} {
			if got := header(d.register(200, contact), "require", ""); got != want && want != "" {
				t.Errorf("%s: Require: %q, want %q", contact, got, want)
			}
		}
		if got := header(d.register(200, "<sip:anna@10.0.0.2>"+supports), "require", ""); got != "" {
			t.Errorf("Require: %q", got)
		}
	})
}
