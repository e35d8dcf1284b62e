//go:build bench

package media

import (
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// The machine's limit: threads that make the system calls a relay cannot do
// without, for the same sockets, packets and beats as Bugle's engine, and
// nothing else: no RTP is read, no header written, no source checked.

const (
	limitBeat = 10e6 // ns

	// As the engine's. A leg with a socket of its own has its turn on every second
	// beat; shared ports are asked on each.
	ownBatch    = 4
	sharedBatch = 64
	sharedPorts = 16 // a shard
)

// bareLoop relays with sockets of each leg's own, or with shared ones.
type bareLoop struct {
	shared bool
	near   []uint16
}

func (b *bareLoop) open(far []uint16, shards int) error {
	debug.SetGCPercent(-1) // the loops below don't let the scheduler in
	b.near = make([]uint16, len(far))
	for shard := range shards {
		var legs []int // both of a call's on one thread
		for leg := range far {
			if leg/2%shards == shard {
				legs = append(legs, leg)
			}
		}
		loop := relayOwn
		if b.shared {
			loop = relayShared
		}
		run, err := loop(far, b.near, legs)
		if err != nil {
			return err
		}
		go func() {
			runtime.LockOSThread()
			run()
		}()
	}
	return nil
}

func (b *bareLoop) join(first, n int, _ bool) ([]uint16, error) { return b.near[first : first+n], nil }
func (b *bareLoop) count(*usage)                                {}
func (b *bareLoop) close()                                      {}

// relayOwn gives each leg a socket.
func relayOwn(far, near []uint16, legs []int) (func(), error) {
	fds, to := make([]int, len(far)), make([]unix.RawSockaddrInet4, len(far))
	for _, leg := range legs {
		var err error
		if fds[leg], near[leg], err = openSocket(64 << 10); err != nil {
			return nil, err
		}
		to[leg] = rawAddress(far[leg])
	}
	in := newBatch(ownBatch, true)
	return func() {
		c := newClock(limitBeat)
		for turn := 0; ; turn = 1 - turn {
			c.wait()
			c.forgo()
			for n := turn; n < len(legs); n += 2 {
				leg := legs[n]
				for i := range in.receive(fds[leg]) {
					sendTo(fds[leg^1], in.buffers[i][:in.messages[i].size], &to[leg^1])
				}
			}
		}
	}, nil
}

// relayShared gives all legs a few ports. Who is who it must look up, as anybody
// would: the address a packet came from tells.
func relayShared(far, near []uint16, legs []int) (func(), error) {
	type route struct {
		out int // index of the socket
		to  unix.RawSockaddrInet4
	}
	var fds [sharedPorts]int
	place := make([]int, len(far)) // index of a leg's socket
	for i := range fds {
		fd, port, err := openSocket(4 << 20)
		if err != nil {
			return nil, err
		}
		fds[i] = fd
		for n := i; n < len(legs); n += sharedPorts {
			near[legs[n]], place[legs[n]] = port, i
		}
	}
	routes := make([]route, 1<<16) // by port of the far end
	for _, leg := range legs {
		routes[rawAddress(far[leg]).Port] = route{place[leg^1], rawAddress(far[leg^1])}
	}
	// A packet goes out from the buffer it came into, so each socket has buffers
	// of its own and only their headers are dealt to the sockets that send.
	var in [sharedPorts]*batch
	var out [sharedPorts][]message
	for i := range fds {
		in[i] = newBatch(sharedBatch, true)
	}
	beat := func() (more bool) {
		for i, fd := range fds {
			n := in[i].receive(fd)
			more = more || n == sharedBatch
			for k := range n {
				r := &routes[in[i].address[k].Port]
				in[i].vectors[k].SetLen(int(in[i].messages[k].size))
				in[i].address[k] = r.to
				in[i].messages[k].header.SetControllen(0)
				out[r.out] = append(out[r.out], in[i].messages[k])
			}
		}
		for i, fd := range fds {
			sendAll(fd, out[i])
			out[i] = out[i][:0]
		}
		for _, b := range in {
			for k := range b.vectors {
				b.vectors[k].SetLen(datagramSize)
			}
		}
		return more
	}
	return func() {
		for c := newClock(limitBeat); ; {
			c.wait()
			c.forgo()
			for beat() {
			}
		}
	}, nil
}

// sendAll sends messages in batches; one that the kernel will not take is
// skipped.
func sendAll(fd int, messages []message) {
	for len(messages) > 0 {
		b := batch{messages: messages}
		n := b.send(fd, min(len(messages), sharedBatch))
		messages = messages[max(n, 1):]
	}
}
