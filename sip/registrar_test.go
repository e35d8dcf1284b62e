package sip

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	gosip "github.com/emiago/sipgo/sip"
)

// withAgents are the options of a server with agents and no trunks.
func withAgents(digest string, networks ...string) (Options, *desk, *MemoryBindings) {
	cfg := openConfig(networks...)
	cfg.Trunks = cfg.Trunks[:0]
	cfg.Digest = digest
	cfg.Domain = "help.example"
	d, b := newDesk(nil), &MemoryBindings{}
	return Options{Config: cfg, Handler: d, Bindings: b, Node: "n1",
		Credentials: passwords{"help.example", map[string]string{"anna": "secret", "sofia": "geheim"}}}, d, b
}

// agents is a server withAgents.
func agents(t *testing.T, digest string, networks ...string) (*Server, *desk, *MemoryBindings) {
	t.Helper()
	o, d, b := withAgents(digest, networks...)
	return start(t, o), d, b
}

// agentsIn runs a test with a server withAgents in virtual time.
func agentsIn(t *testing.T, digest, network string, f func(t *testing.T, e *ether, s *Server, d *desk, b *MemoryBindings)) {
	t.Helper()
	virtual(t, func(t *testing.T, e *ether) {
		o, d, b := withAgents(digest, network)
		f(t, e, startIn(t, e, o), d, b)
	})
}

func TestRegisterAndCall(t *testing.T) {
	for _, digest := range []string{"md5", "sha-256", "both"} {
		eachNetwork(t, func(t *testing.T, network string) {
			agentsIn(t, digest, network, func(t *testing.T, e *ether, s *Server, d *desk, store *MemoryBindings) {
				registerAndCall(t, e, s, d, store, network)
			})
		})
	}
}

