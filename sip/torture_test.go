package sip

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reaction is what a message of RFC 4475 is answered with.
type reaction struct {
	message string
	section string // of RFC 4475, which says what is asked for
	code    int    // 0: nothing
	why     string
}

// tortures are the messages of RFC 4475 in its order, and the reaction it asks for, or
// that of those it allows which is ours. A call that is taken is refused by the handler
// with 486: so that shows that the INVITE was understood. A REGISTER that is understood
// is challenged. Where they stand, every octet is the RFC's (its appendix A).
var tortures = []reaction{
	{"wsinv", "3.1.1.1", 481, "white space and folding wherever the grammar has it; its To has a tag, of a dialog we do not have"},
	{"intmeth", "3.1.1.2", 501, "unusual characters in every place; an unknown method"},
	{"esc01", "3.1.1.3", 486, "escapes are of the user part, not a second URI"},
	{"escnull", "3.1.1.4", 401, "an escaped NUL is legal"},
	{"esc02", "3.1.1.5", 501, "an escaped REGISTER is another method"},
	{"lwsdisp", "3.1.1.6", 200, "no space between display name and <"},
	{"longreq", "3.1.1.7", 486, "long values"},
	{"dblreq", "3.1.1.8", 401, "what follows the message in its datagram is not another"},
	{"semiuri", "3.1.1.9", 200, "a semicolon in the user part"},
	{"transports", "3.1.1.10", 200, "transports nobody knows, in Via"},
	{"mpart01", "3.1.1.11", 405, "a body with NULs; a method that is not ours"},
	{"unreason", "3.1.1.12", 0, "a response to nothing"},
	{"noreason", "3.1.1.13", 0, "a response without a reason"},
	{"badinv01", "3.1.2.1", 400, "separators too many"},
	{"clerr", "3.1.2.2", 400, "Content-Length beyond the datagram"},
	{"ncl", "3.1.2.3", 400, "a negative Content-Length"},
	{"scalar02", "3.1.2.4", 400, "numbers beyond what fits"},
	{"scalarlg", "3.1.2.5", 0, "the same in a response"},
	{"quotbal", "3.1.2.6", 400, "an open quote"},
	{"ltgtruri", "3.1.2.7", 400, "<> around the Request-URI"},
	{"lwsruri", "3.1.2.8", 400, "white space within it"},
	{"lwsstart", "3.1.2.9", 400, "white space in the start line"},
	{"trws", "3.1.2.10", 400, "white space at its end"},
	{"escruri", "3.1.2.11", 486, "headers in the Request-URI: they are ignored"},
	{"baddate", "3.1.2.12", 486, "a zone other than GMT: nothing of ours depends on it"},
	{"regbadct", "3.1.2.13", 401, "a Contact that has to stand in <>: taken for what is meant"},
	{"badaspec", "3.1.2.14", 400, "white space in <>"},
	{"baddn", "3.1.2.15", 400, "a comma in a name without quotes"},
	{"badvers", "3.1.2.16", 505, "another version"},
	{"mismatch01", "3.1.2.17", 400, "CSeq of another method"},
	{"mismatch02", "3.1.2.18", 501, "the same, and the method unknown"},
	{"bigcode", "3.1.2.19", 0, "a status beyond what fits"},
	{"badbranch", "3.2.1", 200, "an empty branch behind the cookie: known by what RFC 2543 goes by"},
	{"insuf", "3.3.1", 400, "no To, From and Call-ID"},
	{"unkscm", "3.3.2", 416, "an unknown scheme"},
	{"novelsc", "3.3.3", 416, "a known one that is not ours"},
	{"unksm2", "3.3.4", 400, "an address of record that is no SIP URI"},
	{"bext01", "3.3.5", 420, "unknown extensions required"},
	{"invut", "3.3.6", 415, "an unknown body"},
	{"regaut01", "3.3.7", 401, "an unknown scheme of authorization"},
	{"multi01", "3.3.8", 400, "headers twice that stand once"},
	{"mcl01", "3.3.9", 400, "two lengths"},
	{"bcast", "3.3.10", 0, "a response that is to go to everyone"},
	{"zeromf", "3.3.11", 200, "no hops left: it needs none"},
	{"cparam01", "3.3.12", 401, "an unknown parameter of Contact"},
	{"cparam02", "3.3.13", 401, "an unknown parameter of its URI"},
	{"regescrt", "3.3.14", 401, "an escaped Route in a Contact"},
	{"sdp01", "3.3.15", 406, "no description would be taken"},
	{"inv2543", "3.4.1", 486, "an INVITE of RFC 2543, without tags and branches"},
}

