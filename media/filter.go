package media

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// filterMost is how many hosts a filter can list: it is asked for each packet.
	filterMost = 64
	// sourceOffset is where a filter finds the source of an IPv4 packet: 12 bytes
	// into its network header (SKF_NET_OFF, linux/filter.h).
	sourceOffset = 0xfff00000 + 12
	// dropsIndex is where the kernel's answer to SO_MEMINFO has the datagrams it
	// dropped (SK_MEMINFO_DROPS, linux/sock_diag.h).
	dropsIndex = 8
)

// filterHosts has the kernel drop what comes to a socket from any but some IPv4
// hosts, before it takes room in the buffer. Hosts that are too many, or of
// IPv6, are not filtered: a filter saves work, who is believed is decided
// elsewhere.
func filterHosts(fd int, hosts map[netip.Addr]int) error {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: sourceOffset}}
	for host := range hosts {
		if !host.Is4() || len(hosts) > filterMost {
			return unfilter(fd)
		}
		a := host.As4()
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K})
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// unfilter takes a filter off, if there is one.
func unfilter(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != unix.ENOENT {
		return err
	}
	return nil
}

// drops tells how many datagrams the kernel has dropped at a socket, since they
// were filtered or there was no room.
func drops(fd int) uint32 {
	var info [dropsIndex + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	if _, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return 0
	}
	return info[dropsIndex]
}
