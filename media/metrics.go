package media

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// shardCounts is what a shard has counted since its start.
type shardCounts struct {
	packetsIn, packetsOut, unsent uint64
	strangers, malformed          uint64
	overrun, kernelDrops          uint64
	lateBeats, skippedBeats       uint64
	eventsDropped                 uint64
}

// publishedCounts is a shard's counts as others may read them: the beat itself
// counts in plain memory and publishes at its end.
type publishedCounts struct {
	packetsIn, packetsOut, unsent atomic.Uint64
	strangers, malformed          atomic.Uint64
	overrun, kernelDrops          atomic.Uint64
	lateBeats, skippedBeats       atomic.Uint64
	eventsDropped                 atomic.Uint64
}

func (p *publishedCounts) store(c *shardCounts) {
	p.packetsIn.Store(c.packetsIn)
	p.packetsOut.Store(c.packetsOut)
	p.unsent.Store(c.unsent)
	p.strangers.Store(c.strangers)
	p.malformed.Store(c.malformed)
	p.overrun.Store(c.overrun)
	p.kernelDrops.Store(c.kernelDrops)
	p.lateBeats.Store(c.lateBeats)
	p.skippedBeats.Store(c.skippedBeats)
	p.eventsDropped.Store(c.eventsDropped)
}

// collector exports the engine's figures.
type collector struct {
	engine *Engine
	total  []total
	legs   *prometheus.Desc
	ports  *prometheus.Desc
}

// total is a counter summed over the shards.
type total struct {
	desc  *prometheus.Desc
	label []string
	of    func(*publishedCounts) *atomic.Uint64
}

func newCollector(e *Engine) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("bugle_media_"+name, help, labels, nil)
	}
	packets := desc("packets_total", "RTP packets of our legs, in and out.", "direction")
	dropped := desc("dropped_total", "Datagrams not heard or not sent, by why.", "reason")
	return &collector{
		engine: e,
		total: []total{
			{packets, []string{"in"}, func(p *publishedCounts) *atomic.Uint64 { return &p.packetsIn }},
			{packets, []string{"out"}, func(p *publishedCounts) *atomic.Uint64 { return &p.packetsOut }},
			{dropped, []string{"stranger"}, func(p *publishedCounts) *atomic.Uint64 { return &p.strangers }},
			{dropped, []string{"malformed"}, func(p *publishedCounts) *atomic.Uint64 { return &p.malformed }},
			{dropped, []string{"unsent"}, func(p *publishedCounts) *atomic.Uint64 { return &p.unsent }},
			{dropped, []string{"kernel"}, func(p *publishedCounts) *atomic.Uint64 { return &p.kernelDrops }},
			{dropped, []string{"overrun"}, func(p *publishedCounts) *atomic.Uint64 { return &p.overrun }},
			{desc("late_beats_total", "Beats served more than 5 ms late."), nil,
				func(p *publishedCounts) *atomic.Uint64 { return &p.lateBeats }},
			{desc("skipped_beats_total", "Beats never served, because the shard was too late to catch up."), nil,
				func(p *publishedCounts) *atomic.Uint64 { return &p.skippedBeats }},
			{desc("events_dropped_total", "Events of legs (keys, ends of prompts) that nobody took in time."), nil,
				func(p *publishedCounts) *atomic.Uint64 { return &p.eventsDropped }},
		},
		legs:  desc("legs", "Legs being served."),
		ports: desc("ports", "Pairs of RTP ports by state.", "state"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, out)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for _, t := range c.total {
		var sum uint64
		for _, s := range c.engine.shards {
			sum += t.of(&s.published).Load()
		}
		out <- prometheus.MustNewConstMetric(t.desc, prometheus.CounterValue, float64(sum), t.label...)
	}
	var legs int64
	for _, s := range c.engine.shards {
		legs += s.load.Load()
	}
	out <- prometheus.MustNewConstMetric(c.legs, prometheus.GaugeValue, float64(legs))
	used, resting, ready := c.engine.ports.counts()
	for state, n := range map[string]int{"used": used, "resting": resting, "ready": ready} {
		out <- prometheus.MustNewConstMetric(c.ports, prometheus.GaugeValue, float64(n), state)
	}
}
