package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/phone"
	"github.com/bugle-voice/bugle/test/peer"
)

// Two nodes behind Kamailio as deployments/edge has it. A carrier's call that comes
// to one node reaches the phone that registered at the other, over the connection it
// has to the edge; the carrier is known by its own address; a node that is killed takes
// nothing of the other's with it.
func TestTwoNodesBehindAnEdge(t *testing.T) {
	t.Parallel()
	node := edgeNodes(t)
	a := peer.StartBugle(t, node("a"), "anna", "sofia")
	b := a.StartBeside(t, node("b"), "anna", "sofia", "ben")
	edge := peer.StartEdge(t, a.SIP, b.SIP)
	agent := func(id, transport, server string, tone int) *peer.Baresip {
		return peer.StartBaresip(t, peer.Phone{User: id, Password: "pw-" + id, Server: server, Transport: transport, CA: edge.CA, Tone: tone,
			Domain: "help.example", Codec: "PCMU,PCMA"})
	}

	edge.Only(t, a.SIP)
	anna := agent("anna", "udp", edge.Outer, 440)
	edge.Only(t, b.SIP)
	sofia := agent("sofia", "tcp", edge.Outer, 600)
	agent("ben", "tls", edge.TLS, 500)
	edge.Only(t, a.SIP) // all calls that follow
	for node, want := range map[*peer.Bugle]float64{a: 1, b: 2} {
		if got := node.Metrics(t)["bugle_sip_registrations"]; got != want {
			t.Errorf("%v phones have registered at %s, want %v", got, node.SIP, want)
		}
	}
	noStrangers(t, a, edge)

	spanish := call(t, peer.CarrierHost, edge.Outer, "2,1")
	sofia.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	awaitTone(t, spanish.file, 600, 2*time.Second)
	awaitTone(t, theOneRecording(t, sofia), 1000, 2*time.Second)
	sofia.Do(t, "hangup", "")
	spanish.ended(t)
	if out, _ := peer.Run(t, "", "events", "-c", filepath.Join(a.Dir, "bugle.yaml")); !strings.Contains(out, `"trunk":"this-machine"`) {
		t.Error("the call is not known as the carrier's")
	}

	english := call(t, peer.CarrierHost, edge.Outer, "1,1")
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)

	// The other node dies. What goes to it goes to this one, at once.
	edge.Only(t, "")
	b.Signal(syscall.SIGKILL)
	b.Wait(t, 20*time.Second)
	stranger := newStranger(t, "127.0.0.7", edge.Outer)
	for i := range 8 {
		stranger.send("OPTIONS", fmt.Sprint("after-", i))
	}
	for range 8 {
		if got := stranger.hears(20 * time.Second); !strings.HasPrefix(got, "SIP/2.0 200") {
			t.Errorf("a request after the death of a node: %.40q", got)
		}
	}
	sofia.Signal(syscall.SIGKILL) // her phone notices, and begins anew
	sofia = agent("sofia", "tcp", edge.Outer, 600)
	if got := a.Metrics(t)["bugle_sip_registrations"]; got != 2 {
		t.Errorf("%v phones have registered at the node that is left, want 2", got)
	}
	peer.Eventually(t, 20*time.Second, "three seconds of talk", func() bool { return talked(t, anna, 3*time.Second) })
	again := call(t, peer.CarrierHost, edge.Outer, "2,1")
	sofia.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	for _, c := range []*placed{english, again} {
		c.hangUp()
		c.ended(t)
	}
	anna.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	sofia.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	// Three calls of two legs, ended from either side. The edge counts repetitions too.
	if got := edge.Count(t, "rcv_requests_bye"); got < 6 {
		t.Errorf("%d BYEs came by the edge, want 6", got)
	}
	if got := a.Metrics(t)[`bugle_sip_requests_total{method="BYE"}`]; got != 3 {
		t.Errorf("%v BYEs came to the node, want 3", got)
	}
	nothingLeft(t, a)
}

// edgeNodes gives the configuration of nodes behind the edge, by their names: they
// share Redis and a database.
func edgeNodes(t *testing.T) func(name string) string {
	t.Helper()
	shared := fmt.Sprintf("%sredis: {addr: %s}\nstore: {postgres: %q}\n", ports, peer.StartRedis(t), peer.StartPostgres(t).Database(t))
	return func(name string) string {
		text := peer.DemoConfig(t, shared+"node: "+name+"\n")
		for _, change := range [][2]string{
			{"\nsip:\n", "\nsip:\n  domain: help.example\n  ready_on_register: true\n  edges: [" + peer.EdgeHost + "/32]\n  limits: {failures: 5}\n"},
			{"addresses: [127.0.0.0/8]", "addresses: [" + peer.CarrierHost + "/32]"},
		} {
			if !strings.Contains(text, change[0]) {
				t.Fatalf("the demo's configuration has changed:\n%s", text)
			}
			text = strings.Replace(text, change[0], change[1], 1)
		}
		return text
	}
}

