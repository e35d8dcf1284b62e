package media

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddrKeepsItsAddress(t *testing.T) {
	for _, text := range []string{"192.0.2.1:1", "127.0.0.1:65535", "[2001:db8::7]:4000", "[::1]:256"} {
		want := netip.MustParseAddrPort(text)
		var s sockaddr
		s.set(want)
		if got := s.addrPort(); got != want {
			t.Errorf("%v became %v", want, got)
		}
	}
}

func TestInboxTakesManyAndRefusesGiants(t *testing.T) {
	far := newFarEnd(t)
	far.to.set(far.address)
	const datagrams = farInbox + 3
	for n := range datagrams {
		if !send(far.fd, []byte{byte(n)}, &far.to) {
			t.Fatal("cannot send")
		}
	}
	if !send(far.fd, make([]byte, datagramSize+1), &far.to) {
		t.Fatal("cannot send")
	}
	var got []byte
	for giant := false; !giant; {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(far.fd), Events: unix.POLLIN}}, 60_000); err != nil {
			t.Fatal(err)
		}
		n := far.in.receive(far.fd, farInbox)
		if n == 0 {
			t.Fatalf("%d datagrams came, and then none", len(got))
		}
		for i := range n {
			raw, from := far.in.datagram(i)
			if from != far.address {
				t.Errorf("from %v, want %v", from, far.address)
			}
			giant = len(raw) == 0
			got = append(got, raw...)
		}
	}
	for n, b := range got {
		if int(b) != n {
			t.Errorf("datagram %d is %d", n, b)
		}
	}
	if len(got) != datagrams {
		t.Errorf("%d datagrams, want %d", len(got), datagrams)
	}
}
