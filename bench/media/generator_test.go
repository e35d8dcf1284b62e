//go:build bench

package media

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	packetTime = 20 * time.Millisecond
	packetSize = 12 + 160 // G.711

	// mark is where in a packet it says whose it is: behind what may be blended
	// into the sound before it.
	mark = packetSize - 16

	slots    = 10 // of the 20 ms: the legs' packets are spread over them
	slotTime = packetTime / slots

	// How many times 20 ms pass between two looks at a leg's socket. The
	// kernel keeps the packets, and their time where it matters.
	looks = 5

	// silence is what is there in a packet of silence, in PCMU; no leg has that number.
	silence = 0xFFFFFFFF

	// timed is which legs have their packets' times taken: a pair of so many.
	timed = 32
)

// generator is the far ends of all legs: a socket each, which speaks a packet
// every 20 ms and hears what comes back. Leg i talks with leg i^1. A packet says
// in its payload whose it is, which one, and when it was sent, so that nothing
// can be taken for another.
type generator struct {
	ports []uint16
	legs  []farEnd
	in    *batch
	music bool // the legs say one word, by which they are known, and then listen

	joined      atomic.Int64  // legs that take part, from the first
	sent, heard atomic.Uint64 // packets of all legs

	times []time.Duration // of the timed legs' packets: under way, or since the one before
	stop  chan struct{}
	done  sync.WaitGroup
}

// farEnd is one leg's.
type farEnd struct {
	fd     int
	packet [packetSize]byte

	sent, heard uint32
	newest      uint32 // number of the newest packet of the peer's
	disordered  uint32 // packets that did not follow the one before
	foreign     uint32 // packets that were not the peer's
	filled      uint32 // packets of silence, sent for want of the peer's
	last        int64  // when the newest came, of a timed leg
	began, end  uint16 // sequence numbers of the first and the newest packet heard
}

// newGenerator opens the far ends of so many legs.
func newGenerator(legs int, music bool) (*generator, error) {
	g := &generator{music: music, legs: make([]farEnd, legs), ports: make([]uint16, legs), in: newBatch(2*looks, false)}
	for i := range g.legs {
		l := &g.legs[i]
		var err error
		if l.fd, g.ports[i], err = openSocket(256 << 10); err != nil {
			g.legs = g.legs[:i]
			g.close()
			return nil, err
		}
		l.packet[0] = 2 << 6
		binary.BigEndian.PutUint16(l.packet[2:], uint16(rand.Uint32()))
		binary.BigEndian.PutUint32(l.packet[4:], rand.Uint32())
		binary.BigEndian.PutUint32(l.packet[8:], rand.Uint32())
		binary.BigEndian.PutUint32(l.packet[mark:], uint32(i))
	}
	return g, nil
}

// join lets the next legs take part: each sends to its port of near and takes
// packets from nowhere else. What came before is no concern of theirs.
func (g *generator) join(near []uint16) error {
	first, before := int(g.joined.Load()), newBatch(2*looks, false)
	for i, port := range near {
		if err := unix.Connect(g.legs[first+i].fd, &unix.SockaddrInet4{Port: int(port), Addr: loopback.As4()}); err != nil {
			return err
		}
		for before.receive(g.legs[first+i].fd) == 2*looks {
		}
	}
	g.joined.Add(int64(len(near)))
	return nil
}

// start begins speaking and hearing, or goes on with it.
func (g *generator) start() {
	g.stop = make(chan struct{})
	g.done.Go(g.run)
}

// halt stops sending, and hearing a while later.
func (g *generator) halt() {
	close(g.stop)
	g.done.Wait()
}

func (g *generator) close() {
	for i := range g.legs {
		_ = unix.Close(g.legs[i].fd)
	}
}

func (g *generator) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := newClock(int64(slotTime))
	for slot := 0; ; slot++ {
		select {
		case <-g.stop:
			time.Sleep(5 * packetTime) // what is still under way
			for i := range g.joined.Load() {
				g.listen(int(i))
			}
			return
		default:
		}
		c.wait()
		joined := int(g.joined.Load())
		for i := slot % slots; i < joined; i += slots {
			if l := &g.legs[i]; !g.music || l.sent == 0 {
				l.speak()
				g.sent.Add(1)
			}
		}
		for i := slot % (slots * looks); i < joined; i += slots * looks {
			g.listen(i)
		}
	}
}

// speak sends the next packet.
func (l *farEnd) speak() {
	p := l.packet[:]
	binary.BigEndian.PutUint16(p[2:], binary.BigEndian.Uint16(p[2:])+1)
	binary.BigEndian.PutUint32(p[4:], binary.BigEndian.Uint32(p[4:])+160)
	l.sent++
	binary.BigEndian.PutUint32(p[mark+4:], l.sent)
	binary.BigEndian.PutUint64(p[mark+8:], uint64(now(unix.CLOCK_REALTIME)))
	sendTo(l.fd, p, nil)
}

// listen takes what has come for a leg.
func (g *generator) listen(i int) {
	for {
		n := g.in.receive(g.legs[i].fd)
		for k := range n {
			g.hear(i, g.in.buffers[k][:g.in.messages[k].size], g.in.at(k))
		}
		if n < len(g.in.messages) {
			return
		}
	}
}

// hear notes one packet.
func (g *generator) hear(i int, p []byte, at int64) {
	l := &g.legs[i]
	if !g.music && len(p) == packetSize && binary.BigEndian.Uint32(p[mark:]) == silence {
		l.filled++
		return
	}
	l.heard++
	g.heard.Add(1)
	if len(p) != packetSize {
		l.foreign++
		return
	}
	l.end = binary.BigEndian.Uint16(p[2:])
	if l.heard == 1 {
		l.began = l.end
	}
	if g.music {
		if i%timed < 2 && l.last != 0 {
			g.times = append(g.times, time.Duration(at-l.last))
		}
		l.last = at
		return
	}
	if binary.BigEndian.Uint32(p[mark:]) != uint32(i^1) {
		l.foreign++
		return
	}
	number := binary.BigEndian.Uint32(p[mark+4:])
	if number != l.newest+1 {
		l.disordered++
	}
	l.newest = max(l.newest, number)
	if i%timed < 2 {
		g.times = append(g.times, time.Duration(at-int64(binary.BigEndian.Uint64(p[mark+8:]))))
	}
}

// outcome is what became of the packets.
type outcome struct {
	lost, disordered, foreign, filled int
	times                             []time.Duration // sorted
}

// outcome is to be asked for after halt.
func (g *generator) outcome() outcome {
	o := outcome{times: slices.Sorted(slices.Values(g.times))}
	for i := range g.legs {
		l := &g.legs[i]
		o.disordered += int(l.disordered)
		o.foreign += int(l.foreign)
		o.filled += int(l.filled)
		if !g.music {
			o.lost += int(g.legs[i^1].sent) - int(l.heard-l.foreign)
		} else if l.heard == 0 {
			o.lost++
		} else {
			o.lost += int(l.end-l.began+1) - int(uint16(l.heard)) // no run here is long enough to wrap
		}
	}
	return o
}

// share gives how many in a hundred of the times lie between two, both
// included.
func (o *outcome) share(from, to time.Duration) float64 {
	n := 0
	for _, d := range o.times {
		if from <= d && d <= to {
			n++
		}
	}
	return 100 * float64(n) / float64(max(len(o.times), 1))
}

// percentile gives one of the times.
func (o *outcome) percentile(p float64) time.Duration {
	if len(o.times) == 0 {
		return -1
	}
	return o.times[min(int(float64(len(o.times))*p/100), len(o.times)-1)]
}
