package sip

import (
	"context"
	"errors"
	"fmt"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// TrunkCall is a call to an outside number.
type TrunkCall struct {
	Trunk     string            // by its name
	Number    string            // whom to call: "+49301234567", or as it is dialled in the trunk's country
	From      string            // our number, shown to the callee; default: the trunk's username
	Display   string            // name that goes with it
	Withheld  bool              // the callee is not to see who calls (RFC 3323); a trusted trunk still learns it
	Emergency bool              // the trunk's limits do not hold
	Call      string            // see Target
	Headers   map[string]string // see Target
	AskOffer  bool              // see Target
}

// DialTrunk calls an outside number. The hosts of the trunk are tried one after the
// other, as the DNS and their health say, until one gives any answer but 503; the
// leg is one all the while. Beside what Dial returns it returns ErrNoTrunk and
// ErrTrunkFull.
func (s *Server) DialTrunk(c TrunkCall, session Session) (*Leg, error) {
	t := s.trunkNamed(c.Trunk)
	if t == nil || len(t.Hosts) == 0 {
		return nil, fmt.Errorf("dialling by trunk %q: %w", c.Trunk, ErrNoTrunk)
	}
	if c.Number == "" {
		return nil, fmt.Errorf("dialling by trunk %q: no number", c.Trunk)
	}
	if c.Emergency {
		t.keep()
	} else if !t.take(false) {
		s.metrics.rejected.WithLabelValues(refusedTrunk).Inc()
		return nil, fmt.Errorf("dialling by trunk %q: %w", c.Trunk, ErrTrunkFull)
	}
	target := Target{Display: c.Display, Call: c.Call, AskOffer: c.AskOffer, Auth: t.auth(), Headers: make(map[string]string, len(c.Headers)+2)}
	for name, value := range c.Headers {
		target.Headers[name] = value
	}
	t.identify(&target, c.From, c.Withheld)
	h := &hunt{t: t, user: t.Prefix + t.written(c.Number)}
	uri := t.uri(h.user, hop{host: t.Hosts[0].Host, port: t.Hosts[0].Port})
	target.URI = uri.String()
	l, err := s.dial(target, session, h)
	if err != nil {
		t.done()
	}
	return l, err
}

// auth gives what proves us to the trunk, nil if nothing does.
func (t *trunk) auth() *Auth {
	if t.Username == "" {
		return nil
	}
	return &Auth{t.Username, t.Password}
}

// hunt is the search of a call for a host of its trunk that takes it. Its leg's
// lock guards it, but for what route does before an INVITE is sent.
type hunt struct {
	t      *trunk
	user   string // whom we call, as the trunk wants it written
	looked bool
	left   []hop // not tried yet, best first
	at     hop   // where the INVITE is now
	last   *End  // how the host before took it

	silent *time.Timer
	given  map[uint32]*givenUp // by CSeq
}

// givenUp is an INVITE that was left for the next host without an answer, and may
// be answered yet.
type givenUp struct {
	invite    *gosip.Request
	tx        *clientTx
	dlg       dialog
	cancelled bool
	ack       *gosip.Request
}

var errNoHost = errors.New("no host of the trunk takes the call")

// maxTried is how many hosts one call is tried with: nobody waits for more.
const maxTried = 6

// route finds the next host that can be reached and aims the INVITE at it.
func (h *hunt) route(ctx context.Context, ln *listener, req *gosip.Request) (gosip.Connection, error) {
	if !h.looked {
		h.looked = true
		all, err := h.t.lookup(ctx)
		if err != nil {
			return nil, err
		}
		h.left = h.t.choose(all)
		h.left = h.left[:min(len(h.left), maxTried)]
	}
	err := errNoHost
	for len(h.left) > 0 {
		h.at, h.left = h.left[0], h.left[1:]
		conn, failure := h.connect(ctx, ln, req)
		if failure == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, failure
		}
		h.t.failed(h.at.addr, failedUnreachable, 0)
		err = failure
	}
	return nil, err
}

func (h *hunt) connect(ctx context.Context, ln *listener, req *gosip.Request) (gosip.Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, h.t.Timeout.D())
	defer cancel()
	req.Recipient = h.t.uri(h.user, h.at)
	req.SetDestination(h.at.addr)
	return flow{at: ln, remote: h.at.addr}.dial(ctx, req)
}

