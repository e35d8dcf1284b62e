package demo

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T) (*config.Config, *ivr.Prompts) {
	t.Helper()
	cfg, err := config.Parse(Config, "bugle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := ivr.LoadPrompts(Prompts)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, prompts
}

// TestCheck: nothing is wrong with the demo, not even a warning.
func TestCheck(t *testing.T) {
	if problems := ivr.Check(load(t)); len(problems) > 0 {
		t.Error(problems)
	}
}

// TestOnlyLoopback: the demo's passwords are printed on a screen, so nobody
// outside may reach it.
func TestOnlyLoopback(t *testing.T) {
	cfg, _ := load(t)
	for _, l := range cfg.SIP.Listeners {
		if !l.Address.Addr().IsLoopback() {
			t.Errorf("SIP listens on %s", l.Address)
		}
	}
	for _, trunk := range cfg.SIP.Trunks {
		for _, a := range trunk.Addresses {
			if !a.Addr().IsLoopback() {
				t.Errorf("trunk %s calls from %s", trunk.Name, a)
			}
		}
	}
	if !strings.HasPrefix(cfg.HTTP.Address, "127.0.0.1:") || !cfg.Media.Address.IsLoopback() {
		t.Errorf("HTTP on %s, RTP on %s", cfg.HTTP.Address, cfg.Media.Address)
	}
}

// typist is a caller who has typed everything ahead.
type typist struct{ keys []rune }

func (*typist) Play(...ivr.Prompt) {}
func (*typist) Silence()           {}
func (p *typist) Next(_ context.Context, within time.Duration) (ivr.Signal, error) {
	if len(p.keys) == 0 {
		if within < 0 {
			return ivr.Signal{Kind: ivr.Finished}, nil
		}
		return ivr.Signal{Kind: ivr.TimedOut}, nil
	}
	key := p.keys[0]
	p.keys = p.keys[1:]
	return ivr.Signal{Kind: ivr.Key, Key: key}, nil
}

// Record keeps nothing: no flow of the demo records.
func (p *typist) Record(context.Context, ivr.RecordOptions) (ivr.Recording, error) {
	return ivr.Recording{}, ivr.ErrCannotRecord
}

// TestKeys holds what the README promises of each key.
func TestKeys(t *testing.T) {
	tests := []struct{ number, keys, queue, language string }{
		{"helpline", "11", "claims", "en"},
		{"helpline", "21", "claims", "es"},
		{"helpline", "32", "eligibility", "de"},
		{"helpline", "43", "authorisations", "it"},
		{"helpline", "14", "urgent", "en"},
		{"helpline", "20", "general", "es"},
		{"helpline", "", "general", "en"},
		{"ayuda", "", "general", "es"},
		{"hilfe", "", "general", "de"},
		{"aiuto", "", "general", "it"},
		{"ayuda", "11", "claims", "en"},
	}
	cfg, _ := load(t)
	for _, tt := range tests {
		outcome, err := ivr.Run(t.Context(), cfg.Flows, cfg.Numbers[tt.number], &typist{[]rune(tt.keys)}, nil)
		if err != nil {
			t.Errorf("%s %q: %v", tt.number, tt.keys, err)
			continue
		}
		if outcome.Queue != tt.queue || outcome.Language != tt.language {
			t.Errorf("%s %q: queue %s in %s, want %s in %s", tt.number, tt.keys, outcome.Queue, outcome.Language, tt.queue, tt.language)
		}
		if len(outcome.Announce) == 0 || outcome.Announce[0].Language != tt.language {
			t.Errorf("%s %q: announces %v, want it in %s", tt.number, tt.keys, outcome.Announce, tt.language)
		}
	}
}

// TestTexts: each text is rendered, and each language says the same things.
func TestTexts(t *testing.T) {
	cfg, prompts := load(t)
	var want []string // of every language
	for _, p := range prompts.All() {
		want = append(want, p.String())
	}
	var got []string
	files, err := filepath.Glob("texts/*.yaml")
	if err != nil || len(files) != len(cfg.Languages) {
		t.Fatalf("texts in %v (%v), want one for each of %v", files, err, cfg.Languages)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var texts map[string]string
		if err := yaml.Unmarshal(b, &texts); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		language := strings.TrimSuffix(filepath.Base(file), ".yaml")
		for _, p := range prompts.All() {
			if _, ok := texts[p.Name]; ok {
				got = append(got, ivr.Prompt{Language: language, Name: p.Name}.String())
				delete(texts, p.Name)
			}
		}
		for name := range texts {
			t.Errorf("%s: %s is not rendered; run make prompts", file, name)
		}
	}
	if diff := cmp.Diff(unique(want), unique(got)); diff != "" {
		t.Errorf("prompts (-) and texts (+) differ:\n%s", diff)
	}
}

func unique(names []string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}
