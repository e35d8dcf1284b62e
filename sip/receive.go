package sip

import (
	"runtime/debug"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// The way of a message: a socket's reader parses it (sipgo) and calls arrived;
// its Call-ID's lane calls handle; a response goes to its client transaction; a
// request is validated, then goes to the transaction it repeats, to its leg, or
// to a door: invite (admit.go), register (registrar.go), or an answer on the spot.

// arrived takes a message from a socket's reader.
func (s *Server) arrived(in inbound) {
	id := in.msg.CallID()
	if id == nil || in.msg.Via() == nil || in.msg.CSeq() == nil {
		s.metrics.dropped.Inc()
		return
	}
	if !s.lanes.put(id.Value(), in) {
		s.metrics.dropped.Inc()
	}
}

// handle takes a message from its lane.
func (s *Server) handle(in inbound) {
	switch m := in.msg.(type) {
	case *gosip.Response:
		defer s.recovered("response", nil)
		branch, _ := m.Via().Params.Get("branch")
		if t, ok := s.clientTxs.get(branch + string(m.CSeq().MethodName)); ok {
			t.receive(m)
		}
	case *gosip.Request:
		defer s.recovered("request", func() { s.reply(m, in.flow, 500, reasonOf(500)) })
		s.handleRequest(m, in.flow)
	}
}

func (s *Server) handleRequest(req *gosip.Request, f flow) {
	if !answerable(req) {
		s.metrics.dropped.Inc()
		return
	}
	if fault := validate(req); fault != nil {
		s.metrics.rejected.WithLabelValues(refusedMalformed).Inc()
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
		s.orphans.add(key)
		s.reply(req, f, 481, reasonOf(481))
		return
	}
	s.reply(req, f, 200, reasonOf(200))
	t.cancelled()
}

func stack() string { return string(debug.Stack()) }

// orphans remembers CANCELs whose INVITE has not come, for a few seconds.
type orphans struct {
	mu sync.Mutex
	m  map[string]time.Time // INVITE's transaction: until when
}

const (
	orphanLife = 5 * time.Second
	maxOrphans = 1024
)

func (o *orphans) add(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if len(o.m) >= maxOrphans {
		for k, until := range o.m {
			if until.Before(now) {
				delete(o.m, k)
			}
		}
		if len(o.m) >= maxOrphans {
			return // somebody plays; a real CANCEL that overtakes is rare
		}
	}
	if o.m == nil {
		o.m = make(map[string]time.Time)
	}
	o.m[key] = now.Add(orphanLife)
}

// take reports whether the INVITE was cancelled before it came.
func (o *orphans) take(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	until, ok := o.m[key]
	delete(o.m, key)
	return ok && time.Now().Before(until)
}
