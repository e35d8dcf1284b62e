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
	case res.To() == nil:
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
func (l *Leg) unanswered(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := End{408, err.Error(), ByFailure}
	if l.hangup != nil {
		end = End{487, l.hangup.Reason, l.hangup.By}
	}
	l.finish(end)
}

func (l *Leg) ringing(res *gosip.Response) {
	if l.state != legCalling {
		return
	}
	l.out.rung = true
	if res.StatusCode > 100 {
		l.progressOnce.Do(func() { close(l.progress) })
		if sdp := sdpOf(res); sdp != nil {
			l.out.early = sdp
		}
	}
	if l.hangup != nil {
		l.cancelInvite()
	}
}

// accepted takes a 2xx: the first one, its repetitions, and those of other
// branches of a fork, which are acknowledged and ended at once.
func (l *Leg) accepted(res *gosip.Response) {
	tag, _ := res.To().Params.Get("tag")
	if l.state != legCalling {
		if tag == l.dlg.remoteTag {
			l.acknowledge()
		} else {
			l.endFork(res)
		}
		return
	}
	stop(l.out.giveUp)
	l.dlg.accepted(res)
	switch {
	case l.byed:
		l.acknowledge()
		l.finish(End{200, "BYE", ByRemote})
		return
	case l.hangup != nil: // it crossed our CANCEL
		l.acknowledge()
		l.bye(End{487, l.hangup.Reason, l.hangup.By})
		return
	}
	l.state = legAccepting
	err := l.acceptSession(res)
	l.acknowledge()
	switch {
	case l.state != legAccepting: // the server was closed meanwhile
	case err != nil:
		code, _ := sessionFault(err)
		l.bye(End{code, err.Error(), ByFailure})
	case l.hangup != nil:
		l.bye(*l.hangup)
	default:
		l.state = legUp
		l.progressOnce.Do(func() { close(l.progress) })
		l.answeredOnce.Do(func() { close(l.answered) })
	}
}

// acceptSession gives the answer to the session; l.mu is let go meanwhile.
func (l *Leg) acceptSession(res *gosip.Response) error {
	sdp := sdpOf(res)
	if sdp == nil {
		sdp = l.out.early
	}
	if sdp == nil {
		return errors.New("answered without a session description")
	}
	return l.tellSession(sdp)
}

// acknowledge sends the ACK of a 2xx, made once and sent for each of its
// repetitions (section 13.2.2.4). l.mu is let go meanwhile: a connection may have
// to be opened.
func (l *Leg) acknowledge() {
	if l.out.ack == nil {
		l.out.ack = l.ackIn(&l.dlg)
	}
	d, ack := l.dlg, l.out.ack
	l.mu.Unlock()
	defer l.mu.Lock()
	l.write(&d, ack)
}

func (l *Leg) ackIn(d *dialog) *gosip.Request {
	ack := d.request(gosip.ACK, l.invite.CSeq().SeqNo)
	if l.out.auth != nil {
		ack.AppendHeader(l.out.auth)
	}
	ack.SetBody(nil)
	return ack
}

func (l *Leg) write(d *dialog, req *gosip.Request) {
	conn, err := d.connect(l.s.ctx, req)
	if err == nil {
		err = conn.WriteMsg(req)
		_, _ = conn.TryClose()
	}
	if err != nil {
		l.s.metrics.sendFailed.Inc()
		l.log.Debug("request could not be sent", "method", req.Method, "error", err)
	}
}

// endFork ends a second dialog that a forking proxy made of our INVITE.
func (l *Leg) endFork(res *gosip.Response) {
	d := l.dlg
	d.localSeq = l.invite.CSeq().SeqNo
	d.accepted(res)
	ack := l.ackIn(&d)
	bye := d.request(gosip.BYE, d.next())
	bye.SetBody(nil)
	l.s.spawn(func() {
		l.write(&d, ack)
		l.sendAside(&d, bye)
	})
}

// sendAside sends a request whose answer changes nothing.
func (l *Leg) sendAside(d *dialog, req *gosip.Request) {
	conn, err := d.connect(l.s.ctx, req)
	if err == nil {
		_, err = l.s.request(req, conn, func(*gosip.Response) {}, func(error) {})
	}
	if err != nil {
		l.log.Debug("request could not be sent", "method", req.Method, "error", err)
	}
}

// failed takes a refusal: with a challenge we can answer, the INVITE is tried
// again with proof.
func (l *Leg) failed(res *gosip.Response) {
	if l.state != legCalling {
		return
	}
	switch {
	case l.hangup != nil:
		l.finish(End{487, l.hangup.Reason, l.hangup.By})
	case l.byed:
		l.finish(End{200, "BYE", ByRemote})
	case l.challenged(res):
	default:
		l.finish(End{res.StatusCode, res.Reason, ByRemote})
	}
}

// challenged answers a digest challenge and reports whether it could.
func (l *Leg) challenged(res *gosip.Response) bool {
	auth := l.out.target.Auth
	if auth == nil || l.out.proofs >= maxProofs || res.StatusCode != 401 && res.StatusCode != 407 {
		return false
	}
	proof, err := prove(res, gosip.INVITE, l.dlg.target.String(), *auth)
	if err != nil {
		l.log.Debug("challenge not answered", "error", err)
		return false
	}
	l.out.proofs++
	l.out.auth = proof
	last := l.invite
	req := l.buildInvite(last.Body())
	req.SetDestination(last.Destination())
	req.AppendHeader(last.Contact())
	via := req.Via()
	via.Host, via.Port = last.Via().Host, last.Via().Port
	conn, err := l.dlg.via.conn()
	if err != nil {
		l.finish(End{503, err.Error(), ByFailure})
		return true
	}
	l.sendInvite(req, conn)
	return true
}
