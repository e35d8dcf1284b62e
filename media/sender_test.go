package media

import (
	"math/rand/v2"
	"testing"
)

func TestSenderNumbersItsFrames(t *testing.T) {
	s := newSender(0)
	first := s.frame(0)
	if !first.marker {
		t.Error("the first packet has no marker")
	}
	for n := 1; n < 5; n++ {
		h := s.frame(int64(n * frameSize))
		if h.sequence != first.sequence+uint16(n) || h.timestamp != first.timestamp+uint32(n*frameSize) || h.marker || h.ssrc != first.ssrc {
			t.Errorf("frame %d after %+v is %+v", n, first, h)
		}
	}
	// The engine let 100 ms go: the far end's clock went on.
	late := s.frame(int64(4*frameSize + 6*frameSize))
	if late.sequence != first.sequence+5 || late.timestamp != first.timestamp+uint32(10*frameSize) {
		t.Errorf("after a gap: %+v, first was %+v", late, first)
	}
}

// relayed is a stream to pass on: 20 ms packets of one SSRC.
func relayed(ssrc uint32, sequence uint16, n int) *packet {
	return &packet{ssrc: ssrc, sequence: sequence + uint16(n), timestamp: 7000 + uint32(n*frameSize), marker: n == 0}
}

func TestSenderPassesAStreamOn(t *testing.T) {
	s := newSender(0)
	own := s.frame(0)
	clock := func(n int) int64 { return int64(n) * int64(frameSize) }

	first, ok := s.pass(relayed(5, 65533, 0), clock(1), frameSize)
	if !ok || !first.marker || first.sequence != own.sequence+1 || first.timestamp != own.timestamp+uint32(frameSize) || first.ssrc != own.ssrc {
		t.Fatalf("after %+v the relay begins with %+v, %v", own, first, ok)
	}
	for _, n := range []int{1, 4, 3, 5} { // one lost, two in the wrong order
		h, ok := s.pass(relayed(5, 65533, n), clock(n+1), frameSize)
		if !ok || h.sequence != first.sequence+uint16(n) || h.timestamp != first.timestamp+uint32(n*frameSize) || h.marker {
			t.Errorf("packet %d passed on as %+v, %v; the first as %+v", n, h, ok, first)
		}
	}
	if h, ok := s.pass(relayed(5, 65530, 0), clock(7), frameSize); ok {
		t.Errorf("a packet from before the relay passed on as %+v", h)
	}

	other, ok := s.pass(relayed(6, 100, 0), clock(7), frameSize)
	if !ok || other.sequence != first.sequence+6 || int32(other.timestamp-first.timestamp) < int32(6*frameSize) || other.ssrc != own.ssrc {
		t.Errorf("another stream begins with %+v, %v", other, ok)
	}
}

// Whatever mixture of own frames, relayed streams and keys goes out, sequence
// numbers rise by one and timestamps never go back.
func TestSenderIsContinuousWhateverItSends(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := newSender(0)
		last := s.frame(0)
		var in packet
		for n := int64(1); n < 300; n++ {
			clock := n * int64(frameSize)
			var h header
			var ok bool
			switch random.IntN(8) {
			case 0:
				s.switched()
				continue
			case 1:
				in = packet{ssrc: random.Uint32(), sequence: uint16(random.Uint32()), timestamp: random.Uint32()}
				continue
			case 2, 3, 4:
				in.sequence++
				in.timestamp += uint32(frameSize + random.IntN(40)) // a sender whose clock is fast
				if h, ok = s.pass(&in, clock, frameSize); !ok {
					t.Fatal("a packet in order was refused")
				}
			default:
				h = s.frame(clock)
			}
			if h.sequence != last.sequence+1 || int32(h.timestamp-last.timestamp) < int32(frameSize) || h.ssrc != last.ssrc {
				t.Fatalf("%+v after %+v", h, last)
			}
			last = h
		}
	}
}

