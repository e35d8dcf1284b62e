package sip

import (
	"errors"
	"strconv"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// txState is a state of RFC 3261 section 17 as amended by RFC 6026.
type txState int

const (
	txTrying     txState = iota // nothing sent (server), nothing heard (client)
	txProceeding                // provisional
	txCompleted                 // failed, or final of a non-INVITE
	txConfirmed                 // INVITE failed and acknowledged
	txAccepted                  // INVITE succeeded: the leg sees to the rest
	txTerminated
)

var errTxOver = errors.New("the transaction is over")

// serverTx is a server transaction: it repeats answers to who repeats questions.
// One lane feeds it; its lock is for the timers and the goroutine that answers.
type serverTx struct {
	s      *Server
	key    string
	req    *gosip.Request
	flow   flow
	tag    string               // in To of what answers it, and of what answers its CANCEL; "" if the request bears one
	cancel func(*gosip.Request) // what to do when a CANCEL comes

	mu       sync.Mutex
	state    txState
	last     *gosip.Response
	interval time.Duration
	again    *time.Timer // 100 Trying, or Timer G
	end      *time.Timer // Timer H, I, J or L
}

// txKey names the transaction a request belongs to (RFC 3261 section 17.2.3),
// seen as being of the given method: ACK and CANCEL look for their INVITE.
func txKey(req *gosip.Request, method gosip.RequestMethod) string {
	via := req.Via()
	branch, _ := via.Params.Get("branch")
	if len(branch) <= len(magicCookie) || branch[:len(magicCookie)] != magicCookie {
		// RFC 2543: no branch to go by.
		tag, _ := req.From().Params.Get("tag")
		branch = req.CallID().Value() + "\x00" + tag + "\x00" + strconv.Itoa(int(req.CSeq().SeqNo))
	}
	return branch + "\x00" + via.Host + ":" + strconv.Itoa(via.Port) + "\x00" + string(method)
}

// begin makes the transaction of a new request that is answered with a tag; cancel,
// if not nil, hears of a CANCEL that comes before the final answer.
func (s *Server) begin(req *gosip.Request, f flow, tag string, cancel func(*gosip.Request)) *serverTx {
	t := &serverTx{s: s, key: txKey(req, req.Method), req: req, flow: f, tag: tag, cancel: cancel}
	s.serverTxs.put(t.key, t)
	if req.Method == gosip.INVITE {
		// Within 200 ms the caller must hear something (section 17.2.1). Mostly
		// the leg's own answer is there before.
		t.mu.Lock()
		t.again = s.after(200*time.Millisecond, t.trying)
		t.mu.Unlock()
	}
	return t
}

func (t *serverTx) trying() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != txTrying {
		return
	}
	t.state = txProceeding
	t.last = response(t.req, t.flow, 100, "Trying", "")
	t.send()
}

// send writes the last answer. A failure is not the caller's to handle: over
// UDP the next repetition may pass, over TCP the far end is gone and its leg
// will find out.
func (t *serverTx) send() {
	t.s.metrics.response(t.last)
	if err := t.flow.send(t.last); err != nil {
		t.s.metrics.sendFailed.Inc()
	}
}

// respond sends an answer and moves the transaction on.
func (t *serverTx) respond(res *gosip.Response) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state > txProceeding {
		return errTxOver
	}
	stop(t.again)
	t.last = res
	t.send()
	if res.IsProvisional() {
		t.state = txProceeding
		return nil
	}
	invite := t.req.Method == gosip.INVITE
	t.req, t.cancel = nil, nil // what stays, mostly for 64*T1, is to be small
	switch {
	case invite && res.IsSuccess():
		t.state = txAccepted
		t.last = nil // the leg repeats its 200 itself (section 13.3.1.4)
		t.end = t.s.after(64*t.s.t1, t.terminate)
	case invite:
		t.state = txCompleted
		if !t.flow.at.reliable() {
			t.interval = t.s.t1
			t.again = t.s.after(t.interval, t.repeat)
		}
		t.end = t.s.after(64*t.s.t1, t.terminate)
	case t.flow.at.reliable():
		t.terminateLocked()
	default:
		t.state = txCompleted
		t.end = t.s.after(64*t.s.t1, t.terminate)
	}
	return nil
}

// repeat is Timer G: the failure of an INVITE is sent until it is acknowledged.
func (t *serverTx) repeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != txCompleted {
		return
	}
	t.send()
	t.interval = min(2*t.interval, t.s.t2())
	t.again = t.s.after(t.interval, t.repeat)
}

// receive takes a repetition of the request.
func (t *serverTx) receive() {
	t.s.metrics.repeated.Inc()
	t.mu.Lock()
	defer t.mu.Unlock()
	if (t.state == txProceeding || t.state == txCompleted) && t.last != nil {
		t.send()
	}
}

// acknowledged takes the ACK of a failed INVITE. It reports false if the
// INVITE did not fail, so that the ACK is a leg's.
func (t *serverTx) acknowledged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.state {
	case txCompleted:
		t.state = txConfirmed
		t.last = nil
		stop(t.again)
		stop(t.end)
		if t.flow.at.reliable() {
			t.terminateLocked()
		} else {
			t.end = t.s.after(t.s.t4(), t.terminate)
		}
		return true
	case txAccepted, txTerminated:
		return false
	default:
		return true
	}
}

// cancelled hands a CANCEL to whoever answers the INVITE.
func (t *serverTx) cancelled(req *gosip.Request) {
	t.mu.Lock()
	f := t.cancel
	if t.state > txProceeding {
		f = nil
	}
	t.mu.Unlock()
	if f != nil {
		f(req)
	}
}

func (t *serverTx) terminate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.terminateLocked()
}

func (t *serverTx) terminateLocked() {
	if t.state == txTerminated {
		return
	}
	t.state = txTerminated
	stop(t.again)
	stop(t.end)
	t.s.serverTxs.drop(t.key)
}

func stop(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

// txStore finds transactions by key.
type txStore[T any] struct {
	mu sync.Mutex
	m  map[string]T
}

func (st *txStore[T]) put(key string, t T) {
	st.mu.Lock()
	if st.m == nil {
		st.m = make(map[string]T)
	}
	st.m[key] = t
	st.mu.Unlock()
}

func (st *txStore[T]) get(key string) (T, bool) {
	st.mu.Lock()
	t, ok := st.m[key]
	st.mu.Unlock()
	return t, ok
}

func (st *txStore[T]) drop(key string) {
	st.mu.Lock()
	delete(st.m, key)
	st.mu.Unlock()
}

// all gives what is there now.
func (st *txStore[T]) all() []T {
	st.mu.Lock()
	defer st.mu.Unlock()
	ts := make([]T, 0, len(st.m))
	for _, t := range st.m {
		ts = append(ts, t)
	}
	return ts
}
