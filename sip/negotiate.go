package sip

import (
	"errors"

	gosip "github.com/emiago/sipgo/sip"
)

// Who may change the session when (RFC 3264, RFC 3311, RFC 6337): one offer at a
// time, in either direction.

var errNoAnswer = errors.New("the answer to our offer is missing")

// proposed reports whether an offer of ours waits for its answer.
func (l *Leg) proposed() bool {
	switch c := l.change; {
	case c != nil && c.begun && c.describe:
	case l.pending != nil && l.pending.offered:
	case l.in.unacked != nil && l.in.unacked.offered && l.state < legAnswered:
	default:
		return false
	}
	return true
}

// admits says how the far end's change is to be met: 200 if it can be taken, else
// the refusal. A change that comes while the ACK is missing shows that our 200
// arrived. l.mu is held.
func (l *Leg) admits(req *gosip.Request, tag string) int {
	if p := l.pending; p != nil && !p.offered && l.state < legEnding {
		l.stopPending()
		l.confirm()
	}
	inviting := l.change != nil && l.change.begun && l.change.method == gosip.INVITE
	switch {
	case l.state >= legEnding:
		return 481
	case l.proposed(), inviting && req.Method == gosip.INVITE: // glare
		return 491
	case l.state == legUp:
		return 200
	case req.Method == gosip.UPDATE && l.earlySettled(tag):
		return 200
	}
	return 500 // too early
}

// earlySettled reports whether the session can be changed though the call is not
// answered: both ends must have both descriptions and know it.
func (l *Leg) earlySettled(tag string) bool {
	switch l.state {
	case legOffered:
		return l.in.settled && !l.in.unheard()
	case legCalling:
		for _, f := range l.out.forks {
			if f.dlg.remoteTag == tag {
				return f.settled
			}
		}
	}
	return false
}

// learn notes what the far end can do, by its Allow.
func (l *Leg) learn(m headed) {
	if header(m, "allow", "") != "" {
		l.updates = lists(m, "allow", "", string(gosip.UPDATE))
	}
}
