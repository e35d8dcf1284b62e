//go:build bench

// Package media measures the media engine: against the machine's limit, which
// is a bare loop of the same system calls, against rtpengine in user space, and
// by what it does at the size it is meant for.
//
// It prints one line a figure; bench/README.md says how to read them.
package media

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bugle-voice/bugle/bench/meter"
)

const bench meter.Bench = "media"

func TestMain(m *testing.M) { bench.Main(m, serve) }

// lengths are how long each part runs; BENCH=short is for working on the engine.
var lengths = func() (l struct {
	sizes              []int // legs
	rounds             int
	settle, turn       time.Duration
	sustained, playing time.Duration
}) {
	l.sizes, l.rounds, l.settle, l.turn = []int{200, 500, 1000, 1200}, 9, 300*time.Millisecond, time.Second
	l.sustained, l.playing = time.Minute, 30*time.Second
	if meter.Short() {
		l.sizes, l.rounds = []int{200, 1000}, 3
		l.sustained, l.playing = 10*time.Second, 6*time.Second
	}
	return l
}()

const (
	calls  = 600  // bridged, in what is held against rtpengine and for a minute
	silent = 4000 // callers who hear music
	played = 2000 // legs played to, for the allocations
	fewBig = 1000 // legs from which on shared ports must pay
	cores  = 2

	callPackets = 100 // packets in, and out, of a call's two legs in a second
)

// TestLimit lets Bugle and bare loops relay the same calls by turns: one shard,
// one thread, which leaves the other core to the generator.
func TestLimit(t *testing.T) {
	for _, legs := range lengths.sizes {
		cost := compete(t, legs, 1, barOwn, bugleOwn, barShared, bugleShared)
		at := fmt.Sprintf("%d_legs_", legs)
		bench.Figure(at+"times_the_limit", meter.Ratio(cost[bugleOwn], cost[barOwn]), "x", meter.AtMost(1.25))
		bench.Figure(at+"shared_times_the_limit", meter.Ratio(cost[bugleShared], cost[barShared]), "x", meter.AtMost(1.25))
		if legs >= fewBig {
			bench.Figure(at+"shared_cheaper", meter.Ratio(cost[bugleOwn], cost[bugleShared]), "x", meter.AtLeast(1.25))
		}
	}
}

// TestPeer lets Bugle and rtpengine relay the same calls by turns, each with as
// many threads as there are cores.
func TestPeer(t *testing.T) {
	cost := compete(t, 2*calls, cores, bugleOwn, rtpengine, bugleShared)
	bench.Figure("rtpengine_call_second", meter.Median(cost[rtpengine])*callPackets/1000, "ms", meter.Informs)
	bench.Figure("rtpengine_share", meter.Ratio(cost[bugleOwn], cost[rtpengine]), "x", meter.AtMost(1))
	bench.Figure("shared_rtpengine_share", meter.Ratio(cost[bugleShared], cost[rtpengine]), "x", meter.AtMost(.5))
}

// compete lets contestants relay so many legs by turns, those whose turn it is not
// stopped, and gives their CPU time in µs for each packet in and out, round by
// round. Turns are short, so that what else the machine does falls on all alike.
func compete(t *testing.T, legs, shards int, roles ...string) map[string][]float64 {
	var lanes []*lane
	for _, role := range roles {
		l := newLane(t, role, legs, shards, false)
		defer l.close(t)
		l.halt(t)
		lanes = append(lanes, l)
	}
	cost := map[string][]float64{}
	for range lengths.rounds {
		for i, l := range lanes {
			l.goOn(t)
			time.Sleep(lengths.settle)
			r := l.measure(t, lengths.turn)
			l.halt(t)
			cost[roles[i]] = append(cost[roles[i]], r.perPair())
		}
	}
	for i, role := range roles {
		bench.Figure(fmt.Sprintf("%d_legs_%s_%d_pair", legs, role, shards), meter.Median(cost[role]), "us", meter.Informs)
		o := lanes[i].generator.outcome()
		if o.lost+o.foreign > 0 {
			fmt.Printf("media note: %s with %d legs: %d packets lost, %d astray\n", role, legs, o.lost, o.foreign)
		}
		if n := len(lanes[i].ports); role == bugleShared && n > shards*sharedPorts {
			fmt.Printf("media note: %s with %d legs: only some share ports, there are %d\n", role, legs, n)
		}
	}
	return cost
}

// TestSustained bridges 600 calls for a minute.
func TestSustained(t *testing.T) {
	for _, kind := range []struct {
		role string
		goal float64
	}{{bugleOwn, 1.3}, {bugleShared, .9}} {
		r := once(t, kind.role, 2*calls, false, lengths.sustained)
		name := kind.role + "_600_calls_"
		bench.Figure(name+"lost", float64(r.lost), "packets", meter.AtMost(0))
		bench.Figure(name+"astray", float64(r.foreign+r.disordered), "packets", meter.AtMost(0))
		bench.Figure(name+"filled", float64(r.filled), "packets", meter.Informs)
		bench.Figure(name+"on_time", r.onTime(), "%", meter.AtLeast(99))
		bench.Figure(name+"delay_p50", meter.Millis(r.percentile(50)), "ms", meter.Informs)
		bench.Figure(name+"delay_p99", meter.Millis(r.percentile(99)), "ms", meter.Informs)
		bench.Figure(name+"call_second", r.perPair()*callPackets/1000, "ms", meter.AtMost(kind.goal))
	}
}

