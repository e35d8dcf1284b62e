package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
)

// errWithheld is a number that nothing can be kept under.
var errWithheld = errors.New("this is no telephone number")

// callers answers a person who asks what is held about his number, or to be
// forgotten. Both are written into the audit.
func callers(env environment, args []string) error {
	flags := flag.NewFlagSet("callers", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	rest, err := parse(flags, env, args, 2)
	if err != nil {
		return err
	}
	return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		keys, err := openKeys(ctx, c)
		if err != nil {
			return err
		}
		hash := keys.Hash(rest[1])
		if hash == "" {
			return errWithheld
		}
		switch rest[0] {
		case "export":
			return s.Export(ctx, operator(), hash, env.out)
		case "erase":
			done, err := s.Erase(ctx, operator(), hash)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.out, "forgotten: %d calls, %d follow-ups, %d recordings, %d transfers\n",
				done.Calls, done.FollowUps, done.Recordings, done.Transfers)
			return err
		}
		return fmt.Errorf("%w: %q is neither export nor erase", errUsage, rest[0])
	})
}
