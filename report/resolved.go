package report

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Resolution shows first-contact resolution to Prometheus. It cannot be counted from
// a node's events, since the caller may call again at another node, and days later: so it is
// reckoned now and then from what all nodes have written down, and every node shows
// the same. It is of the last seven whole days whose callers have had their time to
// call again. Until Update it shows nothing.
type Resolution struct {
	reporter *Reporter

	mu    sync.Mutex
	lines map[lineKey]Counts
}

// NewResolution makes one that reads as a reporter does.
func NewResolution(r *Reporter) *Resolution { return &Resolution{reporter: r} }

var (
	contactsDesc = desc("first_contacts", "First contacts of callers on a subject in the last seven days that can be judged; the same on every node.", byLine...)
	resolvedDesc = desc("first_contacts_resolved", "Of these, without a further call in 7 days; the same on every node.", byLine...)
)

// Update reckons anew, as of a moment. It reads the visits of three weeks.
func (r *Resolution) Update(ctx context.Context, now time.Time) error {
	q := Query{By: []Dimension{ByQueue, ByLanguage}, Resolution: true}
	today := dayOf(now, r.reporter.zone()).from
	q.From, q.To = today.AddDate(0, 0, -14), today.AddDate(0, 0, -7)
	g := r.reporter.gathering(q, now)
	t := newTally(g.calendar, len(q.By))
	if err := g.resolution(ctx, t); err != nil {
		return fmt.Errorf("report: first-contact resolution: %w", err)
	}
	lines := make(map[lineKey]Counts)
	for _, row := range t.list() {
		lines[lineKey{row.Values[0], row.Values[1]}] = row.Counts
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = lines
	return nil
}

// Describe implements prometheus.Collector.
func (r *Resolution) Describe(ch chan<- *prometheus.Desc) {
	ch <- contactsDesc
	ch <- resolvedDesc
}

// Collect implements prometheus.Collector.
func (r *Resolution) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s sample
	for key, c := range r.lines {
		s.gauge(contactsDesc, float64(c.Contacts), key.queue, key.language)
		s.gauge(resolvedDesc, float64(c.Resolved), key.queue, key.language)
	}
	for _, m := range s.metrics {
		ch <- m
	}
}

var _ prometheus.Collector = (*Resolution)(nil)
