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
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
)

// staff shows and changes the agents in the database. A running node takes
// changes up by itself, within seconds.
func staff(env environment, args []string) error {
	flags := flag.NewFlagSet("agents", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	all := flags.Bool("all", false, "import: the file is all there is; remove who is not in it")
	put := agentFlags(flags)
	flags.SetOutput(env.err)
	rest, err := parseAny(flags, args)
	if err != nil {
		return err
	}
	var do func(context.Context, *config.Config, *store.Store) error
	switch what := strings.Join(rest[:min(1, len(rest))], ""); {
	case what == "list" && len(rest) == 1:
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error { return listStaff(ctx, env.out, s) }
	case what == "export" && len(rest) == 1:
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error { return s.ExportAgents(ctx, env.out) }
	case what == "import" && len(rest) == 2:
		do = func(ctx context.Context, c *config.Config, s *store.Store) error {
			return importStaff(ctx, env, c, s, rest[1], *all)
		}
	case what == "put" && len(rest) == 2:
		do = func(ctx context.Context, c *config.Config, s *store.Store) error {
			return putStaff(ctx, c, s, rest[1], put)
		}
	case what == "remove" && len(rest) == 2:
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error {
			return s.RemoveAgent(ctx, operator(), rest[1])
		}
	default:
		return fmt.Errorf("%w: neither list, export, import FILE, put AGENT nor remove AGENT", errUsage)
	}
	return withStore(env, *path, do)
}

// agentFlags declares the flags of an agent and gives what makes the agent they
// tell of another one: what is not given stays as it is.
func agentFlags(flags *flag.FlagSet) (change func(*config.Agent)) {
	var changes []func(*config.Agent)
	note := func(c func(*config.Agent)) { changes = append(changes, c) }
	flags.Func("name", "put: the agent's `name`", func(v string) error {
		note(func(a *config.Agent) { a.Name = v })
		return nil
	})
	flags.Func("tier", "put: `1`, 2 or 3", func(v string) error {
		n, err := strconv.Atoi(v)
		note(func(a *config.Agent) { a.Tier = n })
		return err
	})
	levels := func(name, help string, set func(*config.Agent, map[string]int)) {
		flags.Func(name, help, func(v string) error {
			m, err := store.ReadLevels(v)
			note(func(a *config.Agent) { set(a, m) })
			return err
		})
	}
	levels("languages", "put: such as `en:5,es:2`", func(a *config.Agent, m map[string]int) { a.Languages = m })
	levels("skills", "put: such as `claims:3`", func(a *config.Agent, m map[string]int) { a.Skills = m })
	return func(a *config.Agent) {
		for _, c := range changes {
			c(a)
		}
	}
}

func putStaff(ctx context.Context, c *config.Config, s *store.Store, id string, change func(*config.Agent)) error {
	return s.ChangeAgent(ctx, operator(), id, func(a *config.Agent, known bool) error {
		if !known {
			a.Tier = 1
		}
		change(a)
		return store.VocabularyOf(c).Check(id, *a)
	})
}

// errBadLines is a file whose mistakes have been printed.
var errBadLines = errors.New("nothing was imported")

func importStaff(ctx context.Context, env environment, c *config.Config, s *store.Store, file string, all bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	done, err := s.ImportAgents(ctx, operator(), store.VocabularyOf(c), f, all)
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
	_, err = fmt.Fprintf(env.out, "%d agents added, %d changed, %d as they were, %d removed\n",
		done.Added, done.Changed, done.Unchanged, done.Removed)
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
	v, err := openKeys(opening, c)
	if err != nil {
		return err
	}
	s, err := store.Open(opening, store.Options{Config: c.Store, DataDir: c.DataDir, Node: c.Node, Country: c.Country, Sealer: v, Log: toolLog(env.err, false)})
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