// TestMusic lets 4,000 callers who say nothing hear music.
func TestMusic(t *testing.T) {
	for _, role := range []string{bugleOwn, bugleShared} {
		r := once(t, role, silent, true, lengths.playing)
		name := role + "_4000_callers_"
		bench.Figure(name+"lost", float64(r.lost), "packets", meter.AtMost(0))
		bench.Figure(name+"on_time", r.onTime(), "%", meter.AtLeast(99))
		bench.Figure(name+"spaced", r.share(packetTime-5*time.Millisecond, packetTime+5*time.Millisecond), "%", meter.Informs)
		bench.Figure(name+"leg_second", 1e3*r.cpu.Seconds()/silent/r.length.Seconds(), "ms", meter.Informs)
		bench.Figure(name+"leg_memory", float64(r.resident)/silent/1024, "KiB", meter.AtMost(16))
		bench.Figure(name+"leg_heap", float64(r.heap)/silent/1024, "KiB", meter.Informs)
	}
}

// TestAllocations counts what playing to 2,000 legs allocates.
func TestAllocations(t *testing.T) {
	for _, role := range []string{bugleOwn, bugleShared} {
		r := once(t, role, played, true, lengths.playing/3)
		// Whole ones, as testing.AllocsPerRun counts: the runtime's own are few.
		bench.Figure(role+"_beat_allocations", math.Floor(max(0, float64(r.mallocs)/r.beats)), "allocations", meter.AtMost(0))
	}
}

// run is what one contestant did in one measured time.
type run struct {
	outcome
	cpu, length    time.Duration
	pairs          uint64  // packets relayed
	onBeat, beats  float64 // of all shards
	mallocs        int64
	resident, heap int64 // bytes more than before the legs
}

func (r *run) perPair() float64 { return float64(r.cpu.Nanoseconds()) / 1e3 / float64(r.pairs) }

// onTime gives the share of beats that were less than 5 ms late, of all that
// there should have been.
func (r *run) onTime() float64 { return min(100, 100*r.onBeat/r.beats) }

// lane is a contestant at work.
type lane struct {
	contestant contestant
	generator  *generator
	shards     int
	bare       usage           // before the first leg
	ports      map[uint16]bool // that it takes packets at
}

// Legs join as on a busy trunk: a few at a time, which are heard before the next
// come.
const (
	together = 16
	apart    = 40 * time.Millisecond
)

// newLane starts a contestant and lets its legs join.
func newLane(t *testing.T, role string, legs, shards int, music bool) *lane {
	t.Helper()
	g, err := newGenerator(legs, music)
	if err != nil {
		t.Fatal(err)
	}
	l := &lane{contestant: start(t, role), generator: g, shards: shards, ports: make(map[uint16]bool)}
	l.bare = l.contestant.usage(t)
	l.contestant.open(t, g.ports, shards)
	g.start()
	for first := 0; first < legs; first += together {
		near := l.contestant.join(t, first, min(together, legs-first), music)
		if err := g.join(near); err != nil {
			t.Fatal(err)
		}
		for _, port := range near {
			l.ports[port] = true
		}
		time.Sleep(apart)
	}
	return l
}

// halt stops the generator and then the contestant.
func (l *lane) halt(t *testing.T) {
	l.generator.halt()
	l.signal(t, unix.SIGSTOP)
}

func (l *lane) goOn(t *testing.T) {
	l.signal(t, unix.SIGCONT)
	l.generator.start()
}

func (l *lane) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := l.contestant.process().Signal(s); err != nil {
		t.Fatal(err)
	}
}

// close ends a lane that has been halted.
func (l *lane) close(t *testing.T) {
	l.signal(t, unix.SIGCONT)
	l.contestant.close(t)
	l.generator.close()
}

// measure watches for a time.
func (l *lane) measure(t *testing.T, length time.Duration) (r run) {
	t.Helper()
	c := l.contestant
	asking := c.usage(t).Mallocs
	before, heard, began := c.usage(t), l.generator.heard.Load(), time.Now()
	elsewhere := meter.Idle(t) + meter.OwnCPU(t)
	time.Sleep(length)
	after := c.usage(t)
	r.pairs, r.length = l.generator.heard.Load()-heard, time.Since(began)
	r.cpu = after.CPU - before.CPU
	elsewhere = meter.Idle(t) + meter.OwnCPU(t) - elsewhere + r.cpu
	total := runtime.NumCPU() * int(r.length)
	meter.Others(100 * float64(total-int(elsewhere)) / float64(total))
	r.onBeat, r.beats = float64(after.OnTime-before.OnTime), r.length.Seconds()*float64(100*l.shards)
	r.mallocs = int64(after.Mallocs) - 2*int64(before.Mallocs) + int64(asking) // less what a question costs
	r.resident, r.heap = after.Resident-l.bare.Resident, int64(after.Heap)-int64(l.bare.Heap)
	return r
}

// once lets one contestant work for a time.
func once(t *testing.T, role string, legs int, music bool, length time.Duration) run {
	t.Helper()
	l := newLane(t, role, legs, cores, music)
	defer l.close(t)
	time.Sleep(time.Second)
	r := l.measure(t, length)
	l.halt(t)
	r.outcome = l.generator.outcome()
	return r
}
