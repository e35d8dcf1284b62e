package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/deployments/demo"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/test/peer"
)

// messages is a helpline that only takes messages, in the demo's voice.
const messages = `
domain: messages
data_dir: DATA_DIR
http: {address: HTTP_ADDR}
sip:
  listeners: [{network: udp, address: SIP_ADDR}]
  trunks: [{name: here, addresses: [127.0.0.0/8]}]
languages: [en]
numbers: {message: {flow: message, language: en}}
flows:
  message:
    start: leave
    steps:
      leave: {record: {prompts: [no_input], name: message, next: thanks, else: thanks}}
      thanks: {hangup: {}}
`

// What a caller says into a record step lies sealed on the disk, and comes out
// unbroken for who has the key, and for nobody else.
func TestMessageIsSealedAndExported(t *testing.T) {
	t.Parallel()
	prompts := filepath.Join(t.TempDir(), "prompts")
	if err := os.CopyFS(prompts, demo.Prompts); err != nil {
		t.Fatal(err)
	}
	bugle := peer.StartBugle(t, messages+ports+fmt.Sprintf("prompts: {dir: %q}\n", prompts))
	config := filepath.Join(bugle.Dir, "bugle.yaml")
	lost := leaveMessage(t, bugle)
	made := recordingMade(t, config)
	if made.Name != "message" || made.Length < 5*time.Second {
		t.Fatalf("recorded %+v, want over 5s", made)
	}
	out, code := peer.Run(t, "", "recordings", "-c", config, "list")
	if code != 0 || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, made.Recording+" ") {
		t.Errorf("recordings list: exit %d\n%s", code, out)
	}

	files, err := filepath.Glob(filepath.Join(bugle.Dir, "data/recordings/*/*/*/*"))
	if err != nil || len(files) != 1 || !strings.HasSuffix(files[0], "-message.au.sealed") {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	sealed, err := os.ReadFile(files[0])
	if err != nil || int64(len(sealed)) != made.Bytes {
		t.Fatalf("the file has %d bytes, want %d: %v", len(sealed), made.Bytes, err)
	}
	if run := periodic(sealed, 8); run > 16 {
		t.Errorf("the tone is in the sealed file for %d bytes", run)
	}

	wav := filepath.Join(t.TempDir(), "message.wav")
	keyset := filepath.Join(bugle.Dir, "data/keyset.json")
	if err := os.Rename(keyset, keyset+".away"); err != nil {
		t.Fatal(err)
	}
	refused(t, config, made.Recording, wav) // no key
	if out, code := peer.Run(t, "", "vault", "init", "-c", config); code != 0 {
		t.Fatalf("vault init: exit %d\n%s", code, out)
	}
	refused(t, config, made.Recording, wav) // another's
	if err := os.Rename(keyset+".away", keyset); err != nil {
		t.Fatal(err)
	}

	if out, code := peer.Run(t, "", "recordings", "export", made.Recording, wav, "-c", config); code != 0 {
		t.Fatalf("recordings export: exit %d\n%s", code, out)
	}
	sound := peer.ReadWAV(t, wav)
	if len(sound.Channels) != 1 || (sound.Length()-made.Length).Abs() > 0 {
		t.Errorf("exported %d channels of %v, want one of %v", len(sound.Channels), sound.Length(), made.Length)
	}
	// Where the machine held up the caller or the node there is a gap, and nowhere else.
	if gaps := made.Length - sound.Heard(0, 1000); gaps > 200*time.Millisecond+lost*3/2 {
		t.Errorf("of %v the tone is missing for %v, and the machine took %v", made.Length, gaps, lost)
	}
	plain, err := os.ReadFile(wav)
	if err != nil {
		t.Fatal(err)
	}
	if run := periodic(plain, 16); run < 10000 {
		t.Errorf("this test would not see a tone in the clear: %d bytes", run)
	}
	nothingLeft(t, bugle)
}

// leaveMessage calls, says a tone until over five seconds of it are on the disk, and ends
// the message by a key. It tells how much time of their sound the machine had caller and
// node let go.
func leaveMessage(t *testing.T, bugle *peer.Bugle) (lost time.Duration) {
	t.Helper()
	caller := newTelephone(t, bugle.SIP, "caller")
	call := caller.dial(t, "message")
	call.media.PlayMusic(media.Tone(1000, time.Second))
	peer.Eventually(t, time.Minute, "two chunks of 32 KiB of the message to be written", func() bool {
		partial, err := filepath.Glob(filepath.Join(bugle.Dir, "data/recordings/partial/*"))
		if err != nil || len(partial) != 1 {
			return false
		}
		info, err := os.Stat(partial[0])
		return err == nil && info.Size() >= 64<<10
	})
	must(t, call.media.SendKeys("#"))
	select {
	case <-call.leg.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the call goes on after the message")
	}
	if by := call.leg.End().By; by != sip.ByRemote {
		t.Errorf("the call was ended by %s, want the node", by)
	}
	return caller.skipped(t) + time.Duration(bugle.Metrics(t)["bugle_media_skipped_beats_total"])*beat
}

// refused exports a recording in vain.
func refused(t *testing.T, config, id, wav string) {
	t.Helper()
	out, code := peer.Run(t, "", "recordings", "export", id, wav, "-c", config)
	if code != 1 || !strings.Contains(out, "keyset") {
		t.Errorf("export without the key: exit %d\n%s", code, out)
	}
	if _, err := os.Stat(wav); !os.IsNotExist(err) {
		t.Errorf("export without the key left something: %v", err)
	}
}

type made struct {
	Recording string        `json:"recording"`
	Name      string        `json:"name"`
	Length    time.Duration `json:"length_ns"`
	Bytes     int64         `json:"bytes"`
}

// recordingMade gives the one fact of a recording.
func recordingMade(t *testing.T, config string) (fact made) {
	t.Helper()
	out, code := peer.Run(t, "", "events", "-c", config)
	if code != 0 {
		t.Fatalf("bugle events: exit %d\n%s", code, out)
	}
	found := 0
	for line := range strings.Lines(out) {
		var e struct {
			Kind string
			Fact json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Kind != "recording.made" {
			continue
		}
		found++
		if err := json.Unmarshal(e.Fact, &fact); err != nil {
			t.Fatal(err)
		}
	}
	if found != 1 {
		t.Fatalf("%d facts of recordings, want 1:\n%s", found, out)
	}
	return fact
}

// periodic gives the longest run of bytes that repeat themselves after so many.
func periodic(data []byte, period int) (longest int) {
	run := 0
	for i := period; i < len(data); i++ {
		if run++; data[i] != data[i-period] {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}
