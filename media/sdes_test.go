package media

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sdesSession is a testSession of a degree, whose signalling may carry keys.
func sdesSession(mode SRTP) *session {
	s := testSession()
	s.sdes = sdes{mode: mode, confidential: true}
	return s
}

// What two of us agree on, by the degrees of both.
func TestEncryptionIsAgreedOn(t *testing.T) {
	for _, c := range []struct {
		offers, answers SRTP
		encrypted       bool
		err             error
	}{
		{SRTPOff, SRTPOff, false, nil},
		{SRTPOff, SRTPOffer, false, nil},
		{SRTPOff, SRTPRequire, false, ErrNoEncryption},
		{SRTPOffer, SRTPOff, false, nil},
		{SRTPOffer, SRTPOffer, true, nil},
		{SRTPOffer, SRTPRequire, true, nil},
		{SRTPRequire, SRTPOff, false, ErrNoEncryption},
		{SRTPRequire, SRTPOffer, true, nil},
		{SRTPRequire, SRTPRequire, true, nil},
	} {
		a, b := sdesSession(c.offers), sdesSession(c.answers)
		offer, err := a.offer()
		if err != nil {
			t.Fatal(err)
		}
		answer, theirs, err := b.answer(offer)
		if !errors.Is(err, c.err) {
			t.Errorf("%d to %d: error %v", c.offers, c.answers, err)
		}
		if err != nil {
			continue
		}
		ours, err := a.accept(answer)
		if err != nil {
			t.Errorf("%d to %d: %v\n%s", c.offers, c.answers, err, answer)
			continue
		}
		if (ours.secure != nil) != c.encrypted || (theirs.secure != nil) != c.encrypted {
			t.Errorf("%d to %d: encrypted %v and %v", c.offers, c.answers, ours.secure != nil, theirs.secure != nil)
		}
		if c.encrypted {
			if sealed, ok := ours.secure.seal(packetOf(1, 1)); !ok {
				t.Error("not sealed")
			} else if _, ok := theirs.secure.open(sealed); !ok {
				t.Errorf("%d to %d: the ends do not understand each other", c.offers, c.answers)
			}
			if ours.secure.local == theirs.secure.local {
				t.Error("both send under one key")
			}
		}
		// The same again is the same version, and goes on with the same keys.
		if again, err := a.offer(); err != nil || !bytes.Equal(again, offer) {
			t.Errorf("offered again:\n%s\nfirst:\n%s", again, offer)
		}
		if _, again, err := b.answer(offer); err != nil || again.secure != theirs.secure {
			t.Errorf("%d to %d: answering again began anew (%v)", c.offers, c.answers, err)
		}
	}
}

func TestKeysNeedConfidentialSignalling(t *testing.T) {
	open := testSession()
	open.sdes.mode = SRTPOffer
	offer, err := open.offer()
	if err != nil || strings.Contains(string(offer), "crypto") {
		t.Errorf("offered (%v)\n%s", err, offer)
	}
	secret, err := sdesSession(SRTPOffer).offer()
	if err != nil {
		t.Fatal(err)
	}
	if answer, got, err := open.answer(secret); err != nil || got.secure != nil || strings.Contains(string(answer), "crypto") {
		t.Errorf("answered (%v)\n%s", err, answer)
	}
	must := testSession()
	must.sdes.mode = SRTPRequire
	if _, err := must.offer(); !errors.Is(err, ErrNotConfidential) {
		t.Errorf("offered: error %v", err)
	}
	if _, _, err := must.answer(secret); !errors.Is(err, ErrNoEncryption) {
		t.Errorf("answered: error %v", err)
	}
}

func TestCryptoOfOffersAndAnswers(t *testing.T) {
	const key30 = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
	// The far end's first that we know, under its tag.
	s := sdesSession(SRTPOffer)
	body, got, err := s.answer(farBody("m=audio 4000 RTP/SAVP 0", "a=crypto:4 F8_128_HMAC_SHA1_80 inline:"+key30,
		"a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:"+key30+"|2^31", "a=crypto:8 AES_CM_128_HMAC_SHA1_80 inline:"+key30))
	if err != nil || got.secure == nil || got.secure.suite.name != "AES_CM_128_HMAC_SHA1_32" ||
		!strings.Contains(string(body), "RTP/SAVP 0\r\n") || strings.Count(string(body), "a=crypto:") != 1 || !strings.Contains(string(body), "a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:") {
		t.Errorf("answered (%v)\n%s", err, body)
	}
	if strings.Contains(string(body), key30) {
		t.Error("our key is theirs")
	}
	// A renewed key of the far end's gets a new one of ours.
	before := got.secure.local
	renewed := farBody("m=audio 4000 RTP/SAVP 0", "a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:"+strings.Replace(key30, "d0", "d1", 1))
	if _, got, err = s.answer(renewed); err != nil || got.secure.local == before {
		t.Errorf("the far end renewed its key, we did not (%v)", err)
	}
	// An answer must be to one of the lines we offered.
	s = sdesSession(SRTPRequire)
	if _, err := s.offer(); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key30, "a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:" + key30, "a=sendrecv"} {
		if _, err := s.accept(farBody("m=audio 4000 RTP/SAVP 0", wrong)); !errors.Is(err, ErrNoEncryption) {
			t.Errorf("%s: error %v", wrong, err)
		}
	}
	if got, err := s.accept(farBody("m=audio 4000 RTP/SAVP 0", "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"+key30)); err != nil || got.secure == nil {
		t.Errorf("a right answer is refused: %v", err)
	}
}

