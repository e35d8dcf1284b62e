//go:build bench

package media

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopback is where everything happens.
var loopback = netip.MustParseAddr("127.0.0.1")

// The sockets of the generator and of the bare loops: raw descriptors that
// never block, with nothing of Bugle's between them and the kernel.

// datagramSize is what a receive buffer holds.
const datagramSize = 2048

// openSocket binds a UDP socket to an even port of loopback, and tells which: the
// odd ones are RTCP's, and what comes there is not to be taken for RTP.
func openSocket(buffer int) (fd int, port uint16, err error) {
	for {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, 0, err
		}
		if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback.As4()}); err != nil {
			break
		}
		var bound unix.Sockaddr
		if bound, err = unix.Getsockname(fd); err != nil {
			break
		}
		if port = uint16(bound.(*unix.SockaddrInet4).Port); port%2 == 0 {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
			return fd, port, nil
		}
		_ = unix.Close(fd)
	}
	_ = unix.Close(fd)
	return -1, 0, err
}

// message is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type message struct {
	header unix.Msghdr
	size   uint32
}

// batch is room for several datagrams and their addresses, and for the time at
// which the kernel had them: one control message (SCM_TIMESTAMPNS) each.
type batch struct {
	messages []message
	vectors  []unix.Iovec
	address  []unix.RawSockaddrInet4
	buffers  [][datagramSize]byte
	control  [][controlSize]byte
}

// controlSize is that of a control message with a timespec.
const controlSize = unix.SizeofCmsghdr + 16

// newBatch makes room for n datagrams; named ones bring their sender's address.
func newBatch(n int, named bool) *batch {
	b := &batch{
		messages: make([]message, n), vectors: make([]unix.Iovec, n), address: make([]unix.RawSockaddrInet4, n),
		buffers: make([][datagramSize]byte, n), control: make([][controlSize]byte, n),
	}
	for i := range b.messages {
		b.vectors[i].Base = &b.buffers[i][0]
		b.vectors[i].SetLen(datagramSize)
		h := &b.messages[i].header
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if named {
			h.Name = (*byte)(unsafe.Pointer(&b.address[i]))
			h.Namelen = unix.SizeofSockaddrInet4
		}
		h.Control = &b.control[i][0]
	}
	return b
}

// receive fetches what waits at a socket, as much as there is room for.
func (b *batch) receive(fd int) int {
	for i := range b.messages {
		h := &b.messages[i].header
		if h.Name != nil {
			h.Namelen = unix.SizeofSockaddrInet4
		}
		h.SetControllen(controlSize)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&b.messages[0])), uintptr(len(b.messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// send sends the first n datagrams in one call and tells how many the kernel
// took.
func (b *batch) send(fd, n int) int {
	taken, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&b.messages[0])), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(taken)
}

// at tells when the i-th datagram received came, in nanoseconds since 1970.
func (b *batch) at(i int) int64 {
	return (*unix.Timespec)(unsafe.Pointer(&b.control[i][unix.CmsgLen(0)])).Nano()
}

// sendTo sends one datagram; to is nil for a connected socket.
func sendTo(fd int, datagram []byte, to *unix.RawSockaddrInet4) bool {
	size := uintptr(0)
	if to != nil {
		size = unix.SizeofSockaddrInet4
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(datagram))), uintptr(len(datagram)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(to)), size)
	return errno == 0
}

// rawAddress is a port of loopback as the kernel takes it.
func rawAddress(port uint16) unix.RawSockaddrInet4 {
	return unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port>>8 | port<<8, Addr: loopback.As4()}
}

// clock is a beat on absolute deadlines of the thread that sleeps on it.
type clock struct{ next, every int64 }

func newClock(every int64) *clock { return &clock{next: monotonic() + every, every: every} }

// wait sleeps until the next beat is due; a late one is due at once. Go's
// scheduler does not hear of it: its watching over sleeping threads costs as much
// as the packets of a hundred legs.
func (c *clock) wait() {
	deadline := unix.NsecToTimespec(c.next)
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME,
			uintptr(unsafe.Pointer(&deadline)), 0, 0, 0)
		if errno != unix.EINTR {
			break
		}
	}
	c.next += c.every
}

// forgo lets go the beats that are overdue.
func (c *clock) forgo() {
	if late := monotonic() - c.next; late > 0 {
		c.next += (late/c.every + 1) * c.every
	}
}

func monotonic() int64 { return now(unix.CLOCK_MONOTONIC) }

// now reads a clock in nanoseconds.
func now(clock int32) int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(clock, &t)
	return t.Nano()
}
