package cert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/cert/certtest"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// served gives the serial number of the certificate a client is shown.
func served(t *testing.T, k *Kept, client *tls.Config) (string, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := tls.Server(far, k.Server())
		_ = s.Handshake()
		_, _ = io.WriteString(s, "x")
		far.Close()
	}()
	c := tls.Client(near, client)
	_, err := io.ReadFull(c, make([]byte, 1)) // TLS 1.3 refuses a client's certificate only now
	near.Close()
	<-done
	if err != nil {
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

func TestChangedFilesAreTakenUp(t *testing.T) {
	dir := t.TempDir()
	files := Files{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	ca := certtest.NewAuthority(t)
	client := &tls.Config{RootCAs: ca.Pool(), ServerName: "sip.example"}
	ca.Write(t, files.Certificate, files.Key, "sip.example")
	var log bytes.Buffer
	s := &Store{Log: slog.New(slog.NewTextHandler(&log, nil))}
	k, err := s.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Open(files); err != nil || again != k {
		t.Errorf("opened twice: %p %p %v", again, k, err)
	}
	first, err := served(t, k, client)
	if err != nil {
		t.Fatal(err)
	}
	s.look()
	if log.Len() > 0 {
		t.Errorf("unchanged files: %s", log.String())
	}

	if err := os.WriteFile(files.Certificate, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.look()
	s.look()
	if got := strings.Count(log.String(), "cannot be used"); got != 1 {
		t.Errorf("a bad file was told of %d times: %s", got, log.String())
	}
	if got, err := served(t, k, client); err != nil || got != first {
		t.Errorf("with a bad file %s is served, not %s: %v", got, first, err)
	}

	ca.Write(t, files.Certificate, files.Key, "sip.example")
	s.look()
	second, err := served(t, k, client)
	if err != nil || second == first {
		t.Errorf("after a change %s is served, before %s: %v", second, first, err)
	}
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	s.look()
	if got, _ := served(t, k, client); got != second {
		t.Errorf("without a key file %s is served, not %s", got, second)
	}
	want := `
# HELP bugle_tls_certificate_reload_failures_total Changed certificate files that could not be used.
# TYPE bugle_tls_certificate_reload_failures_total counter
bugle_tls_certificate_reload_failures_total{certificate="` + files.Certificate + `"} 2
`
	if err := testutil.CollectAndCompare(s, strings.NewReader(want), "bugle_tls_certificate_reload_failures_total"); err != nil {
		t.Error(err)
	}
}

func TestVersionsAndClients(t *testing.T) {
	dir := t.TempDir()
	ca, others := certtest.NewAuthority(t), certtest.NewAuthority(t)
	files := Files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")}
	ca.Write(t, files.Certificate, files.Key, "sip.example")
	ca.WriteCA(t, files.ClientCA)
	k, err := (&Store{}).Open(files)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := ca.Issue(t, "phone"), others.Issue(t, "phone")
	for _, c := range []struct {
		what   string
		client *tls.Config
		ok     bool
	}{
		{"TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ours}}, true},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ours}}, true},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{ours}}, false},
		{"no certificate", &tls.Config{}, false},
		{"a stranger's certificate", &tls.Config{Certificates: []tls.Certificate{theirs}}, false},
	} {
		c.client.RootCAs, c.client.ServerName = ca.Pool(), "sip.example"
		if _, err := served(t, k, c.client); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewAuthority(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	ca.Write(t, path("cert.pem"), path("key.pem"), "sip.example")
	ca.Write(t, path("other.pem"), path("otherkey.pem"), "sip.example")
	if err := os.WriteFile(path("empty.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files Files
		says  string
	}{
		{Files{path("none.pem"), path("key.pem"), ""}, "none.pem"},
		{Files{path("cert.pem"), path("otherkey.pem"), ""}, "private key does not match"},
		{Files{path("cert.pem"), path("key.pem"), path("empty.pem")}, "empty.pem holds no certificate"},
	} {
		if _, err := (&Store{}).Open(c.files); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.files, err)
		}
	}
	if p, err := Authorities(path("cert.pem")); err != nil || p.Equal(x509.NewCertPool()) {
		t.Errorf("authorities: %v", err)
	}
}
