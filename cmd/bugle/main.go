// Command bugle is the contact-centre server and its tools.
//
// This package is flags and wiring only: each subcommand has a file of its own,
// named after it, and node.go puts the rooms together. Exit codes: 0 well, 1
// failed, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"text/tabwriter"
)

// version is set by the build (-ldflags -X main.version=…).
var version = "dev"

// command is one subcommand. run gets the arguments after its name; signals
// are its own business.
type command struct {
	name, args, help string
	run              func(env environment, args []string) error
}

// environment is what a subcommand has of the outside.
type environment struct {
	in       io.Reader
	out, err io.Writer
}

func commands() []command {
	return []command{
		{"serve", "[-c bugle.yaml]", "run a node", serve},
		{"check", "[-c bugle.yaml]", "say what is wrong with a configuration", check},
		{"demo", "[-dir demo-data]", "run the demo helpline on loopback, everything embedded", demonstrate},
		{"call", "sip:NUMBER@HOST [flags]", "call somebody: press keys, record what is heard", callOut},
		{"agent", "sip:ID@HOST [flags]", "be an agent's phone: register, answer, play a tone; the password is $BUGLE_PASSWORD or read from standard input", beAgent},
		{"passwd", "[-c bugle.yaml] AGENT", "set an agent's password, read from standard input", passwd},
		{"events", "[-c bugle.yaml]", "print the node's event log as JSON lines", events},
		{"recordings", "[-c bugle.yaml] list | export ID FILE", "list what callers have left, or write one as a WAV file", recordings},
		{"agents", "[-c bugle.yaml] list | put AGENT | remove AGENT | export | import [-all] FILE", "list and change the agents, one by one or as CSV", staff},
		{"users", "[-c bugle.yaml] list | put USER | token USER | remove USER", "who may use the API, and their tokens", users},
		{"followups", "[-c bugle.yaml] list | claim ID | settle ID RESULT", "list the calls we owe, take one, say how it ended", followUps},
		{"callers", "[-c bugle.yaml] export FILE | erase", "give out, or forget, all that is held about a caller, whose number is read from standard input", callers},
		{"audit", "[-c bugle.yaml] list [-from DAY] [flags] | verify", "show who did what, or say whether the audit is as it was written", audit},
		{"vault", "[-c bugle.yaml] init|rotate|check", "make, rotate or check the keyset", keyset},
		{"report", "[-c bugle.yaml] [-from DAY] [flags]", "print figures by interval, as a table, CSV or JSON", reportOn},
		{"trace", "[-c bugle.yaml] CALL-ID", "show the SIP messages of a call of the running node, masked", trace},
		{"version", "", "print the version", printVersion},
	}
}

func main() {
	env := environment{os.Stdin, os.Stdout, os.Stderr}
	os.Exit(dispatch(env, os.Args[1:]))
}

// errUsage marks an error that is the user's spelling of the command.
var errUsage = errors.New("usage")

// dispatch runs the subcommand and gives the exit code.
func dispatch(env environment, args []string) int {
	if len(args) == 0 {
		usage(env.err)
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(env.out)
		return 0
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(env, args[1:])
		switch {
		case err == nil || errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			fmt.Fprintf(env.err, "bugle %s: %v\nusage: bugle %s %s\n", c.name, strings.TrimPrefix(err.Error(), "usage: "), c.name, c.args)
			return 2
		default:
			fmt.Fprintf(env.err, "bugle %s: %v\n", c.name, err)
			return 1
		}
	}
	fmt.Fprintf(env.err, "bugle: no subcommand %q\n", args[0])
	usage(env.err)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: bugle SUBCOMMAND")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
	}
	_ = table.Flush()
	fmt.Fprintln(w, "bugle SUBCOMMAND -h lists its flags.")
}

// parse parses flags that may stand before or after the other arguments, of
// which it wants as many as given.
func parse(flags *flag.FlagSet, env environment, args []string, want int) ([]string, error) {
	flags.SetOutput(env.err)
	rest, err := parseAny(flags, args)
	if err == nil && len(rest) != want {
		err = fmt.Errorf("%w: %d arguments, want %d", errUsage, len(rest), want)
	}
	return rest, err
}

// parseAny is parse for as many other arguments as there are.
func parseAny(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// untilSignal gives a context that SIGINT or SIGTERM ends.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

func printVersion(env environment, args []string) error {
	if _, err := parse(flag.NewFlagSet("version", flag.ContinueOnError), env, args, 0); err != nil {
		return err
	}
	goVersion := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
	}
	_, err := fmt.Fprintf(env.out, "bugle %s (%s)\n", version, goVersion)
	return err
}
