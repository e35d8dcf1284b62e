package media

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bugle-voice/bugle/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewRefuses(t *testing.T) {
	ports := config.PortRange{First: 40000, Last: 40009}
	for name, c := range map[string]config.Media{
		"no address":         {Ports: ports},
		"every address":      {Address: netip.IPv4Unspecified(), Ports: ports},
		"two versions of IP": {Address: loopback, Advertise: netip.IPv6Loopback(), Ports: ports},
		"no ports":           {Address: loopback},
	} {
		if e, err := New(c, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: started", name)
			_ = e.Close()
		}
	}
}

// sockets counts the sockets of this process.
func sockets(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && len(to) > 6 && to[:6] == "socket" {
			n++
		}
	}
	return n
}

func TestCloseLeavesNothing(t *testing.T) {
	before := sockets(t)
	e := testEngine(t)
	var legs []*Leg
	for range 20 {
		leg, err := e.NewLeg(LegOptions{})
		if err != nil {
			t.Fatal(err)
		}
		leg.PlayMusic(Tone(440, time.Second))
		legs = append(legs, leg)
	}
	if n, m := e.PortsInUse(), sockets(t)-before; n != 20 || m != 40 {
		t.Errorf("20 legs have %d pairs of ports and %d sockets", n, m)
	}
	for _, leg := range legs[:15] {
		leg.Close()
		leg.Close()
	}
	if n, m := e.PortsInUse(), sockets(t)-before; n != 5 || m != 10 {
		t.Errorf("5 legs have %d pairs of ports and %d sockets", n, m)
	}
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Error(err)
	}
	if n, m := e.PortsInUse(), sockets(t)-before; n != 0 || m != 0 {
		t.Errorf("a closed engine has %d pairs of ports and %d sockets", n, m)
	}
	for _, leg := range legs {
		leg.Close()
		<-leg.Done()
	}
	if leg, err := e.NewLeg(LegOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed engine made leg %v, error %v", leg, err)
	}
	if _, err := legs[0].Record(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("recording a closed leg: %v", err)
	}
	legs[0].Play()
	legs[0].Stats()
}

// freePorts gives a range of so many pairs that no other program has just now.
func freePorts(t *testing.T, pairs int) config.PortRange {
	t.Helper()
search:
	for first := uint16(32000); first < 32700; first += 2 { // below those the system gives out
		for n := range pairs {
			pair, err := openPair(loopback, first+uint16(2*n), rtpBuffer)
			if err != nil {
				continue search
			}
			pair.close()
		}
		return config.PortRange{First: first, Last: first + uint16(2*pairs) - 1}
	}
	t.Fatalf("no %d free pairs of ports", pairs)
	return config.PortRange{}
}

func TestLegsRunOutOfPorts(t *testing.T) {
	e, err := New(config.Media{Address: loopback, Ports: freePorts(t, 2)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var taken []uint16
	for range 2 {
		leg, err := e.NewLeg(LegOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer leg.Close()
		taken = append(taken, leg.LocalAddr().Port())
	}
	if _, err := e.NewLeg(LegOptions{}); !errors.Is(err, ErrNoPorts) {
		t.Errorf("a third leg on two pairs (%v): %v", taken, err)
	}
}

// Another program on our ports costs a try, not the call.
func TestLegsStepAsideForOtherPrograms(t *testing.T) {
	ports := freePorts(t, 2)
	other, err := openPair(loopback, ports.First, rtpBuffer)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	e, err := New(config.Media{Address: loopback, Ports: ports}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	leg, err := e.NewLeg(LegOptions{})
	if err != nil || leg.LocalAddr().Port() != ports.First+2 {
		t.Fatalf("leg %v, error %v", leg, err)
	}
	if _, err := e.NewLeg(LegOptions{}); !errors.Is(err, ErrNoPorts) {
		t.Errorf("error %v", err)
	}
}

func TestLegsSpreadOverShards(t *testing.T) {
	e, err := New(config.Media{Address: loopback, Ports: freePorts(t, 40), Shards: 3}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var legs []*Leg
	for range 6 {
		leg, err := e.NewLeg(LegOptions{})
		if err != nil {
			t.Fatal(err)
		}
		near, err := e.NewLeg(LegOptions{Near: leg})
		if err != nil {
			t.Fatal(err)
		}
		if err := leg.Bridge(near); err != nil {
			t.Error(err)
		}
		legs = append(legs, leg)
	}
	for i, s := range e.shards {
		if n := s.load.Load(); n != 4 {
			t.Errorf("shard %d has %d legs, want 4", i, n)
		}
	}
	if err := legs[0].Bridge(legs[0]); err == nil {
		t.Error("bridged to itself")
	}
	legs[3].Close()
	if err := legs[0].Bridge(legs[3]); !errors.Is(err, ErrClosed) {
		t.Errorf("bridged to a closed leg: %v", err)
	}
}

// A shard that wakes up late makes up for two packets a leg and lets the rest
// of the time go; the far end's clock goes on.
func TestLateShardCatchesUpAndThenLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		leg, far := call(t, e, PCMU, LegOptions{})
		leg.PlayMusic(count(0, 256))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		before := far.hear(4)
		s := e.shards[0]
		held := make(chan struct{})
		s.do(func(int64) { <-held })
		time.Sleep(500 * time.Millisecond)
		close(held)
		synctest.Wait()
		after := far.hear(2)
		if len(after) < 2 || len(after) > 3 {
			t.Errorf("%d packets after a pause of half a second", len(after))
		}
		jump := after[0].timestamp - before[len(before)-1].timestamp
		if jump < 400*8 || jump > 520*8 || after[0].sequence != before[len(before)-1].sequence+1 {
			t.Errorf("timestamp leaps by %d, sequence from %d to %d", jump, before[len(before)-1].sequence, after[0].sequence)
		}
		if late, skipped := s.published.lateBeats.Load(), s.published.skippedBeats.Load(); late != 1 || skipped < 40 || skipped > 50 {
			t.Errorf("%d late beats, %d skipped", late, skipped)
		}
	})
}
