package sip

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	gosip "github.com/emiago/sipgo/sip"
)

// evils are what strangers put where a value belongs, to have a line of their own in
// what we send, to end a message early, or to disturb who reads a log.
var evils = []string{
	"a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\r\n X-Evil: 1", "a\r\n\r\nX-Evil: 1", "a\x00X-Evil: 1",
	"%0d%0aX-Evil:%201", "%0D%0A%0D%0A", "%00", "\x1b[31m", "a\x7fb", "\xff\xfe", "\xc2\x85X-Evil: 1",
	"\"", "\\", "\\\"", "a\\\r\nX-Evil: 1", "\"><sip:x@evil>;\"", "a b", "\t", "<", ">", ";", ",", "",
	strings.Repeat("x", 3000),
}

// conversation is a call through two legs with a mark wherever a far end says
// something: $0, $1, ... are replaced by an evil, one at a time.
var conversation = struct{ invite, ringing, answer, ack, refer, bye string }{
	invite: "INVITE sip:help$0line@%server SIP/2.0\r\nVia: SIP/2.0/UDP %caller;branch=z9hG4bKi%n$1\r\nVia: SIP/2.0/UDP far$2;branch=z9hG4bKfar\r\n" +
		"From: \"An$3na\" <sip:+1555$4@carrier$5.example;p=$6>;tag=theirs$7;q=$8\r\nTo: \"Help$9\" <sip:helpline@%server>\r\nCall-ID: evil%n$10\r\n" +
		"CSeq: 1 INVITE\r\nContact: \"C$11\" <sip:ca$12ller@%caller;p=$13>\r\nRecord-Route: <sip:r$14@%caller;lr;p=$15>\r\nMax-Forwards: 70\r\n" +
		"P-Asserted-Identity: \"P$16\" <sip:+1556$17@carrier>\r\nX-Note: n$18\r\nUser-Agent: u$19\r\nSubject: s$20\r\nAllow: UPDATE\r\nContent-Type: application/sdp\r\n\r\n" +
		"v=0\r\no=o$21\r\ns=s$22\r\n",
	ringing: "SIP/2.0 183 Pro$23\r\n%bra\r\n%ids\r\nContact: <sip:e$24@%callee>\r\nRequire: 100rel\r\nRSeq: 5\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=e$25\r\n",
	answer: "SIP/2.0 200 O$26K\r\n%bra\r\n%ids$27\r\nContact: \"$28\" <sip:agent$29@%callee;p=$30>\r\nRecord-Route: <sip:q$31@%callee;lr>\r\nServer: $32\r\n" +
		"Content-Type: application/sdp\r\n\r\nv=0\r\ns=a$33\r\n",
	ack: "ACK sip:bugle@%server SIP/2.0\r\nVia: SIP/2.0/UDP %caller;branch=z9hG4bKa%n\r\n%ids\r\nCSeq: 1 ACK\r\n\r\n",
	refer: "REFER sip:bugle@%server SIP/2.0\r\nVia: SIP/2.0/UDP %callee;branch=z9hG4bKr%n\r\n%swapped\r\nCSeq: 2 REFER\r\nContact: <sip:agent@%callee>\r\n" +
		"Refer-To: \"$34\" <sip:2$35@help.example;p$36?Replaces=a$37%3Bto-tag%3Db%3Bfrom-tag%3Dc>\r\nReferred-By: \"$38\" <sip:an$39na@help.example>\r\n\r\n",
	bye: "BYE sip:bugle@%server SIP/2.0\r\nVia: SIP/2.0/UDP %callee;branch=z9hG4bKb%n\r\n%swapped\r\nCSeq: 3 BYE\r\nReason: Q.850;cause=16;text=\"t$40\"\r\n\r\n",
}

const places = 41

// TestHostileCall puts each evil in each place of a call through two legs, whose
// conductor passes on all he can, and reads what leaves strictly.
func TestHostileCall(t *testing.T) {
	t.Parallel()
	for place := range places {
		t.Run(strconv.Itoa(place), func(t *testing.T) {
			t.Parallel()
			hostileCalls(t, place, evils...)
		})
	}
}

