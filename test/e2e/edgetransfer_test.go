package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// An agent's phone is registered at one node, a caller comes to the other, and the edge
// takes the agent's question to a colleague to the first: it ends up where the caller
// is, so that he can be handed on.
func TestAttendedTransferBehindAnEdge(t *testing.T) {
	t.Parallel()
	node := edgeNodes(t)
	a := peer.StartBugle(t, node("a"), "anna", "ben")
	b := a.StartBeside(t, node("b"), "anna", "ben")
	edge := peer.StartEdge(t, a.SIP, b.SIP)
	edge.Only(t, a.SIP)
	anna := newDesk(t, edge.Outer, "anna")
	edge.Only(t, b.SIP) // from now on
	caller := call(t, peer.CarrierHost, edge.Outer, "1,1")
	talk := anna.rung(t)
	ben := newDesk(t, edge.Outer, "ben")
	talk.media.Hold(true)
	must(t, talk.leg.Reinvite(t.Context()))

	edge.Only(t, a.SIP)
	answered := make(chan line, 1)
	go func() { answered <- ben.rung(t) }()
	own := anna.dial(t, "ben")
	theirs := <-answered
	for node, want := range map[*peer.Bugle]float64{a: 0, b: 2} {
		if got := node.Metrics(t)["bugle_calls_active"]; got != want {
			t.Errorf("%v calls are at %s, want %v", got, node.SIP, want)
		}
	}
	anna.joins(t, talk, own, "ben")
	caller.hangUp()
	caller.ended(t)
	select {
	case <-theirs.leg.Done():
	case <-time.After(10 * time.Second):
		t.Error("the colleague's call goes on")
	}
	nothingLeft(t, a)
	nothingLeft(t, b)

	// The node with the caller dies, and the other does not know yet: it takes the call
	// itself, as the edge cannot send it there.
	for _, id := range []string{"anna", "ben"} { // out of their wrap-up
		b.SetState(t, id, "ready")
	}
	edge.Only(t, b.SIP)
	call(t, peer.CarrierHost, edge.Outer, "1,1")
	anna.rung(t)
	b.Signal(syscall.SIGKILL)
	b.Wait(t, 20*time.Second)
	edge.Only(t, a.SIP)
	go func() { answered <- ben.rung(t) }()
	own = anna.dial(t, "ben")
	theirs = <-answered
	own.leg.Hangup()
	<-theirs.leg.Done()
	peer.Eventually(t, 20*time.Second, "the call to be over", func() bool { return a.Metrics(t)["bugle_calls_active"] == 0 })
}
