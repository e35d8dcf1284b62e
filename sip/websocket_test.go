package sip

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/coder/websocket"
	gosip "github.com/emiago/sipgo/sip"
)

// browser is a far end that speaks SIP over WebSocket by hand.
type browser struct {
	t  *testing.T
	ws *websocket.Conn
}

// browse serves a server's WebSockets, by TLS or not, until the test ends.
func browse(t *testing.T, s *Server, secure bool) *httptest.Server {
	t.Helper()
	site := httptest.NewUnstartedServer(s.WebSocket())
	if secure {
		site.StartTLS()
	} else {
		site.Start()
	}
	t.Cleanup(site.Close)
	return site
}

func open(t *testing.T, site *httptest.Server) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, site.URL, &websocket.DialOptions{HTTPClient: site.Client(), Subprotocols: []string{"sip"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &browser{t, ws}
}

func (b *browser) raw(kind websocket.MessageType, text string) {
	b.t.Helper()
	if err := b.write(kind, text); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) write(kind websocket.MessageType, text string) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	return b.ws.Write(ctx, kind, []byte(text))
}

func (b *browser) send(lines ...string) {
	b.t.Helper()
	b.raw(websocket.MessageText, strings.Join(lines, "\r\n")+"\r\n\r\n")
}

func (b *browser) read() (string, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	_, text, err := b.ws.Read(ctx)
	return string(text), err
}

func (b *browser) recv(start string) string {
	b.t.Helper()
	for {
		text, err := b.read()
		if err != nil {
			b.t.Fatalf("waiting for %q: %v", start, err)
		}
		if strings.HasPrefix(text, start) {
			return text
		}
	}
}

// answer answers a request of ours.
func (b *browser) answer(req, status string, extra ...string) {
	b.t.Helper()
	to := field(req, "To")
	if !strings.Contains(to, "tag=") {
		to += ";tag=browser"
	}
	b.send(append([]string{"SIP/2.0 " + status, "Via: " + field(req, "Via"), "From: " + field(req, "From"), "To: " + to,
		"Call-ID: " + field(req, "Call-ID"), "CSeq: " + field(req, "CSeq")}, extra...)...)
}

