package main

import (
	"context"
	"flag"
	"fmt"
	"time"
	_ "time/tzdata" // time_zone works on a machine without time zones

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/report"
	"github.com/bugle-voice/bugle/store"
)

// reportOn prints figures of what has been written down, by interval.
func reportOn(env environment, args []string) error {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	var asked report.Request
	flags.StringVar(&asked.From, "from", "", "first `day` (2026-03-01) or moment (2026-03-01T08:30), in the site's time zone; default: today")
	flags.StringVar(&asked.To, "to", "", "last `day`, or the moment before which it ends; default: the day it begins on")
	flags.StringVar(&asked.Interval, "interval", "15m", "what a line stands for: 15m, 30m, 60m, day, or none")
	flags.StringVar(&asked.By, "by", "", "a line for each value of `queue,language`,tier,number,agent,class")
	flags.BoolVar(&asked.Resolution, "resolution", false, "first-contact resolution too; reads 7 days before and after")
	form := flags.String("format", "table", "csv, json or table")
	if _, err := parse(flags, env, args, 0); err != nil {
		return err
	}
	format, err := report.ParseFormat(*form)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return withStore(env, *path, func(ctx context.Context, c *config.Config, s *store.Store) error {
		query, err := asked.Query(c.Zone(), time.Now())
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		r := report.Reporter{Source: s, Queues: c.Queues, Zone: c.Zone()}
		made, err := r.Report(ctx, query)
		if err != nil {
			return err
		}
		return made.Write(env.out, format)
	})
}
