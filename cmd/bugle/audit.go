package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
)

// errTampered is an audit whose faults have been printed.
var errTampered = errors.New("the audit is not as it was written")

// audit says whether the audit is as it was written: nothing changed, missing,
// swapped or cut off.
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
	return withStore(env, *path, func(ctx context.Context, _ *config.Config, s *store.Store) error {
		v, err := s.Verify(ctx)
		if err != nil {
			return err
		}
		for _, f := range v.Findings {
			fmt.Fprintln(env.out, f)
		}
		if n := len(v.Findings); n > 0 {
			return fmt.Errorf("%w: %d findings", errTampered, n)
		}
		_, err = fmt.Fprintf(env.out, "%d entries of %d nodes, %d anchors: well\n", v.Entries, v.Nodes, v.Anchors)
		return err
	})
}