// TestPhoneInABrowser holds that a phone without an address is registered, rung and
// hung up over its WebSocket, and gone with it. Its messages have no Content-Length.
func TestPhoneInABrowser(t *testing.T) {
	t.Parallel()
	for network, secure := range map[string]bool{"ws": false, "wss": true} {
		t.Run(network, func(t *testing.T) {
			s, d, store := agents(t, "both", "udp")
			b := open(t, browse(t, s, secure))
			register := func(seq int, auth ...string) {
				b.send(append([]string{"REGISTER sip:help.example SIP/2.0", "Via: SIP/2.0/" + strings.ToUpper(network) + " df7jal23ls0d.invalid;branch=z9hG4bK" + fmt.Sprint(seq),
					"From: <sip:anna@help.example>;tag=x", "To: <sip:anna@help.example>", "Call-ID: browser", fmt.Sprintf("CSeq: %d REGISTER", seq),
					"Contact: <sip:anna@df7jal23ls0d.invalid;transport=ws>;expires=600"}, auth...)...)
			}
			register(1)
			ask, err := parseDigest(field(b.recv("SIP/2.0 401"), "WWW-Authenticate"))
			if err != nil {
				t.Fatal(err)
			}
			register(2, "Authorization: "+answerTo(ask, gosip.REGISTER, "sip:help.example", Auth{"anna", "secret"}))
			if ok := b.recv("SIP/2.0 200"); !strings.Contains(field(ok, "Via"), ";received=127.0.0.1") {
				t.Errorf("Via %s", field(ok, "Via"))
			}
			next(t, "registered", d.events)
			bs, _ := store.Get(t.Context(), "anna")
			if len(bs) != 1 || !strings.HasPrefix(bs[0].Source, network+":127.0.0.1:") || bs[0].Encrypted() != secure {
				t.Fatalf("bindings %+v", bs)
			}

			l, err := s.Dial(Target{Binding: &bs[0], From: "caller"}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			invite := b.recv("INVITE sip:anna@df7jal23ls0d.invalid;transport=ws SIP/2.0")
			if !strings.HasPrefix(field(invite, "Via"), "SIP/2.0/"+strings.ToUpper(network)+" 127.0.0.1:") || !strings.Contains(field(invite, "Contact"), ";transport=ws>") {
				t.Errorf("Via %s, Contact %s", field(invite, "Via"), field(invite, "Contact"))
			}
			b.answer(invite, "200 OK", "Contact: <sip:anna@df7jal23ls0d.invalid;transport=ws>", "Content-Type: application/sdp", "", "v=0")
			wait(t, "answered", l.Answered())
			b.recv("ACK")
			l.Hangup()
			b.answer(b.recv("BYE sip:anna@df7jal23ls0d.invalid"), "200 OK")
			wantEnd(t, l, 200, ByLocal)

			_ = b.ws.CloseNow()
			eventually(t, func() string {
				if s.listenerFor(network, "").conns.get(strings.TrimPrefix(bs[0].Source, network+":")) != nil {
					return "the connection"
				}
				return ""
			})
			l, err = s.Dial(Target{Binding: &bs[0]}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			wantEnd(t, l, 480, ByFailure)
		})
	}
}

// TestBrowserIsNoTrunk holds that nobody is believed by the address his WebSocket
// comes from, which may be a proxy's.
func TestBrowserIsNoTrunk(t *testing.T) {
	s := start(t, Options{Config: openConfig("udp"), Handler: newDesk(nil)})
	b := open(t, browse(t, s, false))
	b.send("INVITE sip:helpline@h SIP/2.0", "Via: SIP/2.0/WS x.invalid;branch=z9hG4bK1", "From: <sip:a@x.invalid>;tag=1", "To: <sip:helpline@h>",
		"Call-ID: c", "CSeq: 1 INVITE", "Contact: <sip:a@x.invalid>")
	b.recv("SIP/2.0 401")
}

func TestWebSocketDoor(t *testing.T) {
	cfg := openConfig("udp")
	cfg.WebSocket.Origins = []string{"*.desk.example"}
	s := start(t, Options{Config: cfg})
	site := browse(t, s, false)
	for _, c := range []struct {
		origin, protocol string
		code             int
	}{
		{"", "sip", 101},
		{site.URL, "sip", 101},
		{"https://one.desk.example", "chat, sip", 101},
		{"https://evil.example", "sip", 403},
		{"https://desk.example.evil.example", "sip", 403},
		{"", "chat", 400},
		{"", "", 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", site.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": c.origin, "Sec-WebSocket-Protocol": c.protocol} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		res, err := site.Client().Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != c.code || c.code == 101 && res.Header.Get("Sec-WebSocket-Protocol") != "sip" {
			t.Errorf("origin %q, protocol %q: %d %q, want %d", c.origin, c.protocol, res.StatusCode, res.Header.Get("Sec-WebSocket-Protocol"), c.code)
		}
	}
	eventually(t, func() string { return leftovers("connections", s.webs[0].accept.open()) })
}

func TestWebSocketFrames(t *testing.T) {
	s := start(t, Options{Config: openConfig("udp")})
	site := browse(t, s, false)
	const options = "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/WS h.invalid;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: v\r\nCSeq: 1 OPTIONS\r\n\r\n"
	for _, c := range []struct {
		what, sent string
		kind       websocket.MessageType
		answer     string // "": the connection ends
	}{
		{"text", options, websocket.MessageText, "SIP/2.0 200"},
		{"binary", options, websocket.MessageBinary, "SIP/2.0 200"},
		{"keep-alive", "\r\n\r\n", websocket.MessageText, "\r\n"},
		{"no SIP", "hello, is anybody there?", websocket.MessageText, ""},
		{"a smuggled line", strings.Replace(options, "To: ", "Subject: a\nTo: ", 1), websocket.MessageText, ""},
		{"too long", options + strings.Repeat("x", 70_000), websocket.MessageText, ""},
	} {
		b := open(t, site)
		sending := b.write(c.kind, c.sent) // which may be cut off in what is too long
		got, err := b.read()
		if sending != nil && c.answer != "" {
			t.Errorf("%s: %v", c.what, sending)
		}
		if c.answer == "" != (err != nil) || !strings.HasPrefix(got, c.answer) {
			t.Errorf("%s: %.30q %v", c.what, got, err)
		}
	}
	eventually(t, func() string { // those that were served stand until the test ends
		if n := s.webs[0].accept.open(); n != 3 {
			return fmt.Sprintf("%d connections", n)
		}
		return ""
	})
}

// TestWebSocketsAreClosed holds that who is connected goes with the server, and
// that nobody is taken after.
func TestWebSocketsAreClosed(t *testing.T) {
	s, err := New(Options{Config: openConfig("udp")})
	if err != nil {
		t.Fatal(err)
	}
	site := browse(t, s, false)
	b := open(t, site)
	b.raw(websocket.MessageText, "\r\n\r\n")
	b.recv("\r\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.read(); err == nil {
		t.Error("connected still")
	}
	late := open(t, site)
	if _, err := late.read(); err == nil {
		t.Error("connected after the end")
	}
	if n := s.webs[0].accept.open(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// TestBannedBrowser holds that a ban is for WebSockets too: for those that stand,
// and at the door.
func TestBannedBrowser(t *testing.T) {
	cfg := openConfig("udp")
	cfg.Trunks = nil
	cfg.Limits = config.Limits{Failures: 3, Ban: config.Duration(time.Minute), LongestBan: config.Duration(time.Hour)}
	s := start(t, Options{Config: cfg})
	site := browse(t, s, false)
	b := open(t, site)
	for range 4 { // the first is being forgotten already
		s.edge.failed(netip.MustParseAddr("127.0.0.1"), "ws", offenceProof)
	}
	b.raw(websocket.MessageText, "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/WS h.invalid;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: v\r\nCSeq: 1 OPTIONS\r\n\r\n")
	if got, err := b.read(); err == nil {
		t.Errorf("answered %.30q", got)
	}
	_, res, err := websocket.Dial(t.Context(), site.URL, &websocket.DialOptions{HTTPClient: site.Client(), Subprotocols: []string{"sip"}})
	if err == nil || res == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("at the door: %v", err)
	}
}
