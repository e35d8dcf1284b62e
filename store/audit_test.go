package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/vault"
	"github.com/google/go-cmp/cmp"
)

// audited gives the entries of all nodes.
func audited(t *testing.T, s *Store) []Entry {
	t.Helper()
	all, err := collect(s.Entries(t.Context(), time.UnixMilli(0), time.Now().Add(time.Hour)))
	must(t, err)
	return all
}

func TestAuditReadsBack(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		at := time.Date(2026, 3, 29, 1, 30, 0, 123_000_000, time.UTC)
		e := Entry{At: at, Actor: "tess", Action: "caller.read", Object: "call c1", From: "192.0.2.7", Detail: "a\x00b\xff"}
		must(t, s.Audit(t.Context(), e))
		e.Node, e.Seq, e.Detail = "n1", 1, "a\uFFFDb\uFFFD"
		if diff := cmp.Diff([]Entry{e}, audited(t, s)); diff != "" {
			t.Error(diff)
		}
	})
}

// chains writes six entries on each of three nodes, anchored in each other.
func chains(t *testing.T, d site) []*Store {
	var nodes []*Store
	for i := range 3 {
		nodes = append(nodes, d.open(t, fmt.Sprintf("n%d", i+1)))
	}
	for round := range 2 {
		for _, s := range nodes {
			for i := range 3 {
				must(t, s.Audit(t.Context(), Entry{Actor: "tess", Action: "test", Object: fmt.Sprint(round, i)}))
			}
		}
		for _, s := range nodes {
			if n, err := s.Anchor(t.Context()); n != 2 || err != nil {
				t.Fatalf("anchored %d: %v", n, err)
			}
		}
	}
	return nodes
}

func verify(t *testing.T, s *Store) Verified {
	t.Helper()
	v, err := s.Verify(t.Context(), nil)
	must(t, err)
	return v
}

