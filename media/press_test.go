package media

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// toneless makes a leg and a far end that has no telephone events.
func toneless(t testing.TB, e *Engine) *speaker {
	t.Helper()
	leg, err := e.NewLeg(LegOptions{})
	if err != nil {
		t.Fatal(err)
	}
	far := newFarEnd(t)
	head, _, _ := strings.Cut(string(far.offer(PCMU)), " 97\r\n")
	if _, err := leg.Answer([]byte(head + "\r\n")); err != nil {
		t.Fatal(err)
	}
	far.to.set(leg.LocalAddr())
	return &speaker{Leg: leg, far: far, codec: PCMU}
}

// dial lets speakers say keys as tones, each for a while, with pauses.
func dial(t testing.TB, s *speaker, keys string, all ...*speaker) {
	t.Helper()
	codes, err := keyCodes(keys)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(4, 4))
	var pcm []int16
	for _, code := range codes {
		pcm = append(pcm, dtmf{code: code, level: -10, length: 100 * time.Millisecond}.sound(random)...)
		pcm = append(pcm, make([]int16, 4*frameSize)...)
	}
	sound := make([]byte, len(pcm))
	encode(sound, pcm, PCMU)
	for ; len(sound) >= frameSize; sound = sound[frameSize:] {
		s.far.say(PCMU, sound[:frameSize])
		talk(1, all...)
	}
}

// told gives the keys that a leg has told of, each of which must have come down.
func told(t testing.TB, l *Leg) (keys string) {
	t.Helper()
	synctest.Wait()
	var down rune
	for {
		select {
		case e := <-l.Events():
			switch e := e.(type) {
			case KeyDown:
				if down != 0 {
					t.Errorf("%c comes down while %c is", e.Key, down)
				}
				down = e.Key
			case Key:
				if down != e.Key {
					t.Errorf("%c ends, %c came down", e.Key, down)
				}
				down = 0
				keys += string(e.Key)
			}
		default:
			return keys
		}
	}
}

func TestKeysAsTones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, b := toneless(t, e), newSpeaker(t, e, PCMU, 0, LegOptions{})
		dial(t, a, "159*0#D", a)
		if keys := told(t, a.Leg); keys != "159*0#D" {
			t.Errorf("told %q", keys)
		}
		// In a talk they sound on the other side, as they come.
		if err := a.Bridge(b.Leg); err != nil {
			t.Fatal(err)
		}
		b.listen(t)
		dial(t, a, "26", a, b)
		if _, heard := detect(b.listen(t)); len(heard) != 2 || told(t, a.Leg) != "26" {
			t.Errorf("in a talk heard %v", heard)
		}
		// And what the other side sends as events is heard as tones here.
		a.listen(t)
		b.far.press(8, 5)
		talk(20, a, b)
		if keys := told(t, b.Leg); keys != "8" {
			t.Errorf("told %q", keys)
		}
		if downs, _ := detect(a.listen(t)); !slices.Equal(downs, []Event{KeyDown{'8'}}) {
			t.Errorf("an event is heard as %v", downs)
		}
		a.Unbridge()
		talk(10, a, b)
		a.listen(t)
		if err := a.SendKeys("4C"); err != nil {
			t.Fatal(err)
		}
		talk(25, a)
		if _, keys := detect(a.listen(t)); len(keys) != 2 || keys[0].(Key).Key != '4' || keys[1].(Key).Key != 'C' {
			t.Errorf("sent as tones %v", keys)
		}
	})
}

// TestKeysOfTwoWaysAreToldOnce holds that a phone which sends each key in SIP
// INFO and in RTP presses it once, here and on the other side.
func TestKeysOfTwoWaysAreToldOnce(t *testing.T) {
	for _, infoFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			e := testEngine(t)
			a, b := newSpeaker(t, e, PCMU, 300, LegOptions{}), newSpeaker(t, e, PCMU, 300, LegOptions{})
			if err := a.Bridge(b.Leg); err != nil {
				t.Fatal(err)
			}
			talk(5, a, b)
			press := func(key rune, rtp, info bool) {
				if info && infoFirst {
					a.Press(key)
				}
				if rtp {
					a.far.press(keyCode(key), 5)
				}
				talk(4, a, b)
				if info && !infoFirst {
					a.Press(key)
				}
				talk(20, a, b)
			}
			press('7', true, true)
			press('7', true, true)
			press('#', true, true)
			if keys := told(t, a.Leg); keys != "77#" {
				t.Errorf("told %q", keys)
			}
			time.Sleep(6 * time.Second)
			press('1', false, true) // another way after a while
			press('x', false, true)
			if keys := told(t, a.Leg); keys != "1" {
				t.Errorf("told %q", keys)
			}
			var r keyReader
			var heard []rune
			for _, p := range b.heard {
				if p.payloadType == 97 {
					r.read(&p, sampleRate, 0, func(e Event) {
						if key, ok := e.(Key); ok {
							heard = append(heard, key.Key)
						}
					})
				}
			}
			if string(heard) != "77#1" {
				t.Errorf("the other side heard %q", string(heard))
			}
		})
	}
}

