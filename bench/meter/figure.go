// Package meter is what the benchmarks share: figures as they are printed, what a
// process has used of the machine, and medians.
//
// Start with figure.go; usage.go reads proc(5).
package meter

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// Role is the variable of the environment that tells a benchmark's binary, started
// once more, which contestant to be.
const Role = "BUGLE_BENCH_ROLE"

// A Bench is a benchmark, by the name with which its lines begin.
type Bench string

// A Goal is what a figure is held against.
type Goal struct {
	bound          float64
	least, informs bool
}

// AtMost is met by what is not above the bound.
func AtMost(bound float64) Goal { return Goal{bound: bound} }

// AtLeast is met by what is not below the bound.
func AtLeast(bound float64) Goal { return Goal{bound: bound, least: true} }

// Informs is the goal of what has none.
var Informs = Goal{informs: true}

func (g Goal) verdict(value float64) string {
	if !g.informs && (g.least && value < g.bound || !g.least && value > g.bound) {
		return "short"
	}
	return "ok"
}

// Figure prints one line. The goal of what only informs is printed as 0.
func (b Bench) Figure(name string, value float64, unit string, goal Goal) {
	fmt.Printf("%s %s=%.4g %s goal=%v %s\n", b, name, value, unit, goal.bound, goal.verdict(value))
}

// others is, for each turn, how much of the machine's time neither who was measured
// nor who measured took, in percent.
var others []float64

// Others notes that share of a turn. Main prints their median: above some percent
// the figures say little.
func Others(percent float64) { others = append(others, percent) }

// Main is the main of a benchmark whose contestants are its own binary once more:
// serve is such a contestant's.
func (b Bench) Main(m *testing.M, serve func(role string) error) {
	if role := os.Getenv(Role); role != "" {
		if err := serve(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if len(others) > 0 {
		b.Figure("others", Median(others), "%", AtMost(5))
	}
	os.Exit(code)
}

// Short tells whether only a look is wanted (BENCH=short), for working on the code.
func Short() bool { return os.Getenv("BENCH") == "short" }

// Median gives the middle one of the values, of two the greater.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Ratio gives the median of the ratios within each round, so that what the
// machine does meanwhile counts for both.
func Ratio(a, b []float64) float64 {
	var all []float64
	for i := range a {
		all = append(all, a[i]/b[i])
	}
	return Median(all)
}

// Millis gives a time in ms.
func Millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
