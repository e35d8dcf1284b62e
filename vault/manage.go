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

// Rotate adds a key to the keyset in a file and makes it the primary one. The
// old keys stay, since what they sealed has to be opened; the key for numbers
// stays the same. Running nodes take the file up by themselves. The file is
// replaced whole or not at all.
func Rotate(path string) (Key, error) {
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
	r, err := rotate(context.Background(), &fileSource{path: target})
	if err != nil {
		return Key{}, err
	}
	if err := replace(target, r); err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	return r.keys[0], nil
}

// RotateTo is Rotate for a keyset that comes from the environment or a command,
// which can't be written: the keyset with the new key goes into a new file, to
// be put where the old one is kept, and removed.
func RotateTo(ctx context.Context, c config.Vault, dataDir, path string) (Key, error) {
	s, err := newSource(c, dataDir)
	if err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	r, err := rotate(ctx, s)
	if err != nil {
		return Key{}, err
	}
	if err := create(path, r); err != nil {
		return Key{}, fmt.Errorf("rotate keyset: %w", err)
	}
	return r.keys[0], nil
}

// rotate reads a keyset and gives it with one key more.
func rotate(ctx context.Context, s source) (*keyring, error) {
	text, err := s.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("rotate keyset from %s: %w", s, err)
	}
	old, err := parseKeyring(text)
	if err != nil {
		return nil, fmt.Errorf("rotate keyset from %s: %w", s, err)
	}
	return old.rotated(time.Now())
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
