package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/vault"
)

// By is who does something, and from where.
type By struct {
	Actor   string // user id, or "system"
	Address string // the address he comes from; empty on the node itself
}

// entry makes an entry of what he does.
func (b By) entry(action, object, detail string) Entry {
	return Entry{Actor: b.Actor, From: b.Address, Action: action, Object: object, Detail: detail}
}

// Entry is who did what, when, from where, to what. No part of it may hold a
// telephone number or other private text; a number is named by its hash.
type Entry struct {
	Node   string    `json:"node"` // whose chain it is in; set by Audit
	Seq    uint64    `json:"seq"`  // its place there, from 1; set by Audit
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`         // "caller.read"
	Object string    `json:"object"`         // "call 5x…"
	From   string    `json:"from,omitempty"` // address
	Detail string    `json:"detail,omitempty"`
}

// The chain: an entry's hash covers its fields and the hash of the entry
// before it. So a changed, missing or swapped entry breaks it, and the head,
// the last entry's number and hash, vouches for all. A head is sealed by the
// vault, and hourly written into the other nodes' chains. Nobody extends a head
// without looking at its seal and its entry first: a new seal over a head that
// was tampered with would cover that up.

// Audit writes an entry into this node's chain. Once it returns, the disk has
// it; what is to be audited is done only then. A zero At is now.
func (s *Store) Audit(ctx context.Context, e Entry) error {
	return s.inTx(ctx, "audit", func(t *tx) error { return s.note(ctx, t, e) })
}

// note is Audit in a transaction, so that what is done and its entry are
// stored both or neither. If the chain is broken, an entry that says so goes
// first: the audit must not stop the node.
func (s *Store) note(ctx context.Context, t *tx, e Entry) error {
	h, err := s.soundHead(ctx, t)
	if err != nil {
		return err
	}
	if h, err = s.extend(ctx, t, h, e); err != nil {
		return err
	}
	return s.putHead(ctx, t, h)
}

// soundHead gives the head to write behind, locked. If the chain is broken, an
// entry that says so has been written, and the head is not stored yet.
func (s *Store) soundHead(ctx context.Context, t *tx) (head, error) {
	h, err := s.lockHead(ctx, t, s.node)
	if err != nil {
		return h, err
	}
	last, err := endOf(ctx, t, s.node, "DESC")
	if err != nil {
		return h, err
	}
	what := s.broken(h, last)
	if what == "" {
		return h, nil
	}
	what = fmt.Sprintf("entry %d: %s", h.seq, what)
	first, err := endOf(ctx, t, s.node, "ASC")
	if err != nil {
		return h, err
	}
	return s.tellBroken(ctx, t, s.mend(h, first, last), what)
}

// tellBroken writes into this node's chain that it was found broken.
func (s *Store) tellBroken(ctx context.Context, t *tx, h head, what string) (head, error) {
	s.log.ErrorContext(ctx, "the audit's chain is broken", "node", s.node, "what", what)
	return s.extend(ctx, t, h, Entry{Actor: "system", Action: brokenAction, Object: s.node, Detail: what})
}

// Head gives the last entry of this node's chain, to be written down where who
// can write in the database cannot (the event log); its Seq is 0 if there is
// none. known is one that was written down before, the zero AuditHead if none
// was: a chain that lacks it was rolled back or rewritten, which is then told in
// the chain. So whoever puts back an older chain with its older, sealed head is
// found out.
func (s *Store) Head(ctx context.Context, known event.AuditHead) (event.AuditHead, error) {
	var now event.AuditHead
	err := s.inTx(ctx, "read the head of the audit", func(t *tx) error {
		h, err := s.soundHead(ctx, t)
		if err != nil {
			return err
		}
		what, err := lacks(ctx, t, h, known.Seq, known.Hash)
		if err != nil {
			return err
		}
		if what != "" {
			if known.Seq > h.seq { // its numbers were given already
				h.seq, h.hash = known.Seq, known.Hash
			}
			what = fmt.Sprintf("entry %d: %s, as the event log knows it", known.Seq, what)
			if h, err = s.tellBroken(ctx, t, h, what); err != nil {
				return err
			}
		}
		now = event.AuditHead{Node: s.node, Seq: h.seq, Hash: h.hash}
		if h.seq == 0 {
			return nil // no entry, and so no head
		}
		return s.putHead(ctx, t, h)
	})
	return now, err
}

// lacks says what has become of an entry that was once there, "" if it is there,
// or was deleted for its age.
func lacks(ctx context.Context, q querier, h head, seq uint64, hash []byte) (string, error) {
	switch {
	case seq == 0 || seq < h.beginSeq:
		return "", nil
	case seq > h.seq:
		return gone, nil
	}
	found, err := hashOf(ctx, q, h, seq)
	switch {
	case err != nil:
		return "", err
	case found == nil:
		return gone, nil
	case !bytes.Equal(found, hash):
		return "is not the one that was written", nil
	}
	return "", nil
}

// hashOf gives the hash of an entry, nil if there is no such entry.
func hashOf(ctx context.Context, q querier, h head, seq uint64) ([]byte, error) {
	if seq == h.beginSeq {
		return h.beginHash, nil
	}
	found, err := collect(rows(ctx, q, "read the audit", `SELECT hash FROM audit WHERE node = $1 AND seq = $2`, []any{h.node, int64(seq)},
		func(row scanner) (h []byte, err error) { err = row.Scan(&h); return h, err }))
	if len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// extend writes an entry behind a head, and gives the new one.
func (s *Store) extend(ctx context.Context, t *tx, h head, e Entry) (head, error) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e = Entry{
		Node: s.node, Seq: h.seq + 1, At: e.At.UTC().Truncate(time.Millisecond),
		Actor: text(e.Actor), Action: text(e.Action), Object: text(e.Object), From: text(e.From), Detail: text(e.Detail),
	}
	h.seq, h.hash = e.Seq, e.hash(h.hash)
	_, err := t.exec(ctx, `INSERT INTO audit (node, seq, at, actor, action, object, address, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.Node, int64(e.Seq), e.At.UnixMilli(), e.Actor, e.Action, e.Object, e.From, e.Detail, h.hash)
	return h, err
}

