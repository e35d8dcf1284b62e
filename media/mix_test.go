package media

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// speaker is a leg with a far end that says a tone on and on, and keeps what it
// hears.
type speaker struct {
	*Leg
	far   *farEnd
	codec Codec
	tone  []byte // one second of whole periods; nil: says nothing
	said  int
	heard []packet
}

// newSpeaker calls in.
func newSpeaker(t testing.TB, e *Engine, c Codec, hz float64, o LegOptions) *speaker {
	leg, far := call(t, e, c, o)
	s := &speaker{Leg: leg, far: far, codec: c}
	if hz > 0 {
		s.tone = Tone(hz, time.Second).in(c)
	}
	return s
}

// talk lets speakers say so many packets, and hear.
func talk(n int, speakers ...*speaker) {
	for range n {
		for _, s := range speakers {
			if s.tone != nil {
				at := s.said * frameSize % len(s.tone)
				s.far.say(s.codec, s.tone[at:][:frameSize])
				s.said++
			}
		}
		time.Sleep(frameTime)
	}
	synctest.Wait()
	for _, s := range speakers {
		s.heard = append(s.heard, s.far.hear(0)...)
	}
}

// listen gives what a speaker has heard since the last time.
func (s *speaker) listen(t testing.TB) []int16 {
	bytes := audio(t, s.heard)
	s.heard = s.heard[:0]
	pcm := make([]int16, len(bytes))
	decode(pcm, bytes, s.codec)
	return pcm
}

// level gives how loud a frequency is in a sound, in dB of the level of Tone.
func level(pcm []int16, hz float64) float64 {
	var re, im float64
	for i, sample := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / sampleRate)
		re += float64(sample) * cos
		im += float64(sample) * sin
	}
	amplitude := 2 * math.Hypot(re, im) / float64(len(pcm))
	return 20 * math.Log10(amplitude/(math.MaxInt16*math.Pow(10, toneLevel/20.))+1e-9)
}

func TestMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		hz := []float64{300, 500, 800, 1100}
		var all []*speaker
		for i, f := range hz {
			all = append(all, newSpeaker(t, e, []Codec{PCMU, PCMA}[i%2], f, LegOptions{}))
		}
		caller, agent, expert, boss := all[0], all[1], all[2], all[3]
		m := e.NewMix()
		// hear holds who hears whom, by the order above.
		hear := func(what string, want ...string) {
			t.Helper()
			talk(15, all...) // let it settle
			for _, s := range all {
				s.listen(t)
			}
			talk(50, all...)
			for i, s := range all {
				got := s.listen(t)
				if len(got) < 49*frameSize || len(got) > 51*frameSize {
					t.Errorf("%s: %d hears %d samples", what, i, len(got))
				}
				for j, f := range hz {
					loud := level(got[:40*frameSize], f)
					if heard := want[i][j] == 'x'; heard && math.Abs(loud) > .5 || !heard && loud > -40 {
						t.Errorf("%s: %d hears %d at %.1f dB", what, i, j, loud)
					}
				}
			}
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check(m.Join(caller.Leg, agent.Leg, expert.Leg))
		hear("a conference", ".xx.", "x.x.", "xx..", "....")
		check(m.Listen(boss.Leg))
		hear("somebody listens", ".xx.", "x.x.", "xx..", "xxx.")
		check(m.Whisper(boss.Leg, agent.Leg))
		hear("and whispers", ".xx.", "x.xx", "xx..", "xxx.")
		check(m.Join(boss.Leg))
		hear("and joins in", ".xxx", "x.xx", "xx.x", "xxx.")
		m.Leave(expert.Leg)
		hear("one leaves", ".x.x", "x..x", "....", "xx..")
		caller.PlayMusic(Tone(2000, time.Second))
		hear("one hears music", "....", "x..x", "....", "xx..")
		caller.Silence()
		hear("and comes back", ".x.x", "x..x", "....", "xx..")
		check(caller.Bridge(agent.Leg))
		hear("two are bridged", ".x..", "x...", "....", "....")
		check(m.Join(agent.Leg)) // takes the agent from the caller
		hear("and parted", "....", "...x", "....", ".x..")
		boss.Close()
		all = all[:3]
		hear("the last but one has gone", "....", "....", "....")
	})
}

func TestMixRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, far := call(t, e, PCMU, LegOptions{})
		b, err := e.NewLeg(LegOptions{Prefer: []Codec{G722}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Answer(far.offer(G722)); err != nil {
			t.Fatal(err)
		}
		m := e.NewMix()
		if err := m.Join(a, b); !errors.Is(err, ErrNoMix) {
			t.Errorf("mixed G.722: %v", err)
		}
		if err := m.Whisper(a, a); err == nil {
			t.Error("a leg whispers to itself")
		}
		b.Close()
		if err := m.Join(b); err == nil {
			t.Error("a closed leg joins")
		}
	})
}

// TestMixSaturates holds that many loud voices clip, and do not wrap.
func TestMixSaturates(t *testing.T) {
	for _, c := range []struct{ a, b int16 }{{30000, 30000}, {-30000, -30000}} {
		r := new(room)
		var parties []*party
		for range 3 {
			s := &stream{in: newJitter()}
			p := &party{stream: s, room: r, speaks: true}
			r.parties, parties = append(r.parties, p), append(parties, p)
		}
		for i, p := range parties[:2] {
			loud := make([]byte, 6*frameSize)
			for j := range loud {
				loud[j] = encodeMu([]int16{c.a, c.b}[i])
			}
			p.stream.in.put(1, 0, loud, PCMU)
		}
		out := make([]byte, frameSize)
		for turn := range int64(3) {
			for _, p := range parties {
				p.fill(out, PCMU, turn*int64(phases))
			}
		}
		if got := muDecode[out[100]]; int(got)*int(c.a) < 0 || loudest([]int16{got}) < 32000 {
			t.Errorf("two of %d are heard as %d", c.a, got)
		}
	}
}

// TestTalkBecomesMixAndBackWithoutLoss holds that a supervisor who comes and goes
// is not heard in the talk: the sound goes on, without a click or a hole.
func TestTalkBecomesMixAndBackWithoutLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a := newSpeaker(t, e, PCMU, 260, LegOptions{})
		b := newSpeaker(t, e, PCMA, 410, LegOptions{})
		boss := newSpeaker(t, e, PCMU, 0, LegOptions{})
		if err := a.Bridge(b.Leg); err != nil {
			t.Fatal(err)
		}
		talk(20, a, b, boss)
		a.listen(t)
		b.listen(t)
		m := e.NewMix()
		for range 5 {
			if err := errors.Join(m.Join(a.Leg, b.Leg), m.Listen(boss.Leg)); err != nil {
				t.Fatal(err)
			}
			talk(40, a, b, boss)
			m.Leave(boss.Leg)
			if err := a.Bridge(b.Leg); err != nil {
				t.Fatal(err)
			}
			talk(40, a, b, boss)
		}
		const turns = 5 * 80
		for name, side := range map[string]struct {
			heard []int16
			hz    float64
		}{"a": {a.listen(t), 410}, "b": {b.listen(t), 260}} {
			if n := len(side.heard); n < (turns-6)*frameSize || n > (turns+6)*frameSize {
				t.Errorf("%s hears %d packets of %d", name, n/frameSize, turns)
			}
			if most, at := bend(side.heard); most > 1.7*bendOf(side.hz) {
				t.Errorf("%s hears a click of %.0f at packet %d; the tone has %.0f", name, most, at/frameSize, bendOf(side.hz))
			}
			if soft := softest(side.heard); soft < 2300 { // 7 dB below the tone, which has 5187
				t.Errorf("%s hears %.0f in between", name, soft)
			}
			t.Logf("%s: bends by %.2f of the tone's, softest %.0f", name, func() float64 { m, _ := bend(side.heard); return m / bendOf(side.hz) }(), softest(side.heard))
		}
	})
}

