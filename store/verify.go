package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
)

// Verified is what Verify found.
type Verified struct {
	Nodes    int // chains
	Entries  int
	Anchors  int // heads of other chains that were compared
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
// sealed head, and the anchors in the other chains. An error says that it
// could not be read; what is wrong with it is in Findings.
func (s *Store) Verify(ctx context.Context) (Verified, error) {
	v := verifier{s: s, chains: map[string]*chain{}}
	// One moment for all: entries written meanwhile are not looked at.
	t, err := s.read.BeginTx(ctx, &sql.TxOptions{Isolation: s.oneMoment(), ReadOnly: s.dialect == postgres})
	if err != nil {
		return Verified{}, fmt.Errorf("store: verify the audit: %w", err)
	}
	defer func() { _ = t.Rollback() }() // nothing was written
	all, err := heads(ctx, t)
	if err != nil {
		return Verified{}, err
	}
	for _, h := range all {
		v.begin(h)
	}
	for e, err := range rows(ctx, t, "verify the audit", entryQuery+` ORDER BY node, seq`, nil, scanLinked) {
		if err != nil {
			return Verified{}, err
		}
		v.entry(e)
	}
	for _, h := range all {
		v.end(h.node)
	}
	// A second time for the anchors: now every chain's hashes are known to be
	// those of its entries, and only the anchored ones have to be looked up.
	for e, err := range rows(ctx, t, "verify the audit", entryQuery+` WHERE action = '`+anchorAction+`' ORDER BY node, seq`, nil, scanLinked) {
		if err != nil {
			return Verified{}, err
		}
		v.anchor(e)
	}
	if err := v.compare(ctx, t); err != nil {
		return Verified{}, err
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

// anchored is a head of a chain that another chain holds.
type anchored struct {
	in   linked
	node string
	seq  uint64
	hash []byte
}

type verifier struct {
	Verified
	s       *Store
	chains  map[string]*chain
	anchors []anchored
}

func (v *verifier) find(node string, seq uint64, what string, args ...any) {
	if len(v.Findings) < mostFindings {
		v.Findings = append(v.Findings, Finding{node, seq, fmt.Sprintf(what, args...)})
	}
}

func (v *verifier) begin(h head) {
	v.Nodes++
	v.chains[h.node] = &chain{head: h, last: h.beginSeq, lastHash: h.beginHash, known: true}
	// Not even an empty chain is without: a head is stored with its first entry.
	if !v.s.sealed(h) {
		v.find(h.node, h.seq, "the head of the chain does not bear our seal")
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

func (v *verifier) anchor(e linked) {
	a := anchored{in: e, node: e.Object}
	var written string
	if _, err := fmt.Sscanf(e.Detail, "%d %s", &a.seq, &written); err != nil {
		v.find(e.Node, e.Seq, "an anchor that cannot be read")
		return
	}
	a.hash, _ = hex.DecodeString(written) // else it fits nothing
	v.anchors = append(v.anchors, a)
}

// compare holds the anchors against the chains they are of.
func (v *verifier) compare(ctx context.Context, q querier) error {
	for _, a := range v.anchors {
		v.Anchors++
		c := v.chains[a.node]
		switch {
		case c == nil:
			v.find(a.node, a.seq, "missing, as is the whole chain: entry %d of node %s vouches for it", a.in.Seq, a.in.Node)
			continue
		case a.seq < c.beginSeq:
			continue // deleted for its age
		case a.seq > c.last:
			v.find(a.node, a.seq, "missing: entry %d of node %s vouches for it", a.in.Seq, a.in.Node)
			continue
		}
		hash, err := hashOf(ctx, q, c, a.seq)
		if err != nil {
			return err
		}
		if hash != nil && !bytes.Equal(hash, a.hash) {
			v.find(a.node, a.seq, "is not the one that entry %d of node %s vouches for: the chain was rewritten", a.in.Seq, a.in.Node)
		}
	}
	return nil
}

// hashOf gives nil for an entry that is missing, which has been told.
func hashOf(ctx context.Context, q querier, c *chain, seq uint64) ([]byte, error) {
	if seq == c.beginSeq {
		return c.beginHash, nil
	}
	found, err := collect(rows(ctx, q, "verify the audit", `SELECT hash FROM audit WHERE node = $1 AND seq = $2`, []any{c.node, int64(seq)},
		func(row scanner) (h []byte, err error) { err = row.Scan(&h); return h, err }))
	if len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}
