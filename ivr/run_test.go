package ivr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const head = `
sip: {listeners: [{network: udp, address: "127.0.0.1:5060"}]}
languages: [en, es]
queues: {claims: {}, general: {}}
numbers: {n: {flow: f, language: en}}
flows:
  f:
    start: welcome
    steps:
`

// menus is a helpline of two menus.
const menus = head + `
      welcome: {play: {prompts: [welcome], next: language}}
      language:
        menu:
          prompts: [en/choose, es/choose]
          keys: {1: {language: en, next: subject}, 2: {language: es, next: subject}}
          no_match: [no_match]
          tries: 2
          else: subject
      subject:
        menu:
          prompts: [subject]
          keys: {1: {next: claims}, "*": {next: welcome}, "#": {next: bye}}
          no_input: [no_input]
          no_match: [no_match]
          tries: 2
          else: general
      claims: {queue: {name: claims, announce: [hold, en/extra]}}
      general: {queue: {name: general}}
      bye: {hangup: {prompts: [bye]}}
`

// notice must be heard to its end.
const notice = head + `
      welcome: {play: {prompts: [welcome], next: notice}}
      notice: {play: {prompts: [notice], barge: false, next: subject}}
      subject: {menu: {prompts: [subject], tries: 1, keys: {1: {next: claims}}, else: general}}
      claims: {queue: {name: claims}}
      general: {queue: {name: general}}
`

// entry asks for a number of four to six digits, and then for one more key.
const entry = head + `
      welcome:
        collect: {prompts: [enter], name: id, min: 4, max: 6, private: true, tries: 2,
          no_input: [no_input], no_match: [no_match], next: subject, else: general}
      subject: {menu: {prompts: [subject], tries: 1, keys: {1: {next: claims}, "#": {next: bye}}, else: general}}
      claims: {queue: {name: claims}}
      general: {queue: {name: general}}
      bye: {hangup: {}}
`

// optional is an entry that may be left empty.
const optional = head + `
      welcome: {collect: {prompts: [enter], name: ext, min: 0, max: 3, finish: "*", tries: 1, next: claims, else: general}}
      claims: {queue: {name: claims}}
      general: {queue: {name: general}}
`

