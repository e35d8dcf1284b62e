package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/sip"
)

// TestBindingsTellTheirSenders: what one node has bound through an edge another knows by its
// flow, and no flow is written down.
func TestBindingsTellTheirSenders(t *testing.T) {
	q, err := queue.Open(t.Context(), config.Redis{}, "test", "n1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	b := bindings{q, func(flow string) string { return "mark of " + strings.ToUpper(flow) }}
	for contact, sender := range map[string]string{"sip:anna@192.0.2.7": "tcp:192.0.2.7:1111", "sip:anna@192.0.2.8": ""} {
		if err := b.Put(t.Context(), sip.Binding{User: "anna", Contact: contact, Sender: sender, Expires: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	senders, err := b.Senders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for flow, want := range map[string]bool{"tcp:192.0.2.7:1111": true, "tcp:192.0.2.7:2222": false, "": false} {
		if senders(flow) != want {
			t.Errorf("a phone is at %q: %t", flow, !want)
		}
	}
	marks, err := q.Senders(t.Context())
	if err != nil || len(marks) != 1 || !marks["mark of TCP:192.0.2.7:1111"] {
		t.Errorf("kept: %v, %v", marks, err)
	}
}
