package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Check is one thing that must be well before a node may be sent calls: Redis
// answers, the event log is written, the node is not draining.
type Check struct {
	Name  string
	Check func(ctx context.Context) error // nil if well; must end soon after ctx
}

// checkTimeout is how long one check may take. Load balancers commonly wait 5 s.
const checkTimeout = 2 * time.Second

// alive answers as long as the process does. A failing Redis or a full disk is
// not a reason to restart it, and with it every talk.
func alive(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readiness answers whether every check is well, and logs when that changes.
// Whoever reaches the listener may ask, so the answer names the failing checks
// and the log alone says why: errors tell of addresses and files.
type readiness struct {
	checks []Check
	log    *slog.Logger

	mu     sync.Mutex
	failed map[string]bool // in the last run
}

func (h *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	results := h.run(r.Context())
	answer := struct {
		Ready  bool              `json:"ready"`
		Checks map[string]string `json:"checks"`
	}{true, make(map[string]string, len(results))}
	for i, err := range results {
		answer.Checks[h.checks[i].Name] = "ok"
		if err != nil {
			answer.Ready = false
			answer.Checks[h.checks[i].Name] = "failing"
		}
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, answer)
}

// run does all checks at once and gives their errors in the same order.
func (h *readiness) run(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	results := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { results[i] = try(ctx, c) })
	}
	wg.Wait()
	h.note(results)
	return results
}

// try runs one check; a panic in it is an error of its own.
func try(ctx context.Context, c Check) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.Check(ctx)
}

// note logs what began or ceased to fail.
func (h *readiness) note(results []error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		h.failed = make(map[string]bool)
	}
	for i, err := range results {
		name := h.checks[i].Name
		switch {
		case err != nil && !h.failed[name]:
			h.log.Warn("not ready for calls", "check", name, "err", err)
		case err == nil && h.failed[name]:
			h.log.Info("well again", "check", name)
		}
		h.failed[name] = err != nil
	}
}
