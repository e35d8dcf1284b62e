package sip

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// stateVersion changes when an older node could not read what a newer one writes.
const stateVersion = 1

// restoreGap is added to the CSeq of a restored leg: its last owner may have sent
// requests after it wrote the state down.
const restoreGap = 100

// savedLeg is a leg as it is written down, as JSON.
type savedLeg struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Inbound bool   `json:"inbound,omitempty"`
	Number  string `json:"number,omitempty"`
	Caller  string `json:"caller,omitempty"`
	Agent   string `json:"agent,omitempty"`
	Trunk   string `json:"trunk,omitempty"`

	Withheld bool `json:"withheld,omitempty"`

	CallID    string   `json:"call_id"`
	Us        string   `json:"us"`   // our name-addr, with our tag
	Them      string   `json:"them"` // theirs
	LocalSeq  uint32   `json:"local_seq"`
	RemoteSeq uint32   `json:"remote_seq,omitempty"`
	SeqKnown  bool     `json:"seq_known,omitempty"`
	Routes    []string `json:"routes,omitempty"`
	Target    string   `json:"target"`
	Network   string   `json:"network"`
	Local     string   `json:"local"` // our socket, as a Binding names it
	Remote    string   `json:"remote"`
	Sticky    bool     `json:"sticky,omitempty"`
	Updates   bool     `json:"updates,omitempty"`

	Session *savedTimer `json:"session,omitempty"`
}

type savedTimer struct {
	Every time.Duration `json:"every"`
	Least time.Duration `json:"least,omitempty"`
	Ours  bool          `json:"ours,omitempty"`
	Until time.Time     `json:"until"`
}

// State writes an answered leg down, so that another node can take it over with
// Restore. It is to be written again after each change of the session, and names
// both ends: whoever keeps it seals it. A leg that is not answered, or is being
// ended, is ErrState: there is nothing to take over.
func (l *Leg) State() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != legUp {
		return nil, ErrState
	}
	d := &l.dlg
	saved := savedLeg{
		Version: stateVersion, ID: l.id, Inbound: l.inbound,
		Number: l.who.number, Caller: l.who.caller, Agent: l.who.agent, Trunk: l.who.line.name(), Withheld: l.who.withheld,
		CallID: string(d.callID), Us: d.from.Value(), Them: d.to.Value(),
		LocalSeq: d.localSeq, RemoteSeq: d.remoteSeq, SeqKnown: d.seqKnown,
		Target: d.target.String(), Network: d.via.at.network, Local: d.via.at.name(), Remote: d.via.remote,
		Sticky: d.sticky, Updates: l.updates,
	}
	for i := range d.routes {
		saved.Routes = append(saved.Routes, d.routes[i].String())
	}
	if t := &l.timer; t.every > 0 {
		saved.Session = &savedTimer{t.every, t.least, t.ours, t.until}
	}
	return json.Marshal(saved)
}

// Restore takes over a leg that a server at the same address, or behind the same
// edge proxy, wrote down with State. The session takes the place of the old one;
// Reinvite then brings the far end's media to it. auth answers challenges, as a
// Target's does, and may be nil. The leg is up and is the caller's to conduct: no
// Handler hears of it.
func (s *Server) Restore(state []byte, session Session, auth *Auth) (*Leg, error) {
	var saved savedLeg
	if err := json.Unmarshal(state, &saved); err != nil {
		return nil, fmt.Errorf("restoring a leg: %w", err)
	}
	if saved.Version != stateVersion {
		return nil, fmt.Errorf("restoring a leg: version %d, want %d", saved.Version, stateVersion)
	}
	l := newLeg(s, saved.ID, saved.Inbound)
	if err := l.restore(&saved); err != nil {
		return nil, fmt.Errorf("restoring leg %s: %w", saved.ID, err)
	}
	l.session = guarded{s, session}
	l.out.target.Auth = auth
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.legs.get(saved.CallID, l.dlg.localTag) != nil {
		return nil, fmt.Errorf("restoring leg %s: it is here", saved.ID)
	}
	if !s.legs.add(l) {
		return nil, ErrClosed
	}
	if l.who.line != nil {
		l.who.line.keep()
	}
	if t := saved.Session; t != nil {
		l.timer = sessionTimer{every: t.Every, least: t.Least, ours: t.Ours, until: t.Until}
		// After an outage the far end gets a chance, whatever the clock says.
		if soon := time.Now().Add(t.Every / 2); l.timer.until.Before(soon) {
			l.timer.until = soon
		}
		l.timer.wake(l)
	}
	return l, nil
}

// restore fills a leg that nobody else has.
func (l *Leg) restore(saved *savedLeg) error {
	ln := l.s.listenerFor(saved.Network, saved.Local)
	if ln == nil {
		return fmt.Errorf("no listener for %s", saved.Network)
	}
	d := dialog{
		callID: gosip.CallIDHeader(saved.CallID), from: &gosip.FromHeader{}, to: &gosip.ToHeader{},
		localSeq: saved.LocalSeq + restoreGap, remoteSeq: saved.RemoteSeq, seqKnown: saved.SeqKnown,
		via: flow{at: ln, remote: saved.Remote}, sticky: saved.Sticky,
	}
	var err error
	if d.from.DisplayName, err = parseAddress(saved.Us, &d.from.Address, &d.from.Params); err != nil {
		return err
	}
	if d.to.DisplayName, err = parseAddress(saved.Them, &d.to.Address, &d.to.Params); err != nil {
		return err
	}
	d.localTag, _ = d.from.Params.Get("tag")
	d.remoteTag, _ = d.to.Params.Get("tag")
	if err := parseURI(saved.Target, &d.target); err != nil {
		return err
	}
	for _, r := range saved.Routes {
		var uri gosip.Uri
		if err := parseURI(r, &uri); err != nil {
			return err
		}
		d.routes = append(d.routes, uri)
	}
	if d.localTag == "" || saved.CallID == "" || saved.ID == "" || !clean(strings.Join(append(saved.Routes, saved.Us, saved.Them, saved.Target), "")) {
		return fmt.Errorf("it names no dialog")
	}
	l.dlg = d
	l.who = identity{number: saved.Number, caller: saved.Caller, agent: saved.Agent, line: l.s.trunkNamed(saved.Trunk), withheld: saved.Withheld}
	l.updates = saved.Updates
	l.invite = gosip.NewRequest(gosip.INVITE, d.target)
	l.invite.SetTransport(strings.ToUpper(saved.Network)) // by which Encrypted tells
	l.state = legUp
	l.progressOnce.Do(func() { close(l.progress) })
	l.answeredOnce.Do(func() { close(l.answered) })
	return nil
}