// brokenAction marks an entry that says that a chain was found broken: Object
// is the node, Detail the place. Verify always reports it.
const brokenAction = "audit.broken"

const (
	unsealed = "the head does not bear our seal"
	strange  = "the head is sealed under an unknown key: keyset not taken up yet"
	gone     = "is gone"
)

// place is where an entry stands: its number and its hash; 0 is nowhere.
type place struct {
	seq  uint64
	hash []byte
}

// endOf gives the last entry that is there ("DESC"), or the first ("ASC"),
// whatever the head says. One whose number is no number of ours, put there to
// leave no room behind it, does not count; Verify reports it.
func endOf(ctx context.Context, t *tx, node, order string) (p place, err error) {
	const most = 1 << 62
	err = t.row(ctx, fmt.Sprintf(`SELECT seq, hash FROM audit WHERE node = $1 AND seq > 0 AND seq < %d ORDER BY seq %s LIMIT 1`, most, order),
		[]any{node}, number{&p.seq}, &p.hash)
	if errors.Is(err, sql.ErrNoRows) {
		return place{}, nil
	}
	return p, err
}

// broken says what is wrong with the end of a chain, "" if nothing is. A chain
// of which nothing is there is a new one: only the anchors know better.
func (s *Store) broken(h head, last place) string {
	switch {
	case h.seq > 0 && s.flaw(h) != "":
		return s.flaw(h)
	case last.seq > h.seq:
		return fmt.Sprintf("there are entries behind the head, until %d", last.seq)
	case h.seq == h.beginSeq && last.seq == 0:
		return "" // nothing written yet, or all deleted for its age
	case last.seq < h.seq:
		return "the last entry is gone"
	case !bytes.Equal(last.hash, h.hash):
		return "is not the one the head knows"
	}
	return ""
}

// mend gives the head from which a broken chain goes on: behind all that is
// there, and all that a head of ours knows of. What another's head says counts
// for nothing, but for the hash behind which the first entry stands that there
// is: that entry proves it or, in Verify, does not. So a chain that was purged
// before its seal was lost goes on being verified and purged; that nobody
// vouches for where it begins is told before.
func (s *Store) mend(h head, first, last place) head {
	if h.seq == 0 || !s.sealed(h) {
		was := h
		h = head{node: h.node}
		if first.seq > 1 {
			h.beginSeq = first.seq - 1
		}
		if h.beginSeq == was.beginSeq {
			h.beginHash = was.beginHash
		}
	}
	if last.seq > h.seq {
		h.seq, h.hash = last.seq, last.hash
	}
	return h
}

