package media

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// next gives the next event of a leg, within a virtual minute.
func next(t *testing.T, l *Leg) Event {
	t.Helper()
	select {
	case e := <-l.Events():
		return e
	case <-time.After(time.Minute):
		t.Fatal("no event within a minute")
		return nil
	}
}

// quietLeg fails if the leg has told anything.
func quietLeg(t *testing.T, l *Leg) {
	t.Helper()
	synctest.Wait()
	select {
	case e := <-l.Events():
		t.Errorf("unexpected %#v", e)
	default:
	}
}

func TestPlayIsHeardWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []Codec{PCMU, PCMA} {
			leg, far := call(t, testEngine(t), c, LegOptions{})
			if leg.Codec() != c {
				t.Errorf("agreed on %v, want %v", leg.Codec(), c)
			}
			first, second := count(3, 250), count(17, 333)
			began := time.Now()
			playing := leg.Play(first, second)
			if done, ok := next(t, leg).(PlayDone); !ok || done.Play != playing {
				t.Errorf("told %#v, want the end of %d", done, playing)
			}
			if took := time.Since(began); took < 80*time.Millisecond || took > 100*time.Millisecond {
				t.Errorf("73 ms of sound took %v", took)
			}
			want := slices.Concat(first.in(c), second.in(c))
			if heard := audio(t, far.hear(4)); !bytes.Contains(heard, want) {
				t.Errorf("%v: the clips were not heard whole", c)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if rest := audio(t, far.hear(4)); len(bytes.Trim(rest, string([]byte{c.silence()}))) > 0 {
				t.Errorf("%v: no silence afterwards", c)
			}
			leg.Close()
		}
	})
}

func TestOnlyTheEndOfWhatPlaysIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, _ := call(t, testEngine(t), PCMU, LegOptions{})
		leg.Play(Tone(440, time.Second))
		time.Sleep(500 * time.Millisecond)
		second := leg.Play(Tone(880, time.Second))
		if done := next(t, leg); done != (PlayDone{second}) {
			t.Errorf("told %#v, want the end of %d", done, second)
		}
		leg.Play(Tone(440, time.Second))
		leg.Silence()
		time.Sleep(2 * time.Second)
		quietLeg(t, leg)
		if nothing := leg.Play(); next(t, leg) != (PlayDone{nothing}) {
			t.Error("playing nothing has no end")
		}
	})
}

// heardWhole holds that every sample of a clip is heard, after so many interruptions
// softly.
func heardWhole(t *testing.T, sound []byte, clip *Clip, interruptions int) {
	t.Helper()
	sound, differ := sound[max(0, bytes.Index(sound, clip.mu[:frameSize])):], 0
	for i := range min(len(sound), len(clip.mu)) {
		if sound[i] != clip.mu[i] {
			differ++
		}
	}
	if len(sound) < len(clip.mu) || differ > interruptions*blend {
		t.Errorf("of the clip's %d samples %d were heard around interruptions, %d of them others", len(clip.mu), len(sound), differ)
	}
}

func TestPlayWaitsForTheAnswerAndForTheEndOfAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, err := testEngine(t).NewLeg(LegOptions{})
		if err != nil {
			t.Fatal(err)
		}
		clip := count(0, 40*frameSize)
		playing := leg.Play(clip)
		time.Sleep(5 * time.Second)
		quietLeg(t, leg)
		far := newFarEnd(t)
		answer := func(attribute string) {
			t.Helper()
			if _, err := leg.Answer(far.offer(PCMU, attribute)); err != nil {
				t.Fatal(err)
			}
		}
		answer("a=sendrecv")
		time.Sleep(400 * time.Millisecond)
		answer("a=inactive")
		if e := next(t, leg); e != (Held{}) {
			t.Errorf("told %#v, want Held", e)
		}
		heard := far.hear(19)
		time.Sleep(25 * time.Second)
		quietLeg(t, leg)
		if n := len(far.hear(0)); n > 1 {
			t.Errorf("%d packets during a hold", n)
		}
		answer("a=sendrecv")
		if e := next(t, leg); e != (Resumed{}) {
			t.Errorf("told %#v, want Resumed", e)
		}
		if e := next(t, leg); e != (PlayDone{playing}) {
			t.Errorf("told %#v, want PlayDone", e)
		}
		heard = append(heard, far.hear(20)...)
		heardWhole(t, audio(t, heard), clip, 1)
	})
}

