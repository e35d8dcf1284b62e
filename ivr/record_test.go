package ivr

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// message lets a caller leave one, at most twenty seconds long.
const message = head + `
      welcome:
        record: {prompts: [leave, beep], name: message, max: 20s, no_input: [no_input], next: subject, else: general}
      subject: {menu: {prompts: [subject], tries: 1, timeout: 1s, keys: {1: {next: again}, "#": {next: bye}}, else: claims}}
      again: {record: {prompts: [beep], name: message, finish: "*#", tries: 1, next: bye, else: general}}
      claims: {queue: {name: claims}}
      general: {queue: {name: general}}
      bye: {hangup: {}}
`

func TestRecord(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name   string
		script []act
		heard  string
		end    string
		took   time.Duration
	}{
		{"a silence ends it", []act{{5 * s, "talk"}, {8 * s, "hush"}},
			"en/leave en/beep (8.9s) en/subject", "queue claims en message=id1", 15*s + 900*time.Millisecond},
		{"a key ends it", []act{{5 * s, "talk"}, {8 * s, "#"}},
			"en/leave en/beep (4.1s) en/subject", "queue claims en message=id1", 11*s + 100*time.Millisecond},
		{"a key by SIP INFO ends it", []act{{5 * s, "talk"}, {8 * s, "#info"}},
			"en/leave en/beep (4s) en/subject", "queue claims en message=id1", 11 * s},
		{"other keys are not heard", []act{{5 * s, "talk"}, {6 * s, "1"}, {7 * s, "*"}, {8 * s, "hush"}},
			"en/leave en/beep (8.9s) en/subject", "queue claims en message=id1", 15*s + 900*time.Millisecond},
		{"it is as long as it may be", []act{{0, "talk"}},
			"en/leave en/beep (20s) en/subject", "queue claims en message=id1", 27 * s},
		{"a key begins it before its time", []act{{1 * s, "1"}, {2 * s, "talk"}, {4 * s, "#"}},
			"en/leave… (3s) en/subject", "queue claims en message=id1", 7*s + 100*time.Millisecond},
		{"what is typed ahead does not", []act{{0, "1info"}, {0, "#info"}, {5 * s, "talk"}, {8 * s, "#"}},
			"en/leave en/beep (4.1s) en/subject", "queue claims en message=id1", 11*s + 100*time.Millisecond},
		{"too short, then long enough", []act{{5 * s, "talk"}, {5500 * time.Millisecond, "hush"}, {6 * s, "#"}, {14 * s, "talk"}, {16 * s, "#"}},
			"en/leave en/beep en/no_input en/leave en/beep (4s) en/subject", "queue claims en message=id1", 19*s + 100*time.Millisecond},
		{"nothing said", nil,
			"en/leave en/beep en/no_input en/leave en/beep", "queue general en", 20 * s},
		{"two of a name", []act{{5 * s, "talk"}, {7 * s, "#"}, {8 * s, "1"}, {12 * s, "*"}},
			"en/leave en/beep (3.1s) en/subject… en/beep (2s)", "hangup en message=id1 message=id2", 12*s + 100*time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				phone := newFakePhone(ctx, cancel, tt.script...)
				start := time.Now()
				outcome, err := run(t, ctx, message, phone)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if got := phone.transcript(); got != tt.heard {
					t.Errorf("heard %q\n want %q", got, tt.heard)
				}
				if got := describe(outcome); got != tt.end {
					t.Errorf("ended %q, want %q", got, tt.end)
				}
			})
		})
	}
}

// TestHangUpWhileRecording: what was said until then is kept, if it is long
// enough, and the outcome tells of it although the flow broke off.
func TestHangUpWhileRecording(t *testing.T) {
	for at, want := range map[time.Duration]string{
		4500 * time.Millisecond: " en",
		7 * time.Second:         " en message=id1",
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			phone := newFakePhone(ctx, cancel, act{4 * time.Second, "talk"}, act{at, "bye"})
			start := time.Now()
			outcome, err := run(t, ctx, message, phone)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("hung up after %v: got %v, want %v", at, err, context.Canceled)
			}
			if took := time.Since(start); took != at {
				t.Errorf("hung up after %v: ended after %v", at, took)
			}
			if got := describe(outcome); got != want {
				t.Errorf("hung up after %v: ended %q, want %q", at, got, want)
			}
		})
	}
}

// TestNothingCanBeKept: the caller is not asked again in vain.
func TestNothingCanBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		phone := newFakePhone(ctx, cancel, act{0, "talk"})
		phone.full = true
		outcome, err := run(t, ctx, message, phone)
		if err != nil {
			t.Fatal(err)
		}
		if got := phone.transcript() + ": " + describe(outcome); got != "en/leave en/beep: queue general en" {
			t.Error(got)
		}
	})
}
