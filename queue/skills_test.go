package queue

import "testing"

func TestSkillsAreWrittenInOneForm(t *testing.T) {
	tests := []struct {
		skills Skills
		want   string
	}{
		{nil, ""},
		{Skills{"es": 1}, "es:1"},
		{Skills{"es": 1, "claims": 2, "en": 5}, "claims:2,en:5,es:1"},
		{Skills{"a:1,b": 1, "x|y": 2}, "a%3A1%2Cb:1,x%7Cy:2"},
	}
	for _, tt := range tests {
		if got := tt.skills.String(); got != tt.want {
			t.Errorf("%v is written %q, want %q", map[string]int(tt.skills), got, tt.want)
		}
	}
}

func TestGroupKeepsQueueAndLanguage(t *testing.T) {
	for _, v := range []Visit{
		{Queue: "claims", Language: "en"},
		{Queue: "a|b%20 c", Language: "zh-Hant", Requires: Skills{"x|y": 1}},
		{},
	} {
		if queue, language := splitGroup(group(v)); queue != v.Queue || language != v.Language {
			t.Errorf("%q %q came back as %q %q", v.Queue, v.Language, queue, language)
		}
	}
}
