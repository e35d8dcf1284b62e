package sip

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Calls with sipp (Debian's 3.6) as the other side. Its scenarios are written
// here as what is sent and received, step by step; sipp fails when anything
// else comes.
//
// sipp knows only some repetitions for what they are: one of a request it has answered
// twice, by 180 and 200, is "anything else". So nothing is repeated by itself here (start),
// and a scenario that wants to see a repetition, or what a timer does, has the
// test call what the timer would. That timers run out in time is for the tests in
// virtual time.

type step string

func sends(lines ...string) step {
	return step("<send><![CDATA[\n" + strings.Join(lines, "\n") + "\n]]></send>\n")
}

func gets(code int, attrs ...string) step {
	return step(fmt.Sprintf("<recv response=%q %s/>\n", fmt.Sprint(code), strings.Join(attrs, " ")))
}

func hears(method string) step { return step(fmt.Sprintf("<recv request=%q/>\n", method)) }

func pauses(d time.Duration) step {
	return step(fmt.Sprintf("<pause milliseconds=\"%d\"/>\n", d.Milliseconds()))
}

const (
	optional = `optional="true"`
	keepsRR  = `rrs="true"`
	asksAuth = `auth="true"`
)

// request is one of the caller's requests.
func request(method string, seq int, extra ...string) step {
	to := "To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]"
	via := "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
	switch method {
	case "INVITE":
		if seq == 1 {
			to = "To: <sip:[service]@[remote_ip]:[remote_port]>"
		}
		extra = append(extra, "Content-Type: application/sdp", "Content-Length: [len]", "", "v=0", "o=- 1 1 IN IP4 [local_ip]", "s=-",
			"c=IN IP4 [local_ip]", "t=0 0", "m=audio 40000 RTP/AVP 0")
	case "CANCEL":
		via = "[last_Via:]"
		to = "To: <sip:[service]@[remote_ip]:[remote_port]>"
		extra = append(extra, "Content-Length: 0", "")
	default:
		extra = append(extra, "Content-Length: 0", "")
	}
	return sends(append([]string{
		method + " sip:[service]@[remote_ip]:[remote_port] SIP/2.0", via,
		"From: <sip:+15550001@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]", to,
		"Call-ID: [call_id]", fmt.Sprintf("CSeq: %d %s", seq, method),
		"Contact: <sip:+15550001@[local_ip]:[local_port];transport=[transport]>", "Max-Forwards: 70",
	}, extra...)...)
}

// answers replies to the last request.
func answers(status string, sdp bool) step {
	lines := []string{
		"SIP/2.0 " + status, "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]", "[last_Call-ID:]", "[last_CSeq:]",
		"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>",
	}
	if sdp {
		lines = append(lines, "Content-Type: application/sdp", "Content-Length: [len]", "", "v=0", "o=- 1 1 IN IP4 [local_ip]", "s=-",
			"c=IN IP4 [local_ip]", "t=0 0", "m=audio 40000 RTP/AVP 0")
	} else {
		lines = append(lines, "Content-Length: 0", "")
	}
	return sends(lines...)
}

// closes answers a request of an established dialog, whose To has a tag.
func closes() step {
	return sends("SIP/2.0 200 OK", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]", "Content-Length: 0", "")
}

// sipp runs a scenario to its end in the background; the channel tells how it
// went. as is extra arguments.
func sipp(t *testing.T, network, name string, steps []step, as ...string) <-chan error {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name+".xml")
	var xml strings.Builder
	xml.WriteString("<?xml version=\"1.0\"?>\n<scenario name=\"" + name + "\">\n")
	for _, s := range steps {
		xml.WriteString(string(s))
	}
	xml.WriteString("</scenario>\n")
	if err := os.WriteFile(file, []byte(xml.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	args := append([]string{"-sf", file, "-m", "1", "-i", "127.0.0.1", "-t", map[string]string{"udp": "u1", "tcp": "t1"}[network],
		"-nostdin", "-timeout", fmt.Sprint(patience.Seconds()), "-timeout_error", "-trace_err", "-error_file", filepath.Join(dir, "errors")}, as...)
	cmd := exec.CommandContext(ctx, "sipp", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=dumb")
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatalf("sipp (package sip-tester) is needed: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		defer cancel()
		err := cmd.Wait()
		if err != nil {
			trace, _ := os.ReadFile(filepath.Join(dir, "errors"))
			err = fmt.Errorf("sipp %s: %w\n%s", name, err, trace)
		}
		done <- err
	}()
	return done
}

func succeeds(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * patience):
		t.Fatal("sipp does not end")
	}
}

// asked waits until a server has sent a request, and gives its transaction.
func asked(t *testing.T, s *Server, method gosip.RequestMethod) *clientTx {
	t.Helper()
	var found *clientTx
	eventually(t, func() string {
		if found = sent(s, method); found == nil {
			return "no " + string(method) + " was sent"
		}
		return ""
	})
	if found == nil {
		t.FailNow()
	}
	return found
}

// sent gives a transaction of a server's that is not over, of a request of a method, or nil.
func sent(s *Server, method gosip.RequestMethod) *clientTx {
	for _, tx := range s.clientTxs.all() {
		if tx.req.Method == method {
			return tx
		}
	}
	return nil
}

// unheard has an answer that a leg repeats until it is acknowledged be repeated once,
// and then given up as after 64*T1.
func unheard(l *Leg) {
	l.mu.Lock()
	p := cmp.Or(l.pending, l.in.unacked)
	l.mu.Unlock()
	l.repeat(p)
	l.mu.Lock()
	p.left = 0
	l.mu.Unlock()
	l.repeat(p)
}

func TestSippCalls(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		after func(*testing.T, *Leg) // what the conductor does once it has answered, or nil
		code  int
		by    By
		rings bool // it rings and never answers
	}{
		{name: "caller-hangs-up", code: 200, by: ByRemote, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1),
			pauses(100 * time.Millisecond), request("BYE", 2), gets(200)}},
		{name: "we-hang-up", code: 200, by: ByLocal, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1), hears("BYE"), closes()},
			after: func(_ *testing.T, l *Leg) { l.Hangup() }},
		{name: "cancelled", code: 487, by: ByRemote, rings: true, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180), request("CANCEL", 1), gets(200), gets(487),
			sends("ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "CSeq: 1 ACK", "Content-Length: 0", "")}},
		{name: "bye-before-ack", code: 200, by: ByRemote, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("BYE", 2), gets(200), request("ACK", 1)}},
		{name: "lost-ack", code: 408, by: ByFailure, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR),
			"<label id=\"1\"/>\n", gets(200, optional, `next="1"`), hears("BYE"), closes()},
			after: func(_ *testing.T, l *Leg) { unheard(l) }},
		{name: "bye-answered-late", code: 200, by: ByLocal, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1), hears("BYE"),
			pauses(200 * time.Millisecond), closes()},
			after: func(t *testing.T, l *Leg) {
				l.Hangup()
				eventually(t, func() string {
					if bye := sent(l.s, gosip.BYE); bye != nil {
						if !bye.reliable {
							bye.repeat()
						}
						return ""
					}
					select {
					case <-l.Done(): // we stood still until sipp had answered
						return ""
					default:
						return "no BYE was sent"
					}
				})
			}},
		{name: "bye-never-answered", code: 200, by: ByLocal, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1), hears("BYE")},
			after: func(t *testing.T, l *Leg) {
				l.Hangup()
				asked(t, l.s, gosip.BYE).timeout()
			}},
		{name: "changes-and-asks", code: 200, by: ByRemote, steps: []step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1),
			request("INVITE", 2), gets(100, optional), gets(200), request("ACK", 2), request("OPTIONS", 3), gets(200), request("BYE", 4), gets(200)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachNetwork(t, func(t *testing.T, network string) {
				d := newDesk(nil)
				d.conduct = func(l *Leg) {
					if err := l.Ringing(); err != nil {
						t.Error(err)
					}
					if !c.rings {
						if err := l.Answer(&media{}); err != nil {
							t.Error(err)
						}
					}
					if c.after != nil {
						c.after(t, l)
					}
					d.legs <- l
					<-l.Done()
				}
				s := start(t, Options{Config: openConfig(network), Handler: d})
				done := sipp(t, network, c.name, c.steps, "-p", fmt.Sprint(freePort(t)), "-s", "helpline", s.Addrs()[0].Address.String())
				wantEnd(t, next(t, "call", d.legs), c.code, c.by)
				succeeds(t, done)
			})
		})
	}
}

func TestSippAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		act   func(*testing.T, *Leg)
		code  int
		by    By
	}{
		{"agent-hangs-up", []step{
			hears("INVITE"), answers("180 Ringing", false), answers("200 OK", true),
			`<recv request="ACK"><action><ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/></action></recv>` + "\n",
			pauses(100 * time.Millisecond),
			sends("BYE sip:bugle@[remote_ip]:[remote_port] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From: <sip:agent@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]", "To:[$1]", "[last_Call-ID:]", "CSeq: 1 BYE", "Content-Length: 0", ""),
			gets(200)}, nil, 200, ByRemote},
		{"we-hang-up", []step{
			hears("INVITE"), answers("180 Ringing", false), answers("200 OK", true), hears("ACK"), hears("BYE"), closes()},
			func(t *testing.T, l *Leg) { wait(t, "answered", l.Answered()); l.Hangup() }, 200, ByLocal},
		{"late-200-after-cancel", []step{
			hears("INVITE"), answers("180 Ringing", false), hears("CANCEL"),
			sends("SIP/2.0 200 OK", "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]", "[last_Call-ID:]", "CSeq: 1 INVITE",
				"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>", "Content-Length: 0", ""),
			hears("ACK"), hears("BYE"), closes()},
			func(t *testing.T, l *Leg) { wait(t, "ringing", l.Progress()); l.Hangup() }, 487, ByLocal},
		{"busy", []step{hears("INVITE"), answers("486 Busy Here", false), hears("ACK")}, nil, 486, ByRemote},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachNetwork(t, func(t *testing.T, network string) {
				s := start(t, Options{Config: openConfig("udp")})
				port := freePort(t)
				done := sipp(t, network, c.name, c.steps, "-p", fmt.Sprint(port))
				l := ring(t, s, network, port, Target{URI: fmt.Sprintf("sip:agent@127.0.0.1:%d;transport=%s", port, network), From: "bugle"})
				if c.act != nil {
					c.act(t, l)
				}
				wantEnd(t, l, c.code, c.by)
				succeeds(t, done)
			})
		})
	}
}

