package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/phone"
)

// beAgent is an agent's phone without a person: it registers, makes the agent
// ready, answers and plays a tone, until it is interrupted. The password is
// $BUGLE_PASSWORD or, without it, read from standard input.
func beAgent(env environment, args []string) error {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	after := flags.Duration("answer-after", 2*time.Second, "rings so long")
	talk := flags.Duration("talk", 0, "hangs up after so long (0: leaves that to the caller)")
	say := flags.String("say", "", "WAV `file` (8 kHz mono) to say over and over")
	tone := flags.Float64("tone", 440, "tone to say, in `Hz`, where no file is")
	paused := flags.Bool("paused", false, "don't dial *70: stay paused")
	verbose := flags.Bool("v", false, "show the log")
	rest, err := parse(flags, env, args, 1)
	if err != nil {
		return err
	}
	uri, network, err := target(rest[0])
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	password := os.Getenv("BUGLE_PASSWORD")
	if password == "" {
		if password, err = askPassword(ctx, env); err != nil {
			return err
		}
	}
	host := hostOf(uri)
	address, err := phone.AddressToward(host)
	if err != nil {
		return err
	}
	o := phone.AgentOptions{
		ID:          strings.TrimPrefix(uri[:strings.Index(uri, "@")], "sip:"),
		Password:    password,
		Server:      host,
		AnswerAfter: *after,
		Talk:        *talk,
		Ready:       !*paused,
		Log:         slog.New(slog.NewTextHandler(env.out, nil)),
		Phone:       phone.Options{Address: address, Network: network, Log: toolLog(env.err, *verbose)},
	}
	if o.Say, err = voice(*say, *tone); err != nil {
		return err
	}
	agent, err := phone.StartAgent(ctx, o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.out, "%s is registered at %s; Ctrl-C ends\n", o.ID, host)
	<-ctx.Done()
	return errors.Join(err, agent.Close())
}
