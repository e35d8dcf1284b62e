package sip

import (
	"math/rand/v2"
	"strconv"

	gosip "github.com/emiago/sipgo/sip"
)

// request takes a request of the far end within the dialog, in whatever state
// the leg is. ACK does not come here: see acked.
func (l *Leg) request(req *gosip.Request, f flow) {
	tag, _ := req.From().Params.Get("tag")
	l.mu.Lock()
	d := l.dialogOf(tag, req)
	if d == nil {
		l.mu.Unlock()
		l.s.reply(req, f, 481, reasonOf(481), nil)
		return
	}
	tx := l.s.begin(req, f, "", nil)
	fresh := d.inOrder(req.CSeq().SeqNo)
	if fresh {
		d.via.at, d.via.remote = f.at, f.remote // it may have changed networks
	}
	l.mu.Unlock()
	switch {
	case req.Method == gosip.BYE:
		l.remoteBye(tx, req, tag) // never too late
	case !fresh:
		l.answerLater(tx, req)
	default:
		l.inOrder(tx, req, tag)
	}
}

// inOrder takes a request that has not been overtaken.
func (l *Leg) inOrder(tx *serverTx, req *gosip.Request, tag string) {
	switch req.Method {
	case gosip.INVITE:
		l.reinvite(tx, req, tag)
	case gosip.UPDATE:
		l.update(tx, req, tag)
	case gosip.PRACK:
		l.prack(tx, req)
	case gosip.INFO:
		l.info(tx, req)
	case gosip.OPTIONS:
		l.reply(tx, req, 200, acceptHeader)
	case gosip.REFER:
		l.referred(tx, req)
	case gosip.NOTIFY:
		l.notified(tx, req)
	default:
		l.reply(tx, req, 405, nil)
	}
}

// dialogOf gives the leg's dialog with the far end of a tag: the leg's own or,
// while an INVITE of ours is not answered, one of its branches. Nil is none.
func (l *Leg) dialogOf(tag string, req *gosip.Request) *dialog {
	switch {
	case l.state == legOver:
		return nil
	case l.state != legCalling && tag == l.dlg.remoteTag:
		return &l.dlg
	case l.state == legCalling:
		if f := l.fork(tag, req); f != nil {
			return &f.dlg
		}
	default:
		for _, f := range l.out.forks { // a branch that lost and does not know yet
			if f.dlg.remoteTag == tag && req.Method == gosip.BYE {
				return &f.dlg
			}
		}
	}
	return nil
}

// reply answers a request of the dialog without a body.
func (l *Leg) reply(tx *serverTx, req *gosip.Request, code int, extra gosip.Header) {
	l.replyWith(tx, req, code, nil, extra)
}

func (l *Leg) replyWith(tx *serverTx, req *gosip.Request, code int, sdp []byte, extra gosip.Header) {
	res := response(req, tx.flow, code, reasonOf(code), l.dlg.localTag)
	if code == 200 && req.Method != gosip.BYE || code == 405 {
		res.AppendHeader(allowHeader)
	}
	if extra != nil {
		res.AppendHeader(extra)
	}
	withSDP(res, sdp)
	l.send(tx, res)
}

func (l *Leg) send(tx *serverTx, res *gosip.Response) {
	if err := tx.respond(res); err != nil {
		l.log.Debug("answer could not be sent", "code", res.StatusCode, "error", err)
	}
}

// answerLater asks the far end to come again: it is too early, or its requests
// have overtaken one another (RFC 3261 sections 12.2.2 and 14.2).
func (l *Leg) answerLater(tx *serverTx, req *gosip.Request) {
	l.reply(tx, req, 500, gosip.NewHeader("Retry-After", strconv.Itoa(rand.IntN(10))))
}

// remoteBye ends the leg from the far end. It may overtake the ACK, and then
// counts as one; it may overtake the 200 it belongs to.
func (l *Leg) remoteBye(tx *serverTx, req *gosip.Request, tag string) {
	l.reply(tx, req, 200, nil)
	end := End{200, "BYE", ByRemote, causeOf(req)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != legCalling && tag != l.dlg.remoteTag {
		return // a branch that lost
	}
	switch l.state {
	case legOffered, legAnswering: // allowed in an early dialog (section 15)
		l.refuse(487, reasonOf(487), end)
	case legAnswered, legUp, legAccepting:
		l.finish(end)
	case legCalling:
		l.fork(tag, req).byed = true
		l.byed = &end
		if len(l.out.forks) == 1 { // else another branch may still answer
			l.waitFinal(end)
		}
	case legEnding:
		l.finish(l.final) // ours crossed theirs: whether it is answered no longer matters
	}
}

// mayChange reports whether the session can be changed now, and answers the
// request if not.
func (l *Leg) mayChange(tx *serverTx, req *gosip.Request, tag string) bool {
	l.mu.Lock()
	code := l.admits(req, tag)
	if code == 200 {
		if fault := l.s.timerFault(req); fault != nil {
			l.mu.Unlock()
			l.reply(tx, req, fault.code, fault.extra)
			return false
		}
		l.taking = true
	}
	l.mu.Unlock()
	switch code {
	case 200:
		return true
	case 500:
		l.answerLater(tx, req)
	default:
		l.reply(tx, req, code, nil)
	}
	return false
}

// taken ends the taking of a change, and lets our own go on; l.mu is held.
func (l *Leg) taken() {
	l.taking = false
	l.proceed()
}

// reinvite changes the session, or, without a description, asks for our offer.
func (l *Leg) reinvite(tx *serverTx, req *gosip.Request, tag string) {
	if !l.mayChange(tx, req, tag) {
		return
	}
	offer := sdpOf(req)
	sdp, err := describe(l.session, offer)
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.taken()
	if err != nil {
		code, _ := sessionFault(err)
		l.reply(tx, req, code, nil)
		return
	}
	if l.state != legUp {
		l.reply(tx, req, 481, nil)
		return
	}
	l.dlg.refresh(req)
	l.learn(req)
	if err := l.accept(tx, req, sdp, offer == nil); err != nil {
		l.log.Debug("re-INVITE could not be answered", "error", err)
	}
}

// update changes the session or only refreshes the dialog (RFC 3311).
func (l *Leg) update(tx *serverTx, req *gosip.Request, tag string) {
	offer := sdpOf(req)
	if offer == nil {
		if fault := l.s.timerFault(req); fault != nil {
			l.reply(tx, req, fault.code, fault.extra)
			return
		}
	} else if !l.mayChange(tx, req, tag) {
		return
	}
	var sdp []byte
	var err error
	if offer != nil {
		sdp, err = l.session.Answer(offer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if offer != nil {
		defer l.taken()
	}
	if err != nil {
		code, _ := sessionFault(err)
		l.reply(tx, req, code, nil)
		return
	}
	res := response(req, tx.flow, 200, reasonOf(200), l.dlg.localTag)
	res.AppendHeader(tx.flow.contact(req.Recipient.Scheme))
	res.AppendHeader(allowHeader)
	if d := l.dialogOf(tag, req); d != nil {
		d.refresh(req)
	}
	if l.state == legUp {
		l.learn(req)
		l.timer.grant(l, req, res)
	}
	withSDP(res, sdp)
	l.send(tx, res)
}
