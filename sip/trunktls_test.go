package sip

import (
	"net/netip"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/cert/certtest"
	"github.com/bugle-voice/bugle/config"
)

// TestTrunkOverTLS: a carrier that lets in only who shows a certificate of an authority
// it believes is called over TLS, calls us over TLS, and finds our health good. Without
// that certificate it can't be called.
func TestTrunkOverTLS(t *testing.T) {
	t.Parallel()
	ca, others := certtest.NewAuthority(t), certtest.NewAuthority(t)
	demanding := func(cfg config.SIP) config.SIP {
		cfg = secured(t, ca, cfg)
		last := &cfg.Listeners[len(cfg.Listeners)-1]
		last.ClientCA = cfg.TrustedCA
		return cfg
	}
	there := newDesk(nil)
	carrier := start(t, Options{Config: demanding(openConfig()), Handler: there})
	line := config.Trunk{Name: "carrier", Transport: "tls", Domain: "sip.example", Trusted: true, DownAfter: 1, Addresses: []netip.Prefix{loopback},
		Timeout: config.Duration(time.Hour), Rest: config.Duration(time.Minute), Options: config.Duration(50 * time.Millisecond),
		Hosts: []config.TrunkHost{{Host: "127.0.0.1", Port: int(carrier.Addrs()[0].Address.Port())}}}
	ours := demanding(openConfig())
	ours.Trunks = []config.Trunk{line}
	here := newDesk(nil)
	us := start(t, Options{Config: ours, Handler: here})

	out := dialTrunk(t, us, TrunkCall{Number: "+15550100", From: "+15550199"})
	in := next(t, "call at the carrier", there.legs)
	if !in.Encrypted() || !out.Encrypted() || in.Number() != "+15550100" || in.Caller() != "+15550199" {
		t.Errorf("encrypted %t and %t; %s calls %s", in.Encrypted(), out.Encrypted(), in.Caller(), in.Number())
	}
	if err := in.Answer(&media{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "answered", out.Answered())
	if err := out.Reinvite(t.Context()); err != nil {
		t.Error(err)
	}
	in.Hangup()
	wantEnd(t, out, 200, ByRemote)
	eventually(t, func() string {
		if us.trunks[0].up() && carrier.Legs() == 0 {
			return ""
		}
		return "the carrier is not well"
	})

	back, err := carrier.Dial(Target{URI: us.uri("helpline", "tls"), From: "+15550123"}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	in = next(t, "call from the carrier", here.legs)
	if in.Trunk() != "carrier" || !in.Encrypted() {
		t.Errorf("trunk %q, encrypted %t", in.Trunk(), in.Encrypted())
	}
	if err := in.Answer(&media{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "answered", back.Answered())
	back.Hangup()
	wantEnd(t, in, 200, ByRemote)

	strange := secured(t, others, openConfig())
	line.Timeout = config.Duration(500 * time.Millisecond)
	strange.TrustedCA, strange.Trunks = ours.TrustedCA, []config.Trunk{line}
	stranger := start(t, Options{Config: strange})
	refused := dialTrunk(t, stranger, TrunkCall{From: "+15550199"})
	wait(t, "the stranger's leg over", refused.Done())
	// TLS 1.3 tells it by closing: before the INVITE is written, or after.
	if e := refused.End(); e.By != ByFailure || e.Code != 408 && e.Code != 503 {
		t.Errorf("without a certificate of the authority it ended %d by %s (%s)", e.Code, e.By, e.Reason)
	}
}
