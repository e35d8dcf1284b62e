package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/web"
)

// followUps shows the calls we owe, and lets who works them off take one and say
// how it ended. Only taking one shows a number.
func followUps(env environment, args []string) error {
	flags := flag.NewFlagSet("followups", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	days := flags.Int("days", 7, "list: due up to so many `days` ahead, and with -all ago; what is overdue is always listed")
	all := flags.Bool("all", false, "list: those that are settled too")
	hold := flags.Duration("for", 30*time.Minute, "claim: nobody else gets it for this `time`")
	flags.SetOutput(env.err)
	rest, err := parseAny(flags, args)
	if err != nil {
		return err
	}
	var do func(context.Context, *config.Config, *store.Store) error
	switch what := strings.Join(rest[:min(1, len(rest))], ""); {
	case what == "list" && len(rest) == 1:
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error {
			return listFollowUps(ctx, env, s, *days, *all)
		}
	case what == "claim" && len(rest) == 2:
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error {
			return claimFollowUp(ctx, env, s, rest[1], *hold)
		}
	case what == "settle" && len(rest) == 3 && store.FollowUpResult(rest[2]).ByHand():
		do = func(ctx context.Context, _ *config.Config, s *store.Store) error {
			return s.CloseFollowUp(ctx, operator(), rest[1], store.FollowUpResult(rest[2]))
		}
	default:
		return fmt.Errorf("%w: neither list, claim ID nor settle ID done|failed|dropped", errUsage)
	}
	return withStore(env, *path, do)
}

// listFollowUps prints those that are due first, first.
func listFollowUps(ctx context.Context, env environment, s *store.Store, days int, all bool) error {
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tKIND\tQUEUE\tLANGUAGE\tPLACE\tDUE\tATTEMPTS\tHOLDER\tRESULT")
	now, span := time.Now(), time.Duration(days)*24*time.Hour
	q := store.FollowUpSearch{Until: now.Add(span)}
	if all {
		q.Settled = now.Add(-span)
	}
	for {
		page, err := s.OwedFollowUps(ctx, q)
		if err != nil {
			return err
		}
		for _, f := range page.FollowUps {
			holder := f.Holder
			if f.Settled.IsZero() && f.HeldTo.Before(now) {
				holder = ""
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", f.ID, f.Kind, f.Queue, f.Language,
				f.Place.Format(time.DateTime), f.DueTo.Format(time.DateTime), f.Attempts, holder, f.Result)
		}
		if err := w.Flush(); err != nil || page.Next == "" {
			return err
		}
		q.After = page.Next
	}
}

func claimFollowUp(ctx context.Context, env environment, s *store.Store, id string, hold time.Duration) error {
	f, err := s.TakeFollowUp(ctx, operator(), id, hold)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.out, "call %s, %s, language %s, who has waited since %s; then: bugle followups settle %s done\n",
		f.Caller.Reveal(), f.Queue, f.Language, f.Place.Format(time.DateTime), f.ID)
	return err
}

// owed is the calls we owe as the API has them.
type owed struct {
	store  *store.Store
	events event.Emitter
}

func (o owed) Owed(ctx context.Context, q store.FollowUpSearch) (store.FollowUpPage, error) {
	return o.store.OwedFollowUps(ctx, q)
}

func (o owed) Claim(ctx context.Context, by web.By, id string, hold time.Duration) (store.FollowUp, error) {
	return o.store.TakeFollowUp(ctx, storeBy(by), id, hold)
}

func (o owed) Settle(ctx context.Context, by web.By, id string, result store.FollowUpResult) error {
	f, err := o.store.FollowUp(ctx, id)
	if err == nil {
		err = o.store.CloseFollowUp(ctx, storeBy(by), id, result)
	}
	if err == nil {
		o.events.Emit("", event.FollowUpSettled{FollowUp: f.ID, Queue: f.Queue, Language: f.Language, Result: string(result), DueTo: f.DueTo})
	}
	return err
}
