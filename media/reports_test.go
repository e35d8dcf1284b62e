package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// reporting makes a leg and its far end's two sockets, RTP and RTCP; with mux
// they are one.
func reporting(t *testing.T, e *Engine, mux bool, o LegOptions) (leg *Leg, rtp, reports *farEnd) {
	t.Helper()
	leg, err := e.NewLeg(o)
	if err != nil {
		t.Fatal(err)
	}
	rtp, reports = newFarEnd(t), newFarEnd(t)
	attribute := fmt.Sprintf("a=rtcp:%d", reports.address.Port())
	if mux {
		attribute, reports = "a=rtcp-mux", rtp
	}
	answer, err := leg.Answer(rtp.offer(PCMU, attribute))
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Contains(answer, []byte("\r\na=rtcp-mux\r\n")); got != mux {
		t.Errorf("asked for RTCP on RTP's port: %v, answered %v", mux, got)
	}
	at := leg.LocalAddr()
	rtp.to.set(at)
	if !mux {
		reports.to.set(netip.AddrPortFrom(at.Addr(), at.Port()+1))
	}
	return leg, rtp, reports
}

// told gives the reports that have come, read by another implementation.
func (f *farEnd) told() (all [][]rtcp.Packet) {
	f.t.Helper()
	f.hear(0)
	for _, raw := range f.reports {
		packets, err := rtcp.Unmarshal(raw)
		if err != nil {
			f.t.Fatalf("%v: %x", err, raw)
		}
		if err := rtcp.CompoundPacket(packets).Validate(); err != nil {
			f.t.Fatal(err)
		}
		all = append(all, packets)
	}
	f.reports = nil
	return all
}

func TestReportsAreSentAndHeeded(t *testing.T) {
	for _, c := range []struct {
		name string
		mux  bool
		o    LegOptions
	}{{"own port", false, LegOptions{}}, {"one port", true, LegOptions{}}, {"shared port", false, LegOptions{Shared: true}}, {"shared port, one port", true, LegOptions{Shared: true}}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leg, far, reports := reporting(t, sharingEngine(t, 1, 1), c.mux, c.o)
				speak := func(packets int) {
					for range packets {
						far.say(PCMU, make([]byte, frameSize))
						time.Sleep(frameTime)
					}
				}
				speak(100)
				far.sequence += 10 // lost on the way
				speak(900)
				synctest.Wait()
				heard := len(far.hear(990))
				told := reports.told()
				if len(told) < 3 || len(told) > 11 {
					t.Fatalf("%d reports in 20 s", len(told))
				}
				sr, ok := told[len(told)-1][0].(*rtcp.SenderReport)
				if !ok || len(sr.Reports) != 1 {
					t.Fatalf("told %+v", told[len(told)-1])
				}
				block := sr.Reports[0]
				if block.SSRC != far.ssrc || block.TotalLost != 10 || block.FractionLost != 0 || uint16(block.LastSequenceNumber) > far.sequence {
					t.Errorf("said of the far end: %+v", block)
				}
				if int(sr.PacketCount) > heard || int(sr.PacketCount) < heard-400 || sr.OctetCount != sr.PacketCount*uint32(frameSize) {
					t.Errorf("%d packets of %d octets announced, %d heard", sr.PacketCount, sr.OctetCount, heard)
				}

				// The far end says how it hears us: its report comes 40 ms after ours
				// went out, of which it kept it for 10.
				const kept = 10 * time.Millisecond
				raw, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: far.ssrc, NTPTime: 77 << 16, Reports: []rtcp.ReceptionReport{{
					SSRC: sr.SSRC, TotalLost: uint32(heard / 10), Jitter: 80, LastSenderReport: uint32(sr.NTPTime >> 16), Delay: shortNTP(kept),
				}}}, rtcp.NewCNAMESourceDescription(far.ssrc, "far")})
				if err != nil {
					t.Fatal(err)
				}
				sent := time.Now()
				if !send(reports.fd, raw, &reports.to) {
					t.Fatal("not sent")
				}
				time.Sleep(2 * time.Second)
				stats := leg.Stats()
				if stats.Sent.Loss < .09 || stats.Sent.Loss > .11 || stats.Sent.Jitter != 10*time.Millisecond || stats.Sent.MOS < 1 {
					t.Errorf("the far end's view: %+v", stats.Sent)
				}
				age := sent.Sub(time.Unix(int64(sr.NTPTime>>32)-2208988800, int64(sr.NTPTime&0xFFFFFFFF*1e9>>32)))
				if least := age - kept; stats.RoundTrip < least-time.Millisecond || stats.RoundTrip > least+1100*time.Millisecond {
					t.Errorf("round trip %v; the report was sent %v after ours", stats.RoundTrip, age)
				}
				if stats.Heard.Loss < 10/1011. || stats.Heard.Loss > 10/1009. || stats.Heard.MOS < 1 {
					t.Errorf("heard: %+v", stats.Heard)
				}

				leg.Close()
				told = reports.told()
				last := told[len(told)-1]
				bye, ok := last[len(last)-1].(*rtcp.Goodbye)
				if !ok || !slices.Equal(bye.Sources, []uint32{sr.SSRC}) {
					t.Errorf("the last report is %+v", last)
				}
				if next, ok := last[0].(*rtcp.SenderReport); !ok || len(next.Reports) != 1 || next.Reports[0].LastSenderReport != 77 {
					t.Errorf("the far end's report is not acknowledged: %+v", last[0])
				}
			})
		})
	}
}

