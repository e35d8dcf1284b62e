package media

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bugle-voice/bugle/config"
)

// crypto is an offer of a far end's that wants SRTP under a key of its own.
func crypto(far *farEnd, key byte) []byte {
	line := cryptoLine{tag: "1", suite: suites[0]}
	line.key.bytes[0] = key
	body := string(far.offer(PCMU, "a=crypto:"+line.attribute()))
	return []byte(strings.Replace(body, "RTP/AVP", "RTP/SAVP", 1))
}

// An offer in mid-call that cannot be met, since it needs a port and none is free,
// leaves the talk, its encryption and all that is agreed later as they were.
func TestFailedAnswerLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(config.Media{Address: loopback, Ports: freePorts(t, 1), SharedPorts: 1, Shards: 1}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		far := newFarEnd(t)
		leg, err := e.NewLeg(LegOptions{Shared: true, SRTP: SRTPRequire, Confidential: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leg.Answer(crypto(far, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		delete(leg.port.seat.port.waiting, far.address.Addr()) // as if heard: another may come from that host
		_, otherFar := call(t, e, PCMU, LegOptions{Shared: true})
		before, secure := leg.LocalAddr(), leg.agreed.secure

		if _, err := leg.Answer(crypto(otherFar, 2)); !errors.Is(err, ErrNoPorts) {
			t.Fatalf("error %v, want %v", err, ErrNoPorts)
		}
		if at := leg.LocalAddr(); at != before {
			t.Errorf("at %v, was at %v", at, before)
		}
		body, err := leg.Offer()
		if err != nil || !bytes.Contains(body, []byte("c=IN IP4 127.0.0.1")) {
			t.Fatalf("our offer (%v): %s", err, body)
		}
		answer := crypto(otherFar, 3)
		if err := leg.Accept(answer); !errors.Is(err, errTaken) {
			t.Fatalf("error %v, want %v", err, errTaken)
		}
		if _, err := leg.Answer(crypto(far, 1)); err != nil {
			t.Fatalf("the first offer again: %v", err)
		}
		if leg.agreed.secure != secure {
			t.Error("the encryption began anew under the same key")
		}
	})
}

// An offer or answer that crosses the hang-up comes when the leg has ended: it is
// told so, and what rests of the leg takes nobody's packets.
func TestOffersAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := sharingEngine(t, 1, 1)
		stays, _ := shared(t, e)
		leg, _ := shared(t, e)
		late := newFarEnd(t)
		if _, err := leg.Offer(); err != nil {
			t.Fatal(err)
		}
		leg.Close()
		if _, err := leg.Answer(late.offer(PCMU)); !errors.Is(err, ErrClosed) {
			t.Errorf("an offer: error %v", err)
		}
		if err := leg.Accept(late.offer(PCMU)); !errors.Is(err, ErrClosed) {
			t.Errorf("an answer: error %v", err)
		}
		after, _ := shared(t, e) // as it could not be if a seat of nobody waited for this host
		p := stays.port.seat.port
		stays.Close()
		after.Close()
		if _, err := after.Answer(late.offer(PCMU)); !errors.Is(err, ErrClosed) {
			t.Errorf("an offer after the port has closed: error %v", err)
		}
		if p.sockets.open() {
			t.Error("the port that has closed still has descriptors")
		}
	})
}
