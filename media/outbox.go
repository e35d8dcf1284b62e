package media

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// outboxSize is how many packets one system call sends at most.
const outboxSize = 64

// outbox collects the packets that go out through a shared socket, to send them
// with few system calls. A packet stays where it is: in the buffer it was
// received in, or where it was put together.
type outbox struct {
	messages [outboxSize]message
	vectors  [outboxSize]unix.Iovec
	from     [outboxSize]*stream // whose packets they are
	used     int
}

// newOutbox makes an outbox and ties its parts together.
func newOutbox() *outbox {
	out := new(outbox)
	for i := range out.messages {
		h := &out.messages[i].header
		h.Iov = &out.vectors[i]
		h.SetIovlen(1)
	}
	return out
}

// full tells whether the outbox has to be sent before it can take more.
func (out *outbox) full() bool { return out.used == outboxSize }

// put adds a packet, which must not change until it is sent.
func (out *outbox) put(st *stream, packet []byte) {
	i := out.used
	out.used++
	out.vectors[i].Base = unsafe.SliceData(packet)
	out.vectors[i].SetLen(len(packet))
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
			out.from[next].notSent(int(out.vectors[next].Len))
			next++
		}
	}
	out.clear()
}

// clear forgets the packets, so that nothing is held that nobody else needs.
func (out *outbox) clear() {
	for i := range out.used {
		out.vectors[i].Base = nil
		out.messages[i].header.Name = nil
		out.from[i] = nil
	}
	out.used = 0
}
