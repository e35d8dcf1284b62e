package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// repeated is an answer of ours to an INVITE that is sent until the far end says
// it has arrived, whatever the transport: a proxy further on may speak UDP. A 2xx
// is repeated until its ACK (RFC 3261 section 13.3.1.4), a reliable 1xx until its
// PRACK (RFC 3262 section 3).
type repeated struct {
	flow      flow
	res       *gosip.Response
	seq       uint32 // of the INVITE
	rseq      uint32 // of a 1xx; 0: a 2xx
	described bool   // it carries a description
	offered   bool   // which is an offer: the answer comes with the ACK or PRACK
	interval  time.Duration
	left      time.Duration
	timer     *time.Timer
}

// Answer answers an inbound leg with a session: 200, with the answer to the
// caller's offer or, if the INVITE brought none, with an offer of ours. It
// returns when the 200 is sent, which waits for the PRACK of a description sent
// before; the leg itself repeats it until the ACK comes and gives up after 64*T1.
// If the session refuses, so is the call, and the session's error is returned.
func (l *Leg) Answer(s Session) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.offered(); err != nil {
		return err
	}
	sdp := l.in.early
	if l.session == nil {
		var err error
		if sdp, err = l.consult(s); err != nil {
			return err
		}
	}
	l.state = legAnswering
	if err := l.heard(); err != nil {
		return err
	}
	if l.in.settled {
		sdp = nil
	}
	l.state = legAnswered
	l.in.end()
	if err := l.accept(l.tx, l.invite, sdp, sdpOf(l.invite) == nil); err != nil {
		l.finish(failure(500, err.Error()))
		return fmt.Errorf("answering: %w", err)
	}
	l.answeredOnce.Do(func() { close(l.answered) })
	return nil
}

// consult asks a session for the description that answers the INVITE; l.mu is let
// go meanwhile. If there is none, or the call is over, it refuses the call.
func (l *Leg) consult(s Session) ([]byte, error) {
	l.state = legAnswering
	session := guarded{l.s, s}
	l.session = session
	offer := sdpOf(l.invite)
	l.mu.Unlock()
	sdp, err := describe(session, offer)
	l.mu.Lock()
	switch {
	case l.state != legAnswering: // cancelled meanwhile
		return nil, ErrOver
	case err != nil:
		code, reason := sessionFault(err)
		l.refuse(code, reason, failure(code, err.Error()))
		return nil, fmt.Errorf("answering: %w", err)
	case l.hangup != nil:
		l.refuseHungUp()
		return nil, ErrOver
	}
	return sdp, nil
}

// heard waits until the caller is known to have our early description; l.mu is let
// go meanwhile.
func (l *Leg) heard() error {
	for l.in.unheard() {
		free := make(chan struct{})
		l.in.free = free
		l.mu.Unlock()
		<-free // at the latest when the leg is over
		l.mu.Lock()
		if l.state != legAnswering {
			return ErrOver
		}
		if l.hangup != nil {
			l.refuseHungUp()
			return ErrOver
		}
	}
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
	res.AppendHeader(tx.flow.contact(req.Recipient.Scheme))
	res.AppendHeader(allowHeader)
	res.AppendHeader(supportedHeader)
	l.timer.grant(l, req, res)
	withSDP(res, sdp)
	if err := tx.respond(res); err != nil {
		return err
	}
	l.pending = &repeated{flow: tx.flow, res: res, seq: req.CSeq().SeqNo, offered: offered && sdp != nil}
	l.keepSending(l.pending)
	return nil
}

// keepSending has an answer repeated; l.mu is held.
func (l *Leg) keepSending(p *repeated) {
	p.interval, p.left = l.s.t1, 64*l.s.t1
	p.timer = l.s.after(p.interval, func() { l.repeat(p) })
}

// repeat sends an answer again, or gives up.
func (l *Leg) repeat(p *repeated) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending != p && l.in.unacked != p || l.state >= legEnding {
		return
	}
	if p.left -= p.interval; p.left <= 0 {
		if p.rseq != 0 {
			l.noPrack()
		} else {
			l.noAck()
		}
		return
	}
	if err := p.flow.send(p.res); err != nil {
		l.s.metrics.sendFailed.Inc()
	}
	l.s.metrics.retransmitted.Inc()
	p.interval *= 2
	if p.rseq == 0 {
		p.interval = min(p.interval, l.s.t2())
	}
	p.interval = min(p.interval, p.left)
	p.timer = l.s.after(p.interval, func() { l.repeat(p) })
}

// noAck ends a dialog whose 2xx is not acknowledged.
func (l *Leg) noAck() {
	l.pending = nil
	if l.hangup == nil {
		l.hangup = new(failure(408, "no ACK"))
	}
	l.bye(*l.hangup)
}

func (l *Leg) stopPending() {
	if l.pending != nil {
		stop(l.pending.timer)
		l.pending = nil
	}
}

// Reject refuses an inbound leg that has not been answered, with a SIP status
// of 300 to 699. An empty reason becomes the status's own words.
func (l *Leg) Reject(code int, reason string) error { return l.reject(code, reason) }

// Redirect has an edge proxy of ours (sip.edges) send an inbound leg's INVITE to
// another node instead: 302 with its address as Contact (RFC 3261 section 21.3.3).
// Only a leg that came by an edge can be redirected: a phone may not know how.
func (l *Leg) Redirect(to netip.AddrPort) error {
	if !l.ByEdge() {
		return ErrCannot
	}
	return l.reject(302, "", gosip.NewHeader("Contact", "<sip:"+to.String()+">"))
}

// ByEdge reports whether an inbound leg came by an edge proxy of ours.
func (l *Leg) ByEdge() bool { return l.tx.flow.origin.known() }

func (l *Leg) reject(code int, reason string, more ...gosip.Header) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state >= legEnding:
		return ErrOver
	case l.state != legOffered:
		return ErrState
	case code < 300 || code > 699 || reason != shown(reason, maxWords):
		return fmt.Errorf("%d %q is no refusal", code, reason)
	}
	if reason == "" {
		reason = reasonOf(code)
	}
	l.refuse(code, reason, End{Code: code, Reason: reason, By: ByLocal}, more...)
	return nil
}

// refuse sends a failure to the INVITE and ends the leg; l.mu is held.
func (l *Leg) refuse(code int, reason string, end End, more ...gosip.Header) {
	res := response(l.invite, l.tx.flow, code, reason, l.dlg.localTag)
	for _, h := range more {
		res.AppendHeader(h)
	}
	if code == 503 { // for want of a port, of disk, of time: it passes
		res.AppendHeader(gosip.NewHeader("Retry-After", strconv.Itoa(busyRetry)))
	}
	if err := l.tx.respond(res); err != nil {
		l.log.Debug("refusal could not be sent", "error", err)
	}
	l.finish(end)
}

// cancelled is the caller giving up before our final answer.
func (l *Leg) cancelled(cancel *gosip.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legOffered || l.state == legAnswering {
		l.refuse(487, "Request Terminated", End{487, "cancelled", ByRemote, causeOf(cancel)})
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
		l.bye(failure(code, err.Error()))
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
	l.proceed()
}
