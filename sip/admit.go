package sip

import (
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// busyRetry is what a caller refused for lack of room is asked to wait.
const busyRetry = 10 // seconds

// invite is the door for new calls. Who may not come in costs one answer and
// leaves nothing behind.
func (s *Server) invite(req *gosip.Request, f flow) {
	key := txKey(req, gosip.INVITE)
	if s.orphans.has(key) {
		s.reply(req, f, 487, reasonOf(487))
		return
	}
	who, trusted := s.claims(req, f)
	if trusted && s.full(req, f) {
		return
	}
	if trusted { // not before: it costs more than to refuse
		who.number = who.line.numberOf(req)
		who.caller, who.withheld = who.line.callerOf(req)
	} else {
		agent, verdict := s.guard.check(req, s.edge.asked(f))
		user := uriUser(&req.From().Address)
		switch {
		case verdict == proofRight && agent == user:
			who.agent = agent
			s.edge.proved(f.addr(), f.network())
		case verdict == proofNone || verdict == proofStale:
			s.edge.failed(f.addr(), f.network(), offenceNoAnswer)
			s.reply(req, f, 401, reasonOf(401), s.guard.challenges(s.edge.asked(f), verdict == proofStale)...)
			return
		default:
			s.metrics.rejected.WithLabelValues(refusedProof).Inc()
			s.edge.failed(f.addr(), f.network(), offenceProof)
			s.reply(req, f, 403, reasonOf(403))
			return
		}
	}
	if s.handler == nil {
		s.reply(req, f, 404, reasonOf(404))
		return
	}
	s.admit(req, f, who)
}

// claims tells who an INVITE says it is from, and whether its source is enough
// to believe that. An agent is never believed by address: an INVITE from a
// registered phone, or with an address of ours in From, must be proved.
func (s *Server) claims(req *gosip.Request, f flow) (identity, bool) {
	from := &req.From().Address
	user := uriUser(from)
	who := identity{number: uriUser(&req.Recipient), caller: user}
	if s.registrar.holds(f) || s.hosts[strings.ToLower(from.Host)] && s.guard.knows(user) {
		return who, false
	}
	who.line = s.trunkAt(f)
	return who, who.line != nil
}

// full refuses a trunk's call when there is no room for it.
func (s *Server) full(req *gosip.Request, f flow) bool {
	reason := ""
	switch {
	case s.draining.Load():
		reason = refusedDraining
	case s.legs.calling() >= s.maxCalls:
		reason = refusedCapacity
	case !s.edge.takesCall():
		reason = refusedRate
	default:
		return false
	}
	s.noRoom(req, f, reason, gosip.NewHeader("Retry-After", strconv.Itoa(busyRetry)))
	return true
}

func (s *Server) noRoom(req *gosip.Request, f flow, reason string, wait gosip.Header) {
	s.metrics.rejected.WithLabelValues(reason).Inc()
	s.reply(req, f, 503, reasonOf(503), wait)
}

// admit makes the leg and hands it to its conductor.
func (s *Server) admit(req *gosip.Request, f flow, who identity) {
	if s.merged(req) {
		s.reply(req, f, 482, reasonOf(482))
		return
	}
	fault := s.timerFault(req)
	if fault == nil {
		who.replaces, fault = s.replaced(req)
	}
	if fault != nil {
		s.reply(req, f, fault.code, fault.reason, fault.extra)
		return
	}
	if who.line != nil && !who.line.take(true) {
		s.noRoom(req, f, refusedTrunk, who.line.wait())
		return
	}
	l := newLeg(s, newCallID(), true)
	l.invite = req
	l.merge = inviteKey(req)
	l.who = who
	l.dlg = dialogFromInvite(req, f, token())
	l.learn(req)
	l.dlg.sticky = l.dlg.sticky || who.agent != ""
	l.tx = s.begin(req, f, l.dlg.localTag, l.cancelled) // before anybody can find the leg
	if !s.legs.add(l) {
		l.tx.terminate()
		who.line.done()
		s.reply(req, f, 503, reasonOf(503))
		return
	}
	if !s.spawn(func() { s.conduct(l) }) {
		l.abandon()
	}
}

// conduct runs the room above on a leg.
func (s *Server) conduct(l *Leg) {
	defer s.recovered("Invite", l.crash)
	s.handler.Invite(l)
	l.mu.Lock()
	ringing := l.state == legOffered
	l.mu.Unlock()
	if ringing {
		l.Hangup()
	}
}

// merged reports whether an INVITE is one we already have that came by another
// way (RFC 3261 section 8.2.2.2).
func (s *Server) merged(req *gosip.Request) bool {
	return s.legs.has(inviteKey(req))
}
