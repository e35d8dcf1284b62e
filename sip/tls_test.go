package sip

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/cert"
	"github.com/bugle-voice/bugle/cert/certtest"
	"github.com/bugle-voice/bugle/config"
	gosip "github.com/emiago/sipgo/sip"
)

// secured gives a configuration with a TLS listener, whose certificate is for a
// name and for loopback, and which trusts the authority.
func secured(t *testing.T, ca *certtest.Authority, cfg config.SIP) config.SIP {
	t.Helper()
	dir := t.TempDir()
	l := config.Listener{Network: "tls", Address: openConfig("tls").Listeners[0].Address,
		Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	ca.Write(t, l.Certificate, l.Key, "sip.example")
	cfg.TrustedCA = filepath.Join(dir, "ca.pem")
	ca.WriteCA(t, cfg.TrustedCA)
	cfg.Listeners = append(cfg.Listeners, l)
	return cfg
}

// trusting gives a configuration without TLS listener that trusts the authority.
func trusting(t *testing.T, ca *certtest.Authority) config.SIP {
	t.Helper()
	cfg := openConfig("udp")
	cfg.TrustedCA = filepath.Join(t.TempDir(), "ca.pem")
	ca.WriteCA(t, cfg.TrustedCA)
	return cfg
}

func TestCallOverTLS(t *testing.T) {
	t.Parallel()
	ca := certtest.NewAuthority(t)
	for _, c := range []struct {
		what   string
		caller config.SIP
		sips   bool
	}{
		{"with a listener", secured(t, ca, openConfig()), false},
		{"dialling only", trusting(t, ca), false},
		{"sips", trusting(t, ca), true},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := newDesk(nil)
			callee := start(t, Options{Config: secured(t, ca, openConfig("udp")), Handler: d})
			caller := start(t, Options{Config: c.caller})
			uri := callee.uri("helpline", "tls")
			if c.sips {
				uri = "sips:helpline@" + callee.listenerFor("tls", "").addr.String()
			}
			out, err := caller.Dial(Target{URI: uri}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			in := next(t, "INVITE", d.legs)
			contact := in.invite.Contact().Address
			transport, _ := contact.UriParams.Get("transport")
			if via := in.invite.Via(); via.Transport != "TLS" || contact.Scheme == "sips" != c.sips || !c.sips && transport != "tls" {
				t.Errorf("Via %s, Contact %s", via.Value(), contact.String())
			}
			if !in.Encrypted() || !out.Encrypted() {
				t.Error("not told to be encrypted")
			}
			if err := in.Answer(&media{}); err != nil {
				t.Fatal(err)
			}
			wait(t, "answered", out.Answered())
			if got := out.dlg.target.Scheme; got == "sips" != c.sips {
				t.Errorf("the callee's Contact is of scheme %s", got)
			}
			in.Hangup()
			wantEnd(t, out, 200, ByRemote)
		})
	}
}