// TestTorture takes each message of RFC 4475 the way of a datagram. None costs
// more than its answer.
func TestTorture(t *testing.T) {
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) != len(tortures) || len(files) != 49 {
		t.Fatalf("%d files for %d messages, %v", len(files), len(tortures), err)
	}
	for _, r := range tortures {
		t.Run(r.message, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/torture/" + r.message + ".dat")
			if err != nil {
				t.Fatal(err)
			}
			virtual(t, func(t *testing.T, e *ether) {
				answers := make(chan string, 64)
				s := startIn(t, e, Options{Handler: newDesk(func(l *Leg) { _ = l.Reject(486, "") })})
				e.sniff = func(_ netip.AddrPort, p []byte) {
					select {
					case answers <- string(p):
					default:
					}
				}
				w := newWire(t, s)
				e.deliver(w.conn.(*memConn).addr, w.to, raw)
				time.Sleep(time.Second)
				synctest.Wait()
				code, answer := 0, ""
				for drained := false; !drained; {
					select {
					case m := <-answers:
						if c, _ := strconv.Atoi(strings.SplitN(m+"  ", " ", 3)[1]); strings.HasPrefix(m, "SIP/2.0 ") && c >= 200 {
							if code != 0 && code != c {
								t.Errorf("answered %d and then %d", code, c)
							}
							code, answer = c, m
						}
					default:
						drained = true
					}
				}
				if code != r.code {
					t.Errorf("answered %d, want %d (section %s): %s\n%s", code, r.code, r.section, r.why, answer)
				}
				if code == 420 && !strings.Contains(answer, "Unsupported: nothingSupportsThis, nothingSupportsThisEither\r\n") {
					t.Errorf("what is not supported is not named: %s", answer)
				}
			})
		})
	}
}

// TestTortureOnTheWire sends them over a real socket, from the port that answers go to
// where a Via names none and asks for none.
func TestTortureOnTheWire(t *testing.T) {
	s := start(t, Options{Config: openConfig("udp"), Handler: newDesk(func(l *Leg) { _ = l.Reject(486, "") })})
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 44, 75, 1), Port: 5060})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 65535)
	for _, r := range tortures {
		raw, err := os.ReadFile("testdata/torture/" + r.message + ".dat")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.WriteToUDPAddrPort(raw, s.Addrs()[0].Address); err != nil {
			t.Fatal(err)
		}
		limit := patience
		if r.code == 0 {
			limit = 50 * time.Millisecond
		}
		_ = conn.SetReadDeadline(time.Now().Add(limit))
		code := 0
		for code < 200 {
			n, err := conn.Read(buf)
			if err != nil {
				code = 0
				break
			}
			answer := string(buf[:n])
			if id := field(answer, "Call-ID"); id != callIDOf(string(raw)) || len(answer) < 12 {
				continue // an answer before, said again
			}
			code, _ = strconv.Atoi(answer[8:11])
			if complaint := strictly(buf[:n]); complaint != "" && r.message != "multi01" && r.message != "insuf" {
				t.Errorf("%s: %s:\n%s", r.message, complaint, answer)
			}
		}
		if code != r.code {
			t.Errorf("%s: answered %d, want %d (section %s): %s", r.message, code, r.code, r.section, r.why)
		}
	}
	for _, tx := range s.serverTxs.all() { // nobody acknowledges the refusals
		tx.terminate()
	}
}

func callIDOf(raw string) string {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	if id := field(head, "Call-ID"); id != "" {
		return id
	}
	return field(head, "i")
}