// FuzzHostileCall is TestHostileCall with what comes to a machine's mind.
func FuzzHostileCall(f *testing.F) {
	for i, evil := range evils {
		f.Add(i%places, evil)
	}
	f.Fuzz(func(t *testing.T, place int, evil string) {
		if place >= 0 && place < places && len(evil) < 5000 {
			hostileCalls(t, place, evil)
		}
	})
}

func hostileCalls(t *testing.T, place int, evils ...string) {
	t.Helper()
	virtual(t, func(t *testing.T, e *ether) {
		var callee *wire
		s := startIn(t, e, Options{})
		s.handler = newDesk(func(l *Leg) { passAllOn(s, l, "sip:agent@"+callee.addr()) })
		var read sync.Map // what is sent again need not be read again
		for i, evil := range evils {
			caller := newWire(t, s)
			callee = newWire(t, s)
			e.sniff = func(from netip.AddrPort, p []byte) {
				if from != caller.to {
					return
				}
				if _, again := read.LoadOrStore(string(p), true); again {
					return
				}
				if complaint := strictly(p); complaint != "" {
					t.Errorf("%q in place %d: %s:\n%q", evil, place, complaint, p)
				}
			}
			reached := converse(caller, callee, i, func(text string) string {
				return mark.ReplaceAllStringFunc(text, func(m string) string {
					if m == "$"+strconv.Itoa(place) {
						return evil
					}
					return ""
				})
			})
			synctest.Wait()
			if evil == "" && !reached {
				t.Error("without an evil the call does not reach its end")
			}
		}
	})
}

// converse sends the far ends' messages of the n-th call, each as spoil makes it, and
// reports whether the last was answered.
func converse(caller, callee *wire, n int, spoil func(string) string) bool {
	fill := strings.NewReplacer("%server", caller.to.String(), "%caller", caller.addr(), "%callee", callee.addr(), "%n", strconv.Itoa(n))
	say := func(w *wire, text string, more ...string) {
		w.raw(spoil(strings.NewReplacer(more...).Replace(fill.Replace(text))))
	}
	say(caller, conversation.invite)
	invite, ok := callee.within("INVITE", time.Second)
	if !ok {
		return false
	}
	id := "\r\nCall-ID: " + field(invite, "Call-ID")
	names := []string{
		"%bra", "Via: " + field(invite, "Via"),
		"%ids", "From: " + field(invite, "From") + "\r\nTo: " + field(invite, "To") + ";tag=callee" + id + "\r\nCSeq: 1 INVITE",
		"%swapped", "From: " + field(invite, "To") + ";tag=callee\r\nTo: " + field(invite, "From") + id,
	}
	say(callee, conversation.ringing, names...)
	say(callee, conversation.answer, names...)
	if up, ok := caller.within("SIP/2.0 200", time.Second); ok {
		say(caller, conversation.ack, "%ids", "From: "+field(up, "From")+"\r\nTo: "+field(up, "To")+"\r\nCall-ID: "+field(up, "Call-ID"))
	}
	time.Sleep(time.Second)
	say(callee, conversation.refer, names...)
	time.Sleep(time.Second)
	say(callee, conversation.bye, names...)
	_, referred := callee.within("SIP/2.0 202", time.Second)
	_, sent := caller.within("REFER", time.Second)
	_, over := callee.within("SIP/2.0 200", time.Second)
	return referred && sent && over
}

var mark = regexp.MustCompile(`\$\d+`)