// end is how a call ended that no host took.
func (h *hunt) end(err error) End {
	if h.last != nil {
		return *h.last
	}
	return failure(503, err.Error())
}

// hunting begins the wait for a first word of the host; l.mu is held.
func (l *Leg) hunting() {
	if h := l.out.hunt; h != nil {
		tx := l.out.tx
		stop(h.silent)
		h.silent = l.s.after(h.t.Timeout.D(), func() { l.silent(tx) })
	}
}

// heardFrom notes that the host of a trunk has answered, and reports whether the answer
// is to an INVITE we left behind, and dealt with. l.mu is held.
func (l *Leg) heardFrom(res *gosip.Response) bool {
	h := l.out.hunt
	if h == nil {
		return false
	}
	if g := h.given[res.CSeq().SeqNo]; g != nil {
		l.late(g, res)
		return true
	}
	stop(h.silent)
	if res.StatusCode != 503 && res.StatusCode != 408 {
		h.t.works(h.at.addr)
	}
	return false
}

// silent gives up a host that has not said a word.
func (l *Leg) silent(tx *clientTx) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.out.hunt
	if l.state != legCalling || l.out.tx != tx || l.out.rung {
		return
	}
	if h.given == nil {
		h.given = make(map[uint32]*givenUp)
	}
	// It is not ended: if it is answered after all, the far end has to be told.
	h.given[l.invite.CSeq().SeqNo] = &givenUp{invite: l.invite, tx: tx, dlg: l.dlg}
	if !l.elsewhere(failure(408, errNoReply.Error()), failedSilent, 0) {
		l.finish(*l.out.hunt.last)
	}
}

// elsewhere sends a call that a host did not take to the next one, and reports
// whether there is one. l.mu is held.
func (l *Leg) elsewhere(end End, why string, after time.Duration) bool {
	h := l.out.hunt
	if h == nil {
		return false
	}
	stop(h.silent)
	h.t.failed(h.at.addr, why, after)
	if l.hangup != nil {
		end = l.hungUp(487)
	}
	h.last = &end
	if l.hangup != nil || l.state != legCalling || len(h.left) == 0 {
		return false
	}
	body := l.invite.Body()
	l.out.tx, l.out.rung, l.out.took, l.out.forks, l.out.auth, l.out.proofs = nil, false, nil, nil, nil, 0
	l.invite = l.buildInvite(body)
	return l.s.spawn(l.start)
}

// unwilling sends a call to the next host if this one refused it by 503.
func (l *Leg) unwilling(res *gosip.Response) bool {
	return res.StatusCode == 503 &&
		l.elsewhere(endOf(res), failedUnavailable, retryAfter(res))
}

// late takes the answer of a host that the call has left: what rings there is
// cancelled, what was answered there is acknowledged and ended.
func (l *Leg) late(g *givenUp, res *gosip.Response) {
	switch {
	case res.IsProvisional():
		l.cancelLate(g)
	case res.IsSuccess():
		first := g.ack == nil
		if first {
			g.dlg.localSeq = g.invite.CSeq().SeqNo
			g.dlg.accepted(res)
			g.ack = g.dlg.request(gosip.ACK, g.invite.CSeq().SeqNo)
			g.ack.SetBody(nil)
		}
		d, ack := g.dlg, g.ack
		l.mu.Unlock()
		l.write(&d, ack)
		l.mu.Lock()
		if first {
			end := End{By: ByLocal, Cause: Cause{"SIP", 200, "Call completed elsewhere"}}
			l.ask(&g.dlg, l.byeFor(&g.dlg, end), func(*gosip.Response, error) {})
		}
	}
}

// cancelLate cancels an INVITE that was left, once it may be (RFC 3261 section 9.1).
func (l *Leg) cancelLate(g *givenUp) {
	if g.cancelled {
		return
	}
	g.cancelled = true
	g.tx.conn.Ref(1)
	if _, err := l.s.request(cancelOf(g.invite), g.tx.conn, func(*gosip.Response) {}, func(error) {}); err != nil {
		l.log.Debug("CANCEL could not be sent", "error", err)
	}
	l.s.after(64*l.s.t1, g.tx.terminate) // it would wait without end for a final answer
}
