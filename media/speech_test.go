package media

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// loudness is a piece of a line's sound: noise of a level in dB.
type loudness struct {
	level  float64
	length time.Duration
}

// listenTo lets a detector hear pieces of noise and tells for how long it heard
// speech, and how long since.
func listenTo(pieces ...loudness) (spoke, since time.Duration) {
	var s speech
	random := rand.New(rand.NewPCG(1, 2))
	for _, p := range pieces {
		amplitude := (math.MaxInt16 + 1) * math.Pow(10, p.level/20)
		for range p.length / frameTime {
			var mu [frameSize]byte
			for i := range mu {
				if p.level == math.Inf(-1) {
					mu[i] = PCMU.silence()
					continue
				}
				mu[i] = encodeMu(int16(max(-32768, min(32767, random.NormFloat64()*amplitude+300)))) // and an offset
			}
			s.listen(mu[:])
		}
	}
	return time.Duration(s.frames) * frameTime, time.Duration(s.quiet) * frameTime
}

func TestSpeech(t *testing.T) {
	const s, hangover = time.Second, speechHangover * frameTime
	none := math.Inf(-1)
	var words, whisper, clicks []loudness
	for range 5 { // words of 400 ms with pauses between them
		words = append(words, loudness{-20, 400 * time.Millisecond}, loudness{-60, 400 * time.Millisecond})
		whisper = append(whisper, loudness{-45, 400 * time.Millisecond}, loudness{-65, 400 * time.Millisecond})
		clicks = append(clicks, loudness{-10, 40 * time.Millisecond}, loudness{-60, 1960 * time.Millisecond})
	}
	tests := []struct {
		name         string
		heard        []loudness
		spoke, since time.Duration
	}{
		{"nothing sent", []loudness{{none, 10 * s}}, 0, 10 * s},
		{"a quiet line", []loudness{{-60, 10 * s}}, 0, 10 * s},
		{"a noisy line", []loudness{{-42, 10 * s}}, 0, 10 * s},
		{"a word on a quiet line", []loudness{{-60, 2 * s}, {-20, s}, {-60, 3 * s}}, s + hangover, 3 * s},
		{"a word from the first moment", []loudness{{-25, s}, {-60, 3 * s}}, s + hangover, 3 * s},
		{"a word where nothing is sent between", []loudness{{none, 2 * s}, {-30, s}, {none, 3 * s}}, s + hangover, 3 * s},
		{"a word on a noisy line", []loudness{{-48, 2 * s}, {-25, s}, {-48, 3 * s}}, s + hangover, 3 * s},
		{"noise that is not always sent", []loudness{{-48, 3 * s}, {none, 2 * s}, {-48, 5 * s}}, 0, 10 * s},
		{"words", words, 5*400*time.Millisecond + 5*hangover, 400 * time.Millisecond},
		{"a whisper", append([]loudness{{-65, s}}, whisper...), 5*400*time.Millisecond + 5*hangover, 400 * time.Millisecond},
		{"clicks", clicks, 0, 10 * s},
		{"a tone that goes on", []loudness{{-13, 60 * s}}, 60 * s, 0},
		{"noise that sets in is got used to", []loudness{{-65, 2 * s}, {-45, 30 * s}}, 4 * s, 26 * s},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spoke, since := listenTo(tt.heard...)
			near := time.Duration(100 * time.Millisecond)
			if tt.name == "noise that sets in is got used to" {
				near = 4 * s
			}
			if (spoke - tt.spoke).Abs() > near {
				t.Errorf("heard %v of speech, want %v", spoke, tt.spoke)
			}
			if (since - tt.since).Abs() > near {
				t.Errorf("heard it %v ago, want %v", since, tt.since)
			}
		})
	}
}
