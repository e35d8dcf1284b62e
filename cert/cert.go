// Package cert serves certificates from files and takes up new ones while the
// process runs.
//
// It owns how a certificate, its key and the authorities of clients become a
// tls.Config, with which versions of TLS, and when the files are looked at
// again. It does not own sockets: rooms sip and web bring their own, and share
// one Store, so that a file both name is read and watched once.
//
// Everything is in this file.
package cert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lookEvery is how often files are read again. They are read, not only asked
// for their time of change: a file swapped within a tick of the file system's
// clock looks unchanged.
const lookEvery = 10 * time.Second

// Files are what a TLS listener is made of, all in PEM.
type Files struct {
	Certificate string // the certificate, and behind it those that lead to its authority
	Key         string // its private key
	ClientCA    string // "": clients need no certificate; else the authorities that sign theirs
}

// Store keeps the certificates of a process. Its zero value is ready for use.
// It is a prometheus.Collector of when they expire and of files it could not take up.
type Store struct {
	Log *slog.Logger // default: slog.Default()

	mu   sync.Mutex
	kept []*Kept
}

// Kept is one certificate, as it is at the moment.
type Kept struct {
	files   Files
	config  atomic.Pointer[tls.Config]
	expires atomic.Int64 // Unix seconds
	failed  atomic.Uint64
	tried   [3][]byte // what was read last, good or bad; Store.mu guards it
}

// Open reads files. An error says which of them cannot be used, and why.
func (s *Store) Open(files Files) (*Kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept {
		if k.files == files {
			return k, nil
		}
	}
	k := &Kept{files: files}
	if _, err := k.look(); err != nil {
		return nil, err
	}
	s.kept = append(s.kept, k)
	return k, nil
}

// Watch takes up changed files until ctx ends. Files that cannot be used are
// told of once, and what was served before goes on being served.
func (s *Store) Watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look()
		}
	}
}

func (s *Store) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept {
		changed, err := k.look()
		switch {
		case err != nil && changed:
			k.failed.Add(1)
			s.log().Error("a changed certificate cannot be used; the one before is served on", "certificate", k.files.Certificate, "error", err)
		case changed:
			s.log().Info("a changed certificate is served", "certificate", k.files.Certificate, "expires", time.Unix(k.expires.Load(), 0).UTC())
		}
	}
}

func (s *Store) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// Server gives a configuration for a listener that always serves the newest
// certificate, by TLS 1.2 or 1.3.
func (k *Kept) Server() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.config.Load(), nil },
	}
}

// Own gives the newest certificate, for a client of ours that is asked for one.
func (k *Kept) Own(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &k.config.Load().Certificates[0], nil
}

// look reads the files and takes up what they hold. It reports whether that is
// something else than at the last look.
func (k *Kept) look() (changed bool, err error) {
	var now [3][]byte
	var failures []error
	for i, name := range []string{k.files.Certificate, k.files.Key, k.files.ClientCA} {
		if name == "" {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			failures = append(failures, err)
			b = []byte(err.Error())
		}
		now[i] = b
	}
	if k.same(now) {
		return false, nil
	}
	k.tried = now
	if err := errors.Join(failures...); err != nil {
		return true, err
	}
	return true, k.take(now)
}

func (k *Kept) same(now [3][]byte) bool {
	for i := range now {
		if !bytes.Equal(now[i], k.tried[i]) {
			return false
		}
	}
	return k.config.Load() != nil
}

func (k *Kept) take(pem [3][]byte) error {
	pair, err := tls.X509KeyPair(pem[0], pem[1])
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", k.files.Certificate, k.files.Key, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if k.files.ClientCA != "" {
		if c.ClientCAs, err = pool(pem[2], k.files.ClientCA); err != nil {
			return err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	k.expires.Store(pair.Leaf.NotAfter.Unix())
	k.config.Store(c)
	return nil
}

// Authorities reads a file of certificates of authorities, in PEM.
func Authorities(name string) (*x509.CertPool, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return pool(b, name)
}

func pool(pem []byte, name string) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", name)
	}
	return p, nil
}

var (
	expiryDesc = prometheus.NewDesc("bugle_tls_certificate_expiry_timestamp_seconds",
		"When the certificate that is served expires, in Unix time.", []string{"certificate"}, nil)
	failedDesc = prometheus.NewDesc("bugle_tls_certificate_reload_failures_total",
		"Changed certificate files that could not be used.", []string{"certificate"}, nil)
)

// Describe tells of the metrics.
func (s *Store) Describe(to chan<- *prometheus.Desc) {
	to <- expiryDesc
	to <- failedDesc
}

// Collect gives the metrics.
func (s *Store) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, k := range s.kept {
		name := k.files.Certificate
		if seen[name] { // one listener asks clients for theirs, another doesn't
			continue
		}
		seen[name] = true
		to <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(k.expires.Load()), name)
		to <- prometheus.MustNewConstMetric(failedDesc, prometheus.CounterValue, float64(k.failed.Load()), name)
	}
}
