package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Callers gives out what is held about a caller. Room cmd makes it of the
// database's and the node's recordings.
type Callers interface {
	// Export tells the audit who asks for what is held about a number, given by its
	// hash, and gives what writes that as a ZIP file.
	Export(ctx context.Context, by By, hash string) (write func(io.Writer) error, err error)
}

// exportTimeout is how long one export may take: with what a caller said it can be
// many megabytes.
const exportTimeout = 10 * time.Minute

type callerAPI struct {
	callers Callers
	hash    func(number string) string
	log     *slog.Logger
	one     chan struct{} // exports are made one at a time: calls need the machine too
}

// export answers with a ZIP file. The number comes in the body, as for a search, and
// goes no further than its hash.
func (a *callerAPI) export(w http.ResponseWriter, r *http.Request) {
	if a.callers == nil {
		fail(w, errNoStore)
		return
	}
	var body struct {
		Caller string `json:"caller"`
	}
	bad := readJSON(r, &body)
	hash := ""
	if bad == nil {
		hash, bad = hashOf(a.hash, body.Caller)
	}
	if bad != nil {
		fail(w, bad)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), exportTimeout)
	defer cancel()
	select {
	case a.one <- struct{}{}:
		defer func() { <-a.one }()
	case <-time.After(searchTimeout):
		fail(w, &apiError{http.StatusServiceUnavailable, "busy", "another export is being made; try again"})
		return
	case <-ctx.Done():
		return
	}
	write, err := a.callers.Export(ctx, by(r), hash)
	if err == nil {
		err = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(exportTimeout))
	}
	if err != nil {
		a.log.Error("export of what is held about a caller failed", "err", err)
		fail(w, errStoreAway)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="caller.zip"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if err := write(w); err != nil {
		a.log.Warn("an export of what is held about a caller was not taken whole", "err", err)
		panic(http.ErrAbortHandler)
	}
}
