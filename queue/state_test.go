package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

// state is all that is in Redis about visits and agents, as text that can be
// compared.
type state struct {
	Visits, Agents, Lines, Nodes, Fences, Holds []string
}

// fetch reads the state from Redis, and holds it against the invariants that
// need no model.
func fetch(t *testing.T, client *redis.Client, prefix string) state {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	visits, err := client.HGetAll(ctx, prefix+"visits").Result()
	must(err)
	agents, err := client.HGetAll(ctx, prefix+"agents").Result()
	must(err)

	var s state
	tokens := make(map[string]string)
	for id, record := range visits {
		f := strings.Split(record, unitSep)
		tokens[id] = f[8]
		s.Visits = append(s.Visits, fmt.Sprint(id, f[0], f[3], f[4], f[5], f[6], f[7], f[9], f[10]))
	}
	for id, record := range agents {
		f := strings.Split(record, unitSep)
		if f[8] != "" && tokens[f[8]] != f[9] {
			t.Errorf("agent %s holds visit %s by token %q, the visit has %q", id, f[8], f[9], tokens[f[8]])
		}
		if f[3] != string(Ready) && f[3] != string(Reserved) {
			f[6] = "-" // his place among the ready means nothing now
		}
		s.Agents = append(s.Agents, fmt.Sprint(id, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[10]))
	}
	for _, set := range []string{"waiting", "ready"} {
		heads, err := client.ZRangeWithScores(ctx, prefix+set, 0, -1).Result()
		must(err)
		for _, head := range heads {
			line, err := client.ZRangeWithScores(ctx, prefix+set+":"+head.Member.(string), 0, -1).Result()
			must(err)
			s.Lines = append(s.Lines, fmt.Sprint(set, head, line))
		}
		keys, err := client.Keys(ctx, prefix+set+":*").Result()
		must(err)
		if len(keys) != len(heads) {
			t.Errorf("%d lines of those %s, %d in their index", len(keys), set, len(heads))
		}
	}
	nodes, err := client.Keys(ctx, prefix+"node:*:[va]*s").Result()
	must(err)
	for _, key := range nodes {
		members, err := client.SMembers(ctx, key).Result()
		must(err)
		slices.Sort(members)
		s.Nodes = append(s.Nodes, fmt.Sprint(strings.TrimPrefix(key, prefix), members))
	}
	fences, err := client.ZRangeWithScores(ctx, prefix+"fences", 0, -1).Result()
	must(err)
	for _, z := range fences {
		s.Fences = append(s.Fences, fmt.Sprint(z.Member, uint64(z.Score)))
	}
	for _, kind := range []string{"engaged", "outside"} {
		all, err := client.HGetAll(ctx, prefix+kind).Result()
		must(err)
		for agent, ids := range all {
			list := strings.Split(strings.Trim(ids, ","), ",")
			slices.Sort(list)
			s.Holds = append(s.Holds, fmt.Sprint(kind, agent, list))
		}
	}
	s.sort()
	return s
}

func (s *state) sort() {
	for _, part := range [][]string{s.Visits, s.Agents, s.Lines, s.Nodes, s.Fences, s.Holds} {
		slices.Sort(part)
	}
}

