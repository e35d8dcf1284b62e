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

// A record is one event in the file:
//
//	uint32  length of the payload, big-endian
//	uint32  CRC-32C of the payload, big-endian
//	payload {"seq":7,"at":"2026-03-01T08:00:00.25Z","kind":"visit.joined","call":"…","fact":{…}}
const (
	headerSize = 8
	maxPayload = 1 << 20 // no fact comes near it; a longer length is damage
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errTooLong = errors.New("event is longer than 1 MiB")

// envelope is the payload on its way out.
type envelope struct {
	Seq  uint64    `json:"seq"`
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Call string    `json:"call,omitempty"`
	Fact Fact      `json:"fact"`
}

// encoder makes records in one buffer that it keeps. It is not safe for
// concurrent use.
type encoder struct {
	buf  bytes.Buffer
	json *json.Encoder
	env  envelope
}

func newEncoder() *encoder {
	e := &encoder{}
	e.json = json.NewEncoder(&e.buf)
	e.json.SetEscapeHTML(false)
	return e
}

// encode gives the whole record of an event. The bytes are good until the next
// call.
func (e *encoder) encode(ev Event) ([]byte, error) {
	e.buf.Reset()
	e.buf.Write(make([]byte, headerSize))
	e.env = envelope{Seq: ev.Seq, At: ev.At, Kind: ev.Fact.Kind(), Call: ev.Call, Fact: ev.Fact}
	if err := e.json.Encode(&e.env); err != nil {
		return nil, fmt.Errorf("encode %s: %w", ev.Fact.Kind(), err)
	}
	record := bytes.TrimSuffix(e.buf.Bytes(), []byte("\n"))
	payload := record[headerSize:]
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("encode %s: %w", ev.Fact.Kind(), errTooLong)
	}
	binary.BigEndian.PutUint32(record, uint32(len(payload)))
	binary.BigEndian.PutUint32(record[4:], crc32.Checksum(payload, castagnoli))
	return record, nil
}

// decode reads a payload back. A kind it does not know, from a newer version,
// comes as Unknown.
func decode(payload []byte) (Event, error) {
	var env struct {
		Seq  uint64          `json:"seq"`
		At   time.Time       `json:"at"`
		Kind string          `json:"kind"`
		Call string          `json:"call"`
		Fact json.RawMessage `json:"fact"`
	}
	if err := json.Unmarshal(payload, &env); err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	if env.Seq == 0 || env.Kind == "" {
		return Event{}, errors.New("decode event: no sequence number or no kind")
	}
	fact, err := decodeFact(env.Kind, env.Fact)
	if err != nil {
		return Event{}, fmt.Errorf("decode event %d: %w", env.Seq, err)
	}
	return Event{Seq: env.Seq, At: env.At.UTC(), Call: env.Call, Fact: fact}, nil
}
