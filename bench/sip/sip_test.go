//go:build bench

// Package sip measures what a call costs in signalling: one leg, INVITE to BYE,
// answered by room sip alone and by the whole node, beside sipp, Kamailio and the
// bare library; and a call of two legs, from a caller's INVITE through the queue
// to an agent's answer, and to both ends' BYE.
//
// It prints one line a figure; bench/README.md says how to read them.
package sip

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/bench/meter"
	"github.com/bugle-voice/bugle/test/peer"
)

const bench meter.Bench = "sip"

func TestMain(m *testing.M) { bench.Main(m, serve) }

// lengths are how long each part runs; BENCH=short is for working on the code.
// A full load runs for longer than the 32 s for which a transaction is kept.
var lengths = func() (l struct {
	rounds           int
	turn, full, peer time.Duration
}) {
	l.rounds, l.turn, l.full, l.peer = 3, 4*time.Second, 40*time.Second, 5*time.Second
	if meter.Short() {
		l.rounds, l.turn, l.full, l.peer = 1, 2*time.Second, 4*time.Second, 2*time.Second
	}
	return l
}()

const (
	legRate    = 250 // calls a second of one leg
	bridgeRate = 50  // of two
	atOnce     = 50  // calls of one leg under full load
	agents     = 30
	bridged    = 20 // calls of two legs under full load
	held       = 500
)

// Goals of a call of two legs, and of one leg, in ms. What others take informs.
var bridgeGoal = meter.AtMost(2.5)

func legGoal(contestant string) meter.Goal {
	if contestant == room || contestant == node {
		return meter.AtMost(1)
	}
	return meter.Informs
}

// TestLeg has all answer the same calls by turns.
func TestLeg(t *testing.T) {
	all := []*contestant{start(t, room, false), start(t, node, false),
		start(t, bareSipgo, false), start(t, sippUAS, false), start(t, stateless, false)}
	cost := turns(t, all, load{rate: legRate})
	for _, c := range all {
		bench.Figure(c.name+"_leg", meter.Median(cost[c.name]), "ms", legGoal(c.name))
	}
	for _, peer := range []string{bareSipgo, sippUAS, stateless} {
		bench.Figure("room_to_"+peer, meter.Ratio(cost[room], cost[peer]), "x", meter.Informs)
	}
	bench.Figure("room_tcp_leg", meter.Median(turns(t, all[:1], load{rate: legRate, network: "tcp"})[room]), "ms", legGoal(room))
}

// TestFullLeg gives each a core of its own, and as many calls as it takes.
func TestFullLeg(t *testing.T) {
	for _, name := range []string{sippUAS, stateless, bareSipgo, room, node} {
		t.Run(name, func(t *testing.T) {
			length := lengths.full
			if name == sippUAS || name == stateless {
				length = lengths.peer // they keep nothing
			}
			full(t, start(t, name, true), name+"_full", legGoal(name), load{atOnce: atOnce, length: length})
		})
	}
}

// TestBridge has agents answer, and hang up at once.
func TestBridge(t *testing.T) {
	all := []*contestant{startNode(t, agents, "", false), startNode(t, agents, peer.StartRedis(t), false)}
	all[0].name, all[1].name = "bridge", "bridge_redis"
	cost := turns(t, all, load{rate: bridgeRate})
	for _, c := range all {
		bench.Figure(c.name, meter.Median(cost[c.name]), "ms", bridgeGoal)
	}
}

// TestFullBridge gives a node a core of its own, and as many such calls as it takes.
func TestFullBridge(t *testing.T) {
	c := startNode(t, agents, peer.StartRedis(t), true)
	full(t, c, "bridge_redis_full", bridgeGoal, load{atOnce: bridged, length: lengths.full})
}

// TestMemory looks at what a call takes while it is up: without sound, and with a
// greeting being played.
func TestMemory(t *testing.T) {
	for _, name := range []string{room, node} {
		c := start(t, name, false)
		before := meter.Resident(t, c.process.PID(), meter.Now)
		r := c.call(t, load{calls: held, rate: legRate, atOnce: held, hold: held * time.Second / legRate, timeout: 30 * time.Second})
		check(t, name, r)
		bench.Figure(name+"_held", (meter.Resident(t, c.process.PID(), meter.Most)-before)/held, "KiB", meter.Informs)
	}
}

// turns lets contestants take the same load one after the other, several times,
// and gives the CPU of a call in ms, round by round.
func turns(t *testing.T, all []*contestant, l load) map[string][]float64 {
	t.Helper()
	l.atOnce = 10 * l.rate
	l.calls = int(float64(l.rate) * lengths.turn.Seconds())
	l.timeout = lengths.turn + 20*time.Second
	cost := map[string][]float64{}
	for range lengths.rounds {
		for _, c := range all {
			r := c.call(t, l)
			check(t, c.name, r)
			meter.Others(r.Others)
			cost[c.name] = append(cost[c.name], r.perCall())
		}
	}
	return cost
}

// full loads one contestant as much as it takes.
func full(t *testing.T, c *contestant, name string, goal meter.Goal, l load) {
	t.Helper()
	l.rate, l.oneCore, l.timeout = asManyAsPossible, true, 30*time.Second
	profile(t, c, name, l.length)
	r := c.call(t, l)
	check(t, name, r)
	bench.Figure(name+"_rate", r.Rate, "calls/s", meter.Informs)
	bench.Figure(name+"_busy", r.Busy, "%", meter.Informs)
	bench.Figure(name+"_call", r.perCall(), "ms", goal)
	bench.Figure(name+"_memory", meter.Resident(t, c.process.PID(), meter.Most)/1024, "MiB", meter.Informs)
}

// profile has perf write down, where one wants to know, where a contestant's CPU
// goes.
func profile(t *testing.T, c *contestant, name string, length time.Duration) {
	t.Helper()
	if dir := os.Getenv("BENCH_PROFILE"); dir != "" {
		peer.StartCommand(t, exec.Command("perf", "record", "-q", "-F", "499", "-g", "-o", filepath.Join(dir, name+".perf"),
			"-p", strconv.Itoa(c.process.PID()), "--", "sleep", strconv.Itoa(int(length.Seconds()))))
	}
}

// check holds that no call failed and tells of what was sent again.
func check(t *testing.T, name string, r result) {
	t.Helper()
	if r.Failed > 0 || r.Succeeded == 0 {
		t.Errorf("%s: %d calls failed of %d", name, r.Failed, r.Failed+r.Succeeded)
	}
	if r.Retransmitted > 0 {
		fmt.Printf("sip note: %s: %d messages were sent again in %d calls\n", name, r.Retransmitted, r.Succeeded)
	}
}
