package event

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestSyncIsGroupedAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{})
		defer l.Close()
		began := time.Now()
		for range 30 { // over 30 ms
			l.Emit("c", CallAnswered{})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		if s := d.syncs(); len(s) != 1 || s[0].Sub(began) > 50*time.Millisecond {
			t.Errorf("syncs at %v after %v", s, began)
		}
		for range 100 { // over a second
			l.Emit("c", CallAnswered{})
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(d.syncs()) - 1; n < 20 || n > 25 {
			t.Errorf("%d syncs in a second of writing", n)
		}
	})
}

func TestEmitSyncDoesNotWaitForTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{})
		defer l.Close()
		for range 20 {
			l.Emit("c", CallAnswered{})
			began := time.Now()
			if err := l.EmitSync(t.Context(), "c", CallAnswered{}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 0 {
				t.Fatalf("it waited %v", took)
			}
		}
		if n := len(d.syncs()); n != 20 {
			t.Errorf("%d syncs for 20 EmitSync", n)
		}
	})
}

// Those who come while a sync runs share the next one; who will not wait so long
// goes, and the others are none the worse.
func TestEmitSyncShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hold: make(chan struct{})}
		l := startTest(t, d, Options{})
		defer l.Close()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := l.EmitSync(t.Context(), "c", CallAnswered{}); err != nil {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.EmitSync(ctx, "c", CallAnswered{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ended gives %v", err)
		}
		close(d.hold)
		wg.Wait()
		if n := len(d.syncs()); n > 2 {
			t.Errorf("%d syncs for 50 at once", n)
		}
	})
}

func TestAFailedSyncStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{broken: true}
		l := startTest(t, d, Options{})
		if err := l.EmitSync(t.Context(), "c", CallAnswered{}); !errors.Is(err, syscall.EIO) {
			t.Errorf("EmitSync: %v", err)
		}
		d.change(func() { d.broken = false })
		if err := l.EmitSync(t.Context(), "c", CallAnswered{}); !errors.Is(err, syscall.EIO) {
			t.Errorf("EmitSync after a sync that failed: %v", err)
		}
		if err := l.Healthy(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Healthy: %v", err)
		}
		if n := testutil.ToFloat64(l.metrics.syncErrors); n != 1 {
			t.Errorf("%v failed syncs are counted", n)
		}
		if err := l.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestCloseSyncsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{})
		l.Emit("c", CallAnswered{})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(d.syncs()); n != 1 {
			t.Errorf("%d syncs", n)
		}
		if diff := cmp.Diff([]Fact{CallAnswered{}, NodeStopped{"n1"}}, d.facts(t)); diff != "" {
			t.Errorf("want (-), the log holds (+):\n%s", diff)
		}
	})
}
