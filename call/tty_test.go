package call

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/sip"
)

// teletype is a telephone that sends and keeps G.711 byte by byte, as an adapter of a
// text telephone (TTY) or a relay service does. It is the session of its leg, too.
type teletype struct {
	t        *testing.T
	conn     *net.UDPConn // never waited for: a bubble would stand still
	law      byte         // 0: PCMU, 8: PCMA
	sequence uint16
	time     uint32

	mu        sync.Mutex
	to        netip.AddrPort
	direction string
	version   int
}

const (
	eventType = 101
	g711Frame = 160 // bytes of 20 ms
)

func newTeletype(t *testing.T, law byte) *teletype {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	y := &teletype{t: t, conn: conn, law: law, direction: "sendrecv"}
	t.Cleanup(func() { _ = conn.Close() })
	return y
}

// Offer implements sip.Session.
func (y *teletype) Offer() ([]byte, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.version++
	return fmt.Appendf(nil, "v=0\r\no=- 1 %d IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP %d %d\r\n"+
		"a=rtpmap:%[4]d telephone-event/8000\r\na=ptime:20\r\na=%[5]s\r\n", y.version, y.conn.LocalAddr().(*net.UDPAddr).Port, y.law, eventType, y.direction), nil
}

// Answer implements sip.Session.
func (y *teletype) Answer(offer []byte) ([]byte, error) {
	if err := y.Accept(offer); err != nil {
		return nil, err
	}
	return y.Offer()
}

var audioAt = regexp.MustCompile(`(?ms)^c=IN IP4 (\S+).*^m=audio (\d+) `)

// Accept implements sip.Session.
func (y *teletype) Accept(answer []byte) error {
	m := audioAt.FindSubmatch(answer)
	if m == nil {
		return fmt.Errorf("no sound in %q", answer)
	}
	to, err := netip.ParseAddrPort(string(m[1]) + ":" + string(m[2]))
	y.mu.Lock()
	defer y.mu.Unlock()
	y.to = to
	return err
}

// send sends one packet.
func (y *teletype) send(kind byte, at uint32, payload []byte) {
	packet := binary.BigEndian.AppendUint16([]byte{0x80, kind}, y.sequence)
	packet = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(packet, at), 7)
	y.sequence++
	y.mu.Lock()
	to := y.to
	y.mu.Unlock()
	if _, err := y.conn.WriteToUDPAddrPort(append(packet, payload...), to); err != nil {
		y.t.Error(err)
	}
}

// press presses a key (RFC 4733).
func (y *teletype) press(key byte) {
	for i, end := range []byte{0, 0x80, 0x80, 0x80} {
		y.send(eventType, y.time, []byte{key, end | 10, 0, byte(80 * (1 + i/3))})
	}
	y.time += 2 * g711Frame
}

// says sends every 20 ms what is given.
func (y *teletype) says(frames [][]byte) {
	beat := time.NewTicker(20 * time.Millisecond)
	defer beat.Stop()
	for _, f := range frames {
		y.send(y.law, y.time, f)
		y.time += g711Frame
		<-beat.C
	}
}

// forgets gives what was heard since the last time, packet by packet.
func (y *teletype) forgets() (heard [][]byte) {
	y.t.Helper()
	raw, err := y.conn.SyscallConn()
	must(y.t, err)
	buf := make([]byte, 2048)
	must(y.t, raw.Control(func(fd uintptr) {
		for {
			n, err := syscall.Read(int(fd), buf)
			if err != nil {
				return // nothing more has come
			}
			if n > 12 && buf[0] == 0x80 && buf[1]&0x7f == y.law {
				heard = append(heard, bytes.Clone(buf[12:n]))
			}
		}
	}))
	return heard
}

// holds puts the far end on hold, or takes it back.
func (y *teletype) holds(leg *sip.Leg, direction string) {
	y.t.Helper()
	y.mu.Lock()
	y.direction = direction
	y.mu.Unlock()
	must(y.t, leg.Reinvite(y.t.Context()))
}

// noise is so many packets in which any byte may be.
func noise(random *rand.Rand, packets int) [][]byte {
	frames := make([][]byte, packets)
	for i := range frames {
		frames[i] = make([]byte, g711Frame)
		for j := range frames[i] {
			frames[i][j] = byte(random.Uint32())
		}
	}
	return frames
}

// TestTextTelephonesTalk holds that through a whole call what a text telephone or a relay
// service sends in G.711 arrives as it was sent, each byte, both ways and also after a hold.
// Only where somebody begins to be heard a packet is faded in. (media's
// TestTTYPassesUnaltered has more of what such telephones send.)
func TestTextTelephonesTalk(t *testing.T) {
	for name, law := range map[string]byte{"PCMU": 0, "PCMA": 8} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				caller, agent := newTeletype(t, law), newTeletype(t, law)
				line, err := h.lines.Dial(sip.Target{URI: "sip:helpline@" + h.address(), From: "+4915112345678"}, caller)
				must(t, err)
				h.await("the answer", line.Answered())
				caller.press(1)
				var desk *sip.Leg
				select {
				case desk = <-h.rung:
				case <-time.After(10 * time.Second):
					t.Fatal("no agent is rung")
				}
				must(t, desk.Answer(agent))
				h.facts.await(t, "visit.ended")
				random := rand.New(rand.NewPCG(1, uint64(law)))
				typed(t, random, caller, agent)
				agent.holds(desk, "sendonly")
				h.poll("the caller hears music", func() bool { return len(caller.forgets()) > 0 })
				agent.holds(desk, "sendrecv")
				typed(t, random, caller, agent)
				line.Hangup()
				h.nothingLeft()
			})
		})
	}
}

// typed has both sides talk at once, and compares.
func typed(t *testing.T, random *rand.Rand, a, b *teletype) {
	t.Helper()
	const first, all, more = 10, 60, 5 // the first may be faded in, or come before the bridge; the last are still on their way
	saysA, saysB := noise(random, all+more), noise(random, all+more)
	a.forgets()
	b.forgets()
	var both sync.WaitGroup
	both.Go(func() { a.says(saysA) })
	both.Go(func() { b.says(saysB) })
	both.Wait()
	for name, c := range map[string]struct{ says, heard [][]byte }{"the agent": {saysA, b.forgets()}, "the caller": {saysB, a.forgets()}} {
		next, came, altered := 0, 0, 0
		for _, got := range c.heard {
			i := next
			for i < all && !bytes.Equal(c.says[i], got) {
				i++
			}
			switch {
			case i < all:
				next = i + 1
				came++
			case next > first && next < all:
				altered++
			}
		}
		if altered > 0 || came < (all-first)*8/10 {
			t.Errorf("%s heard %d packets as they were sent, in their order, of %d, and %d others among them", name, came, all, altered)
		}
	}
}