// state is what should be in Redis.
func (w *world) state() state {
	var s state
	nodes := make(map[string][]string)
	var ready []*agentModel
	var waiting []*visitModel
	for _, id := range slices.Sorted(maps.Keys(w.visits)) {
		v := w.visits[id]
		agent := ""
		if v.agent != nil {
			agent = v.agent.id
		}
		if v.state == "waiting" {
			agent = ""
			waiting = append(waiting, v)
		}
		s.Visits = append(s.Visits, fmt.Sprint(id, v.node, v.group, fmt.Sprint(v.score), fmt.Sprint(v.joined), v.state, agent, v.without(), fmt.Sprint(v.step)))
		nodes["node:"+v.node+":visits"] = append(nodes["node:"+v.node+":visits"], id)
	}
	for _, id := range slices.Sorted(maps.Keys(w.agents)) {
		a := w.agents[id]
		registered, idle, visit := "0", "-", ""
		if a.registered {
			registered = "1"
		}
		if a.state == Ready || a.state == Reserved {
			idle = fmt.Sprint(a.idle)
		}
		if a.state == Ready {
			ready = append(ready, a)
		}
		if a.visit != nil {
			visit = a.visit.id
		}
		s.Agents = append(s.Agents, fmt.Sprint(id, a.node, registered, a.skills.String(), string(a.state), fmt.Sprint(a.since), a.reason, idle, a.pause, visit, fmt.Sprint(a.step)))
		if a.state != Offline {
			nodes["node:"+a.node+":agents"] = append(nodes["node:"+a.node+":agents"], id)
		}
	}
	for _, kind := range []string{"engaged", "outside"} {
		for agent, ids := range w.heldBy(kind) {
			s.Holds = append(s.Holds, fmt.Sprint(kind, agent, ids))
		}
	}
	for node, step := range w.fences {
		s.Fences = append(s.Fences, fmt.Sprint(node, step))
	}
	for key, members := range nodes {
		s.Nodes = append(s.Nodes, fmt.Sprint(key, members))
	}
	s.Lines = append(
		lineText("waiting", lines(waiting, func(v *visitModel) string { return v.group },
			func(v *visitModel) int64 { return v.score }, func(v *visitModel) string { return v.id }),
			func(v *visitModel) redis.Z { return redis.Z{Score: float64(v.score), Member: v.id} }),
		lineText("ready", lines(ready, func(a *agentModel) string { return a.skills.String() },
			func(a *agentModel) int64 { return a.idle }, func(a *agentModel) string { return a.id }),
			func(a *agentModel) redis.Z { return redis.Z{Score: float64(a.idle), Member: a.id} })...)
	s.sort()
	return s
}

// heldBy gives the calls of a kind that hold agents, by agent.
func (w *world) heldBy(kind string) map[string][]string {
	held := make(map[string][]string)
	for _, id := range slices.Sorted(maps.Keys(w.visits)) {
		if v := w.visits[id]; v.state == kind {
			held[v.agent.id] = append(held[v.agent.id], id)
		}
	}
	return held
}

func lineText[T any](set string, all []line[T], z func(T) redis.Z) []string {
	var text []string
	for _, l := range all {
		var members []redis.Z
		for _, m := range l.members {
			members = append(members, z(m))
		}
		text = append(text, fmt.Sprint(set, redis.Z{Score: float64(l.score), Member: l.name}, members))
	}
	return text
}

// without is the visit's list of agents who failed it, in the order in which
// they did.
func (v *visitModel) without() string {
	if len(v.order) == 0 {
		return ""
	}
	return "," + strings.Join(v.order, ",") + ","
}

// checkNobodyMissed says that no caller waits for whom an agent is ready, and that
// nobody is ready, paused or offline who is on the phone.
func (w *world) checkNobodyMissed(t *testing.T) {
	t.Helper()
	for _, a := range w.agents {
		if w.holds("engaged", a) > 0 && a.state != Reserved && a.state != Talking && a.state != WrapUp {
			t.Errorf("agent %s is %s, and on the phone", a.id, a.state)
		}
	}
	for _, v := range w.visits {
		for _, a := range w.agents {
			if v.state == "waiting" && a.state == Ready && a.skills.fit(v.requires) {
				t.Errorf("visit %s waits while agent %s is ready", v.id, a.id)
			}
		}
	}
}

// text writes a message as the model does.
func (m message) text() string {
	if o := m.offer; o.Visit != "" {
		return fmt.Sprintf("offer %s %s %s %d %d", o.Visit, o.Agent, o.Why, o.Ready.Milliseconds(), o.Waited.Milliseconds())
	}
	c := m.change
	return fmt.Sprintf("change %s %s %s %q %d %s", c.Agent, c.From, c.To, c.Reason, c.After.Milliseconds(), c.Visit)
}

// compare fails the test if Redis and the model differ.
func compare(t *testing.T, want, got any, what string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-model +redis):\n%s", what, diff)
	}
}
