package sip

import (
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// The way of a message: a socket's reader parses it (sipgo) and calls arrived;
// its Call-ID's lane calls handle; a response goes to its client transaction; a
// request is validated, then goes to the transaction it repeats, to its leg, or
// to a door: invite (admit.go), register (registrar.go), or an answer on the spot.

// arrived takes a message from a socket's reader, which a panic would end, and
// the process with it.
func (s *Server) arrived(in inbound) {
	defer s.recovered("reader", nil)
	id := in.msg.CallID()
	if id == nil || in.msg.Via() == nil || in.msg.CSeq() == nil {
		s.unanswerable(in.flow)
		return
	}
	if !s.lanes.put(id.Value(), in) {
		s.metrics.drop(dropBusy)
	}
}

// unanswerable drops a message that lacks what an answer needs.
func (s *Server) unanswerable(f flow) {
	s.metrics.drop(dropUnanswered)
	s.edge.failed(f.addr(), f.network(), offenceMalformed)
}

// handle takes a message from its lane.
func (s *Server) handle(in inbound) {
	switch m := in.msg.(type) {
	case *gosip.Response:
		defer s.recovered("response", nil)
		tidy(m)
		if !safe(m) || !addressed(m) {
			s.metrics.drop(dropUnanswered)
			return
		}
		s.metrics.answers.of(m)
		branch, _ := m.Via().Params.Get("branch")
		if t, ok := s.clientTxs.get(branch + string(m.CSeq().MethodName)); ok {
			t.receive(m)
		}
	case *gosip.Request:
		defer s.recovered("request", func() { s.apologise(m, in.flow) })
		tidy(m)
		s.handleRequest(m, in.flow, in.size)
	}
}

// apologise answers a request whose handling panicked: by its transaction if it
// has one, which would otherwise wait for an answer for ever.
func (s *Server) apologise(req *gosip.Request, f flow) {
	if t, ok := s.serverTxs.get(txKey(req, req.Method)); ok {
		_ = t.respond(response(req, f, 500, reasonOf(500), s.tagger.tag(req))) // unless it was answered before
		return
	}
	s.reply(req, f, 500, reasonOf(500))
}

func (s *Server) handleRequest(req *gosip.Request, f flow, size int) {
	f, told := s.edge.seenBy(f, req)
	if !told || !answerable(req) {
		s.unanswerable(f)
		return
	}
	if s.keptOut(req, f, size) {
		return
	}
	if fault := validate(req); fault != nil {
		s.metrics.rejected.WithLabelValues(refusedMalformed).Inc()
		if o := fault.offence(); o != "" {
			s.edge.failed(f.addr(), f.network(), o)
		}
		s.reply(req, f, fault.code, fault.reason, fault.extra)
		return
	}
	switch req.Method {
	case gosip.ACK:
		s.ack(req)
		return
	case gosip.CANCEL:
		s.cancelRequest(req, f)
		return
	}
	if t, ok := s.serverTxs.get(txKey(req, req.Method)); ok {
		t.receive()
		return
	}
	s.metrics.request(req.Method)
	if tag, ok := req.To().Params.Get("tag"); ok && tag != "" {
		if l := s.legs.get(req.CallID().Value(), tag); l != nil {
			l.request(req, f)
			return
		}
		s.reply(req, f, 481, reasonOf(481))
		return
	}
	s.outOfDialog(req, f)
}

// outOfDialog answers what belongs to no call yet.
func (s *Server) outOfDialog(req *gosip.Request, f flow) {
	switch req.Method {
	case gosip.INVITE:
		s.invite(req, f)
	case gosip.REGISTER:
		s.register(req, f)
	case gosip.OPTIONS:
		if s.draining.Load() { // as an INVITE would be (RFC 3261 section 11.2)
			s.reply(req, f, 503, reasonOf(503), gosip.NewHeader("Retry-After", strconv.Itoa(busyRetry)))
			return
		}
		s.reply(req, f, 200, reasonOf(200), allowHeader, acceptHeader, serverHeader)
	case gosip.BYE, gosip.INFO, gosip.UPDATE, gosip.PRACK:
		s.reply(req, f, 481, reasonOf(481))
	default:
		s.reply(req, f, 405, reasonOf(405), allowHeader)
	}
}

// ack takes an ACK: of a refusal it belongs to the INVITE's transaction, of a
// 2xx to the leg.
func (s *Server) ack(req *gosip.Request) {
	s.metrics.request(gosip.ACK)
	if t, ok := s.serverTxs.get(txKey(req, gosip.INVITE)); ok && t.acknowledged() {
		return
	}
	tag, _ := req.To().Params.Get("tag")
	if l := s.legs.get(req.CallID().Value(), tag); l != nil {
		l.acked(req)
	}
}

// cancelRequest takes a CANCEL. One that has overtaken its INVITE is remembered.
func (s *Server) cancelRequest(req *gosip.Request, f flow) {
	s.metrics.request(gosip.CANCEL)
	key := txKey(req, gosip.INVITE)
	t, ok := s.serverTxs.get(key)
	if !ok {
		if s.edge.trusts(f.addr()) || s.registrar.holds(f) { // a stranger's INVITE is challenged, or comes again
			s.orphans.add(key)
		}
		s.reply(req, f, 481, reasonOf(481))
		return
	}
	tag := t.tag // of all that answers the INVITE (RFC 3261 section 9.2)
	if tag == "" {
		tag = s.tagger.tag(req)
	}
	s.write(response(req, f, 200, reasonOf(200), tag), f)
	t.cancelled(req)
}

func stack() string { return string(debug.Stack()) }

// orphans remembers CANCELs whose INVITE has not come, for as long as that INVITE
// may be repeated: each time it is refused.
type orphans struct {
	life time.Duration

	mu    sync.Mutex
	m     map[string]time.Time // INVITE's transaction: until when
	order []string             // the same, oldest first
}

// maxOrphans is far more than ever overtake; past it, somebody plays.
const maxOrphans = 1024

func (o *orphans) add(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.forget(now)
	if _, known := o.m[key]; known || len(o.m) >= maxOrphans {
		return
	}
	if o.m == nil {
		o.m = make(map[string]time.Time)
	}
	o.m[key] = now.Add(o.life)
	o.order = append(o.order, key)
}

// has reports whether an INVITE was cancelled before it came.
func (o *orphans) has(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.m) == 0 {
		return false
	}
	o.forget(time.Now())
	_, ok := o.m[key]
	return ok
}

// forget drops what has been remembered long enough.
func (o *orphans) forget(now time.Time) {
	for len(o.order) > 0 && !now.Before(o.m[o.order[0]]) {
		delete(o.m, o.order[0])
		o.order = o.order[1:]
	}
}