func TestVerifyFindsWhatWasDone(t *testing.T) {
	// Each chain is 3 entries, 2 anchors, 3 entries, 2 anchors.
	tests := []struct {
		name  string
		spoil []string
		want  []string
	}{
		{"nothing", nil, nil},
		{"changed", []string{`UPDATE audit SET actor = 'mallory' WHERE node = 'n1' AND seq = 2`},
			[]string{"node n1, entry 2: changed, or not the entry that stood here"}},
		{"time changed", []string{`UPDATE audit SET at = at + 1 WHERE node = 'n1' AND seq = 2`},
			[]string{"node n1, entry 2: changed, or not the entry that stood here"}},
		{"text moved to the next field", []string{`UPDATE audit SET actor = 'tesst', action = 'est' WHERE node = 'n1' AND seq = 2`},
			[]string{"node n1, entry 2: changed, or not the entry that stood here"}},
		{"missing", []string{`DELETE FROM audit WHERE node = 'n2' AND seq = 2`},
			[]string{"node n2, entry 2: missing"}},
		{"missing at the beginning", []string{`DELETE FROM audit WHERE node = 'n2' AND seq <= 2`},
			[]string{"node n2, entry 1: missing, as are all until entry 2"}},
		{"swapped", []string{
			`UPDATE audit SET seq = 100 WHERE node = 'n1' AND seq = 1`,
			`UPDATE audit SET seq = 1 WHERE node = 'n1' AND seq = 2`,
			`UPDATE audit SET seq = 2 WHERE node = 'n1' AND seq = 100`,
		}, []string{
			"node n1, entry 1: changed, or not the entry that stood here",
			"node n1, entry 2: changed, or not the entry that stood here",
			"node n1, entry 3: changed, or not the entry that stood here",
		}},
		{"moved to another node", []string{`UPDATE audit SET node = 'n4', seq = 1 WHERE node = 'n3' AND seq = 10`},
			[]string{
				"node n4, entry 1: the chain has no head",
				"node n4, entry 1: changed, or not the entry that stood here",
				"node n3, entry 10: missing: the chain is cut off, its head says it goes to entry 10",
			}},
		{"cut off", []string{`DELETE FROM audit WHERE node = 'n1' AND seq >= 9`},
			[]string{
				"node n1, entry 9: missing: the chain is cut off, its head says it goes to entry 10",
				"node n1, entry 10: missing: entry 9 of node n2 vouches for it",
				"node n1, entry 10: missing: entry 9 of node n3 vouches for it",
			}},
		{"cut off, and the head too", []string{
			`DELETE FROM audit WHERE node = 'n1' AND seq >= 7`,
			`UPDATE audit_heads SET seq = 6, hash = (SELECT hash FROM audit WHERE node = 'n1' AND seq = 6) WHERE node = 'n1'`,
		}, []string{
			"node n1, entry 6: the head of the chain does not bear our seal",
			// n2 and n3 have anchored it at 8 and 10.
			"node n1, entry 10: missing: entry 9 of node n2 vouches for it",
			"node n1, entry 10: missing: entry 9 of node n3 vouches for it",
		}},
		{"a whole chain gone", []string{`DELETE FROM audit WHERE node = 'n1'`, `DELETE FROM audit_heads WHERE node = 'n1'`},
			[]string{
				"node n1, entry 5: missing, as is the whole chain: entry 4 of node n2 vouches for it",
				"node n1, entry 10: missing, as is the whole chain: entry 9 of node n2 vouches for it",
				"node n1, entry 5: missing, as is the whole chain: entry 4 of node n3 vouches for it",
				"node n1, entry 10: missing, as is the whole chain: entry 9 of node n3 vouches for it",
			}},
		{"added", []string{`INSERT INTO audit (node, seq, at, actor, action, object, address, detail, hash) SELECT node, 11, at, actor, action, object, address, detail, hash FROM audit WHERE node = 'n1' AND seq = 10`},
			[]string{
				"node n1, entry 11: changed, or not the entry that stood here",
				"node n1, entry 11: added behind the head of the chain",
			}},
		{"an anchor spoilt", []string{`UPDATE audit SET detail = 'x' WHERE node = 'n1' AND seq = 4`},
			[]string{"node n1, entry 4: changed, or not the entry that stood here", "node n1, entry 4: an anchor that cannot be read"}},
	}
	onBoth(t, func(t *testing.T, d site) {
		for _, s := range chains(t, d) {
			must(t, s.Close())
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := d.copy(t).open(t, "n1")
				for _, query := range test.spoil {
					_, err := s.write.ExecContext(t.Context(), query)
					must(t, err)
				}
				v := verify(t, s)
				var got []string
				for _, f := range v.Findings {
					got = append(got, f.String())
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if test.spoil == nil && (v.Nodes != 3 || v.Entries != 30 || v.Anchors != 12) {
					t.Errorf("got %+v", v)
				}
			})
		}
	})
}

// Whoever has the database and the algorithm, but not the keyset, can make a
// chain that fits itself. The head's seal and the anchors tell.
func TestARewrittenChainIsFound(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		nodes := chains(t, d)
		s := nodes[0]
		var prev []byte
		forged, err := collect(rows(t.Context(), s.write, "", entryQuery+` WHERE node = 'n1' ORDER BY seq`, nil, scanLinked))
		must(t, err)
		for _, e := range forged {
			e.Actor = "nobody"
			prev = e.hash(prev)
			_, err := s.write.Exec(`UPDATE audit SET actor = $2, hash = $3 WHERE node = 'n1' AND seq = $1`, int64(e.Seq), e.Actor, prev)
			must(t, err)
		}
		_, err = s.write.Exec(`UPDATE audit_heads SET hash = $1 WHERE node = 'n1'`, prev)
		must(t, err)
		found := verify(t, s).Findings
		if len(found) != 5 || !strings.Contains(found[0].What, "seal") || !strings.Contains(found[1].What, "was rewritten") {
			t.Errorf("found %v", found)
		}
		// Even with the seal of the time, the others' anchors tell.
		must(t, s.inTx(t.Context(), "", func(tx *tx) error {
			h, err := s.lockHead(t.Context(), tx, "n1")
			must(t, err)
			return s.putHead(t.Context(), tx, h)
		}))
		if found := verify(t, s).Findings; len(found) != 4 {
			t.Errorf("found %v", found)
		}
	})
}

