package peer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Baresip is a running softphone, steered over its control socket.
type Baresip struct {
	*Process
	dir  string
	conn net.Conn

	mu     sync.Mutex
	events []BaresipEvent
	more   chan struct{} // closed and renewed at each event
}

// BaresipEvent is what the softphone tells of itself.
type BaresipEvent struct {
	Type  string `json:"type"` // REGISTER_OK, CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED, …
	Param string `json:"param"`
}

// Phone says who a softphone is.
type Phone struct {
	User, Password string
	Server         string // host:port of Bugle
	Transport      string // udp (default), tcp, tls
	CA             string // file of the authority it believes over TLS
	Tone           int    // Hz, what it says; default 440
	Codec          string // PCMU (default), PCMA, G722, opus, or several: "PCMU,PCMA"
	Manual         bool   // it doesn't answer by itself
	NoRegister     bool   // a caller's phone
	Domain         string // of its own address; default: Server's host
	Encrypted      bool   // it insists on SRTP
}

// baresipPorts is how many ports a softphone has for its sound.
const baresipPorts = 16

const baresipConfig = `
poll_method epoll
sip_listen 127.0.0.1:%d
call_local_timeout 120
call_max_calls 4
audio_player aubridge,sink
audio_source ausine,%d
audio_alert aubridge,alert
ausrc_srate 48000
ausrc_channels 2
audio_buffer 20-160
rtp_ports %d-%d
rtcp_mux no
jitter_buffer_delay 1-5
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module opus.so
module ausine.so
module aubridge.so
module sndfile.so
module srtp.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:%d
snd_path %s
ringback_disabled yes
`

// StartBaresip runs a softphone and waits until it is registered.
func StartBaresip(t testing.TB, phone Phone) *Baresip {
	t.Helper()
	phone = phone.withDefaults()
	dir := t.TempDir()
	control, rtp := FreePort(t), freePorts(t, baresipPorts)
	config := fmt.Sprintf(baresipConfig, FreePort(t), phone.Tone, rtp, rtp+baresipPorts-1, control, dir)
	if phone.CA != "" {
		config += "sip_cafile " + phone.CA + "\nsip_verify_server yes\n"
	}
	write(t, filepath.Join(dir, "config"), config)
	write(t, filepath.Join(dir, "accounts"), phone.account())
	write(t, filepath.Join(dir, "contacts"), "")

	b := &Baresip{dir: dir, more: make(chan struct{})}
	b.Process = start(t, exec.Command("baresip", "-4", "-n", "127.0.0.1", "-f", dir))
	Eventually(t, 20*time.Second, "baresip's control socket", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", control))
		b.conn = conn
		return err == nil
	})
	t.Cleanup(func() { b.conn.Close() })
	go b.read(bufio.NewReader(b.conn))
	if !phone.NoRegister {
		// The registration may have succeeded before the socket was open.
		Eventually(t, 20*time.Second, "baresip's registration", func() bool {
			return strings.Contains(b.Output(), "200 OK") || b.seen("REGISTER_OK") > 0
		})
	}
	return b
}

func (p Phone) withDefaults() Phone {
	if p.Transport == "" {
		p.Transport = "udp"
	}
	if p.Tone == 0 {
		p.Tone = 440
	}
	if p.Codec == "" {
		p.Codec = "PCMU"
	}
	if p.Domain == "" {
		p.Domain, _, _ = net.SplitHostPort(p.Server)
	}
	return p
}

func (p Phone) account() string {
	regint, answer := 120, "auto"
	if p.NoRegister {
		regint = 0
	}
	if p.Manual {
		answer = "manual"
	}
	more := ""
	if p.Encrypted {
		more = ";mediaenc=srtp-mand"
	}
	return fmt.Sprintf("<sip:%s@%s;transport=%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s;transport=%s\";regint=%d;answermode=%s;audio_codecs=%s;ptime=20%s\n",
		p.User, p.Domain, p.Transport, p.User, p.Password, p.Server, p.Transport, regint, answer, strings.ReplaceAll(p.Codec, "PCMU", "PCMU/8000/1"), more)
}

// Do gives the softphone a command of its menu: "dial" "sip:…", "hangup", "accept".
func (b *Baresip) Do(t testing.TB, command, params string) {
	t.Helper()
	text, err := json.Marshal(map[string]string{"command": command, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(b.conn, "%d:%s,", len(text), text); err != nil {
		t.Fatalf("baresip %s: %v", command, err)
	}
}

// AwaitEvent waits until the softphone has told of an event n times.
func (b *Baresip) AwaitEvent(t testing.TB, kind string, n int, limit time.Duration) {
	t.Helper()
	deadline := time.After(limit)
	for {
		b.mu.Lock()
		more := b.more
		b.mu.Unlock()
		if b.seen(kind) >= n {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("baresip: %d of %d %s within %v; saw %v", b.seen(kind), n, kind, limit, b.Events())
		}
	}
}

// Events gives all it has told of.
func (b *Baresip) Events() []BaresipEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]BaresipEvent(nil), b.events...)
}

// Heard gives the recordings of what the softphone received, oldest first.
func (b *Baresip) Heard(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.dir, "dump-*-dec.wav"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (b *Baresip) seen(kind string) (n int) {
	for _, e := range b.Events() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// read takes the control socket's netstrings until it is closed.
func (b *Baresip) read(r *bufio.Reader) {
	for {
		head, err := r.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
		if err != nil {
			return
		}
		body := make([]byte, n+1) // and the comma
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		var e BaresipEvent
		if json.Unmarshal(body[:n], &e) == nil && e.Type != "" {
			b.mu.Lock()
			b.events = append(b.events, e)
			close(b.more)
			b.more = make(chan struct{})
			b.mu.Unlock()
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
