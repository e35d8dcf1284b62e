package media

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFilterKnowsTheHosts(t *testing.T) {
	to, friend := newFarEnd(t), newFarEnd(t)
	friend.to.set(to.address)
	other := func(host string) int {
		fd, err := openSocket(netip.AddrPortFrom(netip.MustParseAddr(host), 0), rtpBuffer)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	senders := []int{friend.fd, other("127.0.0.2"), other("127.1.2.3")}
	many := map[netip.Addr]int{}
	for a := netip.MustParseAddr("192.0.2.0"); len(many) <= filterMost; a = a.Next() {
		many[a] = 1
	}
	for _, c := range []struct {
		name  string
		hosts map[netip.Addr]int
		want  [3]bool
	}{
		{"one host", map[netip.Addr]int{loopback: 2}, [3]bool{true, false, false}},
		{"two hosts", map[netip.Addr]int{loopback: 1, netip.MustParseAddr("127.1.2.3"): 1}, [3]bool{true, false, true}},
		{"too many to filter", many, [3]bool{true, true, true}},
		{"no filter to take off", many, [3]bool{true, true, true}},
		{"none", nil, [3]bool{}},
		{"IPv6", map[netip.Addr]int{netip.IPv6Loopback(): 1}, [3]bool{true, true, true}},
	} {
		if err := filterHosts(to.fd, c.hosts); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for i, fd := range senders {
			before := drops(to.fd)
			if !send(fd, []byte{1}, &friend.to) {
				t.Fatal("cannot send")
			}
			heard, dropped := 0, uint32(0)
			for limit := time.Now().Add(time.Minute); heard == 0 && dropped == 0 && time.Now().Before(limit); { // it has come, either way
				heard, dropped = to.in.receive(to.fd, farInbox), drops(to.fd)-before
			}
			if want := c.want[i]; heard == 1 != want || dropped == 0 != want || heard+int(dropped) != 1 {
				t.Errorf("%s: of sender %d %d is heard and %d dropped, heard should be %v", c.name, i, heard, dropped, want)
			}
		}
	}
}

// A kernel that does not say what it dropped has dropped nothing.
func TestDropsThatAreNotToldAreNone(t *testing.T) {
	p := newSharedPort(testShard(), socketPair{}, 40000)
	p.sockets = socketPair{rtp: -1, rtcp: -1}
	p.dropped = 7
	p.countDrops()
	if n := p.shard.counts.kernelDrops; n != 0 || p.dropped != 7 {
		t.Errorf("%d drops counted; %d before", n, p.dropped)
	}
}
