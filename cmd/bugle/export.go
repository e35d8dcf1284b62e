package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
	"github.com/bugle-voice/bugle/web"
)

// exporter gives out all that is held about a caller, as a ZIP file:
//
//	recordings/ID.wav    what he said, for each recording that this node has
//	held.json            all else (store.Held), and where each recording is, or why it isn't there
type exporter struct {
	store   *store.Store
	archive *archive
	node    string // whose archive it is
	log     *slog.Logger
}

// caller tells the audit and gives what is held about a number, given by its hash,
// and what writes that. Nothing is written before it is called.
func (e *exporter) caller(ctx context.Context, by store.By, hash string) (*store.Held, func(io.Writer) error, error) {
	held, err := e.store.Held(ctx, by, hash)
	if err != nil {
		return nil, nil, err
	}
	return held, func(w io.Writer) error { return e.write(ctx, by, held, w) }, nil
}

// write streams the file. What is not whole has no end, and so is no ZIP file.
func (e *exporter) write(ctx context.Context, by store.By, held *store.Held, w io.Writer) error {
	z := zip.NewWriter(w)
	for r := range recordingsOf(held) {
		if err := e.addRecording(ctx, by, z, r); err != nil {
			return fmt.Errorf("export recording %s: %w", r.ID, err)
		}
	}
	file, err := z.Create("held.json")
	if err != nil {
		return err
	}
	out := json.NewEncoder(file)
	out.SetIndent("", "  ")
	if err := out.Encode(held); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return z.Close()
}

// recordingsOf goes through all a caller has said.
func recordingsOf(held *store.Held) func(yield func(*store.HeldRecording) bool) {
	return func(yield func(*store.HeldRecording) bool) {
		for i := range held.Calls {
			for j := range held.Calls[i].Recordings {
				if !yield(&held.Calls[i].Recordings[j]) {
					return
				}
			}
		}
	}
}

// addRecording adds a recording, or notes why it can't. It is read twice, so that
// nothing is given of one that turns out not to be whole.
func (e *exporter) addRecording(ctx context.Context, by store.By, z *zip.Writer, r *store.HeldRecording) error {
	if r.Node != e.node {
		r.Missing = "it is kept on node " + r.Node + ": export there too"
		return nil
	}
	au, closer, err := e.archive.open(r.ID)
	if err == nil {
		defer closer.Close()
		if _, err = io.Copy(io.Discard, au); err == nil {
			_, err = au.Seek(0, io.SeekStart)
		}
	}
	if err != nil {
		e.log.Warn("a recording can't be given out with an export", "recording", r.ID, "error", err)
		r.Missing = whyMissing(err)
		return nil
	}
	if err := e.store.NoteHeard(ctx, by, r.ID); err != nil {
		return err
	}
	name := "recordings/" + r.ID + ".wav"
	wav, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: r.Made})
	if err != nil {
		return err
	}
	if err := media.ConvertAU(wav, au, au.Size()); err != nil {
		return err
	}
	r.File = name
	return ctx.Err()
}

// whyMissing says why a recording can't be heard, in words that the caller may
// read.
func whyMissing(err error) string {
	switch {
	case errors.Is(err, errNoRecording):
		return "its file is gone"
	case errors.Is(err, vault.ErrAltered):
		return "its file was cut or changed"
	case errors.Is(err, vault.ErrUnknownKey):
		return "its file is sealed under a key that is not in the keyset"
	}
	return "its file can't be read"
}

// newFile has write fill a file that only its owner may read. One that is there
// already is never touched, and one that is not whole never left.
func newFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	return write(f)
}

// callerAPI exports for the API.
type callerAPI struct{ *exporter }

func (a callerAPI) Export(ctx context.Context, by web.By, hash string) (func(io.Writer) error, error) {
	_, write, err := a.caller(ctx, storeBy(by), hash)
	return write, err
}
