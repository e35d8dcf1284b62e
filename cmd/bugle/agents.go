package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
)

// staff lists the agents in the database, or takes them from a CSV file, or
// writes them into one.
func staff(env environment, args []string) error {
	flags := flag.NewFlagSet("agents", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	flags.SetOutput(env.err)
	rest, err := parseAny(flags, args)
	if err != nil {
		return err
	}
	var do func(context.Context, *config.Config, *store.Store) error
	switch {
	case len(rest) == 1 && rest[0] == "list":
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error { return listStaff(ctx, env.out, s) }
	case len(rest) == 1 && rest[0] == "export":
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error { return s.ExportAgents(ctx, env.out) }
	case len(rest) == 2 && rest[0] == "import":
		do = func(ctx context.Context, c *config.Config, s *store.Store) error {
			return importStaff(ctx, env, c, s, rest[1])
		}
	default:
		return fmt.Errorf("%w: neither list, export nor import FILE", errUsage)
	}
	return withStore(env, *path, do)
}

// errBadLines is a file whose mistakes have been printed.
var errBadLines = errors.New("nothing was imported")

func importStaff(ctx context.Context, env environment, c *config.Config, s *store.Store, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	done, err := s.ImportAgents(ctx, operator(), store.Vocabulary{Languages: c.Languages, Skills: c.Skills}, f)
	var bad store.BadLines
	if errors.As(err, &bad) {
		for _, line := range strings.Split(bad.Error(), "\n") {
			fmt.Fprintf(env.err, "%s: %s\n", file, line)
		}
		return fmt.Errorf("%s has %d mistakes: %w", file, len(bad), errBadLines)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.out, "%d agents added, %d changed, %d as they were; a running node takes them up at its next start\n",
		done.Added, done.Changed, done.Unchanged)
	return err
}

func listStaff(ctx context.Context, out io.Writer, s *store.Store) error {
	all, err := s.Staff(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tTIER\tLANGUAGES\tSKILLS")
	for _, id := range slices.Sorted(maps.Keys(all)) {
		a := all[id]
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", id, a.Name, a.Tier, store.WriteLevels(a.Languages), store.WriteLevels(a.Skills))
	}
	return table.Flush()
}

// withStore opens the database of a configuration for a tool, beside a node
// that may be running.
func withStore(env environment, path string, do func(context.Context, *config.Config, *store.Store) error) (err error) {
	c, err := config.Load(path)
	if err != nil {
		return tell(env.err, err)
	}
	ctx, cancel := untilSignal()
	defer cancel()
	opening, opened := context.WithTimeout(ctx, 20*time.Second)
	defer opened()
	v, err := vault.Inspect(opening, c.Vault, c.DataDir)
	if err != nil {
		return err
	}
	s, err := store.Open(opening, store.Options{Config: c.Store, DataDir: c.DataDir, Node: c.Node, Sealer: v, Log: toolLog(env.err, false)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(ctx, c, s)
}

// operator is who uses a tool on the node itself, for the audit.
func operator() store.By {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return store.By{Actor: "os:" + name}
}
