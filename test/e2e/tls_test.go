package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/cert/certtest"
	"github.com/bugle-voice/bugle/test/peer"
)

// An agent whose phone registers over TLS and takes encrypted sound only talks with
// a caller who comes in the clear; each hears the other's tone unbroken. The
// certificate is changed while the phone is connected: the talk goes on, and who
// connects next is shown the new one.
func TestPhoneOverTLSWithSRTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ca := certtest.NewAuthority(t)
	ca.WriteCA(t, file("ca.pem"))
	ca.Write(t, file("cert.pem"), file("key.pem"), "localhost")
	secure := fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))
	config := strings.Replace(peer.DemoConfig(t, ports), "  trunks:\n",
		fmt.Sprintf("    - {network: tls, address: %q, certificate: %q, key: %q}\n  srtp: require\n  trunks:\n", secure, file("cert.pem"), file("key.pem")), 1)
	bugle := peer.StartBugle(t, config, "anna")
	phone := func(user string, tone int) *peer.Baresip {
		return peer.StartBaresip(t, peer.Phone{User: user, Password: "pw-anna", Server: secure, Transport: "tls", Tone: tone, CA: file("ca.pem"), Encrypted: true})
	}
	anna := phone("anna", 600)
	bugle.SetState(t, "anna", "ready")
	before := expiry(t, bugle)

	wav := file("heard.wav")
	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "500ms", "--tone", "1000", "--record", wav)
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	ca.Write(t, file("cert.pem"), file("key.pem"), "localhost")
	peer.Eventually(t, 20*time.Second, "the new certificate to be served", func() bool { return expiry(t, bugle) > before })
	awaitTalk(t, anna, 6*time.Second)
	awaitTone(t, wav, 600, 5*time.Second)
	awaitTone(t, theOneRecording(t, anna), 1000, 5*time.Second)
	hangUp(t, caller)
	anna.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	if failed := peer.Sum(bugle.Metrics(t), "bugle_tls_certificate_reload_failures_total"); failed != 0 {
		t.Errorf("%v failures to take the new certificate up", failed)
	}
	nothingLeft(t, bugle)
}

func expiry(t *testing.T, bugle *peer.Bugle) float64 {
	t.Helper()
	return peer.Sum(bugle.Metrics(t), "bugle_tls_certificate_expiry_timestamp_seconds")
}
