package store

import (
	"math/rand/v2"
	"testing"
	"time"
)

// benchOnBoth is onBoth for benchmarks.
func benchOnBoth(b *testing.B, bench func(b *testing.B, d site)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, site{}.another(b)) })
	b.Run("postgres", func(b *testing.B) { bench(b, onPostgres(b)) })
}

// BenchmarkApply takes in batches of 100 events: what 200 ms of a busy node
// are. 500 events/s leave 2 ms for each.
func BenchmarkApply(b *testing.B) {
	benchOnBoth(b, func(b *testing.B, d site) {
		h := d.open(b, "n1").History(testQueues)
		all := day(rand.New(rand.NewPCG(1, 2)), 20000, d.sealer).events
		b.ResetTimer()
		n := 0
		for i := 0; i < b.N; i++ {
			if n+100 > len(all) {
				b.Fatal("too few events")
			}
			must(b, h.Apply(b.Context(), fromN1, all[n:n+100]))
			n += 100
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/event")
	})
}

// BenchmarkVisits reads a day of 100,000 visits, as a report does.
func BenchmarkVisits(b *testing.B) {
	benchOnBoth(b, func(b *testing.B, d site) {
		s := d.open(b, "n1")
		_, err := s.write.Exec(`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
			INSERT INTO visits (id, call_id, node, number, caller_hash, queue, language, class, requires, joined_at, ended_at, result,
				waited_ns, agent, tier, talk_ended_at, talk_ns, hold_ns, wrapped_up_at, wrap_up_ns)
			SELECT 'abcdefghijklmnop' || i, 'abcdefghijklmnop' || i, 'node-1', '+18005550100', 'abcdefghijklmnopqrstuvwxyz', 'claims', 'en', 'routine',
				'{"claims":1}', i * 864, i * 864 + 20000, 'answered', 20000000000, 'anna', 1, i * 864 + 300000, 280000000000, 0, i * 864 + 330000, 30000000000
			FROM n`)
		must(b, err)
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			n := 0
			for _, err := range s.Visits(b.Context(), time.UnixMilli(0), time.UnixMilli(86_400_000)) {
				must(b, err)
				n++
			}
			if n != 100_000 {
				b.Fatal(n)
			}
		}
	})
}
