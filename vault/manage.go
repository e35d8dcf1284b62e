package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// Init makes a keyset with fresh keys in a file that only its owner may read,
// and the folder for it. A file that is there already is never touched: the
// error is then fs.ErrExist.
func Init(path string) error {
	r, err := newKeyring(time.Now())
	if err != nil {
		return fmt.Errorf("make keyset: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make keyset: %w", err)
	}
	if err := create(path, r); err != nil {
		return fmt.Errorf("make keyset: %w", err)
	}
	return nil
}

// Path gives the file that a configuration's keyset stands in, or false if it
// comes from elsewhere.
func Path(c config.Vault, dataDir string) (string, bool) {
	s, err := newSource(c, dataDir)
	if err != nil {
		return "", false
	}
	f, ok := s.(*fileSource)
	if !ok {
		return "", false
	}
	return f.path, true
}

// Step is how far a rotation goes. Nodes that can't take a keyset up all at once
// rotate in two: none may seal under a key that another lacks.
type Step int

// The steps of a rotation.
const (
	Whole   Step = iota // a key is added, and is the primary one
	Add                 // a key is added that only opens, until it is promoted
	Promote             // the key that was added is the primary one
)

var (
	// ErrNoneAdded is of a Promote without an Add before it.
	ErrNoneAdded = errors.New("no key has been added that could be promoted: bugle vault rotate -add")
	// ErrAdded is of a key that has been added and not been promoted yet.
	ErrAdded = errors.New("a key has been added already: once every node has it, bugle vault rotate -promote")
)

// Rotate takes a step of a rotation of the keyset in a file, and gives the key
// that it was about. The old keys stay, since what they sealed has to be opened; the key for numbers
// stays the same. Running nodes take the file up by themselves. The file is
// replaced whole or not at all.
func Rotate(path string, step Step) (Key, error) {
	target, err := filepath.EvalSymlinks(path) // a link stays a link
	if errors.Is(err, fs.ErrNotExist) {
		return Key{}, fmt.Errorf("rotate keyset: %w: %s is not there; make it with: bugle vault init", ErrKeyset, path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	unlock, err := lock(target)
	if err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	defer unlock()
	r, id, err := rotate(context.Background(), &fileSource{path: target}, step)
	if err != nil {
		return Key{}, err
	}
	if err := replace(target, r); err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	return r.key(id), nil
}

// RotateTo is Rotate for a keyset that comes from the environment or a command,
// which can't be written: the keyset after the step goes into a new file, to
// be put where the old one is kept, and removed.
func RotateTo(ctx context.Context, c config.Vault, dataDir, path string, step Step) (Key, error) {
	s, err := newSource(c, dataDir)
	if err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	r, id, err := rotate(ctx, s, step)
	if err != nil {
		return Key{}, err
	}
	if err := create(path, r); err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	return r.key(id), nil
}

// rotate reads a keyset and gives it after a step.
func rotate(ctx context.Context, s source, step Step) (*keyring, uint32, error) {
	text, err := s.read(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("rotate keyset from %s: %w", s, err)
	}
	old, err := parseKeyring(text)
	if err != nil {
		return nil, 0, fmt.Errorf("rotate keyset from %s: %w", s, err)
	}
	fresh, id, err := old.rotated(step, time.Now())
	if err != nil {
		return nil, 0, fmt.Errorf("rotate keyset from %s: %w", s, err)
	}
	return fresh, id, nil
}

// create writes a keyset into a file that must not be there yet.
func create(path string, r *keyring) error {
	text, err := r.marshal()
	if err != nil {
		return err
	}
	temp, err := writeTemp(path, text, nil)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) { // unlike a rename, it replaces nothing
		return fmt.Errorf("%s is there already, and what is sealed under its keys needs it: %w", path, fs.ErrExist)
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replace puts a keyset in the place of another, for the same owner.
func replace(path string, r *keyring) error {
	text, err := r.marshal()
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return replaceFile(path, text, info)
}
