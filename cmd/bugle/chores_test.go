package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("the database is down")

// A chore that fails, or hangs, is tried again in a minute, not in a day.
func TestChoresThatFailAreTriedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := &bytes.Buffer{}
		n := &node{log: slog.New(slog.NewTextHandler(said, nil))}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Hour)
		defer cancel()
		var at []time.Duration
		began := time.Now()
		err := n.keepDoing(ctx, chore{"sweeping", time.Minute, 24 * time.Hour, 5 * time.Minute, func(ctx context.Context, now time.Time) error {
			at = append(at, now.Sub(began))
			switch len(at) {
			case 1:
				return errDown
			case 2:
				<-ctx.Done() // as a database does that has gone away without a word
				return ctx.Err()
			}
			return nil
		}})
		const m = time.Minute
		if want := []time.Duration{m, 2 * m, 8 * m, 24*time.Hour + 8*m}; err != nil || !slices.Equal(at, want) {
			t.Errorf("done at %v, want %v; %v", at, want, err)
		}
		if n := strings.Count(said.String(), "sweeping"); n != 2 {
			t.Errorf("told %d times of 2 failures: %s", n, said)
		}
	})
}

// Who was cut off is owed a call as soon as the database is there; until then that
// is told once a minute.
func TestOwingWaitsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := &bytes.Buffer{}
		n := &node{log: slog.New(slog.NewTextHandler(said, nil))}
		began, tries := time.Now(), 0
		err := n.untilDone(t.Context(), func(ctx context.Context) (bool, error) {
			if tries++; tries == 2 {
				<-ctx.Done()
			}
			if time.Since(began) < 10*time.Minute {
				return false, errDown
			}
			return true, nil
		})
		if took := time.Since(began); err != nil || took > 11*time.Minute {
			t.Errorf("done after %v, %v", took, err)
		}
		if n := strings.Count(said.String(), "not called back yet"); n < 8 || n > 10 {
			t.Errorf("told %d times in ten minutes, in %d tries", n, tries)
		}
	})
}
