//go:build load

package load

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/test/peer"
)

// crashHelpline is the load's helpline with a wrap-up, and with a message that can
// be left by key 3.
func crashHelpline(t *testing.T) (settings string, agents []string) {
	t.Helper()
	settings, agents = peer.LoadHelpline(t, 8, "node: crash\nevents: {segment_bytes: 1048576}\n")
	for was, is := range map[string]string{
		"wrap_up: 0s":             "wrap_up: 100ms",
		"2: {next: wait}}":        "2: {next: wait}, 3: {next: message}}",
		"      end: {hangup: {}}": "      message: {record: {prompts: [menu], name: message, next: end, else: end}}\n      end: {hangup: {}}",
	} {
		if strings.Count(settings, was) != 1 {
			t.Fatalf("the load's helpline has changed: no %q", was)
		}
		settings = strings.Replace(settings, was, is, 1)
	}
	return settings, agents
}

// recordingOf is what the database has to say of a recording.
func recordingOf(e event.Event, fact event.RecordingMade) store.Recording {
	made := e.At
	if !fact.Made.IsZero() {
		made = fact.Made
	}
	return store.Recording{
		ID: fact.Recording, Call: e.Call, Node: "crash", Name: fact.Name, Length: fact.Length, Bytes: fact.Bytes,
		Made: made.UTC().Truncate(time.Millisecond),
	}
}

// legFact is the fact that a leg in the database came from.
func legFact(l store.Leg) event.LegEnded {
	return event.LegEnded{
		Side: l.Side, Agent: l.Agent, Codec: l.Codec, Suite: l.Suite,
		PacketsIn: l.PacketsIn, PacketsOut: l.PacketsOut, Lost: l.Lost, Heard: l.Heard, Sent: l.Sent, RoundTrip: l.RoundTrip,
	}
}

// compareRecordings wants each message that the log tells of in the database, as it
// was told, and the newest one to be heard.
func compareRecordings(t *testing.T, bugle *peer.Bugle, db *store.Store, cut told, all *tally) {
	t.Helper()
	had := byID(t, db.Recordings(t.Context(), time.Now().Add(-24*time.Hour), time.Now().Add(time.Hour)), func(r store.Recording) string { return r.ID })
	var newest store.Recording
	for id, want := range cut.recordings {
		got := had[id]
		if got.Made = got.Made.UTC(); got != want {
			t.Errorf("a recording is %+v in the log and %+v in the database", want, got)
		}
		if strings.HasSuffix(id, "-cut") {
			all.messagesCut++
		}
		if newest.Made.Before(want.Made) {
			newest = want
		}
	}
	all.recordings += len(cut.recordings)
	if newest.ID == "" {
		return
	}
	out, code := peer.Run(t, "", "recordings", "-c", filepath.Join(bugle.Dir, "bugle.yaml"), "export", newest.ID, filepath.Join(t.TempDir(), "message.wav"))
	if code != 0 {
		t.Errorf("recording %s can't be heard: %s", newest.ID, out)
	}
}
