package sip

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	gosip "github.com/emiago/sipgo/sip"
)

// Errors of a leg's methods.
var (
	ErrOver   = errors.New("the leg is over")                    // nothing can be sent any more
	ErrState  = errors.New("the leg is not in a state for this") // answering an outbound leg, or twice
	ErrBusy   = errors.New("the leg is being changed already")   // one re-INVITE, UPDATE or REFER at a time
	ErrCannot = errors.New("the far end or the session cannot do this")
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
	Cause  Cause // what the far end gave as its reason, or we did
}

// failure is an end that nobody wanted.
func failure(code int, reason string) End { return End{Code: code, Reason: reason, By: ByFailure} }

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
// any goroutine and, but for those that take a context, do not wait for the far
// end; what the far end does comes on channels. Hangup is right in every state.
//
// Three things of a leg move on their own and meet in a few places: the dialog
// (state), the session's description (proposed, in negotiate.go), and the 1xx
// that are sent reliably (reliable.go). Each message that may come is met by one
// method with a switch over what it depends on; docs/sip.md has the table.
type Leg struct {
	s       *Server
	log     *slog.Logger
	id      string
	inbound bool
	who     identity
	merge   string         // in: see inviteKey
	invite  *gosip.Request // theirs, or our last one
	infos   chan Info

	progress, early, answered, done                 chan struct{}
	progressOnce, earlyOnce, answeredOnce, doneOnce sync.Once

	mu      sync.Mutex
	state   legState
	dlg     dialog
	session Session
	pending *repeated // a 2xx of ours that has not been acknowledged
	hangup  *End      // if set: to be ended, so, as soon as the state allows
	probing bool      // an OPTIONS of ours is not answered yet
	byed    *End      // out: the far end's BYE overtook its 200
	final   End       // the end that is on its way, then the end
	updates bool      // the far end takes UPDATE
	change  *revision // ours, under way
	taking  bool      // the far end's change is being taken
	timer   sessionTimer
	refers  chan *Refer // nil until somebody asks for it
	refer   *Refer      // theirs, not over yet
	sent    *Referral   // REFER of ours, not over yet
	tx      *serverTx   // in: of the INVITE
	in      incoming    // in: see reliable.go
	out     outgoing    // out: see dial.go
}

// identity is who a leg is with.
type identity struct {
	number string // the user part of the Request-URI
	caller string
	agent  string // authenticated; empty: a trunk's call
	line   *trunk // that it is with, if any

	withheld bool // the caller's number is not to be known

	replaces *Leg // the leg whose place it wants to take (RFC 3891)
}

func newLeg(s *Server, id string, inbound bool) *Leg {
	return &Leg{
		s: s, id: id, inbound: inbound, log: s.log.With("call", id),
		infos: make(chan Info, 16), progress: make(chan struct{}), early: make(chan struct{}),
		answered: make(chan struct{}), done: make(chan struct{}),
	}
}

// ID gives the call's id: of an inbound leg made here, of an outbound one the
// Target's.
func (l *Leg) ID() string { return l.id }

// SIPCallID gives the dialog's Call-ID.
func (l *Leg) SIPCallID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.dlg.callID)
}

// Number gives the dialled number: the user part of the Request-URI.
func (l *Leg) Number() string { return l.who.number }

// Caller gives the calling number: what a trunk asserts (RFC 3325), else the
// user part of From, in the international form if the trunk's country is known. It
// is empty if Withheld. It is private: never log it whole.
func (l *Leg) Caller() string { return l.who.caller }

// Withheld tells whether the caller does not want his number known (RFC 3323).
func (l *Leg) Withheld() bool { return l.who.withheld }

// Agent gives the id of the agent who proved to be calling, or "".
func (l *Leg) Agent() string { return l.who.agent }

// Trunk gives the name of the trunk the call came from or goes to, or "".
func (l *Leg) Trunk() string { return l.who.line.name() }

// with says in words who the leg is with, for a trace.
func (l *Leg) with() string {
	b := l.out.target.Binding
	switch {
	case l.who.agent != "":
		return "agent " + l.who.agent
	case b != nil:
		return "agent " + b.User
	case l.inbound && l.who.line != nil:
		return "caller, " + l.who.line.Name
	case l.who.line != nil:
		return "trunk " + l.who.line.Name
	case l.inbound:
		return "caller"
	}
	return "callee"
}

// Encrypted tells whether the leg's signalling is encrypted on its way to the next
// hop, so that it may carry secrets: keys of SRTP. Where that hop is a proxy, what it
// does beyond is its own.
func (l *Leg) Encrypted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return isEncrypted(l.invite.Transport())
}

// isEncrypted tells the encrypted transports.
func isEncrypted(transport string) bool {
	return strings.EqualFold(transport, "tls") || strings.EqualFold(transport, "wss")
}

// Encrypted tells whether the phone's signalling is encrypted.
func (b *Binding) Encrypted() bool {
	transport, _, _ := strings.Cut(b.Source, ":")
	return isEncrypted(transport)
}

