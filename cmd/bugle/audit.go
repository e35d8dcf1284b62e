package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/report"
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

// audit shows the audit, or says whether it is as it was written.
func audit(env environment, args []string) error {
	flags := flag.NewFlagSet("audit", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	var q store.EntrySearch
	from := flags.String("from", "", "list: first `day` (2026-03-01) or moment (2026-03-01T08:30), in the site's time zone; default: today")
	to := flags.String("to", "", "list: last `day`, or the moment before which it ends; default: the day it begins on")
	flags.StringVar(&q.Actor, "actor", "", "list: who did it, as `os:bugle` or api:user:sue")
	flags.StringVar(&q.Action, "action", "", "list: what was done, as `recording.export`")
	flags.StringVar(&q.Object, "object", "", "list: to what, as `\"agent anna\"`")
	form := flags.String("format", "table", "list: csv, json or table")
	rest, err := parse(flags, env, args, 1)
	if err != nil {
		return err
	}
	format, err := report.ParseFormat(*form)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch rest[0] {
	case "verify":
		return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error { return verifyAudit(ctx, env, c, s) })
	case "list":
		return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
			var err error
			if q.From, q.To, err = report.ParseSpan(*from, *to, c.Zone(), time.Now()); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return listAudit(ctx, env.out, s, q, format, c.Zone())
		})
	}
	return fmt.Errorf("%w: %q is neither list nor verify", errUsage, rest[0])
}

// verifyAudit says whether nothing in the audit was changed, is missing, was
// swapped, cut off or put back to what it was. For the latter it holds the chains
// against the heads in this node's event log.
func verifyAudit(ctx context.Context, env environment, c *config.Config, s *store.Store) error {
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
}
