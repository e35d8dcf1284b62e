package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
)

func TestEstimate(t *testing.T) {
	start := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	f := newFeeder()
	n := 0
	join := func(s int) string {
		n++
		id := fmt.Sprint("e", n)
		f.Observe(event.Event{At: at(s), Fact: event.VisitJoined{Visit: id, Queue: "claims", Language: "en"}})
		return id
	}
	leave := func(s int, id string, result event.VisitResult, waited time.Duration) {
		f.Observe(event.Event{At: at(s), Fact: event.VisitEnded{Visit: id, Queue: "claims", Language: "en", Result: result, Waited: waited}})
	}
	expect := func(what string, want time.Duration) {
		t.Helper()
		if got := f.Estimate("claims", "en"); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("nobody has been answered", 0)
	a := join(0)
	expect("one waits, none has been answered", 0)
	leave(4, a, event.Answered, 4*time.Second)
	expect("nobody ahead", 4*time.Second)
	b, c, d := join(10), join(11), join(12)
	expect("no pause is known yet", 4*time.Second)
	leave(20, b, event.Answered, 12*time.Second) // had nobody ahead: 4 and an eighth of 8 s more
	leave(50, c, event.Abandoned, 39*time.Second)
	expect("one ahead, 30 s apart", time.Minute)
	leave(90, d, event.CallBack, 78*time.Second) // 40 s later: 30 and an eighth of 10 s more
	expect("nobody ahead again", 5*time.Second)
	e := join(1000)
	expect("the pause since the line was empty is none", 62500*time.Millisecond)
	leave(1000, e, event.Answered, 0)
	if got := f.Estimate("claims", "es"); got != 0 {
		t.Errorf("another language: %v", got)
	}
	if got := f.Estimate("nothing", "en"); got != 0 {
		t.Errorf("another queue: %v", got)
	}
}

// helpline is a simulated hour after hour of a busy line: callers come at random, some
// give up, each agent talks for a random time. Each caller comes to one of the nodes,
// which makes the estimate.
func helpline(nodes []*Figures, rnd *rand.Rand) {
	const agents, patience, talk, apart = 8, 900.0, 240.0, 31.0
	type caller struct {
		joined, gives float64
		node          *Figures
		id            string
	}
	start := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	tell := func(on *Figures, s float64, fact event.Fact) {
		on.Observe(event.Event{At: start.Add(time.Duration(s * float64(time.Second))), Fact: fact})
	}
	leave := func(c caller, s float64, result event.VisitResult) {
		tell(c.node, s, event.VisitEnded{Visit: c.id, Queue: "claims", Language: "en", Result: result, Waited: time.Duration((s - c.joined) * float64(time.Second))})
	}
	var line []caller
	free := make([]float64, agents) // when each agent is free again
	next := 0.0
	for i := range 4000 {
		next += rnd.ExpFloat64() * apart
		for len(line) > 0 { // all that happens before he comes
			slices.Sort(free)
			first := slices.IndexFunc(line, func(c caller) bool {
				return c.gives == slices.MinFunc(line, func(a, b caller) int { return int(1e6 * (a.gives - b.gives)) }).gives
			})
			if gives := line[first].gives; gives < free[0] {
				if gives > next {
					break
				}
				leave(line[first], gives, event.Abandoned)
				line = slices.Delete(line, first, first+1)
				continue
			}
			if free[0] > next {
				break
			}
			at := max(free[0], line[0].joined)
			leave(line[0], at, event.Answered)
			free[0] = at + rnd.ExpFloat64()*talk
			line = line[1:]
		}
		c := caller{next, next + rnd.ExpFloat64()*patience, nodes[rnd.IntN(len(nodes))], fmt.Sprint("s", i)}
		tell(c.node, next, event.VisitJoined{Visit: c.id, Queue: "claims", Language: "en", Estimate: c.node.Estimate("claims", "en")})
		line = append(line, c)
	}
}

// The estimate is worth telling: it is off by less than half the mean wait, is neither
// always too long nor too short, and is only rougher where several nodes share the line.
func TestEstimateOfASimulatedLine(t *testing.T) {
	for _, test := range []struct {
		nodes       int
		error, bias float64 // parts of the mean wait
	}{{1, 0.5, 0.1}, {3, 0.6, 0.35}} {
		var nodes []*Figures
		for range test.nodes {
			nodes = append(nodes, New(testQueues, []string{"en"}))
		}
		helpline(nodes, rand.New(rand.NewPCG(1, 2)))
		var c Counts
		for _, n := range nodes {
			c = c.Plus(n.Total())
		}
		wait, off, bias := c.SpeedOfAnswer().Value(), c.EstimateError().Value(), c.EstimateBias().Value()
		t.Logf("%d nodes: %d answered after %v, %d estimates, off by %v, too long by %v", test.nodes, c.Answered, wait, c.Estimated, off, bias)
		if c.Estimated < c.Answered*9/10 || wait < 30*time.Second {
			t.Errorf("%d nodes: this is no busy line: %+v", test.nodes, c)
		}
		if off.Seconds() > test.error*wait.Seconds() || bias.Abs().Seconds() > test.bias*wait.Seconds() {
			t.Errorf("%d nodes: of %v the estimate is off by %v, too long by %v", test.nodes, wait, off, bias)
		}
	}
}
