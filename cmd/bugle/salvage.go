package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/vault"
)

// cutMark ends the id of a recording that a crash cut off.
const cutMark = "-cut"

// leastSalvaged is what is worth keeping of a recording.
const leastSalvaged = time.Second

// kept is a recording that is in its place and of which nobody has told yet.
type kept struct {
	id, call string
	fact     event.RecordingMade
}

// salvage keeps what can be heard of recordings that were never finished. What
// was whole and not yet in its place is put there; what was cut is sealed anew
// under an id that says so, as a file without an end could have been cut by
// anybody. A crash meanwhile leaves work for the next start, and nothing twice.
func (a *archive) salvage(log *slog.Logger) (all []kept, err error) {
	partial := filepath.Join(a.dir, partialDir)
	left, err := os.ReadDir(partial)
	if err != nil {
		return nil, err
	}
	for _, entry := range left {
		path := filepath.Join(partial, entry.Name())
		id, err := a.salvageFile(entry.Name(), path)
		lost := errors.Is(err, vault.ErrAltered) || errors.Is(err, errTooShort) || errors.Is(err, errNoRecording)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // half of a start that was cut off; done anew with the other half
		case lost:
			log.Warn("a recording was cut off when the node ended, and is lost", "recording", entry.Name(), "why", err)
		case err != nil: // a full disk, another keyset
			log.Error("a recording was cut off when the node ended, and can't be saved now; the next start tries again", "recording", entry.Name(), "error", err)
			continue
		default:
			k, err := a.made(id)
			if err != nil {
				return nil, err
			}
			log.Warn("a recording was cut off when the node ended; what was written is kept", "recording", id, "length", k.fact.Length)
			all = append(all, k)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return all, nil
}

// errTooShort is a recording in which nothing can be heard.
var errTooShort = errors.New("less than a second of it was written")

// salvageFile puts what can be heard of one in its place and gives its id there.
func (a *archive) salvageFile(id, path string) (string, error) {
	place, ok := a.path(id)
	if !ok {
		return "", fmt.Errorf("%w: %q is not an id", errNoRecording, id)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	sound, whole, err := a.vault.OpenCut(f, info.Size(), boundTo(id))
	switch {
	case err != nil:
		return "", err
	case media.AULength(sound.Size()) < leastSalvaged:
		return "", errTooShort
	case whole:
		return id, errors.Join(f.Sync(), os.Rename(path, place), syncDir(filepath.Dir(place)))
	}
	id = strings.TrimSuffix(id, cutMark) + cutMark
	place, _ = a.path(id)
	if _, err := os.Lstat(place); err == nil {
		return id, nil // the start before was cut off after this
	}
	return id, a.reseal(id, place, sound)
}

// reseal writes a recording whole, in its place.
func (a *archive) reseal(id, place string, sound io.Reader) error {
	_ = os.Remove(filepath.Join(a.dir, partialDir, id)) // of a start that was cut off
	t, err := a.create(id, place)
	if err != nil {
		return err
	}
	defer t.Discard()
	if _, err := io.Copy(t, sound); err != nil {
		return err
	}
	_, err = t.Keep()
	return err
}

// made tells of a recording that is in its place since a while. It was made when
// its file was written last, on the day that its id says or in the night after: a
// file that was brought back from a backup, or sealed again by this start, is
// younger than what it holds.
func (a *archive) made(id string) (kept, error) {
	m := recordingID.FindStringSubmatch(id)
	if m == nil {
		return kept{}, fmt.Errorf("%w: %q is not an id", errNoRecording, id)
	}
	day, err := time.Parse("20060102", m[1]+m[2]+m[3])
	if err != nil {
		return kept{}, fmt.Errorf("%w: %q is not an id", errNoRecording, id)
	}
	sound, closer, err := a.open(id)
	if err != nil {
		return kept{}, err
	}
	defer closer.Close()
	path, _ := a.path(id)
	info, err := os.Stat(path)
	if err != nil {
		return kept{}, err
	}
	return kept{id, m[5], event.RecordingMade{
		Recording: id, Name: m[6], Length: media.AULength(sound.Size()), Bytes: info.Size(), Made: within(info.ModTime(), day)}}, nil
}

// within gives a moment, or the bound of a day (UTC, and the night after) that it lies
// beyond.
func within(at, day time.Time) time.Time {
	if at.Before(day) {
		return day
	}
	if next := day.AddDate(0, 0, 1); at.After(next.Add(12 * time.Hour)) {
		return next
	}
	return at.UTC()
}

// tell tells the event log of recordings, from which they come into the database.
func (n *node) tell(all []kept) {
	for _, k := range all {
		n.events.Emit(k.call, k.fact)
	}
}

// sureAfter is the age from which a recording in its place has been told of, if
// the node lived to do it.
const sureAfter = 15 * time.Minute

// adoptRecordings tells of the recordings that the database does not know: the
// node died between keeping one and telling of it, or the disk was full then. In
// the database they can be found, and retention and erasure reach them. Telling
// of one twice changes nothing.
func (n *node) adoptRecordings(ctx context.Context) error {
	var found []string
	sure := time.Now().Add(-sureAfter)
	if err := n.archive.each(func(id string, info fs.FileInfo) error {
		if info.ModTime().Before(sure) {
			found = append(found, id)
		}
		return ctx.Err()
	}); err != nil {
		return err
	}
	if caughtUp, err := n.caughtUp(ctx, n.events.Last()); err != nil || !caughtUp {
		return err // what is not there yet may be on its way: the next time
	}
	for _, id := range found {
		known, err := n.store.HasRecording(ctx, id)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		k, err := n.archive.made(id)
		if errors.Is(err, errNoRecording) {
			continue // deleted meanwhile
		}
		if err != nil {
			n.log.Error("a recording that nobody knows of can't be read", "recording", id, "error", err)
			continue
		}
		n.log.Warn("a recording that nobody knew of is told of", "recording", id)
		n.tell([]kept{k})
	}
	return nil
}

// caughtUp waits a while for the history to have an event.
func (n *node) caughtUp(ctx context.Context, seq uint64) (bool, error) {
	for range 50 {
		taken, err := n.store.Offset(ctx, n.events.ID(), "history")
		if err != nil || taken >= seq {
			return err == nil, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return false, nil
}
