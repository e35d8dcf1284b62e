package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"

	"github.com/bugle-voice/bugle/event"
)

// Verified is what Verify found.
type Verified struct {
	Nodes    int // chains
	Entries  int
	Anchors  int // heads of other chains that were compared
	Heads    int // heads in the event log that were
	Findings []Finding
}

// Finding is one thing that is wrong with the audit.
type Finding struct {
	Node string // whose chain
	Seq  uint64 // where
	What string
}

// String says it for people.
func (f Finding) String() string { return fmt.Sprintf("node %s, entry %d: %s", f.Node, f.Seq, f.What) }

// mostFindings is how many findings are kept: whoever deletes a million
// entries need not be told of each.
const mostFindings = 1000

// Verify reads every chain of the audit and compares it with its hashes, its
// sealed head, the anchors in the other chains and, unless log is nil, the heads
// in an event log (event.Read). An error says that something could not be read;
// what is wrong with the audit is in Findings. However long the audit is, little
// of it is held in memory.
func (s *Store) Verify(ctx context.Context, log iter.Seq2[event.Event, error]) (Verified, error) {
	v := verifier{s: s, chains: map[string]*chain{}}
	told, stop := v.heads(log)
	defer stop()
	// One moment for all: entries written meanwhile are not looked at. The log is
	// read to where it ended before.
	next, err, more := told()
	if err != nil {
		return Verified{}, err
	}
	t, err := s.read.BeginTx(ctx, &sql.TxOptions{Isolation: s.oneMoment(), ReadOnly: s.dialect == postgres})
	if err != nil {
		return Verified{}, fmt.Errorf("store: verify the audit: %w", err)
	}
	defer func() { _ = t.Rollback() }() // nothing was written
	if err := v.follow(ctx, t); err != nil {
		return Verified{}, err
	}
	// Now every chain's hashes are known to be those of its entries, and only
	// those that are vouched for have to be looked up.
	if err := v.compareAnchors(ctx, t); err != nil {
		return Verified{}, err
	}
	for ; more; next, err, more = told() {
		if err != nil {
			return Verified{}, err
		}
		v.Heads++
		if err := v.compare(ctx, t, next); err != nil {
			return Verified{}, err
		}
	}
	return v.Verified, nil
}

