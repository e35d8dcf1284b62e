package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/deployments/demo"
	"github.com/bugle-voice/bugle/vault"
)

// demonstrate runs the helpline that the binary carries.
func demonstrate(env environment, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	dir := flags.String("dir", "demo-data", "`folder` for what the demo keeps")
	sip := flags.String("sip", "127.0.0.1:5060", "`address` for SIP, on loopback")
	web := flags.String("http", "127.0.0.1:8080", "`address` for HTTP, on loopback")
	if _, err := parse(flags, env, args, 0); err != nil {
		return err
	}
	c, err := demoConfig(*dir, *sip, *web)
	if err != nil {
		return tell(env.err, err)
	}
	site, err := newSite(c, demo.Prompts, env.err)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	if err := vault.Init(filepath.Join(*dir, vault.KeysetFile)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	keys, err := openKeys(context.Background(), c)
	if err != nil {
		return err
	}
	secrets, err := OpenHA1(filepath.Join(*dir, ha1Name), c.SIP.Domain, keys)
	if err != nil {
		return err
	}
	passwords, err := secrets.EnsureDemo(slices.Collect(maps.Keys(c.Agents)))
	if err != nil {
		return err
	}
	tellPasswords(env.out, c, *dir, passwords) // even if the start fails: it is the only time
	return runNode(site, newLog(env.err, c.Log), func(*node) { welcome(env.out, c) })
}

// demoConfig is the demo's configuration, kept in a folder, at two addresses
// of loopback: passwords that everybody may read on a screen go no further.
func demoConfig(dir, sip, web string) (*config.Config, error) {
	text := strings.NewReplacer("127.0.0.1:5060", sip, "127.0.0.1:8080", web).Replace(string(demo.Config))
	c, err := config.Parse([]byte(text), "demo/bugle.yaml")
	if err != nil {
		return nil, err
	}
	c.DataDir = dir
	if where := beyondLoopback(c); where != "" {
		return nil, fmt.Errorf("%s is not on loopback: the demo is for this machine only", where)
	}
	return c, nil
}

func tellPasswords(w io.Writer, c *config.Config, dir string, passwords []DemoPassword) {
	if len(passwords) == 0 {
		fmt.Fprintf(w, "Agents have the passwords shown at the first start; remove %s for new ones.\n", filepath.Join(dir, ha1Name))
		return
	}
	fmt.Fprintln(w, "Agents, and their passwords, which are shown only now:")
	for _, p := range passwords {
		a := c.Agents[p.User]
		fmt.Fprintf(w, "  %-8s %-22s %-16s %s\n", p.User, p.Password, a.Name, speaks(a))
	}
}

// welcome says what to do next.
func welcome(w io.Writer, c *config.Config) {
	host := strings.TrimSuffix(c.SIP.Listeners[0].Address.String(), ":5060")
	fmt.Fprintf(w, `
The demo helpline serves sip:helpline@%[1]s (UDP, TCP) and http://%[2]s, on this machine only.

An agent:  register a softphone as sip:anna@%[1]s with her password and dial *70 (ready),
           *71 (pause), *72 (wrap-up done). Without a softphone:
             bin/bugle agent sip:anna@%[1]s      (asks for her password)
A call:    dial sip:helpline@%[1]s, then 1 1 (English, claims) or 2 1 (Spanish, claims).
           Without a softphone:
             bin/bugle call sip:helpline@%[1]s --press 1,1 --record out.wav
Figures:   http://%[2]s/metrics   Ctrl-C drains, twice ends at once.

`, host, c.HTTP.Address)
}

func speaks(a config.Agent) string {
	return strings.Join(slices.Sorted(maps.Keys(a.Languages)), " ") + "; " + strings.Join(slices.Sorted(maps.Keys(a.Skills)), " ")
}
