package media

import (
	"net/netip"
	"testing"
)

// bridgedPair makes two streams at a shared port without sockets, bridged, that
// have had their turns on the beats before 10.
func bridgedPair(t *testing.T) (*shard, [2]*stream) {
	t.Helper()
	sh := testShard()
	p := newSharedPort(sh, socketPair{}, 40000)
	var pair [2]*stream
	for i := range pair {
		far := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), 4000)
		st := &stream{shard: sh, events: make(chan Event, eventBuffer), gone: make(chan struct{}), out: newSender(0)}
		st.bind()
		sh.add(st)
		st.seat = p.take(st, far)
		st.agree(bareTerms(PCMU, far), 0)
		pair[i] = st
	}
	pair[0].bridge(pair[1])
	runTo(sh, 10)
	return sh, pair
}

// runTo runs a shard's beats up to one.
func runTo(sh *shard, beat int64) {
	for ; sh.next < beat; sh.next++ {
		sh.beat(sh.next)
	}
}

// A leg that hears its peer's packets as they come has no turns to take, until
// something happens to it.
func TestRestingLegIsWoken(t *testing.T) {
	key := []byte{0x80, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 5, 10, 0, 160}
	for name, happens := range map[string]func(sh *shard, st, peer *stream){
		"it is played something":  func(_ *shard, st, _ *stream) { st.play(music{count(0, 1000)}) },
		"it is parted":            func(_ *shard, st, _ *stream) { st.unbridge() },
		"its peer is parted":      func(_ *shard, _, peer *stream) { peer.unbridge() },
		"its peer is buffered":    func(_ *shard, _, peer *stream) { peer.buffer(newJitter()) },
		"it is sent a key":        func(_ *shard, st, _ *stream) { st.pressKey(1) },
		"it presses a key":        func(_ *shard, st, _ *stream) { st.take(key, st.terms.far, 10) },
		"something is done to it": func(sh *shard, st, _ *stream) { sh.guard(st, func(int64) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			sh, pair := bridgedPair(t)
			for _, st := range pair {
				if st.resting < 12 {
					t.Fatalf("rests to beat %d only", st.resting)
				}
			}
			st := pair[0]
			happens(sh, st, pair[1])
			turn := st.due
			runTo(sh, 12)
			if st.due == turn {
				t.Error("has no turn")
			}
		})
	}
}

// Who rests is sent silence in time all the same, as soon as its peer sends none.
func TestRestingLegIsSentSilence(t *testing.T) {
	sh, pair := bridgedPair(t)
	runTo(sh, fillAfter)
	if n := pair[0].counts.PacketsOut; n != 0 {
		t.Errorf("%d packets of silence too early", n)
	}
	runTo(sh, fillAfter+10)
	if n := pair[0].counts.PacketsOut; n != 5 {
		t.Errorf("%d packets of silence in 100 ms, want 5", n)
	}
}
