package store

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// logOf is an event log with these facts in it.
func logOf(facts ...event.Fact) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for _, ev := range new(story).tell("", facts...).events {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

func findings(t *testing.T, s *Store, log iter.Seq2[event.Event, error]) (all []string) {
	t.Helper()
	v, err := s.Verify(t.Context(), log)
	must(t, err)
	for _, f := range v.Findings {
		all = append(all, f.String())
	}
	return all
}

// keepAudit copies the audit aside, as somebody would who wants to put it back.
func keepAudit(t *testing.T, s *Store) (putBack []string) {
	t.Helper()
	for _, table := range []string{"audit", "audit_heads"} {
		_, err := s.write.Exec(`CREATE TABLE old_` + table + ` AS SELECT * FROM ` + table)
		must(t, err)
		putBack = append(putBack, `DELETE FROM `+table, `INSERT INTO `+table+` SELECT * FROM old_`+table)
	}
	return putBack
}

// Who puts back an older chain together with its head, which bears our seal, is
// found out by the heads in the event log: before the node writes again, and
// ever after.
func TestARolledBackChainIsFound(t *testing.T) {
	tests := []struct {
		name  string
		spoil []string // nil: what keepAudit kept is put back
		want  string
		told  string
	}{
		{"rolled back", nil, "node n1, entry 6: missing: event 1 of the log vouches for it",
			"entry 6: is gone, as the event log knows it"},
		{"emptied", []string{`DELETE FROM audit`, `DELETE FROM audit_heads`},
			"node n1, entry 6: missing, as is the whole chain: event 1 of the log vouches for it",
			"entry 6: is gone, as the event log knows it"},
	}
	onBoth(t, func(t *testing.T, d site) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				d := d.another(t)
				s := d.open(t, "n1")
				write := func() {
					for range 3 {
						must(t, s.Audit(t.Context(), Entry{Action: "test"}))
					}
				}
				write()
				old := keepAudit(t, s)
				write()
				head, err := s.Head(t.Context(), event.AuditHead{})
				must(t, err)
				if head.Node != "n1" || head.Seq != 6 {
					t.Fatalf("the head is %+v", head)
				}
				if found := findings(t, s, logOf(head)); len(found) != 0 {
					t.Fatalf("found %v", found)
				}
				if test.spoil == nil {
					test.spoil = old
				}
				for _, query := range test.spoil {
					_, err := s.write.Exec(query)
					must(t, err)
				}
				if found := findings(t, s, nil); len(found) != 0 {
					t.Errorf("without the log: found %v", found) // or this test shows nothing
				}
				if found := findings(t, s, logOf(head)); !slices.Equal(found, []string{test.want}) {
					t.Errorf("found %q, want %q", found, test.want)
				}
				next, err := s.Head(t.Context(), head)
				must(t, err)
				write()
				if found := findings(t, s, nil); !strings.Contains(strings.Join(found, "\n"), test.told) {
					t.Errorf("found %q, want one of %q", found, test.told)
				}
				if again, err := s.Head(t.Context(), next); err != nil || again.Seq != next.Seq+3 {
					t.Errorf("the head after %+v is %+v, %v: it was told again", next, again, err)
				}
			})
		}
	})
}

// A chain that was rewritten up to its last entry, seal and all.
func TestARewrittenEntryIsFoundByTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		head, err := s.Head(t.Context(), event.AuditHead{})
		must(t, err)
		for _, query := range []string{`DELETE FROM audit`, `DELETE FROM audit_heads`} {
			_, err := s.write.Exec(query)
			must(t, err)
		}
		must(t, s.Audit(t.Context(), Entry{Action: "other"}))
		want := []string{"node n1, entry 1: is not the one that event 1 of the log vouches for: the chain was rewritten"}
		if found := findings(t, s, logOf(head)); !slices.Equal(found, want) {
			t.Errorf("found %q", found)
		}
		_, err = s.Head(t.Context(), head)
		must(t, err)
		if found := findings(t, s, nil); len(found) != 1 || !strings.Contains(found[0], "entry 1: is not the one that was written") {
			t.Errorf("found %q", found)
		}
	})
}

