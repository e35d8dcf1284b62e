package sip

import (
	"errors"
	"log/slog"
	"sync"

	gosip "github.com/emiago/sipgo/sip"
)

// Errors of a leg's methods.
var (
	ErrOver   = errors.New("the leg is over")                    // nothing can be sent any more
	ErrState  = errors.New("the leg is not in a state for this") // answering an outbound leg, or twice
	ErrClosed = errors.New("the SIP server is closed")
)

// By says which side ended a leg.
type By string

// Who can end a leg.
const (
	ByRemote  By = "remote"  // the far end: BYE, CANCEL, or a refusal
	ByLocal   By = "local"   // us: Hangup or Reject
	ByFailure By = "failure" // nobody wanted it: no reply, no ACK, a broken connection, a bad description
)

// End is how a leg ended.
type End struct {
	Code   int    // SIP status that tells it: 200 after a talk, 487 cancelled, 486 busy, 408 no reply
	Reason string // in words, for the record: "BYE", "Busy Here", "no ACK"
	By     By
}

// legState is where a leg stands. Any message may come in any of them.
type legState int

const (
	legOffered   legState = iota // in: INVITE received, no final answer yet
	legAnswering                 // in: the session is being asked for a description
	legAnswered                  // in: 200 sent, no ACK yet
	legCalling                   // out: INVITE, perhaps CANCEL sent, no final answer yet
	legAccepting                 // out: 200 received, the session is being told
	legUp                        // both: ACK passed
	legEnding                    // both: BYE sent, waiting for its answer
	legOver
)

// Leg is one SIP dialog: one side of a call. Its methods may be called from
// any goroutine and do not wait for the far end; what the far end does comes on
// channels. Hangup is right in every state.
type Leg struct {
	s       *Server
	log     *slog.Logger
	id      string
	inbound bool
	who     identity
	merge   string         // in: see inviteKey
	invite  *gosip.Request // theirs, or our last one
	infos   chan Info

	progress, answered, done             chan struct{}
	progressOnce, answeredOnce, doneOnce sync.Once

	mu      sync.Mutex
	state   legState
	dlg     dialog
	session Session
	pending *accept2xx // a 2xx of ours that has not been acknowledged
	hangup  *End       // if set: to be ended, so, as soon as the state allows
	probing bool       // an OPTIONS of ours is not answered yet
	byed    bool       // out: the far end's BYE overtook its 200
	final   End        // the end that is on its way, then the end
	tx      *serverTx  // in: of the INVITE
	out     outgoing   // out: see dial.go
}

// identity is who a leg is with.
type identity struct {
	number string // the user part of the Request-URI
	caller string
	agent  string // authenticated; empty: a trunk's call
	trunk  string
}

func newLeg(s *Server, id string, inbound bool) *Leg {
	return &Leg{
		s: s, id: id, inbound: inbound, log: s.log.With("call", id),
		infos: make(chan Info, 16), progress: make(chan struct{}), answered: make(chan struct{}), done: make(chan struct{}),
	}
}

// ID gives the call's id: of an inbound leg made here, of an outbound one the
// Target's.
func (l *Leg) ID() string { return l.id }

// SIPCallID gives the dialog's Call-ID.
func (l *Leg) SIPCallID() string { return string(l.dlg.callID) }

// Number gives the dialled number: the user part of the Request-URI.
func (l *Leg) Number() string { return l.who.number }

// Caller gives the calling number: what a trunk asserts (RFC 3325), else the
// user part of From. It is private: never log it whole.
func (l *Leg) Caller() string { return l.who.caller }

// Agent gives the id of the agent who proved to be calling, or "".
func (l *Leg) Agent() string { return l.who.agent }

// Trunk gives the name of the trunk the call came from, or "".
func (l *Leg) Trunk() string { return l.who.trunk }

// Header gives a header of the INVITE by name, "" if there is none. Of an
// outbound leg it is our own INVITE's.
func (l *Leg) Header(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return header(l.invite, gosip.HeaderToLower(name), "")
}

// Progress is closed when an outbound leg's far end rings (18x).
func (l *Leg) Progress() <-chan struct{} { return l.progress }

// Answered is closed when the leg is answered: an inbound one when our 200 is
// sent, an outbound one when theirs has come, the session has taken it, and it
// is acknowledged.
func (l *Leg) Answered() <-chan struct{} { return l.answered }

// Done is closed when the dialog is over and nothing of it is left.
func (l *Leg) Done() <-chan struct{} { return l.done }

// End says how the leg ended. It is complete once Done is closed.
func (l *Leg) End() End {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.final
}

// Infos gives what comes by SIP INFO. A reader who falls 16 behind loses the
// rest.
func (l *Leg) Infos() <-chan Info { return l.infos }

// Hangup ends the leg by what fits its state: a final response, CANCEL, BYE, or
// one of these as soon as it is allowed. It may be called any number of times.
func (l *Leg) Hangup() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangupAs(End{200, "hung up", ByLocal})
}

// hangupAs ends the leg for a reason; l.mu is held.
func (l *Leg) hangupAs(end End) {
	if l.hangup != nil || l.state >= legEnding {
		return
	}
	l.hangup = &end
	switch l.state {
	case legOffered:
		l.refuseHungUp()
	case legCalling:
		l.cancelInvite()
	case legUp:
		l.bye(end)
	case legAnswering, legAccepting, legAnswered:
		// Answering and accepting look at l.hangup when they are through. Before
		// the ACK, BYE is forbidden (RFC 3261 section 15): it follows the ACK.
	}
}

// refuseHungUp answers an INVITE that l.hangup ends.
func (l *Leg) refuseHungUp() {
	code := 480
	if l.hangup.By == ByFailure {
		code = 500
	}
	l.refuse(code, reasonOf(code), End{code, l.hangup.Reason, l.hangup.By})
}

// bye ends an answered dialog. The leg is over when the far end has answered,
// or has not for 64*T1.
func (l *Leg) bye(end End) {
	if l.state == legOver {
		return
	}
	l.state = legEnding
	l.final = end
	l.stopPending()
	req := l.dlg.request(gosip.BYE, l.dlg.next())
	req.SetBody(nil)
	dlg := l.dlg
	if !l.s.spawn(func() { l.sendBye(&dlg, req) }) {
		l.finish(end)
	}
}

func (l *Leg) sendBye(dlg *dialog, req *gosip.Request) {
	over := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.finish(l.final)
	}
	conn, err := dlg.connect(l.s.ctx, req)
	if err == nil {
		_, err = l.s.request(req, conn,
			func(res *gosip.Response) {
				if !res.IsProvisional() {
					over()
				}
			},
			func(error) { over() })
	}
	if err != nil {
		l.log.Debug("BYE could not be sent", "error", err)
		over()
	}
}

// finish ends the leg; l.mu is held.
func (l *Leg) finish(end End) {
	if l.state == legOver {
		return
	}
	l.state = legOver
	l.final = end
	l.stopPending()
	stop(l.out.giveUp)
	l.s.legs.remove(l)
	l.doneOnce.Do(func() { close(l.done) })
}

// crash ends a leg whose conductor panicked.
func (l *Leg) crash() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legAnswering {
		l.state = legOffered // it was its own Answer that panicked
	}
	l.hangupAs(End{500, "internal error", ByFailure})
}
