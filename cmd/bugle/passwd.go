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
	"path/filepath"
	"strings"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
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
		password, err := bufio.NewReader(env.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the password: %w", err)
		}
		if password = strings.TrimRight(password, "\r\n"); password == "" {
			return fmt.Errorf("%w: no password on standard input", errUsage)
		}
		secrets, err := OpenHA1(filepath.Join(c.DataDir, ha1Name), c.SIP.Domain)
		if err != nil {
			return err
		}
		if err := onRecord(ctx, s, "agent.password", "agent "+id, ""); err != nil {
			return err
		}
		return secrets.Set(id, password)
	})
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

// openSecrets opens the agents' secrets of a node. Passwords that were printed
// for a demo are good enough on loopback and nowhere else.
func openSecrets(c *config.Config) (*HA1File, error) {
	secrets, err := OpenHA1(filepath.Join(c.DataDir, ha1Name), c.SIP.Domain)
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
