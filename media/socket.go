package media

import (
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sockets are raw descriptors outside Go's poller: a shard asks each of
// them on the beat and never waits, so that parking and waking goroutines,
// half the cost of a packet, falls away. The calls below do not block, hence
// RawSyscall: the scheduler need not know of them.

const (
	// rtpBuffer is the receive buffer asked for an RTP socket: some seconds of a
	// call, and a bound to what a flood can make the kernel hold.
	rtpBuffer = 64 << 10
	// sharedBuffer is that of a shared port: a tenth of a second of its legs and
	// of a flood beside them. The kernel grants it up to net.core.rmem_max.
	sharedBuffer = 4 << 20
	// rtcpBuffer is that of an RTCP socket: what a shared port's legs report in
	// a second. What does not fit the kernel drops.
	rtcpBuffer = 32 << 10
	// expedited is the DSCP class EF (RFC 3246) in its place in the IP header.
	expedited = 46 << 2
	// datagramSize is the longest datagram taken; an Ethernet frame is shorter.
	datagramSize = 1536
)

// socketPair is two UDP sockets: RTP, and RTCP on the next port. The zero pair
// is none.
type socketPair struct {
	rtp, rtcp int
}

// openPair binds the pair whose RTP port is given, with a receive buffer for that.
func openPair(address netip.Addr, port uint16, buffer int) (socketPair, error) {
	rtp, err := openSocket(netip.AddrPortFrom(address, port), buffer)
	if err != nil {
		return socketPair{}, err
	}
	rtcp, err := openSocket(netip.AddrPortFrom(address, port+1), rtcpBuffer)
	if err != nil {
		_ = unix.Close(rtp)
		return socketPair{}, err
	}
	return socketPair{rtp, rtcp}, nil
}

// open tells whether there is a pair.
func (p *socketPair) open() bool { return p.rtp != 0 }

// quiet listens for a while, and tells whether nothing came.
func (p *socketPair) quiet(d time.Duration) bool {
	time.Sleep(d)
	waiting := []unix.PollFd{{Fd: int32(p.rtp), Events: unix.POLLIN}, {Fd: int32(p.rtcp), Events: unix.POLLIN}}
	n, _ := unix.Poll(waiting, 0)
	return n <= 0
}

// close gives the descriptors back, if there are any. UDP has nothing to flush, so there is no
// error that could matter.
func (p socketPair) close() {
	if p.open() {
		_ = unix.Close(p.rtp)
		_ = unix.Close(p.rtcp)
	}
}

// openSocket binds one UDP socket that never blocks.
func openSocket(at netip.AddrPort, buffer int) (int, error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_TOS
	var bound unix.Sockaddr
	if at.Addr().Is4() {
		bound = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		bound = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening an RTP socket: %w", os.NewSyscallError("socket", err))
	}
	if err := unix.Bind(fd, bound); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("binding RTP socket %v: %w", at, os.NewSyscallError("bind", err))
	}
	// These are wishes: a kernel that refuses them still carries the call.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	_ = unix.SetsockoptInt(fd, level, option, expedited)
	stampDatagrams(fd)
	return fd, nil
}

// sockaddr is an address as the kernel takes it.
type sockaddr struct {
	raw  unix.RawSockaddrInet6 // the largest; an IPv4 address fills its beginning
	size uintptr
}

// set fills in the address.
func (s *sockaddr) set(a netip.AddrPort) {
	if a.Addr().Is4() {
		raw := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		*raw = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(a.Port()), Addr: a.Addr().As4()}
		s.size = unix.SizeofSockaddrInet4
		return
	}
	s.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(a.Port()), Addr: a.Addr().As16()}
	s.size = unix.SizeofSockaddrInet6
}

// addrPort reads the address back.
func (s *sockaddr) addrPort() netip.AddrPort {
	if s.raw.Family == unix.AF_INET {
		raw := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		return netip.AddrPortFrom(netip.AddrFrom4(raw.Addr), networkOrder(raw.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(s.raw.Addr), networkOrder(s.raw.Port))
}

// networkOrder swaps a port between the machine's order of bytes and the
// network's; it is its own inverse.
func networkOrder(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// send writes one datagram to an address without blocking or allocating. A
// datagram the kernel will not take is lost, as it might be on any wire.
func send(fd int, datagram []byte, to *sockaddr) bool {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(datagram))), uintptr(len(datagram)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
		uintptr(unsafe.Pointer(&to.raw)), to.size)
	return errno == 0
}

// message is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type message struct {
	header unix.Msghdr
	size   uint32
}
