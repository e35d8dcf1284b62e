package store

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a SQL writer did to a chain stays a finding after the node has gone on
// writing into it, and the node does go on.
func TestAuditDoesNotCoverUpABreak(t *testing.T) {
	tests := []struct {
		name   string
		spoil  []string
		detail string // of the entry that tells
		seq    uint64 // its place
	}{
		{"cut, and the head set back", []string{
			`DELETE FROM audit WHERE seq >= 4`,
			`UPDATE audit_heads SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)`,
		}, "entry 3: the head does not bear our seal", 4},
		{"cut", []string{`DELETE FROM audit WHERE seq >= 4`}, "entry 6: the last entry is gone", 7},
		{"the last one changed", []string{`UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 1) WHERE seq = 6`},
			"entry 6: is not the one the head knows", 7},
		{"emptied", []string{`DELETE FROM audit`}, "entry 6: the last entry is gone", 7},
		{"emptied, and the head says it was purged", []string{
			`DELETE FROM audit`, `UPDATE audit_heads SET begin_seq = seq, begin_hash = hash`,
		}, "entry 6: the head does not bear our seal", 1},
		{"no head", []string{`DELETE FROM audit_heads`}, "entry 0: there are entries behind the head, until 6", 7},
		{"head at 0", []string{`UPDATE audit_heads SET seq = 0`}, "entry 0: there are entries behind the head, until 6", 7},
		{"head below 0", []string{`UPDATE audit_heads SET seq = -1, begin_seq = -7`}, "entry 0: there are entries behind the head, until 6", 7},
		{"head as far as can be", []string{`UPDATE audit_heads SET seq = 9223372036854775807`},
			"entry 9223372036854775807: the head does not bear our seal", 7},
		{"added", []string{`INSERT INTO audit (node, seq, at, actor, action, object, address, detail, hash)
			SELECT node, 7, at, actor, action, object, address, detail, hash FROM audit WHERE seq = 6`},
			"entry 6: there are entries behind the head, until 7", 8},
		{"a beginning made up", []string{
			`DELETE FROM audit WHERE seq <= 2`,
			`UPDATE audit_heads SET begin_seq = 2, begin_hash = hash`,
		}, "entry 6: the head does not bear our seal", 7},
	}
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		for range 6 {
			must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		}
		must(t, s.Close())
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := d.copy(t).open(t, "n1")
				for _, query := range test.spoil {
					_, err := s.write.ExecContext(t.Context(), query)
					must(t, err)
				}
				if len(verify(t, s).Findings) == 0 {
					t.Error("nothing found before the node's next entry")
				}
				for range 3 {
					must(t, s.Audit(t.Context(), Entry{Action: "after"}))
				}
				var told []Entry
				after := 0
				for _, e := range audited(t, s) {
					switch e.Action {
					case brokenAction:
						told = append(told, e)
					case "after":
						after++
					}
				}
				if len(told) != 1 || told[0].Detail != test.detail || told[0].Seq != test.seq || after != 3 {
					t.Errorf("told %+v, %d after it", told, after)
				}
				found := false
				for _, f := range verify(t, s).Findings {
					found = found || f.Seq == test.seq && strings.Contains(f.What, test.detail)
				}
				if !found {
					t.Errorf("found %v", verify(t, s).Findings)
				}
			})
		}
	})
}

// An entry at the end of all numbers can't keep the node from writing.
func TestAuditGoesOnBeforeAFarEntry(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		for _, seq := range []int64{1<<63 - 1, -1} {
			_, err := s.write.Exec(fmt.Sprintf(`INSERT INTO audit (node, seq, at, actor, action, object, address, detail, hash)
				SELECT node, %d, at, actor, action, object, address, detail, hash FROM audit WHERE seq = 1`, seq))
			must(t, err)
		}
		must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		if len(verify(t, s).Findings) < 2 {
			t.Errorf("found %v", verify(t, s).Findings)
		}
	})
}

// A chain that was purged to its end is whole.
func TestAuditGoesOnAfterAPurge(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, other := d.open(t, "n1"), d.open(t, "n2")
		for range 3 {
			must(t, other.Audit(t.Context(), Entry{Action: "test"}))
		}
		_, err := s.Purge(t.Context(), tester, AuditTrail, time.Now().Add(time.Hour))
		must(t, err)
		must(t, other.Audit(t.Context(), Entry{Action: "test"}))
		if n, err := s.Anchor(t.Context()); n != 1 || err != nil {
			t.Errorf("anchored %d: %v", n, err)
		}
		if found := verify(t, s).Findings; len(found) != 0 {
			t.Errorf("found %v", found)
		}
	})
}

// A head without our seal is not vouched for, but told of, once.
func TestAnchorChecksSeals(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		nodes := chains(t, d)
		_, err := nodes[0].write.Exec(`UPDATE audit_heads SET seq = 9, hash = (SELECT hash FROM audit WHERE node = 'n1' AND seq = 9) WHERE node = 'n1'`)
		must(t, err)
		for range 2 {
			if n, err := nodes[1].Anchor(t.Context()); n != 1 || err != nil {
				t.Errorf("anchored %d: %v", n, err)
			}
		}
		told := 0
		for _, e := range audited(t, nodes[1]) {
			if e.Action == brokenAction && e.Node == "n2" && e.Object == "n1" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

func TestVerifyChecksTheSealOfAnEmptyChain(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		must(t, s.Audit(t.Context(), Entry{Action: "test"}))
		_, err := s.write.Exec(`DELETE FROM audit`)
		must(t, err)
		for _, query := range []string{`UPDATE audit_heads SET begin_seq = 0`, `UPDATE audit_heads SET seq = 0, hash = begin_hash`} {
			_, err = s.write.Exec(query)
			must(t, err)
			if len(verify(t, s).Findings) == 0 {
				t.Errorf("after %s nothing was found", query)
			}
		}
	})
}
