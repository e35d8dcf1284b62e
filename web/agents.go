package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
)

// Agents is what the API needs of the room that keeps agents.
type Agents interface {
	// Agents gives all agents, in the order they are to be shown.
	Agents(ctx context.Context) ([]Agent, error)
	// SetState makes an agent ready or paused, for a reason that is kept with
	// the state. While the agent talks or is rung it takes effect afterwards.
	// Errors are ErrUnknownAgent, ErrNotNow or a fault.
	SetState(ctx context.Context, id, state, reason string) error
	// WrapUpDone ends an agent's time after a call. Errors as of SetState.
	WrapUpDone(ctx context.Context, id string) error
}

// Agent is an agent as the API shows it.
type Agent struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Tier      int            `json:"tier"`              // 1 to 3
	State     string         `json:"state"`             // offline, paused, ready, reserved, talking, wrapup
	Reason    string         `json:"reason,omitempty"`  // of a pause
	Pending   string         `json:"pending,omitempty"` // reason of a pause that begins after the talk
	Since     time.Time      `json:"since,omitzero"`    // in the state
	Visit     string         `json:"visit,omitempty"`   // the queue visit he is rung for, talks with or wraps up
	Languages map[string]int `json:"languages"`         // level 1 to 5
	Skills    map[string]int `json:"skills"`            // level 1 to 5
}

// Errors that Agents gives, wrapped or not; the message of ErrNotNow is shown.
var (
	ErrUnknownAgent = errors.New("unknown agent")           // 404
	ErrNotNow       = errors.New("not in this agent state") // 409: not registered, no wrap-up to end
)

// The states the API takes.
const (
	stateReady      = "ready"
	statePaused     = "paused"
	stateWrapUpDone = "wrapup_done"
)

const maxReason = 64 // characters

// Staff is what the API needs of where agents are kept.
type Staff interface {
	// Put adds an agent or changes one, and RemoveAgent lets one go; both tell
	// the audit, or nothing is done. Errors are BadRequest of what is wrong with
	// the agent, ErrUnknownAgent, or a fault.
	Put(ctx context.Context, by By, id string, a config.Agent) error
	Remove(ctx context.Context, by By, id string) error
}

// BadRequest is a mistake of who asks; its text is shown.
type BadRequest string

func (b BadRequest) Error() string { return string(b) }

type agentAPI struct {
	agents Agents
	staff  Staff
	audit  *auditing
	log    *slog.Logger
}

func (a *agentAPI) list(w http.ResponseWriter, r *http.Request) {
	agents, err := a.agents.Agents(r.Context())
	if err != nil {
		fail(w, a.explain(err, ""))
		return
	}
	if agents == nil {
		agents = []Agent{}
	}
	reply(w, http.StatusOK, map[string][]Agent{"agents": agents})
}

func (a *agentAPI) show(w http.ResponseWriter, r *http.Request) {
	agent, err := a.find(r.Context(), r.PathValue("id"))
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, agent)
}

func (a *agentAPI) find(ctx context.Context, id string) (Agent, *apiError) {
	agents, err := a.agents.Agents(ctx)
	if err != nil {
		return Agent{}, a.explain(err, id)
	}
	at := slices.IndexFunc(agents, func(a Agent) bool { return a.ID == id })
	if at < 0 {
		return Agent{}, a.explain(ErrUnknownAgent, id)
	}
	return agents[at], nil
}

// put answers 204 once the agent is stored; running nodes take him up within
// seconds.
func (a *agentAPI) put(w http.ResponseWriter, r *http.Request) {
	body := struct {
		Name      string         `json:"name"`
		Tier      int            `json:"tier"`
		Languages map[string]int `json:"languages"`
		Skills    map[string]int `json:"skills"`
	}{Tier: 1}
	if err := readJSON(r, &body); err != nil {
		fail(w, err)
		return
	}
	a.store(w, r, func(ctx context.Context, by By, id string) error {
		return a.staff.Put(ctx, by, id, config.Agent{Name: body.Name, Tier: body.Tier, Languages: body.Languages, Skills: body.Skills})
	})
}

func (a *agentAPI) remove(w http.ResponseWriter, r *http.Request) { a.store(w, r, a.staff.Remove) }

// store changes what is kept of the agent that a request names.
func (a *agentAPI) store(w http.ResponseWriter, r *http.Request, change func(ctx context.Context, by By, id string) error) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	id := r.PathValue("id")
	if err := change(ctx, by(r), id); err != nil {
		fail(w, a.explain(err, id))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// storeTimeout is how long a request waits for a change of what is stored.
const storeTimeout = 10 * time.Second

// setState answers 204 once the change is made or noted for after the talk.
func (a *agentAPI) setState(w http.ResponseWriter, r *http.Request) {
	var change struct {
		State  string `json:"state"`
		Reason string `json:"reason"`
	}
	if err := readJSON(r, &change); err != nil {
		fail(w, err)
		return
	}
	if !printable(change.Reason) {
		fail(w, &apiError{http.StatusBadRequest, "bad_reason", fmt.Sprintf("a reason is at most %d printable characters", maxReason)})
		return
	}
	switch change.State {
	case stateReady, statePaused, stateWrapUpDone:
	default:
		fail(w, &apiError{http.StatusBadRequest, "bad_state", "state is ready, paused or wrapup_done"})
		return
	}
	id := r.PathValue("id")
	if own, only := callerOf(r).onlyOf(store.RoleSupervisor); only && own != id {
		fail(w, &apiError{http.StatusForbidden, "forbidden", "an agent changes his own state only"})
		return
	}
	// The audit can't be made to forget: what stands in it is known to be an agent.
	if _, err := a.find(r.Context(), id); err != nil {
		fail(w, err)
		return
	}
	if !a.audit.tell(r, "agent.state", "agent "+id, change.State) {
		fail(w, errNoAudit)
		return
	}
	if err := a.change(r.Context(), id, change.State, change.Reason); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *agentAPI) change(ctx context.Context, id, state, reason string) *apiError {
	var err error
	switch state {
	case stateReady:
		err = a.agents.SetState(ctx, id, state, "")
	case statePaused:
		if reason == "" {
			reason = "api"
		}
		err = a.agents.SetState(ctx, id, state, reason)
	case stateWrapUpDone:
		err = a.agents.WrapUpDone(ctx, id)
	}
	if err != nil {
		return a.explain(err, id)
	}
	return nil
}

// explain gives an error of Agents as the API tells it. What is wrong with us is
// logged, not told.
func (a *agentAPI) explain(err error, id string) *apiError {
	var bad BadRequest
	switch {
	case errors.As(err, &bad):
		return &apiError{http.StatusBadRequest, "bad_agent", bad.Error()}
	case errors.Is(err, ErrUnknownAgent):
		return &apiError{http.StatusNotFound, "unknown_agent", fmt.Sprintf("there is no agent %q", id)}
	case errors.Is(err, ErrNotNow):
		return &apiError{http.StatusConflict, "not_now", err.Error()}
	default:
		a.log.Error("API request about agents failed", "err", err)
		return &apiError{http.StatusServiceUnavailable, "unavailable", "agents can't be reached now"}
	}
}

func printable(s string) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxReason {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
