// Package ivr speaks with a caller: it runs the flow of the number he dialled
// and says what he came for.
//
// It owns the interpreter of flows (play, menu, collect, record and how each
// behaves when nothing or the wrong thing is pressed or said), the check that a flow can run
// to its end before anyone dials it, and the set of prompts a helpline has. It
// knows neither SIP nor Redis nor sound: what is spoken and heard goes through
// the Phone interface, so flows run in virtual time under test.
//
// Read phone.go for what a flow needs of a phone, run.go for the interpreter,
// check.go for what is wrong with a flow, prompts.go for the recordings.
package ivr

import "github.com/bugle-voice/bugle/config"

// Kind is how a flow ended.
type Kind string

// The two ends of a flow.
const (
	Queue  Kind = "queue"  // the caller is to wait in Outcome.Queue
	Hangup Kind = "hangup" // everything has been said
)

// Outcome is what a flow came to.
type Outcome struct {
	Kind     Kind
	Queue    string           // for Queue: the name of the line
	Announce []Prompt         // for Queue: what to say once the caller has his place, before the music
	Language string           // the caller's language, from now on
	Values   map[string]Value // what he entered, by the name given in the collect step

	Recordings []Recording // what he left, in order
}

// Prompt is one thing that can be spoken.
type Prompt struct {
	Language string
	Name     string
}

// String writes the prompt as its file is called, without the ending.
func (p Prompt) String() string { return p.Language + "/" + p.Name }

// Resolve turns a flow's references into prompts: NAME is spoken in the given
// language, LANGUAGE/NAME always in its own.
func Resolve(refs []string, language string) []Prompt {
	prompts := make([]Prompt, len(refs))
	for i, ref := range refs {
		prompts[i].Language, prompts[i].Name = config.PromptRef(ref, language)
	}
	return prompts
}
