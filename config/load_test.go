package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBadFiles holds what is said of each bad file: every mistake, with its
// line and a remedy.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(b, filepath.Base(file))
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want Problems", err)
			}
			golden(t, file, problems)
		})
	}
}

// TestOddFiles holds what is said of files that can be served and yet may not
// do what their author means.
func TestOddFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/odd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no odd files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(b, filepath.Base(file))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file, c.Warnings())
		})
	}
}

// golden compares problems with those in the .want beside a file.
func golden(t *testing.T, file string, problems Problems) {
	t.Helper()
	path := strings.TrimSuffix(file, ".yaml") + ".want"
	got := problems.Error() + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// small is the least that can be served: a site, and a number that can be called.
const (
	site = `
sip:
  listeners: [{network: udp, address: "127.0.0.1:5060"}]
languages: [en]
`
	small = site + `numbers: {n: {flow: f, language: en}}
flows: {f: {start: s, steps: {s: {hangup: {}}}}}
`
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := parse(t, strings.Replace(site, "sip:", "sip:\n  trunks: [{name: carrier, addresses: [192.0.2.0/24]}]", 1)+`
node: n1
queues: {general: {}}
agents: {anna: {languages: {en: 1}}}
numbers: {n: {flow: f, language: en}}
flows:
  f:
    start: ask
    steps:
      ask: {menu: {prompts: [ask], keys: {1: {next: enter}}, else: say}}
      say: {play: {prompts: [say], next: end}}
      enter: {collect: {prompts: [enter], name: id, max: 10, next: end, else: tell}}
      tell: {record: {prompts: [tell], name: story, next: end, else: end}}
      end: {queue: {name: general}}
`)
	yes, wrapUp := true, Duration(30*time.Second)
	want := map[string]any{
		"domain": "helpline", "data_dir": "data", "drain": Duration(5 * time.Minute),
		"log": Log{Level: "info", Format: "text"}, "http": HTTP{Address: "127.0.0.1:8080"},
		"sip.domain": "127.0.0.1", "sip.digest": "md5", "max_calls": 2000, "expires": Duration(10 * time.Minute),
		"media.address": "127.0.0.1", "media.advertise": "127.0.0.1", "ports": PortRange{20000, 29999},
		"shared":  []any{16, true},
		"silence": Duration(30 * time.Second), "prompts": Prompts{Dir: "prompts"},
		"queue": Queue{Goal: Duration(20 * time.Second), ShortAbandon: Duration(5 * time.Second),
			Ring: Duration(15 * time.Second), WrapUp: &wrapUp, Class: "routine"},
		"tier": 1,
		"menu": Menu{Prompts: []string{"ask"}, Timeout: Duration(5 * time.Second), Tries: 3,
			Keys: map[string]Choice{"1": {Next: "enter"}}, Else: "say"},
		"play": Play{Prompts: []string{"say"}, Barge: &yes, Next: "end"},
		"collect": Collect{Prompts: []string{"enter"}, Name: "id", Min: 1, Max: 10, Finish: "#",
			Timeout: Duration(5 * time.Second), InterDigit: Duration(3 * time.Second), Tries: 3, Next: "end", Else: "tell"},
		"record": Record{Prompts: []string{"tell"}, Name: "story", Min: Duration(time.Second), Max: Duration(3 * time.Minute),
			Silence: Duration(5 * time.Second), Finish: "#", Tries: 2, Next: "end", Else: "end"},
	}
	steps := c.Flows["f"].Steps
	got := map[string]any{
		"domain": c.Domain, "data_dir": c.DataDir, "drain": c.Drain, "log": c.Log, "http": c.HTTP,
		"sip.domain": c.SIP.Domain, "sip.digest": c.SIP.Digest, "max_calls": c.SIP.MaxCalls, "expires": c.SIP.RegisterExpires,
		"media.address": c.Media.Address.String(), "media.advertise": c.Media.Advertise.String(), "ports": c.Media.Ports,
		"shared":  []any{c.Media.SharedPorts, c.SIP.Trunks[0].SharedPorts},
		"silence": c.Media.Silence, "prompts": c.Prompts, "queue": c.Queues["general"], "tier": c.Agents["anna"].Tier,
		"menu": *steps["ask"].Menu, "play": *steps["say"].Play, "collect": *steps["enter"].Collect,
		"record": *steps["tell"].Record,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestZeroIsNotAbsent: a zero that was written wins over the default.
func TestZeroIsNotAbsent(t *testing.T) {
	c := parse(t, small+`
drain: 0s
media: {silence: 0s}
queues: {general: {wrap_up: 0s, short_abandon: 0s}}
`)
	q := c.Queues["general"]
	if c.Drain != 0 || c.Media.Silence != 0 || *q.WrapUp != 0 || q.ShortAbandon != 0 {
		t.Errorf("drain %v, silence %v, wrap_up %v, short_abandon %v, want all 0", c.Drain, c.Media.Silence, *q.WrapUp, q.ShortAbandon)
	}
}

func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BUGLE_TEST_TOKEN", "from env")
	c := parse(t, small+`
http: {token: "<${BUGLE_TEST_TOKEN}>"}
redis: {password: "file:`+file+`"}
`)
	if got, want := c.HTTP.Token, "<from env>"; got != want {
		t.Errorf("token %q, want %q", got, want)
	}
	if got, want := c.Redis.Password, "from file"; got != want {
		t.Errorf("password %q, want %q", got, want)
	}
}

// TestEmptySecretsAreMistakes: a token that came out empty would be off.
func TestEmptySecretsAreMistakes(t *testing.T) {
	t.Setenv("BUGLE_TEST_EMPTY", "")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "  ", "${BUGLE_TEST_EMPTY}", " ${BUGLE_TEST_EMPTY}${BUGLE_TEST_EMPTY}", "file:token"} {
		path := filepath.Join(dir, "bugle.yaml")
		if err := os.WriteFile(path, []byte(small+"http: {token: \""+value+"\"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if want := path + ":7:15: http.token is empty; give it a value, or remove the key"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", value, err, want)
		}
	}
}

// TestSecretsStartAtTheFile: file:PATH starts where the configuration lies,
// whatever folder Bugle was started in.
func TestSecretsStartAtTheFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bugle.yaml": small + "http: {token: \"file:token\"}\n",
		"token":      "sesame\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "bugle.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.HTTP.Token, "sesame"; got != want {
		t.Errorf("token %q, want %q", got, want)
	}
}

func TestHostsThatCanBeADomain(t *testing.T) {
	for host, good := range map[string]bool{
		"localhost": true, "sip.help-line.example": true, "192.0.2.10": true, "2001:db8::1": true, "a.b3.c": true,
		"":     true, // none is written: the listener's
		"a\nb": false, "bad domain;x:": false, "a..b": false, "-a.example": false, "1.2.3": false, "fe80::1%a:b": false,
		"[2001:db8::1]": false, "a:5060": false, "example.org\n": false, strings.Repeat("a.", 127) + "a": false,
	} {
		_, err := Parse([]byte(strings.Replace(small, "sip:\n", "sip:\n  domain: "+strconv.Quote(host)+"\n", 1)), "test.yaml")
		if (err == nil) != good {
			t.Errorf("%q: got %v, want it accepted: %v", host, err, good)
		}
	}
}

func TestLoadResolvesPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bugle.yaml")
	text := small + "prompts: {music: /srv/music.wav}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.DataDir, c.Prompts.Dir, c.Prompts.Music}
	want := []string{filepath.Join(dir, "data"), filepath.Join(dir, "prompts"), "/srv/music.wav"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gave %v, want %v", err, os.ErrNotExist)
	}
}

