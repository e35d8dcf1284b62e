package peer

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Linphone is a running linphonec, with files for a sound card: it says a tone and
// keeps what it hears.
type Linphone struct {
	*Process
	commands io.Writer
	dir      string
}

const linphoneConfig = `
[sip]
sip_port=%[1]d
sip_tcp_port=%[1]d
sip_tls_port=0
guess_hostname=0
use_ipv6=0
register_only_when_network_is_up=0
default_proxy=0
[rtp]
audio_rtp_port=%[2]d
[net]
mtu=1300
[auth_info_0]
username=%[3]s
passwd=%[4]s
[proxy_0]
reg_proxy=<sip:%[5]s;transport=%[6]s>
reg_route=<sip:%[5]s;transport=%[6]s>
reg_identity=sip:%[3]s@%[7]s
reg_expires=120
reg_sendregister=1
publish=0
dial_escape_plus=0
`

// StartLinphone runs a softphone, as baresip's, and waits until it is registered.
// It answers by itself unless Manual.
func StartLinphone(t testing.TB, phone Phone) *Linphone {
	t.Helper()
	phone = phone.withDefaults()
	l := &Linphone{dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(l.dir, ".local/share/linphone"), 0o700); err != nil {
		t.Fatal(err)
	}
	config, said := filepath.Join(l.dir, "linphonerc"), filepath.Join(l.dir, "said.wav")
	write(t, config, fmt.Sprintf(linphoneConfig, FreePort(t), FreePort(t), phone.User, phone.Password, phone.Server, phone.Transport, phone.Domain))
	write(t, said, string(toneFile(phone.Tone, time.Minute)))
	cmd := exec.Command("linphonec", "-d", "4", "-l", l.log(), "-c", config)
	cmd.Env = append(os.Environ(), "HOME="+l.dir, "XDG_CONFIG_HOME="+l.dir, "XDG_DATA_HOME="+filepath.Join(l.dir, ".local/share"))
	commands, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.commands = commands
	t.Cleanup(func() {
		if log, err := os.ReadFile(l.log()); err == nil && t.Failed() {
			t.Logf("the end of linphonec's log:\n%s", log[max(0, len(log)-6000):])
		}
	})
	l.Process = start(t, cmd)
	l.Do(t, "soundcard use files")
	l.Do(t, "play "+said)
	l.Do(t, "record "+l.heard())
	if !phone.Manual {
		l.Do(t, "autoanswer enable")
	}
	if !phone.NoRegister {
		l.AwaitState(t, "RegistrationOk", 1, 30*time.Second)
	}
	return l
}

// Do gives a command: "pause", "resume", "terminate", "answer", "call sip:…".
func (l *Linphone) Do(t testing.TB, command string) {
	t.Helper()
	if _, err := fmt.Fprintln(l.commands, command); err != nil {
		t.Fatalf("linphonec %s: %v", command, err)
	}
}

// AwaitState waits until it, or a call of its, has come into a state n times:
// RegistrationOk, CallStreamsRunning, CallPaused, CallEnd.
func (l *Linphone) AwaitState(t testing.TB, state string, n int, limit time.Duration) {
	t.Helper()
	Eventually(t, limit, fmt.Sprintf("linphonec to be %s %d times", state, n), func() bool {
		log, err := os.ReadFile(l.log())
		return err == nil && strings.Count(string(log), " to [Linphone"+state+"]")+strings.Count(string(log), " to Linphone"+state+"\n") >= n
	})
}

// Heard gives what it has heard until now, in all its calls.
func (l *Linphone) Heard(t testing.TB) Sound {
	t.Helper()
	data, err := os.ReadFile(l.heard())
	if err != nil {
		t.Fatal(err)
	}
	const header = 44 // true only when a call is over
	pcm, err := samples(data[min(header, len(data)):], 1, 1, 16)
	if err != nil {
		t.Fatal(err)
	}
	return Sound{Rate: 8000, Channels: pcm}
}

func (l *Linphone) log() string { return filepath.Join(l.dir, "log") }

func (l *Linphone) heard() string { return filepath.Join(l.dir, "heard.wav") }

// toneFile gives a tone as a WAV file of 8 kHz, 16 bit, mono.
func toneFile(hertz int, length time.Duration) []byte {
	n := int(length.Seconds() * 8000)
	out := append([]byte("RIFF"), le(nil, uint32(4+8+16+8+2*n))...)
	out = append(append(out, "WAVEfmt "...), le(nil, uint32(16), uint16(1), uint16(1), uint32(8000), uint32(16000), uint16(2), uint16(16))...)
	out = append(append(out, "data"...), le(nil, uint32(2*n))...)
	for i := range n {
		out = le(out, int16(8000*math.Sin(2*math.Pi*float64(hertz)*float64(i)/8000)))
	}
	return out
}
