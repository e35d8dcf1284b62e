package sip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// revision is a re-INVITE or UPDATE of ours, from the wish to its end. A leg has one
// at a time. It waits while the far end's change is being taken or a 2xx of ours
// is not acknowledged; if both ends try at once, both get a 491 and try again after
// times that differ (RFC 3261 section 14.1). The leg's lock guards it.
type revision struct {
	method   gosip.RequestMethod
	describe bool       // it carries an offer; else it only refreshes the dialog
	result   chan error // one

	begun   bool // it is being sent, or sent and not answered yet
	over    bool
	req     *gosip.Request
	tx      *clientTx
	rung    bool           // CANCEL is allowed
	ack     *gosip.Request // of the 2xx
	auth    gosip.Header
	tries   int
	retry   *time.Timer // after a refusal that may pass
	giveUp  *time.Timer // no final answer
	dropped bool        // nobody waits any more
}

const (
	maxTries      = 6                // of a change
	maxRetryAfter = 10 * time.Second // longer is not waited for
)

// Holder is a Session that can put the far end on hold: once told so, its offers
// and answers say that we send and do not listen, or the opposite.
type Holder interface{ Hold(on bool) }

// Reinvite offers the session anew: with its new codecs, address or direction, by
// re-INVITE (RFC 3261 section 14). It returns when the far end has answered and
// the session has taken the answer. If the far end refuses, what was agreed stays
// in force and the error says so. If ctx ends before, the re-INVITE is cancelled;
// should its answer still come, it counts. Errors besides: ErrOver, ErrState,
// ErrBusy.
func (l *Leg) Reinvite(ctx context.Context) error { return l.alter(ctx, gosip.INVITE, func() {}) }

// Update is Reinvite by UPDATE (RFC 3311), which needs no ACK. It is ErrCannot if
// the far end does not take it.
func (l *Leg) Update(ctx context.Context) error { return l.alter(ctx, gosip.UPDATE, func() {}) }

// Hold tells the far end that we do not listen any more; what we play is sent. The
// session must be a Holder: else it is ErrCannot. If the far end refuses, nothing
// has changed.
func (l *Leg) Hold(ctx context.Context) error { return l.hold(ctx, true) }

// Resume ends a Hold.
func (l *Leg) Resume(ctx context.Context) error { return l.hold(ctx, false) }

func (l *Leg) hold(ctx context.Context, on bool) error {
	l.mu.Lock()
	session := l.session
	l.mu.Unlock()
	g, ok := session.(guarded)
	if !ok || !g.hold(on) {
		return ErrCannot
	}
	return l.alter(ctx, gosip.INVITE, func() { g.hold(!on) })
}

// alter offers the session anew and waits; undo is called if it comes to nothing.
func (l *Leg) alter(ctx context.Context, method gosip.RequestMethod, undo func()) error {
	c := &revision{method: method, describe: true, result: make(chan error, 1)}
	if err := l.propose(c); err != nil {
		undo()
		return err
	}
	select {
	case err := <-c.result:
		if err != nil {
			undo()
		}
		return err
	case <-ctx.Done():
		l.withdraw(c)
		l.s.spawn(func() {
			if err := <-c.result; err != nil {
				undo()
			}
		})
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// propose begins a change as soon as it may.
func (l *Leg) propose(c *revision) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state >= legEnding:
		return ErrOver
	case l.state != legUp && l.state != legAnswered:
		return ErrState
	case l.change != nil:
		return ErrBusy
	case c.method == gosip.UPDATE && !l.updates:
		return ErrCannot
	}
	l.change = c
	l.proceed()
	return nil
}

// proceed sends the change that waits, if now it may; l.mu is held.
func (l *Leg) proceed() {
	c := l.change
	if c == nil || c.begun || c.retry != nil || l.state != legUp || l.pending != nil || l.taking {
		return
	}
	c.begun = true
	c.tries++
	l.s.spawn(func() { l.sendChange(c) }) // a closed server abandons its legs
}

func (l *Leg) sendChange(c *revision) {
	var sdp []byte
	if c.describe {
		var err error
		if sdp, err = l.session.Offer(); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.endChange(c, fmt.Errorf("%s: making the offer: %w", c.method, err))
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.over {
		return
	}
	dlg := l.dlg
	req := l.changeRequest(c, sdp)
	l.mu.Unlock()
	conn, err := dlg.connect(l.s.ctx, req)
	l.mu.Lock()
	switch {
	case err != nil:
		l.endChange(c, fmt.Errorf("%s: %w", c.method, err))
		return
	case c.over:
		_, _ = conn.TryClose()
		return
	}
	req.CSeq().SeqNo = l.dlg.next()
	c.req, c.rung = req, false
	c.tx, err = l.s.request(req, conn,
		func(res *gosip.Response) { l.changeAnswered(c, res) },
		func(err error) { l.changeFailed(c, err) })
	if err != nil {
		l.endChange(c, err)
		return
	}
	c.giveUp = l.s.after(64*l.s.t1, func() { l.changeLate(c) })
}

func (l *Leg) changeRequest(c *revision, sdp []byte) *gosip.Request {
	req := l.dlg.request(c.method, 0)
	req.AppendHeader(l.dlg.via.contact(l.dlg.target.Scheme))
	req.AppendHeader(allowHeader)
	req.AppendHeader(againSupportedHeader)
	l.timer.propose(l.s, req)
	if c.auth != nil {
		req.AppendHeader(c.auth)
	}
	withSDP(req, sdp)
	return req
}

// changeAnswered takes the answers to a change, in the order of their arrival.
func (l *Leg) changeAnswered(c *revision, res *gosip.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case res.IsProvisional():
		c.rung = true
		if c.dropped {
			l.cancelChange(c)
		}
	case c.over:
		if res.IsSuccess() && c.method == gosip.INVITE { // repeated, or after the end: the far end wants its ACK
			l.ackChange(c, nil)
		}
	case res.IsSuccess():
		l.changeAccepted(c, res)
	default:
		l.changeRefused(c, res)
	}
}

