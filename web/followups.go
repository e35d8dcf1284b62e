package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// FollowUps is what the API needs of where the calls we owe are kept. Each act
// tells the audit, or is not done.
type FollowUps interface {
	// Owed gives a page of those that fit; store.ErrBadPage.
	Owed(ctx context.Context, q store.FollowUpSearch) (store.FollowUpPage, error)
	// Claim takes one for a time and gives it with the number to call;
	// store.ErrUnknownFollowUp, store.ErrNotHeld.
	Claim(ctx context.Context, by By, id string, hold time.Duration) (store.FollowUp, error)
	// Settle says how one ended. Errors as of Claim.
	Settle(ctx context.Context, by By, id string, result store.FollowUpResult) error
}

// FollowUp is a call we owe as the API shows it.
type FollowUp struct {
	ID       string         `json:"id"`
	Kind     string         `json:"kind"` // callback, interrupted, promised
	Call     string         `json:"call,omitempty"`
	Queue    string         `json:"queue"`
	Language string         `json:"language"`
	Requires map[string]int `json:"requires"`
	Number   string         `json:"number,omitempty"` // to call; only for who has claimed it
	Place    time.Time      `json:"place"`            // since when its place in line is held
	DueFrom  time.Time      `json:"due_from"`
	DueTo    time.Time      `json:"due_to"`
	Attempts int            `json:"attempts"`
	Holder   string         `json:"holder,omitempty"`
	HeldTo   time.Time      `json:"held_to,omitzero"`
	Settled  time.Time      `json:"settled,omitzero"`
	Result   string         `json:"result,omitempty"`
}

func shownFollowUp(f store.FollowUp) FollowUp {
	return FollowUp{
		ID: f.ID, Kind: string(f.Kind), Call: f.Call, Queue: f.Queue, Language: f.Language, Requires: f.Requires,
		Place: f.Place, DueFrom: f.DueFrom, DueTo: f.DueTo, Attempts: f.Attempts,
		Holder: f.Holder, HeldTo: f.HeldTo, Settled: f.Settled, Result: string(f.Result),
	}
}

type followUpAPI struct {
	owed FollowUps
	log  *slog.Logger
}

const (
	defaultDays  = 7
	mostDays     = 3660
	defaultClaim = 30 * time.Minute
	longestClaim = 24 * time.Hour
)

// list answers {"follow_ups": […], "next": "…"}: all that is owed and due within so
// many days from now, however long overdue, and if asked for what was due within so
// many days before now and is settled. Next, given back as after, asks for more.
func (a *followUpAPI) list(w http.ResponseWriter, r *http.Request) {
	days, err := strconv.Atoi(r.FormValue("days"))
	if r.FormValue("days") == "" {
		days, err = defaultDays, nil
	}
	if err != nil || days < 1 || days > mostDays {
		fail(w, &apiError{http.StatusBadRequest, "bad_days", "days is a number from 1 to " + strconv.Itoa(mostDays)})
		return
	}
	now, span := time.Now(), time.Duration(days)*24*time.Hour
	q := store.FollowUpSearch{Until: now.Add(span), After: r.FormValue("after")}
	if r.FormValue("all") == "true" {
		q.Settled = now.Add(-span)
	}
	var bad *apiError
	if q.Limit, bad = limit(r.FormValue("limit")); bad != nil {
		fail(w, bad)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	page, err := a.owed.Owed(ctx, q)
	if err != nil {
		fail(w, a.explain(err))
		return
	}
	answer := struct {
		FollowUps []FollowUp `json:"follow_ups"`
		Next      string     `json:"next,omitempty"`
	}{make([]FollowUp, len(page.FollowUps)), page.Next}
	for i, f := range page.FollowUps {
		answer.FollowUps[i] = shownFollowUp(f)
	}
	reply(w, http.StatusOK, answer)
}

func (a *followUpAPI) claim(w http.ResponseWriter, r *http.Request) {
	var body struct {
		For string `json:"for"`
	}
	if err := readJSON(r, &body); err != nil {
		fail(w, err)
		return
	}
	hold := defaultClaim
	if body.For != "" {
		var err error
		if hold, err = time.ParseDuration(body.For); err != nil || hold <= 0 || hold > longestClaim {
			fail(w, &apiError{http.StatusBadRequest, "bad_for", "for is a length of time up to 24h, such as 30m"})
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	f, err := a.owed.Claim(ctx, by(r), r.PathValue("id"), hold)
	if err != nil {
		fail(w, a.explain(err))
		return
	}
	shown := shownFollowUp(f)
	shown.Number = f.Caller.Reveal()
	reply(w, http.StatusOK, shown)
}

func (a *followUpAPI) settle(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Result store.FollowUpResult `json:"result"`
	}
	if err := readJSON(r, &body); err != nil {
		fail(w, err)
		return
	}
	if !body.Result.ByHand() {
		fail(w, &apiError{http.StatusBadRequest, "bad_result", "result is done, failed or dropped"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if err := a.owed.Settle(ctx, by(r), r.PathValue("id"), body.Result); err != nil {
		fail(w, a.explain(err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *followUpAPI) explain(err error) *apiError {
	switch {
	case errors.Is(err, store.ErrBadPage):
		return &apiError{http.StatusBadRequest, "bad_after", "after is not the next of a page"}
	case errors.Is(err, store.ErrUnknownFollowUp):
		return &apiError{http.StatusNotFound, "unknown_followup", "there is no such follow-up"}
	case errors.Is(err, store.ErrNotHeld):
		return &apiError{http.StatusConflict, "not_held", "it is settled, or somebody else has claimed it"}
	}
	a.log.Error("API request about follow-ups failed", "error", err)
	return &apiError{http.StatusServiceUnavailable, "unavailable", "follow-ups can't be reached now"}
}
