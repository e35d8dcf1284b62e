// Command music writes the demo's music in line: slow arpeggios over a quiet
// bass, a loop of some forty seconds without a seam, as an 8 kHz µ-law WAV.
// It is made here so that nobody has to be asked for a licence, and the same
// bytes come out each time.
//
//	go run ./deployments/demo/music > deployments/demo/prompts/music.wav
//
// score.go is the piece, synth.go the instrument, wav.go the file.
package main

import (
	"bufio"
	"log"
	"os"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	if err := writeWAV(out, render(piece())); err != nil {
		log.Fatalf("write music: %v", err)
	}
	if err := out.Flush(); err != nil {
		log.Fatalf("write music: %v", err)
	}
}
