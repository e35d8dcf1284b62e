package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzLeg sends raw bytes to a server with a leg in each role, from the wire they
// are with. Datagrams are separated by a line "%%". What stands for the legs' own
// names is filled in, so that chance gets past the door:
//
//	%in   Call-ID, From and To of a call that came in, as its caller says them
//	%out  the same of one that went out, as its callee says them
//	%via  a Via; %bra the branch of our INVITE
//
// Whatever is sent, nothing may panic, and an hour later nothing may be left.
func FuzzLeg(f *testing.F) {
	in := "%in\r\nVia: SIP/2.0/UDP %via-1\r\n"
	out := "%out\r\nVia: SIP/2.0/UDP %via-2\r\n"
	sdp := "Content-Type: application/sdp\r\n\r\nv=0\r\n"
	for _, seed := range []string{
		"BYE sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 BYE\r\nReason: Q.850;cause=16\r\n\r\n",
		"INVITE sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 INVITE\r\nContact: <sip:c@127.0.0.1>\r\nSession-Expires: 90;refresher=uac\r\n" + sdp +
			"\n%%\nACK sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 ACK\r\n\r\n",
		"UPDATE sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 UPDATE\r\nSupported: timer\r\nMin-SE: 200\r\nx: 90\r\n" + sdp,
		"PRACK sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 PRACK\r\nRAck: 1 1 INVITE\r\n\r\n",
		"REFER sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 REFER\r\nRefer-To: <sip:a@b?Replaces=c%3Bto-tag%3Dd%3Bfrom-tag%3De>\r\nReferred-By: <sip:f@g>\r\n\r\n",
		"NOTIFY sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 NOTIFY\r\nEvent: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n\r\nSIP/2.0 200 OK\r\n",
		"INFO sip:x@h SIP/2.0\r\n" + in + "CSeq: 2 INFO\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\n",
		"SIP/2.0 183 Progress\r\n%bra\r\n%out\r\nCSeq: 1 INVITE\r\nContact: <sip:c@127.0.0.1>\r\nRequire: 100rel\r\nRSeq: 5\r\nRecord-Route: <sip:127.0.0.1;lr>\r\n" + sdp +
			"\n%%\nSIP/2.0 200 OK\r\n%bra\r\n%out\r\nCSeq: 1 INVITE\r\nAllow: UPDATE\r\nSession-Expires: 100;refresher=uac\r\n" + sdp +
			"\n%%\nBYE sip:x@h SIP/2.0\r\n" + out + "CSeq: 1 BYE\r\n\r\n",
		"SIP/2.0 422 Brief\r\n%bra\r\n%out\r\nCSeq: 1 INVITE\r\nMin-SE: 4000\r\n\r\n",
		"SIP/2.0 401 Who\r\n%bra\r\n%out\r\nCSeq: 1 INVITE\r\nWWW-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"auth\"\r\n\r\n",
		"INVITE sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKn\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: n\r\nCSeq: 1 INVITE\r\n" +
			"Replaces: in;to-tag=%tag;from-tag=theirs\r\nRequire: 100rel, replaces\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			return
		}
		d := newDesk(func(l *Leg) {
			_ = l.AnswerEarly(&media{})
			_ = l.Answer(&media{})
			entertain(l)
		})
		bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
			c := newCaller(t, s, "in")
			c.request("INVITE", 1, offer...)
			c.to = field(c.recv("SIP/2.0 200"), "To")
			c.request("ACK", 1)
			l, err := s.Dial(Target{URI: "sip:agent@" + c.addr(), From: "x", Auth: &Auth{"a", "b"}}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			go entertain(l)
			invite := c.recv("INVITE")
			_, tag, _ := strings.Cut(c.to, "tag=")
			text := strings.NewReplacer(
				"%in", "Call-ID: in\r\nFrom: <sip:+15550001@carrier.example>;tag=theirs\r\nTo: "+c.to,
				"%out", "Call-ID: "+field(invite, "Call-ID")+"\r\nFrom: "+field(invite, "To")+";tag=callee\r\nTo: "+field(invite, "From"),
				"%bra", "Via: "+field(invite, "Via"), "%via", c.addr()+";branch=z9hG4bK", "%tag", tag,
			).Replace(string(data))
			for message := range strings.SplitSeq(text, "\n%%\n") {
				if strings.HasPrefix(message, "SIP/2.0") { // it answers: From is ours
					message = swapEnds(message)
				}
				c.raw(message)
				synctest.Wait()
			}
		})
	})
}

// swapEnds exchanges From and To.
func swapEnds(m string) string {
	return strings.NewReplacer("\r\nFrom:", "\r\nTo:", "\r\nTo:", "\r\nFrom:").Replace(m)
}

// entertain takes what a leg brings and ends it after a while.
func entertain(l *Leg) {
	over := time.After(20 * time.Minute)
	for refers := l.Refers(); ; {
		select {
		case r := <-refers:
			_ = r.Accept()
			_ = r.Notify(200)
			_, _ = l.Refer(ReferTo{URI: "sip:a@b"})
		case <-over:
			l.Hangup()
			over = nil
		case <-l.Done():
			return
		}
	}
}
