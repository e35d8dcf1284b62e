package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/bugle-voice/bugle/config"
)

// serve runs a node until it is told to stop.
func serve(env environment, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	if _, err := parse(flags, env, args, 0); err != nil {
		return err
	}
	site, err := loadSite(*path, env.err)
	if err != nil {
		return err
	}
	log := newLog(env.err, site.config.Log)
	if besideItsData(site.config) {
		log.Warn("the keyset lies in data_dir, beside what is sealed with it: who has a copy of that folder can read everything. Move it, and name it in vault.keyset",
			"data_dir", site.config.DataDir)
	}
	return runNode(site, log, nil)
}

// runNode runs a node. The first SIGINT or SIGTERM drains it: no new calls,
// those that are there go on for at most the configured time. The second ends
// it at once. started is called when it serves.
func runNode(site *site, log *slog.Logger, started func(*node)) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	n, err := newNode(site, log)
	if err != nil {
		return err
	}
	n.start()
	log.Info("serving", "node", site.config.Node, "sip", n.sip.Addrs(), "http", n.web.Addr(), "version", version)
	if started != nil {
		started(n)
	}
	select {
	case s := <-signals:
		log.Info("draining: no new calls", "signal", s.String(), "calls", n.calls.Active(), "limit", site.config.Drain.D())
	case err = <-n.failed:
	}
	limit, cancel := context.WithTimeout(context.Background(), site.config.Drain.D())
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-limit.Done():
		}
	}()
	return errors.Join(err, n.stop(limit))
}

// newLog makes the node's own log.
func newLog(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the configuration's check allows only known levels
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
