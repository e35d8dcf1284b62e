package sip

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reaction is what a message of RFC 4475 is answered with.
type reaction struct {
	message string
	codes   []int // any of them; 0: nothing
	why     string
}

// tortures are the messages of RFC 4475 in its order. A call that is taken is
// refused by the handler with 486: so that shows that the INVITE was understood.
// A REGISTER that is understood is challenged. Over UDP a message may be dropped
// wherever the RFC has it refused as malformed.
var tortures = []reaction{
	// 3.1.1 valid
	{"wsinv", []int{481}, "white space and folding wherever the grammar has it; its To has a tag, of a dialog we do not have"},
	{"intmeth", []int{405, 501}, "unusual characters in every place; an unknown method"},
	{"esc01", []int{486}, "escapes are of the user part, not a second URI"},
	{"escnull", []int{401}, "an escaped NUL is legal"},
	{"esc02", []int{405, 501}, "an escaped REGISTER is another method"},
	{"lwsdisp", []int{200}, "no space between display name and <"},
	{"longreq", []int{486}, "long values"},
	{"dblreq", []int{401}, "what follows the message in its datagram is not another"},
	{"semiuri", []int{200}, "a semicolon in the user part"},
	{"transports", []int{200}, "transports nobody knows, in Via"},
	{"mpart01", []int{405, 415}, "a method and a body that are not ours"},
	{"unreason", []int{0}, "a response to nothing"},
	{"noreason", []int{0}, "a response without a reason"},
	// 3.1.2 invalid
	{"badinv01", []int{400, 0}, "separators too many"},
	{"clerr", []int{400, 0}, "Content-Length beyond the datagram"},
	{"ncl", []int{400, 0}, "a negative Content-Length"},
	{"scalar02", []int{400, 0}, "numbers beyond what fits"},
	{"scalarlg", []int{0}, "the same in a response"},
	{"quotbal", []int{400, 0}, "an open quote"},
	{"ltgtruri", []int{400, 0}, "<> around the Request-URI"},
	{"lwsruri", []int{400, 0}, "white space within it"},
	{"lwsstart", []int{400, 0}, "white space in the start line"},
	{"trws", []int{400, 0}, "white space at its end"},
	{"escruri", []int{400, 486}, "headers in the Request-URI: refused or ignored"},
	{"baddate", []int{400, 486}, "a zone other than GMT: refused or ignored"},
	{"regbadct", []int{400, 401}, "a Contact that has to stand in <>: a stranger is challenged first"},
	{"badaspec", []int{400, 200, 0}, "white space in <>: refused or taken for what is meant"},
	{"baddn", []int{400, 200, 0}, "a comma in a name without quotes: refused or taken for what is meant"},
	{"badvers", []int{505}, "another version"},
	{"mismatch01", []int{400}, "CSeq of another method"},
	{"mismatch02", []int{400, 501}, "the same, and the method unknown"},
	{"bigcode", []int{0}, "a status beyond what fits"},
	// 3.2 transactions
	{"badbranch", []int{200}, "an empty branch behind the cookie"},
	// 3.3 applications
	{"insuf", []int{400, 0}, "no To, From and Call-ID: nobody would know whose the answer is"},
	{"unkscm", []int{416}, "an unknown scheme"},
	{"novelsc", []int{416, 0}, "a known one that is not ours; sipgo knows no dot in a scheme, so we drop it"},
	{"unksm2", []int{400, 401, 404}, "addresses of unknown schemes: a stranger is challenged first"},
	{"bext01", []int{420}, "unknown extensions required"},
	{"invut", []int{415}, "an unknown body"},
	{"regaut01", []int{401}, "an unknown scheme of authorization"},
	{"multi01", []int{400}, "headers twice that stand once"},
	{"mcl01", []int{400, 0}, "two lengths"},
	{"bcast", []int{0}, "a response that is to go to everyone"},
	{"zeromf", []int{200, 483}, "no hops left: answered as the last hop, or refused"},
	{"cparam01", []int{401}, "an unknown parameter of Contact"},
	{"cparam02", []int{401}, "an unknown parameter of its URI"},
	{"regescrt", []int{401}, "an escaped Route in a Contact"},
	{"sdp01", []int{406, 486, 488}, "no description would be taken: the call is refused"},
	// 3.4 older phones
	{"inv2543", []int{486}, "an INVITE of RFC 2543, without tags and branches"},
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
			synctest.Test(t, func(t *testing.T) {
				e := newEther()
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
				if !slices.Contains(r.codes, code) {
					t.Errorf("answered %d, want one of %v: %s\n%s", code, r.codes, r.why, answer)
				}
				if n := counter(t, s.metrics.panics); n != 0 {
					t.Errorf("%v panics", n)
				}
				if code == 420 && !strings.Contains(answer, "Unsupported: nothingSupportsThis, nothingSupportsThisEither\r\n") {
					t.Errorf("what is not supported is not named: %s", answer)
				}
				settled(t, s)
			})
		})
	}
}