func (l *Leg) changeAccepted(c *revision, res *gosip.Response) {
	stop(c.giveUp)
	l.dlg.refresh(res)
	var err error
	if c.describe {
		if sdp := sdpOf(res); sdp != nil {
			err = l.tellSession(sdp)
		} else {
			err = errNoAnswer
		}
	}
	if c.method == gosip.INVITE {
		l.ackChange(c, nil)
	}
	if c.over { // meanwhile
		return
	}
	if err != nil && c.method == gosip.INVITE { // it thinks it is agreed: there is no way back
		code, _ := sessionFault(err)
		l.endChange(c, err)
		l.bye(failure(code, err.Error()))
		return
	}
	l.learn(res)
	l.timer.answered(l, res)
	l.endChange(c, err)
}

// ackChange acknowledges a 2xx to a re-INVITE; l.mu is let go meanwhile.
func (l *Leg) ackChange(c *revision, answer []byte) {
	if c.ack == nil {
		c.ack = l.dlg.request(gosip.ACK, c.req.CSeq().SeqNo)
		if c.auth != nil {
			c.ack.AppendHeader(c.auth)
		}
		withSDP(c.ack, answer)
	}
	d, ack := l.dlg, c.ack
	l.mu.Unlock()
	defer l.mu.Lock()
	l.write(&d, ack)
}

// changeRefused takes a refusal: some pass, some end the dialog, the others leave
// everything as it was.
func (l *Leg) changeRefused(c *revision, res *gosip.Response) {
	stop(c.giveUp)
	wait, again := l.mayRetry(c, res)
	switch {
	case again && c.tries < maxTries && !c.dropped:
		c.begun = false
		c.retry = l.s.after(wait, func() { l.retryChange(c) })
	case l.lost(c.method, res, nil): // it has ended the change too
	default:
		if c.method == gosip.UPDATE && (res.StatusCode == 405 || res.StatusCode == 501) {
			l.updates = false
		}
		l.endChange(c, fmt.Errorf("%s refused: %d %s", c.method, res.StatusCode, reasonOf(res.StatusCode)))
	}
}

// mayRetry says whether a refused change can be tried again, and when.
func (l *Leg) mayRetry(c *revision, res *gosip.Response) (time.Duration, bool) {
	switch res.StatusCode {
	case 401, 407:
		proof := l.prove(res, c.method, &l.dlg)
		if proof == nil || c.auth != nil && c.tries >= maxProofs+1 {
			return 0, false
		}
		c.auth = proof
		return 0, true
	case 422:
		return 0, l.timer.raise(res)
	case 491:
		return l.glareWait(), true
	case 500, 503:
		after, _, _ := strings.Cut(header(res, "retry-after", ""), ";")
		secs, err := strconv.ParseUint(strings.TrimSpace(after), 10, 16)
		wait := time.Duration(secs) * time.Second
		return wait, err == nil && wait <= maxRetryAfter
	}
	return 0, false
}

// glareWait is how long to wait after a 491: who made the Call-ID longer than the
// other, so that one of them comes first (RFC 3261 section 14.1).
func (l *Leg) glareWait() time.Duration {
	if l.inbound {
		return time.Duration(rand.IntN(201)) * 10 * time.Millisecond
	}
	return 2100*time.Millisecond + time.Duration(rand.IntN(191))*10*time.Millisecond
}

func (l *Leg) retryChange(c *revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.retry = nil
	l.proceed()
}

// changeFailed is a change without an answer.
func (l *Leg) changeFailed(c *revision, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.over {
		l.lost(c.method, nil, err)
	}
}

// changeLate is a re-INVITE with a provisional answer and no final one: it is
// cancelled, and given up if that does not help.
func (l *Leg) changeLate(c *revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.over || !c.rung {
		return // without any answer its transaction tells
	}
	l.cancelChange(c)
	c.giveUp = l.s.after(64*l.s.t1, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !c.over {
			l.lost(c.method, nil, errNoReply)
		}
	})
}

// withdraw gives a change up for whom nobody waits any more.
func (l *Leg) withdraw(c *revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.over {
		return
	}
	c.dropped = true
	if !c.begun {
		l.endChange(c, context.Canceled)
		return
	}
	l.cancelChange(c)
}

func (l *Leg) cancelChange(c *revision) {
	if c.method != gosip.INVITE || !c.rung || c.tx == nil || c.tx.req != c.req {
		return
	}
	conn := c.tx.conn
	conn.Ref(1)
	if _, err := l.s.request(cancelOf(c.req), conn, func(*gosip.Response) {}, func(error) {}); err != nil {
		l.log.Debug("CANCEL could not be sent", "error", err)
	}
}

// endChange ends a change; l.mu is held.
func (l *Leg) endChange(c *revision, err error) {
	if c.over {
		return
	}
	c.over = true
	stop(c.retry)
	stop(c.giveUp)
	if l.change == c {
		l.change = nil
	}
	c.result <- err
}

// dropChange ends a change together with its leg. Its transaction may wait for an
// answer a little longer.
func (l *Leg) dropChange(err error) {
	c := l.change
	if c == nil {
		return
	}
	l.endChange(c, err)
	if tx := c.tx; tx != nil {
		l.s.after(64*l.s.t1, tx.terminate)
	}
}
