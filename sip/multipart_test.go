package sip

import (
	"strconv"
	"strings"
	"testing"
)

// parts makes the body of several.
func parts(parts ...string) func([]string) []string {
	return add("Content-Type: multipart/mixed;boundary=\"b:1\"", "", "--b:1\r\n"+strings.Join(parts, "\r\n--b:1\r\n")+"\r\n--b:1--")
}

func TestContent(t *testing.T) {
	const sdp, isup = "Content-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n", "Content-Type: application/isup;version=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\x00\r\n"
	const required = "Content-Type: application/isup\r\nContent-Disposition: signal; Handling=Required\r\n\r\n\x01\r\n"
	for _, c := range []struct {
		what, body, want string
		foreign          bool
	}{
		{"description first", sdp + "|" + isup, "v=0\r\ns=-\r\n", false},
		{"description last", isup + "|" + sdp, "v=0\r\ns=-\r\n", false},
		{"none", isup, "", false},
		{"of something else", "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n\r\nv=1|" + sdp, "v=0\r\ns=-\r\n", false},
		{"two", sdp + "|Content-Type: application/sdp\r\n\r\nv=1", "v=0\r\ns=-\r\n", false},
		{"packed", "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0wDQo=", "", false},
		{"packed, and to be understood", "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0wDQo=", "", true},
		{"named as what it is for", "Content-Type: Application/SDP; charset=x\r\nContent-Disposition: Session;handling=required\r\n\r\nv=2", "v=2", false},
		{"something to be understood beside it", sdp + "|" + required, "v=0\r\ns=-\r\n", true},
		{"and without it", required, "", true},
		{"too many", strings.Repeat(isup+"|", 20) + sdp, "", true},
	} {
		lines := parts(strings.Split(c.body, "|")...)([]string{"INVITE sip:a@b SIP/2.0", "Via: SIP/2.0/UDP h:5060;branch=z9hG4bKx",
			"From: <sip:c@d>;tag=1", "To: <sip:a@b>", "Call-ID: id", "CSeq: 1 INVITE"})
		if got := contentOf(parse(t, strings.Join(lines, "\r\n"))); string(got.sdp) != c.want || got.foreign != c.foreign {
			t.Errorf("%s: %q, foreign %t; want %q, %t", c.what, got.sdp, got.foreign, c.want, c.foreign)
		}
	}
}

// TestCallAmongParts: a caller whose description comes beside his place, and an answer of
// the kind, make a call.
func TestCallAmongParts(t *testing.T) {
	d := newDesk(nil)
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "parts")
		body := parts("Content-Type: application/pidf+xml\r\n\r\n<p/>", "Content-Type: application/sdp\r\n\r\nv=0\r\ns=theirs\r\n")(nil)
		c.request("INVITE", 1, body...)
		in, m := next(t, "INVITE", d.legs), &media{}
		if err := in.Answer(m); err != nil {
			t.Fatal(err)
		}
		if ok := c.recv("SIP/2.0 200"); !strings.HasSuffix(ok, "s=answer 1\r\n") || len(m.answered) != 1 || m.answered[0] != "v=0\r\ns=theirs\r\n" {
			t.Errorf("the session took %q, and is answered with %q", m.answered, ok)
		} else {
			c.to = field(ok, "To")
		}
		c.request("ACK", 1)
		c.request("BYE", 2)
		c.recv("SIP/2.0 200")

		callee, m := newWire(t, s), &media{}
		out, err := s.Dial(Target{URI: "sip:x@" + callee.addr()}, m)
		if err != nil {
			t.Fatal(err)
		}
		invite := callee.recv("INVITE ")
		lines := []string{"SIP/2.0 200 OK", "Via: " + field(invite, "Via"), "From: " + field(invite, "From"), "To: " + field(invite, "To") + ";tag=x",
			"Call-ID: " + field(invite, "Call-ID"), "CSeq: 1 INVITE", "Contact: <sip:x@" + callee.addr() + ">"}
		callee.send(append(lines, body...)...)
		wait(t, "answered", out.Answered())
		if len(m.accepted) != 1 || m.accepted[0] != "v=0\r\ns=theirs\r\n" {
			t.Errorf("of the answer the session took %q", m.accepted)
		}
		out.Hangup()
	})
}

// TestBodyOfPartsThatDoesNotEnd: it is not taken for one without a description, which would
// have the call answered with an offer.
func TestBodyOfPartsThatDoesNotEnd(t *testing.T) {
	const sdp = "Content-Type: application/sdp\r\n\r\nv=0\r\n"
	for body, foreign := range map[string]bool{
		"v=0\r\n": true, "--b:1": true, "--b:1\r\n": true, "--b:1\r\n" + sdp: true, "--b:1\r\n" + sdp + "--b:1\r\n": true,
		"--b:2\r\n" + sdp + "--b:2--": true, "--b:1\r\n" + sdp + "--b:1--\r\n": false, "--b:1--": false,
	} {
		m := parse(t, "INVITE sip:a@b SIP/2.0\r\nContent-Type: multipart/mixed;boundary=\"b:1\"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		if c := contentOf(m); c.foreign != foreign || foreign && c.sdp != nil {
			t.Errorf("%q: %q, foreign %t", body, c.sdp, c.foreign)
		}
	}
}
