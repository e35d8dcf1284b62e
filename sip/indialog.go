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
	known := l.dlg.remoteTag == "" || tag == l.dlg.remoteTag
	over := l.state == legOver
	l.mu.Unlock()
	if !known || over {
		l.s.reply(req, f, 481, reasonOf(481), nil)
		return
	}
	tx := l.s.begin(req, f, nil)
	l.mu.Lock()
	fresh := l.dlg.inOrder(req.CSeq().SeqNo)
	if fresh {
		l.dlg.via.at, l.dlg.via.remote = f.at, f.remote // it may have changed networks
	}
	l.mu.Unlock()
	switch {
	case req.Method == gosip.BYE:
		l.remoteBye(tx, req)
	case !fresh:
		l.answerLater(tx, req)
	case req.Method == gosip.INVITE:
		l.reinvite(tx, req)
	case req.Method == gosip.UPDATE:
		l.update(tx, req)
	case req.Method == gosip.INFO:
		l.info(tx, req)
	case req.Method == gosip.OPTIONS:
		l.reply(tx, req, 200, acceptHeader)
	case req.Method == gosip.REFER:
		l.reply(tx, req, 603, nil)
	default:
		l.reply(tx, req, 405, nil)
	}
}

// reply answers a request of the dialog without a body.
func (l *Leg) reply(tx *serverTx, req *gosip.Request, code int, extra gosip.Header) {
	res := response(req, tx.flow, code, reasonOf(code), l.dlg.localTag)
	if code == 200 && req.Method != gosip.BYE || code == 405 {
		res.AppendHeader(allowHeader)
	}
	if extra != nil {
		res.AppendHeader(extra)
	}
	if err := tx.respond(res); err != nil {
		l.log.Debug("answer could not be sent", "method", req.Method, "error", err)
	}
}

// answerLater asks the far end to come again: it is too early, or its requests
// have overtaken one another (RFC 3261 sections 12.2.2 and 14.2).
func (l *Leg) answerLater(tx *serverTx, req *gosip.Request) {
	l.reply(tx, req, 500, gosip.NewHeader("Retry-After", strconv.Itoa(rand.IntN(10))))
}

// remoteBye ends the leg from the far end. It may overtake the ACK, and then
// counts as one; it may overtake the 200 it belongs to.
func (l *Leg) remoteBye(tx *serverTx, req *gosip.Request) {
	l.reply(tx, req, 200, nil)
	end := End{200, "BYE", ByRemote}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state {
	case legOffered, legAnswering: // allowed in an early dialog (section 15)
		l.refuse(487, reasonOf(487), end)
	case legAnswered, legUp, legAccepting:
		l.finish(end)
	case legCalling:
		l.byed = true
		l.waitFinal(end)
	case legEnding:
		l.finish(l.final) // ours crossed theirs: whether it is answered no longer matters
	}
}

// mayChange reports whether the session can be changed now, and answers the
// request if not. A change that comes while the ACK is missing shows that our
// 200 arrived.
func (l *Leg) mayChange(tx *serverTx, req *gosip.Request) bool {
	l.mu.Lock()
	if p := l.pending; p != nil && !p.offered && l.state < legEnding {
		l.stopPending()
		l.confirm()
	}
	state, offering := l.state, l.pending != nil
	if state == legUp {
		l.dlg.refresh(req)
	}
	l.mu.Unlock()
	switch {
	case state >= legEnding:
		l.reply(tx, req, 481, nil)
	case offering: // glare: our own offer waits for its answer (section 14.2)
		l.reply(tx, req, 491, nil)
	case state != legUp:
		l.answerLater(tx, req)
	default:
		return true
	}
	return false
}

// reinvite changes the session, or, without a description, asks for our offer.
func (l *Leg) reinvite(tx *serverTx, req *gosip.Request) {
	if !l.mayChange(tx, req) {
		return
	}
	offer := sdpOf(req)
	sdp, err := describe(l.session, offer)
	if err != nil {
		code, _ := sessionFault(err)
		l.reply(tx, req, code, nil)
		return
	}
	l.mu.Lock()
	ok := l.state == legUp && l.accept(tx, req, sdp, offer == nil) == nil
	l.mu.Unlock()
	if !ok {
		l.reply(tx, req, 481, nil)
	}
}

// update changes the session or only refreshes the dialog (RFC 3311).
func (l *Leg) update(tx *serverTx, req *gosip.Request) {
	offer := sdpOf(req)
	if offer == nil {
		l.mu.Lock()
		l.dlg.refresh(req)
		l.mu.Unlock()
		l.reply(tx, req, 200, tx.flow.contact())
		return
	}
	if !l.mayChange(tx, req) {
		return
	}
	sdp, err := l.session.Answer(offer)
	if err != nil {
		code, _ := sessionFault(err)
		l.reply(tx, req, code, nil)
		return
	}
	res := response(req, tx.flow, 200, reasonOf(200), l.dlg.localTag)
	res.AppendHeader(tx.flow.contact())
	withSDP(res, sdp)
	if err := tx.respond(res); err != nil {
		l.log.Debug("UPDATE could not be answered", "error", err)
	}
}