// An act in the event log comes into the chain once, however the log is read.
func TestAuditThroughTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		var facts []event.Fact
		for i := range 7 {
			facts = append(facts, event.Audited{Actor: "api:token", Action: "agent.state", Object: fmt.Sprintf("agent a%d", i), From: "192.0.2.7", Detail: "paused"})
		}
		all := new(story).tell("", facts...).events
		h := s.History(testQueues)
		for _, part := range [][]event.Event{all[:3], all[:3], all[1:5], all, all} {
			must(t, h.Apply(t.Context(), fromN1, part))
		}
		must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		got := audited(t, s)
		if len(got) != 8 {
			t.Fatalf("%d entries: %+v", len(got), got)
		}
		byTime := func(a, b Entry) int { return int(a.Seq) - int(b.Seq) }
		slices.SortFunc(got, byTime)
		want := Entry{Node: "n1", Seq: 3, At: noon.Add(2 * time.Second), Actor: "api:token", Action: "agent.state", Object: "agent a2", From: "192.0.2.7", Detail: "paused"}
		if got[2] != want {
			t.Errorf("got %+v, want %+v", got[2], want)
		}
		if found := findings(t, s, nil); len(found) != 0 {
			t.Errorf("found %v", found)
		}
	})
}

// That a chain was broken outlives the time for which entries are kept.
func TestABreakOutlivesItsEntry(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		_, err := s.write.Exec(`DELETE FROM audit_heads`)
		must(t, err)
		must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		for range 3 {
			_, err := s.Purge(t.Context(), tester, AuditTrail, time.Now().Add(time.Hour))
			must(t, err)
			found := findings(t, s, nil)
			if len(found) != 1 || strings.Count(found[0], "first written") != 1 || !strings.Contains(found[0], "there are entries behind the head, until 1") {
				t.Errorf("found %q", found)
			}
		}
	})
}

// A chain that was purged and then lost its seal is told of once, goes on, and
// can be purged further.
func TestAPurgedChainIsMended(t *testing.T) {
	tests := []struct {
		name  string
		spoil string
		more  int // findings beside the one that tells of it
	}{
		{"the seal", `UPDATE audit_heads SET seal = hash`, 0},
		{"the head", `DELETE FROM audit_heads`, 1},
		{"where it begins", `UPDATE audit_heads SET begin_seq = 1`, 1},
		{"behind what it begins", `UPDATE audit_heads SET begin_hash = hash`, 1},
	}
	onBoth(t, func(t *testing.T, d site) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				d := d.another(t)
				s := d.open(t, "n1")
				old := time.Now().Add(-time.Hour)
				for _, at := range []time.Time{old, old, {}, {}} {
					must(t, s.Audit(t.Context(), Entry{At: at, Action: "test"}))
				}
				_, err := s.Purge(t.Context(), tester, AuditTrail, old.Add(time.Minute))
				must(t, err)
				_, err = s.write.Exec(test.spoil)
				must(t, err)
				must(t, s.Audit(t.Context(), Entry{Action: "test"}))
				if found := findings(t, s, nil); len(found) != 1+test.more {
					t.Errorf("found %q", found)
				}
				_, err = s.Purge(t.Context(), tester, AuditTrail, time.Now().Add(time.Hour))
				must(t, err)
				if found := findings(t, s, nil); len(found) != 1 {
					t.Errorf("after another purge: found %q", found)
				}
			})
		}
	})
}

// Anchors are read in more than one batch.
func TestVerifyReadsEveryAnchor(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, other := d.open(t, "n1"), d.open(t, "n2")
		must(t, other.Audit(t.Context(), Entry{Action: "test"}))
		const anchors = 2*anchorBatch + 1
		must(t, s.inTx(t.Context(), "", func(tx *tx) error {
			hash, err := hashOf(t.Context(), tx, head{node: "n2"}, 1)
			must(t, err)
			for range anchors {
				must(t, s.note(t.Context(), tx, Entry{Action: anchorAction, Object: "n2", Detail: anchorDetail(1, hash)}))
			}
			return nil
		}))
		if v := verify(t, s); v.Anchors != anchors || len(v.Findings) != 0 {
			t.Errorf("got %d anchors, %v", v.Anchors, v.Findings)
		}
	})
}
