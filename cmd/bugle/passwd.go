package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
	"golang.org/x/term"
)

// passwd sets an agent's password. A running node takes it up by itself.
func passwd(env environment, args []string) error {
	flags := flag.NewFlagSet("passwd", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	rest, err := parse(flags, env, args, 1)
	if err != nil {
		return err
	}
	id := rest[0]
	return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		if err := knownAgent(ctx, c, s, id); err != nil {
			return err
		}
		password, err := askPassword(ctx, env)
		if err != nil {
			return err
		}
		keys, err := openKeys(ctx, c)
		if err != nil {
			return err
		}
		secrets, err := OpenHA1(filepath.Join(c.DataDir, ha1Name), c.SIP.Domain, keys)
		if err != nil {
			return err
		}
		if err := onRecord(ctx, s, "agent.password", "agent "+id, ""); err != nil {
			return err
		}
		return secrets.Set(id, password)
	})
}

// ask reads a line from standard input, after a prompt if somebody types there:
// what nobody else is to see does not stand among a command's arguments.
func ask(ctx context.Context, env environment, what string) (string, error) {
	if _, ok := terminal(env); ok {
		fmt.Fprintf(env.err, "%s: ", what)
	}
	return answer(ctx, what, func() (string, error) { return bufio.NewReader(env.in).ReadString('\n') })
}

// askPassword is ask for a password, which a terminal does not show.
func askPassword(ctx context.Context, env environment) (string, error) {
	const what = "password"
	fd, ok := terminal(env)
	if !ok {
		return ask(ctx, env, what)
	}
	shown, err := term.GetState(fd)
	if err == nil {
		err = ctx.Err() // a reader begun in vain might leave the terminal blind
	}
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	defer term.Restore(fd, shown) // when ctx ends, the reader never does it
	fmt.Fprintf(env.err, "%s (not shown): ", what)
	defer fmt.Fprintln(env.err)
	return answer(ctx, what, func() (string, error) {
		typed, err := term.ReadPassword(fd)
		return string(typed), err
	})
}

// terminal gives the terminal at which somebody types, if standard input is one.
func terminal(env environment) (fd int, ok bool) {
	if f, isFile := env.in.(*os.File); isFile {
		return int(f.Fd()), term.IsTerminal(int(f.Fd()))
	}
	return 0, false
}

// answer gives the line that read reads. It ends with ctx: a signal that only did
// that would leave whoever presses Ctrl-C at the prompt.
func answer(ctx context.Context, what string, read func() (string, error)) (string, error) {
	type line struct {
		typed string
		err   error
	}
	came := make(chan line, 1)
	go func() { // which may outlive answer: nothing ends a read of a terminal
		typed, err := read()
		came <- line{strings.TrimRight(typed, "\r\n"), err}
	}()
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("read the %s: %w", what, ctx.Err())
	case l := <-came:
		switch {
		case l.err != nil && !errors.Is(l.err, io.EOF):
			return "", fmt.Errorf("read the %s: %w", what, l.err)
		case l.typed == "":
			return "", fmt.Errorf("%w: no %s on standard input", errUsage, what)
		}
		return l.typed, nil
	}
}

// knownAgent looks for an agent: one who was imported is in the database alone,
// and a new one of the configuration is not there before the node's start.
func knownAgent(ctx context.Context, c *config.Config, s *store.Store, id string) error {
	if _, seeded := c.Agents[id]; seeded {
		return nil
	}
	staff, err := s.Staff(ctx)
	if err != nil {
		return err
	}
	if _, known := staff[id]; !known {
		return fmt.Errorf("there is no agent %q, neither in the configuration nor in the database", id)
	}
	return nil
}

// openSecrets opens the agents' secrets of a node, and seals anew what is in the
// clear there or under an older key. Passwords that were printed for a demo are good
// enough on loopback and nowhere else.
func openSecrets(c *config.Config, v *vault.Vault) (*HA1File, error) {
	secrets, err := OpenHA1(filepath.Join(c.DataDir, ha1Name), c.SIP.Domain, v)
	if err == nil {
		err = secrets.Renew()
	}
	if err != nil {
		return nil, err
	}
	if !secrets.HasDemo() {
		return secrets, nil
	}
	if where := beyondLoopback(c); where != "" {
		return nil, fmt.Errorf("%s is not on loopback, and %s holds demo passwords: give each agent a password with `bugle passwd AGENT`, or remove the file",
			where, filepath.Join(c.DataDir, ha1Name))
	}
	return secrets, nil
}

// beyondLoopback names the first address of a configuration that others than
// this machine can reach; "" if there is none.
func beyondLoopback(c *config.Config) string {
	for _, l := range c.SIP.Listeners {
		if !l.Address.Addr().IsLoopback() {
			return fmt.Sprintf("sip listener %s", l.Address)
		}
	}
	if !c.Media.Address.IsLoopback() {
		return fmt.Sprintf("media.address %s", c.Media.Address)
	}
	host, _, err := net.SplitHostPort(c.HTTP.Address)
	if address, parse := netip.ParseAddr(host); err != nil || host != "localhost" && (parse != nil || !address.IsLoopback()) {
		return fmt.Sprintf("http.address %s", c.HTTP.Address)
	}
	return ""
}