// TestPartiesComeAndGoWithoutAClick looks at the waveform that those hear who stay in
// a mix, on either beat, while one who speaks leaves it, comes back, or changes his
// part; and holds that he doesn't hear himself.
func TestPartiesComeAndGoWithoutAClick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, b := newSpeaker(t, e, PCMU, 270, LegOptions{}), newSpeaker(t, e, PCMU, 0, LegOptions{})
		c, d := newSpeaker(t, e, PCMA, 0, LegOptions{}), newSpeaker(t, e, PCMA, 0, LegOptions{})
		m := e.NewMix()
		if err := m.Join(a.Leg, b.Leg, c.Leg, d.Leg); err != nil {
			t.Fatal(err)
		}
		talk(20, a, b, c, d)
		a.listen(t)
		var whole [3][]int16 // what those hear who stay
		for i, s := range []*speaker{b, c, d} {
			whole[i] = soundingPart(s.listen(t))
		}
		for _, step := range []struct {
			what string
			do   func()
		}{
			{"leaves", func() { m.Leave(a.Leg) }},
			{"joins", func() { _ = m.Join(a.Leg) }},
			{"only listens", func() { _ = m.Listen(a.Leg) }},
			{"joins again", func() { _ = m.Join(a.Leg) }},
			{"whispers to one", func() { _ = m.Whisper(a.Leg, b.Leg) }},
			{"whispers to another", func() { _ = m.Whisper(a.Leg, c.Leg) }},
			{"speaks to all", func() { _ = m.Join(a.Leg) }},
			{"hangs up", a.Close},
		} {
			step.do()
			talk(17, a, b, c, d)
			for i, s := range []*speaker{b, c, d} {
				heard := s.listen(t)
				before := len(whole[i])
				whole[i] = append(whole[i], heard...)
				if most, at := bend(whole[i][max(0, before-frameSize):]); most > 1.7*bendOf(270) {
					t.Errorf("he %s: %d hears a click of %.0f, %d samples after it; the tone has %.0f", step.what, i, most, at-min(before, frameSize), bendOf(270))
				}
			}
			if echo := loudest(a.listen(t)); echo > 8 {
				t.Errorf("he %s and hears %d of himself", step.what, echo)
			}
		}
	})
}

// TestOurKeysDoNotClick holds that a voice that gives way to a key of ours goes on
// into its tone, and begins softly after it.
func TestOurKeysDoNotClick(t *testing.T) {
	for _, tones := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			e := testEngine(t)
			a, b := newSpeaker(t, e, PCMU, 270, LegOptions{}), newSpeaker(t, e, PCMU, 0, LegOptions{})
			if tones {
				b = toneless(t, e)
			}
			if err := a.Bridge(b.Leg); err != nil {
				t.Fatal(err)
			}
			talk(13, a, b)
			b.heard = nil
			for round := range 5 {
				talk(5+round, a, b)
				if err := b.SendKeys("5"); err != nil {
					t.Fatal(err)
				}
				talk(20, a, b)
				last, keyed, ended := int16(0), false, false
				for _, p := range b.heard {
					if p.payloadType == 97 { // the far end makes the tone
						ended = true
						continue
					}
					pcm := make([]int16, frameSize)
					decode(pcm, p.payload(), b.codec)
					if step := int(pcm[0]) - int(last); !keyed && loudest(pcm) > 10000 {
						keyed = true
						if max(step, -step) > 2000 { // the voice has 1573 at its steepest
							t.Errorf("round %d: the voice breaks off by %d where the tone begins", round, step)
						}
					}
					if ended && loudest(pcm[:4]) > 200 {
						t.Errorf("round %d, tones %v: the voice begins with %v after the key", round, tones, pcm[:4])
					}
					last, ended = pcm[frameSize-1], keyed && loudest(pcm) == 0
				}
				if keyed != tones {
					t.Errorf("round %d: a tone is heard: %v", round, keyed)
				}
				b.heard = nil
			}
		})
	}
}

