package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// talker is somebody who speaks to an edge over a transport, and hears final answers.
type talker struct {
	t       *testing.T
	conn    net.Conn
	network string
	sent    int
}

func newTalker(t *testing.T, network, to string) *talker {
	t.Helper()
	conn, err := net.Dial(network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &talker{t: t, conn: conn, network: network}
}

// wants is how long one waits for an answer with that status, or sees that there is none.
func wants(status string) time.Duration {
	if status == "" {
		return 300 * time.Millisecond
	}
	return 5 * time.Second
}

// asks sends a request and gives the status of its answer, "" if none comes in time.
func (k *talker) asks(limit time.Duration, method string, extra ...string) string {
	k.t.Helper()
	k.sent++
	from := netip.MustParseAddrPort(k.conn.LocalAddr().String())
	network, n := strings.ToUpper(k.network), 100*int(from.Port())+k.sent
	if _, err := k.conn.Write(asked(method, network, from.Addr().String(), n, extra...)); err != nil {
		k.t.Fatal(err)
	}
	return k.hears(limit, fmt.Sprintf("%s-%d", network, n))
}

// hears gives the status of the next final answer in a call, by its Call-ID: those of
// others may be repeated meanwhile.
func (k *talker) hears(limit time.Duration, call string) string {
	_ = k.conn.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 65536)
	for {
		n, err := k.conn.Read(buf)
		if err != nil {
			return ""
		}
		for answer := range strings.SplitSeq(string(buf[:n]), "\r\n\r\n") { // over TCP, two may come at once
			if status, ok := strings.CutPrefix(answer, "SIP/2.0 "); ok && status[0] != '1' && strings.Contains(answer, "\r\nCall-ID: "+call+"\r\n") {
				return status[:3]
			}
		}
	}
}

// cut reports whether the connection has been closed from the other side.
func (k *talker) cut() bool {
	_ = k.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := k.conn.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestLetInAtTheEdge: who has registered through the edge is heard by it, though a node
// bans his office, and his connection stays, as does that of whose call rings; who has not keeps
// no room taken.
func TestLetInAtTheEdge(t *testing.T) {
	t.Parallel() // it waits most of the time
	edge := peer.StartEdge(t, answeringNode(t, func(request string) string {
		switch method, _, _ := strings.Cut(request, " "); {
		case method == "REGISTER" && strings.Contains(request, "expires=0\r\n"):
			return "SIP/2.0 200 OK\r\nContact: <sip:x@192.0.2.9>;expires=60\r\n" // another phone of his stays
		case method == "REGISTER":
			return "SIP/2.0 200 OK\r\nContact: <sip:x@192.0.2.9;transport=tcp>;expires=30\r\nContact: <sip:x@192.0.2.7>;q=0.5;expires=60\r\n"
		case method == "INVITE" && strings.Contains(request, "\r\nX-Rings: 1\r\n"):
			return "SIP/2.0 180 Ringing\r\n"
		case method == "INVITE":
			return "SIP/2.0 403 Forbidden\r\nRetry-After: 60\r\n"
		default:
			return "SIP/2.0 200 OK\r\n"
		}
	}))
	silent, waiting := newTalker(t, "tcp", edge.Outer), newTalker(t, "tcp", edge.Outer)
	if got := waiting.asks(wants(""), "INVITE", "X-Rings: 1"); got != "" {
		t.Errorf("a call that rings gets %q", got)
	}
	for _, network := range []string{"udp", "tcp"} {
		phone, asker, stranger := newTalker(t, network, edge.Outer), newTalker(t, network, edge.Outer), newTalker(t, network, edge.Outer)
		for _, step := range []struct {
			who, method, want string
			extra             []string
		}{
			{"phone", "REGISTER", "200", []string{"Contact: <sip:x@192.0.2.7>", "Expires: 60"}},
			{"phone", "INVITE", "403", nil},
			{"phone", "OPTIONS", "200", nil},
			{"phone", "REGISTER", "200", []string{"Contact: <sip:x@192.0.2.7>;expires=0"}},
			{"phone", "INVITE", "403", nil},
			{"phone", "OPTIONS", "", nil},
			{"phone", "REGISTER", "", []string{"Contact: <sip:x@192.0.2.7>", "Expires: 60"}},
			{"asker", "REGISTER", "200", nil}, // which phones there are
			{"asker", "INVITE", "403", nil},
			{"asker", "OPTIONS", "", nil},
			{"stranger", "INVITE", "403", nil},
			{"stranger", "OPTIONS", "", nil},
		} {
			k := map[string]*talker{"phone": phone, "asker": asker, "stranger": stranger}[step.who]
			if got := k.asks(wants(step.want), step.method, step.extra...); got != step.want {
				t.Errorf("%s: %s of a %s gets %q, want %q\n%s", network, step.method, step.who, got, step.want, edge.Ask(t, "htable.dump", "phones"))
			}
		}
		if network == "tcp" {
			// After 5 s for a second message and EdgeSilence more; Kamailio's clock loses where the
			// machine stands still. Who has been let in stays for an hour.
			peer.Eventually(t, 2*time.Minute, "connections of strangers to be closed", func() bool { return silent.cut() && stranger.cut() })
			if phone.cut() {
				t.Error("the connection of a phone is closed as well")
			}
			if waiting.cut() {
				t.Error("the connection of whose call rings is closed as well")
			}
		}
	}
}

// TestNameAtTheEdge: what belongs to a call goes along its Route to a node by its address alone.
// A name may lead there as it is looked at, and elsewhere as it is sent: it leads nowhere.
func TestNameAtTheEdge(t *testing.T) {
	t.Parallel()
	node := answeringNode(t, func(request string) string {
		if strings.HasPrefix(request, "BYE ") {
			return "SIP/2.0 299 Node\r\n"
		}
		return "SIP/2.0 200 OK\r\n"
	})
	edge := peer.StartEdge(t, node)
	host, port, err := net.SplitHostPort(node)
	if err != nil {
		t.Fatal(err)
	}
	edge.Ask(t, "dns.add_a", "changing.example", "60", host, "0") // which is the node, for now
	name := "changing.example:" + port
	k := newTalker(t, "udp", edge.Outer)
	for i, c := range []struct{ what, uri, route, want string }{
		{"the node's address, in Route", "sip:x@192.0.2.1", "<sip:" + node + ";lr>", "299"},
		{"and in the Request-URI", "sip:" + node, "", "299"},
		{"its name, in Route", "sip:x@192.0.2.1", "<sip:" + name + ";lr>", "481"},
		{"and in the Request-URI", "sip:" + name, "", "481"},
		{"somebody else's address", "sip:x@192.0.2.1", "<sip:127.0.0.1:9;lr>", "481"},
		{"somebody else's name", "sip:x@elsewhere.invalid", "", "481"},
	} {
		route := "Route: <sip:" + edge.Outer + ";lr>\r\n"
		if c.route != "" {
			route += "Route: " + c.route + "\r\n"
		}
		if _, err := fmt.Fprintf(k.conn, "BYE %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKname%d;rport\r\n%sFrom: <sip:x@y>;tag=1\r\n"+
			"To: <sip:x@help.example>;tag=2\r\nCall-ID: name-%[3]d\r\nCSeq: 2 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
			c.uri, k.conn.LocalAddr(), i, route); err != nil {
			t.Fatal(err)
		}
		if got := k.hears(5*time.Second, fmt.Sprint("name-", i)); got != c.want {
			t.Errorf("%s: answered %q, want %s", c.what, got, c.want)
		}
	}
}
