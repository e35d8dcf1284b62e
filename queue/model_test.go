package queue

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// world is a plain model of what the scripts do: no lines kept, no indexes,
// no memory of what fits; everything is looked for anew at each step. Each
// method is one script and gives the word it returns.
type world struct {
	at     int64 // now, in milliseconds
	visits map[string]*visitModel
	agents map[string]*agentModel
	sent   map[string][]string // messages by node, in order
	boots  map[string]uint64   // by node, how often it began
	steps  map[string]uint64   // by node, the number of its last step
	fences map[string]uint64   // by node, which of its steps are too late
	hours  map[string][]int64  // by agent, when he called outside
}

type visitModel struct {
	id, node, group string
	requires        Skills
	joined, score   int64
	state           string // waiting, offered, held, talking, wrapup; engaged, outside: calls beside visits
	agent           *agentModel
	failed          map[string]bool
	order           []string // of failed
	step            uint64
}

type agentModel struct {
	id, node    string
	registered  bool
	skills      Skills
	state       State
	since, idle int64
	reason      string
	pause       string
	visit       *visitModel
	step        uint64
}

func newWorld() *world {
	return &world{
		visits: make(map[string]*visitModel),
		agents: make(map[string]*agentModel),
		sent:   make(map[string][]string),
		boots:  make(map[string]uint64),
		steps:  make(map[string]uint64),
		fences: make(map[string]uint64),
		hours:  make(map[string][]int64),
	}
}

// line is a group of those who wait, or of those who are ready.
type line[T any] struct {
	name    string
	score   int64 // of the first
	members []T
}

// lines sorts members into lines, and lines by their heads.
func lines[T any](members []T, name func(T) string, score func(T) int64, id func(T) string) []line[T] {
	slices.SortFunc(members, func(a, b T) int {
		return cmp.Or(cmp.Compare(score(a), score(b)), cmp.Compare(id(a), id(b)))
	})
	var all []line[T]
	for _, m := range members {
		i := slices.IndexFunc(all, func(l line[T]) bool { return l.name == name(m) })
		if i < 0 {
			all = append(all, line[T]{name(m), score(m), []T{m}})
		} else {
			all[i].members = append(all[i].members, m)
		}
	}
	slices.SortFunc(all, func(a, b line[T]) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.name, b.name))
	})
	return all
}

// choose is the policy: the lowest score of all who fit and have not failed
// before; if there is none, the lowest of those who have.
func choose[T any](all []line[T], score func(T) int64, fits, failed func(T) bool) (chosen T, again, ok bool) {
	for _, secondTry := range []bool{false, true} {
		for _, l := range all {
			for _, m := range l.members {
				if fits(m) && failed(m) == secondTry && (!ok || score(m) < score(chosen)) {
					chosen, ok = m, true
				}
			}
		}
		if ok {
			return chosen, secondTry, true
		}
	}
	return chosen, false, false
}

func (s Skills) fit(requires Skills) bool {
	for skill, level := range requires {
		if s[skill] < level {
			return false
		}
	}
	return true
}

func (w *world) tell(node, format string, args ...any) {
	w.sent[node] = append(w.sent[node], fmt.Sprintf(format, args...))
}

func (w *world) change(a *agentModel, to State, reason string, about *visitModel) {
	if a.state == to && a.reason == reason {
		return
	}
	visit := ""
	if about != nil {
		visit = about.id
	}
	w.tell(a.node, "change %s %s %s %q %d %s", a.id, a.state, to, reason, max(0, w.at-a.since), visit)
	a.state, a.reason, a.since = to, reason, w.at
}

func (w *world) offer(v *visitModel, a *agentModel, why Why) {
	v.state, v.agent, a.visit = "offered", a, v
	w.change(a, Reserved, "", v)
	w.tell(v.node, "offer %s %s %s %d %d", v.id, a.id, why, max(0, w.at-a.idle), max(0, w.at-v.joined))
}

func (w *world) matchVisit(v *visitModel) {
	var ready []*agentModel
	for _, a := range w.agents {
		if a.state == Ready {
			ready = append(ready, a)
		}
	}
	idle := func(a *agentModel) int64 { return a.idle }
	all := lines(ready, func(a *agentModel) string { return a.skills.String() }, idle,
		func(a *agentModel) string { return a.id })
	a, again, ok := choose(all, idle,
		func(a *agentModel) bool { return a.skills.fit(v.requires) },
		func(a *agentModel) bool { return v.failed[a.id] })
	switch {
	case !ok:
		v.state, v.agent = "waiting", nil
	case again:
		w.offer(v, a, Again)
	default:
		w.offer(v, a, ByVisit)
	}
}