// A far end that answers at once may make its delay too long by its clock's
// coarseness: its round trip is known all the same.
func TestRoundTrip(t *testing.T) {
	const second = 1 << 16
	for _, c := range []struct {
		name               string
		now, lastSR, delay uint32
		want               time.Duration
		ok                 bool
	}{
		{"half a second", 10 * second, 7 * second, 2*second + second/2, 500 * time.Millisecond, true},
		{"over the turn of the clock", second / 2, ^uint32(0) - second + 1, second, 500 * time.Millisecond, true},
		{"none", 10 * second, 9 * second, second, time.Second >> 16, true},
		{"less than none, by its clock", 10 * second, 9 * second, second + 60, time.Second >> 16, true},
		{"far less than none", 10 * second, 9 * second, second + second/100, 0, false},
		{"too long", 20 * second, 8 * second, second, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := roundTrip(c.now, c.lastSR, c.delay)
			if ok != c.ok || ok && got != c.want {
				t.Errorf("got %v, %t; want %v, %t", got, ok, c.want, c.ok)
			}
		})
	}
}

// Who is not the far end is not believed, and reports that are none do no harm.
func TestReportsOfStrangersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far, reports := reporting(t, testEngine(t), false, LegOptions{})
		far.say(PCMU, make([]byte, frameSize))
		for _, raw := range [][]byte{{0x80, 201}, bytes.Repeat([]byte{0x81, 201, 0, 1}, 20), {0x80, 201, 0xFF, 0xFF, 1, 2, 3, 4}} {
			if !send(reports.fd, raw, &reports.to) {
				t.Fatal("not sent")
			}
		}
		time.Sleep(2 * time.Second)
		if got := leg.Stats(); got.Malformed != 3 || got.Sent != (Quality{}) {
			t.Errorf("counted %+v", got)
		}
		leg.do(func(s *stream, now int64) {
			s.takeReport([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, netip.MustParseAddrPort("127.0.0.2:9"))
		})
		if got := leg.Stats(); got.Strangers != 1 {
			t.Errorf("counted %+v", got)
		}
	})
}

// A datagram's time is the kernel's; where that cannot be, the beat's.
func TestArrival(t *testing.T) {
	sh := testShard()
	sh.elapsed, sh.wall = time.Minute, 1e18
	for _, c := range []struct {
		stamp int64
		want  time.Duration
	}{{0, time.Minute}, {1e18 - 3e6, time.Minute - 3*time.Millisecond}, {1e18 + 1e6, time.Minute + time.Millisecond}, {5e17, time.Minute}} {
		sh.inbox.stamp = c.stamp
		if got := sh.arrival(); got != c.want {
			t.Errorf("stamp %d: %v, want %v", c.stamp, got, c.want)
		}
	}
	a, b := newFarEnd(t), newFarEnd(t)
	a.to.set(b.address)
	before := time.Now().Add(-time.Millisecond)
	a.say(PCMU, []byte{1})
	for b.in.receive(b.fd, 1) == 0 {
	}
	b.in.datagram(0)
	if got := time.Unix(0, b.in.stamp); got.Before(before) || got.After(time.Now().Add(time.Millisecond)) {
		t.Errorf("the kernel stamped %v, between %v and now", got, before)
	}
}

// TestOneSourceOfReportsIsBelieved holds that another program on the far end's host,
// or behind the same NAT, neither turns our reports away nor adds to what the far
// end says of us.
func TestOneSourceOfReportsIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far, reports := reporting(t, testEngine(t), false, LegOptions{})
		other := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(far.address.Addr(), port) }
		for n, c := range []struct {
			from     netip.AddrPort
			believed bool
			again    bool // agreed before
		}{
			{other(9), true, false}, // behind NAT, for all we know
			{other(10), false, false},
			{other(9), true, false},
			{reports.address, true, false}, // where they are due from
			{other(9), false, false},
			{reports.address, true, false},
			{other(10), true, true},
			{other(9), false, false},
		} {
			if c.again {
				if _, err := leg.Answer(far.offer(PCMU, fmt.Sprintf("a=rtcp:%d", reports.address.Port()))); err != nil {
					t.Fatal(err)
				}
			}
			before := leg.Stats()
			heeded := make(chan int64, 1)
			leg.do(func(s *stream, now int64) {
				known := s.counts.farJitter.n
				raw := make([]byte, reportSize)
				r := ownReport{ssrc: far.ssrc, hears: true, about: reception{ssrc: s.out.ssrc, jitter: 80}}
				s.takeReport(raw[:r.put(raw)], c.from)
				heeded <- s.counts.farJitter.n - known
			})
			heard, strangers := <-heeded == 1, leg.Stats().Strangers-before.Strangers
			if heard != c.believed || strangers == 1 == c.believed {
				t.Errorf("report %d, from %v: heeded %v, %d strangers", n, c.from, heard, strangers)
			}
		}
	})
}

// Octets announced are those of payload, whatever was encrypted meanwhile.
func TestOctetsAreThoseOfPayload(t *testing.T) {
	for _, suite := range suites {
		far := newFarEnd(t)
		s := &stream{shard: testShard(), out: newSender(0), socket: socketPair{far.fd, far.fd}}
		s.to.set(far.address)
		transmit := func() {
			h := s.out.frame(0)
			s.transmit(&h, s.shard.room(frameSize))
		}
		transmit()
		s.terms.secure, _ = pair(t, suite)
		transmit()
		transmit()
		s.socket.rtp = 1 << 20 // no socket: not sent
		transmit()
		s.socket.rtp = far.fd
		s.terms.secure = nil
		transmit()
		if s.counts.octets != uint64(4*frameSize) || s.counts.PacketsOut != 4 {
			t.Errorf("%s: %d octets in %d packets, want %d in 4", suite.name, s.counts.octets, s.counts.PacketsOut, 4*frameSize)
		}
	}
}
