package sip

import (
	"strings"
	"testing"
	"time"
)

// hangUp ends a leg that is answered, and sees it end.
func hangUp(t *testing.T, w *wire, l *Leg) {
	t.Helper()
	l.Hangup()
	w.answer(w.recv("BYE"), "200 OK", "")
	wantEnd(t, l, 200, ByLocal)
}

var answerSDP = []string{"Content-Type: application/sdp", "", "v=0", "s=theirs"}

func TestLate200AfterCancel(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "180 Ringing", "callee")
		wait(t, "ringing", l.Progress())
		l.Hangup()
		cancel := w.recv("CANCEL")
		if field(cancel, "Via") != field(invite, "Via") || field(cancel, "CSeq") != "1 CANCEL" {
			t.Errorf("CANCEL does not match its INVITE: %s", cancel)
		}
		w.answer(invite, "200 OK", "callee", answerSDP...) // they cross
		w.answer(cancel, "200 OK", "callee")
		if ack := w.recv("ACK"); field(ack, "CSeq") != "1 ACK" {
			t.Errorf("ACK %s", field(ack, "CSeq"))
		}
		w.answer(w.recv("BYE"), "200 OK", "")
		wantEnd(t, l, 487, ByLocal)
	})
}

func TestHangupBeforeProvisional(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		l.Hangup()
		w.quiet("CANCEL", 10*time.Second) // not before any answer
		w.answer(invite, "100 Trying", "")
		w.answer(w.recv("CANCEL"), "200 OK", "callee")
		w.answer(invite, "487 Request Terminated", "callee")
		w.recv("ACK")
		wantEnd(t, l, 487, ByLocal)
	})
}

func TestCancelWithoutFinalAnswer(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "180 Ringing", "callee")
		wait(t, "ringing", l.Progress())
		l.Hangup()
		w.recv("CANCEL")
		endsAfter(t, l, 32*time.Second, 487, ByLocal)
	})
}

func TestRepeated200IsAcknowledgedAgain(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "200 OK", "callee", answerSDP...)
		first := w.recv("ACK")
		wait(t, "answered", l.Answered())
		w.answer(invite, "200 OK", "callee", answerSDP...)
		w.again(first)
		hangUp(t, w, l)
	})
}

func TestForkedAnswerIsEnded(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "200 OK", "one", answerSDP...)
		w.recv("ACK")
		w.answer(invite, "200 OK", "two", answerSDP...)
		ack := w.recv("ACK")
		bye := w.recv("BYE")
		for _, m := range []string{ack, bye} {
			if !strings.HasSuffix(field(m, "To"), ";tag=two") {
				t.Errorf("not to the second branch: %s", m)
			}
		}
		w.answer(bye, "200 OK", "")
		select {
		case <-l.Done():
			t.Error("the first branch ended too")
		default:
		}
		hangUp(t, w, l)
	})
}

func TestByeOvertakes200(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "100 Trying", "")
		w.send("BYE sip:bugle@"+w.to.String()+" SIP/2.0",
			"Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bK-overtakes",
			"From: "+field(invite, "To")+";tag=callee", "To: "+field(invite, "From"),
			"Call-ID: "+field(invite, "Call-ID"), "CSeq: 1 BYE")
		w.recv("SIP/2.0 200")
		w.answer(invite, "200 OK", "callee", answerSDP...)
		w.recv("ACK")
		wantEnd(t, l, 200, ByRemote)
	})
}

func TestRefusalIsAcknowledgedEachTime(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "486 Busy Here", "callee")
		ack := w.recv("ACK")
		wantEnd(t, l, 486, ByRemote)
		w.answer(invite, "486 Busy Here", "callee")
		w.again(ack)
	})
}

func TestAnswerWithoutDescription(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "200 OK", "callee")
		w.recv("ACK")
		w.answer(w.recv("BYE"), "200 OK", "")
		wantEnd(t, l, 488, ByFailure)
	})
}

func TestEarlyDescriptionServesABare200(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, _ *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "183 Session Progress", "callee", answerSDP...)
		w.answer(invite, "200 OK", "callee")
		w.recv("ACK")
		wait(t, "answered", l.Answered())
		l.Hangup()
		w.answer(w.recv("BYE"), "481 Gone", "")
		wantEnd(t, l, 200, ByLocal)
	})
}
