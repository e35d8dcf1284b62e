package sip

import "fmt"

// guarded is a Session whose panics are errors. It is asked in the middle of
// what a leg does; there a panic would leave the leg, or the transaction that
// waits for an answer, in a state nobody ends.
type guarded struct {
	s       *Server
	session Session
}

// sessionPanic is what a guarded session's panic becomes.
type sessionPanic struct{ value any }

func (p sessionPanic) Error() string { return fmt.Sprintf("panic in the session: %v", p.value) }

// SIPCode implements what sessionFault asks an error for.
func (p sessionPanic) SIPCode() int { return 500 }

// Offer implements Session.
func (g guarded) Offer() (sdp []byte, err error) {
	defer g.recovered(&err)
	return g.session.Offer()
}

// Answer implements Session.
func (g guarded) Answer(offer []byte) (sdp []byte, err error) {
	defer g.recovered(&err)
	return g.session.Answer(offer)
}

// Accept implements Session.
func (g guarded) Accept(answer []byte) (err error) {
	defer g.recovered(&err)
	return g.session.Accept(answer)
}

// hold passes a Hold to a session that is a Holder, and reports whether it is.
func (g guarded) hold(on bool) (held bool) {
	h, ok := g.session.(Holder)
	if !ok {
		return false
	}
	var err error
	defer func() { held = err == nil }()
	defer g.recovered(&err)
	h.Hold(on)
	return true
}

// recovered, deferred, turns a panic into an error.
func (g guarded) recovered(err *error) {
	if r := recover(); r != nil {
		g.s.panicked("session", r)
		*err = sessionPanic{r}
	}
}
