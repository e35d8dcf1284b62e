package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/bugle-voice/bugle/store"
)

// Traces gives what was said in calls. Room cmd makes it of sip's and the database's.
type Traces interface {
	// Trace gives what this node keeps of a call, by its id or a SIP Call-ID; nil if
	// it keeps nothing.
	Trace(id string) Trace
	// NodeOf gives the node that has or had a call; store.ErrUnknownCall.
	NodeOf(ctx context.Context, call string) (string, error)
}

// Trace is the messages of a call, masked. As JSON it is what it marshals to.
type Trace interface {
	// Call gives the call's id, "" if none came of the messages.
	Call() string
	// WriteText writes it for people to read.
	WriteText(w io.Writer) error
}

type traceAPI struct {
	traces Traces
	node   string
	audit  *auditing
	log    *slog.Logger
}

// show answers with the messages of a call: as JSON, or, for format=text or who takes
// text/plain first, as text. The audit is told, masked as they are. It is not told a
// SIP Call-ID: that is the far end's to choose, and may be a caller's number.
func (a *traceAPI) show(w http.ResponseWriter, r *http.Request) {
	get, bad := parameters(r.URL.RawQuery, "format")
	format := ""
	if bad == nil {
		format, bad = traceFormat(get("format"), r.Header.Get("Accept"))
	}
	if bad != nil {
		fail(w, bad)
		return
	}
	trace := a.traces.Trace(r.PathValue("id"))
	call, detail := "", ""
	var missing *apiError
	if trace != nil {
		call = trace.Call()
	} else {
		call, missing = a.elsewhere(r.Context(), r.PathValue("id"))
		detail = "nothing kept"
	}
	object := "messages of no call"
	if call != "" {
		object = "call " + call
	}
	if !a.audit.tell(r, "call.trace", object, detail) {
		fail(w, errNoAudit)
		return
	}
	if missing != nil {
		fail(w, missing)
		return
	}
	if format == "json" {
		reply(w, http.StatusOK, trace)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if err := trace.WriteText(w); err != nil {
		a.log.Debug("a trace was not taken whole", "err", err) // the client went away
	}
}

func traceFormat(asked, accept string) (string, *apiError) {
	switch asked {
	case "json", "text":
		return asked, nil
	case "":
		if strings.HasPrefix(accept, "text/plain") {
			return "text", nil
		}
		return "json", nil
	}
	return "", &apiError{http.StatusBadRequest, "bad_format", "format is json or text"}
}

// elsewhere says why there is nothing to show, and where there may be, and gives the id
// if it is that of a call we know.
func (a *traceAPI) elsewhere(ctx context.Context, id string) (call string, why *apiError) {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	node, err := a.traces.NodeOf(ctx, id)
	switch {
	case err == nil && node != a.node:
		return id, &apiError{http.StatusNotFound, "other_node", "no trace of that call here: it was on node " + node}
	case err == nil:
		return id, &apiError{http.StatusNotFound, "no_trace", "no trace of that call here any more: later calls have taken its place, or the node was started since"}
	case !errors.Is(err, store.ErrUnknownCall):
		a.log.Warn("where a call was can't be looked up", "err", err)
	}
	return "", &apiError{http.StatusNotFound, "no_trace", "no trace of that call here"}
}
