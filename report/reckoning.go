package report

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reckoning shows Prometheus a part of a whole that cannot be counted from a node's
// events, since it is not one node that tells of it, or nobody does: a caller calls
// again at another node, a promise is broken by nobody calling. So it is reckoned now
// and then from what all nodes have written down, of seven days, and every node shows
// the same. Until Update it shows nothing.
type Reckoning struct {
	reporter *Reporter
	what     string
	until    func(now time.Time) time.Time // the end of the seven days
	read     func(*gathering) part
	values   func(*Counts) Ratio

	part, whole *prometheus.Desc

	mu    sync.Mutex
	lines map[lineKey]Ratio
}

var (
	contactsDesc     = desc("first_contacts", "First contacts of callers on a subject in the last seven days that can be judged; the same on every node.", byLine...)
	resolvedDesc     = desc("first_contacts_resolved", "Of these, without a further call in 7 days; the same on every node.", byLine...)
	promisesDueDesc  = desc("promises_due", "Callbacks and other follow-ups whose window ended in the last seven days, settled or not; the same on every node.", byLine...)
	promisesKeptDesc = desc("promises_kept", "Of these, done in their window; the same on every node.", byLine...)
)

// NewResolution reckons first-contact resolution, of the last seven whole days whose
// callers have had their time to call again.
func NewResolution(r *Reporter) *Reckoning {
	return &Reckoning{
		reporter: r, what: "first-contact resolution", part: resolvedDesc, whole: contactsDesc,
		until:  func(now time.Time) time.Time { return dayOf(now, r.zone()).from.AddDate(0, 0, -7) },
		read:   func(g *gathering) part { return g.resolution },
		values: func(c *Counts) Ratio { return c.FirstContactResolution() },
	}
}

// NewPromises reckons the promises whose window ended in the last seven days,
// whoever settled them and whether anybody did.
func NewPromises(r *Reporter) *Reckoning {
	return &Reckoning{
		reporter: r, what: "promises", part: promisesKeptDesc, whole: promisesDueDesc,
		until:  func(now time.Time) time.Time { return now },
		read:   func(g *gathering) part { return g.promises },
		values: func(c *Counts) Ratio { return c.Promises() },
	}
}

// Update reckons anew, as of a moment.
func (r *Reckoning) Update(ctx context.Context, now time.Time) error {
	q := Query{By: []Dimension{ByQueue, ByLanguage}}
	q.To = r.until(now).Truncate(time.Millisecond).In(r.reporter.zone())
	q.From = q.To.AddDate(0, 0, -7)
	g := r.reporter.gathering(q, now)
	t := newTally(g.calendar, len(q.By))
	if err := r.read(g)(ctx, t); err != nil {
		return fmt.Errorf("report: %s: %w", r.what, err)
	}
	lines := make(map[lineKey]Ratio)
	for _, row := range t.list() {
		lines[lineKey{row.Values[0], row.Values[1]}] = r.values(&row.Counts)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = lines
	return nil
}

// Describe implements prometheus.Collector.
func (r *Reckoning) Describe(ch chan<- *prometheus.Desc) {
	ch <- r.whole
	ch <- r.part
}

// Collect implements prometheus.Collector.
func (r *Reckoning) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s sample
	for key, v := range r.lines {
		s.gauge(r.whole, float64(v.Whole), key.queue, key.language)
		s.gauge(r.part, float64(v.Part), key.queue, key.language)
	}
	for _, m := range s.metrics {
		ch <- m
	}
}

var _ prometheus.Collector = (*Reckoning)(nil)
