package web

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/cert"
	"github.com/bugle-voice/bugle/cert/certtest"
	"github.com/bugle-voice/bugle/config"
	"github.com/prometheus/client_golang/prometheus"
)

// TestHTTPS holds that what is mounted is served, over TLS, and that plain HTTP
// is not.
func TestHTTPS(t *testing.T) {
	ca := certtest.NewAuthority(t)
	dir := t.TempDir()
	files := cert.Files{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	ca.Write(t, files.Certificate, files.Key, "desk.example")
	kept, err := (&cert.Store{}).Open(files)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{
		Config: config.HTTP{Address: "127.0.0.1:0"}, Metrics: prometheus.NewRegistry(), Agents: &desk{}, TLS: kept.Server(),
		Mounts: map[string]http.Handler{"/sip": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS != nil {
				_, _ = io.WriteString(w, "over TLS")
			}
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	defer client.CloseIdleConnections()
	for url, want := range map[string]string{"https://" + s.Addr().String() + "/sip": "over TLS", "https://" + s.Addr().String() + "/healthz": "{\"status\":\"ok\"}\n"} {
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(got) != want {
			t.Errorf("%s: %d %q, want %q", url, res.StatusCode, got, want)
		}
		_ = res.Body.Close()
	}
	if res, err := client.Get("http://" + s.Addr().String() + "/healthz"); err == nil {
		if res.StatusCode == 200 {
			t.Error("served in the clear")
		}
		_ = res.Body.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
