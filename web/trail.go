package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// Trail is the audit as it can be read. *store.Store is the one of a running node.
type Trail interface {
	// Trail gives a page of the entries that fit, latest first, or
	// store.ErrBadPage.
	Trail(ctx context.Context, q store.EntrySearch) (store.EntryPage, error)
}

type trailAPI struct {
	trail Trail
	audit *auditing
	zone  *time.Location
	log   *slog.Logger
}

// list answers {"entries": […], "next": "…"}; next, given back as after, asks for the
// page that follows. That the audit was read stands in it.
func (a *trailAPI) list(w http.ResponseWriter, r *http.Request) {
	if a.trail == nil {
		fail(w, errNoStore)
		return
	}
	get, bad := parameters(r.URL.RawQuery, "from", "to", "actor", "action", "object", "limit", "after")
	if bad != nil {
		fail(w, bad)
		return
	}
	q := store.EntrySearch{Actor: get("actor"), Action: get("action"), Object: get("object"), After: get("after")}
	if q.Limit, bad = limit(get("limit")); bad == nil {
		q.From, q.To, bad = span(get("from"), get("to"), a.zone)
	}
	if bad != nil {
		fail(w, bad)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), searchTimeout)
	defer cancel()
	if !a.audit.tell(r.WithContext(ctx), "audit.read", "audit", q.String()) {
		fail(w, errNoAudit)
		return
	}
	page, err := a.trail.Trail(ctx, q)
	switch {
	case errors.Is(err, store.ErrBadPage):
		fail(w, errBadAfter)
		return
	case err != nil:
		a.log.Error("reading the audit failed", "err", err)
		fail(w, errStoreAway)
		return
	}
	reply(w, http.StatusOK, struct {
		Entries []store.Entry `json:"entries"`
		Next    string        `json:"next,omitempty"`
	}{append([]store.Entry{}, page.Entries...), page.Next})
}
