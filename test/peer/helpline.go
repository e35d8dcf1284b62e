package peer

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// LoadHelpline gives the configuration of a helpline for measuring, for
// StartBugle: a language prompt of 4 s, a key, a menu of 4 s, a key, a queue, and
// as many agents as are wanted, ready once registered and without wrap-up. The
// keys 1 and 2 lead to the queue. The number straight leads to the queue at once,
// greeting after the first prompt. It gives the agents' ids too.
func LoadHelpline(t testing.TB, agents int, more string) (config string, ids []string) {
	t.Helper()
	prompts := t.TempDir()
	spoken := wav(speechLike(4 * time.Second))
	for _, name := range []string{"en/language.wav", "en/menu.wav", "music.wav"} {
		path := filepath.Join(prompts, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, string(spoken))
	}
	var list strings.Builder
	for i := range agents {
		id := fmt.Sprintf("agent%d", i)
		ids = append(ids, id)
		fmt.Fprintf(&list, "  %s: {name: %s, languages: {en: 5}, skills: {claims: 3}}\n", id, id)
	}
	return fmt.Sprintf(`domain: load
data_dir: DATA_DIR
log: {level: warn}
http: {address: HTTP_ADDR}
sip:
  listeners:
    - {network: udp, address: SIP_ADDR}
    - {network: tcp, address: SIP_ADDR}
  trunks: [{name: load, addresses: [127.0.0.0/8]}]
  ready_on_register: true
  register_expires: 24h
media: {ports: 10000-19999}
prompts: {dir: %q}
languages: [en]
skills: [claims]
queues: {claims: {requires: {claims: 1}, wrap_up: 0s}}
numbers:
  helpline: {flow: main, language: en}
  greeting: {flow: greeting, language: en}
  straight: {flow: straight, language: en}
flows:
  main:
    start: language
    steps:
      language: {menu: {prompts: [language], keys: {1: {language: en, next: subject}}, else: end}}
      subject: {menu: {prompts: [menu], keys: {2: {next: wait}}, else: end}}
      wait: {queue: {name: claims}}
      end: {hangup: {}}
  greeting: {start: greeting, steps: {greeting: {play: {prompts: [language], next: wait}}, wait: {queue: {name: claims}}}}
  straight: {start: wait, steps: {wait: {queue: {name: claims}}}}
agents:
%s
%s`, prompts, list.String(), more), ids
}

// wav puts 8 kHz µ-law into a WAV file.
func wav(ulaw []byte) []byte {
	format := le(nil, uint16(7), uint16(1), uint32(8000), uint32(8000), uint16(1), uint16(8), uint16(0))
	out := append([]byte("RIFF"), le(nil, uint32(4+8+len(format)+8+len(ulaw)))...)
	out = append(append(out, "WAVEfmt "...), le(nil, uint32(len(format)))...)
	out = append(append(out, format...), "data"...)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(ulaw))), ulaw...)
}
