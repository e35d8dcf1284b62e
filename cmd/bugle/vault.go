package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
)

// keyAge is when check asks for a rotation. AES-GCM with random nonces wants a
// new key long before 2^32 values, which is 136 a second for a year.
const keyAge = 365 * 24 * time.Hour

// keyset makes, rotates or checks the keyset that private values are sealed
// with.
func keyset(env environment, args []string) error {
	flags := flag.NewFlagSet("vault", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	out := flags.String("out", "", "init, rotate: write the keyset into this new `file`, not where the configuration has it")
	rest, err := parse(flags, env, args, 1)
	if err != nil {
		return err
	}
	c, err := config.Load(*path)
	if err != nil {
		return tell(env.err, err)
	}
	switch rest[0] {
	case "init":
		return initKeyset(env, *path, c, *out)
	case "rotate":
		return rotateKeyset(env, *path, c, *out)
	case "check":
		return checkKeyset(env.out, c)
	}
	return fmt.Errorf("%w: %q is neither init, rotate nor check", errUsage, rest[0])
}

// errNoFile is a keyset that this program can't write.
var errNoFile = errors.New("the configuration's keyset is not in a file: name a new file with -out, and put it where the keyset is kept")

func initKeyset(env environment, path string, c *config.Config, out string) error {
	file, inUse := vault.Path(c.Vault, c.DataDir)
	if out != "" {
		file, inUse = out, false
	} else if !inUse {
		return errNoFile
	}
	if err := vault.Init(file); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(env.out, "made %s\nKeep a copy of it apart from the data and its backups: without it, nothing that is sealed can be read again.\n", file); err != nil {
		return err
	}
	if !inUse {
		return nil
	}
	// The audit is sealed with what has just been made: it can only be told now.
	err := withStore(env, path, func(ctx context.Context, _ *config.Config, s *store.Store) error {
		return onRecord(ctx, s, "vault.init", "keyset", "")
	})
	if err != nil {
		fmt.Fprintf(env.err, "the audit has no entry of this, as the database can't be written yet: %v\n", err)
	}
	return nil
}

func rotateKeyset(env environment, path string, c *config.Config, out string) error {
	file, ok := vault.Path(c.Vault, c.DataDir)
	if !ok && out == "" {
		return errNoFile
	}
	return withStore(env, path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		if err := onRecord(ctx, s, "vault.rotate", "keyset", ""); err != nil {
			return err
		}
		if out == "" {
			k, err := vault.Rotate(file)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.out, "%s has key %d as its primary one; running nodes take it up within seconds\n", file, k.ID)
			return err
		}
		k, err := vault.RotateTo(ctx, c.Vault, c.DataDir, out)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.out, "%s has key %d as its primary one; put it where the keyset is kept, then remove it\n", out, k.ID)
		return err
	})
}

// checkKeyset opens the vault as serve does, without leaving a trace in
// data_dir, and tells what there is, never the keys.
func checkKeyset(w io.Writer, c *config.Config) error {
	v, err := vault.Inspect(context.Background(), c.Vault, c.DataDir)
	if err != nil {
		return err
	}
	if err := sealAndOpen(v); err != nil {
		return err
	}
	fmt.Fprintf(w, "keyset from %s\n", v.Source())
	for _, k := range v.Keys() {
		role := "opens"
		if k.Primary {
			role = "seals and opens"
		}
		fmt.Fprintf(w, "  key %-10d  %s  %s\n", k.ID, made(k.Made), role)
	}
	fmt.Fprintf(w, "  key for numbers, fingerprint %s\n", v.Fingerprint())
	if primary := v.Keys()[0]; !primary.Made.IsZero() && time.Since(primary.Made) > keyAge {
		fmt.Fprintf(w, "key %d is more than a year old: bugle vault rotate\n", primary.ID)
	}
	_, err = fmt.Fprintln(w, "well: sealed and opened a value, and it fits data_dir")
	return err
}

// made says how old a key is.
func made(at time.Time) string {
	if at.IsZero() {
		return "age unknown"
	}
	return fmt.Sprintf("made %s (%d days ago)", at.Format(time.DateOnly), int(time.Since(at).Hours()/24))
}

// sealAndOpen tries the keys on a value.
func sealAndOpen(v *vault.Vault) error {
	plain, place := []byte(rand.Text()), []byte("check")
	sealed, err := v.Seal(plain, place)
	if err != nil {
		return err
	}
	opened, err := v.Unseal(sealed, place)
	if err != nil {
		return err
	}
	if !bytes.Equal(plain, opened) || bytes.Contains(sealed, plain) {
		return errors.New("what was sealed did not come back")
	}
	return nil
}
