package ivr

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Prompts is what a helpline can say: a folder of LANGUAGE/NAME.wav. A file in
// recordings/LANGUAGE/ wins over the rendered one of the same name. It knows
// names and files; what is in them is for who decodes them.
type Prompts struct {
	fsys  fs.FS
	files map[Prompt]string
}

const (
	recordings = "recordings" // the folder of human voices
	music      = "music.wav"
)

// LoadPrompts looks through a folder: os.DirFS of config.Prompts.Dir, or
// demo.Prompts. It is an error if there is no such folder; that it lacks a
// prompt is for Check to say.
func LoadPrompts(fsys fs.FS) (*Prompts, error) {
	if _, err := fs.Stat(fsys, "."); err != nil {
		return nil, fmt.Errorf("look for prompts: %w", err)
	}
	p := &Prompts{fsys: fsys, files: map[Prompt]string{}}
	for _, pattern := range []string{"*/*.wav", recordings + "/*/*.wav"} { // the later wins
		found, err := fs.Glob(fsys, pattern)
		if err != nil {
			return nil, fmt.Errorf("look for prompts: %w", err)
		}
		for _, file := range found {
			dir, base := path.Split(file)
			language := path.Base(dir)
			if language == recordings {
				continue // no language: recordings/music.wav is music
			}
			p.files[Prompt{Language: language, Name: strings.TrimSuffix(base, ".wav")}] = file
		}
	}
	return p, nil
}

// Has says whether the prompt can be spoken.
func (p *Prompts) Has(which Prompt) bool {
	_, ok := p.files[which]
	return ok
}

// All lists the prompts by language and name.
func (p *Prompts) All() []Prompt {
	all := make([]Prompt, 0, len(p.files))
	for which := range p.files {
		all = append(all, which)
	}
	slices.SortFunc(all, func(a, b Prompt) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// Music gives the WAV file for callers in line: music.wav beside the
// languages, or the one in recordings/.
func (p *Prompts) Music() ([]byte, error) {
	b, err := fs.ReadFile(p.fsys, path.Join(recordings, music))
	if errors.Is(err, fs.ErrNotExist) {
		b, err = fs.ReadFile(p.fsys, music)
	}
	if err != nil {
		return nil, fmt.Errorf("read music: %w", err)
	}
	return b, nil
}

// Decode reads every prompt with a decoder of the caller's choice, such as
// media's for WAV. Files that cannot be decoded are all named in the error.
func Decode[T any](p *Prompts, decode func(io.Reader) (T, error)) (map[Prompt]T, error) {
	decoded := make(map[Prompt]T, len(p.files))
	var problems []error
	for _, which := range p.All() {
		b, err := fs.ReadFile(p.fsys, p.files[which])
		if err != nil {
			problems = append(problems, fmt.Errorf("read prompt: %w", err))
			continue
		}
		clip, err := decode(bytes.NewReader(b))
		if err != nil {
			problems = append(problems, fmt.Errorf("decode prompt %s: %w", p.files[which], err))
			continue
		}
		decoded[which] = clip
	}
	return decoded, errors.Join(problems...)
}