func TestRun(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name   string
		flows  string
		script []act
		heard  string
		end    string // kind, queue, language, values
		took   time.Duration
	}{
		{"keys after each prompt", menus, []act{{7 * s, "2"}, {10 * s, "1"}},
			"en/welcome en/choose es/choose es/subject", "queue claims es", 10*s + 100*time.Millisecond},
		{"nothing pressed", menus, nil,
			"en/welcome en/choose es/choose en/choose es/choose en/subject en/no_input en/subject", "queue general en", 36 * s},
		{"barge-in", menus, []act{{1 * s, "2"}, {2 * s, "1"}},
			"en/welcome… es/subject…", "queue claims es", 2*s + 100*time.Millisecond},
		{"typing ahead skips prompts", menus, keys(3*s, "21"),
			"en/welcome en/choose… es/subject…", "queue claims es", 3*s + 350*time.Millisecond},
		{"typing ahead at once", menus, []act{{0, "2info"}, {0, "1info"}},
			"", "queue claims es", 0},
		{"a wrong key, then the right one", menus, []act{{3 * s, "7"}, {6 * s, "1"}, {7 * s, "1"}},
			"en/welcome en/choose… en/no_match en/choose… en/subject…", "queue claims en", 7*s + 100*time.Millisecond},
		{"a wrong key too often keeps the language", menus, []act{{3 * s, "7"}, {6 * s, "8"}, {7 * s, "1"}},
			"en/welcome en/choose… en/no_match en/choose… en/subject…", "queue claims en", 7*s + 100*time.Millisecond},
		{"a wrong key drops what was typed behind it", menus, []act{{0, "1info"}, {0, "7info"}, {0, "1info"}, {5 * s, "#"}},
			"en/no_match en/subject en/bye", "hangup en", 7*s + 100*time.Millisecond},
		{"back to the start", menus, []act{{1 * s, "1"}, {2 * s, "*"}, {4 * s, "1"}, {5 * s, "1"}},
			"en/welcome… en/subject… en/welcome… en/subject…", "queue claims en", 5*s + 100*time.Millisecond},
		{"a key still held when the prompt ends", menus, []act{{1900 * time.Millisecond, "1down"}, {3 * s, "1up"}, {4 * s, "1"}},
			"en/welcome… en/subject…", "queue claims en", 4*s + 100*time.Millisecond},
		{"a key never let go", menus, []act{{3 * s, "1down"}, {14 * s, "1"}, {16 * s, "1"}},
			"en/welcome en/choose… en/choose… en/subject…", "queue claims en", 16*s + 100*time.Millisecond},
		{"a key just in time, held past it", menus, []act{{10900 * time.Millisecond, "1down"}, {12 * s, "1up"}, {13 * s, "1"}},
			"en/welcome en/choose es/choose en/subject…", "queue claims en", 13*s + 100*time.Millisecond},
		{"keys no telephone has", menus, []act{{1 * s, "A"}, {3 * s, "D"}, {8 * s, "Binfo"}, {11500 * time.Millisecond, "2"}, {14 * s, "1"}},
			"en/welcome en/choose es/choose en/choose… es/subject", "queue claims es", 14*s + 100*time.Millisecond},

		{"a notice is heard whole", notice, []act{{3 * s, "1"}, {6 * s, "1"}},
			"en/welcome en/notice en/subject", "queue claims en", 6*s + 100*time.Millisecond},
		{"keys before a notice are not kept", notice, []act{{1 * s, "1"}, {2 * s, "1"}},
			"en/welcome… en/notice en/subject", "queue general en", 10*s + 100*time.Millisecond},

		{"a key held past a notice is not kept", notice, []act{{3 * s, "1down"}, {5 * s, "1up"}, {5500 * time.Millisecond, "1"}},
			"en/welcome en/notice en/subject…", "queue claims en", 5600 * time.Millisecond},

		{"an entry and its finish", entry, append(keys(1*s, "12345#"), act{4 * s, "1"}),
			"en/enter… en/subject…", "queue claims en id=12345", 4*s + 100*time.Millisecond},
		{"an entry ended by silence", entry, append(keys(2*s, "1234"), act{7 * s, "1"}),
			"en/enter en/subject…", "queue claims en id=1234", 7*s + 100*time.Millisecond},
		{"a full entry ends itself", entry, append(keys(2*s, "123456"), act{4 * s, "1"}),
			"en/enter en/subject…", "queue claims en id=123456", 4*s + 100*time.Millisecond},
		{"a finish after a full entry is excused", entry, append(keys(2*s, "123456#"), act{5 * s, "1"}),
			"en/enter en/subject…", "queue claims en id=123456", 5*s + 100*time.Millisecond},
		{"typed ahead, too", entry, []act{{0, "1info"}, {0, "2info"}, {0, "3info"}, {0, "4info"}, {0, "5info"}, {0, "6info"}, {0, "#info"}, {1 * s, "1"}},
			"en/subject…", "queue claims en id=123456", 1*s + 100*time.Millisecond},
		{"only one finish is excused", entry, keys(2*s, "123456##"),
			"en/enter en/subject…", "hangup en id=123456", 3*s + 850*time.Millisecond},
		{"a late hash is meant", entry, append(keys(2*s, "123456"), act{7 * s, "#"}),
			"en/enter en/subject", "hangup en id=123456", 7*s + 100*time.Millisecond},
		{"too short, then right", entry, append(append(keys(1*s, "12#"), keys(4*s, "1234#")...), act{6 * s, "1"}),
			"en/enter… en/no_match en/enter… en/subject…", "queue claims en id=1234", 6*s + 100*time.Millisecond},
		{"a star begins anew", entry, append(keys(1*s, "99*1234#"), act{4 * s, "1"}),
			"en/enter… en/subject…", "queue claims en id=1234", 4*s + 100*time.Millisecond},
		{"nothing entered", entry, nil,
			"en/enter en/no_input en/enter", "queue general en", 16 * s},
		{"too short twice", entry, append(keys(1*s, "12#"), keys(4*s, "1#")...),
			"en/enter… en/no_match en/enter…", "queue general en", 4*s + 350*time.Millisecond},

		{"an empty entry, finished", optional, []act{{1 * s, "*"}},
			"en/enter…", "queue claims en ext=", 1*s + 100*time.Millisecond},
		{"an empty entry, silent", optional, nil,
			"en/enter", "queue general en", 7 * s},
		{"a hash that finishes nothing", optional, keys(1*s, "1#"),
			"en/enter…", "queue general en", 1*s + 350*time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				phone := newFakePhone(ctx, cancel, tt.script...)
				start := time.Now()
				outcome, err := run(t, ctx, tt.flows, phone)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				phone.Silence()
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

// run runs the flow f of a configuration.
func run(t *testing.T, ctx context.Context, flows string, phone Phone) (Outcome, error) {
	t.Helper()
	cfg := parse(t, flows)
	return Run(ctx, cfg.Flows, cfg.Numbers["n"], phone, nil)
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// describe writes an outcome in a line, private digits included.
func describe(o Outcome) string {
	words := []string{string(o.Kind)}
	if o.Queue != "" {
		words = append(words, o.Queue)
	}
	words = append(words, o.Language)
	for name, v := range o.Values {
		words = append(words, name+"="+v.Digits())
	}
	for _, r := range o.Recordings {
		words = append(words, r.Name+"="+r.ID)
	}
	return strings.Join(words, " ")
}

func TestAnnounceIsInTheCallersLanguage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		phone := newFakePhone(t.Context(), nil, keys(0, "21")...)
		outcome, err := run(t, t.Context(), menus, phone)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(outcome.Announce), "[es/hold en/extra]"; got != want {
			t.Errorf("announces %s, want %s", got, want)
		}
	})
}

