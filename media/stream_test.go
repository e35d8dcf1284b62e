package media

import (
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bugle-voice/bugle/config"
)

// standing makes a shard that is driven by hand, with pairs of bridged streams
// whose far ends are given.
func standing(t testing.TB, pairs int) (*shard, []*stream, []*farEnd) {
	t.Helper()
	pool, err := newPorts(config.PortRange{First: 23000, Last: 24799})
	if err != nil {
		t.Fatal(err)
	}
	lateness := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lateness"})
	sh := newShard(time.Now(), 30*time.Second, pool, lateness)
	var streams []*stream
	var ends []*farEnd
	for len(streams) < 2*pairs {
		port, err := pool.take()
		if err != nil {
			t.Fatal(err)
		}
		pair, err := openPair(loopback, port, rtpBuffer)
		if err != nil {
			continue // another program has it
		}
		st := &stream{shard: sh, socket: pair, port: port, out: newSender(0), events: make(chan Event, eventBuffer), gone: make(chan struct{})}
		st.bind()
		sh.add(st)
		far := newFarEnd(t)
		far.to.set(netip.AddrPortFrom(loopback, port))
		streams, ends = append(streams, st), append(ends, far)
	}
	t.Cleanup(sh.stop)
	for i, st := range streams {
		st.agree(bareTerms(PCMU, ends[i].address), 0)
		if i%2 == 1 {
			st.bridge(streams[i-1])
		}
	}
	return sh, streams, ends
}

// bareTerms are those of a far end with one codec and keys as 97.
func bareTerms(c Codec, far netip.AddrPort) terms {
	t := terms{far: far, send: true, hear: true}
	t.add(format{number: c.payloadType(), codec: c})
	t.add(format{number: 97, codec: telephoneEvent})
	t.receive[c.payloadType()], t.receive[97] = c, telephoneEvent
	return t
}

func TestABeatAllocatesNothing(t *testing.T) {
	sh, streams, ends := standing(t, 4)
	streams[1].agree(bareTerms(PCMA, ends[1].address), 0)
	streams[2].play(music{Tone(440, time.Second)})
	streams[3].play(&playlist{clips: []*Clip{Tone(440, time.Minute)}})
	streams[4].unbridge()
	voice := newTap()
	voice.voice = true
	if !streams[0].setTap(newTap()) || !streams[1].setTap(voice) {
		t.Fatal("no tap")
	}
	sound := make([]byte, frameSize)
	raw := append(make([]byte, headerSize), sound...)
	var beat int64
	allocations := testing.AllocsPerRun(200, func() {
		for i, far := range ends {
			far.sequence++
			h := header{payloadType: streams[i].terms.codec.payloadType(), sequence: far.sequence, timestamp: uint32(beat), ssrc: far.ssrc}
			h.put(raw)
			send(far.fd, raw, &far.to)
			far.in.receive(far.fd, farInbox)
		}
		for range phases {
			sh.due(sh.deadline(beat))
			beat++
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations in a beat", allocations)
	}
	for i, st := range streams {
		if st.counts.PacketsIn == 0 || st.counts.PacketsOut == 0 {
			t.Errorf("stream %d took no part: %+v", i, st.counts.Stats)
		}
	}
}

// FuzzStream throws datagrams at a bridged leg, from its far end and from
// elsewhere.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xFF}, true)
	f.Add([]byte{0x80, 97, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 0x80, 0, 160}, true)
	f.Add([]byte{0xB1, 8, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0xBE, 0xDE, 0, 0, 1, 2, 3, 1}, false)
	sh, streams, ends := standing(f, 1)
	streams[1].agree(bareTerms(PCMA, ends[1].address), 0)
	streams[0].gate.latch = true
	streams[0].tap = newTap()
	now := int64(0)
	f.Fuzz(func(t *testing.T, raw []byte, known bool) {
		from := stranger
		if known {
			from = ends[0].address
		}
		now++
		before := streams[0].counts.Stats
		streams[0].take(raw, from, now)
		streams[0].tap.read(func(*tapFrame) {})
		after := streams[0].counts.Stats
		if after.PacketsIn+after.Strangers+after.Malformed != before.PacketsIn+before.Strangers+before.Malformed+1 {
			t.Fatalf("one datagram, %+v became %+v", before, after)
		}
		sh.beat(now)
		for len(streams[0].events) > 0 {
			<-streams[0].events
		}
	})
}

// BenchmarkBridge is what a bridged call costs the engine: for both directions
// a packet in, and out again. The generator's own work is not counted.
func BenchmarkBridge(b *testing.B) {
	const calls = 100
	sh, _, ends := standing(b, calls)
	raw := make([]byte, headerSize+frameSize)
	beat := int64(0)
	for b.Loop() {
		b.StopTimer()
		for _, far := range ends {
			far.sequence++
			far.timestamp += uint32(frameSize)
			h := header{sequence: far.sequence, timestamp: far.timestamp, ssrc: far.ssrc}
			h.put(raw)
			send(far.fd, raw, &far.to)
			far.in.receive(far.fd, farInbox)
		}
		b.StartTimer()
		for range phases {
			sh.beat(beat)
			beat++
		}
	}
	perSecond := float64(time.Second / frameTime)
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N)/calls*perSecond, "CPU-ms/call-second")
}