// TestShownKeysDoNotClick holds that the sound goes on without a click when keys are
// hidden and shown again in mid-word. The tone has no whole periods in a packet, so
// that it matters where the packets go on after the buffer.
func TestShownKeysDoNotClick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, b := newSpeaker(t, e, PCMU, 270, LegOptions{}), newSpeaker(t, e, PCMA, 0, LegOptions{})
		if err := a.Bridge(b.Leg); err != nil {
			t.Fatal(err)
		}
		talk(20, a, b)
		b.listen(t)
		for i := range 10 {
			a.HideKeys(i%2 == 0)
			talk(23, a, b)
		}
		heard := b.listen(t)
		if n := len(heard) / frameSize; n < 225 || n > 235 {
			t.Errorf("hears %d packets of 230", n)
		}
		if most, at := bend(heard); most > 1.7*bendOf(270) {
			t.Errorf("a click of %.0f at packet %d; the tone has %.0f", most, at/frameSize, bendOf(270))
		}
	})
}

// TestPartyThatFallsSilent holds that the end of a sound, whose sender stops
// sending in mid-word as a phone that detects silence does, fades out for the
// others and is never heard by who said it.
func TestPartyThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, b := newSpeaker(t, e, PCMU, 270, LegOptions{}), newSpeaker(t, e, PCMU, 0, LegOptions{})
		c := newSpeaker(t, e, PCMA, 0, LegOptions{})
		if err := e.NewMix().Join(a.Leg, b.Leg, c.Leg); err != nil {
			t.Fatal(err)
		}
		talk(10, a, b, c)
		for _, s := range []*speaker{a, b, c} {
			s.listen(t)
		}
		tone := a.tone
		for range 10 {
			a.tone = tone
			talk(20, a, b, c)
			a.tone = nil
			a.far.timestamp += 20 * uint32(frameSize) // its clock goes on
			talk(20, a, b, c)
		}
		if echo := loudest(a.listen(t)); echo > 8 {
			t.Errorf("the speaker hears %d of itself", echo)
		}
		for _, s := range []*speaker{b, c} {
			if most, at := bend(s.listen(t)); most > 1.7*bendOf(270) {
				t.Errorf("a click of %.0f at packet %d; the tone has %.0f", most, at/frameSize, bendOf(270))
			}
		}
	})
}

// TestSwitchesDoNotClick looks at the waveform a far end hears while its source
// changes in every way: it bends nowhere sharper than the sounds themselves.
func TestSwitchesDoNotClick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		for _, c := range []Codec{PCMU, PCMA} {
			ear := newSpeaker(t, e, c, 0, LegOptions{})
			peer := newSpeaker(t, e, PCMU, 350, LegOptions{})
			third := newSpeaker(t, e, PCMU, 450, LegOptions{})
			m := e.NewMix()
			spoken := make([]int16, sampleRate) // begins softly, as speech does
			for i, v := range sine(310, len(spoken)) {
				spoken[i] = int16(v * min(1, float64(i)/160))
			}
			prompt := NewClip(spoken)
			tune := Tone(390, time.Second)
			sources := map[string]func(){
				"silence": func() { ear.Unbridge(); m.Leave(ear.Leg); ear.Silence() },
				"prompt":  func() { ear.Play(prompt) },
				"music":   func() { ear.PlayMusic(tune) },
				"peer":    func() { _ = ear.Bridge(peer.Leg) },
				"mix":     func() { _ = m.Join(ear.Leg, peer.Leg, third.Leg) },
			}
			order := []string{"silence", "prompt", "music", "peer", "mix", "silence", "music", "prompt", "peer", "silence",
				"mix", "prompt", "mix", "music", "mix", "peer", "music", "silence", "peer", "prompt", "prompt", "silence", "prompt"}
			limit := 0.
			for _, hz := range []float64{310, 390, 450} {
				limit = max(limit, bendOf(hz))
			}
			limit += bendOf(350) // a mix of two
			for i, name := range order {
				sources[name]()
				talk(13, ear, peer, third)
				heard := ear.listen(t)
				if len(heard) < 5*frameSize {
					t.Fatalf("hears %d packets", len(heard)/frameSize)
				}
				if most, at := bend(heard); most > 1.25*limit {
					t.Errorf("%v: switch %d, to %s: bends by %.0f at %d of %d, the sounds by %.0f", c, i, name, most, at, len(heard), limit)
				}
			}
			for _, s := range []*speaker{ear, peer, third} {
				s.Close()
			}
		}
	})
}

