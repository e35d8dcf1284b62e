// Package demo is a whole small helpline in four languages, carried in the
// binary so that it runs with nothing else installed: configuration, spoken
// prompts and music.
//
// bugle.yaml is the helpline; texts/ is what is said, by language, and
// make-prompts.sh renders it into prompts/; music/ is the generator of the
// music in line. A site starts its own helpline from a copy of this folder.
package demo

import (
	"embed"
	"io/fs"
)

// Config is bugle.yaml, for config.Parse.
//
//go:embed bugle.yaml
var Config []byte

//go:embed prompts
var files embed.FS

// Prompts is the folder of spoken prompts, LANGUAGE/NAME.wav, for
// ivr.LoadPrompts, with music.wav beside the languages.
var Prompts = func() fs.FS {
	sub, err := fs.Sub(files, "prompts")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}()
