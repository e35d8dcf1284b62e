package media

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inbox receives datagrams, many in one system call. A shard has one for all
// its sockets. Its buffers are used again for the next call, except those that
// are kept: what lies in them is still to be sent.
type inbox struct {
	messages []message
	vectors  []unix.Iovec
	from     []sockaddr
	buffers  []byte
	stamps   []stamp
	stamp    int64 // when the datagram given last came, in nanoseconds since 1970; 0: not known
	kept     int   // buffers from the beginning that are not to be written to
}

// slotSize is a buffer's: what is received and passed on may be encrypted there.
const slotSize = datagramSize + sealSize

// stamp is what the kernel tells beside a datagram: a control message with the
// time it came (SCM_TIMESTAMPNS).
type stamp struct {
	header unix.Cmsghdr
	time   unix.Timespec
}

// newInbox makes an inbox of some buffers and ties its parts together.
func newInbox(size int) *inbox {
	in := &inbox{
		messages: make([]message, size),
		vectors:  make([]unix.Iovec, size),
		from:     make([]sockaddr, size),
		buffers:  make([]byte, size*slotSize),
		stamps:   make([]stamp, size),
	}
	for i := range in.messages {
		in.vectors[i].Base = &in.buffers[i*slotSize]
		in.vectors[i].SetLen(datagramSize)
		h := &in.messages[i].header
		h.Iov = &in.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&in.from[i].raw))
		h.Control = (*byte)(unsafe.Pointer(&in.stamps[i]))
	}
	return in
}

// room tells how many datagrams can be received before kept buffers have to be
// let go.
func (in *inbox) room() int { return len(in.messages) - in.kept }

// keep keeps the first n datagrams of those received last.
func (in *inbox) keep(n int) { in.kept += n }

// release lets go of what was kept.
func (in *inbox) release() { in.kept = 0 }

// receive fetches what waits at the socket, most datagrams at most (and no more
// than there is room), and tells how many that were.
func (in *inbox) receive(fd, most int) int {
	messages := in.messages[in.kept:][:most]
	for i := range messages {
		messages[i].header.Namelen = unix.SizeofSockaddrInet6
		messages[i].header.SetControllen(int(unsafe.Sizeof(stamp{})))
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&messages[0])), uintptr(most), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// datagram gives the i-th datagram received and where it came from. One that
// was longer than the buffer is given as empty.
func (in *inbox) datagram(i int) ([]byte, netip.AddrPort) {
	i += in.kept
	m := &in.messages[i]
	from := in.from[i].addrPort()
	in.stamp = 0
	if c := &in.stamps[i]; m.header.Controllen >= uint64(unsafe.Sizeof(stamp{})) && c.header.Type == unix.SCM_TIMESTAMPNS {
		in.stamp = c.time.Nano()
	}
	if m.header.Flags&unix.MSG_TRUNC != 0 {
		return nil, from
	}
	return in.buffers[i*slotSize:][:m.size], from
}

// put takes a datagram that came another way, as if it had been received.
func (in *inbox) put(datagram []byte) []byte {
	at := in.buffers[in.kept*slotSize:][:datagramSize]
	return at[:copy(at, datagram)]
}
