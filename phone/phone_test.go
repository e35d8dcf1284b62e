package phone

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/sip/siptest"
	"github.com/bugle-voice/bugle/test/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// virtual runs a test in virtual time, with a network in memory: a machine that stands
// still changes nothing.
func virtual(t *testing.T, test func(t *testing.T, by *siptest.Ether)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, siptest.NewEther()) })
}

// newPhone starts a phone on a network in memory, or nil for UDP or TCP of the system's.
func newPhone(t *testing.T, by *siptest.Ether, network string, answer func(*sip.Leg)) *Phone {
	t.Helper()
	o := Options{
		Address: netip.MustParseAddr("127.0.0.1"), Network: network,
		Ports: config.PortRange{First: 29000, Last: 30999}, OnInvite: answer,
	}
	if by != nil {
		o.bindUDP = by.Bind
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// listener is a phone that plays a tone and tells what is pressed and what it has heard
// and said.
func listener(t *testing.T, by *siptest.Ether, network string) (p *Phone, pressed <-chan rune, stats <-chan media.Stats) {
	t.Helper()
	keys, counted, ready := make(chan rune, 4), make(chan media.Stats), make(chan struct{})
	p = newPhone(t, by, network, func(leg *sip.Leg) {
		<-ready
		side, err := p.media.NewLeg(media.LegOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		defer side.Close()
		if err := leg.Answer(side); err != nil {
			t.Error(err)
			return
		}
		side.PlayMusic(media.Tone(600, time.Second))
		for {
			select {
			case <-leg.Done():
				return
			case counted <- side.Stats():
			case e := <-side.Events():
				if key, ok := e.(media.Key); ok {
					keys <- key.Key
				}
			}
		}
	})
	close(ready)
	return p, keys, counted
}

// recorded gives a file to record into.
func recorded(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "both.wav"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// A caller presses keys, says a tone and hears one; what he recorded has both.
func TestCallSaysHearsAndPresses(t *testing.T) {
	virtual(t, func(t *testing.T, by *siptest.Ether) {
		callee, pressed, _ := listener(t, by, "udp")
		file := recorded(t)
		result, err := newPhone(t, by, "udp", nil).Call(t.Context(), CallOptions{
			URI: "sip:someone@" + callee.host, Press: []string{"4", "#"}, Every: 300 * time.Millisecond,
			Say: media.Tone(1000, time.Second), For: 2 * time.Second, Record: file,
		})
		if err != nil || !result.Answered || result.End.By != sip.ByLocal || result.Talk != 2*time.Second {
			t.Fatalf("the call went %+v, %v", result, err)
		}
		for _, want := range []rune{'4', '#'} {
			if got := <-pressed; got != want {
				t.Errorf("%c was heard, want %c", got, want)
			}
		}
		sound := peer.ReadWAV(t, file.Name())
		if got := sound.Tone(0, 600); got < 1900*time.Millisecond {
			t.Errorf("heard the other's tone for %v, want 2s", got)
		}
		if got := sound.Tone(1, 1000); got < time.Second {
			t.Errorf("said the own tone for %v after the keys, want 1s", got)
		}
	})
}

// Over the system's sockets the same, but for the clock: there, a tone has gaps on a
// machine that stands still.
func TestCallOverTheNetwork(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			callee, pressed, stats := listener(t, nil, network)
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			go func() { // until both keys and enough sound have passed
				defer hangUp()
				limit, look := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
				defer look.Stop()
				var heard string
				for s := (media.Stats{}); heard != "4#" || s.PacketsIn < 100 || s.PacketsOut < 100; {
					select {
					case key := <-pressed:
						heard += string(key)
					case s = <-stats:
						<-look.C // no more is counted meanwhile
					case <-limit:
						t.Errorf("heard %q, counted %+v", heard, s)
						return
					case <-ctx.Done(): // the call came to nothing
						return
					}
				}
			}()
			file := recorded(t)
			result, err := newPhone(t, nil, network, nil).Call(ctx, CallOptions{
				URI: "sip:someone@" + callee.host + ";transport=" + network, Press: []string{"4", "#"}, Every: 50 * time.Millisecond,
				Say: media.Tone(1000, time.Second), Record: file,
			})
			if err != nil || !result.Answered || result.End.By != sip.ByLocal {
				t.Fatalf("the call went %+v, %v", result, err)
			}
			sound := peer.ReadWAV(t, file.Name())
			for channel, hertz := range []float64{600, 1000} {
				if heard := sound.Heard(channel, hertz); heard < time.Second {
					t.Errorf("the tone of %v Hz is there for %v, want 1s", hertz, heard)
				}
			}
		})
	}
}

func TestCallThatComesToNothing(t *testing.T) {
	for name, call := range map[string]func(t *testing.T, by *siptest.Ether, caller *Phone){
		"busy": func(t *testing.T, by *siptest.Ether, caller *Phone) {
			result, err := caller.Call(t.Context(), CallOptions{URI: "sip:x@" + newPhone(t, by, "udp", nil).host})
			if err != nil || result.Answered || result.End.Code != 486 {
				t.Errorf("got %+v, %v; want 486", result, err)
			}
		},
		"given up while it rings": func(t *testing.T, by *siptest.Ether, caller *Phone) {
			ctx, giveUp := context.WithCancel(t.Context())
			patient := newPhone(t, by, "udp", func(leg *sip.Leg) {
				_ = leg.Ringing()
				giveUp()
				<-leg.Done()
			})
			result, err := caller.Call(ctx, CallOptions{URI: "sip:x@" + patient.host})
			if err != nil || result.Answered || result.End.By != sip.ByLocal || result.End.Code != 487 {
				t.Errorf("got %+v, %v; want ended by us", result, err)
			}
		},
		"given up before anything comes back": func(t *testing.T, by *siptest.Ether, caller *Phone) {
			mute, err := by.Bind(netip.MustParseAddrPort("127.0.0.1:0"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
			defer giveUp()
			result, err := caller.Call(ctx, CallOptions{URI: "sip:x@" + mute.LocalAddr().String()})
			if err != nil || result.Answered || result.End.By != sip.ByLocal || result.End.Code != 487 {
				t.Errorf("got %+v, %v; want ended by us", result, err)
			}
		},
		"no such address": func(t *testing.T, _ *siptest.Ether, caller *Phone) {
			if _, err := caller.Call(t.Context(), CallOptions{URI: "mailto:x"}); err == nil {
				t.Error("a mail address was called")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, by *siptest.Ether) { call(t, by, newPhone(t, by, "udp", nil)) })
		})
	}
}

func TestAgentWhoIsUnknown(t *testing.T) {
	virtual(t, func(t *testing.T, by *siptest.Ether) {
		stranger := newPhone(t, by, "udp", nil) // no registrar: it refuses
		a, err := StartAgent(t.Context(), AgentOptions{
			ID: "anna", Password: "x", Server: stranger.host,
			Phone: Options{Address: netip.MustParseAddr("127.0.0.1"), Ports: config.PortRange{First: 29000, Last: 30999}, bindUDP: by.Bind},
		})
		if err == nil {
			_ = a.Close()
			t.Error("an agent was registered where there is no registrar")
		}
	})
}
