package e2e

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/test/peer"
	"github.com/prometheus/client_golang/prometheus"
)

// A softphone hands its caller on to a queue by REFER. The agent who answers there
// hears the caller, and the first one is in wrap-up.
func TestBlindTransferToAQueue(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna", "ben")
	anna := softphone(t, bugle, "anna", 440, "udp")
	ben := softphone(t, bugle, "ben", 700, "tcp")
	bugle.SetState(t, "anna", "ready")
	bugle.SetState(t, "ben", "ready")
	wav := filepath.Join(t.TempDir(), "heard.wav")
	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "500ms",
		"--tone", "1000", "--record", wav)
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	anna.Do(t, "transfer", "sip:eligibility@"+bugle.SIP)
	anna.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	peer.Eventually(t, 20*time.Second, "her wrap-up to begin", func() bool { return bugle.Metrics(t)[`bugle_agents{state="wrapup"}`] == 1 })
	awaitTalk(t, ben, 4*time.Second)
	awaitTone(t, wav, 700, 3*time.Second)
	awaitTone(t, theOneRecording(t, ben), 1000, 3*time.Second)
	hangUp(t, caller)
	ben.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	figures := bugle.Metrics(t)
	if got := figures[`bugle_transfers_total{kind="blind",result="done",to="queue"}`]; got != 1 {
		t.Errorf("%v transfers were counted, want 1", got)
	}
	if got := figures[`bugle_queue_talk_seconds_count{language="en",queue="claims"}`]; got != 1 {
		t.Errorf("%v talks of the first queue ended, want 1", got)
	}
	nothingLeft(t, bugle)
}

// An agent asks a colleague and hands the caller on to her: the phone has two calls
// at once, one of them on hold, and sends REFER with Replaces. What the caller says is
// heard by the second agent, whose softphone records it.
func TestAttendedTransfer(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna", "ben")
	ben := softphone(t, bugle, "ben", 700, "udp")
	anna := newDesk(t, bugle.SIP, "anna")
	bugle.SetState(t, "anna", "ready")
	wav := filepath.Join(t.TempDir(), "heard.wav")
	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "500ms",
		"--tone", "1000", "--record", wav)

	talk := anna.rung(t)
	talk.media.Hold(true)
	must(t, talk.leg.Reinvite(t.Context()))
	own := anna.dial(t, "ben")
	ben.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	anna.joins(t, talk, own, "ben")
	awaitTalk(t, ben, 4*time.Second)
	awaitTone(t, wav, 700, 3*time.Second)
	awaitTone(t, theOneRecording(t, ben), 1000, 3*time.Second)
	hangUp(t, caller)
	ben.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	if got := bugle.Metrics(t)[`bugle_transfers_total{kind="attended",result="done",to="agent"}`]; got != 1 {
		t.Errorf("%v transfers were counted, want 1", got)
	}
	nothingLeft(t, bugle)
}

// desk is an agent's telephone that the test holds in its own hands.
type desk struct {
	id, server string
	sip        *sip.Server
	media      *media.Engine
	ring       chan *sip.Leg
}

// line is a call on it.
type line struct {
	leg   *sip.Leg
	media *media.Leg
}

// newDesk gives an agent's telephone, registered.
func newDesk(t *testing.T, server, id string) *desk {
	t.Helper()
	d := newTelephone(t, server, id)
	_, err := d.sip.Register(t.Context(), sip.Registration{Registrar: "sip:" + server, User: id, Password: "pw-" + id, Expires: time.Minute})
	must(t, err)
	return d
}

// newTelephone gives one that nobody can call.
func newTelephone(t *testing.T, server, id string) *desk {
	t.Helper()
	d := &desk{id: id, server: server, ring: make(chan *sip.Leg, 1)}
	var err error
	d.sip, err = sip.New(sip.Options{
		Config: config.SIP{
			Listeners: []config.Listener{{Network: "udp", Address: netip.MustParseAddrPort("127.0.0.1:0")}},
			Trunks:    []config.Trunk{{Name: "bugle", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
			MaxCalls:  10,
		},
		Handler: d, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- d.sip.Serve(context.Background()) }()
	d.media, err = media.New(config.Media{Address: netip.MustParseAddr("127.0.0.1"), Ports: config.PortRange{First: 53000, Last: 53099}, Shards: 1},
		slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() {
		_ = d.sip.Close()
		<-served
		_ = d.media.Close()
	})
	return d
}

// skipped is how much time of its sound the telephone has let go, because the machine
// did not let it work in time.
func (d *desk) skipped(t *testing.T) (long time.Duration) {
	t.Helper()
	figures := prometheus.NewPedanticRegistry()
	figures.MustRegister(d.media.Collectors()...)
	families, err := figures.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "bugle_media_skipped_beats_total" {
			long += time.Duration(f.GetMetric()[0].GetCounter().GetValue()) * beat
		}
	}
	return long
}

// beat is what a shard of room media does at once.
const beat = 10 * time.Millisecond

// Invite implements sip.Handler.
func (d *desk) Invite(leg *sip.Leg) {
	d.ring <- leg
	<-leg.Done()
}

// Registered implements sip.Handler.
func (*desk) Registered(string, sip.Binding) {}

// Unregistered implements sip.Handler.
func (*desk) Unregistered(string) {}

// rung waits for a call and takes it.
func (d *desk) rung(t *testing.T) line {
	t.Helper()
	select {
	case leg := <-d.ring:
		side := d.side(t)
		must(t, leg.Answer(side))
		peer.Eventually(t, 20*time.Second, "the call to be up", func() bool { return leg.Reinvite(t.Context()) == nil })
		return line{leg, side}
	case <-time.After(20 * time.Second):
		t.Fatal("the phone does not ring")
		return line{}
	}
}

// dial calls a colleague and waits for the answer.
func (d *desk) dial(t *testing.T, number string) line {
	t.Helper()
	side := d.side(t)
	leg, err := d.sip.Dial(sip.Target{
		URI: "sip:" + number + "@" + d.server, From: d.id, FromHost: "127.0.0.1", Auth: &sip.Auth{User: d.id, Password: "pw-" + d.id},
	}, side)
	must(t, err)
	select {
	case <-leg.Answered():
	case <-time.After(10 * time.Second):
		t.Fatalf("%s does not answer: %+v", number, leg.End())
	}
	return line{leg, side}
}

// joins hands a caller on to the colleague called on the other line, and sees both
// lines end.
func (d *desk) joins(t *testing.T, talk, own line, number string) {
	t.Helper()
	dialog := own.leg.Dialog()
	news, err := talk.leg.Refer(sip.ReferTo{URI: "sip:" + number + "@" + d.server, Replaces: &dialog})
	must(t, err)
	last := 0
	for step := range news.Steps() {
		last = step.Code
	}
	if last != 200 {
		t.Errorf("the phone was told %d in the end, want 200", last)
	}
	for _, leg := range []*sip.Leg{talk.leg, own.leg} {
		select {
		case <-leg.Done():
		case <-time.After(10 * time.Second):
			t.Error("a call of the agent's goes on")
		}
	}
}

func (d *desk) side(t *testing.T) *media.Leg {
	t.Helper()
	side, err := d.media.NewLeg(media.LegOptions{Latch: true})
	must(t, err)
	t.Cleanup(side.Close)
	return side
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
