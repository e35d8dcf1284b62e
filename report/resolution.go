package report

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
)

// First-contact resolution, by proxy. A first contact is a talk on a subject (a
// queue) by a caller who had none on it in the 7 days before. It is resolved
// if he does not call about it again in the 7 days after, whether or not that
// call is answered; a contact whose 7 days are not over yet is not counted
// either way, or the last days would look better than they are.

const callsAgain = 7 * 24 * time.Hour

// contacts is what is known of callers on subjects. Keys are hashed: there may be
// a million of them.
type contacts struct {
	g      *gathering
	t      *tally
	seed   maphash.Seed
	seen   map[uint64]*contact
	judged time.Time // contacts from here on have days left
}

type subject struct{ caller, queue string }

// contact is a caller's last talk on a subject, and the first contact that
// is not resolved yet.
type contact struct {
	talked time.Time
	first  time.Time // zero if none is open
	call   uint64    // of the first contact
	row    *Row
}

func (g *gathering) resolution(ctx context.Context, t *tally) error {
	c := contacts{g: g, t: t, seed: maphash.MakeSeed(), seen: make(map[uint64]*contact), judged: g.now.Add(-callsAgain)}
	if err := read(g.Source.Visits(ctx, g.q.From.Add(-callsAgain), g.q.To.Add(callsAgain)), c.visit); err != nil {
		return err
	}
	for _, known := range c.seen {
		c.close(known, true)
	}
	return nil
}

func (c *contacts) visit(v store.Visit) {
	if v.CallerHash == "" {
		return
	}
	key := maphash.Comparable(c.seed, subject{v.CallerHash, v.Queue})
	call := maphash.String(c.seed, v.Call)
	known := c.seen[key]
	if known == nil {
		known = &contact{}
		c.seen[key] = known
	}
	if !known.first.IsZero() && call != known.call {
		c.close(known, v.Joined.Sub(known.first) > callsAgain)
	}
	if v.Result != event.Answered {
		return
	}
	if known.talked.IsZero() || v.Joined.Sub(known.talked) > callsAgain {
		c.open(known, v, call)
	}
	known.talked = v.Joined
}

func (c *contacts) open(known *contact, v store.Visit, call uint64) {
	if c.g.calendar.whole.has(v.Joined) && !v.Joined.After(c.judged) {
		known.first, known.call = v.Joined, call
		known.row = c.t.row(v.Joined, c.g.valuesOf(v))
	}
}

// close counts the first contact that is open, if one is.
func (c *contacts) close(known *contact, resolved bool) {
	if !known.first.IsZero() {
		known.row.contacted(resolved)
		known.first, known.row = time.Time{}, nil
	}
}
