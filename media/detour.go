package media

import (
	"net/netip"
	"sync/atomic"
)

// detourSize is how many datagrams can be on a detour: some turns' worth.
const detourSize = 8

// detour brings what comes in for a leg at a shared port to the shard the leg
// has moved to, when that is not the port's: a ring with one writer and one
// reader, neither of which waits. Two legs of shared ports that are bridged need
// one if their ports are not on one shard.
type detour struct {
	head  atomic.Uint64 // datagrams ever put, moved by the port's shard
	tail  atomic.Uint64 // datagrams ever got, moved by the leg's
	slots [detourSize]struct {
		from  netip.AddrPort
		stamp int64 // the kernel's
		size  int
		data  [datagramSize]byte
	}
}

// put adds a datagram. False: it was full.
func (d *detour) put(raw []byte, from netip.AddrPort, stamp int64) bool {
	head := d.head.Load()
	if head-d.tail.Load() == detourSize {
		return false
	}
	slot := &d.slots[head%detourSize]
	slot.from, slot.stamp, slot.size = from, stamp, copy(slot.data[:], raw)
	d.head.Store(head + 1)
	return true
}

// get takes the oldest datagram into an inbox. False: there is none.
func (d *detour) get(in *inbox) ([]byte, netip.AddrPort, bool) {
	tail := d.tail.Load()
	if tail == d.head.Load() {
		return nil, netip.AddrPort{}, false
	}
	slot := &d.slots[tail%detourSize]
	raw, from := in.put(slot.data[:slot.size]), slot.from
	in.stamp = slot.stamp
	d.tail.Store(tail + 1)
	return raw, from, true
}