// A suite that was in use before another gets a new key when it is offered again:
// its counters are gone.
func TestNoKeyIsUsedTwice(t *testing.T) {
	a, b := sdesSession(SRTPOffer), sdesSession(SRTPOffer)
	agree := func(drop int) *secure {
		t.Helper()
		offer, err := a.offer()
		if err != nil {
			t.Fatal(err)
		}
		var kept []string
		for _, line := range strings.Split(string(offer), "\r\n") {
			if drop == 0 || !strings.HasPrefix(line, "a=crypto:1") {
				kept = append(kept, line)
			}
		}
		answer, _, err := b.answer([]byte(strings.Join(kept, "\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.accept(answer)
		if err != nil {
			t.Fatal(err)
		}
		return got.secure
	}
	first, other, again := agree(0), agree(1), agree(0)
	if first.suite == other.suite || first.suite != again.suite {
		t.Fatal("the suites did not change")
	}
	if first.local == again.local || first.remote == again.remote {
		t.Error("a key was used a second time")
	}
}

// Two legs talk under each suite, on ports of their own and shared ones: sound,
// keys and reports pass, and nobody else is let in or followed.
func TestEncryptedLegs(t *testing.T) {
	for _, shared := range []bool{false, true} {
		for _, s := range suites {
			t.Run(s.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := sharingEngine(t, 1, 1)
					open := func(o LegOptions) *Leg {
						o.SRTP, o.Confidential = SRTPRequire, true
						leg, err := e.NewLeg(o)
						if err != nil {
							t.Fatal(err)
						}
						return leg
					}
					a, b := open(LegOptions{}), open(LegOptions{Shared: shared, Latch: !shared})
					offer, err := a.Offer()
					if err != nil {
						t.Fatal(err)
					}
					answer, err := b.Answer(onlySuite(offer, s))
					if err != nil {
						t.Fatal(err)
					}
					if err := a.Accept(answer); err != nil {
						t.Fatal(err)
					}
					stranger := newFarEnd(t)
					stranger.to.set(b.LocalAddr())
					for range 100 { // plain, of a format agreed on, before anybody else
						stranger.say(PCMU, make([]byte, frameSize))
					}
					time.Sleep(10 * frameTime)
					if err := a.SendKeys("5"); err != nil {
						t.Fatal(err)
					}
					if got := next(t, b); got != (KeyDown{'5'}) {
						t.Errorf("told %#v", got)
					}
					time.Sleep(15 * time.Second)
					one, two := a.Stats(), b.Stats()
					if one.Suite != s.name || two.Suite != s.name || one.PacketsIn < 700 || two.PacketsIn < 700 || one.Strangers != 0 || two.Strangers != 100 {
						t.Errorf("counted %+v\nand %+v", one, two)
					}
					if one.RoundTrip == 0 || one.Sent.MOS == 0 || two.Sent.MOS == 0 {
						t.Errorf("no reports: %+v\nand %+v", one, two)
					}
					if heard := stranger.hear(0); len(heard) > 0 {
						t.Errorf("a stranger was sent %d packets", len(heard))
					}
				})
			})
		}
	}
}

// onlySuite leaves one crypto line in an offer.
func onlySuite(offer []byte, s *suite) []byte {
	var kept []string
	for _, line := range strings.Split(string(offer), "\r\n") {
		if !strings.HasPrefix(line, "a=crypto:") || strings.Contains(line, " "+s.name+" ") {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, "\r\n"))
}

// Music and a bridge through encryption: what is shared with other legs is not
// spoilt by it.
func TestEncryptionLeavesSharedSoundAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		plain, far := call(t, e, PCMU, LegOptions{})
		o := LegOptions{SRTP: SRTPRequire, Confidential: true, Near: plain}
		a, err := e.NewLeg(o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.NewLeg(o)
		if err != nil {
			t.Fatal(err)
		}
		offer, err := a.Offer()
		if err != nil {
			t.Fatal(err)
		}
		answer, err := b.Answer(offer)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Accept(answer); err != nil {
			t.Fatal(err)
		}
		clip := count(0, 20*frameSize)
		a.PlayMusic(clip)
		before := bytes.Clone(clip.mu)
		if err := b.Bridge(plain); err != nil { // a's music, decrypted by b, goes to the plain leg
			t.Fatal(err)
		}
		far.say(PCMU, make([]byte, frameSize))
		time.Sleep(time.Second)
		synctest.Wait()
		if !bytes.Equal(clip.mu, before) {
			t.Fatal("encryption changed the clip")
		}
		if heard := audio(t, far.hear(40)); !bytes.Contains(heard, clip.mu[:10*frameSize]) {
			t.Error("the music did not come through")
		}
	})
}