// passAllOn conducts a call as carelessly as it can be done: whatever it can learn
// from either end it says to the other.
func passAllOn(s *Server, in *Leg, to string) {
	_ = in.Ringing()
	out, err := s.Dial(Target{
		URI: to, From: in.Caller(), Display: in.Number() + in.Header("From") + in.Header("X-Note"), Call: in.ID(),
		Headers: map[string]string{"X-Note": in.Header("X-Note"), "P-Asserted-Identity": in.Header("P-Asserted-Identity"), "Call-Info": in.Header("Subject")},
	}, &media{})
	if err != nil { // of a header that may not be sent
		if out, err = s.Dial(Target{URI: to, From: in.Caller(), Display: in.Header("User-Agent")}, &media{}); err != nil {
			_ = in.Reject(500, in.Header("Subject"))
			return
		}
	}
	refers, over := out.Refers(), time.After(time.Minute)
	answered := out.Answered()
	for {
		select {
		case <-answered:
			answered = nil
			_ = in.Answer(&media{})
		case r := <-refers:
			_ = r.Accept()
			_, _ = in.Refer(ReferTo{URI: r.To, Replaces: r.Replaces})
			_ = r.Notify(200)
			if third, err := s.Dial(Target{URI: r.To, From: r.User, Display: r.By, Replaces: r.Replaces}, &media{}); err == nil {
				third.Hangup()
			}
		case <-out.Done():
			end := out.End()
			_ = in.Reject(486, end.Reason)
			in.HangupFor(end.Cause)
			return
		case <-in.Done():
			out.HangupFor(in.End().Cause)
			return
		case <-over:
			out.Hangup()
		}
	}
}

// What may leave.
var (
	requestLine = regexp.MustCompile(`^[A-Z]+ (sips?|tel):[^\s<>"]+ SIP/2\.0$`)
	statusLine  = regexp.MustCompile(`^SIP/2\.0 [1-6][0-9][0-9] [^\x00-\x1f\x7f]*$`)
	headerLine  = regexp.MustCompile(`^([A-Za-z-]+): ([^\x00-\x08\x0a-\x1f\x7f]*)$`)
	nameAddr    = regexp.MustCompile(`^("([^"\\]|\\.)*" )?<[a-z]+:[^<>"\s]+>(;[^<>]*)?$`)
)

// ours are the headers we ever write, by what their values look like; nil: any.
var ours = map[string]*regexp.Regexp{
	"Via": nil, "From": nameAddr, "To": nameAddr, "Call-ID": nil, "CSeq": regexp.MustCompile(`^\d+ [A-Z]+$`),
	"Contact": nameAddr, "Route": nameAddr, "Record-Route": nameAddr, "Max-Forwards": regexp.MustCompile(`^([0-9]|[1-6][0-9]|70)$`),
	"Content-Length": regexp.MustCompile(`^\d+$`), "Content-Type": regexp.MustCompile(`^(application/sdp|message/sipfrag;version=2\.0)$`),
	"Allow": nil, "Supported": nil, "Require": nil, "Accept": nil, "Accept-Encoding": regexp.MustCompile(`^identity$`), "User-Agent": nil, "Server": nil, "Session-Expires": nil, "Min-SE": nil,
	"Reason": regexp.MustCompile(`^(SIP|Q\.850);cause=\d+(;text="[^"\\]*")?$`), "RAck": nil, "RSeq": nil, "Retry-After": nil, "Replaces": nil,
	"Refer-To": nameAddr, "Referred-By": nameAddr, "Event": nil, "Subscription-State": nil, "Refer-Sub": nil, "Unsupported": nil,
	"X-Note": nil, "P-Asserted-Identity": nil, "Call-Info": nil, "WWW-Authenticate": nil,
}

