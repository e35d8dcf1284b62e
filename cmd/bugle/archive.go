package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/bugle-voice/bugle/call"
	"github.com/bugle-voice/bugle/vault"
)

// archive keeps recordings under data_dir, each in a file sealed by the vault
// and bound to its id, so that none can be passed off as another:
//
//	recordings/2026/11/22/CALL-NAME.au.sealed
//	recordings/partial/20261122-CALL-NAME       while it is being made
//
// The id is the day (UTC), the call and the name: "20261122-k3j2…-message". A
// file is written aside, synced, and moved to its place when it is whole. Of
// what a crash leaves aside the next start keeps what can be heard, under an id
// that ends in "-cut": salvage.go.
type archive struct {
	dir   string
	vault *vault.Vault
}

const (
	recordingDir = "recordings" // in data_dir
	partialDir   = "partial"
	recordingEnd = ".au.sealed"
)

// openArchive makes the folders, and brings to its end what was never finished,
// which it gives. One process at a time may have an archive open for writing.
func openArchive(dataDir string, v *vault.Vault, log *slog.Logger) (a *archive, salvaged []kept, err error) {
	a = &archive{dir: filepath.Join(dataDir, recordingDir), vault: v}
	if err := os.MkdirAll(filepath.Join(a.dir, partialDir), 0o700); err != nil {
		return nil, nil, fmt.Errorf("open recordings: %w", err)
	}
	if salvaged, err = a.salvage(log); err != nil {
		return nil, nil, fmt.Errorf("open recordings: %w", err)
	}
	if err := syncDir(dataDir); err != nil {
		return nil, nil, fmt.Errorf("open recordings: %w", err)
	}
	return a, salvaged, nil
}

// recordingID is what an id looks like: day, then call and name, which hold
// nothing that means something in a path.
var recordingID = regexp.MustCompile(`^(\d{4})(\d{2})(\d{2})-(([A-Za-z0-9]+)-([a-z0-9_]+)(?:-\d+)?(?:-cut)?)$`)

// errNoRecording is an id under which nothing is kept.
var errNoRecording = errors.New("there is no such recording")

// path gives the file of a recording; false for what cannot be an id.
func (a *archive) path(id string) (string, bool) {
	m := recordingID.FindStringSubmatch(id)
	if m == nil {
		return "", false
	}
	return filepath.Join(a.dir, m[1], m[2], m[3], m[4]+recordingEnd), true
}

// boundTo is what the file of a recording is sealed with.
func boundTo(id string) []byte { return []byte("recording " + id) }

// maxSameName bounds how many recordings of a call have one name.
const maxSameName = 1000

// Create implements call.Recordings. The second of a name is CALL-NAME-2.
func (a *archive) Create(callID, name string, at time.Time) (call.Tape, string, error) {
	first := at.UTC().Format("20060102") + "-" + callID + "-" + name
	id := first
	for n := 2; n < maxSameName; n++ {
		path, ok := a.path(id)
		if !ok {
			return nil, "", fmt.Errorf("record: call %q and name %q make no name of a file", callID, name)
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			t, err := a.create(id, path)
			if !errors.Is(err, fs.ErrExist) {
				return t, id, err
			}
		}
		id = fmt.Sprintf("%s-%d", first, n)
	}
	return nil, "", fmt.Errorf("record: %d recordings of a call are called %q", maxSameName, name)
}

func (a *archive) create(id, path string) (call.Tape, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(a.dir, partialDir, id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	t := &tape{archive: a, file: f, path: path}
	if t.sealed, err = a.vault.NewWriter(f, boundTo(id)); err != nil {
		t.Discard()
		return nil, fmt.Errorf("record: %w", err)
	}
	return t, nil
}

// open gives the AU file of a recording, opened, and its size.
func (a *archive) open(id string) (*vault.Reader, io.Closer, error) {
	path, ok := a.path(id)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %q is not an id", errNoRecording, id)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %s", errNoRecording, id)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	r, err := a.vault.OpenReader(f, info.Size(), boundTo(id))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("recording %s: %w", id, err), f.Close())
	}
	return r, f, nil
}

// remove deletes a recording's file; that it is gone already is fine.
func (a *archive) remove(id string) error {
	path, ok := a.path(id)
	if !ok {
		return fmt.Errorf("%w: %q is not an id", errNoRecording, id)
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("remove a recording: %w", err)
	}
	return nil
}

// tape is a recording being made.
type tape struct {
	archive *archive
	file    *os.File // nil once kept or discarded
	sealed  io.WriteCloser
	path    string // where it will be
}

// Write implements call.Tape.
func (t *tape) Write(p []byte) (int, error) { return t.sealed.Write(p) }

// Keep implements call.Tape.
func (t *tape) Keep() (int64, error) {
	defer t.Discard() // what is left of it when something fails
	if err := t.sealed.Close(); err != nil {
		return 0, err
	}
	if err := t.file.Sync(); err != nil {
		return 0, err
	}
	info, err := t.file.Stat()
	if err != nil {
		return 0, err
	}
	if err := os.Rename(t.file.Name(), t.path); err != nil {
		return 0, err
	}
	for dir := filepath.Dir(t.path); ; dir = filepath.Dir(dir) { // year, month and day may be new
		if err := syncDir(dir); err != nil {
			return 0, errors.Join(err, os.Remove(t.path))
		}
		if dir == t.archive.dir {
			return info.Size(), nil
		}
	}
}

// Discard implements call.Tape.
func (t *tape) Discard() {
	if t.file == nil {
		return
	}
	_ = t.file.Close()           // nothing of it is wanted
	_ = os.Remove(t.file.Name()) // no longer there if it was kept; the next start removes it if this fails
	t.file = nil
}

// syncDir makes the names in a folder survive the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
