package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
	"github.com/bugle-voice/bugle/web"
)

// roster is the agents of the database as this node knows them now. It looks
// for changes every few seconds, whoever made them on whatever node, and keeps
// a sealed copy in data_dir for a start without the database.
type roster struct {
	file  string
	vault *vault.Vault
	log   *slog.Logger

	now     atomic.Pointer[map[string]config.Agent]
	changed chan struct{} // somebody on this node has just changed them

	version int64 // of the database; the following goroutine's
}

const (
	rosterName = "agents.sealed" // in data_dir
	lookEvery  = 2 * time.Second // and up to as long again, so that nodes don't look at once
)

func newRoster(dataDir string, v *vault.Vault, log *slog.Logger) *roster {
	r := &roster{file: filepath.Join(dataDir, rosterName), vault: v, log: log, changed: make(chan struct{}, 1), version: -1}
	r.now.Store(&map[string]config.Agent{})
	return r
}

// agents gives the agents there are now; the map is not to be changed.
func (r *roster) agents() map[string]config.Agent { return *r.now.Load() }

// look hurries the next look.
func (r *roster) look() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// refresh reads the agents if they have changed, and reports whether they had.
func (r *roster) refresh(ctx context.Context, s *store.Store) (changed bool, err error) {
	version, err := s.StaffVersion(ctx) // first: what changes after it is seen the next time
	if err != nil || version == r.version {
		return false, err
	}
	staff, err := s.Staff(ctx)
	if err != nil {
		return false, err
	}
	r.now.Store(&staff)
	r.version = version
	if err := r.save(staff); err != nil {
		r.log.Error("the copy of the agents for a start without the database can't be written", "error", err)
	}
	return true, nil
}

// follow calls taken with the agents after each change, until ctx ends. While the
// database is away the agents stay who they are; the history tells of that.
func (r *roster) follow(ctx context.Context, s *store.Store, taken func(before, now map[string]config.Agent)) error {
	for {
		before := r.agents()
		looking, cancel := context.WithTimeout(ctx, 10*time.Second)
		changed, err := r.refresh(looking, s)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.log.Debug("looking for changed agents", "error", err)
		}
		if changed {
			taken(before, r.agents())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		case <-time.After(lookEvery + rand.N(lookEvery)):
		}
	}
}

// rosterPlace is what the copy is bound to.
var rosterPlace = []byte("agents of data_dir")

// save writes the copy, whole or not at all.
func (r *roster) save(staff map[string]config.Agent) error {
	plain, err := json.Marshal(staff)
	if err != nil {
		return err
	}
	sealed, err := r.vault.Seal(plain, rosterPlace)
	if err != nil {
		return err
	}
	return replaceFile(r.file, sealed)
}

// errNoCopy is a node that has never had its agents.
var errNoCopy = errors.New("this node has no copy of the agents yet: its first start needs the database")

// load takes the agents from the copy. errNoCopy.
func (r *roster) load() error {
	sealed, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoCopy
	}
	if err != nil {
		return err
	}
	plain, err := r.vault.Unseal(sealed, rosterPlace)
	if err != nil {
		return fmt.Errorf("open %s: %w", r.file, err)
	}
	staff := map[string]config.Agent{}
	if err := json.Unmarshal(plain, &staff); err != nil {
		return fmt.Errorf("read %s: %w", r.file, err)
	}
	r.now.Store(&staff)
	return nil
}

// replaceFile puts a file of the owner's own in the place of another.
func replaceFile(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// rosterAPI changes agents for the API.
type rosterAPI struct {
	store  *store.Store
	words  store.Vocabulary
	roster *roster
}

func (a rosterAPI) Put(ctx context.Context, by web.By, id string, agent config.Agent) error {
	if err := a.words.Check(id, agent); err != nil {
		return web.BadRequest(err.Error())
	}
	defer a.roster.look()
	return a.store.PutAgent(ctx, storeBy(by), id, agent)
}

func (a rosterAPI) Remove(ctx context.Context, by web.By, id string) error {
	defer a.roster.look()
	err := a.store.RemoveAgent(ctx, storeBy(by), id)
	if errors.Is(err, store.ErrUnknownAgent) {
		return fmt.Errorf("%w: %w", web.ErrUnknownAgent, err)
	}
	return err
}

// storeBy names who asks over the API as the audit names him.
func storeBy(by web.By) store.By { return store.By{Actor: "api:" + by.Actor, Address: by.From} }