// TestProblemFindsItsLine: a room that understands more can point into the
// file as well.
func TestProblemFindsItsLine(t *testing.T) {
	c := parse(t, small+"queues:\n  general:\n    ring: 20s\n")
	tests := []struct {
		name string
		got  Problem
		want string
	}{
		{"value", c.Problem("is long", "shorten it", "queues", "general", "ring"), "test.yaml:9:11: is long; shorten it"},
		{"key", c.KeyProblem("is long", "", "queues", "general", "ring"), "test.yaml:9:5: is long"},
		{"mapping", c.Problem("is empty", "", "queues", "general"), "test.yaml:8:3: is empty"},
		{"absent", c.Problem("is absent", "", "queues", "general", "goal"), "test.yaml:8:3: is absent"},
		{"nowhere", c.Problem("is absent", "", "agents"), "test.yaml:1:1: is absent"},
	}
	for _, tt := range tests {
		if got := tt.got.String(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestProblemsErrLeavesWarningsOut(t *testing.T) {
	warning, fault := Problem{What: "odd", Warning: true}, Problem{What: "wrong"}
	if err := (Problems{warning}).Err(); err != nil {
		t.Errorf("a warning alone gave %v, want nil", err)
	}
	if err := (Problems{warning, fault}).Err(); err == nil || strings.Contains(err.Error(), "odd") {
		t.Errorf("got %v, want the fault alone", err)
	}
}

func TestSuggest(t *testing.T) {
	tests := []struct {
		name  string
		known []string
		want  string
	}{
		{"clams", []string{"claims", "eligibility"}, `did you mean "claims"?`},
		{"Calims", []string{"claims", "eligibility"}, `did you mean "claims"?`},
		{"es", []string{"en", "de"}, `did you mean "en"?`},
		{"frobnicate", []string{"b", "a"}, "known are a, b"},
		{"x", nil, ""},
		{"frobnicate", strings.Split("abcdefghijklm", ""), ""},
	}
	for _, tt := range tests {
		if got := Suggest(tt.name, tt.known); got != tt.want {
			t.Errorf("Suggest(%q, %q) = %q, want %q", tt.name, tt.known, got, tt.want)
		}
	}
}

// FuzzParse: no file makes loading panic, and each fault has a place.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range append(files, "../deployments/demo/bugle.yaml") {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := Parse(b, "fuzz.yaml")
		var problems Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("got %v, want Problems", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.File == "" {
				t.Errorf("%q has no place", p)
			}
		}
	})
}

// TestKeysetStartsAtTheFile: a relative path in vault.keyset starts where the
// configuration lies, as data_dir does; other sources stay as they are.
func TestKeysetStartsAtTheFile(t *testing.T) {
	dir := t.TempDir()
	for keyset, want := range map[string]string{
		"":                    "",
		"file:keyset.json":    "file:" + filepath.Join(dir, "keyset.json"),
		"file:/etc/bugle/key": "file:/etc/bugle/key",
		"env:BUGLE_KEYSET":    "env:BUGLE_KEYSET",
	} {
		path := filepath.Join(dir, "bugle.yaml")
		if err := os.WriteFile(path, []byte(small+"vault: {keyset: \""+keyset+"\"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if c.Vault.Keyset != want {
			t.Errorf("%q became %q, want %q", keyset, c.Vault.Keyset, want)
		}
	}
}