// TestSoundAfterAHold holds that after a hold the far end hears a sound begin softly
// and marked, and that the numbers of its packets go on where they were: of what it
// did not want to hear, nothing is lost.
func TestSoundAfterAHold(t *testing.T) {
	for _, peer := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := testEngine(t)
			b := newSpeaker(t, e, PCMU, 390, LegOptions{})
			leg, far := call(t, e, PCMU, LegOptions{})
			ear := &speaker{Leg: leg, far: far, codec: PCMU}
			if peer {
				if err := leg.Bridge(b.Leg); err != nil {
					t.Fatal(err)
				}
			} else {
				leg.PlayMusic(Tone(390, time.Second))
			}
			say := func(direction string) {
				t.Helper()
				if _, err := leg.Answer(far.offer(PCMU, direction)); err != nil {
					t.Fatal(err)
				}
			}
			talk(13, b, ear)
			before := ear.heard[len(ear.heard)-1]
			say("a=inactive")
			talk(57, b, ear)
			ear.heard = nil
			say("a=sendrecv")
			talk(13, b, ear)
			first := ear.heard[0]
			if gap := first.sequence - before.sequence; gap > 3 { // some before the hold was known
				t.Errorf("peer %v: %d packets are lost in a hold", peer, gap-1)
			}
			if passed := first.timestamp - before.timestamp; passed < 55*uint32(frameSize) || passed > 60*uint32(frameSize) {
				t.Errorf("peer %v: %d samples have passed", peer, passed)
			}
			if !first.marker {
				t.Errorf("peer %v: the beginning is not marked", peer)
			}
			pcm := append(make([]int16, frameSize), ear.listen(t)...)
			if most, at := bend(pcm); most > 1.7*bendOf(390) {
				t.Errorf("peer %v: a click of %.0f at %d; the tone has %.0f", peer, most, at-frameSize, bendOf(390))
			}
		})
	}
}

func TestMusicIsTheSameForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		tune := Tone(100, 10*time.Second) // long enough not to come round
		for i := range tune.mu {
			tune.mu[i] = byte(i>>8) ^ byte(i) // every place another sound
		}
		var heard [2][]byte
		one, far1 := call(t, e, PCMU, LegOptions{})
		one.PlayMusic(tune)
		time.Sleep(time.Second)
		two, far2 := call(t, e, PCMU, LegOptions{})
		two.PlayMusic(tune)
		far1.hear(45)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		heard[0], heard[1] = audio(t, far1.hear(8)), audio(t, far2.hear(8))
		// The legs may sit on different beats: their packets are half a frame apart.
		if !bytes.Contains(heard[0], heard[1][frameSize:len(heard[1])-2*frameSize]) {
			t.Error("the second leg hears another place of the tune")
		}
		quietLeg(t, one)
	})
}