// strictly reads a message that leaves and says what is wrong with it. The answer to
// what could not be read may lack what that lacked.
func strictly(p []byte) string {
	if string(p) == "\r\n\r\n" {
		return ""
	}
	head, body, ok := strings.Cut(string(p), "\r\n\r\n")
	if !ok || !utf8.ValidString(head) {
		return "no head, or no UTF-8"
	}
	lines := strings.Split(head, "\r\n")
	isAnswer := statusLine.MatchString(lines[0])
	if !isAnswer && !requestLine.MatchString(lines[0]) {
		return "start line"
	}
	once := map[string]int{}
	for _, line := range lines[1:] {
		m := headerLine.FindStringSubmatch(line)
		if m == nil {
			return "no header: " + line
		}
		shape, known := ours[m[1]]
		if echo := isAnswer && strings.Contains("Via From To Call-ID CSeq Record-Route", m[1]); echo {
			shape = nil // his own words, in his own line
		}
		if !known || shape != nil && !shape.MatchString(m[2]) {
			return "not ours: " + line
		}
		once[m[1]]++
	}
	unreadable := strings.HasPrefix(head, "SIP/2.0 400 Bad Request\r\n") || strings.HasPrefix(head, "SIP/2.0 416 ")
	for _, name := range []string{"From", "To", "Call-ID", "CSeq", "Content-Length"} {
		if once[name] != 1 && !unreadable {
			return fmt.Sprintf("%d times %s", once[name], name)
		}
	}
	if field(head, "Content-Length") != strconv.Itoa(len(body)) {
		return "length"
	}
	return ""
}

// TestOwnValues holds that what rooms above and the configuration give cannot leave
// its line either: it is mended, or refused before anything is sent.
func TestOwnValues(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		s := startIn(t, e, Options{})
		for _, evil := range evils {
			for i, target := range []Target{
				{From: evil}, {Display: evil}, {FromHost: evil}, {URI: "sip:" + evil + "@127.0.0.1"}, {URI: "sip:a@127.0.0.1;p=" + evil},
				{Headers: map[string]string{"X-Note": evil}}, {Headers: map[string]string{"X-" + evil: "x"}}, {Call: evil}, {Auth: &Auth{evil, evil}},
				{Binding: &Binding{Contact: "sip:" + evil + "@127.0.0.1", Source: "udp:127.0.0.1:5001", Path: []string{"<sip:" + evil + "@127.0.0.1:5001;lr>"}}},
			} {
				far := newWire(t, s)
				e.sniff = func(from netip.AddrPort, p []byte) {
					if complaint := strictly(p); from == far.to && complaint != "" {
						t.Errorf("%q in target %d: %s:\n%q", evil, i, complaint, p)
					}
				}
				if target.URI == "" {
					target.URI = "sip:x@" + far.addr()
				}
				l, err := s.Dial(target, &media{})
				if err != nil {
					continue
				}
				if invite, ok := far.within("INVITE", time.Second); ok {
					far.answer(invite, "401 Who", "t", `WWW-Authenticate: Digest realm="r\`+"\x01"+`", nonce="n", opaque="o", qop="auth"`)
					if again, ok := far.within("INVITE", time.Second); ok {
						far.answer(again, "180 Ringing", "t")
					}
				}
				time.Sleep(time.Second)
				l.HangupFor(Cause{"SIP", 200, evil})
				time.Sleep(time.Minute)
			}
		}
	})
}

