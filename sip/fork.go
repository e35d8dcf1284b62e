package sip

import (
	"bytes"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// fork is one branch of an INVITE of ours: a proxy may ring several phones, each
// of which answers with a To tag of its own and is a dialog of its own (RFC 3261
// section 12.1). The first 2xx makes its branch the leg's dialog; the others are
// acknowledged and ended. The leg's lock guards it.
type fork struct {
	dlg     dialog
	rseq    uint32 // of its last reliable 1xx
	settled bool   // its description is agreed on, reliably: UPDATE may change it
	byed    bool   // its BYE overtook its 200
	ack     *gosip.Request
}

// maxForks is more phones than anybody has; past it, somebody plays.
const maxForks = 16

// fork gives the branch of a To tag, a new one if m, which comes from it, is its
// first message; nil if there are too many.
func (l *Leg) fork(tag string, m gosip.Message) *fork {
	for _, f := range l.out.forks {
		if f.dlg.remoteTag == tag {
			return f
		}
	}
	if len(l.out.forks) >= maxForks {
		return nil
	}
	f := &fork{dlg: l.dlg}
	f.dlg.localSeq = l.invite.CSeq().SeqNo
	f.dlg.remoteTag = tag
	switch m := m.(type) {
	case *gosip.Response:
		f.dlg.accepted(m)
	case *gosip.Request: // it overtook its response
		f.dlg.to = &gosip.ToHeader{DisplayName: m.From().DisplayName, Address: m.From().Address, Params: m.From().Params}
		f.dlg.refresh(m)
	}
	l.out.forks = append(l.out.forks, f)
	return f
}

// win makes the branch that sent the first 2xx the leg's dialog.
func (l *Leg) win(res *gosip.Response) {
	tag := toTag(res)
	for i, f := range l.out.forks {
		if f.dlg.remoteTag == tag {
			l.dlg = f.dlg
			l.out.forks = append(l.out.forks[:i:i], l.out.forks[i+1:]...)
			break
		}
	}
	l.dlg.accepted(res)
}

// lateBranch ends a branch that was answered after another; each repetition of
// its 2xx is acknowledged again. l.mu is let go meanwhile.
func (l *Leg) lateBranch(res *gosip.Response) {
	f := l.fork(toTag(res), res)
	if f == nil {
		return
	}
	first := f.ack == nil
	if first {
		f.dlg.accepted(res)
		f.ack = l.ackIn(&f.dlg, nil)
	}
	d, ack := f.dlg, f.ack
	l.mu.Unlock()
	l.write(&d, ack)
	l.mu.Lock()
	if first && !f.byed {
		elsewhere := End{By: ByLocal, Cause: Cause{"SIP", 200, "Call completed elsewhere"}}
		l.ask(&f.dlg, l.byeFor(&f.dlg, elsewhere), func(*gosip.Response, error) {})
	}
}

// earlyAnswer takes a 1xx of a branch: its description, and its wish to be told that it
// arrived (RFC 3262).
func (l *Leg) earlyAnswer(res *gosip.Response) {
	sdp := sdpOf(res)
	rseq, reliable := readRSeq(res)
	if !reliable {
		if sdp != nil && l.invite.Body() != nil { // else it would be an offer: only a reliable one counts
			_, _ = l.take(sdp, true)
		}
		return
	}
	f := l.fork(toTag(res), res)
	if f == nil || f.rseq != 0 && rseq != f.rseq+1 {
		return // a repetition, or one before it is missing: it is sent again
	}
	f.rseq = rseq
	f.dlg.refresh(res)
	var body []byte
	if sdp != nil {
		var err error
		if body, err = l.take(sdp, l.invite.Body() != nil); err != nil {
			l.log.Debug("early description refused", "error", err)
		}
		f.settled = err == nil
		if l.state != legCalling {
			return
		}
	}
	prack := f.dlg.request(gosip.PRACK, f.dlg.next())
	seq := l.invite.CSeq().SeqNo
	prack.AppendHeader(gosip.NewHeader("RAck", strconv.FormatUint(uint64(rseq), 10)+" "+strconv.FormatUint(uint64(seq), 10)+" INVITE"))
	withSDP(prack, body)
	l.ask(&f.dlg, prack, func(*gosip.Response, error) {}) // refused or lost, the far end gives the INVITE up
}

// take gives the session what the far end says: the answer to our offer, or an
// offer, and then the answer to it is returned. l.mu is let go meanwhile. What
// the session took last is not told twice: 183 and 200 often say the same.
func (l *Leg) take(sdp []byte, answer bool) ([]byte, error) {
	if answer && bytes.Equal(sdp, l.out.took) {
		return nil, nil
	}
	var reply []byte
	var err error
	if answer {
		err = l.tellSession(sdp)
	} else {
		session := l.session
		l.mu.Unlock()
		reply, err = session.Answer(sdp)
		l.mu.Lock()
	}
	if err == nil {
		l.out.took = sdp
		if l.state == legCalling {
			l.earlyOnce.Do(func() { close(l.early) })
		}
	}
	return reply, err
}

// readRSeq gives the number of a provisional answer that is sent reliably.
func readRSeq(res *gosip.Response) (uint32, bool) {
	if !lists(res, "require", "", "100rel") {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(header(res, "rseq", "")), 10, 32)
	return uint32(n), err == nil && n > 0
}

func toTag(res *gosip.Response) string {
	tag, _ := res.To().Params.Get("tag")
	return tag
}
