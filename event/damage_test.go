package event

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Random damage anywhere in the log: both ways of reading give every event that
// was not touched, in order, and tell of the others.
func TestRandomDamage(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		for round := range 30 {
			rnd := rand.New(rand.NewPCG(uint64(round), 3))
			dir := memoryDir(t)
			l := openSealed(t, dir, by)
			steps(l, 0, 100)
			syncTest(t, l)
			last := l.last()
			lost := hurt(t, dir, rnd)

			r := readerTest(t, l, "history")
			var got []uint64
			for r.walk.pos < last {
				end, _, _ := l.readable()
				batch, err := r.batch(end, 9)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				for _, ev := range batch {
					got = append(got, ev.Seq)
				}
			}
			want := slices.DeleteFunc(from(1, last), func(seq uint64) bool { return lost[seq] })
			if !slices.Equal(got, want) {
				t.Fatalf("round %d: lost %v, the reader got %v", round, lost, got)
			}
			if n := testutil.ToFloat64(l.metrics.missing.WithLabelValues("history")); n != float64(len(lost)) {
				t.Fatalf("round %d: %v of %d are counted as missing", round, n, len(lost))
			}
			all, gaps := readPast(t, dir, by)
			missing := uint64(0)
			for _, g := range gaps {
				missing += g.Lost()
			}
			if len(all) != len(want) || len(gaps) == 0 && len(lost) > 0 {
				t.Fatalf("round %d: lost %v, Read gave %d of %d, gaps %v", round, lost, len(all), len(want), gaps)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// hurt damages a few places in dir, and tells which events that cost.
func hurt(t *testing.T, dir string, rnd *rand.Rand) map[uint64]bool {
	t.Helper()
	lost := make(map[uint64]bool)
	firsts := segments(t, dir)
	for range 1 + rnd.IntN(4) {
		path := filepath.Join(dir, segmentName(firsts[rnd.IntN(len(firsts))]))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		hurt := bytes.Clone(data)
		at := rnd.IntN(len(data))
		for i := at; i < min(at+1+rnd.IntN(300), len(data)); i++ {
			hurt[i] ^= byte(1 + rnd.IntN(255))
		}
		left := seqsIn(hurt)
		for seq := range seqsIn(data) {
			if !left[seq] {
				lost[seq] = true
			}
		}
		if err := os.WriteFile(path, hurt, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return lost
}

// seqsIn gives the whole records of a segment, found the slow way: every offset
// is tried.
func seqsIn(data []byte) map[uint64]bool {
	seqs := make(map[uint64]bool)
	s := scannerOf(data)
	for at := range int64(len(data)) {
		if r, ok, err := s.recordAt(at); err == nil && ok {
			seqs[r.seq] = true
		}
	}
	return seqs
}

// A segment that is gone, or another log's, is a gap like any other.
func TestMissingAndForeignSegments(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		l := openSealed(t, d, nil)
		steps(l, 0, 100)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	firsts := segments(t, dir)
	if err := os.Remove(filepath.Join(dir, segmentName(firsts[1]))); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(other, segmentName(segments(t, other)[3])))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(firsts[3])), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	all, gaps := readPast(t, dir, nil)
	if len(gaps) != 2 || gaps[0].After != firsts[1]-1 || gaps[0].Next != firsts[2] || gaps[1].Next != firsts[4] || gaps[1].Bytes == 0 {
		t.Errorf("gaps %v", gaps)
	}
	if lost := gaps[0].Lost() + gaps[1].Lost(); uint64(len(all))+lost != 102 {
		t.Errorf("%d events and %d lost", len(all), lost)
	}
}
