package event

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// A record is one event in a segment, numbers big-endian:
//
//	uint32  mark: FF 'B' 'E' and 'p' for a plain payload, 'k' for one sealed under
//	        the segment's key, 's' for one that the Sealer itself sealed (none is
//	        written any more)
//	uint32  length of the payload
//	uint64  sequence number
//	uint32  CRC-32C of all of that and the payload
//	payload {"at":"2026-03-01T08:00:00.25Z","kind":"visit.joined","call":"…","fact":{…}}
//
// The mark is what a reader looks for behind a damaged place: FF is in no UTF-8
// text, so no plain payload holds one. A sealed payload is bound to the log's id
// and the sequence number: a record copied to another place is refused there.
const (
	headerSize = 20
	crcAt      = 16
	plainMark  = 0xff424570
	sealedMark = 0xff424573
	keyedMark  = 0xff42456b
	maxPayload = 1 << 20 // no fact comes near it; a longer length is damage
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errTooLong   = errors.New("event is longer than 1 MiB")
	errNotSealed = errors.New("event is not sealed, in a log that seals")

	errNoSegmentKey = errors.New("the key of its segment is damaged or gone")
)

// ErrUnseal is found where an event is whole but can't be unsealed: the key is
// missing or another, or someone has put a record where it was not written.
var ErrUnseal = errors.New("event can't be unsealed")

// Sealer encrypts payloads. *vault.Vault is the one of a running node. Its
// methods are safe for concurrent use.
type Sealer interface {
	// SealAppend appends plain, sealed, to dst. Unseal needs the same associated
	// bytes.
	SealAppend(dst, plain, associated []byte) ([]byte, error)
	// Unseal gives back what SealAppend sealed with these associated bytes, and
	// an error for anything else.
	Unseal(sealed, associated []byte) ([]byte, error)
}

// record is one whole record as it stands in a segment.
type record struct {
	seq     uint64
	mark    uint32
	payload []byte // good until the next is read
	off     int64  // where it begins
}

// event decodes a record. A kind it does not know, from a newer version, comes
// as Unknown.
func (s *seals) event(r record) (Event, error) {
	payload, err := s.open(r)
	if err != nil {
		return Event{}, err
	}
	ev, err := decode(payload)
	if err != nil {
		return Event{}, fmt.Errorf("event %d: %w", r.seq, err)
	}
	ev.Seq = r.seq
	return ev, nil
}

// envelope is the payload on its way out.
type envelope struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Call string    `json:"call,omitempty"`
	Fact Fact      `json:"fact"`
}

// encoder makes records in buffers that it keeps. It is not safe for concurrent
// use.
type encoder struct {
	seals *seals
	plain bytes.Buffer
	out   []byte // the sealed record
	json  *json.Encoder
	env   envelope
}

func newEncoder(s *seals) *encoder {
	e := &encoder{seals: s}
	e.json = json.NewEncoder(&e.plain)
	e.json.SetEscapeHTML(false)
	return e
}

// encode gives the whole record of an event. The bytes are good until the next
// call.
func (e *encoder) encode(ev Event) ([]byte, error) {
	var header [headerSize]byte
	e.plain.Reset()
	e.plain.Write(header[:])
	e.env = envelope{At: ev.At, Kind: ev.Fact.Kind(), Call: ev.Call, Fact: ev.Fact}
	if err := e.json.Encode(&e.env); err != nil {
		return nil, fmt.Errorf("encode %s: %w", ev.Fact.Kind(), err)
	}
	whole, mark := bytes.TrimSuffix(e.plain.Bytes(), []byte("\n")), uint32(plainMark)
	if e.seals.by != nil {
		mark = keyedMark
		whole = e.seals.key.aead.Seal(append(e.out[:0], header[:]...), nil, whole[headerSize:], e.seals.to(ev.Seq))
		e.out = whole
	}
	if len(whole)-headerSize > maxPayload {
		return nil, fmt.Errorf("encode %s: %w", ev.Fact.Kind(), errTooLong)
	}
	binary.BigEndian.PutUint32(whole, mark)
	binary.BigEndian.PutUint32(whole[4:], uint32(len(whole)-headerSize))
	binary.BigEndian.PutUint64(whole[8:], ev.Seq)
	binary.BigEndian.PutUint32(whole[crcAt:], checksum(whole))
	return whole, nil
}

// checksum is the CRC of a whole record.
func checksum(whole []byte) uint32 {
	return crc32.Update(crc32.Checksum(whole[:crcAt], castagnoli), castagnoli, whole[headerSize:])
}

// decode reads a plain payload back. The sequence number is not in it.
func decode(payload []byte) (Event, error) {
	var env struct {
		At   time.Time       `json:"at"`
		Kind string          `json:"kind"`
		Call string          `json:"call"`
		Fact json.RawMessage `json:"fact"`
	}
	if err := json.Unmarshal(payload, &env); err != nil {
		return Event{}, fmt.Errorf("decode: %w", err)
	}
	if env.Kind == "" {
		return Event{}, errors.New("decode: no kind")
	}
	fact, err := decodeFact(env.Kind, env.Fact)
	if err != nil {
		return Event{}, fmt.Errorf("decode: %w", err)
	}
	return Event{At: env.At.UTC(), Call: env.Call, Fact: fact}, nil
}
