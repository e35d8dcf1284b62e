package sip

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// incoming is what a leg that was offered to us has beside the rest, until it is
// answered: the provisional answers given. Those with a description, and all of
// them if the caller requires it, are sent until a PRACK tells that they arrived
// (RFC 3262). The leg's lock guards it.
type incoming struct {
	early   []byte        // our description, given in a 183
	settled bool          // both ends have both descriptions, and know it
	rseq    uint32        // RSeq of the last reliable answer
	unacked *repeated     // the one waiting for its PRACK
	waiting []*repeated   // those behind it
	free    chan struct{} // Answer waits for it to be closed: no description is unacknowledged
	code    int           // of the last provisional answer
	again   *time.Timer   // it is said again
}

// everyMinute is how often a provisional answer is said again, lest a proxy give
// up on us (RFC 3261 section 13.3.1.1).
const everyMinute = time.Minute

// end stops what would happen later. A PRACK may still come.
func (in *incoming) end() {
	if in.unacked != nil {
		stop(in.unacked.timer)
	}
	in.waiting = nil
	stop(in.again)
	in.release()
}

// release lets a waiting Answer go on.
func (in *incoming) release() {
	if in.free != nil {
		close(in.free)
		in.free = nil
	}
}

// unheard reports whether a description of ours may not have arrived: before it
// has, there may be no 2xx (RFC 3262 section 3).
func (in *incoming) unheard() bool {
	if in.unacked != nil && in.unacked.described {
		return true
	}
	for _, p := range in.waiting {
		if p.described {
			return true
		}
	}
	return false
}

// Ringing tells an inbound leg's caller that somebody is being called (180).
func (l *Leg) Ringing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.offered(); err != nil {
		return err
	}
	return l.provisional(180, nil)
}

// AnswerEarly answers an inbound leg's offer before the call itself is answered
// (183), so that the caller hears an announcement, or the ringing of a far end.
// Answer, with the same session, then completes it. If the INVITE brought no
// offer, ours is sent, and the caller must support reliable provisional answers:
// else it is ErrCannot. If the session refuses, so is the call.
func (l *Leg) AnswerEarly(s Session) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.offered(); err != nil {
		return err
	}
	if l.session != nil {
		return ErrState
	}
	if sdpOf(l.invite) == nil && !l.takesReliable() {
		return ErrCannot
	}
	sdp, err := l.consult(s)
	if err != nil {
		return err
	}
	l.state = legOffered
	l.in.early = sdp
	l.earlyOnce.Do(func() { close(l.early) })
	return l.provisional(183, sdp)
}

// offered says whether the leg can be given a provisional or final answer.
func (l *Leg) offered() error {
	switch {
	case l.state >= legEnding:
		return ErrOver
	case l.state != legOffered:
		return ErrState
	}
	return nil
}

// takesReliable reports whether the caller acknowledges provisional answers.
func (l *Leg) takesReliable() bool {
	return lists(l.invite, "supported", "k", "100rel") || lists(l.invite, "require", "", "100rel")
}

// provisional sends a provisional answer; l.mu is held.
func (l *Leg) provisional(code int, sdp []byte) error {
	res := response(l.invite, l.tx.flow, code, reasonOf(code), l.dlg.localTag)
	res.AppendHeader(l.tx.flow.contact(l.invite.Recipient.Scheme))
	if sdp != nil {
		res.AppendHeader(allowHeader) // whether UPDATE may follow
	}
	withSDP(res, sdp)
	l.in.code = code
	stop(l.in.again)
	l.in.again = l.s.after(everyMinute, l.stillRinging)
	if !(sdp != nil && l.takesReliable() || lists(l.invite, "require", "", "100rel")) {
		return l.tx.respond(res)
	}
	if l.in.rseq == 0 {
		l.in.rseq = rand.Uint32N(1 << 30)
	}
	l.in.rseq++
	res.AppendHeader(gosip.NewHeader("Require", "100rel"))
	res.AppendHeader(gosip.NewHeader("RSeq", strconv.FormatUint(uint64(l.in.rseq), 10)))
	p := &repeated{
		flow: l.tx.flow, res: res, seq: l.invite.CSeq().SeqNo, rseq: l.in.rseq,
		described: sdp != nil, offered: sdp != nil && sdpOf(l.invite) == nil,
	}
	if l.in.unacked != nil {
		l.in.waiting = append(l.in.waiting, p)
		return nil
	}
	return l.sendReliably(p)
}

// sendReliably sends a provisional answer until its PRACK comes.
func (l *Leg) sendReliably(p *repeated) error {
	l.in.unacked = p
	l.keepSending(p)
	return l.tx.respond(p.res)
}

// stillRinging says the last provisional answer again.
func (l *Leg) stillRinging() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legOffered && l.in.unacked == nil {
		_ = l.provisional(l.in.code, nil)
	}
}

// noPrack gives up a call whose caller does not acknowledge (RFC 3262 section 3).
func (l *Leg) noPrack() {
	if l.state == legOffered || l.state == legAnswering {
		l.refuse(504, reasonOf(504), failure(504, "no PRACK"))
	}
}

// prack takes the acknowledgement of a provisional answer. It may bring the
// answer to our offer, or an offer of its own.
func (l *Leg) prack(tx *serverTx, req *gosip.Request) {
	l.mu.Lock()
	p := l.in.unacked
	if p == nil || !p.acknowledgedBy(header(req, "rack", "")) {
		l.mu.Unlock()
		l.reply(tx, req, 481, nil)
		return
	}
	stop(p.timer)
	l.mu.Unlock()
	answer, code := l.prackSession(p, sdpOf(req))
	l.replyWith(tx, req, code, answer, nil)

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != legOffered && l.state != legAnswering {
		return
	}
	if code != 200 { // our description came to nothing
		l.refuse(code, reasonOf(code), failure(code, "early description refused"))
		return
	}
	l.in.settled = l.in.settled || p.described
	l.in.unacked = nil
	if len(l.in.waiting) > 0 {
		next := l.in.waiting[0]
		l.in.waiting = l.in.waiting[1:]
		if err := l.sendReliably(next); err != nil {
			l.log.Debug("provisional answer could not be sent", "error", err)
		}
	}
	if !l.in.unheard() {
		l.in.release()
	}
}

// prackSession gives the session what a PRACK brings, and gives the answer to it.
func (l *Leg) prackSession(p *repeated, sdp []byte) (answer []byte, code int) {
	var err error
	switch {
	case p.offered && sdp == nil:
		return nil, 400 // the answer to our offer is missing
	case p.offered:
		err = l.session.Accept(sdp)
	case sdp == nil:
	case p.described:
		answer, err = l.session.Answer(sdp)
	default:
		return nil, 488 // their first offer has no answer yet
	}
	if err != nil {
		code, _ = sessionFault(err)
		return nil, code
	}
	return answer, 200
}

// acknowledgedBy reports whether a RAck names the answer (RFC 3262 section 7.2).
func (p *repeated) acknowledgedBy(rack string) bool {
	f := strings.Fields(rack)
	if len(f) != 3 || f[2] != string(gosip.INVITE) {
		return false
	}
	rseq, err1 := strconv.ParseUint(f[0], 10, 32)
	seq, err2 := strconv.ParseUint(f[1], 10, 32)
	return err1 == nil && err2 == nil && uint32(rseq) == p.rseq && uint32(seq) == p.seq
}
