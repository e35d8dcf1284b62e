package sip

import (
	"strconv"
	"sync"

	gosip "github.com/emiago/sipgo/sip"
)

// legTable finds legs by Call-ID and our tag, and counts the callers.
type legTable struct {
	mu      sync.Mutex
	m       map[string]*Leg
	invites map[string]bool // the INVITEs of the inbound ones
	callers int             // inbound legs of trunks
	closed  bool
	drained chan struct{} // closed when the last leg goes
}

func legKey(callID, localTag string) string { return callID + "\x00" + localTag }

// inviteKey tells an INVITE from others whatever way it came.
func inviteKey(req *gosip.Request) string {
	tag, _ := req.From().Params.Get("tag")
	return req.CallID().Value() + "\x00" + tag + "\x00" + strconv.Itoa(int(req.CSeq().SeqNo))
}

// add takes a leg in and reports false if the server is closed.
func (t *legTable) add(l *Leg) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.m == nil {
		t.m = make(map[string]*Leg)
		t.invites = make(map[string]bool)
	}
	t.m[legKey(string(l.dlg.callID), l.dlg.localTag)] = l
	if l.inbound {
		t.invites[l.merge] = true
	}
	if l.caller() {
		t.callers++
	}
	l.s.edge.trace.join(string(l.dlg.callID), l.id, l.with())
	return true
}

func (t *legTable) get(callID, localTag string) *Leg {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[legKey(callID, localTag)]
}

func (t *legTable) remove(l *Leg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := legKey(string(l.dlg.callID), l.dlg.localTag)
	if t.m[key] != l {
		return
	}
	delete(t.m, key)
	delete(t.invites, l.merge)
	if l.caller() {
		t.callers--
	}
	if len(t.m) == 0 && t.drained != nil {
		close(t.drained)
		t.drained = nil
	}
}

// has reports whether an INVITE has a leg.
func (t *legTable) has(inviteKey string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.invites[inviteKey]
}

func (t *legTable) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}

// calling gives the number of callers' legs.
func (t *legTable) calling() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.callers
}

func (t *legTable) all() []*Leg {
	t.mu.Lock()
	defer t.mu.Unlock()
	legs := make([]*Leg, 0, len(t.m))
	for _, l := range t.m {
		legs = append(legs, l)
	}
	return legs
}

// empty gives a channel that is closed once there is no leg.
func (t *legTable) empty() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	ch := make(chan struct{})
	if len(t.m) == 0 {
		close(ch)
	} else {
		t.drained = ch
	}
	return ch
}

// close lets no more legs in and gives those that are left.
func (t *legTable) close() []*Leg {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	return t.all()
}

// caller reports whether the leg counts towards the node's capacity.
func (l *Leg) caller() bool { return l.inbound && l.who.agent == "" }

// abandon ends a leg without a word: the sockets are closed.
func (l *Leg) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := failure(503, "server closed")
	if l.state == legEnding {
		end = l.final
	}
	l.finish(end)
}
