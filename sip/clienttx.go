package sip

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

var errNoReply = errors.New("no reply")

// clientTx is a client transaction: it repeats a request until it is answered
// and passes the answers up in the order of their arrival.
//
// onResponse hears every provisional answer, the first failure, and, for an
// INVITE, every 2xx: which of them are repetitions and which come from another
// branch of a fork only the leg can tell. onFail hears instead that no final
// answer came. Neither is called with the lock held.
type clientTx struct {
	s          *Server
	key        string
	req        *gosip.Request
	conn       gosip.Connection
	reliable   bool
	onResponse func(*gosip.Response)
	onFail     func(error)

	mu       sync.Mutex
	state    txState
	ack      *gosip.Request
	interval time.Duration
	again    *time.Timer // Timer A or E
	end      *time.Timer // Timer B, D, F or M
}

// request sends req over conn, whose reference it takes over. If it cannot be
// sent at all, that is the error, and neither function is called.
func (s *Server) request(req *gosip.Request, conn gosip.Connection, onResponse func(*gosip.Response), onFail func(error)) (*clientTx, error) {
	branch, _ := req.Via().Params.Get("branch")
	t := &clientTx{
		s: s, key: branch + string(req.Method), req: req, conn: conn,
		reliable: gosip.IsReliable(req.Transport()), onResponse: onResponse, onFail: onFail,
	}
	s.clientTxs.put(t.key, t)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := conn.WriteMsg(req); err != nil {
		t.terminateLocked()
		s.metrics.sendFailed.Inc()
		return nil, fmt.Errorf("sending %s: %w", req.Method, err)
	}
	s.metrics.asked.count(req.Method, 0)
	if !t.reliable {
		t.interval = s.t1
		t.again = s.after(t.interval, t.repeat)
	}
	t.end = s.after(64*s.t1, t.timeout)
	return t, nil
}

func (t *clientTx) invite() bool { return t.req.Method == gosip.INVITE }

// repeat is Timers A and E.
func (t *clientTx) repeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state > txProceeding || t.invite() && t.state != txTrying {
		return
	}
	if err := t.conn.WriteMsg(t.req); err != nil {
		t.s.metrics.sendFailed.Inc() // the time-out decides
	}
	t.s.metrics.retransmitted.Inc()
	t.interval *= 2
	if !t.invite() {
		t.interval = min(t.interval, t.s.t2())
	}
	t.again = t.s.after(t.interval, t.repeat)
}

// timeout is Timers B and F.
func (t *clientTx) timeout() {
	t.mu.Lock()
	waiting := t.state <= txProceeding
	t.terminateLocked()
	t.mu.Unlock()
	if waiting {
		t.s.metrics.timedOut.count(t.req.Method, 0)
		t.onFail(errNoReply)
	}
}

// receive takes a response.
func (t *clientTx) receive(res *gosip.Response) {
	t.mu.Lock()
	up := false
	switch {
	case t.state <= txProceeding && res.IsProvisional():
		up = true
		t.state = txProceeding
		if t.invite() {
			stop(t.again)
			stop(t.end) // how long it may ring is the caller's to say
		}
	case t.state <= txProceeding:
		up = true
		stop(t.again)
		stop(t.end)
		t.final(res)
	case t.state == txAccepted && res.IsSuccess():
		up = true
	case t.state == txCompleted && t.ack != nil && !res.IsProvisional():
		_ = t.conn.WriteMsg(t.ack)
	}
	t.mu.Unlock()
	if up {
		t.onResponse(res)
	}
}

// final moves on with the first final answer.
func (t *clientTx) final(res *gosip.Response) {
	switch {
	case !t.invite():
		// Repetitions of the answer find nobody and are dropped; there is no
		// need to keep the transaction for them.
		t.terminateLocked()
	case res.IsSuccess():
		t.state = txAccepted
		t.end = t.s.after(64*t.s.t1, t.terminate)
	default:
		t.state = txCompleted
		t.ack = ackFailure(t.req, res)
		t.s.metrics.asked.count(gosip.ACK, 0)
		_ = t.conn.WriteMsg(t.ack) // lost, it is sent again when the failure is
		if t.reliable {
			t.terminateLocked()
		} else {
			t.end = t.s.after(64*t.s.t1, t.terminate)
		}
	}
}

func (t *clientTx) terminate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.terminateLocked()
}

func (t *clientTx) terminateLocked() {
	if t.state == txTerminated {
		return
	}
	t.state = txTerminated
	stop(t.again)
	stop(t.end)
	t.s.clientTxs.drop(t.key)
	_, _ = t.conn.TryClose()
}

// do sends a request and waits for its final answer.
func (s *Server) do(ctx context.Context, req *gosip.Request, conn gosip.Connection) (*gosip.Response, error) {
	type result struct {
		res *gosip.Response
		err error
	}
	done := make(chan result, 1)
	t, err := s.request(req, conn, func(res *gosip.Response) {
		if !res.IsProvisional() {
			done <- result{res, nil}
		}
	}, func(err error) { done <- result{nil, err} })
	if err != nil {
		return nil, err
	}
	select {
	case r := <-done:
		return r.res, r.err
	case <-ctx.Done():
		t.terminate()
		return nil, fmt.Errorf("%s: %w", req.Method, ctx.Err())
	case <-s.closing:
		t.terminate()
		return nil, ErrClosed
	}
}
