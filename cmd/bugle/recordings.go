package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/store"
)

// recordings lists what callers have left on this node, or exports one of it.
func recordings(env environment, args []string) error {
	flags := flag.NewFlagSet("recordings", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	flags.SetOutput(env.err)
	rest, err := parseAny(flags, args)
	if err != nil {
		return err
	}
	list, export := len(rest) == 1 && rest[0] == "list", len(rest) == 3 && rest[0] == "export"
	if !list && !export {
		return fmt.Errorf("%w: neither list nor export ID FILE", errUsage)
	}
	c, err := config.Load(*path)
	if err != nil {
		return tell(env.err, err)
	}
	a := &archive{dir: filepath.Join(c.DataDir, recordingDir)}
	if list {
		return a.list(env.out)
	}
	// What somebody said is private: the audit knows who took it before he has it.
	return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		if a.vault, err = openKeys(ctx, c); err != nil {
			return err
		}
		if err := s.NoteHeard(ctx, operator(), rest[1]); err != nil {
			return err
		}
		return a.export(rest[1], rest[2])
	})
}

// list prints the id, time and sealed size of every recording, oldest day first.
// It needs no key.
func (a *archive) list(w io.Writer) error {
	return a.each(func(id string, info fs.FileInfo) error {
		_, err := fmt.Fprintf(w, "%s  %s  %d bytes\n", id, info.ModTime().UTC().Format(time.RFC3339), info.Size())
		return err
	})
}

// each goes through the recordings that are in their place.
func (a *archive) each(see func(id string, info fs.FileInfo) error) error {
	err := filepath.WalkDir(a.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		id, ok := a.id(path)
		if !ok {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted at this moment
		}
		if err != nil {
			return err
		}
		return see(id, info)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nobody has left anything yet
	}
	return err
}

// id gives the id of a recording by its file; false for other files.
func (a *archive) id(path string) (string, bool) {
	within, err := filepath.Rel(a.dir, path)
	if err != nil {
		return "", false
	}
	day, name := filepath.Split(strings.TrimSuffix(within, recordingEnd))
	id := strings.ReplaceAll(day, string(filepath.Separator), "") + "-" + name
	at, ok := a.path(id)
	return id, ok && at == path
}

// export writes a recording as a new WAV file; what the recording holds has been
// authenticated to its end.
func (a *archive) export(id, file string) error {
	au, closer, err := a.open(id)
	if err != nil {
		return err
	}
	defer closer.Close()
	return newFile(file, func(w io.Writer) error { return media.ConvertAU(w, au, au.Size()) })
}