// TestToneThroughEverything measures what a sine loses on its way: played as a
// prompt, passed through a bridge, translated there, and mixed.
func TestToneThroughEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		want := sine(1004, n*frameSize)
		e := testEngine(t)
		// relay lets a far end say what is given through legs made ready by join, and
		// gives what the other hears of it.
		relay := func(said []byte, from, to Codec, join func(a, b *Leg)) []byte {
			a, b := newSpeaker(t, e, from, 0, LegOptions{}), newSpeaker(t, e, to, 0, LegOptions{})
			join(a.Leg, b.Leg)
			a.far.say(from, from.quiet()) // what begins is faded in
			for len(said) > 0 {
				a.far.say(from, said[:frameSize])
				said = said[frameSize:]
				talk(1, a, b)
			}
			talk(10, a, b)
			return audio(t, b.heard)
		}
		// ratio finds the sine and gives its signal to noise ratio.
		ratio := func(heard []byte, c Codec) float64 {
			pcm, best := make([]int16, len(heard)), -99.
			decode(pcm, heard, c)
			for at := 0; at+n*frameSize <= len(pcm); at++ {
				if loudest(pcm[at:at+8]) > 200 {
					best = max(best, snr(want[:(n-2)*frameSize], pcm[at:]))
				}
			}
			return best
		}
		bridge := func(a, b *Leg) { _ = a.Bridge(b) }
		mix := func(a, b *Leg) { _ = e.NewMix().Join(a, b) }
		cut := func(heard []byte, c Codec) []byte { // the sine's packets, padded to whole ones
			return append(heard, make([]byte, frameSize-len(heard)%frameSize)...)
		}

		first := newSpeaker(t, e, PCMU, 0, LegOptions{})
		first.Play(Tone(1004, n*frameTime))
		talk(n+5, first)
		prompt := audio(t, first.heard)
		passed := relay(cut(prompt, PCMU), PCMU, PCMU, bridge)
		translated := relay(cut(passed, PCMU), PCMU, PCMA, bridge)
		mixed := relay(cut(translated, PCMA), PCMA, PCMU, mix)
		for _, c := range []struct {
			stage string
			heard []byte
			codec Codec
			least float64
		}{
			{"prompt", prompt, PCMU, 37},
			{"bridge", passed, PCMU, 37},
			{"translation", translated, PCMA, 33},
			{"mix", mixed, PCMU, 37}, // back in the law it came from, it is what it was
		} {
			got := ratio(c.heard, c.codec)
			t.Logf("after the %s: %.1f dB", c.stage, got)
			if got < c.least {
				t.Errorf("%.1f dB signal to noise after the %s, want %v", got, c.stage, c.least)
			}
		}
	})
}

// TestMixDoesNotAllocate runs a conference's turns.
func TestMixDoesNotAllocate(t *testing.T) {
	turn := conference(5)
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
}

// BenchmarkMix is what 20 ms of one party cost: a packet into the buffer, out of
// it, and what it hears.
func BenchmarkMix(b *testing.B) {
	for _, parties := range []int{3, 10} {
		b.Run(strconv.Itoa(parties), func(b *testing.B) {
			turn := conference(parties)
			b.ReportAllocs()
			began := processorTime(b)
			for b.Loop() {
				turn()
			}
			spent := processorTime(b) - began // not what others on the machine take
			b.ReportMetric(float64(spent.Nanoseconds())/1000/float64(b.N)/float64(parties), "CPU-µs/party-frame")
		})
	}
}

// processorTime is what the process has had of the processor.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// conference gives a turn of so many parties who all talk.
func conference(n int) (turn func()) {
	r := new(room)
	var sounds [][]int16
	for i := range n {
		r.parties = append(r.parties, &party{stream: &stream{in: newJitter()}, room: r, speaks: true})
		sounds = append(sounds, synthVoice(uint64(i), 2))
	}
	audio := make([]byte, frameSize)
	now, at := int64(0), 0
	return func() {
		for i, p := range r.parties {
			encode(audio, sounds[i][at%(sampleRate):][:frameSize], PCMU)
			p.stream.in.put(1, uint32(at), audio, PCMU)
		}
		for _, p := range r.parties {
			p.fill(audio, PCMU, now)
		}
		now, at = now+int64(phases), at+frameSize
	}
}
