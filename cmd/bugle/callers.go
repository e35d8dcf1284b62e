package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
)

// errWithheld is a number that nothing can be kept under.
var errWithheld = errors.New("this is no telephone number")

// callers answers a person who asks what is held about his number, or to be
// forgotten. Both are written into the audit. The number is read from standard
// input: arguments are seen by all who use the machine, and shells remember them.
func callers(env environment, args []string) error {
	flags := flag.NewFlagSet("callers", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	flags.SetOutput(env.err)
	rest, err := parseAny(flags, args)
	if err != nil {
		return err
	}
	export, erase := len(rest) == 2 && rest[0] == "export", len(rest) == 1 && rest[0] == "erase"
	if !export && !erase {
		return fmt.Errorf("%w: neither export FILE nor erase", errUsage)
	}
	return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		keys, err := openKeys(ctx, c)
		if err != nil {
			return err
		}
		number, err := ask(ctx, env, "telephone number")
		if err != nil {
			return err
		}
		hash := keys.Hash(number)
		if hash == "" {
			return errWithheld
		}
		if erase {
			return eraseCaller(ctx, env, s, hash)
		}
		e := &exporter{store: s, node: c.Node, log: toolLog(env.err, true), archive: &archive{dir: filepath.Join(c.DataDir, recordingDir), vault: keys}}
		return exportCaller(ctx, env, e, hash, rest[1])
	})
}

// exportCaller writes the file, and says what is in it and what is not.
func exportCaller(ctx context.Context, env environment, e *exporter, hash, file string) error {
	held, write, err := e.caller(ctx, operator(), hash)
	if err != nil {
		return err
	}
	if err := newFile(file, write); err != nil {
		return err
	}
	there, all := 0, 0
	for r := range recordingsOf(held) {
		if all++; r.Missing == "" {
			there++
			continue
		}
		fmt.Fprintf(env.err, "recording %s is not in %s: %s\n", r.ID, file, r.Missing)
	}
	_, err = fmt.Fprintf(env.out, "%s: %d calls, %d follow-ups, %d transfers to the number, %d of %d recordings\n",
		file, len(held.Calls), len(held.FollowUps), len(held.TransfersTo), there, all)
	return err
}

func eraseCaller(ctx context.Context, env environment, s *store.Store, hash string) error {
	done, err := s.Erase(ctx, operator(), hash)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.out, "forgotten: %d calls, %d follow-ups, %d recordings, %d transfers\n",
		done.Calls, done.FollowUps, done.Recordings, done.Transfers)
	return err
}