func TestSenderTiesAStreamAnewWhenItLeaps(t *testing.T) {
	for name, leap := range map[string]func(*packet){
		"sequence":  func(p *packet) { p.sequence += relayJump + 1 },
		"timestamp": func(p *packet) { p.timestamp += relayDrift + 1 },
	} {
		s := newSender(0)
		before, _ := s.pass(relayed(1, 10, 0), 0, frameSize)
		p := relayed(1, 10, 1)
		leap(p)
		after, ok := s.pass(p, int64(frameSize), frameSize)
		if !ok || after.sequence != before.sequence+1 || after.timestamp != before.timestamp+uint32(frameSize) || !after.marker {
			t.Errorf("%s leaps: %+v after %+v", name, after, before)
		}
	}
}

// Whatever comes to be passed on, in whatever order and however often, no number
// goes out twice: SRTP would seal two packets with one key stream.
func TestSenderSendsNoNumberTwice(t *testing.T) {
	s := newSender(0)
	s.frame(0)
	first, _ := s.pass(relayed(5, 65500, 0), 0, frameSize)
	for _, c := range []struct {
		n    int
		want bool
	}{
		{0, false}, {2, true}, {1, true}, {1, false}, {2, false},
		{70, true}, {6, false}, {7, true}, {7, false}, {70, false}, {69, true}, {71, true},
	} {
		h, ok := s.pass(relayed(5, 65500, c.n), 0, frameSize)
		if ok != c.want || ok && h.sequence != first.sequence+uint16(c.n) {
			t.Errorf("packet %d: number %d after %d, %v; want %v", c.n, h.sequence, first.sequence, ok, c.want)
		}
	}
	key := relayed(5, 65500, 72)
	if _, ok := s.passKey(key, key.timestamp, 0, false); !ok {
		t.Error("a key was refused")
	}
	if h, ok := s.passKey(key, key.timestamp, 0, false); ok {
		t.Errorf("a key's packet that came again was passed on: %+v", h)
	}

	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		s := newSender(0)
		sent := map[uint16]bool{}
		for n := range 400 {
			h, ok := header{}, true
			switch random.IntN(10) {
			case 0:
				h = s.frame(int64(n * frameSize))
			case 1:
				s.switched()
				continue
			default:
				h, ok = s.pass(relayed(1, 65000, n-random.IntN(100)), int64(n*frameSize), frameSize)
			}
			if ok && sent[h.sequence] {
				t.Fatalf("number %d was sent twice", h.sequence)
			}
			sent[h.sequence] = sent[h.sequence] || ok
		}
	}
}

// An SRTP stream whose first packets are lost close to the number's turning over
// would never be opened again.
func TestSenderBeginsInTheLowerHalf(t *testing.T) {
	for range 1000 {
		if s := newSender(0); s.sequence >= 1<<15 {
			t.Fatalf("a stream begins after number %d", s.sequence)
		}
	}
}

// What our reports say of the time is right for what is heard, though a stream that
// is passed on lies beside our clock.
func TestReportsFollowWhatIsPassedOn(t *testing.T) {
	s := newSender(0)
	own := s.frame(0)
	if got := s.sounding(0); got != own.timestamp {
		t.Errorf("of our own %d, want %d", got, own.timestamp)
	}
	var last header
	for n := range 10 {
		late := uint32(0)
		if n >= 5 {
			late = sampleRate // the far end's clock leaps, by less than relayDrift
		}
		p := &packet{ssrc: 7, sequence: uint16(n), timestamp: uint32(n*frameSize) + late}
		last, _ = s.pass(p, int64((n+1)*frameSize), frameSize)
	}
	if got := s.sounding(int64(11 * frameSize)); got != last.timestamp+uint32(frameSize) {
		t.Errorf("a packet later %d, want %d", got-last.timestamp, frameSize)
	}
	own = s.frame(int64(12 * frameSize))
	if got := s.sounding(int64(12 * frameSize)); s.relay.on || got != s.now(int64(12*frameSize)) {
		t.Errorf("of our own again %d after %d", got, own.timestamp)
	}
}
