package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bugle-voice/bugle/config"
)

// The tests of whole legs run the real engine on real loopback sockets, in the
// virtual time of a synctest bubble: the sockets are not Go's, so that a bubble
// does not mind them.

var loopback = netip.MustParseAddr("127.0.0.1")

// testEngine starts an engine that the test's end closes.
func testEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := New(config.Media{
		Address: loopback,
		Ports:   config.PortRange{First: 20000, Last: 24999},
		Silence: config.Duration(30 * time.Second),
		Shards:  1,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// farInbox is how many datagrams a far end takes in one system call.
const farInbox = 8

// farEnd is the other end of a leg: a socket of its own and what it sent.
type farEnd struct {
	t         testing.TB
	fd        int
	address   netip.AddrPort
	to        sockaddr
	in        *inbox
	ssrc      uint32
	sequence  uint16
	timestamp uint32
	reports   [][]byte // RTCP that came
}

// newFarEnd binds a far end somewhere on loopback.
func newFarEnd(t testing.TB) *farEnd {
	t.Helper()
	return farEndAt(t, loopback)
}

// farEndAt binds a far end at an address.
func farEndAt(t testing.TB, host netip.Addr) *farEnd {
	t.Helper()
	fd, err := openSocket(netip.AddrPortFrom(host, 0), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(name.(*unix.SockaddrInet4).Port)
	return &farEnd{t: t, fd: fd, address: netip.AddrPortFrom(host, port), in: newInbox(farInbox), ssrc: uint32(port), sequence: 65530, timestamp: 1 << 31}
}

// offer is the SDP it offers: one codec, keys as 97, and what else is given.
func (f *farEnd) offer(c Codec, attributes ...string) []byte {
	return lines(append([]string{"v=0", "o=far 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
		fmt.Sprintf("m=audio %d RTP/AVP %d 97", f.address.Port(), c.payloadType()), "a=rtpmap:97 telephone-event/8000"}, attributes...)...)
}

// call makes a leg and a far end that have agreed on a codec.
func call(t testing.TB, e *Engine, c Codec, o LegOptions) (*Leg, *farEnd) {
	t.Helper()
	leg, err := e.NewLeg(o)
	if err != nil {
		t.Fatal(err)
	}
	far := newFarEnd(t)
	if _, err := leg.Answer(far.offer(c)); err != nil {
		t.Fatal(err)
	}
	far.to.set(leg.LocalAddr())
	return leg, far
}

// say sends one packet of audio, 20 ms after the one before.
func (f *farEnd) say(c Codec, audio []byte) {
	f.send(header{payloadType: c.payloadType(), timestamp: f.timestamp}, audio)
	f.timestamp += uint32(len(audio))
}

// send sends one packet; sequence and SSRC are filled in. In a bubble the shard
// is let finish its beat first, so that it doesn't take the packet before it has
// done what the test has told it until now.
func (f *farEnd) send(h header, payload []byte) {
	if inBubble() {
		synctest.Wait()
	}
	f.sequence++
	h.sequence, h.ssrc = f.sequence, f.ssrc
	raw := make([]byte, headerSize, headerSize+len(payload))
	h.put(raw)
	if !send(f.fd, append(raw, payload...), &f.to) {
		f.t.Fatal("the far end cannot send")
	}
}

// inBubble tells whether time is virtual: in a bubble it begins with the year 2000.
func inBubble() bool { return time.Now().Year() < 2020 }

// press sends a whole key press in one go.
func (f *farEnd) press(key byte, times int) {
	for n := range times {
		p := eventPacket(0, 0, key, n == times-1, (n+1)*frameSize)
		f.send(header{payloadType: 97, timestamp: f.timestamp, marker: n == 0}, p.payload())
	}
	f.timestamp += uint32(times * frameSize)
}

// hear gives the packets that have come so far, after waiting for at least
// some number of them.
func (f *farEnd) hear(least int) []packet {
	f.t.Helper()
	var heard []packet
	for {
		n := f.in.receive(f.fd, farInbox)
		for i := range n {
			raw, _ := f.in.datagram(i)
			if isRTCP(raw) { // of a leg whose far end has the port before this one's
				f.reports = append(f.reports, append([]byte(nil), raw...))
				continue
			}
			p, ok := parsePacket(append([]byte(nil), raw...))
			if !ok {
				f.t.Fatalf("heard what is no RTP: %x", raw)
			}
			heard = append(heard, p)
		}
		if n > 0 {
			continue
		}
		if len(heard) >= least {
			return heard
		}
		const patience = 60_000 // real milliseconds
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}, patience)
		if ready == 0 || err != nil && !errors.Is(err, unix.EINTR) {
			f.t.Fatalf("heard %d packets, want %d (%v)", len(heard), least, err)
		}
	}
}

// audio joins the payloads of audio packets and holds their numbers against
// each other: one SSRC, no hole, no timestamp that goes back or overlaps.
func audio(t testing.TB, packets []packet) []byte {
	t.Helper()
	var all []byte
	for i, p := range packets {
		all = append(all, p.payload()...)
		if i == 0 {
			continue
		}
		before := packets[i-1]
		if p.ssrc != before.ssrc || p.sequence != before.sequence+1 || int32(p.timestamp-before.timestamp) < int32(len(before.payload())) {
			t.Fatalf("packet %d: SSRC %x sequence %d timestamp %d after %x %d %d", i,
				p.ssrc, p.sequence, p.timestamp, before.ssrc, before.sequence, before.timestamp)
		}
	}
	return all
}
