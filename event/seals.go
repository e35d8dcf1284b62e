package event

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
)

// seals is how the payloads of one log are sealed: with AES-256-GCM, each segment
// under a key of its own, which the Sealer seals. So no key seals more than a
// segment holds, which is some millions at most: nonces are chosen by chance, and
// AES-GCM wants far fewer than 2^32 of those under one key. It is not safe for
// concurrent use: who reads or writes has one of its own.
type seals struct {
	by    Sealer // nil: payloads are plain
	id    string
	bound []byte // the log's id, and room for a sequence number
	key   segmentKey
}

// segmentKey is the key of one segment.
type segmentKey struct {
	first  uint64      // the segment
	sealed []byte      // as it stands in the title; nil if there is none
	aead   cipher.AEAD // nil until it is needed
}

func newSeals(id string, by Sealer) *seals {
	return &seals{by: by, id: id, bound: append([]byte("bugle event\x00"+id+"\x00"), make([]byte, 8)...)}
}

// to gives the associated bytes that tie a payload to its place.
func (s *seals) to(seq uint64) []byte {
	binary.BigEndian.PutUint64(s.bound[len(s.bound)-8:], seq)
	return s.bound
}

// place ties a segment's key to the segment.
func (s *seals) place(first uint64) []byte {
	return fmt.Appendf(nil, "bugle event segment\x00%s\x00%d", s.id, first)
}

// fresh makes a key for a new segment; none in a log that doesn't seal.
func (s *seals) fresh(first uint64) (segmentKey, error) {
	if s.by == nil {
		return segmentKey{first: first}, nil
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	sealed, err := s.by.SealAppend(nil, key[:], s.place(first))
	if err != nil {
		return segmentKey{}, fmt.Errorf("seal the key of a segment: %w", err)
	}
	k := segmentKey{first: first, sealed: sealed}
	return k, k.make(key[:])
}

// make readies the key for use.
func (k *segmentKey) make(key []byte) error {
	block, err := aes.NewCipher(key)
	if err == nil {
		k.aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	return err
}

// ready unseals the segment's key, if that has not been done.
func (s *seals) ready() error {
	switch {
	case s.key.aead != nil:
		return nil
	case s.key.sealed == nil:
		return errNoSegmentKey
	}
	key, err := s.by.Unseal(s.key.sealed, s.place(s.key.first))
	if err != nil {
		return fmt.Errorf("%w: the key of segment %d: %w", ErrUnseal, s.key.first, err)
	}
	return s.key.make(key)
}

// open gives the plain payload of a record.
func (s *seals) open(r record) ([]byte, error) {
	switch {
	case r.mark == plainMark && s.by == nil:
		return r.payload, nil
	case r.mark == plainMark:
		return nil, fmt.Errorf("event %d: %w", r.seq, errNotSealed)
	case s.by == nil:
		return nil, fmt.Errorf("event %d: %w: no key was given", r.seq, ErrUnseal)
	}
	plain, err := s.unseal(r)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", r.seq, err)
	}
	return plain, nil
}

func (s *seals) unseal(r record) ([]byte, error) {
	var plain []byte
	var err error
	if r.mark == sealedMark {
		plain, err = s.by.Unseal(r.payload, s.to(r.seq))
	} else if err = s.ready(); err != nil {
		return nil, err
	} else {
		plain, err = s.key.aead.Open(nil, nil, r.payload, s.to(r.seq))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnseal, err)
	}
	return plain, nil
}
