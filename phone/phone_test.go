package phone

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/test/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newPhone(t *testing.T, network string, answer func(*sip.Leg)) *Phone {
	t.Helper()
	p, err := New(Options{
		Address: netip.MustParseAddr("127.0.0.1"), Network: network,
		Ports: config.PortRange{First: 29000, Last: 30999}, OnInvite: answer,
	})
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

// A caller presses keys, says a tone and hears one; what he recorded has both.
func TestCallSaysHearsAndPresses(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			pressed := make(chan rune, 4)
			var callee *Phone
			ready := make(chan struct{})
			callee = newPhone(t, network, func(leg *sip.Leg) {
				<-ready
				side, err := callee.media.NewLeg(media.LegOptions{})
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
					case e := <-side.Events():
						if key, ok := e.(media.Key); ok {
							pressed <- key.Key
						}
					}
				}
			})
			close(ready)
			file, err := os.Create(filepath.Join(t.TempDir(), "both.wav"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			result, err := newPhone(t, network, nil).Call(t.Context(), CallOptions{
				URI: "sip:someone@" + callee.host + ";transport=" + network, Press: []string{"4", "#"}, Every: 300 * time.Millisecond,
				Say: media.Tone(1000, time.Second), For: 2 * time.Second, Record: file,
			})
			if err != nil || !result.Answered || result.End.By != sip.ByLocal {
				t.Fatalf("the call went %+v, %v", result, err)
			}
			for _, want := range []rune{'4', '#'} {
				if got := <-pressed; got != want {
					t.Errorf("%c was heard, want %c", got, want)
				}
			}
			sound := peer.ReadWAV(t, file.Name())
			if got := sound.Tone(0, 600); got < time.Second {
				t.Errorf("heard the other's tone for %v, want 1s", got)
			}
			if got := sound.Tone(1, 1000); got < 500*time.Millisecond {
				t.Errorf("said the own tone for %v between the keys, want 500ms", got)
			}
		})
	}
}

func TestCallThatComesToNothing(t *testing.T) {
	caller := newPhone(t, "udp", nil)
	ringing := make(chan struct{}, 1)
	patient := newPhone(t, "udp", func(leg *sip.Leg) {
		_ = leg.Ringing()
		ringing <- struct{}{}
		<-leg.Done()
	})
	t.Run("busy", func(t *testing.T) {
		result, err := caller.Call(t.Context(), CallOptions{URI: "sip:x@" + newPhone(t, "udp", nil).host})
		if err != nil || result.Answered || result.End.Code != 486 {
			t.Errorf("got %+v, %v; want 486", result, err)
		}
	})
	t.Run("given up while it rings", func(t *testing.T) {
		ctx, giveUp := context.WithCancel(t.Context())
		go func() { <-ringing; giveUp() }()
		result, err := caller.Call(ctx, CallOptions{URI: "sip:x@" + patient.host})
		if err != nil || result.Answered || result.End.By != sip.ByLocal {
			t.Errorf("got %+v, %v; want ended by us", result, err)
		}
	})
	t.Run("no such address", func(t *testing.T) {
		if _, err := caller.Call(t.Context(), CallOptions{URI: "mailto:x"}); err == nil {
			t.Error("a mail address was called")
		}
	})
}

func TestAgentWhoIsUnknown(t *testing.T) {
	stranger := newPhone(t, "udp", nil) // no registrar: it refuses
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	a, err := StartAgent(ctx, AgentOptions{
		ID: "anna", Password: "x", Server: stranger.host,
		Phone: Options{Address: netip.MustParseAddr("127.0.0.1"), Ports: config.PortRange{First: 29000, Last: 30999}},
	})
	if err == nil {
		_ = a.Close()
		t.Error("an agent was registered where there is no registrar")
	}
}
