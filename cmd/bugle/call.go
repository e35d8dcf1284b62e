package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/phone"
)

// errNotAnswered is a call that came to nothing.
var errNotAnswered = errors.New("not answered")

// callOut calls somebody, presses keys and records.
func callOut(env environment, args []string) error {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	press := flags.String("press", "", "`keys` to press, entries separated by commas: 1,2; -: read from standard input, so that nobody sees them")
	every := flags.Duration("every", 1500*time.Millisecond, "wait before each entry")
	record := flags.String("record", "", "WAV `file` for what is heard (left) and said (right)")
	length := flags.Duration("for", 0, "hang up so long after the answer (0: when the other side does)")
	say := flags.String("say", "", "WAV `file` (8 kHz mono) to say over and over")
	tone := flags.Float64("tone", 0, "tone to say, in `Hz`, where no file is")
	from := flags.String("from", "caller", "user part of our own address")
	verbose := flags.Bool("v", false, "show the log")
	rest, err := parse(flags, env, args, 1)
	if err != nil {
		return err
	}
	uri, network, err := target(rest[0])
	if err != nil {
		return err
	}
	o := phone.CallOptions{URI: uri, Every: *every, For: *length}
	if *press == "-" {
		if *press, err = ask(context.Background(), env, "keys"); err != nil {
			return err
		}
	}
	if *press != "" {
		o.Press = strings.Split(*press, ",")
	}
	if o.Say, err = voice(*say, *tone); err != nil {
		return err
	}
	if *record != "" {
		file, err := os.Create(*record)
		if err != nil {
			return err
		}
		defer file.Close()
		o.Record = file
	}
	return placeCall(env, o, network, *from, toolLog(env.err, *verbose))
}

func placeCall(env environment, o phone.CallOptions, network, from string, log *slog.Logger) error {
	address, err := phone.AddressToward(hostOf(o.URI))
	if err != nil {
		return err
	}
	p, err := phone.New(phone.Options{Address: address, Network: network, User: from, Log: log})
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	result, err := p.Call(ctx, o)
	if err := errors.Join(err, p.Close()); err != nil {
		return err
	}
	if !result.Answered {
		return fmt.Errorf("%w: %d %s", errNotAnswered, result.End.Code, result.End.Reason)
	}
	_, err = fmt.Fprintf(env.out, "answered after %v, talked %v, ended by %s; %d packets heard, %d sent\n",
		result.Setup.Round(time.Millisecond), result.Talk.Round(time.Millisecond), result.End.By,
		result.Media.PacketsIn, result.Media.PacketsOut)
	return err
}

// target checks the address of a call and tells the transport it asks for.
func target(uri string) (clean, network string, err error) {
	if !strings.HasPrefix(uri, "sip:") {
		uri = "sip:" + uri
	}
	if !strings.Contains(uri, "@") {
		return "", "", fmt.Errorf("%w: %q is not sip:NUMBER@HOST", errUsage, uri)
	}
	network = "udp"
	if strings.Contains(strings.ToLower(uri), ";transport=tcp") {
		network = "tcp"
	}
	return uri, network, nil
}

// hostOf gives host or host:port of sip:USER@HOST;params.
func hostOf(uri string) string {
	_, host, _ := strings.Cut(uri, "@")
	host, _, _ = strings.Cut(host, ";")
	return host
}

// voice gives what to say: a file, a tone, or nothing.
func voice(file string, hertz float64) (*media.Clip, error) {
	switch {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		clip, err := media.LoadClip(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return clip, nil
	case hertz > 0:
		// A second of whole hertz is a whole number of waves: it loops without a click.
		return media.Tone(float64(int(hertz)), time.Second), nil
	}
	return nil, nil
}

// toolLog is the log of a subcommand that is not a server.
func toolLog(w io.Writer, verbose bool) *slog.Logger {
	if !verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