func (w *world) matchAgent(a *agentModel) {
	var waiting []*visitModel
	for _, v := range w.visits {
		if v.state == "waiting" {
			waiting = append(waiting, v)
		}
	}
	score := func(v *visitModel) int64 { return v.score }
	all := lines(waiting, func(v *visitModel) string { return v.group }, score,
		func(v *visitModel) string { return v.id })
	v, again, ok := choose(all, score,
		func(v *visitModel) bool { return a.skills.fit(v.requires) },
		func(v *visitModel) bool { return v.failed[a.id] })
	switch {
	case !ok:
	case again:
		w.offer(v, a, Again)
	default:
		w.offer(v, a, ByAgent)
	}
}

// release makes of an agent what he asked to be, and of a ready one a match.
func (w *world) release(a *agentModel, idle int64, about *visitModel) {
	a.visit = nil
	switch pause := a.pause; {
	case w.holds("engaged", a) > 0:
		w.change(a, Talking, "", about)
	case !a.registered:
		a.pause = ""
		w.change(a, Offline, "", about)
	case pause != "":
		a.pause = ""
		w.change(a, Paused, pause, about)
	default:
		w.change(a, Ready, "", about)
		a.idle = idle
		w.matchAgent(a)
	}
}

// next is the number of a node's next step.
func (w *world) next(node string) uint64 {
	w.steps[node]++
	return w.steps[node]
}

func (w *world) fence(node string, step uint64) { w.fences[node] = max(w.fences[node], step) }

// drop ends a visit.
func (w *world) drop(v *visitModel) {
	delete(w.visits, v.id)
	w.fence(v.node, v.step)
}

func (w *world) join(node string, step uint64, v Visit) {
	if step <= w.fences[node] || w.visits[v.ID] != nil {
		return
	}
	joined := v.Joined.UnixMilli()
	m := &visitModel{
		id: v.ID, node: node, group: group(v), requires: v.Requires, joined: joined,
		score: joined - v.HeadStart.Milliseconds(), failed: make(map[string]bool), step: step,
	}
	w.visits[v.ID] = m
	w.matchVisit(m)
}

func (w *world) leave(node string, step uint64, id, interrupted string) {
	v := w.visits[id]
	if v == nil {
		w.fence(node, step)
		return
	}
	w.drop(v)
	a := v.agent
	switch v.state {
	case "offered", "held":
		w.release(a, a.idle, v)
	case "talking":
		a.pause = cmp.Or(a.pause, interrupted)
		w.release(a, w.at, v)
	case "wrapup":
		w.release(a, w.at, v)
	case "engaged":
		if a.visit == nil && w.holds("engaged", a) == 0 {
			a.pause = cmp.Or(a.pause, interrupted)
			w.release(a, w.at, nil)
		}
	}
}

// isOwn says whether an id is of a call of the agent's own.
func (w *world) isOwn(id string, a *agentModel) bool {
	v := w.visits[id]
	return v != nil && v.state == "engaged" && v.agent == a
}

func (w *world) hold(node string, step uint64, v Visit, agent string, talks bool, from string) error {
	a := w.agents[agent]
	switch {
	case step <= w.fences[node] || w.visits[v.ID] != nil:
		return nil
	case a == nil || !a.registered:
		return ErrNotRegistered
	case a.visit != nil && a.visit.id == from && a.state != WrapUp:
		w.drop(a.visit)
	case w.isOwn(from, a) && a.visit == nil && a.state == Talking:
		w.drop(w.visits[from])
	case a.state == Paused:
		a.pause, a.idle = a.reason, w.at
	case a.state != Ready:
		return ErrBusy
	}
	m := &visitModel{
		id: v.ID, node: node, group: group(v), requires: v.Requires, joined: w.at, score: w.at,
		state: "held", agent: a, failed: make(map[string]bool), step: step,
	}
	w.visits[v.ID], a.visit = m, m
	if talks {
		m.state = "talking"
		w.change(a, Talking, "", m)
	} else {
		w.change(a, Reserved, "", m)
	}
	return nil
}

// holds counts the calls of a kind that an agent has beside visits.
func (w *world) holds(kind string, a *agentModel) (n int) {
	for _, v := range w.visits {
		if v.state == kind && v.agent == a {
			n++
		}
	}
	return n
}

func (w *world) own(kind, node string, step uint64, o Own) {
	w.visits[o.ID] = &visitModel{id: o.ID, node: node, joined: w.at, state: kind, agent: w.agents[o.Agent], step: step}
}

func (w *world) engage(node string, step uint64, o Own) error {
	a := w.agents[o.Agent]
	switch {
	case step <= w.fences[node], w.visits[o.ID] != nil:
		return nil
	case a == nil || !a.registered:
		return ErrNotRegistered
	case a.state == Paused:
		a.pause, a.idle = a.reason, w.at
		w.change(a, Talking, "", nil)
	case a.state == Ready:
		w.change(a, Talking, "", nil)
	}
	w.own("engaged", node, step, o)
	return nil
}

