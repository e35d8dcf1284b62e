package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/deployments/demo"
)

// demonstrate runs the helpline that the binary carries.
func demonstrate(env environment, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	dir := flags.String("dir", "demo-data", "`folder` for what the demo keeps")
	if _, err := parse(flags, env, args, 0); err != nil {
		return err
	}
	c, err := config.Parse(demo.Config, "demo/bugle.yaml")
	if err != nil {
		return tell(env.err, err)
	}
	c.DataDir = *dir
	site, err := newSite(c, demo.Prompts, env.err)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	secrets, err := OpenHA1(filepath.Join(*dir, ha1Name), c.SIP.Domain)
	if err != nil {
		return err
	}
	passwords, err := secrets.EnsureDemo(slices.Collect(maps.Keys(c.Agents)))
	if err != nil {
		return err
	}
	return runNode(site, newLog(env.err, c.Log), func(*node) { welcome(env.out, c, *dir, passwords) })
}

// welcome says what to do next.
func welcome(w io.Writer, c *config.Config, dir string, passwords []DemoPassword) {
	host := c.SIP.Listeners[0].Address.String()
	fmt.Fprintf(w, "\nThe demo helpline serves sip:helpline@%s (UDP, TCP) and http://%s, on this machine only.\n\n", host, c.HTTP.Address)
	if len(passwords) > 0 {
		fmt.Fprintln(w, "Agents, and their passwords, which are shown only now:")
		for _, p := range passwords {
			a := c.Agents[p.User]
			fmt.Fprintf(w, "  %-8s %-22s %-16s %s\n", p.User, p.Password, a.Name, speaks(a))
		}
	} else {
		fmt.Fprintf(w, "Agents have the passwords shown at the first start; remove %s for new ones.\n", filepath.Join(dir, ha1Name))
	}
	fmt.Fprintf(w, `
An agent:  register a softphone as sip:anna@%[1]s with her password and dial *70 (ready),
           *71 (pause), *72 (wrap-up done). Without a softphone:
             bin/bugle agent sip:anna@%[1]s --password …
A call:    dial sip:helpline@%[2]s, then 1 1 (English, claims) or 2 1 (Spanish, claims).
           Without a softphone:
             bin/bugle call sip:helpline@%[2]s --press 1,1 --record out.wav
Figures:   http://%[3]s/metrics   Ctrl-C drains, twice ends at once.

`, strings.TrimSuffix(host, ":5060"), strings.TrimSuffix(host, ":5060"), c.HTTP.Address)
}

func speaks(a config.Agent) string {
	return strings.Join(slices.Sorted(maps.Keys(a.Languages)), " ") + "; " + strings.Join(slices.Sorted(maps.Keys(a.Skills)), " ")
}
