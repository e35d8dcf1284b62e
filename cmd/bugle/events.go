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
	"github.com/bugle-voice/bugle/vault"
)

// events prints what happened on this node, oldest first.
func events(env environment, args []string) error {
	flags := flag.NewFlagSet("events", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	call := flags.String("call", "", "only those of this call `id`")
	if _, err := parse(flags, env, args, 0); err != nil {
		return err
	}
	c, err := config.Load(*path)
	if err != nil {
		return tell(env.err, err)
	}
	keys, err := vault.Inspect(context.Background(), c.Vault, c.DataDir)
	if err != nil {
		return err
	}
	out := json.NewEncoder(env.out)
	for e, err := range event.Read(filepath.Join(c.DataDir, eventDir), keys) {
		if errors.Is(err, event.ErrTorn) { // what is behind it can be read
			fmt.Fprintln(env.err, err)
			continue
		}
		if err != nil {
			return err
		}
		if *call != "" && e.Call != *call {
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