// Header gives a header of the INVITE by name, "" if there is none. Of an
// outbound leg it is our own INVITE's.
func (l *Leg) Header(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return header(l.invite, name, "")
}

// Progress is closed when an outbound leg's far end rings (18x).
func (l *Leg) Progress() <-chan struct{} { return l.progress }

// EarlyMedia is closed when a session is agreed on before the answer: an
// outbound leg's far end has sent its description in a 18x, or an inbound leg's
// AnswerEarly has sent ours.
func (l *Leg) EarlyMedia() <-chan struct{} { return l.early }

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
func (l *Leg) Hangup() { l.HangupFor(Cause{}) }

// HangupFor is Hangup with a reason that the far end is told, and through it
// whoever is behind: a phone that was rung with others shows no missed call if
// the cause is {"SIP", 200, "Call completed elsewhere"} (RFC 3326).
func (l *Leg) HangupFor(c Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangupAs(End{200, "hung up", ByLocal, c})
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
		l.in.release()
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
	l.refuse(code, reasonOf(code), l.hungUp(code))
}

// hungUp is the end of a leg that was hung up: by the code that fits the state it
// was in, unless it failed and has its own.
func (l *Leg) hungUp(code int) End {
	end := *l.hangup
	if end.By != ByFailure {
		end.Code = code
	}
	return end
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
	l.timer.stop()
	l.ask(&l.dlg, l.byeFor(&l.dlg, end), func(*gosip.Response, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.finish(l.final)
	})
}

// byeFor makes the BYE of a dialog that ends so.
func (l *Leg) byeFor(d *dialog, end End) *gosip.Request {
	bye := d.request(gosip.BYE, 0)
	end.explain(bye)
	bye.SetBody(nil)
	return bye
}

// ask sends a request of one of the leg's dialogs, from a goroutine of its own: a
// connection may have to be opened. It takes its CSeq as it leaves, so that
// requests leave in the order of their numbers. A challenge is answered. answered hears
// the final response or the error, once, without l.mu, which is held here.
func (l *Leg) ask(d *dialog, req *gosip.Request, answered func(*gosip.Response, error)) {
	l.askAgain(d, req, 0, answered)
}

// askAgain is ask after so many challenges.
func (l *Leg) askAgain(d *dialog, req *gosip.Request, proofs int, answered func(*gosip.Response, error)) {
	at := *d
	l.s.spawn(func() {
		conn, err := at.connect(l.s.ctx, req)
		if err == nil {
			l.mu.Lock()
			if seq := req.CSeq(); seq.SeqNo == 0 {
				seq.SeqNo = d.next()
			}
			_, err = l.s.request(req, conn, func(res *gosip.Response) {
				if !res.IsProvisional() && !l.askedProof(d, req, res, proofs, answered) {
					answered(res, nil)
				}
			}, func(err error) { answered(nil, err) })
			l.mu.Unlock()
		}
		if err != nil {
			l.log.Debug("request could not be sent", "method", req.Method, "error", err)
			answered(nil, err)
		}
	}) // if the server is closed, it abandons its legs
}

// askedProof sends a request once more if it was challenged and we can answer that,
// and reports whether it did: a BYE that a carrier's proxy challenges would leave the
// call standing there.
func (l *Leg) askedProof(d *dialog, req *gosip.Request, res *gosip.Response, proofs int, answered func(*gosip.Response, error)) bool {
	if !mayProve(res, proofs) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	proof := l.prove(res, req.Method, d)
	if proof == nil {
		return false
	}
	l.askAgain(d, proven(req, proof), proofs+1, answered)
	return true
}

// lost ends the leg if the answer to a request within it, or that there was none,
// says that the far end has no such dialog (481) or is gone (408; RFC 3261 section
// 12.2.1.2), and reports whether it did. l.mu is held.
func (l *Leg) lost(method gosip.RequestMethod, res *gosip.Response, err error) bool {
	end := failure(408, fmt.Sprintf("%v to %s", err, method))
	if res != nil {
		end.Code, end.Reason = res.StatusCode, fmt.Sprintf("%d to %s", res.StatusCode, method)
	}
	if end.Code != 408 && end.Code != 481 || l.state >= legEnding {
		return false
	}
	if end.Code == 408 {
		// For the case that only its answers are lost; nobody waits for this one's.
		l.ask(&l.dlg, l.byeFor(&l.dlg, end), func(*gosip.Response, error) {})
	}
	l.finish(end)
	return true
}

// finish ends the leg; l.mu is held.
func (l *Leg) finish(end End) {
	if l.state == legOver {
		return
	}
	l.state = legOver
	l.final = end
	l.s.metrics.over(end)
	l.stopPending()
	l.timer.stop()
	l.in.end()
	l.out.end()
	l.dropChange(ErrOver)
	l.dropReferrals()
	l.s.legs.remove(l)
	l.who.line.done()
	l.doneOnce.Do(func() { close(l.done) })
}

// crash ends a leg whose conductor panicked.
func (l *Leg) crash() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legAnswering {
		l.state = legOffered // it was its own Answer that panicked
	}
	l.hangupAs(failure(500, "internal error"))
}