// TestTLSFarEndIsVerified holds that we call nobody over TLS who cannot show
// that he is whom we meant to call.
func TestTLSFarEndIsVerified(t *testing.T) {
	ca, others := certtest.NewAuthority(t), certtest.NewAuthority(t)
	callee := start(t, Options{Config: secured(t, ca, openConfig()), Handler: newDesk(func(l *Leg) { _ = l.Reject(486, "") })})
	good, bad := start(t, Options{Config: trusting(t, ca)}), start(t, Options{Config: trusting(t, others)})
	port := callee.Addrs()[0].Address.Port()
	for _, c := range []struct {
		what string
		from *Server
		name string
		code int
	}{
		{"an authority unknown", bad, "127.0.0.1", 503},
		{"its address", good, "127.0.0.1", 486},
		{"its address again", good, "127.0.0.1", 486},
		{"a name it has not, over a connection that is there", good, "localhost", 503},
	} {
		l, err := c.from.Dial(Target{URI: "sip:x@" + net.JoinHostPort(c.name, strconv.Itoa(int(port))) + ";transport=tls"}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		wait(t, c.what, l.Done())
		if e := l.End(); e.Code != c.code {
			t.Errorf("%s: %d %s, want %d", c.what, e.Code, e.Reason, c.code)
		}
	}
}

// TestPhoneOverTLS holds that an agent whose phone has registered over TLS is
// rung over that connection: there is no other way to him.
func TestPhoneOverTLS(t *testing.T) {
	t.Parallel()
	ca := certtest.NewAuthority(t)
	cfg := secured(t, ca, openConfig())
	cfg.Trunks, cfg.Domain = nil, "help.example"
	store := &MemoryBindings{}
	s := start(t, Options{Config: cfg, Handler: newDesk(nil), Bindings: store,
		Credentials: passwords{"help.example", map[string]string{"anna": "secret"}}})
	d := newDesk(nil)
	phone := start(t, Options{Config: trusting(t, ca), Handler: d})
	reg, err := phone.Register(t.Context(), Registration{Registrar: "sip:" + s.Addrs()[0].Address.String() + ";transport=tls", User: "anna", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	bs, _ := store.Get(t.Context(), "anna")
	if len(bs) != 1 || !bs[0].Encrypted() {
		t.Fatalf("bindings %+v", bs)
	}
	conns := s.listeners[0].accept.open()
	out, err := s.Dial(Target{Binding: &bs[0], From: "caller"}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	in := next(t, "INVITE", d.legs)
	if err := in.Answer(&media{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "answered", out.Answered())
	out.Hangup()
	wantEnd(t, in, 200, ByRemote)
	if got := s.listeners[0].accept.open(); got != conns {
		t.Errorf("%d connections, %d before", got, conns)
	}
	if err := reg.Close(); err != nil {
		t.Error(err)
	}
	// With the connection gone the phone is out of reach, and nobody else is rung.
	_ = phone.Close()
	eventually(t, func() string { return leftovers("connections", s.listeners[0].accept.open()) })
	out, err = s.Dial(Target{Binding: &bs[0], From: "caller"}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	wantEnd(t, out, 480, ByFailure)
}

// TestCertificateIsTakenUp holds that a new certificate is served to who connects
// next, while who is connected stays so.
func TestCertificateIsTakenUp(t *testing.T) {
	old, fresh := certtest.NewAuthority(t), certtest.NewAuthority(t)
	cfg := secured(t, old, openConfig())
	store := &cert.Store{}
	synctest.Test(t, func(t *testing.T) {
		kept, err := store.Open(cert.Files{Certificate: cfg.Listeners[0].Certificate, Key: cfg.Listeners[0].Key})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() { store.Watch(ctx); close(watched) }()
		fresh.Write(t, cfg.Listeners[0].Certificate, cfg.Listeners[0].Key, "sip.example")
		before := serial(t, kept)
		time.Sleep(time.Minute)
		synctest.Wait()
		if serial(t, kept) == before {
			t.Error("the old certificate is served after a minute")
		}
		cancel()
		<-watched
	})
}

func serial(t *testing.T, k *cert.Kept) string {
	t.Helper()
	c, err := k.Own(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.SerialNumber.String()
}

func TestListenerWithoutCertificate(t *testing.T) {
	cfg := secured(t, certtest.NewAuthority(t), openConfig())
	if err := os.Remove(cfg.Listeners[0].Key); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Config: cfg}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "SIP listener tls") {
		t.Error(err)
	}
}

// piped runs a stream whose far end the test has. Its messages come by the channel.
func piped(t *testing.T, dialled bool) (far net.Conn, messages chan gosip.Message) {
	t.Helper()
	messages = make(chan gosip.Message, 16)
	ln := newListener("tcp", newServer(Options{}).edge, func(in inbound) { messages <- in.msg })
	far, _ = pipedTo(t, ln.conns, dialled)
	return far, messages
}

// pipedTo adds a stream to connections, and gives both ends of it.
func pipedTo(t *testing.T, cs *connections, dialled bool) (far net.Conn, s *stream) {
	t.Helper()
	near, far := net.Pipe()
	s = newStream(cs, near, "192.0.2.7:5060", cs.patience("192.0.2.7:5060"))
	s.dialled = dialled
	if !cs.add(s.remote, s, func() { s.read(cs) }) {
		t.Fatal("closed")
	}
	t.Cleanup(cs.close)
	return far, s
}

const streamed = "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/TCP h:1;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n"

func TestStreamKeepAlive(t *testing.T) {
	for _, c := range []struct {
		what    string
		dialled bool
		sent    []string
		pongs   int
	}{
		{"a ping", false, []string{"\r\n\r\n"}, 1},
		{"a ping in pieces", false, []string{"\r", "\n\r", "\n"}, 1},
		{"two pings", false, []string{"\r\n\r\n\r\n\r\n"}, 2},
		{"a ping behind a message", false, []string{streamed + "\r\n\r\n"}, 1},
		{"a ping before a message", false, []string{"\r\n\r\n" + streamed}, 1},
		{"an end of line between messages", false, []string{streamed + "\r\n" + streamed, "\r\n" + streamed}, 0},
		{"a message in pieces, cut at its ends of line", false, []string{streamed[:25], streamed[25 : len(streamed)-4], "\r\n", "\r\n"}, 0},
		{"the answer to ours", true, []string{"\r\n", "\r\n"}, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far, messages := piped(t, c.dialled)
				heard := make(chan string, 1)
				go func() {
					b, _ := io.ReadAll(far)
					heard <- string(b)
				}()
				for _, s := range c.sent {
					if _, err := io.WriteString(far, s); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				_ = far.Close()
				synctest.Wait()
				if got, want := len(messages), strings.Count(strings.Join(c.sent, ""), "OPTIONS"); got != want {
					t.Errorf("%d messages, want %d", got, want)
				}
				if got := <-heard; got != strings.Repeat("\r\n", c.pongs) {
					t.Errorf("answered %q, want %d pongs", got, c.pongs)
				}
			})
		})
	}
}

// TestStreamsThatAreSlow holds how long a connection stands that does not go on.
func TestStreamsThatAreSlow(t *testing.T) {
	for _, c := range []struct {
		what string
		sent []string // one every ten seconds
		ends time.Duration
	}{
		{"says nothing", nil, streamFirst},
		{"only pings", []string{"\r\n", "\r\n", "\r\n"}, streamFirst},
		{"a byte now and then", []string{"O", "P", "T", "I"}, streamFirst},
		{"half a message behind a whole one", []string{streamed, "OPT", "I", "O", "N"}, 10*time.Second + streamRest},
		{"spoke once", []string{streamed}, streamIdle},
		{"no SIP", []string{streamed, "GET / HTTP/1.1\r\n\r\n"}, 10 * time.Second},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far, _ := piped(t, false)
				began := time.Now()
				var sender sync.WaitGroup
				defer sender.Wait()
				sender.Go(func() {
					for _, s := range c.sent {
						if _, err := io.WriteString(far, s); err != nil {
							return
						}
						time.Sleep(10 * time.Second)
					}
				})
				_, _ = io.Copy(io.Discard, far)
				if got := time.Since(began); got != c.ends {
					t.Errorf("ended after %s, want %s", got, c.ends)
				}
			})
		})
	}
}

// TestHandshakeThatNeverComes holds that who connects to TLS and is silent is
// let go, and that others are served meanwhile.
func TestHandshakeThatNeverComes(t *testing.T) {
	ca := certtest.NewAuthority(t)
	s := start(t, Options{Config: secured(t, ca, openConfig())})
	addr := s.Addrs()[0].Address.String()
	silent, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: ca.Pool(), ServerName: "sip.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/TLS h:1;branch=z9hG4bKv\r\nFrom: <sip:v@b>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: v\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "SIP/2.0 200") {
		t.Errorf("%q %v", line, err)
	}
}