// noStrangers: through the edge a stranger is a stranger, whatever he says, reaches
// nobody but a node, and is banned, alone, by the node and the edge.
func noStrangers(t *testing.T, node *peer.Bugle, edge *peer.Edge) {
	t.Helper()
	bystander, err := net.ListenPacket("udp", "127.0.0.6:0")
	if err != nil {
		t.Fatal(err)
	}
	defer bystander.Close()
	there := bystander.LocalAddr().String()
	s := newStranger(t, "127.0.0.5", edge.Outer)
	inCall := "To: <sip:x@y>;tag=1"
	for i, c := range []struct {
		name, method string
		extra        []string
		want         string
	}{
		{"a carrier, by his own word", "INVITE", []string{"X-Edge-Source: udp:" + peer.CarrierHost + ":5060"}, "401"},
		{"a carrier, by the old way to write it", "INVITE", []string{"x-edge-source : udp:" + peer.CarrierHost + ":5060"}, "401"},
		{"a way of his own", "INVITE", []string{"Route: <sip:" + there + ";lr>"}, "401"},
		{"a way of his own within a call", "INFO", []string{"Route: <sip:" + edge.Outer + ";lr>, <sip:" + there + ";lr>", inCall}, "481"},
		{"an address of his own within a call", "INFO", []string{"Route: <sip:" + edge.Outer + ";lr>", inCall}, "481"},
		{"no way within a call", "INFO", []string{inCall}, "481"},
	} {
		s.send(c.method, fmt.Sprint("stranger-", i), c.extra...)
		if got := s.hears(5 * time.Second); !strings.HasPrefix(got, "SIP/2.0 "+c.want) {
			t.Errorf("%s: %.60q, want %s", c.name, got, c.want)
		}
	}
	if err := bystander.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, from, err := bystander.ReadFrom(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes went to a stranger's friend from %v", n, from)
	}

	got := ""
	for n := 0; n < 30 && !strings.HasPrefix(got, "SIP/2.0 403"); n++ {
		s.send("FROBNICATE", "ban")
		got = s.hears(5 * time.Second)
	}
	if !strings.HasPrefix(got, "SIP/2.0 403") || !strings.Contains(got, "Retry-After: ") {
		t.Fatalf("no ban: %q", got)
	}
	s.send("OPTIONS", "ban")
	if got := s.hears(300 * time.Millisecond); got != "" {
		t.Errorf("the edge still hears a banned flow: %.40q", got)
	}
	if banned := node.Metrics(t)["bugle_sip_banned_sources"]; banned != 1 {
		t.Errorf("%v sources are banned, want the stranger alone", banned)
	}
}

// placed is a call of a phone in the test itself, at an address of its own.
type placed struct {
	hangUp context.CancelFunc
	file   string
	result chan error
}

// call has somebody at an address of loopback call the helpline, and say 1000 Hz.
func call(t *testing.T, from, server, keys string) *placed {
	t.Helper()
	p, err := phone.New(phone.Options{Address: netip.MustParseAddr(from), Ports: config.PortRange{First: 53000, Last: 53999}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	c := &placed{file: filepath.Join(t.TempDir(), "heard.wav"), result: make(chan error, 1)}
	record, err := os.Create(c.file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	c.hangUp = hangUp
	go func() {
		result, err := p.Call(ctx, phone.CallOptions{URI: "sip:helpline@" + server, Press: strings.Split(keys, ","), Every: 500 * time.Millisecond,
			Say: media.Tone(1000, time.Second), Record: record})
		if err == nil && !result.Answered {
			err = fmt.Errorf("not answered: %d %s", result.End.Code, result.End.Reason)
		}
		c.result <- errors.Join(err, record.Close())
	}()
	return c
}

// ended waits for a call's end.
func (c *placed) ended(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.result:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the call does not end")
	}
}

// stranger writes SIP by hand, over UDP.
type stranger struct {
	t    *testing.T
	conn net.Conn
	to   string
	sent int
	told map[string]bool // by CSeq: what has been answered
}

func newStranger(t *testing.T, from, to string) *stranger {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &stranger{t: t, conn: conn, to: to, told: map[string]bool{}}
}

// send sends a request with that Call-ID, and perhaps a To of its own.
func (s *stranger) send(method, id string, extra ...string) {
	s.t.Helper()
	s.sent++
	lines := append([]string{method + " sip:x@" + s.to + " SIP/2.0", fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK%s-%d", s.conn.LocalAddr(), id, s.sent),
		"Max-Forwards: 70", "From: <sip:stranger@stranger.example>;tag=1", "Call-ID: " + id, fmt.Sprintf("CSeq: %d %s", s.sent, method),
		"Contact: <sip:stranger@" + s.conn.LocalAddr().String() + ">"}, extra...)
	if !strings.Contains(strings.Join(extra, "\n"), "To:") {
		lines = append(lines, "To: <sip:x@"+s.to+">")
	}
	if _, err := s.conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\nContent-Length: 0\r\n\r\n")); err != nil {
		s.t.Fatal(err)
	}
}

// hears gives the next final answer, nothing if none comes in time. He acknowledges none,
// and is told some again and again: only the first counts.
func (s *stranger) hears(limit time.Duration) string {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 65536)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			return ""
		}
		got := string(buf[:n])
		_, number, _ := strings.Cut(got, "\r\nCSeq: ")
		number, _, _ = strings.Cut(number, "\r\n")
		if !strings.HasPrefix(got, "SIP/2.0 1") && !s.told[number] {
			s.told[number] = true
			return got
		}
	}
}