func registerAndCall(t *testing.T, e *ether, s *Server, d *desk, store *MemoryBindings, network string) {
	phoneDesk := newDesk(nil)
	phone := startIn(t, e, Options{Handler: phoneDesk})
	registrar := strings.Replace(s.uri("", network), "@", "", 1)
	reg, err := phone.Register(t.Context(), Registration{Registrar: registrar, User: "anna", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if ev := next(t, "event", d.events); ev != "registered anna" {
		t.Error(ev)
	}
	bs, _ := store.Get(t.Context(), "anna")
	if len(bs) != 1 || bs[0].Node != "n1" || !strings.HasPrefix(bs[0].Source, network+":127.0.0.1:") || bs[0].UserAgent != "Bugle" {
		t.Fatalf("bindings %+v", bs)
	}
	// The agent is rung over the flow he registered by.
	out, err := s.Dial(Target{Binding: &bs[0], From: "caller"}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	in := next(t, "INVITE", phoneDesk.legs)
	if in.Number() != "anna" {
		t.Errorf("rang %q", in.Number())
	}
	if err := in.Answer(&media{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "answered", out.Answered())
	in.Hangup()
	wantEnd(t, out, 200, ByRemote)
	wantEnd(t, in, 200, ByLocal)

	// And calls us, with proof, even while the node drains.
	s.Drain()
	me := &Auth{"anna", "secret"}
	out, err = phone.Dial(Target{URI: s.uri("*72", network), From: "anna", FromHost: "help.example", Auth: me}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	in = next(t, "INVITE", d.legs)
	if in.Agent() != "anna" || in.Number() != "*72" || in.Trunk() != "" {
		t.Errorf("leg of agent %q trunk %q number %q", in.Agent(), in.Trunk(), in.Number())
	}
	if err := in.Answer(&media{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "answered", out.Answered())
	in.Hangup()
	wantEnd(t, out, 200, ByRemote)

	if err := reg.Close(); err != nil {
		t.Fatal(err)
	}
	if ev := next(t, "event", d.events); ev != "unregistered anna" {
		t.Error(ev)
	}
}

func TestRegisterRefused(t *testing.T) {
	agentsIn(t, "md5", "udp", func(t *testing.T, e *ether, s *Server, _ *desk, _ *MemoryBindings) {
		phone := startIn(t, e, Options{})
		for _, r := range []Registration{
			{User: "anna", Password: "wrong"}, {User: "nobody", Password: "secret"}, {User: "", Password: ""},
		} {
			r.Registrar = "sip:" + s.Addrs()[0].Address.String()
			_, err := phone.Register(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
				t.Errorf("%s: %v", r.User, err)
			}
		}
		if _, err := phone.Register(t.Context(), Registration{Registrar: "tel:1"}); err == nil {
			t.Error("registered with a telephone")
		}
	})
}

// TestStrangersLearnNothing holds that a user who exists and one who does not
// get the same answers, to INVITE and REGISTER, with and without proof.
func TestStrangersLearnNothing(t *testing.T) {
	agentsIn(t, "both", "udp", func(t *testing.T, _ *ether, s *Server, d *desk, _ *MemoryBindings) {
		ask := func(method, user, auth string) []string {
			w := newWire(t, s)
			lines := []string{
				method + " sip:" + user + "@help.example SIP/2.0", "Via: SIP/2.0/UDP " + w.addr() + ";branch=z9hG4bK-same",
				"From: <sip:" + user + "@help.example>;tag=x", "To: <sip:" + user + "@help.example>",
				"Call-ID: " + token() + user, "CSeq: 1 " + method, "Contact: <sip:" + user + "@" + w.addr() + ">",
			}
			if auth != "" {
				lines = append(lines, "Authorization: "+auth)
			}
			w.send(lines...)
			var shape []string
			for line := range strings.SplitSeq(w.recv("SIP/2.0"), "\r\n") {
				// Every byte, but for what is drawn anew and what the stranger himself wrote.
				line = random.ReplaceAllString(strings.NewReplacer(user, "USER", w.addr(), "ADDRESS").Replace(line), "$1")
				if !strings.HasPrefix(line, "Call-ID:") {
					shape = append(shape, line)
				}
			}
			return shape
		}
		for _, method := range []string{"INVITE", "REGISTER", "OPTIONS"} {
			for _, proof := range []bool{false, true} {
				var shapes []string
				for _, user := range []string{"anna", "nobody"} {
					auth := ""
					if proof {
						nonce := s.guard.nonce(time.Now(), somewhere)
						auth = answerTo(digestParams{"realm": "help.example", "nonce": nonce, "qop": "auth"}, gosip.RequestMethod(method), "sip:help.example", Auth{user, "guess"})
					}
					shapes = append(shapes, fmt.Sprint(ask(method, user, auth)))
				}
				want := "401 Unauthorized"
				switch {
				case method == "OPTIONS":
					want = "200 OK"
				case proof:
					want = "403 Forbidden"
				}
				if shapes[0] != shapes[1] || !strings.Contains(shapes[0], want) {
					t.Errorf("%s, proof %v: known %s, unknown %s", method, proof, shapes[0], shapes[1])
				}
			}
		}
		select {
		case l := <-d.legs:
			t.Errorf("a stranger's call %q came in", l.Caller())
		default:
		}
	})
}

// random is what is drawn anew for each answer.
var random = regexp.MustCompile(`(nonce="|tag=)[^";]*`)

func TestAgentsNameIsNotBorrowed(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		cfg := openConfig("udp")
		cfg.Domain = "help.example"
		d := newDesk(nil)
		s := startIn(t, e, Options{Config: cfg, Handler: d, Credentials: passwords{"help.example", map[string]string{"anna": "a", "sofia": "b"}}})
		phone := startIn(t, e, Options{})
		for _, c := range []struct {
			from  string
			auth  *Auth
			code  int
			agent string
		}{
			{"anna@help.example", nil, 401, ""},                 // even from a trunk's address
			{"anna@127.0.0.1", nil, 401, ""},                    // a listener's host is ours too
			{"anna@help.example", &Auth{"sofia", "b"}, 403, ""}, // her proof, his name
			{"anna@help.example", &Auth{"anna", "x"}, 403, ""},
			{"anna@elsewhere.example", nil, 486, ""},
			{"+1555@help.example", nil, 486, ""},
			{"anna@help.example", &Auth{"anna", "a"}, 486, "anna"},
		} {
			user, host, _ := strings.Cut(c.from, "@")
			out, err := phone.Dial(Target{URI: s.uri("x", "udp"), From: user, FromHost: host, Auth: c.auth}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			if c.code == 486 {
				in := next(t, "INVITE", d.legs)
				if in.Agent() != c.agent || (in.Trunk() == "") != (c.agent != "") {
					t.Errorf("%s: agent %q trunk %q", c.from, in.Agent(), in.Trunk())
				}
				if err := in.Reject(486, ""); err != nil {
					t.Fatal(err)
				}
			}
			wantEnd(t, out, c.code, ByRemote)
		}
	})
}

func TestAssertedCaller(t *testing.T) {
	d := newDesk(nil)
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		for value, want := range map[string]string{
			`"Ann" <sip:+15559@carrier.example;user=phone>`: "+15559",
			`<tel:+15558;phone-context=x>, <sip:a@b>`:       "+15558",
			`sip:%2B15557@h`: "+15557",
			`nonsense`:       "+15550001",
		} {
			c := newCaller(t, s, token())
			c.request("INVITE", 1, append([]string{"P-Asserted-Identity: " + value}, offer...)...)
			l := next(t, "leg", d.legs)
			if l.Caller() != want {
				t.Errorf("%s: caller %q", value, l.Caller())
			}
			l.Hangup()
			c.recv("SIP/2.0 480")
			c.resend("ACK", 1, 1)
		}
	})
}

// proved sends a REGISTER as anna with right proof and gives the answer.
func proved(t *testing.T, s *Server, w *wire, callID string, seq int, extra ...string) string {
	t.Helper()
	f := flow{at: s.listeners[0], remote: w.addr()}
	for _, h := range extra {
		if from, ok := strings.CutPrefix(h, "X-Edge-Source: "); ok {
			network, addr, _ := strings.Cut(from, ":")
			f.origin = origin{network, netip.MustParseAddrPort(addr)}
		}
	}
	auth := answerTo(digestParams{"realm": "help.example", "nonce": s.guard.nonce(time.Now(), s.edge.asked(f)), "qop": "auth"}, gosip.REGISTER, "sip:help.example", Auth{"anna", "secret"})
	w.send(append([]string{
		"REGISTER sip:help.example SIP/2.0", "Via: SIP/2.0/UDP 10.1.1.1:5060;rport;branch=z9hG4bK-" + token(),
		"From: <sip:anna@help.example>;tag=x", "To: <sip:anna@help.example>",
		"Call-ID: " + callID, fmt.Sprintf("CSeq: %d REGISTER", seq), "Authorization: " + auth,
	}, extra...)...)
	for {
		got := w.recv("SIP/2.0")
		if field(got, "Call-ID") == callID && field(got, "CSeq") == fmt.Sprint(seq, " REGISTER") { // not one of another's that is sent again
			return got
		}
	}
}

func TestRegistrar(t *testing.T) {
	agentsIn(t, "md5", "udp", func(t *testing.T, _ *ether, s *Server, d *desk, store *MemoryBindings) {
		w := newWire(t, s)
		ask := func(want, callID string, seq int, extra ...string) string {
			t.Helper()
			got := proved(t, s, w, callID, seq, extra...)
			if !strings.HasPrefix(got, "SIP/2.0 "+want) {
				t.Errorf("%v: got %.50q, want %s", extra, got, want)
			}
			return got
		}
		events := func(want ...string) {
			t.Helper()
			for _, ev := range want {
				if got := next(t, ev, d.events); got != ev {
					t.Errorf("%s, want %s", got, ev)
				}
			}
			if len(d.events) > 0 {
				t.Errorf("also %s", <-d.events)
			}
		}

		// A phone behind NAT: answered where it is, bound to where it is.
		ok := ask("200", "a", 1, "Contact: <sip:anna@10.1.1.1:5060>;expires=120", "Path: <sip:edge.example;lr>,<sip:inner.example;lr>", "Supported: path")
		if got := field(ok, "Contact"); got != "<sip:anna@10.1.1.1:5060>;expires=120" {
			t.Errorf("Contact: %s", got)
		}
		if field(ok, "Path") == "" || !strings.Contains(field(ok, "Via"), "received=127.0.0.1") {
			t.Errorf("answer %s", ok)
		}
		bs, _ := store.Get(t.Context(), "anna")
		if bs[0].Source != "udp:"+w.addr() || bs[0].Local != "udp:"+s.Addrs()[0].Address.String() ||
			fmt.Sprint(bs[0].Path) != "[<sip:edge.example;lr> <sip:inner.example;lr>]" {
			t.Errorf("binding %+v", bs[0])
		}
		events("registered anna")

		// Order, limits, nonsense. What is refused changes nothing.
		ask("500", "a", 1, "Contact: <sip:anna@10.1.1.1:5060>;expires=0")
		ask("423", "a", 2, "Contact: <sip:anna@10.1.1.1:5060>;expires=5")
		ask("400", "a", 2, "Contact: <sip:anna@10.1.1.1:5060>;expires=soon")
		ask("400", "a", 2, "Contact: <mailto:anna@example.com>")
		ask("400", "a", 2, "Contact: *", "Expires: 60")
		ask("400", "a", 2, "Contact: *", "Contact: <sip:x@h>", "Expires: 0")
		ask("400", "a", 2, "Contact: <sip:x@h>", "Path: nonsense")
		events()

		// Two phones in one message, the longest lifetime, and a query.
		ask("200", "b", 1, "Contact: <sip:anna@10.1.1.2>, <sip:anna@10.1.1.3;transport=tcp>", "Expires: 999999")
		events("registered anna", "registered anna")
		if ok = ask("200", "b", 2); strings.Count(ok, "\r\nContact: ") != 3 || strings.Count(ok, ";expires=600") != 2 {
			t.Errorf("bound: %s", ok)
		}
		var many []string
		for i := range maxContacts {
			many = append(many, fmt.Sprintf("Contact: <sip:anna@10.2.0.%d>", i))
		}
		ask("403", "b", 3, many...)

		// One leaves, then all.
		ask("200", "b", 4, "Contact: <sip:anna@10.1.1.2>;expires=0")
		events()
		if ok = ask("200", "c", 1, "Contact: *", "Expires: 0"); strings.Contains(ok, "\r\nContact: ") {
			t.Errorf("still bound: %s", ok)
		}
		events("unregistered anna")
		if n := s.registrar.count(); n != 0 {
			t.Errorf("%d bindings remembered", n)
		}
	})
}

func TestBindingsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemoryBindings{}
		events := make(chan string, 8)
		r := newRegistrar(store, "n1", time.Hour, func(u string, _ Binding) { events <- "here " + u }, func(u string) { events <- "gone " + u })
		ctx, stop := context.WithCancel(t.Context())
		go r.sweep(ctx)
		register := func(contact string, seq int) {
			ln := &listener{network: "udp", addr: netip.MustParseAddrPort("127.0.0.1:5060")}
			req := parse(t, fmt.Sprintf("REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:anna@h>;tag=1\r\nTo: <sip:anna@h>\r\nCall-ID: %s\r\nCSeq: %d REGISTER\r\nContact: <sip:%s>;expires=60\r\n\r\n", contact, seq, contact))
			if _, fault := r.apply(t.Context(), "anna", req, flow{at: ln, remote: "127.0.0.1:" + contact[len(contact)-4:]}); fault != nil {
				t.Fatal(fault)
			}
		}
		register("a@h:5001", 1)
		time.Sleep(30 * time.Second)
		register("b@h:5002", 1)
		if !r.holds(flow{at: &listener{network: "udp"}, remote: "127.0.0.1:5001"}) {
			t.Error("the first phone's flow is not known")
		}
		time.Sleep(32 * time.Second) // the first is over
		if n := r.count(); n != 1 {
			t.Errorf("%d bindings", n)
		}
		register("b@h:5002", 2) // refreshed
		time.Sleep(59 * time.Second)
		// Another node takes the contact over: ours must not end it.
		other := Binding{User: "anna", Contact: "sip:b@h:5002", Expires: time.Now().Add(time.Minute), Node: "n2"}
		if err := store.Put(ctx, other); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if n := r.count(); n != 0 {
			t.Errorf("%d bindings", n)
		}
		register("b@h:5002", 3)
		time.Sleep(65 * time.Second)
		stop()
		synctest.Wait()
		close(events)
		var got []string
		for ev := range events {
			got = append(got, ev)
		}
		if want := "[here anna here anna here anna here anna gone anna]"; fmt.Sprint(got) != want {
			t.Errorf("events %v", got)
		}
	})
}

// TestRegistrationIsKept: it is refreshed half-way, until the phone leaves.
func TestRegistrationIsKept(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		o, d, _ := withAgents("md5", "udp")
		o.Config.RegisterExpires = config.Duration(2 * time.Second)
		s, phone := startIn(t, e, o), startIn(t, e, Options{})
		reg, err := phone.Register(t.Context(), Registration{Registrar: "sip:" + s.Addrs()[0].Address.String(), User: "anna", Password: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			began := time.Now()
			if ev := next(t, "refresh", d.events); ev != "registered anna" {
				t.Error(ev)
			}
			if took := time.Since(began); i > 0 && took != time.Second {
				t.Errorf("refreshed after %s", took)
			}
		}
		if err := reg.Close(); err != nil {
			t.Error(err)
		}
		if ev := next(t, "end", d.events); ev != "unregistered anna" {
			t.Error(ev)
		}
	})
}