// ring calls a sipp as soon as it listens, and waits until it has answered.
func ring(t *testing.T, s *Server, network string, port int, target Target) *Leg {
	t.Helper()
	listened(t, network, port)
	l, err := s.Dial(target, &media{})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Progress():
	case <-l.Done():
	case <-time.After(patience):
		t.Fatal("sipp does not answer")
	}
	return l
}

// listened waits until somebody listens at ports of loopback.
func listened(t *testing.T, network string, ports ...int) {
	t.Helper()
	remote := map[string]string{"udp": "00000000:0000 ", "tcp": "00000000:0000 0A "}[network]
	for _, p := range ports {
		eventually(t, func() string {
			table, err := os.ReadFile("/proc/net/" + network)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(table), fmt.Sprintf(" 0100007F:%04X %s", p, remote)) {
				return ""
			}
			return fmt.Sprintf("nobody at port %d", p)
		})
	}
}

// freePort's ports are above those that the system gives to who asks for any, and that a
// phone's sound has: between our asking and sipp's listening nobody else is given one.
// Where it begins is drawn, since tests may run beside others of another process.
const firstPort, portCount = 61000, 4000

var (
	portsFrom  = rand.Int32N(portCount)
	portsGiven atomic.Int32
)

func freePort(t *testing.T) int {
	t.Helper()
	for range portCount {
		port := firstPort + int(portsFrom+portsGiven.Add(1))%portCount
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		c, err := net.ListenPacket("udp", addr)
		_ = l.Close()
		if err == nil {
			_ = c.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// TestSippRegisters registers with digest and calls a feature code, as an agent.
func TestSippRegisters(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		t.Parallel()
		s, d, store := agents(t, "md5", network)
		reg := func(seq int, auth string) step {
			return sends("REGISTER sip:help.example SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From: <sip:anna@help.example>;tag=[pid]SIPp[call_number]", "To: <sip:anna@help.example>", "Call-ID: [call_id]",
				fmt.Sprintf("CSeq: %d REGISTER", seq), "Contact: <sip:anna@[local_ip]:[local_port];transport=[transport]>", "Expires: 120",
				auth+"Content-Length: 0", "")
		}
		proof := "[authentication username=anna password=secret]\n"
		port := fmt.Sprint(freePort(t))
		done := sipp(t, network, "register", []step{reg(1, ""), gets(401, asksAuth), reg(2, proof), gets(200)}, "-p", port, s.Addrs()[0].Address.String())
		if ev := next(t, "registration", d.events); ev != "registered anna" {
			t.Error(ev)
		}
		succeeds(t, done)
		bs, _ := store.Get(t.Context(), "anna")
		if len(bs) != 1 || !strings.HasPrefix(bs[0].Source, network+":127.0.0.1:") {
			t.Errorf("bindings %+v", bs)
		}

		invite := func(seq int, auth string) step {
			return sends("INVITE sip:*70@help.example SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From: <sip:anna@help.example>;tag=[pid]SIPp[call_number]", "To: <sip:*70@help.example>", "Call-ID: [call_id]",
				fmt.Sprintf("CSeq: %d INVITE", seq), "Contact: <sip:anna@[local_ip]:[local_port];transport=[transport]>",
				auth+"Content-Length: 0", "")
		}
		ack := func(via string, seq int, tag string) step {
			return sends("ACK sip:*70@help.example SIP/2.0", via, "From: <sip:anna@help.example>;tag=[pid]SIPp[call_number]",
				"To: <sip:*70@help.example>"+tag, "Call-ID: [call_id]", fmt.Sprintf("CSeq: %d ACK", seq), "Content-Length: 0", "")
		}
		done = sipp(t, network, "feature-code", []step{
			invite(1, ""), gets(401, asksAuth), ack("[last_Via:]", 1, "[peer_tag_param]"), invite(2, proof), gets(100, optional), gets(486),
			ack("[last_Via:]", 2, "[peer_tag_param]")}, "-p", port, s.Addrs()[0].Address.String())
		in := next(t, "call", d.legs)
		if in.Agent() != "anna" || in.Number() != "*70" {
			t.Errorf("agent %q dialled %q", in.Agent(), in.Number())
		}
		if err := in.Reject(486, ""); err != nil {
			t.Error(err)
		}
		succeeds(t, done)
	})
}
