package sip

import (
	"strconv"
	"sync"

	gosip "github.com/emiago/sipgo/sip"
)

// legTable finds legs by Call-ID and our tag, and counts the calls that came.
type legTable struct {
	mu      sync.Mutex
	m       map[string]*Leg
	invites map[string]bool // the INVITEs of the inbound ones
	hops    map[string]int  // the Max-Forwards that inbound ones came with, by the call
	callers int             // inbound legs
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
		t.hops = make(map[string]int)
	}
	t.m[legKey(string(l.dlg.callID), l.dlg.localTag)] = l
	if l.inbound {
		t.callers++
		t.invites[l.merge] = true
		if mf := l.maxForwards(); mf != nil {
			t.hops[l.id] = int(*mf)
		}
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
	if l.inbound {
		t.callers--
		delete(t.invites, l.merge)
		delete(t.hops, l.id)
	}
	if len(t.m) == 0 && t.drained != nil {
		close(t.drained)
		t.drained = nil
	}
}

// hopsOf gives the Max-Forwards that an INVITE of ours has: one less than that of the INVITE
// that began its call, so that calls which servers pass to each other in a circle come
// to an end (RFC 7332).
func (t *legTable) hopsOf(call string) gosip.MaxForwardsHeader {
	t.mu.Lock()
	defer t.mu.Unlock()
	if came, ok := t.hops[call]; ok {
		return min(maxForwards, gosip.MaxForwardsHeader(max(came, 1)-1))
	}
	return maxForwards
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

// calling gives the number of legs that others have begun: callers and agents.
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

// maxForwards gives how far the INVITE that came might still go; nil if it does not say, or
// another process has taken it.
func (l *Leg) maxForwards() *gosip.MaxForwardsHeader {
	if l.invite == nil {
		return nil
	}
	return l.invite.MaxForwards()
}

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
