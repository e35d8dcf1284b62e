package main

import (
	"bytes"
	"math"
	"os"
	"testing"
)

// TestCommittedMusic: the file in the repository is what the generator makes.
// (Floating point may differ in the last bit between processors, so a sample
// may be one µ-law step off.)
func TestCommittedMusic(t *testing.T) {
	var made bytes.Buffer
	if err := writeWAV(&made, render(piece())); err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("../prompts/music.wav")
	if err != nil {
		t.Fatal(err)
	}
	if made.Len() != len(committed) {
		t.Fatalf("made %d bytes, committed %d; run make prompts", made.Len(), len(committed))
	}
	for i, b := range made.Bytes() {
		if d := int(b) - int(committed[i]); d < -1 || d > 1 {
			t.Fatalf("byte %d is %#x, committed %#x; run make prompts", i, b, committed[i])
		}
	}
}

// TestMulaw holds the encoder against values of ITU-T G.711, table 2a.
func TestMulaw(t *testing.T) {
	tests := []struct {
		sample int
		want   byte
	}{
		{0, 0xff}, {4, 0xfe}, {-4, 0x7e}, {8159 * 4, 0x80}, {math.MaxInt16, 0x80}, {math.MinInt16, 0x00},
		{31 * 4, 0xef}, {-31 * 4, 0x6f}, {4063 * 4, 0x8f}, {223 * 4, 0xcf},
	}
	for _, tt := range tests {
		if got := mulaw(tt.sample); got != tt.want {
			t.Errorf("mulaw(%d) = %#x, want %#x", tt.sample, got, tt.want)
		}
	}
}

// TestOddLength: the padding byte of an odd chunk is not counted as sound.
func TestOddLength(t *testing.T) {
	var b bytes.Buffer
	if err := writeWAV(&b, make([]float64, 3)); err != nil {
		t.Fatal(err)
	}
	if got, want := b.Len(), 58+4; got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}
