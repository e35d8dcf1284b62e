package media

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// sharingEngine starts an engine with shared ports.
func sharingEngine(t testing.TB, shards, ports int) *Engine {
	t.Helper()
	e, err := New(config.Media{
		Address:     loopback,
		Ports:       config.PortRange{First: 20000, Last: 24999},
		Silence:     config.Duration(30 * time.Second),
		Shards:      shards,
		SharedPorts: ports,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Close()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// A table of what a shared port does with a source, by whose it is.
func TestSharedPortAttributes(t *testing.T) {
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	type say struct {
		from string
		ssrc byte
	}
	for _, c := range []struct {
		name string
		legs []string // the declared far ends, in order of coming; empty: the one before leaves
		said []say
		want []int // which leg gets it; -1: none
	}{
		{"each leg its own", []string{"192.0.2.1:10", "192.0.2.2:10"},
			[]say{{"192.0.2.2:10", 2}, {"192.0.2.1:10", 1}}, []int{1, 0}},
		{"another port of an address is the waiting leg's", []string{"192.0.2.1:10"},
			[]say{{"192.0.2.1:99", 1}}, []int{0}},
		{"another address is nobody's", []string{"192.0.2.1:10"},
			[]say{{"192.0.2.3:10", 1}}, []int{-1}},
		{"another port after it was heard is nobody's", []string{"192.0.2.1:10"},
			[]say{{"192.0.2.1:10", 1}, {"192.0.2.1:99", 7}}, []int{0, -1}},
		{"two legs of one host", []string{"192.0.2.1:10 heard", "192.0.2.1:20"},
			[]say{{"192.0.2.1:10", 1}, {"192.0.2.1:20", 2}, {"192.0.2.1:99", 3}}, []int{0, 1, -1}},
		{"the stranger of one host is who waits", []string{"192.0.2.1:10 heard", "192.0.2.1:20"},
			[]say{{"192.0.2.1:10", 1}, {"192.0.2.1:99", 3}}, []int{0, 1}},
		{"who changes his port in mid-call is not who waits", []string{"192.0.2.1:10 heard", "192.0.2.1:20"},
			[]say{{"192.0.2.1:10", 1}, {"192.0.2.1:99", 1}}, []int{0, -1}},
		{"who has left is nobody", []string{"192.0.2.1:10", ""},
			[]say{{"192.0.2.1:10", 1}, {"192.0.2.1:99", 1}}, []int{-1, -1}},
		{"the late packets of who has left are not the next one's", []string{"192.0.2.1:10", "", "192.0.2.1:20"},
			[]say{{"192.0.2.1:10", 1}, {"192.0.2.1:20", 2}}, []int{-1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := testShard()
			p := newSharedPort(sh, socketPair{}, 40000)
			var streams []*stream
			for _, far := range c.legs {
				if far == "" {
					streams[len(streams)-1].seat.leave(0)
					continue
				}
				address, heard := bytes.CutSuffix([]byte(far), []byte(" heard"))
				source := at(string(address))
				if !p.free(source, 0) {
					t.Fatalf("not free for %v", source)
				}
				st := &stream{shard: sh, events: make(chan Event, eventBuffer)}
				st.bind()
				st.seat = p.take(st, source)
				terms := bareTerms(PCMU, source)
				terms.send = false
				st.agree(terms, 0)
				if heard {
					st.take(rtpOf(0), source, 0)
				}
				streams = append(streams, st)
			}
			for i, s := range c.said {
				var before []uint64
				for _, st := range streams {
					before = append(before, touched(st))
				}
				p.hand(rtpOf(s.ssrc), at(s.from), 1)
				got := -1
				for n, st := range streams {
					if touched(st) != before[n] {
						got = n
					}
				}
				if got != c.want[i] {
					t.Errorf("packet %d from %v went to leg %d, want %d", i, s.from, got, c.want[i])
				}
			}
		})
	}
}

// rtp makes a packet of silence with an SSRC.
func rtpOf(ssrc byte) []byte {
	raw := make([]byte, headerSize+frameSize)
	h := header{ssrc: uint32(ssrc)}
	h.put(raw)
	return raw
}

// touched counts what a stream was given, heard or not.
func touched(s *stream) uint64 { return s.counts.PacketsIn + s.counts.Strangers }

func TestSharedPortIsFree(t *testing.T) {
	far, port, other := netip.MustParseAddrPort("192.0.2.1:10"), netip.MustParseAddrPort("192.0.2.1:20"), netip.MustParseAddrPort("192.0.2.2:10")
	p := newSharedPort(testShard(), socketPair{}, 40000)
	want := func(when string, now int64, want ...bool) {
		t.Helper()
		for i, address := range []netip.AddrPort{far, port, other} {
			if got := p.free(address, now); got != want[i] {
				t.Errorf("%s: free for %v: %v", when, address, got)
			}
		}
	}
	want("empty", 0, true, true, true)
	s := p.take(new(stream), far)
	want("one waits to be heard", 0, false, false, true)
	s.settle(far)
	want("it was heard", 0, false, true, true)
	s.settle(port)
	want("it was heard from another port, too", 0, false, false, true)
	s.leave(5)
	want("it rests", 5+pairRest-1, false, false, true)
	p.hand(rtpOf(1), port, 15) // it has not drained
	want("it rests on", 5+pairRest, false, false, true)
	want("it rests on still", 15+pairRest-1, false, false, true)
	want("it has rested", 15+pairRest, true, true, true)

	s = p.take(new(stream), far)
	s.leave(0)
	p.take(new(stream), other).leave(1)
	for now := int64(0); now < pairRestMost; now += pairRest / 2 {
		p.hand(rtpOf(1), far, now)
		want("one who never stops", now, false, true, now >= 1+pairRest)
	}
	want("one who never stops, at last", pairRestMost, true, true, true)
	if len(p.seats.four)+len(p.seats.six)+len(p.waiting)+len(p.resting)+p.legs != 0 {
		t.Errorf("left behind: %+v", p)
	}
}

func TestSeatMoves(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:10"), netip.MustParseAddrPort("192.0.2.2:10")
	p := newSharedPort(testShard(), socketPair{}, 40000)
	first, second := p.take(new(stream), a), p.take(new(stream), b)
	if first.move(b, 0) {
		t.Error("moved to where another is")
	}
	if p.waiting[a.Addr()] != nil {
		t.Error("still waits where it no longer is")
	}
	if !first.move(a, 0) || p.waiting[a.Addr()] != first {
		t.Error("does not wait to be heard anew")
	}
	second.leave(0)
	if first.move(b, pairRest-1) {
		t.Error("moved to a pair that rests")
	}
	if !first.move(b, pairRest) || p.seats.get(b) != first || p.seats.get(a) != first || p.waiting[b.Addr()] != first {
		t.Error("not where it moved to, or no longer where it was")
	}
}

// Many calls of one host on a few shared ports: each hears its own peer, and
// nothing is lost.
func TestSharedPortsCarryBridges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, packets = 100, 50
		e := sharingEngine(t, 1, 3)
		var ends []*farEnd
		used := map[uint16]int{}
		for range calls {
			a, farA := call(t, e, PCMU, LegOptions{Shared: true})
			farA.say(PCMU, make([]byte, frameSize))
			time.Sleep(frameTime)
			b, farB := call(t, e, PCMA, LegOptions{Shared: true})
			farB.say(PCMA, make([]byte, frameSize))
			time.Sleep(frameTime)
			if err := a.Bridge(b); err != nil {
				t.Fatal(err)
			}
			used[a.LocalAddr().Port()]++
			used[b.LocalAddr().Port()]++
			ends = append(ends, farA, farB)
		}
		if len(used) != 3 || e.PortsInUse() != 3 {
			t.Errorf("%d legs are on ports %v; %d in use", 2*calls, used, e.PortsInUse())
		}
		synctest.Wait()
		for _, far := range ends {
			far.hear(0)
		}
		for range packets {
			for i, far := range ends {
				far.say([]Codec{PCMU, PCMA}[i%2], bytes.Repeat([]byte{byte(i)}, frameSize))
			}
			time.Sleep(frameTime)
		}
		time.Sleep(frameTime)
		synctest.Wait()
		for i, far := range ends {
			want := []byte{byte(i ^ 1)}
			translate(want, []Codec{PCMA, PCMU}[i%2], []Codec{PCMU, PCMA}[i%2])
			heard := audio(t, far.hear(packets))
			if n := bytes.Count(heard, want); n < packets*frameSize-blend || len(heard) != packets*frameSize {
				t.Errorf("far end %d heard %d samples of its peer, %d in all; want %d", i, n, len(heard), packets*frameSize)
			}
		}
	})
}