// hash covers the entry and, through prev, all before it. Lengths stand before
// texts, so that nothing can be moved from one field to the next.
func (e Entry) hash(prev []byte) []byte {
	b := make([]byte, 0, 256)
	b = append(b, "bugle audit 1"...)
	b = appendText(b, string(prev))
	b = appendText(b, e.Node)
	b = binary.BigEndian.AppendUint64(b, e.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMilli()))
	for _, field := range []string{e.Actor, e.Action, e.Object, e.From, e.Detail} {
		b = appendText(b, field)
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// head is the two ends of a node's chain.
type head struct {
	node      string
	seq       uint64 // the last entry
	hash      []byte
	beginSeq  uint64 // the last entry that was deleted for its age
	beginHash []byte
	seal      []byte
}

// vouched is what a head's seal holds.
func (h head) vouched() []byte {
	b := binary.BigEndian.AppendUint64(nil, h.seq)
	b = appendText(b, string(h.hash))
	b = binary.BigEndian.AppendUint64(b, h.beginSeq)
	return appendText(b, string(h.beginHash))
}

// sealed says whether the head is as one of us left it.
func (s *Store) sealed(h head) bool { return s.flaw(h) == "" }

// flaw says what is wrong with a head's seal, "" if it is as one of us left it.
func (s *Store) flaw(h head) string {
	plain, err := s.sealer.Unseal(h.seal, headPlace(h.node))
	switch {
	case errors.Is(err, vault.ErrUnknownKey):
		return strange
	case err != nil || !bytes.Equal(plain, h.vouched()):
		return unsealed
	}
	return ""
}

// lockHead reads a head and keeps others from adding to its chain until the
// transaction ends.
func (s *Store) lockHead(ctx context.Context, t *tx, node string) (head, error) {
	h := head{node: node}
	none := []byte{}
	err := t.row(ctx, `INSERT INTO audit_heads (node, seq, hash, begin_seq, begin_hash, seal) VALUES ($1, 0, $2, 0, $3, $4)
		ON CONFLICT (node) DO UPDATE SET seq = audit_heads.seq RETURNING seq, hash, begin_seq, begin_hash, seal`,
		[]any{node, none, none, none}, number{&h.seq}, &h.hash, number{&h.beginSeq}, &h.beginHash, &h.seal)
	return h, err
}

func (s *Store) putHead(ctx context.Context, t *tx, h head) error {
	seal, err := s.sealer.Seal(h.vouched(), headPlace(h.node))
	if err != nil {
		return fmt.Errorf("seal the head of the audit: %w", err)
	}
	begin := append([]byte{}, h.beginHash...) // SQLite reads empty bytes as nil, which would be written as NULL
	_, err = t.exec(ctx, `UPDATE audit_heads SET seq = $2, hash = $3, begin_seq = $4, begin_hash = $5, seal = $6 WHERE node = $1`,
		h.node, int64(h.seq), h.hash, int64(h.beginSeq), begin, seal)
	return err
}

func heads(ctx context.Context, q querier) ([]head, error) {
	return collect(rows(ctx, q, "read heads of the audit", `SELECT node, seq, hash, begin_seq, begin_hash, seal FROM audit_heads ORDER BY node`, nil,
		func(row scanner) (h head, err error) {
			err = row.Scan(&h.node, number{&h.seq}, &h.hash, number{&h.beginSeq}, &h.beginHash, &h.seal)
			return h, err
		}))
}

// anchorAction marks an entry that holds another chain's head: Object is the
// node, Detail its last number and hash.
const anchorAction = "audit.anchor"

// Anchor writes the heads of the other nodes' chains into this node's, so that
// who would rewrite a chain has to rewrite them all. It gives how many, and is
// to be called hourly. A head without our seal is not vouched for; that it was
// found so is written down instead, once. One under a key that the vault lacks is
// left for the next time: its node has a newer keyset, and the error says so after
// the others have been anchored.
func (s *Store) Anchor(ctx context.Context) (int, error) {
	anchored := 0
	var left error
	err := s.inTx(ctx, "anchor the audit", func(t *tx) error {
		anchored, left = 0, nil
		all, err := heads(ctx, t)
		if err != nil {
			return err
		}
		for _, h := range all {
			if h.node == s.node {
				continue
			}
			// The entries are not looked at: their node may be writing.
			switch flaw := s.flaw(h); flaw {
			case "":
			case strange:
				left = errors.Join(left, fmt.Errorf("node %s, entry %d: %s", h.node, h.seq, flaw))
				continue
			default:
				if err := s.tell(ctx, t, h); err != nil {
					return err
				}
				continue
			}
			if err := s.note(ctx, t, Entry{Actor: "system", Action: anchorAction, Object: h.node, Detail: anchorDetail(h.seq, h.hash)}); err != nil {
				return err
			}
			anchored++
		}
		return nil
	})
	return anchored, errors.Join(err, left)
}

// tell writes that another node's head does not bear our seal, unless this
// node's chain has it already.
func (s *Store) tell(ctx context.Context, t *tx, h head) error {
	e := Entry{Actor: "system", Action: brokenAction, Object: h.node, Detail: fmt.Sprintf("entry %d: %s", h.seq, unsealed)}
	var told int
	err := t.row(ctx, `SELECT COUNT(*) FROM audit WHERE node = $1 AND action = $2 AND object = $3 AND detail = $4`,
		[]any{s.node, e.Action, text(e.Object), e.Detail}, &told)
	if err != nil || told > 0 {
		return err
	}
	s.log.ErrorContext(ctx, "the audit's chain is broken", "node", h.node, "what", e.Detail)
	return s.note(ctx, t, e)
}

func anchorDetail(seq uint64, hash []byte) string {
	return fmt.Sprintf("%d %s", seq, hex.EncodeToString(hash))
}