// TestEncode holds that a message is written only as the lines it was made of.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		value string
		ok    bool
	}{
		{"plain", true}, {"tab\there", true}, {"ünï", true}, {"", true}, {"a\r\nX-Evil: 1", false}, {"a\nX: 1", false}, {"a\rX", false},
		{"a\r\n\r\nbody", false}, {"\r\n", false}, {"a\n\rb", false}, {"\x00", false}, {"\x1b[2J", false}, {"\x7f", false}, {"\xff", false},
	} {
		req := gosip.NewRequest(gosip.OPTIONS, gosip.Uri{Scheme: "sip", Host: "h"})
		req.AppendHeader(gosip.NewHeader("X-A", c.value))
		req.AppendHeader(gosip.NewHeader("X-B", "b"))
		req.SetBody([]byte("any\r\n\x00\nbody"))
		sent := false
		err := encode(req, func([]byte) error { sent = true; return nil })
		if sent != c.ok || (err == nil) != c.ok {
			t.Errorf("%q: sent %v, %v", c.value, sent, err)
		}
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plai", "über": "übe", "a\r\nb": "ab", "\x1b[0m": "[0m", "\xffx": "x", "ab\u0085c": "abc", "aaaé": "aaa", "": "",
	} {
		if got := shown(in, 4); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestHeadersOfURIs holds that what a URI has behind "?" is never taken for a part of
// it, and so sent on.
func TestHeadersOfURIs(t *testing.T) {
	for text, want := range map[string]string{
		"sip:a@h?Route=x": "sip:a@h", "sip:a@h;p=1?Route=x": "sip:a@h;p=1", "sip:a@h;lr?Route=x&b=c": "sip:a@h;lr", "sip:a@h;p=?Route=x": "sip:a@h;p",
		"sip:a@h:5060?Route=x": "sip:a@h:5060", "sip:a@[::1];lr?x=y": "sip:a@[::1];lr", "sip:a@h;lr": "sip:a@h;lr",
	} {
		var u gosip.Uri
		if err := parseURI(text, &u); err != nil {
			t.Error(err)
		}
		if u.Headers = nil; u.String() != want {
			t.Errorf("%s: %s, want %s", text, u.String(), want)
		}
	}
}

// TestNames tells which values may be repeated as they came, and how others are mended.
func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		`Anna`: `Anna`, `J Rosenberg \\\"`: `J Rosenberg \\\"`, `A\`: `A`, `a"b`: `ab`, "NUL:\\\x00 DEL:\\\x7f": "NUL: DEL:", "J\xfcrgen": "Jrgen", "Jürgen": "Jürgen",
		"two\r\nlines": "twolines", strings.Repeat("x", 300): strings.Repeat("x", 300), strings.Repeat("x", 300) + "\x00": strings.Repeat("x", maxName),
	} {
		h := &gosip.FromHeader{DisplayName: in}
		if tidyAddress(&h.DisplayName, &h.Address, &h.Params); h.DisplayName != want {
			t.Errorf("%q: %q, want %q", in, h.DisplayName, want)
		}
		if clean(in) != (!strings.ContainsAny(in, "\r\n\x00\x7f") && utf8.ValidString(in)) {
			t.Errorf("%q: clean is %v", in, clean(in))
		}
	}
	for in, want := range map[string]string{"+1555": "+1555", "a%20b;x=y": "a b", "a%0d%0ab": "a%0d%0ab", "a%00": "a%00", "%ff": "%ff", strings.Repeat("1", 300): strings.Repeat("1", maxUser)} {
		if got := uriUser(&gosip.Uri{Scheme: "sip", User: in}); got != want {
			t.Errorf("%q: user %q, want %q", in, got, want)
		}
	}
}

// TestRepeatedAsWritten: what an answer repeats is what was asked, where the grammar
// allows several ways to write it.
func TestRepeatedAsWritten(t *testing.T) {
	bubble(t, Options{Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		w := newWire(t, s)
		w.send("OPTIONS sip:x@h sip/2.0", `Via: SIP/2.0/UDP h:1;Received="192.0.2.1";X="a;b";Branch=z9hG4bKq ; rport`, "From: Jo <sip:c@d> ; Tag=1;x", "To: <sip:x@h> ;",
			"Call-ID: written", "CSeq:  1 \t OPTIONS")
		got := w.recv("SIP/2.0 200")
		host, port, _ := strings.Cut(w.addr(), ":")
		for name, want := range map[string]string{
			"Via":  `SIP/2.0/UDP h:1;received=` + host + `;x="a;b";branch=z9hG4bKq;rport=` + port,
			"From": `"Jo" <sip:c@d>;tag=1;x`,
			"CSeq": "1 OPTIONS",
		} {
			if field(got, name) != want {
				t.Errorf("%s: %s, want %s", name, field(got, name), want)
			}
		}
		if to := field(got, "To"); !strings.HasPrefix(to, "<sip:x@h>;tag=") {
			t.Errorf("To: %s", to)
		}
	})
}
