package sip

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// TestForgedSource holds that nobody shuts another out by writing his address into
// datagrams: for a while from datagrams at most, and from connections not at all.
func TestForgedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(&sharedBans{})
		for range 12 {
			for range 20 {
				e.failed(stranger.Addr(), "udp", offenceMalformed)
			}
			for range 200 {
				e.failed(stranger.Addr(), "udp", offenceNoAnswer)
			}
			if e.admit(stranger, "udp", 500) {
				t.Fatal("datagrams pass")
			}
			for _, network := range []string{"tcp", "tls", "ws", "wss"} {
				if !e.admit(stranger, network, 500) {
					t.Fatalf("%s is kept out", network)
				}
			}
			time.Sleep(strangersLimits.Ban.D())
			if !e.admit(stranger, "udp", 500) {
				t.Fatal("the ban became longer")
			}
		}
		if n := len(e.toShare); n != 0 {
			t.Errorf("other nodes are told of %d bans", n)
		}
		for range 20 { // which nobody does who has not seen the challenge
			e.failed(stranger.Addr(), "udp", offenceProof)
		}
		if !e.banned(stranger.Addr(), "tls") || len(e.toShare) != 1 {
			t.Error("who guesses passwords by datagrams is banned from nothing else")
		}
	})
}

// TestForgedProof holds that a wrong proof counts as proof of who sends it only with
// a challenge that was sent there, whatever else is wrong with it.
func TestForgedProof(t *testing.T) {
	g := newGuard(passwords{"d", map[string]string{"anna": "secret"}}, "d", "md5")
	other := netip.MustParseAddr("192.0.2.8")
	for _, change := range []func(digestParams){
		func(digestParams) {}, func(p digestParams) { p["algorithm"] = "SHA-256" }, func(p digestParams) { p["algorithm"] = "odd" },
	} {
		p := digestParams{"realm": "d", "nonce": g.nonce(time.Now(), other), "qop": "auth"}
		change(p)
		req := gosip.NewRequest(gosip.REGISTER, gosip.Uri{Scheme: "sip", Host: "d"})
		req.AppendHeader(gosip.NewHeader("Authorization", answerTo(p, gosip.REGISTER, "sip:d", Auth{"anna", "guess"})))
		if _, v := g.check(req, stranger.Addr()); v != proofStale {
			t.Errorf("%v with another's challenge is judged %d", p, v)
		}
		if _, v := g.check(req, other); v != proofWrong {
			t.Errorf("%v with his own challenge is judged %d", p, v)
		}
	}
}

// TestForgedFlood holds that a flood of datagrams, from one address or from all over,
// leaves room for those who connect: they are where they say.
func TestForgedFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(nil)
		entered(e, stranger, 1000)
		for i := range 1000 {
			entered(e, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 5060), 1)
		}
		if e.admit(stranger, "udp", 500) {
			t.Fatal("there is room for datagrams")
		}
		for n := range 10 {
			if !e.admit(stranger, "tls", 500) {
				t.Fatalf("no room for message %d of a connection", n+1)
			}
		}
		if e.admit(stranger, "tcp", 500) {
			t.Error("each kind of connection has its own room")
		}
	})
}
