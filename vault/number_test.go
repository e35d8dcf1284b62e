package vault

import (
	"regexp"
	"testing"
)

func TestHashOfANumber(t *testing.T) {
	v, path := fresh(t)
	same := map[string][]string{
		"18005550100": {"+18005550100", "+1 (800) 555-0100", "0018005550100", "001-800-555.0100", " 1 800 555/0100 "},
		"5550100":     {"555-0100"},
		"alice":       {"Alice", " ALICE "},
	}
	seen := map[string]string{}
	for number, ways := range same {
		want := v.Hash(number)
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(want) {
			t.Errorf("hash of %s is %q, want 32 hex digits", number, want)
		}
		if other, twice := seen[want]; twice {
			t.Errorf("%s and %s have one hash", number, other)
		}
		seen[want] = number
		for _, way := range ways {
			if v.Hash(way) != want {
				t.Errorf("%q has another hash than %s", way, number)
			}
		}
	}
	for _, none := range []string{"", " ", "+", "anonymous", "Anonymous", "Unavailable"} {
		if got := v.Hash(none); got != "" {
			t.Errorf("%q has the hash %s, want none", none, got)
		}
	}
	if again := open(t, path); again.Hash("5550100") != v.Hash("5550100") {
		t.Error("the hash changed with a restart")
	}
	if other, _ := fresh(t); other.Hash("5550100") == v.Hash("5550100") {
		t.Error("another keyset gives the same hash: it is not keyed")
	}
}

func TestMarkOfAFlow(t *testing.T) {
	v, path := fresh(t)
	const flow = "tcp:192.0.2.7:5062"
	mark := v.Mark(flow)
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(mark) || v.Mark("tls:192.0.2.7:5062") == mark || v.Hash(flow) == mark {
		t.Errorf("the mark of a flow is %q, as that of another, or of a number", mark)
	}
	if other, _ := fresh(t); other.Mark(flow) == mark || open(t, path).Mark(flow) != mark {
		t.Error("a mark is not the keyset's alone")
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"+0049":         "0049", // nothing after a plus is a prefix
		"0049 30 1234":  "49301234",
		"49301234":      "49301234",
		"*71":           "*71",
		"0":             "0",
		"00":            "",
		"anna@example":  "anna@example",
		"+1800flowers":  "+1800flowers",
		"Jean-Luc":      "jean-luc",
		"unknown":       "",
		"\t(555)\t0100": "5550100",
	} {
		if got := normalise(in); got != want {
			t.Errorf("normalise(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"", "+1 (800) 555-0100", "anonymous", "0049", "Ünï\x00\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, number string) {
		if normalise(number) != normalise(" "+number+" ") {
			t.Errorf("%q: spaces around it change its form", number)
		}
	})
}