// An entry and what it is about are stored both or neither.
func TestAuditIsPartOfTheTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		failed := errors.New("failed")
		err := s.inTx(t.Context(), "test", func(tx *tx) error {
			must(t, s.note(t.Context(), tx, Entry{Action: "test"}))
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
		if all := audited(t, s); len(all) != 0 {
			t.Errorf("left behind: %v", all)
		}
		if v := verify(t, s); len(v.Findings) != 0 {
			t.Errorf("found %v", v.Findings)
		}
	})
}

// The server and the tools write into one chain at once.
func TestManyWriteOneChain(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		const writers, each = 4, 10
		errs := make(chan error, writers)
		s := d.open(t, "n1")
		for range writers {
			other := d.open(t, "n1")
			go func() {
				var err error
				for range each {
					err = errors.Join(err, other.Audit(context.Background(), Entry{Action: "test"}))
				}
				errs <- err
			}()
		}
		for range writers {
			must(t, <-errs)
		}
		if v := verify(t, s); len(v.Findings) != 0 || v.Entries != writers*each {
			t.Errorf("got %+v", v)
		}
	})
}

// The format of a hash is for ever: entries written today are verified in
// seven years.
func TestHashOfAnEntry(t *testing.T) {
	e := Entry{Node: "n1", Seq: 7, At: time.UnixMilli(1_700_000_000_123), Actor: "a", Action: "b", Object: "c", From: "d", Detail: "e"}
	const want = "4bd6a630ab565f203431cc653f4f433de91b342c694db74658651297ffeef7d1"
	if got := hex.EncodeToString(e.hash([]byte("prev"))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// lacking is a vault without the newest key.
type lacking struct {
	*testSealer
	newer *testSealer
}

func (l lacking) Unseal(sealed, associated []byte) ([]byte, error) {
	if _, err := l.newer.Unseal(sealed, associated); err == nil {
		return nil, vault.ErrUnknownKey
	}
	return l.testSealer.Unseal(sealed, associated)
}

// A node that has taken a rotation up first is not one whose chain is broken.
func TestAHeadUnderAKeyNotTakenUpYet(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		newer := newSealer()
		block, err := aes.NewCipher([]byte("another key, which is newer: 32."))
		must(t, err)
		newer.aead, err = cipher.NewGCM(block)
		must(t, err)
		ours := lacking{newSealer(), newer}
		open := func(node string, by Sealer) *Store {
			s, err := Open(t.Context(), Options{Config: d.config, DataDir: d.dir, Node: node, Sealer: by, Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			t.Cleanup(func() { must(t, s.Close()) })
			return s
		}
		must(t, open("n2", newer).Audit(t.Context(), Entry{Actor: "a"}))
		must(t, open("n3", ours).Audit(t.Context(), Entry{Actor: "a"}))
		s := open("n1", ours)
		if n, err := s.Anchor(t.Context()); n != 1 || err == nil || !strings.Contains(err.Error(), "node n2, entry 1: the head is sealed under an unknown key: keyset not taken up yet") {
			t.Errorf("anchored %d, %v", n, err)
		}
		for e, err := range s.Entries(t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour)) {
			if must(t, err); e.Action == brokenAction {
				t.Errorf("the audit says %+v", e)
			}
		}
		v, err := s.Verify(t.Context(), nil)
		if must(t, err); len(v.Findings) != 1 || v.Findings[0].Node != "n2" || !strings.Contains(v.Findings[0].What, "keyset not taken up yet") {
			t.Errorf("found %v", v.Findings)
		}
		// With the keyset all is well.
		late := open("n4", &both{newSealer(), newer})
		if n, err := late.Anchor(t.Context()); n != 3 || err != nil {
			t.Errorf("anchored %d, %v", n, err)
		}
	})
}

// both is a vault with two keys.
type both struct {
	*testSealer
	newer *testSealer
}

func (b *both) Unseal(sealed, associated []byte) ([]byte, error) {
	if plain, err := b.newer.Unseal(sealed, associated); err == nil {
		return plain, nil
	}
	return b.testSealer.Unseal(sealed, associated)
}
