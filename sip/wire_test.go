package sip

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// wireConn is a UDP socket, a real one or one of an ether.
type wireConn interface {
	Read([]byte) (int, error)
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
	SetReadDeadline(time.Time) error
	LocalAddr() net.Addr
	Close() error
}

// wire is a far end that speaks SIP by hand, over UDP. As a phone's transactions do, it
// drops what has come before, byte for byte; who waits for a repetition says so (again).
type wire struct {
	t     testing.TB
	conn  wireConn
	to    netip.AddrPort
	heard []string // all that came
	seen  []string // of it, what was not asked for yet
}

func newWire(t testing.TB, s *Server) *wire {
	t.Helper()
	ln := s.listenerFor("udp", "")
	if c, ok := ln.udp.PacketConn.(*memConn); ok {
		return &wire{t: t, conn: c.ether.listen(nil), to: ln.addr}
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, conn: conn, to: ln.addr}
}

func (w *wire) addr() string { return w.conn.LocalAddr().String() }

// send writes a message given as lines, the body after an empty one.
func (w *wire) send(lines ...string) {
	w.t.Helper()
	head, body := lines, ""
	for i, l := range lines {
		if l == "" {
			head, body = lines[:i], strings.Join(lines[i+1:], "\r\n")+"\r\n"
			break
		}
	}
	msg := strings.Join(head, "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	w.raw(msg)
}

func (w *wire) raw(msg string) {
	w.t.Helper()
	if _, err := w.conn.WriteToUDPAddrPort([]byte(msg), w.to); err != nil {
		w.t.Fatal(err)
	}
}

// recv gives the next new message that begins so; others are put aside.
func (w *wire) recv(begins string) string {
	w.t.Helper()
	msg, ok := w.within(begins, patience)
	if !ok {
		w.t.Fatalf("nothing beginning %q came; put aside: %q", begins, firstLines(w.seen))
	}
	return msg
}

// within is recv that may wait in vain.
func (w *wire) within(begins string, d time.Duration) (string, bool) {
	return w.await(d, func(m string, again bool) bool { return !again && strings.HasPrefix(m, begins) })
}

// after is recv of what must come in exactly d.
func (w *wire) after(d time.Duration, begins string) string {
	w.t.Helper()
	began := time.Now()
	msg, ok := w.within(begins, d+time.Second)
	if took := time.Since(began); !ok || took != d {
		w.t.Fatalf("%q came %v, after %s, want %s; put aside: %q", begins, ok, took, d, firstLines(w.seen))
	}
	return msg
}

// again waits until a message that came before comes once more, byte for byte.
func (w *wire) again(msg string) {
	w.t.Helper()
	if _, ok := w.await(patience, func(m string, again bool) bool { return again && m == msg }); !ok {
		w.t.Fatalf("not repeated: %s\nput aside: %q", msg, firstLines(w.seen))
	}
}

// quiet complains of what begins so and comes within d, new or again.
func (w *wire) quiet(begins string, d time.Duration) {
	w.t.Helper()
	if m, ok := w.await(d, func(m string, _ bool) bool { return strings.HasPrefix(m, begins) }); ok {
		w.t.Errorf("untimely: %s", m)
	}
}

// await gives the first message that is wanted of those put aside and those that come
// within d. What else is new is put aside.
func (w *wire) await(d time.Duration, wanted func(m string, again bool) bool) (string, bool) {
	for i, m := range w.seen {
		if wanted(m, false) {
			w.seen = slices.Delete(w.seen, i, i+1)
			return m, true
		}
	}
	_ = w.conn.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, 65536)
	for {
		n, err := w.conn.Read(buf)
		if err != nil {
			return "", false
		}
		m := string(buf[:n])
		again := slices.Contains(w.heard, m)
		if !again {
			w.heard = append(w.heard, m)
		}
		if wanted(m, again) {
			return m, true
		}
		if !again {
			w.seen = append(w.seen, m)
		}
	}
}

func firstLines(msgs []string) []string {
	var out []string
	for _, m := range msgs {
		l, _, _ := strings.Cut(m, "\r\n")
		out = append(out, l)
	}
	return out
}

// field gives a header of a raw message.
func field(msg, name string) string {
	for line := range strings.SplitSeq(msg, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// caller is a wire that places one call.
type caller struct {
	*wire
	callID, to string // To with the tag once there is one
	branch     int
}

func newCaller(t testing.TB, s *Server, callID string) *caller {
	w := newWire(t, s)
	return &caller{wire: w, callID: callID, to: "<sip:helpline@" + w.to.String() + ">"}
}

// request sends one of the dialog's requests; extra lines are headers, and the
// body after an empty one.
func (c *caller) request(method string, seq int, extra ...string) {
	c.t.Helper()
	if method != "ACK" && method != "CANCEL" {
		c.branch++
	}
	c.resend(method, seq, c.branch, extra...)
}

func (c *caller) resend(method string, seq, branch int, extra ...string) {
	c.t.Helper()
	c.send(append([]string{
		method + " sip:helpline@" + c.wire.to.String() + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-%s-%d", c.addr(), c.callID, branch),
		"From: <sip:+15550001@carrier.example>;tag=theirs",
		"To: " + c.to,
		"Call-ID: " + c.callID,
		fmt.Sprintf("CSeq: %d %s", seq, method),
		"Contact: <sip:caller@" + c.addr() + ">",
		"Max-Forwards: 70",
	}, extra...)...)
}

var offer = []string{"Content-Type: application/sdp", "", "v=0", "s=theirs"}

// dial places a call up to the 200, unacknowledged.
func (c *caller) dial() string {
	c.t.Helper()
	c.request("INVITE", 1, offer...)
	ok := c.recv("SIP/2.0 200")
	c.to = field(ok, "To")
	return ok
}

// answer replies to a request received, by its own headers.
func (w *wire) answer(req, status, toTag string, extra ...string) {
	w.t.Helper()
	to := field(req, "To")
	if toTag != "" && !strings.Contains(to, ";tag=") {
		to += ";tag=" + toTag
	}
	lines := []string{"SIP/2.0 " + status}
	for line := range strings.SplitSeq(req, "\r\n") {
		if strings.HasPrefix(line, "Via:") || strings.HasPrefix(line, "Record-Route:") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, "From: "+field(req, "From"), "To: "+to, "Call-ID: "+field(req, "Call-ID"), "CSeq: "+field(req, "CSeq"))
	if strings.HasPrefix(status, "2") || strings.HasPrefix(status, "18") {
		lines = append(lines, "Contact: <sip:callee@"+w.addr()+">")
	}
	w.send(append(lines, extra...)...)
}

// parse reads a request as a socket's reader does.
func parse(t testing.TB, raw string) *gosip.Request {
	t.Helper()
	m, err := newParser().ParseSIP([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m.(*gosip.Request)
}

// TestWireDropsRepeats: the 200 of an INVITE, said again for want of the ACK, is not taken
// for the answer to what is asked next.
func TestWireDropsRepeats(t *testing.T) {
	d := answering(t, &media{})
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "repeats")
		began := time.Now()
		ok := c.dial()
		c.again(ok)
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("the 200 came again after %s, want T1", took)
		}
		time.Sleep(10 * time.Second) // and again, meanwhile
		c.request("ACK", 1)
		c.request("OPTIONS", 2)
		if got := c.recv("SIP/2.0 200"); field(got, "CSeq") != "2 OPTIONS" {
			t.Errorf("OPTIONS is answered by %s", got)
		}
		c.quiet("", time.Minute)
		c.over(t, next(t, "leg", d.legs), 3)
	})
}
