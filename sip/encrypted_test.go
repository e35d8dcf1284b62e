package sip

import "testing"

func TestEncryptedTransports(t *testing.T) {
	for source, want := range map[string]bool{
		"udp:192.0.2.7:5062": false, "tcp:192.0.2.7:5062": false, "tls:192.0.2.7:5062": true, "wss:192.0.2.7:5062": true, "ws:[2001:db8::1]:9": false, "": false,
	} {
		if got := (&Binding{Source: source}).Encrypted(); got != want {
			t.Errorf("%q: %v", source, got)
		}
	}
}
