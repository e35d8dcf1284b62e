package config

import "strings"

// Flow is an IVR program: steps by name, and where it starts.
type Flow struct {
	Start string          `yaml:"start"`
	Steps map[string]Step `yaml:"steps"`
}

// Step is one node of a flow. Exactly one of its verbs is set.
type Step struct {
	Play    *Play    `yaml:"play"`
	Menu    *Menu    `yaml:"menu"`
	Collect *Collect `yaml:"collect"`
	Record  *Record  `yaml:"record"`
	Queue   *Enqueue `yaml:"queue"`
	Hangup  *Hangup  `yaml:"hangup"`
}

// A Prompt reference is NAME, spoken in the caller's language, or
// LANGUAGE/NAME, spoken in that one ("es/choose_language").

// Play speaks and goes on.
type Play struct {
	Prompts []string `yaml:"prompts"`
	Barge   *bool    `yaml:"barge"` // a key stops it and is kept for the next step; default true. If false, keys before its end are not kept
	Next    string   `yaml:"next"`
}

// Menu speaks, takes one key and branches.
type Menu struct {
	Prompts []string          `yaml:"prompts"`
	Timeout Duration          `yaml:"timeout"`  // silence after the prompt that counts as no-input; default 5s
	Tries   int               `yaml:"tries"`    // how often it is asked; default 3
	Keys    map[string]Choice `yaml:"keys"`     // "0".."9", "*", "#"
	NoInput []string          `yaml:"no_input"` // spoken before asking again
	NoMatch []string          `yaml:"no_match"`
	Else    string            `yaml:"else"` // step after the last try
}

// Choice is what a key of a menu does.
type Choice struct {
	Language string `yaml:"language"` // speak this language from now on
	Next     string `yaml:"next"`
}

// Collect speaks and takes several digits. A star, unless it finishes, lets the
// caller begin anew; a finishing key right after a full entry is not heard.
// The digits are for the rooms that will use them; no log ever has them.
type Collect struct {
	Prompts    []string `yaml:"prompts"`
	Name       string   `yaml:"name"` // under which the digits are in the flow's outcome
	Min        int      `yaml:"min"`  // default 1
	Max        int      `yaml:"max"`
	Finish     string   `yaml:"finish"`      // key that ends the entry; default "#"
	Timeout    Duration `yaml:"timeout"`     // silence before the first digit; default 5s
	InterDigit Duration `yaml:"inter_digit"` // silence between digits that ends the entry; default 3s
	Tries      int      `yaml:"tries"`       // default 3
	NoInput    []string `yaml:"no_input"`
	NoMatch    []string `yaml:"no_match"`
	Private    bool     `yaml:"private"` // DoD ID, SSN, date of birth: leaves the node sealed or not at all
	Next       string   `yaml:"next"`
	Else       string   `yaml:"else"`
}

// Record speaks and keeps what the caller says then, sealed. A key in the
// prompts begins the recording at once. A sound that tells the caller to begin
// is the last of the prompts.
type Record struct {
	Prompts []string `yaml:"prompts"`
	Name    string   `yaml:"name"`     // under which the recording goes with the call
	Min     Duration `yaml:"min"`      // less speech than this is thrown away and counts as no-input; default 1s
	Max     Duration `yaml:"max"`      // at most 1h; default 3m
	Silence Duration `yaml:"silence"`  // ends it; default 5s
	Finish  string   `yaml:"finish"`   // keys, each of which ends it; default "#". Other keys are not heard
	Tries   int      `yaml:"tries"`    // default 2
	NoInput []string `yaml:"no_input"` // spoken before asking again
	Next    string   `yaml:"next"`
	Else    string   `yaml:"else"` // step after the last try, and where nothing can be kept
}

// Enqueue ends the flow: the call waits in a queue.
type Enqueue struct {
	Name     string   `yaml:"name"`
	Announce []string `yaml:"announce"` // spoken, after joining, before the music
}

// Hangup ends the flow and the call.
type Hangup struct {
	Prompts []string `yaml:"prompts"`
}

// PromptRef takes a prompt reference apart. What names no language is spoken
// in the given one.
func PromptRef(ref, language string) (lang, name string) {
	if lang, name, ok := strings.Cut(ref, "/"); ok {
		return lang, name
	}
	return language, ref
}
