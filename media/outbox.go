package media

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// outboxSize is how many packets one system call sends at most.
const outboxSize = 64

// outbox collects the packets that go out through a shared socket, to send them
// with few system calls. A packet is two pieces: a header of its own, and a
// payload that stays where it is, in a clip played to a hundred legs or in the
// buffer it was received in.
type outbox struct {
	messages [outboxSize]message
	vectors  [outboxSize][2]unix.Iovec
	headers  [outboxSize][headerSize]byte
	from     [outboxSize]*stream // whose packets they are
	used     int
}

// newOutbox makes an outbox and ties its parts together.
func newOutbox() *outbox {
	out := new(outbox)
	for i := range out.messages {
		out.vectors[i][0].Base = &out.headers[i][0]
		out.vectors[i][0].SetLen(headerSize)
		h := &out.messages[i].header
		h.Iov = &out.vectors[i][0]
		h.SetIovlen(2)
	}
	return out
}

// full tells whether the outbox has to be sent before it can take more.
func (out *outbox) full() bool { return out.used == outboxSize }

// put adds a packet. The payload must not change until it is sent.
func (out *outbox) put(st *stream, h *header, payload []byte) {
	i := out.used
	out.used++
	h.put(out.headers[i][:])
	out.vectors[i][1].Base = unsafe.SliceData(payload)
	out.vectors[i][1].SetLen(len(payload))
	out.messages[i].header.Name = (*byte)(unsafe.Pointer(&st.to.raw))
	out.messages[i].header.Namelen = uint32(st.to.size)
	out.from[i] = st
}

// send sends what has been put. A packet the kernel will not take is skipped
// and counted, the others go on.
func (out *outbox) send(fd int) {
	for next := 0; next < out.used; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&out.messages[next])), uintptr(out.used-next), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			next += int(n)
		case unix.EINTR:
		default:
			out.from[next].notSent(int(out.vectors[next][1].Len))
			next++
		}
	}
	out.clear()
}

// clear forgets the packets, so that nothing is held that nobody else needs.
func (out *outbox) clear() {
	for i := range out.used {
		out.vectors[i][1].Base = nil
		out.messages[i].header.Name = nil
		out.from[i] = nil
	}
	out.used = 0
}