// A stranger who floods a shared port, from elsewhere or from the trunk's own
// host, is not heard and starves nobody.
func TestFloodOfASharedPort(t *testing.T) {
	for name, host := range map[string]string{"from elsewhere": "127.0.0.9", "from the trunk's host": "127.0.0.1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const calls, packets, flood = 5, 50, 300 // flood: packets a turn, 15,000 a second
				e := sharingEngine(t, 1, 1)
				var legs []*Leg
				var ends []*farEnd
				for range calls {
					a, farA := shared(t, e)
					b, farB := shared(t, e)
					if err := a.Bridge(b); err != nil {
						t.Fatal(err)
					}
					legs, ends = append(legs, a, b), append(ends, farA, farB)
				}
				waiting, _ := call(t, e, PCMU, LegOptions{Shared: true})
				intruder := farEndAt(t, netip.MustParseAddr(host))
				intruder.to = ends[0].to
				synctest.Wait()
				for _, far := range ends {
					far.hear(0)
				}
				for range packets {
					for range flood / 2 {
						intruder.ssrc++
						intruder.say(PCMU, bytes.Repeat([]byte{'X'}, frameSize))
					}
					for _, far := range ends {
						far.say(PCMU, bytes.Repeat([]byte{'A'}, frameSize))
					}
					for range flood / 2 { // never enough of one SSRC to be taken for the one who waits
						intruder.ssrc++
						intruder.say(PCMU, bytes.Repeat([]byte{'X'}, frameSize))
					}
					time.Sleep(frameTime)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				for i, far := range ends {
					sound := audio(t, far.hear(packets))
					first, rest := sound[:frameSize], sound[frameSize:] // the first is faded in
					if n := bytes.Count(rest, []byte{'A'}); n < (packets-1)*frameSize || bytes.ContainsRune(first, 'X') || bytes.ContainsRune(rest, 'X') {
						t.Errorf("far end %d heard %d packets, want %d, or the intruder", i, 1+n/frameSize, packets)
					}
					if s := legs[i].Stats(); s.PacketsIn != packets+1 || s.Missing != 0 {
						t.Errorf("leg %d: %+v", i, s)
					}
				}
				if s := waiting.Stats(); s.PacketsIn != 0 {
					t.Errorf("the leg that waits heard the intruder: %+v", s)
				}
				if n := len(intruder.hear(0)); n != 0 {
					t.Errorf("the intruder was sent %d packets", n)
				}
				p := &e.shards[0].published
				if n := p.strangers.Load() + p.kernelDrops.Load(); n != packets*flood {
					t.Errorf("%d packets counted as dropped, want %d", n, packets*flood)
				}
			})
		})
	}
}
