package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/bugle-voice/bugle/report"
)

// Reports makes what /api/v1/report shows. *report.Reporter is the one of a
// running node.
type Reports interface {
	// Report gives report.ErrRequest if what is asked for can't be.
	Report(ctx context.Context, q report.Query) (*report.Report, error)
}

// reportTimeout is how long the making of one report may take: it leaves time to
// write it before the server's own limit.
const reportTimeout = 20 * time.Second

type reportAPI struct {
	reports Reports
	zone    *time.Location
	log     *slog.Logger
	one     chan struct{} // reports are made one at a time: calls need the machine too
}

func newReportAPI(o Options, log *slog.Logger) *reportAPI {
	return &reportAPI{reports: o.Reports, zone: o.zone(), log: log, one: make(chan struct{}, 1)}
}

// errNoStore is the answer of a node that has no database.
var errNoStore = &apiError{http.StatusServiceUnavailable, "no_store", "this node has no database"}

// errStoreAway is the answer while the database can't be asked.
var errStoreAway = &apiError{http.StatusServiceUnavailable, "unavailable", "the database can't be reached now"}

// errBadAfter is the answer to who asks for the page after one that there was not.
var errBadAfter = &apiError{http.StatusBadRequest, "bad_after", "after is not the next of a page"}

// show makes a report and writes it. What is wrong with the question is told in
// full, what is wrong with us is logged.
func (a *reportAPI) show(w http.ResponseWriter, r *http.Request) {
	if a.reports == nil {
		fail(w, errNoStore)
		return
	}
	query, format, bad := a.read(r.URL.RawQuery)
	if bad != nil {
		fail(w, bad)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), reportTimeout)
	defer cancel()
	select {
	case a.one <- struct{}{}:
		defer func() { <-a.one }()
	case <-ctx.Done():
		fail(w, &apiError{http.StatusServiceUnavailable, "busy", "other reports are being made; try again"})
		return
	}
	made, err := a.reports.Report(ctx, query)
	if err != nil {
		fail(w, a.explain(ctx, err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if format == report.CSV {
		h.Set("Content-Type", "text/csv; charset=utf-8")
		h.Set("Content-Disposition", `attachment; filename="report.csv"`)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if err := made.Write(w, format); err != nil {
		a.log.Debug("a report was not taken whole", "err", err) // the client went away
	}
}

func (a *reportAPI) read(raw string) (report.Query, report.Format, *apiError) {
	get, bad := parameters(raw, "from", "to", "interval", "by", "format", "resolution")
	if bad != nil {
		return report.Query{}, "", bad
	}
	format := report.JSON
	switch get("format") {
	case "", "json":
	case "csv":
		format = report.CSV
	default:
		return report.Query{}, "", &apiError{http.StatusBadRequest, "bad_format", "format is json or csv"}
	}
	switch get("resolution") {
	case "", "true", "false":
	default:
		return report.Query{}, "", &apiError{http.StatusBadRequest, "bad_resolution", "resolution is true or false"}
	}
	query, err := report.Request{
		From: get("from"), To: get("to"), Interval: get("interval"), By: get("by"), Resolution: get("resolution") == "true",
	}.Query(a.zone, time.Now())
	if err != nil {
		return report.Query{}, "", &apiError{http.StatusBadRequest, "bad_request", err.Error()}
	}
	return query, format, nil
}

func (a *reportAPI) explain(ctx context.Context, err error) *apiError {
	switch {
	case errors.Is(err, report.ErrRequest):
		return &apiError{http.StatusBadRequest, "bad_request", err.Error()}
	case ctx.Err() != nil:
		return &apiError{http.StatusServiceUnavailable, "too_long", "the report takes too long here: ask for less, or use bugle report"}
	default:
		a.log.Error("report failed", "err", err)
		return errStoreAway
	}
}

// parameters reads a query string. One that is not known is refused: a
// misspelt condition that counts for nothing gives a wrong answer that looks
// right.
func parameters(raw string, known ...string) (get func(name string) string, bad *apiError) {
	given, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &apiError{http.StatusBadRequest, "bad_query", "the query string can't be read"}
	}
	for name, values := range given {
		if !slices.Contains(known, name) {
			return nil, &apiError{http.StatusBadRequest, "unknown_parameter", "there is no parameter " + strconv.Quote(name)}
		}
		if len(values) > 1 {
			return nil, &apiError{http.StatusBadRequest, "given_twice", "the parameter " + name + " is given twice"}
		}
	}
	return given.Get, nil
}
