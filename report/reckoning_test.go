package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/store"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Promises in the metrics are of the last seven days, and those that nobody settled
// are among them: were they not, all would be kept where nobody calls.
func TestPromisesThatNobodySettledAreExported(t *testing.T) {
	now := clock(20, 12, 0)
	owed := func(due, settled time.Time, result store.FollowUpResult) store.FollowUp {
		return store.FollowUp{Queue: "claims", Language: "en", DueTo: due, Settled: settled, Result: result}
	}
	week := 7 * 24 * time.Hour
	w := &written{followUps: []store.FollowUp{
		owed(now.Add(-week-time.Millisecond), time.Time{}, ""), // before the seven days
		owed(now.Add(-week), now.Add(-week), store.FollowUpDone),
		owed(now.Add(-time.Hour), time.Time{}, ""), // nobody called
		owed(now.Add(-time.Hour), now.Add(-time.Minute), store.FollowUpDone),
		owed(now.Add(-time.Hour), now.Add(-time.Minute), store.FollowUpExpired),
		owed(now.Add(-time.Hour), now.Add(-time.Minute), store.FollowUpErased),
		owed(now.Add(-time.Minute), now.Add(-time.Hour), store.FollowUpDone),
		owed(now, now.Add(-time.Hour), store.FollowUpDone), // its window goes on
	}}
	p := NewPromises(&Reporter{Source: w})
	if n := testutil.CollectAndCount(p); n != 0 {
		t.Errorf("%d metrics before it has been reckoned", n)
	}
	if err := p.Update(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := testutil.CollectAndCompare(p, strings.NewReader(`
# HELP bugle_promises_due Callbacks and other follow-ups whose window ended in the last seven days, settled or not; the same on every node.
# TYPE bugle_promises_due gauge
bugle_promises_due{language="en",queue="claims"} 5
# HELP bugle_promises_kept Of these, done in their window; the same on every node.
# TYPE bugle_promises_kept gauge
bugle_promises_kept{language="en",queue="claims"} 2
`)); err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	if err := NewResolution(&Reporter{Source: &written{fails: broken}}).Update(t.Context(), now); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
