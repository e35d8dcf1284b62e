package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/number"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/web"
)

// trace shows the SIP messages of a call. They are in the memory of the node that
// has it, so that node is asked, by its API.
func trace(env environment, args []string) error {
	flags := flag.NewFlagSet("trace", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`: where the node's API is, and its token")
	at := flags.String("at", "", "`URL` of the node's API, if it is not at http.address")
	asJSON := flags.Bool("json", false, "print JSON")
	rest, err := parse(flags, env, args, 1)
	if err != nil {
		return err
	}
	if strings.Trim(rest[0], ".") == "" {
		return fmt.Errorf("%w: %q is neither the id of a call nor a SIP Call-ID", errUsage, rest[0])
	}
	c, err := config.Load(*path)
	if err != nil {
		return tell(env.err, err)
	}
	ctx, cancel := untilSignal()
	defer cancel()
	api, err := newNodeAPI(c.HTTP, *at)
	if err != nil {
		return err
	}
	format := "text"
	if *asJSON {
		format = "json"
	}
	return api.copy(ctx, env.out, "/api/v1/calls/"+url.PathEscape(rest[0])+"/trace?format="+format)
}

// nodeAPI is the API of a running node, as its configuration tells where it is.
type nodeAPI struct {
	base, token string
	client      http.Client
}

const nodeTimeout = 30 * time.Second

func newNodeAPI(c config.HTTP, at string) (*nodeAPI, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	a := &nodeAPI{base: strings.TrimSuffix(at, "/"), token: c.Token}
	a.client = http.Client{Timeout: nodeTimeout, Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}}
	scheme := "http"
	if c.Certificate != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("read the node's certificate: %w", err)
		}
		believe(secure, pair.Certificate[0])
	}
	if a.base == "" {
		host, port, err := net.SplitHostPort(c.Address)
		if err != nil {
			return nil, fmt.Errorf("http.address: %w", err)
		}
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		a.base = scheme + "://" + net.JoinHostPort(host, port)
	}
	return a, nil
}

// believe has a client take the far end that shows this certificate, whatever name
// it is called by, beside those it would take anyway: the node's certificate is good
// for the name that others call it by.
func believe(c *tls.Config, own []byte) {
	c.InsecureSkipVerify = true // VerifyConnection does it
	c.VerifyConnection = func(s tls.ConnectionState) error {
		shown := s.PeerCertificates
		if len(shown) > 0 && bytes.Equal(shown[0].Raw, own) {
			return nil
		}
		if len(shown) == 0 {
			return errors.New("no certificate was shown")
		}
		between := x509.NewCertPool()
		for _, cert := range shown[1:] {
			between.AddCert(cert)
		}
		_, err := shown[0].Verify(x509.VerifyOptions{DNSName: s.ServerName, Intermediates: between})
		return err
	}
}

// copy asks for a path and writes the answer out. A refusal is an error with the
// node's own words.
func (a *nodeAPI) copy(ctx context.Context, out io.Writer, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := a.client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the path is in the other
		}
		return fmt.Errorf("ask the node at %s (does it run?): %w", a.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var refusal struct{ Error struct{ Message string } }
		_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&refusal)
		return errors.New(cmp.Or(refusal.Error.Message, "the node answered "+resp.Status))
	}
	_, err = io.Copy(out, resp.Body)
	return err
}

// traces shows sip's traces to the API.
type traces struct {
	store *store.Store
	sip   *sip.Server
	ours  func(user string) bool
}

func (t traces) Trace(id string) web.Trace {
	if found, ok := t.sip.Trace(id, t.ours); ok {
		return found
	}
	return nil
}

func (t traces) NodeOf(ctx context.Context, call string) (string, error) {
	return t.store.NodeOf(ctx, call)
}

// ours tells the users of SIP addresses who are no secret: our numbers, however a
// trunk writes them, agents, the names we have at carriers, and what agents dial to
// say that they are ready.
func (n *node) ours(c *config.Config) func(user string) bool {
	names := make(map[string]bool)
	countries := map[string]bool{c.Country: true}
	for _, t := range c.SIP.Trunks {
		names[t.Username] = true
		countries[t.Country] = true
	}
	return func(user string) bool {
		_, agent := n.roster.agents()[user]
		_, dialled := c.Numbers[user]
		if agent || dialled || names[user] || len(user) == 3 && user[0] == '*' {
			return true
		}
		for country := range countries {
			if _, dialled := c.Numbers[number.International(user, country)]; dialled {
				return true
			}
		}
		return false
	}
}
