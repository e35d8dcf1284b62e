package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/number"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
)

// openKeys opens the vault of a configuration for a tool: nothing is written into
// data_dir.
func openKeys(ctx context.Context, c *config.Config) (*vault.Vault, error) {
	v, err := vault.Inspect(ctx, c.Vault, c.DataDir)
	if err == nil {
		v.Clean(international(c))
	}
	return v, err
}

// international gives what brings callers' numbers into one form before they are
// hashed.
func international(c *config.Config) func(string) string {
	return func(n string) string { return number.International(n, c.Country) }
}

// watchVault takes up rotations of the keyset while the node runs, has the event
// log and the agents' passwords sealed under the new key at once, and tells the
// audit.
func (n *node) watchVault(c config.Vault) {
	n.background(func(ctx context.Context) error {
		n.vault.Watch(ctx, vault.Watcher{
			Refresh: c.Refresh.D(),
			TakenUp: func(k vault.Key) {
				n.log.Info("another key seals from now on", "key", k.ID)
				n.events.Renew()
				if err := n.secrets.Renew(); err != nil {
					n.log.Error("agents' passwords stay sealed under the older key", "err", err)
				}
				n.events.Emit("", event.Audited{Actor: "system", Action: "vault.taken_up", Object: fmt.Sprintf("key %d", k.ID)})
			},
			Worn: func(k vault.Key, sealed uint64) {
				n.log.Warn("a key has sealed so much that it should be rotated: bugle vault rotate", "key", k.ID, "values", sealed)
			},
		})
		return nil
	})
}

// besideItsData reports whether a configuration's keyset lies in data_dir: whoever
// gets hold of that folder, or of a backup of it, can then read what is sealed
// there.
func besideItsData(c *config.Config) bool {
	path, inFile := vault.Path(c.Vault, c.DataDir)
	return inFile && filepath.Dir(filepath.Clean(path)) == filepath.Clean(c.DataDir)
}

// takenUp says when running nodes have a keyset that was rotated.
func takenUp(c config.Vault) string {
	switch {
	case strings.HasPrefix(c.Keyset, "env:"):
		return "a running node can't see another environment: stop all nodes that share the keyset, and start them with the new one, unless it was rotated in two steps (-add, -promote)"
	case len(c.Command) == 0:
		return "running nodes take it up within seconds"
	case c.Refresh == 0:
		return "running nodes take it up when they meet the new key, or at their next start"
	}
	return fmt.Sprintf("running nodes take it up within %s", c.Refresh)
}

// keyAge is when check asks for a rotation. AES-GCM with random nonces wants a
// new key long before 2^32 values, which is 136 a second for a year.
const keyAge = 365 * 24 * time.Hour

// keyset makes, rotates or checks the keyset that private values are sealed
// with.
func keyset(env environment, args []string) error {
	flags := flag.NewFlagSet("vault", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	out := flags.String("out", "", "init, rotate: write the keyset into this new `file`, not where the configuration has it")
	add := flags.Bool("add", false, "rotate: add a key that only opens, until -promote")
	promote := flags.Bool("promote", false, "rotate: seal with the key that was added")
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
		step := vault.Whole
		switch {
		case *add && *promote:
			return fmt.Errorf("%w: -add and -promote are two steps: bring the keyset to every node between them", errUsage)
		case *add:
			step = vault.Add
		case *promote:
			step = vault.Promote
		}
		return rotateKeyset(env, *path, c, *out, step)
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

func rotateKeyset(env environment, path string, c *config.Config, out string, step vault.Step) error {
	file, ok := vault.Path(c.Vault, c.DataDir)
	if !ok && out == "" {
		return errNoFile
	}
	return withStore(env, path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		detail := map[vault.Step]string{vault.Whole: "", vault.Add: "add", vault.Promote: "promote"}[step]
		if err := onRecord(ctx, s, "vault.rotate", "keyset", detail); err != nil {
			return err
		}
		var k vault.Key
		var err error
		where := ""
		if out == "" {
			k, err = vault.Rotate(file, step)
		} else {
			k, err = vault.RotateTo(ctx, c.Vault, c.DataDir, out, step)
			file, where = out, "put it where the keyset is kept, then remove it; "
		}
		if err != nil {
			return err
		}
		role, next := "as its primary one", takenUp(c.Vault)
		if step == vault.Add {
			role, next = "and does not seal with it yet", "once every node that shares the keyset has it: bugle vault rotate -promote"
		}
		_, err = fmt.Fprintf(env.out, "%s has key %d %s; %s%s\n", file, k.ID, role, where, next)
		return err
	})
}

// checkKeyset opens the vault as serve does, without leaving a trace in
// data_dir, and tells what there is, never the keys.
func checkKeyset(w io.Writer, c *config.Config) error {
	v, err := openKeys(context.Background(), c)
	if err != nil {
		return err
	}
	if err := sealAndOpen(v); err != nil {
		return err
	}
	secrets, err := OpenHA1(filepath.Join(c.DataDir, ha1Name), c.SIP.Domain, v)
	if err != nil {
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
	if all, plain := secrets.Count(); plain > 0 {
		fmt.Fprintf(w, "%s: %d of %d agents' passwords are not sealed yet: the node's next start does that\n", ha1Name, plain, all)
	} else if all > 0 {
		fmt.Fprintf(w, "%s: %d agents' passwords, sealed and opened\n", ha1Name, all)
	}
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