func (w *world) callOutside(node string, step uint64, o Own, perHour, atOnce int) error {
	if step <= w.fences[node] || w.visits[o.ID] != nil {
		return nil
	}
	a := w.agents[o.Agent]
	calls := slices.DeleteFunc(w.hours[o.Agent], func(at int64) bool { return at <= w.at-3600_000 })
	w.hours[o.Agent] = calls
	switch {
	case w.holds("outside", a) >= atOnce:
		return ErrAtOnce
	case len(calls) >= perHour:
		return ErrPerHour
	}
	w.hours[o.Agent] = append(calls, w.at)
	w.own("outside", node, step, o)
	return nil
}

func (w *world) answer(id string, current bool) error {
	v := w.visits[id]
	if v == nil || !current || v.state == "wrapup" {
		return ErrStale
	}
	v.state = "talking"
	w.change(v.agent, Talking, "", v)
	return nil
}

func (w *world) refuse(id string, current bool, reason string) error {
	v := w.visits[id]
	if v == nil || !current || v.state != "offered" && v.state != "talking" {
		return ErrStale
	}
	a := v.agent
	a.pause = cmp.Or(a.pause, reason)
	w.release(a, w.at, v)
	if !v.failed[a.id] {
		v.failed[a.id] = true
		v.order = append(v.order, a.id)
	}
	w.matchVisit(v)
	return nil
}

func (w *world) hangup(id string, current, wrapUp bool) (bool, error) {
	v := w.visits[id]
	switch {
	case v == nil || !current:
		return false, ErrStale
	case v.state == "wrapup":
		return true, nil
	case v.state != "talking":
		return false, ErrStale
	case wrapUp && v.agent.registered:
		v.state = "wrapup"
		w.change(v.agent, WrapUp, "", v)
		return true, nil
	}
	w.drop(v)
	w.release(v.agent, w.at, v)
	return false, nil
}

func (w *world) endWrapUp(id string) error {
	a := w.agents[id]
	if a == nil || a.state != WrapUp {
		return ErrNotInWrapUp
	}
	v := a.visit
	w.drop(v)
	w.release(a, w.at, v)
	return nil
}

func (w *world) register(node string, step uint64, id string, skills Skills, ready bool) {
	a := w.agents[id]
	if step <= w.fences[node] || a != nil && a.node == node && step <= a.step {
		return
	}
	if a == nil {
		a = &agentModel{id: id, node: node, state: Offline, since: w.at}
		w.agents[id] = a
	}
	if a.node != node && a.state != Offline {
		w.tell(a.node, "change %s %s offline %q 0 ", id, a.state, "")
		w.tell(node, "change %s offline %s %q 0 ", id, a.state, a.reason)
	}
	other := a.skills.String() != skills.String()
	a.node, a.registered, a.skills, a.step = node, true, skills, step
	switch {
	case a.state == Offline && ready:
		w.release(a, w.at, nil)
	case a.state == Offline:
		w.change(a, Paused, "registered", nil)
	case a.state == Ready && other:
		w.matchAgent(a)
	}
}

func (w *world) unregister(node string, step uint64, id string) {
	a := w.agents[id]
	if a == nil || a.node != node {
		w.fence(node, step)
		return
	}
	if step <= a.step {
		return
	}
	a.step = step
	if a.state == Offline {
		return
	}
	a.registered = false
	switch a.state {
	case Reserved, Talking:
	case WrapUp:
		w.drop(a.visit)
		w.release(a, w.at, a.visit)
	default:
		w.release(a, w.at, nil)
	}
}

func (w *world) setReady(id string) error {
	a := w.agents[id]
	if a == nil || !a.registered {
		return ErrNotRegistered
	}
	a.pause = ""
	switch a.state {
	case Paused:
		w.release(a, w.at, nil)
	case WrapUp:
		return w.endWrapUp(id)
	}
	return nil
}

func (w *world) setPaused(id, reason string) error {
	a := w.agents[id]
	if a == nil || !a.registered {
		return ErrNotRegistered
	}
	switch a.state {
	case Reserved, Talking:
		a.pause = reason
	case Paused:
		a.reason = reason
	case WrapUp:
		a.pause = reason
		return w.endWrapUp(id)
	default:
		a.pause = reason
		w.release(a, w.at, nil)
	}
	return nil
}

// start is a node's beginning, after a crash or not.
func (w *world) start(node string) {
	w.boots[node]++
	w.steps[node] = w.boots[node] << 32
	w.purge(node)
}

// purge is a node's end or beginning.
func (w *world) purge(node string) {
	w.fence(node, w.next(node))
	for _, id := range slices.Sorted(maps.Keys(w.agents)) {
		if a := w.agents[id]; a.node == node && a.state != Offline {
			w.unregister(node, w.next(node), id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.visits)) {
		if w.visits[id] != nil && w.visits[id].node == node {
			w.leave(node, w.next(node), id, interrupted)
		}
	}
}