func TestBridgeTranslatesAndKeepsTheSound(t *testing.T) {
	for _, c := range []struct {
		a, b  Codec
		least float64
	}{{PCMU, PCMU, 36}, {PCMU, PCMA, 33}, {PCMA, PCMU, 33}} {
		synctest.Test(t, func(t *testing.T) {
			e := testEngine(t)
			a, farA := call(t, e, c.a, LegOptions{})
			b, farB := call(t, e, c.b, LegOptions{Near: a, Latch: true})
			a.PlayMusic(Tone(300, time.Second))
			b.Play(Tone(300, time.Second))
			time.Sleep(100 * time.Millisecond)
			if err := a.Bridge(b); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			heardA, heardB := farA.hear(4), farB.hear(4)
			beforeA, beforeB := len(heardA), len(heardB)

			const packets = 100
			tone := Tone(1004, packets*frameTime)
			for n := range packets {
				farA.say(c.a, tone.in(c.a)[n*frameSize:][:frameSize])
				farB.say(c.b, tone.in(c.b)[n*frameSize:][:frameSize])
				time.Sleep(frameTime)
			}
			synctest.Wait()
			heardA, heardB = append(heardA, farA.hear(packets)...), append(heardB, farB.hear(packets)...)
			want := sine(1004, packets*frameSize)
			for _, side := range []struct {
				name   string
				codec  Codec
				heard  []byte
				before int
			}{{"a", c.a, audio(t, heardA), beforeA}, {"b", c.b, audio(t, heardB), beforeB}} {
				got := side.heard[side.before*frameSize:]
				pcm := make([]int16, len(got))
				decode(pcm, got, side.codec)
				if len(pcm) != len(want) {
					t.Errorf("%s hears %d samples, %d were said", side.name, len(pcm), len(want))
				} else if ratio := snr(want[blend:], pcm[blend:]); ratio < c.least {
					t.Errorf("%v to %v: %s hears %.1f dB signal to noise", c.a, c.b, side.name, ratio)
				}
			}
			quietLeg(t, a)
			quietLeg(t, b) // what was interrupted by the bridge has no end

			a.Unbridge()
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			audio(t, append(heardA, farA.hear(4)...))
			if rest := audio(t, farB.hear(4)); len(bytes.Trim(rest[blend:], string([]byte{c.b.silence()}))) > 0 {
				t.Error("no silence after the bridge")
			}
		})
	}
}

func TestPlayingIntoABridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, farA := call(t, e, PCMU, LegOptions{})
		b, farB := call(t, e, PCMU, LegOptions{Near: a})
		if err := b.Bridge(a); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		farA.hear(0) // silence, if a beat came before the bridge
		farB.hear(0)
		talk := func(n int) {
			for range n {
				farA.say(PCMU, bytes.Repeat([]byte{'A'}, frameSize))
				farB.say(PCMU, bytes.Repeat([]byte{'B'}, frameSize))
				time.Sleep(frameTime)
			}
		}
		talk(10)
		playing := a.Play(&Clip{mu: bytes.Repeat([]byte{'P'}, 5*frameSize)})
		talk(20)
		if e := next(t, a); e != (PlayDone{playing}) {
			t.Errorf("told %#v", e)
		}
		synctest.Wait()
		heardA, heardB := audio(t, farA.hear(29)), audio(t, farB.hear(29))
		if n := bytes.Count(heardA, []byte{'P'}); n < 5*frameSize-blend {
			t.Errorf("a hears %d samples of the prompt", n)
		}
		if heardA[blend] != 'B' || !bytes.HasSuffix(heardA, []byte("B")) {
			t.Error("a does not hear b before and after the prompt")
		}
		if n := bytes.Count(heardB, []byte{'A'}); n < 29*frameSize-blend {
			t.Errorf("b hears %d samples of a, who spoke on", n)
		}

		b.Close()
		talk(5)
		synctest.Wait()
		if rest := farA.hear(4); rest[len(rest)-1].payload()[0] != PCMU.silence() {
			t.Error("no silence after the peer's end")
		}
	})
}

func TestKeysAreToldAndPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, farA := call(t, e, PCMU, LegOptions{})
		b, farB := call(t, e, PCMA, LegOptions{Near: a})
		if err := a.Bridge(b); err != nil {
			t.Fatal(err)
		}
		talk := func() {
			farA.say(PCMU, make([]byte, frameSize))
			time.Sleep(frameTime)
		}
		talk()
		for _, key := range []byte{5, 11} {
			for n := range 5 {
				p := eventPacket(0, 0, key, n >= 2, min(n+1, 3)*frameSize)
				farA.send(header{payloadType: 97, timestamp: farA.timestamp, marker: n == 0}, p.payload())
				time.Sleep(frameTime)
			}
			farA.timestamp += 5 * uint32(frameSize)
			talk()
		}
		synctest.Wait()
		for _, want := range []Event{KeyDown{'5'}, Key{'5', 3 * frameTime}, KeyDown{'#'}, Key{'#', 3 * frameTime}} {
			if e := next(t, a); e != want {
				t.Errorf("told %#v, want %#v", e, want)
			}
		}
		var r keyReader
		var got []Event
		audio := 0
		for _, p := range farB.hear(13) {
			if p.payloadType == 97 {
				r.read(&p, sampleRate, 0, func(e Event) { got = append(got, e) })
			} else {
				audio++
			}
		}
		if want := []Event{KeyDown{'5'}, Key{'5', 3 * frameTime}, KeyDown{'#'}, Key{'#', 3 * frameTime}}; !slices.Equal(got, want) || audio != 3 {
			t.Errorf("the other end heard %v and %d packets of audio", got, audio)
		}
		quietLeg(t, b)
	})
}

func TestSendKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMU, LegOptions{})
		leg.Play(count(0, 50*frameSize))
		time.Sleep(100 * time.Millisecond)
		if err := leg.SendKeys("4*"); err != nil {
			t.Fatal(err)
		}
		next(t, leg) // the prompt's end
		synctest.Wait()
		var r keyReader
		var got []Event
		var sound []byte
		var last packet
		for i, p := range far.hear(60) {
			if i > 0 && (p.sequence != last.sequence+1 || int32(p.timestamp-last.timestamp) < 0) {
				t.Errorf("packet %d: %d %d after %d %d", i, p.sequence, p.timestamp, last.sequence, last.timestamp)
			}
			last = p
			if p.payloadType == 97 {
				r.read(&p, sampleRate, 0, func(e Event) { got = append(got, e) })
			} else {
				sound = append(sound, p.payload()...)
			}
		}
		want := []Event{KeyDown{'4'}, Key{'4', 5 * frameTime}, KeyDown{'*'}, Key{'*', 5 * frameTime}}
		if !slices.Equal(got, want) {
			t.Errorf("heard %v, want %v", got, want)
		}
		heardWhole(t, sound, count(0, 50*frameSize), 2)
		if err := leg.SendKeys("hello"); err == nil {
			t.Error("sent letters")
		}
		early, err := testEngine(t).NewLeg(LegOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := early.SendKeys("1"); !errors.Is(err, ErrNoKeys) {
			t.Errorf("sent keys that nobody takes: %v", err)
		}
	})
}

func TestStrangersAreNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, farA := call(t, e, PCMU, LegOptions{})
		b, farB := call(t, e, PCMU, LegOptions{Near: a})
		if err := a.Bridge(b); err != nil {
			t.Fatal(err)
		}
		intruder := newFarEnd(t)
		intruder.to = farA.to
		for range 100 {
			farA.say(PCMU, bytes.Repeat([]byte{'A'}, frameSize))
			for range 40 {
				intruder.say(PCMU, bytes.Repeat([]byte{'X'}, frameSize))
			}
			intruder.press(9, 3)
			time.Sleep(frameTime)
		}
		if !send(intruder.fd, []byte("no RTP at all"), &intruder.to) {
			t.Fatal("cannot send")
		}
		time.Sleep(5 * frameTime)
		synctest.Wait()
		if heard := audio(t, farB.hear(100)); len(bytes.Trim(heard[blend:], "A\xFF")) > 0 || bytes.Count(heard, []byte{'A'}) < 100*frameSize-blend {
			t.Errorf("%d packets heard, or the intruder", len(heard)/frameSize)
		}
		if n := len(intruder.hear(0)); n > 0 {
			t.Errorf("the intruder was sent %d packets", n)
		}
		quietLeg(t, a)
		if s := a.Stats(); s.Strangers != 100*(40+3) || s.Malformed != 1 || s.PacketsIn != 100 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestAgentBehindNATIsLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, err := testEngine(t).NewLeg(LegOptions{Latch: true, Flow: loopback})
		if err != nil {
			t.Fatal(err)
		}
		far := newFarEnd(t)
		far.to.set(leg.LocalAddr())
		private := bytes.ReplaceAll(far.offer(PCMU), []byte("c=IN IP4 127.0.0.1"), []byte("c=IN IP4 127.9.9.9"))
		if _, err := leg.Offer(); err != nil {
			t.Fatal(err)
		}
		if err := leg.Accept(private); err != nil {
			t.Fatal(err)
		}
		leg.PlayMusic(Tone(440, time.Second))
		for range 3 {
			far.say(PCMU, make([]byte, frameSize))
			time.Sleep(frameTime)
		}
		synctest.Wait()
		if n := len(far.hear(0)); n > 0 {
			t.Errorf("%d packets sent to a source that has not proved itself", n)
		}
		far.say(PCMU, make([]byte, frameSize))
		time.Sleep(5 * frameTime)
		audio(t, far.hear(3))
	})
}

func TestSilenceOfTheFarEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMU, LegOptions{})
		lost := func(after time.Duration) {
			t.Helper()
			began := time.Now()
			if e := next(t, leg); e != (Lost{}) {
				t.Errorf("told %#v, want Lost", e)
			}
			if took := time.Since(began); took < after-2*frameTime || took > after+7*frameTime {
				t.Errorf("told after %v, want %v", took, after)
			}
		}
		lost(30 * time.Second)
		time.Sleep(5 * time.Minute)
		quietLeg(t, leg)
		for range 100 {
			far.say(PCMU, make([]byte, frameSize))
			time.Sleep(frameTime)
		}
		lost(30 * time.Second)
		if _, err := leg.Answer(far.offer(PCMU, "a=sendonly")); err != nil {
			t.Fatal(err)
		}
		if e := next(t, leg); e != (Held{}) {
			t.Errorf("told %#v, want Held", e)
		}
		for range 3 { // on hold nothing is lost, but somebody should ask
			began := time.Now()
			if e := next(t, leg); e != (Quiet{}) {
				t.Errorf("told %#v, want Quiet", e)
			}
			if took := time.Since(began); took < 30*time.Second-2*frameTime || took > 30*time.Second+7*frameTime {
				t.Errorf("told after %v, want 30s", took)
			}
		}
		if _, err := leg.Answer(far.offer(PCMU)); err != nil {
			t.Fatal(err)
		}
		if e := next(t, leg); e != (Resumed{}) {
			t.Errorf("told %#v, want Resumed", e)
		}
		lost(30 * time.Second)
	})
}

func TestStatsShowWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMA, LegOptions{})
		for n := range 50 {
			if n%10 == 3 {
				far.sequence += 2
			}
			far.say(PCMA, make([]byte, frameSize))
			time.Sleep(frameTime)
		}
		far.send(header{payloadType: 13}, []byte{40}) // comfort noise, never agreed on
		time.Sleep(10 * frameTime)
		got := leg.Stats()
		out := uint64(len(far.hear(int(got.PacketsOut))))
		want := Stats{Codec: PCMA, PacketsIn: 51, BytesIn: 50*172 + 13, PacketsOut: out, BytesOut: out * 172, Missing: 10, Unexpected: 1}
		if got.Heard.Loss != 10/61. || got.Heard.MOS < 2 || got.Heard.MOS > 3 {
			t.Errorf("with 10 of 61 missing it was heard so: %+v", got.Heard)
		}
		got.Heard = Quality{}
		if got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
		leg.Close()
		if last := leg.Stats(); last.PacketsIn != 51 {
			t.Errorf("after its end counts %+v", last)
		}
	})
}

// A conductor that takes no events stops no beat.
func TestEventsAreDroppedNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		leg, _ := call(t, e, PCMU, LegOptions{})
		for range eventBuffer + 10 {
			leg.Play()
			time.Sleep(2 * frameTime)
		}
		time.Sleep(frameTime)
		synctest.Wait()
		if n := e.shards[0].published.eventsDropped.Load(); n != 10 {
			t.Errorf("%d events dropped, want 10", n)
		}
		if first := next(t, leg); first != (PlayDone{1}) {
			t.Errorf("the oldest event kept is %#v", first)
		}
	})
}

// Keys that the terms took away while they were on their way to the shard are
// not sent, nor are more than may wait.
func TestKeysThatCannotBeSentAreNot(t *testing.T) {
	s := &stream{shard: testShard()}
	s.bind()
	s.pressKey(1)
	if s.keyOut.sounding() {
		t.Error("a key is sent to a far end that takes none")
	}
	s.terms = bareTerms(PCMU, netip.MustParseAddrPort("192.0.2.1:10"))
	for range 2 * keyRoom {
		s.pressKey(1)
	}
	if n := len(s.keyOut.codes); n != keyRoom {
		t.Errorf("%d keys wait, want %d", n, keyRoom)
	}
}
