package media

import (
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestPlayingAllocatesNothing holds that a beat of 2,000 legs, half of them at
// shared ports, allocates nothing, whatever they hear: music, prompts, silence.
func TestPlayingAllocatesNothing(t *testing.T) {
	const legs, ports = 2000, 16
	sh := testShard()
	sh.lateness = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lateness"})
	own, nobody := newFarEnd(t), newFarEnd(t)
	var shared []*sharedPort
	for range ports {
		at := newFarEnd(t)
		shared = append(shared, newSharedPort(sh, socketPair{at.fd, own.fd}, at.address.Port()))
	}
	sh.ports = shared
	song, word, rest := Tone(440, time.Second), Tone(440, 1010*time.Millisecond), Tone(0, time.Minute)
	var streams []*stream
	for i := range legs {
		st := &stream{shard: sh, out: newSender(0), events: make(chan Event, eventBuffer), gone: make(chan struct{})}
		st.tell = st.post
		far := nobody.address
		if i%2 == 0 {
			st.socket = socketPair{own.fd, own.fd}
		} else {
			far = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), 4000)
			st.seat = shared[i%ports].take(st, far)
		}
		sh.add(st)
		st.agree(bareTerms(PCMU, far), 0)
		st.to.set(nobody.address) // where nobody hears, but somebody is
		switch i / 2 % 3 {
		case 0:
			st.play(music{song})
		case 1:
			st.play(&playlist{clips: []*Clip{word, rest}})
		}
		streams = append(streams, st)
	}
	beat := int64(0)
	allocations := testing.AllocsPerRun(40, func() {
		sh.due(sh.deadline(beat))
		beat++
	})
	if allocations != 0 {
		t.Errorf("%v allocations in a beat", allocations)
	}
	for i, st := range streams {
		if n := st.counts.PacketsOut; n < 20 {
			t.Errorf("stream %d sent %d packets", i, n)
		}
	}
}

// TestTalkingAtSharedPortsAllocatesNothing holds that a beat in which bridged legs
// at shared ports talk allocates nothing, in one law, between the two, and with an
// end encrypted.
func TestTalkingAtSharedPortsAllocatesNothing(t *testing.T) {
	const pairs = 6
	sh := testShard()
	sh.lateness = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lateness"})
	at, reports := newFarEnd(t), newFarEnd(t)
	port := newSharedPort(sh, socketPair{at.fd, reports.fd}, at.address.Port())
	sh.ports = []*sharedPort{port}
	var streams []*stream
	var ends []*farEnd
	var secrets []*secure // of the far ends
	for i := range 2 * pairs {
		far := newFarEnd(t)
		far.to.set(at.address)
		st := &stream{shard: sh, out: newSender(0), events: make(chan Event, eventBuffer), gone: make(chan struct{})}
		st.bind()
		st.seat = port.take(st, far.address)
		sh.add(st)
		agreed, secret := bareTerms([]Codec{PCMU, PCMU, PCMU, PCMA}[i%4], far.address), (*secure)(nil)
		if i >= 2*pairs-4 {
			agreed.secure, secret = pair(t, suites[i%len(suites)])
		}
		st.agree(agreed, 0)
		if i%2 == 1 {
			st.bridge(streams[i-1])
		}
		streams, ends, secrets = append(streams, st), append(ends, far), append(secrets, secret)
	}
	frame := make([]byte, headerSize+frameSize+sealSize)
	beat := int64(0)
	allocations := testing.AllocsPerRun(200, func() {
		for i, far := range ends {
			far.sequence++
			h := header{payloadType: streams[i].terms.codec.payloadType(), sequence: far.sequence, timestamp: uint32(beat) * uint32(beatSize), ssrc: far.ssrc}
			raw := frame[:headerSize+frameSize]
			h.put(raw)
			if secrets[i] != nil {
				raw, _ = secrets[i].seal(raw)
			}
			send(far.fd, raw, &far.to)
			far.in.receive(far.fd, farInbox)
		}
		for range phases {
			sh.due(sh.deadline(beat))
			beat++
		}
	})
	if allocations != 0 && !raceDetector {
		t.Errorf("%v allocations in a turn", allocations)
	}
	for i, st := range streams {
		if st.counts.PacketsIn < 190 || st.counts.PacketsOut < 190 || st.counts.Strangers > 0 {
			t.Errorf("stream %d took no part: %+v", i, st.counts.Stats)
		}
	}
}
