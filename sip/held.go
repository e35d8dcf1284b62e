package sip

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// held is a binding that came over a flow of this node.
type held struct {
	binding Binding
	flow    string // "" if a proxy is between that does not tell it
	expires time.Time
	lost    bool // the connection is gone
	unsaved bool // the store does not have it, or not as it is now
	nat     flow // to be kept open by us; zero if it need not be
}

// hold remembers a binding of this node's.
func (r *registrar) hold(b Binding, f flow, saved bool) {
	r.release(b.User, b.Contact)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mine[b.User] == nil {
		r.mine[b.User] = make(map[string]held)
	}
	h := held{binding: b, expires: b.Expires, unsaved: !saved}
	if len(b.Path) == 0 || f.origin.known() { // else a proxy is at the flow's far end, with callers behind it too
		h.flow = f.sender()
		r.flows[h.flow]++
	}
	if len(b.Path) == 0 && f.at.network == "udp" && !strings.Contains(b.Contact, f.remote) {
		h.nat = f
	}
	r.mine[b.User][b.Contact] = h
}

// release forgets one, if it was this node's.
func (r *registrar) release(user, contact string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.mine[user][contact]
	if !ok {
		return
	}
	if h.flow != "" {
		if r.flows[h.flow]--; r.flows[h.flow] == 0 {
			delete(r.flows, h.flow)
		}
	}
	delete(r.mine[user], contact)
	if len(r.mine[user]) == 0 {
		delete(r.mine, user)
	}
}

// here gives the bindings of a user that this node holds and that stand, in the order
// of their contacts.
func (r *registrar) here(user string) []Binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var all []Binding
	for _, h := range r.mine[user] {
		if h.stands(now) {
			all = append(all, h.binding)
		}
	}
	slices.SortFunc(all, func(a, b Binding) int { return strings.Compare(a.Contact, b.Contact) })
	return all
}

func (h *held) stands(now time.Time) bool { return !h.lost && h.expires.After(now) }

// holds reports whether a registered phone is at the far end of a flow.
func (r *registrar) holds(f flow) bool { return r.holdsFlow(f.sender()) }

// holdsAt is holds for a message that has not been read yet.
func (r *registrar) holdsAt(from netip.AddrPort, network string) bool {
	return r.holdsFlow(flowName(from, network))
}

// flowName writes a flow as flow.sender does.
func flowName(from netip.AddrPort, network string) string {
	return network + ":" + netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String()
}

func (r *registrar) holdsFlow(flow string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flows[flow] > 0
}

func (r *registrar) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, contacts := range r.mine {
		n += len(contacts)
	}
	return n
}

// lost notes that a connection is gone, and with it the phones at its far end
// (RFC 5626 section 6) unless they come back by another within a while.
func (r *registrar) lost(f flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flows[f.String()] == 0 {
		return
	}
	until := time.Now().Add(flowGrace)
	for _, contacts := range r.mine {
		for contact, h := range contacts {
			if h.flow == f.String() {
				h.lost = true
				if until.Before(h.expires) {
					h.expires = until
				}
				contacts[contact] = h
			}
		}
	}
}

// isLost reports whether a binding is by a connection of ours that is gone.
func (r *registrar) isLost(b Binding) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.mine[b.User][b.Contact]
	return ok && h.lost && h.flow == b.Source && b.Node == r.node
}

// keepOpen sends a keep-alive to the phones that are reached through a NAT by UDP,
// which would forget them; phones ignore it (RFC 3261 section 7.5).
func (r *registrar) keepOpen() {
	for _, f := range r.behindNAT() {
		f.keepOpen()
	}
}

func (r *registrar) behindNAT() (flows []flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, contacts := range r.mine {
		for _, h := range contacts {
			if h.nat.at != nil {
				flows = append(flows, h.nat)
			}
		}
	}
	return flows
}