// TestHiddenKeysAreForUsAlone holds that hidden keys are told, and neither reach
// the other side, nor a conference, nor a recording, whichever way they come.
func TestHiddenKeysAreForUsAlone(t *testing.T) {
	for _, conference := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := testEngine(t)
			a, b := toneless(t, e), newSpeaker(t, e, PCMU, 0, LegOptions{})
			if conference {
				if err := e.NewMix().Join(a.Leg, b.Leg); err != nil {
					t.Fatal(err)
				}
			} else if err := a.Bridge(b.Leg); err != nil {
				t.Fatal(err)
			}
			f := tape(t)
			recording, err := a.Record(f)
			if err != nil {
				t.Fatal(err)
			}
			talk(5, a, b)
			a.HideKeys(true)
			talk(5, a, b)
			b.listen(t)
			dial(t, a, "4929", a, b)
			a.Press('3')
			talk(10, a, b)
			if keys := told(t, a.Leg); keys != "4929" { // tones it sends, so no INFO
				t.Errorf("told %q", keys)
			}
			if loud := loudest(b.listen(t)); loud > 50 {
				t.Errorf("the other side hears %d of the hidden keys", loud)
			}
			a.HideKeys(false)
			talk(10, a, b)
			a.tone = Tone(600, time.Second).mu
			talk(50, a, b)
			if heard := b.listen(t); level(heard[20*frameSize:][:20*frameSize], 600) < -1 {
				t.Errorf("the voice is heard at %.1f dB afterwards", level(heard[20*frameSize:][:20*frameSize], 600))
			}
			if err := recording.Close(); err != nil {
				t.Fatal(err)
			}
			left, _ := playback(t, f)
			if downs, _ := detect(left); len(downs) > 0 {
				t.Errorf("recorded %v", downs)
			}
			quietUntil := slices.IndexFunc(left, func(v int16) bool { return v > 50 || v < -50 })
			if quietUntil < 40*frameSize {
				t.Errorf("something of the keys is recorded at packet %d", quietUntil/frameSize)
			}
		})
	}
}

// TestKeysStayHiddenWhateverIsAgreed holds that keys which were hidden before
// there was an answer, or in another codec, are kept from the peer in G.711, and
// that a codec in which they can't be muted is heard all the same.
func TestKeysStayHiddenWhateverIsAgreed(t *testing.T) {
	wide := LegOptions{Prefer: []Codec{G722, PCMU}}
	for name, before := range map[string][]Codec{"before the answer": nil, "in G.722": {G722}, "and again": {PCMU, G722}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEngine(t)
				leg, err := e.NewLeg(wide)
				if err != nil {
					t.Fatal(err)
				}
				a := &speaker{Leg: leg, far: newFarEnd(t), codec: PCMU}
				a.far.to.set(leg.LocalAddr())
				agree := func(c Codec) {
					t.Helper()
					head, _, _ := strings.Cut(string(a.far.offer(c)), " 97\r\n")
					if _, err := leg.Answer([]byte(head + "\r\n")); err != nil {
						t.Fatal(err)
					}
				}
				b := newSpeaker(t, e, PCMU, 0, wide)
				if err := leg.Bridge(b.Leg); err != nil {
					t.Fatal(err)
				}
				a.HideKeys(true)
				for _, c := range before {
					agree(c)
					for range 20 {
						a.far.say(c, make([]byte, frameSize))
						talk(1, a, b)
					}
				}
				agree(PCMU)
				talk(5, a, b)
				b.heard = nil
				dial(t, a, "4929", a, b)
				talk(10, a, b)
				if keys := told(t, leg); keys != "4929" {
					t.Errorf("told %q", keys)
				}
				if loud := loudest(b.listen(t)); loud > 50 {
					t.Errorf("the other side hears %d of the hidden keys", loud)
				}
				agree(G722)
				if _, err := b.Answer(b.far.offer(G722)); err != nil {
					t.Fatal(err)
				}
				b.heard = nil
				for range 30 {
					a.far.say(G722, make([]byte, frameSize))
					talk(1, a, b)
				}
				wide := 0
				for _, p := range b.heard {
					if p.payloadType == G722.payloadType() {
						wide++
					}
				}
				if wide < 20 {
					t.Errorf("%d of 30 packets of G.722 pass", wide)
				}
			})
		})
	}
}

func TestHiddenEventsAreNotPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, b := newSpeaker(t, e, PCMU, 300, LegOptions{}), newSpeaker(t, e, PCMA, 300, LegOptions{})
		if err := a.Bridge(b.Leg); err != nil {
			t.Fatal(err)
		}
		talk(5, a, b)
		press := func() (events int) {
			b.heard = nil
			talk(1, a, b)
			a.far.press(5, 5)
			talk(10, a, b)
			for _, p := range b.heard {
				if p.payloadType == 97 {
					events++
				}
			}
			return events
		}
		if n := press(); n != 5 {
			t.Errorf("%d packets passed on", n)
		}
		a.HideKeys(true)
		if n := press(); n > 0 {
			t.Errorf("%d packets of a hidden key passed on", n)
		}
		a.HideKeys(false)
		talk(20, a, b)
		if n := press(); n != 5 {
			t.Errorf("%d packets passed on afterwards", n)
		}
		if keys := told(t, a.Leg); keys != "555" {
			t.Errorf("told %q", keys)
		}
	})
}

// TestSilentPeerIsFilledIn holds that a leg is sent packets though its peer sends
// none, and hears the peer as soon as it speaks again.
func TestSilentPeerIsFilledIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, b := newSpeaker(t, e, PCMU, 0, LegOptions{}), newSpeaker(t, e, PCMA, 0, LegOptions{})
		if err := a.Bridge(b.Leg); err != nil {
			t.Fatal(err)
		}
		tone := Tone(300, time.Second).mu
		for range 20 { // bursts of speech
			talk(50, a, b)
			a.tone = tone
			talk(20, a, b)
			a.tone = nil
			a.far.timestamp += 50 * uint32(frameSize) // its clock goes on
		}
		if n := len(b.heard); n < 20*60 || n > 20*71 {
			t.Errorf("heard %d packets in %d turns", n, 20*70)
		}
		audio(t, b.heard) // in order, without a hole
		first, last := b.heard[0], b.heard[len(b.heard)-1]
		if passed := int(last.timestamp-first.timestamp) / frameSize; passed < 20*70-20 || passed > 20*70+2 {
			t.Errorf("%d packets' time has passed, want %d", passed, 20*70)
		}
		spoken, marked := 0, 0
		for i, p := range b.heard {
			if p.payload()[100] != PCMA.silence() {
				spoken++
				if i > 0 && b.heard[i-1].payload()[100] == PCMA.silence() && p.marker {
					marked++
				}
			}
		}
		if spoken < 20*20 || marked < 19 {
			t.Errorf("%d packets of speech, %d beginnings marked", spoken, marked)
		}
	})
}

// FuzzEar lets it hear what comes, in any order and of any size: keys come down
// and end in turn.
func FuzzEar(f *testing.F) {
	f.Add([]byte{1, 10, 20, 3, 5}, uint8(5))
	f.Fuzz(func(t *testing.T, script []byte, code uint8) {
		tone := dtmf{code: code % 16, level: -8, length: time.Second}.sound(rand.New(rand.NewPCG(1, uint64(code))))
		sound := make([]byte, len(tone))
		encode(sound, tone, PCMA)
		var e ear
		on, now, timestamp := false, int64(0), uint32(0)
		tell := func(e Event) {
			if _, down := e.(KeyDown); down == on {
				t.Fatalf("told %#v", e)
			}
			on = !on
		}
		for ; len(script) >= 3; script = script[3:] {
			timestamp += uint32(int32(int8(script[0]))) * 40
			body := make([]byte, headerSize, headerSize+512)
			body = append(body, sound[int(script[1])*8:][:1+int(script[2])]...)
			e.take(&packet{ssrc: uint32(script[0] & 1), timestamp: timestamp, body: body}, PCMA, now, tell)
			timestamp += uint32(len(body) - headerSize)
			now += 2
			e.tick(now, tell)
		}
		e.tick(now+keyBeats, tell)
		if on {
			t.Fatal("a key never ends")
		}
	})
}
