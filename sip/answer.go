package sip

import (
	"errors"
	"fmt"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// accept2xx is a 2xx of ours to an INVITE, sent until its ACK comes (RFC 3261
// section 13.3.1.4) whatever the transport: a proxy further on may speak UDP.
type accept2xx struct {
	seq      uint32
	res      *gosip.Response
	offered  bool // it carries our offer; the answer comes with the ACK
	interval time.Duration
	left     time.Duration
	timer    *time.Timer
}

// Ringing tells an inbound leg's caller that somebody is being called (180).
func (l *Leg) Ringing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legOver || l.state == legEnding {
		return ErrOver
	}
	if l.state != legOffered {
		return ErrState
	}
	res := response(l.invite, l.tx.flow, 180, "Ringing", l.dlg.localTag)
	res.AppendHeader(l.tx.flow.contact())
	return l.tx.respond(res)
}

// Answer answers an inbound leg with a session: 200, with the answer to the
// caller's offer or, if the INVITE brought none, with an offer of ours. It
// returns when the 200 is sent; the leg itself repeats it until the ACK comes
// and gives up after 64*T1. If the session refuses, so is the call, and the
// session's error is returned.
func (l *Leg) Answer(s Session) error {
	l.mu.Lock()
	if l.state != legOffered {
		defer l.mu.Unlock()
		if l.state >= legEnding {
			return ErrOver
		}
		return ErrState
	}
	l.state = legAnswering
	l.session = guarded{l.s, s}
	offer := sdpOf(l.invite)
	l.mu.Unlock()

	sdp, err := describe(l.session, offer)

	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state != legAnswering: // cancelled meanwhile
		return ErrOver
	case err != nil:
		code, reason := sessionFault(err)
		l.refuse(code, reason, End{code, err.Error(), ByFailure})
		return fmt.Errorf("answering: %w", err)
	case l.hangup != nil:
		l.refuseHungUp()
		return ErrOver
	}
	l.state = legAnswered
	if err := l.accept(l.tx, l.invite, sdp, offer == nil); err != nil {
		l.finish(End{500, err.Error(), ByFailure})
		return fmt.Errorf("answering: %w", err)
	}
	l.answeredOnce.Do(func() { close(l.answered) })
	return nil
}

// describe asks a session for the description that fits: an answer to an
// offer, else an offer.
func describe(s Session, offer []byte) ([]byte, error) {
	if offer == nil {
		return s.Offer()
	}
	return s.Answer(offer)
}

// sessionFault is the answer the far end gets when a session refuses.
func sessionFault(err error) (code int, reason string) {
	var coded interface{ SIPCode() int }
	if errors.As(err, &coded) {
		if code = coded.SIPCode(); code >= 400 && code <= 699 {
			return code, reasonOf(code)
		}
	}
	return 488, reasonOf(488)
}

// accept sends a 200 to an INVITE and sees to its repetition; l.mu is held.
func (l *Leg) accept(tx *serverTx, req *gosip.Request, sdp []byte, offered bool) error {
	res := response(req, tx.flow, 200, "OK", l.dlg.localTag)
	res.AppendHeader(tx.flow.contact())
	res.AppendHeader(allowHeader)
	withSDP(res, sdp)
	if err := tx.respond(res); err != nil {
		return err
	}
	p := &accept2xx{seq: req.CSeq().SeqNo, res: res, offered: offered, interval: l.s.t1, left: 64 * l.s.t1}
	p.timer = l.s.after(p.interval, func() { l.repeat(p, tx.flow) })
	l.pending = p
	return nil
}

// repeat sends a 2xx again, or gives up and ends the dialog.
func (l *Leg) repeat(p *accept2xx, f flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending != p {
		return
	}
	if p.left -= p.interval; p.left <= 0 {
		l.pending = nil
		if l.hangup == nil {
			l.hangup = &End{408, "no ACK", ByFailure}
		}
		l.bye(*l.hangup)
		return
	}
	if err := f.send(p.res); err != nil {
		l.s.metrics.sendFailed.Inc()
	}
	l.s.metrics.retransmitted.Inc()
	p.interval = min(2*p.interval, l.s.t2(), p.left)
	p.timer = l.s.after(p.interval, func() { l.repeat(p, f) })
}

func (l *Leg) stopPending() {
	if l.pending != nil {
		stop(l.pending.timer)
		l.pending = nil
	}
}

// Reject refuses an inbound leg that has not been answered, with a SIP status
// of 300 to 699. An empty reason becomes the status's own words.
func (l *Leg) Reject(code int, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state >= legEnding:
		return ErrOver
	case l.state != legOffered:
		return ErrState
	case code < 300 || code > 699 || !clean(reason):
		return fmt.Errorf("%d %q is no refusal", code, reason)
	}
	if reason == "" {
		reason = reasonOf(code)
	}
	l.refuse(code, reason, End{code, reason, ByLocal})
	return nil
}

// refuse sends a failure to the INVITE and ends the leg; l.mu is held.
func (l *Leg) refuse(code int, reason string, end End) {
	res := response(l.invite, l.tx.flow, code, reason, l.dlg.localTag)
	if err := l.tx.respond(res); err != nil {
		l.log.Debug("refusal could not be sent", "error", err)
	}
	l.finish(end)
}

// cancelled is the caller giving up before our final answer.
func (l *Leg) cancelled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legOffered || l.state == legAnswering {
		l.refuse(487, "Request Terminated", End{487, "cancelled", ByRemote})
	}
}

// acked is an ACK of one of our 2xx.
func (l *Leg) acked(req *gosip.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pending
	if p == nil || p.seq != req.CSeq().SeqNo {
		return // a repetition, or of a 2xx that was given up
	}
	l.stopPending()
	if p.offered && !l.takeAnswer(req) {
		return
	}
	l.confirm()
}

// takeAnswer gives the answer in an ACK to the session; l.mu is held, and let
// go meanwhile. It reports whether the leg may live on.
func (l *Leg) takeAnswer(ack *gosip.Request) bool {
	err := errors.New("ACK without an answer to our offer")
	if sdp := sdpOf(ack); sdp != nil {
		err = l.tellSession(sdp)
	}
	if err != nil && l.state < legEnding {
		code, _ := sessionFault(err)
		l.bye(End{code, err.Error(), ByFailure})
	}
	return l.state < legEnding
}

// tellSession gives the session the answer to its offer; l.mu is let go
// meanwhile.
func (l *Leg) tellSession(sdp []byte) error {
	session := l.session
	l.mu.Unlock()
	defer l.mu.Lock()
	return session.Accept(sdp)
}

// confirm moves an answered leg on once its 200 is known to have arrived.
func (l *Leg) confirm() {
	if l.state == legAnswered {
		l.state = legUp
	}
	if l.state == legUp && l.hangup != nil {
		l.bye(*l.hangup)
	}
}
