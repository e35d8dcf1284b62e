package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

func TestParsePacketAgreesWithPion(t *testing.T) {
	header := rtp.Header{Version: 2, Marker: true, PayloadType: 101, SequenceNumber: 65000, Timestamp: 1 << 31, SSRC: 77}
	sources := header
	sources.CSRC = []uint32{1, 2, 3}
	extended := header
	if err := extended.SetExtension(1, []byte{9}); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]rtp.Packet{
		"plain":                {Header: header, Payload: []byte{1, 2, 3}},
		"contributing sources": {Header: sources, Payload: []byte{1}},
		"extension":            {Header: extended, Payload: []byte{1, 2}},
		"padding":              {Header: header, Payload: []byte{1, 2}, PaddingSize: 4},
	} {
		p.Padding = p.PaddingSize > 0
		raw, err := p.Marshal()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		comparePion(t, raw)
		if _, ok := parsePacket(raw); !ok {
			t.Errorf("%s: refused", name)
		}
	}
}

func TestParsePacketRefuses(t *testing.T) {
	valid := []byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xFF}
	for name, change := range map[string]func([]byte) []byte{
		"short":                   func(b []byte) []byte { return b[:11] },
		"no payload":              func(b []byte) []byte { return b[:12] },
		"version 1":               func(b []byte) []byte { b[0] = 0x40; return b },
		"sources beyond its end":  func(b []byte) []byte { b[0] |= 15; return b },
		"extension cut off":       func(b []byte) []byte { b[0] |= 0x10; return b },
		"extension too long":      func(b []byte) []byte { b[0] |= 0x10; return append(b, 0, 0xFF, 0xFF, 1, 2) },
		"padding of nothing":      func(b []byte) []byte { b[0] |= 0x20; return append(b, 0) },
		"padding over the header": func(b []byte) []byte { b[0] |= 0x20; return append(b, 200) },
		"nothing but padding":     func(b []byte) []byte { b[0] |= 0x20; b[12] = 1; return b },
		"empty":                   func([]byte) []byte { return nil },
	} {
		if _, ok := parsePacket(change(bytes.Clone(valid))); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xFF})
	f.Add([]byte{0xB1, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0xBE, 0xDE, 0, 0, 1, 2, 3, 1})
	f.Fuzz(func(t *testing.T, raw []byte) { comparePion(t, raw) })
}

// comparePion holds what we read against pion's reading of the same bytes,
// where both read them.
func comparePion(t *testing.T, raw []byte) {
	t.Helper()
	got, ok := parsePacket(raw)
	var want rtp.Packet
	if err := want.Unmarshal(bytes.Clone(raw)); !ok || err != nil {
		return
	}
	if got.payloadType != want.PayloadType || got.marker != want.Marker || got.sequence != want.SequenceNumber ||
		got.timestamp != want.Timestamp || got.ssrc != want.SSRC || !bytes.Equal(got.payload(), want.Payload) {
		t.Fatalf("%x: read %+v, pion reads %+v", raw, got, want)
	}
}

func TestHeaderPutAgreesWithPion(t *testing.T) {
	h := header{payloadType: 8, marker: true, sequence: 65535, timestamp: 4000000000, ssrc: 3}
	var ours [headerSize]byte
	h.put(ours[:])
	theirs, err := (&rtp.Header{Version: 2, PayloadType: 8, Marker: true, SequenceNumber: 65535, Timestamp: 4000000000, SSRC: 3}).Marshal()
	if err != nil || !bytes.Equal(ours[:], theirs) {
		t.Errorf("wrote %x, pion writes %x (%v)", ours, theirs, err)
	}
}
