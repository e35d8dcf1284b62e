package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// answeringNode is a node to an edge, which says the same to all that are alike: the first
// lines of an answer, by the request. It gives its address.
func answeringNode(t *testing.T, says func(request string) string) string {
	t.Helper()
	node, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := node.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			request := string(buf[:n])
			if strings.HasPrefix(request, "ACK ") {
				continue
			}
			answer := says(request)
			for line := range strings.SplitSeq(request, "\r\n") {
				switch name, _, _ := strings.Cut(line, ":"); name {
				case "Via", "From", "To", "Call-ID", "CSeq":
					answer += line + "\r\n"
				}
			}
			_, _ = node.WriteToUDPAddrPort([]byte(answer+"Content-Length: 0\r\n\r\n"), from)
		}
	}()
	return node.LocalAddr().String()
}

// asked is a request of its own transaction.
func asked(method, network, from string, n int, extra ...string) []byte {
	lines := ""
	for _, line := range extra {
		lines += line + "\r\n"
	}
	return fmt.Appendf(nil, "%s sip:x@help.example SIP/2.0\r\nVia: SIP/2.0/%s %s:5060;branch=z9hG4bK%d;rport\r\nFrom: <sip:x@y>;tag=1\r\n"+
		"To: <sip:x@help.example>\r\nCall-ID: %s-%[4]d\r\nCSeq: 1 %[1]s\r\nMax-Forwards: 70\r\n%[6]sContent-Length: 0\r\n\r\n", method, network, from, n, network, lines)
}

// TestForgedFloodAtTheEdge: who floods the edge with datagrams in an office's name
// does not shut out its phones that use connections.
func TestForgedFloodAtTheEdge(t *testing.T) {
	t.Parallel()
	edge := peer.StartEdge(t, answeringNode(t, func(string) string { return "SIP/2.0 200 OK\r\n" }))
	const office = "127.0.0.7"
	options := func(network string, n int) []byte { return asked("OPTIONS", network, office, n) }
	forger, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(office)}}).Dial("udp", edge.Outer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = forger.Close() })
	for n := range 1000 { // pike lets pass 400 in two seconds
		if _, err := forger.Write(options("UDP", n)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Microsecond)
	}
	phone, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(office)}}).Dial("tcp", edge.Outer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = phone.Close() })
	_ = phone.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := phone.Write(options("TCP", 1)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(phone)
	if !answers.Scan() || !strings.HasPrefix(answers.Text(), "SIP/2.0 200") {
		t.Fatalf("a phone over TCP hears %q, %v", answers.Text(), answers.Err())
	}

	// Connections have a bound too.
	_ = phone.SetDeadline(time.Now().Add(2 * time.Second))
	for n := range 1500 {
		if _, err := phone.Write(options("TCP", 2+n)); err != nil {
			t.Fatal(err)
		}
	}
	heard := 0
	for answers.Scan() {
		if strings.HasPrefix(answers.Text(), "SIP/2.0 ") {
			heard++
		}
	}
	if heard < 100 || heard > 900 { // two spans of two seconds at most
		t.Errorf("of 1500 requests over TCP %d were answered", heard)
	}
}
