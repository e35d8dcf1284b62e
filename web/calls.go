package web

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/bugle-voice/bugle/call"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/report"
	"github.com/bugle-voice/bugle/store"
)

// Calls finds calls. *store.Store is the one of a running node.
type Calls interface {
	// Calls gives a page of the calls that fit, latest first, or
	// store.ErrBadPage.
	Calls(ctx context.Context, q store.CallSearch) (store.CallPage, error)
}

// shownCall is a call as the API shows it. The caller's number is shortened:
// the whole one is only given where that is audited.
type shownCall struct {
	ID         string    `json:"id"`
	Node       string    `json:"node"`
	Number     string    `json:"number"`
	Trunk      string    `json:"trunk"`
	Caller     string    `json:"caller"`
	CallerHash string    `json:"caller_hash"`
	Agent      string    `json:"agent,omitempty"` // who made it himself
	To         string    `json:"to,omitempty"`    // what he dialled: agent, queue, flow, number, emergency, nowhere
	Language   string    `json:"language"`
	Flow       string    `json:"flow"` // the last step it was in
	Step       string    `json:"step"`
	Started    time.Time `json:"started"`
	Answered   time.Time `json:"answered,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	Class      string    `json:"class"` // how it ended
	Reason     string    `json:"reason"`
	Duration   float64   `json:"duration_seconds"`

	Legs []shownLeg `json:"legs,omitempty"`
}

// shownLeg is one side of a call with the quality of its sound.
type shownLeg struct {
	Side       string       `json:"side"` // caller, agent
	Agent      string       `json:"agent,omitempty"`
	Codec      string       `json:"codec"`
	Suite      string       `json:"suite,omitempty"` // of its encryption
	Ended      time.Time    `json:"ended"`
	PacketsIn  uint64       `json:"packets_in"`
	PacketsOut uint64       `json:"packets_out"`
	Lost       uint64       `json:"lost"`
	Heard      *shownTravel `json:"heard,omitempty"` // what was said there
	Sent       *shownTravel `json:"sent,omitempty"`  // what was sent there, by its own reports
	RoundTrip  float64      `json:"round_trip_seconds,omitempty"`
}

type shownTravel struct {
	Loss   float64 `json:"loss"`
	Jitter float64 `json:"jitter_seconds"`
	MOS    float64 `json:"mos"`
}

func showLegs(legs []store.Leg) []shownLeg {
	travel := func(t event.Travel) *shownTravel {
		if t.MOS == 0 {
			return nil
		}
		return &shownTravel{t.Loss, seconds(t.Jitter), t.MOS}
	}
	var shown []shownLeg
	for _, l := range legs {
		shown = append(shown, shownLeg{
			Side: l.Side, Agent: l.Agent, Codec: l.Codec, Suite: l.Suite, Ended: l.Ended,
			PacketsIn: l.PacketsIn, PacketsOut: l.PacketsOut, Lost: l.Lost,
			Heard: travel(l.Heard), Sent: travel(l.Sent), RoundTrip: seconds(l.RoundTrip),
		})
	}
	return shown
}

const (
	searchTimeout = 10 * time.Second
	maxPage       = 1000
)

type callAPI struct {
	calls   Calls
	hash    func(number string) string
	numbers []string // ours
	audit   *auditing
	zone    *time.Location
	log     *slog.Logger
}

// search answers {"calls": […], "next": "…"}; next, given back as after, asks
// for the page that follows.
func (a *callAPI) search(w http.ResponseWriter, r *http.Request) {
	get, bad := parameters(r.URL.RawQuery, "from", "to", "caller_hash", "number", "agent", "queue", "result", "termination", "limit", "after")
	if bad != nil {
		fail(w, bad)
		return
	}
	a.answer(w, r, get)
}

// searchCaller is search for the calls of a telephone number. That is private: it
// comes in the body, since addresses are logged on their way, and goes no further
// than its hash.
func (a *callAPI) searchCaller(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Caller      string `json:"caller"`
		From        string `json:"from"`
		To          string `json:"to"`
		Number      string `json:"number"`
		Agent       string `json:"agent"`
		Queue       string `json:"queue"`
		Result      string `json:"result"`
		Termination string `json:"termination"`
		Limit       int    `json:"limit"`
		After       string `json:"after"`
	}
	bad := readJSON(r, &body)
	if bad != nil {
		fail(w, bad)
		return
	}
	conditions := map[string]string{
		"from": body.From, "to": body.To, "number": body.Number, "agent": body.Agent, "queue": body.Queue,
		"result": body.Result, "termination": body.Termination, "after": body.After,
	}
	if body.Limit != 0 {
		conditions["limit"] = strconv.Itoa(body.Limit)
	}
	if conditions["caller_hash"], bad = hashOf(a.hash, body.Caller); bad != nil {
		fail(w, bad)
		return
	}
	a.answer(w, r, func(name string) string { return conditions[name] })
}

// hashOf gives the hash of a caller's number.
func hashOf(hash func(string) string, caller string) (string, *apiError) {
	if hash != nil {
		if h := hash(caller); h != "" {
			return h, nil
		}
	}
	return "", &apiError{http.StatusBadRequest, "bad_caller", "caller is the telephone number to look for"}
}

// answer tells the audit of a search, and carries it out.
func (a *callAPI) answer(w http.ResponseWriter, r *http.Request, get func(name string) string) {
	if a.calls == nil {
		fail(w, errNoStore)
		return
	}
	search, bad := a.read(get)
	if bad != nil {
		fail(w, bad)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), searchTimeout)
	defer cancel()
	if !a.audit.tell(r.WithContext(ctx), "calls.search", "calls", conditions(search)) {
		fail(w, errNoAudit)
		return
	}
	page, err := a.calls.Calls(ctx, search)
	switch {
	case errors.Is(err, store.ErrBadPage):
		fail(w, errBadAfter)
		return
	case err != nil:
		a.log.Error("search for calls failed", "err", err)
		fail(w, errStoreAway)
		return
	}
	answer := struct {
		Calls []shownCall `json:"calls"`
		Next  string      `json:"next,omitempty"`
	}{make([]shownCall, len(page.Calls)), page.Next}
	for i, c := range page.Calls {
		answer.Calls[i] = shownCall{
			ID: c.ID, Node: c.Node, Number: c.Number, Trunk: c.Trunk, Caller: c.Caller, CallerHash: c.CallerHash, Agent: c.Agent, To: c.To,
			Language: c.Language, Flow: c.Flow, Step: c.Step, Started: c.Started, Answered: c.Answered, Ended: c.Ended,
			Class: c.Class, Reason: c.Reason, Duration: seconds(c.Duration), Legs: showLegs(c.Legs),
		}
	}
	reply(w, http.StatusOK, answer)
}

// errNoAudit keeps anything from being shown or done behind the audit's back.
var errNoAudit = &apiError{http.StatusServiceUnavailable, "unavailable", "the audit can't be written now, so this can't be done"}

// conditions names what was looked for, by the hash where by a caller.
func conditions(s store.CallSearch) string {
	v := url.Values{}
	for name, value := range map[string]string{
		"caller_hash": s.CallerHash, "number": s.Number, "agent": s.Agent, "queue": s.Queue,
		"result": string(s.Result), "termination": s.Termination,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v.Encode()
}

// read reads the conditions. Without times it is all that is kept: a repeated
// caller is looked for by hash alone.
//
// What is looked for is written into the audit, which can't be made to forget: so
// nothing is taken that a caller's number, or other words about a person, could
// stand in by mistake.
func (a *callAPI) read(get func(name string) string) (store.CallSearch, *apiError) {
	s := store.CallSearch{
		CallerHash: get("caller_hash"), Number: get("number"), Agent: get("agent"), Queue: get("queue"),
		Result: event.VisitResult(get("result")), Termination: get("termination"), After: get("after"),
	}
	switch {
	case s.CallerHash != "" && !hashForm.MatchString(s.CallerHash):
		return s, &apiError{http.StatusBadRequest, "bad_caller_hash", "caller_hash is 32 hex digits; to look for a number, POST it to /api/v1/calls/search"}
	case s.Number != "" && !slices.Contains(a.numbers, s.Number):
		return s, &apiError{http.StatusBadRequest, "bad_number", "number is one of ours, as the configuration has it"}
	case !isName(s.Agent):
		return s, &apiError{http.StatusBadRequest, "bad_agent", "agent is an agent's id"}
	case !isName(s.Queue):
		return s, &apiError{http.StatusBadRequest, "bad_queue", "queue is a queue's name"}
	}
	switch call.Class(s.Termination) {
	case "", call.Completed, call.Abandoned, call.Finished, call.Refused, call.Failed:
	default:
		return s, &apiError{http.StatusBadRequest, "bad_termination", "termination is completed, abandoned, finished, refused or failed"}
	}
	switch s.Result {
	case "", event.Answered, event.Abandoned, event.FlowedOut, event.CallBack:
	default:
		return s, &apiError{http.StatusBadRequest, "bad_result", "result is answered, abandoned, flowed_out or callback"}
	}
	var bad *apiError
	if s.Limit, bad = limit(get("limit")); bad != nil {
		return s, bad
	}
	s.From, s.To, bad = span(get("from"), get("to"), a.zone)
	return s, bad
}

// limit reads how many a page may have; 0 if that is not said.
func limit(given string) (n int, bad *apiError) {
	if given == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > maxPage {
		return 0, &apiError{http.StatusBadRequest, "bad_limit", "limit is from 1 to " + strconv.Itoa(maxPage)}
	}
	return n, nil
}

// span reads from when until when, as reports do; zero times if neither is said.
func span(from, to string, zone *time.Location) (first, last time.Time, bad *apiError) {
	if from == "" && to == "" {
		return first, last, nil
	}
	first, last, err := report.ParseSpan(cmp.Or(from, "1970-01-01"), cmp.Or(to, "9999-12-31"), zone, time.Now())
	if err != nil {
		return first, last, &apiError{http.StatusBadRequest, "bad_request", err.Error()}
	}
	return first, last, nil
}

// hashForm is that of vault.Hash; nameForm that of agents' ids and queues' names.
var (
	hashForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// isName reports whether a condition is a name, or none. Who has left, and a queue
// that is no more, can be looked for, so they need not be known; what could be a
// telephone number is refused.
func isName(s string) bool {
	digits := 0
	for _, r := range s {
		if r >= '0' && r <= '9' {
			digits++
		}
	}
	return s == "" || nameForm.MatchString(s) && digits < 7
}
