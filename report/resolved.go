package report

import (
	"context"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// First-contact resolution, by proxy. A first contact is a talk on a subject (a
// queue) by a caller who had none on it in the 7 days before. It is resolved
// if he does not call about it again in the 7 days after, whether or not that
// call is answered; a contact whose 7 days are not over yet is not counted
// either way, or the last days would look better than they are.

const callsAgain = 7 * 24 * time.Hour

func (g *gathering) resolution(ctx context.Context, t *tally) error {
	to := g.q.To
	if judged := g.now.Add(-callsAgain).Truncate(time.Millisecond).Add(time.Millisecond); judged.Before(to) {
		to = judged // contacts from here on have days left
	}
	return read(g.Source.FirstContacts(ctx, g.q.From, to, callsAgain), func(c store.FirstContact) {
		t.row(c.Joined, g.valuesOf(c.Visit)).contacted(!c.Again)
	})
}