// TestHangUpAnywhere hangs up after every quarter of a second of a call: the
// flow ends at that moment and says why.
func TestHangUpAnywhere(t *testing.T) {
	for _, flows := range []string{menus, notice, entry} {
		for at := time.Duration(0); at < 10*time.Second; at += 250 * time.Millisecond {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				phone := newFakePhone(ctx, cancel, act{at, "bye"})
				start := time.Now()
				_, err := run(t, ctx, flows, phone)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("hung up after %v: got %v, want %v", at, err, context.Canceled)
				}
				if took := time.Since(start); took != at {
					t.Errorf("hung up after %v: ended after %v", at, took)
				}
			})
		}
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := parse(t, menus)
		phone := newFakePhone(t.Context(), nil, keys(0, "21")...)
		var got []string
		_, err := Run(t.Context(), cfg.Flows, cfg.Numbers["n"], phone, func(e event.StepEntered) {
			got = append(got, e.Flow+"."+e.Step+" "+e.Language)
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "f.welcome en, f.language en, f.subject es, f.claims es"
		if strings.Join(got, ", ") != want {
			t.Errorf("observed %v, want %s", got, want)
		}
	})
}

// TestFaultyFlow: a flow nobody checked ends in an error, never in a panic or
// a call without end.
func TestFaultyFlow(t *testing.T) {
	step := func(s config.Step) map[string]config.Flow {
		return map[string]config.Flow{"f": {Start: "a", Steps: map[string]config.Step{"a": s}}}
	}
	tests := []struct {
		name  string
		flows map[string]config.Flow
		want  string
	}{
		{"no flow", nil, "none of that name"},
		{"no step", step(config.Step{Play: &config.Play{Next: "b"}}), `no step "b"`},
		{"no verb", step(config.Step{}), "does nothing"},
		{"no end", step(config.Step{Play: &config.Play{Next: "a"}}), "no end after 1000 steps"},
		{"no tries", step(config.Step{Menu: &config.Menu{}}), `no step ""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Run(t.Context(), tt.flows, config.Number{Flow: "f", Language: "en"}, silentPhone{}, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// silentPhone speaks in no time to a caller who does nothing.
type silentPhone struct{}

func (silentPhone) Play(...Prompt) {}
func (silentPhone) Silence()       {}
func (silentPhone) Record(context.Context, RecordOptions) (Recording, error) {
	return Recording{}, nil
}
func (silentPhone) Next(_ context.Context, within time.Duration) (Signal, error) {
	if within < 0 {
		return Signal{Kind: Finished}, nil
	}
	return Signal{Kind: TimedOut}, nil
}
