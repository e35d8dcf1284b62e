package ivr

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spoken is every prompt the flows of these tests speak, in both languages.
var spoken = []string{
	"en/welcome.wav", "en/choose.wav", "en/subject.wav", "en/no_input.wav", "en/no_match.wav", "en/hold.wav", "en/extra.wav", "en/bye.wav",
	"es/welcome.wav", "es/choose.wav", "es/subject.wav", "es/no_input.wav", "es/no_match.wav", "es/hold.wav", "es/bye.wav",
	"en/a.wav", "es/a.wav",
}

const staffed = "agents: {anna: {languages: {en: 5}}, sofia: {languages: {es: 5}}}"

func without(names ...string) []string {
	var rest []string
	for _, s := range spoken {
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+s+" ") {
			rest = append(rest, s)
		}
	}
	return rest
}

func TestCheck(t *testing.T) {
	const small = `sip: {listeners: [{network: udp, address: "127.0.0.1:5060"}]}
languages: [en, es]
skills: [claims, clinical]
`
	tests := []struct {
		name, config string
		files        []string
		want         string
	}{
		{"all is well", menus + staffed, spoken, ""},
		{"a step nobody reaches", menus + "      lost: {hangup: {}}\n      loster: {play: {prompts: [a], next: lost}}\n" + staffed, spoken, `
test.yaml:30:7: step "lost" of flow "f" is never reached; let another step lead to it, or remove it
test.yaml:31:7: step "loster" of flow "f" is never reached; let another step lead to it, or remove it`},
		{"a prompt in one language only", menus + staffed, without("es/subject.wav", "es/hold.wav"), `
test.yaml:21:21: prompt "subject" has no recording: es/subject.wav; record it, or have it rendered
test.yaml:27:49: prompt "hold" has no recording: es/hold.wav; record it, or have it rendered`},
		{"a prompt in no language", menus + staffed, without("en/no_input.wav", "es/no_input.wav", "es/choose.wav", "es/bye.wav"), `
test.yaml:14:32: prompt "es/choose" has no recording: es/choose.wav; record it, or have it rendered
test.yaml:23:22: prompt "no_input" has no recording: en/no_input.wav, es/no_input.wav; record it, or have it rendered
test.yaml:29:32: prompt "bye" has no recording: es/bye.wav; record it, or have it rendered`},
		{"a misspelt prompt", small + `numbers: {n: {flow: f, language: en}}
flows: {f: {start: a, steps: {a: {hangup: {prompts: [welcom]}}}}}`, spoken, `
test.yaml:5:54: prompt "welcom" has no recording: en/welcom.wav; did you mean "welcome"?`},
		{"only languages that can be asked for", small + `numbers: {n: {flow: f, language: en}}
flows: {f: {start: a, steps: {a: {hangup: {prompts: [a]}}}}}`, []string{"en/a.wav"}, ""},
		{"a circle", small + `numbers: {n: {flow: f, language: en}}
flows:
  f:
    start: a
    steps:
      a: {play: {prompts: [a], next: b}}
      b: {menu: {prompts: [a], keys: {1: {next: end}}, else: c}}
      c: {play: {prompts: [a], next: b}}
      end: {hangup: {}}`, spoken, `
test.yaml:10:7: who presses nothing goes round in circles: b → c → b; let one of these steps lead to a queue or a hangup`},
		{"a way back by key is no circle", small + `numbers: {n: {flow: f, language: en}}
flows:
  f:
    start: a
    steps:
      a: {menu: {prompts: [a], keys: {1: {next: a}}, else: end}}
      end: {hangup: {}}`, spoken, ""},
		{"a step that leads to itself", small + `numbers: {n: {flow: f, language: en}}
flows:
  f:
    start: a
    steps:
      a: {collect: {prompts: [a], name: id, max: 3, next: end, else: a}}
      end: {hangup: {}}`, spoken, `
test.yaml:9:7: who presses nothing goes round in circles: a → a; let one of these steps lead to a queue or a hangup`},
		{"a message, with and without anything said", small + `numbers: {n: {flow: f, language: en}}
flows:
  f:
    start: a
    steps:
      a: {record: {prompts: [a], name: m, no_input: [again], next: b, else: end}}
      b: {play: {prompts: [welcome], next: a}}
      end: {hangup: {prompts: [bye]}}`, spoken, `
test.yaml:9:7: who presses nothing goes round in circles: a → b → a; let one of these steps lead to a queue or a hangup
test.yaml:9:54: prompt "again" has no recording: en/again.wav; record it, or have it rendered`},
		{"a flow without a number", small + `numbers: {n: {flow: g, language: en}}
flows: {f: {start: a, steps: {a: {hangup: {prompts: [a]}}}}, g: {start: a, steps: {a: {hangup: {}}}}}`, []string{"en/a.wav"}, `
test.yaml:5:9: warning: flow "f" has no number, so nobody can call it; add it under numbers: NUMBER: {flow: f, language: en|es}
test.yaml:5:54: prompt "a" has no recording: es/a.wav; record it, or have it rendered`},
		{"a language nobody speaks", menus + "agents: {anna: {languages: {en: 5}}}", spoken, `
test.yaml:4:10: warning: no agent can serve queue "claims" in es: it takes the language; give an agent what it takes
test.yaml:4:22: warning: no agent can serve queue "general" in es: it takes the language; give an agent what it takes`},
		{"a skill nobody has", small + `queues: {urgent: {requires: {clinical: 2, claims: 1}}, other: {}}
agents: {anna: {languages: {en: 5}, skills: {clinical: 1, claims: 1}}, sofia: {languages: {es: 5}, skills: {clinical: 5, claims: 1}}}
numbers: {n: {flow: f, language: en}}
flows: {f: {start: a, steps: {a: {queue: {name: urgent}}}}}`, spoken, `
test.yaml:4:10: no agent can serve queue "urgent" in en: it takes the language, claims 1, clinical 2; give an agent what it takes
test.yaml:4:56: warning: no flow leads to queue "other"; let a step lead to it, or remove it`},
		{"no agents", menus, spoken, `
test.yaml:1:1: warning: there are no agents, so callers would wait for nobody; add some under agents`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Check(parse(t, tt.config), load(t, folder(tt.files...))).Error()
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestCheckWithoutPrompts looks at the flows alone.
func TestCheckWithoutPrompts(t *testing.T) {
	if got := Check(parse(t, menus+staffed), nil); len(got) > 0 {
		t.Errorf("got %v, want nothing", got)
	}
}
