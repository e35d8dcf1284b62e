package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
)

// events prints what happened on this node, oldest first. What callers did is
// private, so the audit knows of it first.
func events(env environment, args []string) error {
	flags := flag.NewFlagSet("events", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	call := flags.String("call", "", "only those of this call `id`")
	if _, err := parse(flags, env, args, 0); err != nil {
		return err
	}
	return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		keys, err := openKeys(ctx, c)
		if err != nil {
			return err
		}
		object := "events of all calls"
		if *call != "" {
			object = "events of call " + *call
		}
		if err := onRecord(ctx, s, "events.read", object, ""); err != nil {
			return err
		}
		return printEvents(env, filepath.Join(c.DataDir, eventDir), keys, *call)
	})
}

// printEvents writes a line for each event of a call ("": of all).
func printEvents(env environment, dir string, keys *vault.Vault, call string) error {
	cuts, err := event.Cuts(dir)
	if err != nil {
		return err
	}
	for _, c := range cuts {
		fmt.Fprintln(env.err, c)
	}
	out := json.NewEncoder(env.out)
	for e, err := range event.Read(dir, keys) {
		if errors.Is(err, event.ErrTorn) { // what is behind it can be read
			fmt.Fprintln(env.err, err)
			continue
		}
		if err != nil {
			return err
		}
		if call != "" && e.Call != call {
			continue
		}
		line := struct {
			Seq  uint64     `json:"seq"`
			At   time.Time  `json:"at"`
			Kind string     `json:"kind"`
			Call string     `json:"call,omitempty"`
			Fact event.Fact `json:"fact"`
		}{e.Seq, e.At, e.Fact.Kind(), e.Call, e.Fact}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
