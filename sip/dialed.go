package sip

import (
	"errors"

	gosip "github.com/emiago/sipgo/sip"
)

// responded takes the answers to our INVITE, in the order of their arrival.
func (l *Leg) responded(res *gosip.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case res.To() == nil || l.heardFrom(res):
		return
	case res.IsProvisional():
		l.ringing(res)
	case res.IsSuccess():
		l.accepted(res)
	default:
		l.failed(res)
	}
}

// unanswered is an INVITE without any answer.
func (l *Leg) unanswered(invite *gosip.Request, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if invite != l.invite {
		return // it was given up before
	}
	end := failure(408, err.Error())
	if l.hangup != nil {
		end = l.hungUp(487)
	}
	if !l.elsewhere(end, failedSilent, 0) {
		l.finish(end)
	}
}

func (l *Leg) ringing(res *gosip.Response) {
	if l.state != legCalling {
		return
	}
	l.out.rung = true
	if res.StatusCode > 100 {
		l.progressOnce.Do(func() { close(l.progress) })
		l.earlyAnswer(res)
	}
	if l.hangup != nil && l.state == legCalling {
		l.cancelInvite()
	}
}

// accepted takes a 2xx: the first one, its repetitions, and those of other
// branches of a fork, which are acknowledged and ended at once.
func (l *Leg) accepted(res *gosip.Response) {
	if l.state != legCalling {
		if toTag(res) == l.dlg.remoteTag {
			l.acknowledge(nil)
		} else {
			l.lateBranch(res)
		}
		return
	}
	l.out.end()
	over := l.byedBy(toTag(res))
	l.win(res)
	switch {
	case over:
		l.acknowledge(nil)
		l.finish(*l.byed)
		return
	case l.hangup != nil: // it crossed our CANCEL
		l.acknowledge(nil)
		l.bye(l.hungUp(487))
		return
	}
	l.state = legAccepting
	answer, err := l.acceptSession(res)
	l.acknowledge(answer)
	switch {
	case l.state != legAccepting: // the server was closed meanwhile
	case err != nil:
		code, _ := sessionFault(err)
		l.bye(failure(code, err.Error()))
	case l.hangup != nil:
		l.bye(*l.hangup)
	default:
		l.state = legUp
		l.learn(res)
		l.timer.answered(l, res)
		l.progressOnce.Do(func() { close(l.progress) })
		l.answeredOnce.Do(func() { close(l.answered) })
		l.proceed()
	}
}

// byedBy reports whether the branch that answers has sent its BYE before.
func (l *Leg) byedBy(tag string) bool {
	for _, f := range l.out.forks {
		if f.dlg.remoteTag == tag {
			return f.byed
		}
	}
	return false
}

// acceptSession gives the session what a 2xx brings, and gives the answer if that
// was an offer; l.mu is let go meanwhile.
func (l *Leg) acceptSession(res *gosip.Response) ([]byte, error) {
	sdp := sdpOf(res)
	if sdp == nil && l.out.took == nil {
		return nil, errors.New("answered without a session description")
	}
	if sdp == nil {
		return nil, nil // it came in a 183, or with a PRACK
	}
	return l.take(sdp, l.invite.Body() != nil || l.out.took != nil)
}

// acknowledge sends the ACK of a 2xx, made once and sent for each of its
// repetitions (section 13.2.2.4). l.mu is let go meanwhile: a connection may have
// to be opened.
func (l *Leg) acknowledge(answer []byte) {
	if l.out.ack == nil {
		l.out.ack = l.ackIn(&l.dlg, answer)
	}
	d, ack := l.dlg, l.out.ack
	l.mu.Unlock()
	defer l.mu.Lock()
	l.write(&d, ack)
}

func (l *Leg) ackIn(d *dialog, answer []byte) *gosip.Request {
	ack := d.request(gosip.ACK, l.invite.CSeq().SeqNo)
	if l.out.auth != nil {
		ack.AppendHeader(l.out.auth)
	}
	withSDP(ack, answer)
	return ack
}

func (l *Leg) write(d *dialog, req *gosip.Request) {
	conn, err := d.connect(l.s.ctx, req)
	if err == nil {
		l.s.metrics.asked.count(req.Method, 0)
		err = conn.WriteMsg(req)
		_, _ = conn.TryClose()
	}
	if err != nil {
		l.s.metrics.sendFailed.Inc()
		l.log.Debug("request could not be sent", "method", req.Method, "error", err)
	}
}

// failed takes a refusal: with a challenge we can answer the INVITE is tried
// again with proof, with an interval found too small, with a longer one.
func (l *Leg) failed(res *gosip.Response) {
	if l.state != legCalling {
		return
	}
	switch {
	case l.hangup != nil:
		l.finish(l.hungUp(487))
	case l.byed != nil:
		l.finish(*l.byed)
	case l.challenged(res) || l.tooBrief(res):
		l.inviteAgain()
	case l.unwilling(res):
	default:
		l.finish(endOf(res))
	}
}

// challenged takes a digest challenge and reports whether we can answer it.
func (l *Leg) challenged(res *gosip.Response) bool {
	if !mayProve(res, l.out.proofs) {
		return false
	}
	proof := l.prove(res, gosip.INVITE, &l.dlg)
	if proof == nil {
		return false
	}
	l.out.proofs++
	l.out.auth = proof
	return true
}

// prove answers a digest challenge to a request of a dialog; nil if it is none, or
// we cannot.
func (l *Leg) prove(res *gosip.Response, method gosip.RequestMethod, d *dialog) gosip.Header {
	auth := l.out.target.Auth
	if auth == nil && l.who.line != nil {
		auth = l.who.line.auth() // of a call that came from the trunk
	}
	if auth == nil || res.StatusCode != 401 && res.StatusCode != 407 {
		return nil
	}
	proof, err := prove(res, method, d.target.String(), *auth)
	if err != nil {
		l.log.Debug("challenge not answered", "error", err)
		return nil
	}
	return proof
}

// tooBrief takes a 422: the far end wants a longer session interval.
func (l *Leg) tooBrief(res *gosip.Response) bool {
	if l.out.intervals >= maxIntervals || !l.timer.raise(res) {
		return false
	}
	l.out.intervals++
	return true
}

// inviteAgain sends the INVITE anew to where the last one went.
func (l *Leg) inviteAgain() {
	last := l.invite
	req := l.buildInvite(last.Body())
	req.SetDestination(last.Destination())
	req.AppendHeader(last.Contact())
	via := req.Via()
	via.Host, via.Port = last.Via().Host, last.Via().Port
	l.out.forks = nil
	conn, err := l.dlg.via.conn()
	if err != nil {
		l.finish(failure(503, err.Error()))
		return
	}
	l.sendInvite(req, conn)
}

// endOf is the end that a refusal is.
func endOf(res *gosip.Response) End {
	return End{res.StatusCode, shown(res.Reason, maxWords), ByRemote, causeOf(res)}
}
