package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
)

// onRecord writes into the audit what the user of a tool is about to do. A tool
// writes into the database, since it may run where no node does; without the
// database it does nothing that the audit is to know of.
func onRecord(ctx context.Context, s *store.Store, action, object, detail string) error {
	return s.Audit(ctx, store.Entry{Actor: operator().Actor, Action: action, Object: object, Detail: detail})
}

// errTampered is an audit whose faults have been printed.
var errTampered = errors.New("the audit is not as it was written")

// audit says whether the audit is as it was written: nothing changed, missing,
// swapped, cut off or put back to what it was. For the latter it holds the chains
// against the heads in this node's event log.
func audit(env environment, args []string) error {
	flags := flag.NewFlagSet("audit", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	rest, err := parse(flags, env, args, 1)
	if err != nil {
		return err
	}
	if rest[0] != "verify" {
		return fmt.Errorf("%w: %q is not verify", errUsage, rest[0])
	}
	return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		keys, err := openKeys(ctx, c)
		if err != nil {
			return err
		}
		log := event.Read(filepath.Join(c.DataDir, eventDir), keys)
		v, err := s.Verify(ctx, log)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(env.err, "there is no event log in %s, so no head in it was compared\n", c.DataDir)
			v, err = s.Verify(ctx, nil)
		}
		if err != nil {
			return err
		}
		for _, f := range v.Findings {
			fmt.Fprintln(env.out, f)
		}
		if n := len(v.Findings); n > 0 {
			return fmt.Errorf("%w: %d findings", errTampered, n)
		}
		_, err = fmt.Fprintf(env.out, "%d entries of %d nodes, %d anchors, %d heads in the event log: well\n", v.Entries, v.Nodes, v.Anchors, v.Heads)
		return err
	})
}
