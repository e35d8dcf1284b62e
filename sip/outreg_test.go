package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"

	gosip "github.com/emiago/sipgo/sip"
)

func account1(c *config.Trunk) {
	c.Username, c.Password, c.Register, c.Expires = "bugle", "secret", true, config.Duration(10*time.Minute)
}

// TestTrunkRegistration: REGISTER with proof, renewed in time, by another host if
// one fails, taken back at the end.
func TestTrunkRegistration(t *testing.T) {
	lines(t, 2, account1, func(t *testing.T, s *Server, hosts []*wire) {
		s.tendTrunks()
		line := s.trunks[0]
		register := func(w *wire, expires string) string {
			t.Helper()
			_ = w.conn.SetReadDeadline(time.Now().Add(time.Hour))
			req, ok := w.within("REGISTER ", time.Hour)
			if !ok {
				t.Fatal("no REGISTER came")
			}
			if got := field(req, "Expires"); got != expires {
				t.Errorf("asked for %s s, want %s", got, expires)
			}
			return req
		}
		w := hosts[0]
		first := register(w, "600")
		if line.registered() {
			t.Error("registered before any answer")
		}
		w.answer(first, "401 Proof", "x", `WWW-Authenticate: Digest realm="r", nonce="n1", algorithm=SHA-256, qop="auth"`)
		second := register(w, "600")
		wantProof(t, second, "Authorization", "REGISTER", "SHA-256", "n1")
		for name, want := range map[string]string{"To": "<sip:bugle@carrier.example>", "CSeq": "2 REGISTER",
			"Contact": "<sip:bugle@" + s.listeners[0].addr.String() + ">", "Call-ID": field(first, "Call-ID")} {
			if got := field(second, name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if !strings.HasPrefix(second, "REGISTER sip:carrier.example SIP/2.0\r\n") {
			t.Errorf("Request-URI of %q", firstLines([]string{second}))
		}
		w.answer(second, "200 OK", "x", "Contact: "+field(second, "Contact")+";expires=100")
		synctest.Wait()
		if !line.registered() {
			t.Error("not registered after 200")
		}

		begun := time.Now()
		again := register(w, "600")
		if took := time.Since(begun); took < 70*time.Second || took > 75*time.Second {
			t.Errorf("renewed after %s of 100 s", took)
		}
		w.answer(again, "503 Later", "x", "Retry-After: 60")
		other := register(hosts[1], "600")
		hosts[1].answer(other, "423 Too short", "x", "Min-Expires: 1200")
		longer := register(hosts[1], "1200")
		hosts[1].answer(longer, "200 OK", "x", "Expires: 1200")
		synctest.Wait()

		go func() { _ = s.Close() }()
		last := register(hosts[1], "0") // the first still rests
		hosts[1].answer(last, "200 OK", "x")
		synctest.Wait()
		if line.registered() {
			t.Error("registered after the end")
		}
	})
}

// TestTrunkRegistrationFails: a wrong password is tried once, and then ever more
// slowly.
func TestTrunkRegistrationFails(t *testing.T) {
	lines(t, 1, account1, func(t *testing.T, s *Server, hosts []*wire) {
		s.tendTrunks()
		w := hosts[0]
		var at []time.Time
		for range 8 {
			req, ok := w.within("REGISTER ", time.Hour)
			if !ok {
				t.Fatal("no REGISTER came")
			}
			at = append(at, time.Now())
			for range 2 {
				w.answer(req, "401 Proof", "x", `WWW-Authenticate: Digest realm="r", nonce="n"`)
				if field(req, "Authorization") != "" {
					break
				}
				req = w.recv("REGISTER ")
			}
		}
		for i, least := range []time.Duration{1, 2, 4, 8, 16, 32, 64} {
			if gap := at[i+1].Sub(at[i]); gap < least*time.Second || gap > 2*least*time.Second {
				t.Errorf("try %d came after %s, want %d to %d s", i+1, gap, least, 2*least)
			}
		}
		if s.trunks[0].registered() {
			t.Error("registered")
		}
	})
}

// TestGranted: what other nodes have bound to the same account does not make us
// register more often, unless it cannot be told what is ours.
func TestGranted(t *testing.T) {
	const head = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\n"
	for _, c := range []struct {
		contacts string
		want     time.Duration
	}{
		{"", 10 * time.Minute},
		{"Expires: 60\r\n", time.Minute},
		{"Contact: <sip:us@192.0.2.1:5060>;expires=120\r\n", 2 * time.Minute},
		{"Contact: <sip:us@192.0.2.2:5060>;expires=1\r\nContact: <sip:us@192.0.2.1:5060>;expires=120\r\n", 2 * time.Minute},
		{"Contact: <sip:us@192.0.2.1:5060>;expires=120\r\nContact: <sip:us@192.0.2.2:5060>;expires=1\r\n", 2 * time.Minute},
		{"Contact: <sip:us@10.0.0.1:9>;expires=90\r\nContact: <sip:us@192.0.2.2:5060>;expires=40\r\n", 40 * time.Second},
	} {
		m, err := newParser().ParseSIP([]byte(head + c.contacts + "Content-Length: 0\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := grantedBy(m.(*gosip.Response), 10*time.Minute, "<sip:us@192.0.2.1:5060>"); got != c.want {
			t.Errorf("%q: %s, want %s", c.contacts, got, c.want)
		}
	}
}