// oneMoment is the isolation in which all queries see the same moment; in
// SQLite every transaction does.
func (s *Store) oneMoment() sql.IsolationLevel {
	if s.dialect == postgres {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// linked is an entry with the hash that stands beside it.
type linked struct {
	Entry
	stored []byte
}

func scanLinked(row scanner) (l linked, err error) {
	l.Entry, l.stored, err = scanEntry(row)
	return l, err
}

// chain is how far a node's chain has been followed.
type chain struct {
	head
	last     uint64
	lastHash []byte
	known    bool // it has a head
}

// vouchedFor is a head of a chain that stands elsewhere.
type vouchedFor struct {
	by   string // what vouches for it: an entry of another chain, an event
	node string
	seq  uint64
	hash []byte
}

type verifier struct {
	Verified
	s      *Store
	chains map[string]*chain
}

func (v *verifier) find(node string, seq uint64, what string, args ...any) {
	if len(v.Findings) < mostFindings {
		v.Findings = append(v.Findings, Finding{node, seq, fmt.Sprintf(what, args...)})
	}
}

// follow goes along every chain from its beginning to its head.
func (v *verifier) follow(ctx context.Context, q querier) error {
	all, err := heads(ctx, q)
	if err != nil {
		return err
	}
	for _, h := range all {
		v.begin(h)
	}
	for e, err := range rows(ctx, q, "verify the audit", entryQuery+` ORDER BY node, seq`, nil, scanLinked) {
		if err != nil {
			return err
		}
		v.entry(e)
	}
	for _, h := range all {
		v.end(h.node)
	}
	return nil
}

func (v *verifier) begin(h head) {
	v.Nodes++
	v.chains[h.node] = &chain{head: h, last: h.beginSeq, lastHash: h.beginHash, known: true}
	// Not even an empty chain is without: a head is stored with its first entry.
	switch v.s.flaw(h) {
	case unsealed:
		v.find(h.node, h.seq, "the head of the chain does not bear our seal")
	case strange:
		v.find(h.node, h.seq, "the head of the chain is sealed under an unknown key: keyset not taken up yet")
	}
}

func (v *verifier) entry(e linked) {
	v.Entries++
	c := v.chains[e.Node]
	if c == nil {
		v.Nodes++
		c = &chain{head: head{node: e.Node}}
		v.chains[e.Node] = c
		v.find(e.Node, e.Seq, "the chain has no head")
	}
	if e.Action == brokenAction {
		v.find(e.Node, e.Seq, "says that the chain of node %s was found broken at %s", e.Object, e.Detail)
	}
	switch {
	case e.Seq == c.last+2:
		v.find(e.Node, c.last+1, "missing")
	case e.Seq > c.last+1:
		v.find(e.Node, c.last+1, "missing, as are all until entry %d", e.Seq-1)
	case e.Seq <= c.beginSeq:
		v.find(e.Node, e.Seq, "stands before the chain's beginning")
		return
	case e.Seq > 1 && len(c.lastHash) == 0:
		v.find(e.Node, e.Seq, "nobody vouches for it, nor for what stood before it")
	case !bytes.Equal(e.hash(c.lastHash), e.stored):
		v.find(e.Node, e.Seq, "changed, or not the entry that stood here")
	}
	// What follows is held against the hash as it is stored, so that one
	// change is one finding.
	c.last, c.lastHash = e.Seq, e.stored
}

func (v *verifier) end(node string) {
	switch c := v.chains[node]; {
	case c.last < c.seq:
		v.find(node, c.last+1, "missing: the chain is cut off, its head says it goes to entry %d", c.seq)
	case c.last > c.seq:
		v.find(node, c.seq+1, "added behind the head of the chain")
	case !bytes.Equal(c.lastHash, c.hash):
		v.find(node, c.last, "is not the one the head of the chain knows")
	}
}

// anchorBatch is how many anchors are in memory at once.
const anchorBatch = 500

// compareAnchors holds the anchors in all chains against the chains they are of.
// They are read in batches: a connection has one answer open at a time.
func (v *verifier) compareAnchors(ctx context.Context, q querier) error {
	for node, seq := "", uint64(0); ; {
		batch, err := collect(rows(ctx, q, "verify the audit", entryQuery+
			` WHERE action = '`+anchorAction+`' AND (node > $1 OR node = $1 AND seq > $2) ORDER BY node, seq LIMIT $3`,
			[]any{node, int64(seq), anchorBatch}, scanLinked))
		if err != nil {
			return err
		}
		for _, e := range batch {
			node, seq = e.Node, e.Seq
			a, ok := readAnchor(e)
			if !ok {
				v.find(e.Node, e.Seq, "an anchor that cannot be read")
				continue
			}
			v.Anchors++
			if err := v.compare(ctx, q, a); err != nil {
				return err
			}
		}
		if len(batch) < anchorBatch {
			return nil
		}
	}
}

func readAnchor(e linked) (vouchedFor, bool) {
	a := vouchedFor{by: fmt.Sprintf("entry %d of node %s", e.Seq, e.Node), node: e.Object}
	var written string
	if _, err := fmt.Sscanf(e.Detail, "%d %s", &a.seq, &written); err != nil {
		return a, false
	}
	a.hash, _ = hex.DecodeString(written) // else it fits nothing
	return a, true
}

// heads gives the heads that stand in an event log, one by one.
func (v *verifier) heads(log iter.Seq2[event.Event, error]) (next func() (vouchedFor, error, bool), stop func()) {
	return iter.Pull2(func(yield func(vouchedFor, error) bool) {
		if log == nil {
			return
		}
		for ev, err := range log {
			if errors.Is(err, event.ErrTorn) {
				continue // it goes on behind
			}
			h, ok := ev.Fact.(event.AuditHead)
			if err == nil && (!ok || h.Seq == 0) {
				continue
			}
			if !yield(vouchedFor{fmt.Sprintf("event %d of the log", ev.Seq), h.Node, h.Seq, h.Hash}, err) || err != nil {
				return
			}
		}
	})
}

// compare holds a head that stands elsewhere against the chain it is of.
func (v *verifier) compare(ctx context.Context, q querier, a vouchedFor) error {
	c := v.chains[a.node]
	switch {
	case c == nil:
		v.find(a.node, a.seq, "missing, as is the whole chain: %s vouches for it", a.by)
		return nil
	case a.seq < c.beginSeq:
		return nil // deleted for its age
	case a.seq > c.last:
		v.find(a.node, a.seq, "missing: %s vouches for it", a.by)
		return nil
	}
	hash, err := hashOf(ctx, q, c.head, a.seq)
	if err != nil {
		return err
	}
	if hash != nil && !bytes.Equal(hash, a.hash) { // one that is missing has been told
		v.find(a.node, a.seq, "is not the one that %s vouches for: the chain was rewritten", a.by)
	}
	return nil
}
