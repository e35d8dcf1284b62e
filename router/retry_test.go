package router

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestInsist(t *testing.T) {
	away := errors.New("redis is away")
	// A step that fails as often as said, and counts how often it was taken.
	failing := func(times int, taken *int) func(context.Context) error {
		return func(context.Context) error {
			*taken++
			if *taken <= times {
				return away
			}
			return nil
		}
	}
	tests := []struct {
		name  string
		first func(taken *int) func(context.Context) error
		then  func(d *desk)
		want  int
	}{
		{"done at once", func(n *int) func(context.Context) error { return failing(0, n) }, nil, 1},
		{"done at last", func(n *int) func(context.Context) error { return failing(3, n) }, nil, 4},
		{"nothing to do", func(n *int) func(context.Context) error {
			return func(context.Context) error { *n++; return ErrStale }
		}, nil, 1},
		{"void by a newer step", func(n *int) func(context.Context) error { return failing(100, n) },
			func(d *desk) { d.insist("v1", "newer", func(context.Context) error { return nil }) }, 3},
		{"not void by another's", func(n *int) func(context.Context) error { return failing(4, n) },
			func(d *desk) { d.insist("v2", "other", func(context.Context) error { return nil }) }, 5},
		{"given up at the end", func(n *int) func(context.Context) error { return failing(100, n) },
			func(d *desk) { d.Close() }, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			virtual(t, func(d *desk) {
				taken := 0
				d.insist("v1", "step", tt.first(&taken))
				time.Sleep(2*retryEvery + retryEvery/2)
				if tt.then != nil {
					tt.then(d)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if taken != tt.want {
					t.Errorf("taken %d times, want %d", taken, tt.want)
				}
				if len(d.retries) > 0 {
					t.Errorf("%d retries are remembered", len(d.retries))
				}
			})
		})
	}
}
