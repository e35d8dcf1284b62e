package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// Call is one caller's visit to the helpline, or one that an agent makes himself.
type Call struct {
	ID         string
	Node       string
	Number     string // dialled
	Trunk      string
	Caller     string // shortened
	CallerHash string
	Agent      string // who made it himself; empty: a caller did
	To         string // what he dialled: event.CallStarted
	Flow       string // the last step it was in, and the language spoken
	Step       string
	Language   string
	Started    time.Time
	Answered   time.Time // zero if never
	Ended      time.Time // zero while it goes on
	Class      string    // how it ended: call.Termination
	Reason     string
	Duration   time.Duration
	Legs       []Leg // its sides that had sound, as they ended; Calls fills them in
}

// CallSearch says which calls are looked for. What is empty does not matter.
type CallSearch struct {
	From, To    time.Time // started from, until before
	CallerHash  string
	Number      string // dialled
	Agent       string // who talked in one of its visits, or, if no visit is asked for, made it himself
	Queue       string // it waited in
	Result      event.VisitResult
	Termination string // class of its end

	Limit int    // how many a page; default 100, at most 1000
	After string // Next of the page before
}

// CallPage is a page of what was found, latest call first.
type CallPage struct {
	Calls []Call
	Next  string // for the page after this one; empty on the last
}

// ErrBadPage is a CallSearch.After that no page gave.
var ErrBadPage = errors.New("this is not the mark of a page")

const callQuery = `SELECT c.id, c.node, c.number, c.trunk, c.caller, c.caller_hash, c.agent, c.dialled, c.flow, c.step, c.language,
	c.started_at, c.answered_at, c.ended_at, c.class, c.reason, c.duration_ns FROM calls c`

func scanCall(row scanner) (Call, error) {
	var c Call
	err := row.Scan(&c.ID, &c.Node, &c.Number, &c.Trunk, &c.Caller, &c.CallerHash, &c.Agent, &c.To, &c.Flow, &c.Step, &c.Language,
		when{&c.Started}, when{&c.Answered}, when{&c.Ended}, &c.Class, &c.Reason, &c.Duration)
	return c, err
}

// Calls gives a page of the calls that fit. ErrBadPage.
func (s *Store) Calls(ctx context.Context, q CallSearch) (CallPage, error) {
	var w where
	if err := q.conditions(&w); err != nil {
		return CallPage{}, fmt.Errorf("store: search calls: %w", err)
	}
	limit := pageLimit(q.Limit)
	found, err := collect(rows(ctx, s.read, "search calls",
		callQuery+w.String()+fmt.Sprintf(` ORDER BY c.started_at DESC, c.id DESC LIMIT %d`, limit+1), w.args, scanCall))
	if err != nil {
		return CallPage{}, err
	}
	page := CallPage{Calls: found}
	if len(found) > limit {
		last := found[limit-1]
		page = CallPage{Calls: found[:limit], Next: pageMark(last.Started, last.ID)}
	}
	return page, s.addLegs(ctx, page.Calls)
}

func (q CallSearch) conditions(w *where) error {
	w.within("c.started_at", q.From, q.To)
	w.is("c.caller_hash", q.CallerHash)
	w.is("c.number", q.Number)
	w.is("c.class", q.Termination)
	agent := q.Agent
	if agent != "" && q.Queue == "" && q.Result == "" {
		w.and("(c.agent = ? OR c.id IN (SELECT v.call_id FROM visits v WHERE v.agent = ? UNION ALL SELECT t.call_id "+handedTo+"))",
			text(agent), text(agent), text(agent))
		agent = ""
	}
	visit := where{args: w.args}
	if agent != "" {
		visit.and("v.id IN (SELECT o.id FROM visits o WHERE o.agent = ? UNION ALL SELECT t.visit "+handedTo+")", text(agent), text(agent))
	}
	visit.is("v.queue", q.Queue)
	visit.is("v.result", string(q.Result))
	if len(visit.conditions) > 0 {
		w.args = visit.args
		w.conditions = append(w.conditions, "c.id IN (SELECT v.call_id FROM visits v"+visit.String()+")")
	}
	if q.After != "" {
		started, id, err := readPageMark(q.After)
		if err != nil {
			return err
		}
		w.and("c.started_at <= ? AND (c.started_at < ? OR c.id < ?)", started, started, id)
	}
	return nil
}

// handedTo is where visits stand that were handed on to an agent: they have the one
// who answered.
const handedTo = `FROM transfers t WHERE t.target = ? AND t.target_kind = 'agent' AND t.result = 'done'`

// pageLimit is how many a page has when so many were asked for.
func pageLimit(asked int) int {
	if asked <= 0 {
		return 100
	}
	return min(asked, 1000)
}

// pageMark names a place in the order of calls, or of what else comes in pages.
func pageMark(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", at.UnixMilli(), id))
}

func readPageMark(mark string) (at int64, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(mark)
	if err != nil {
		return 0, "", ErrBadPage
	}
	ms, id, ok := strings.Cut(text(string(b)), " ")
	if at, err = strconv.ParseInt(ms, 10, 64); err != nil || !ok {
		return 0, "", ErrBadPage
	}
	return at, id, nil
}

// ErrUnknownCall is an id that no call has.
var ErrUnknownCall = errors.New("no such call")

// NodeOf gives the node that has or had a call. ErrUnknownCall.
func (s *Store) NodeOf(ctx context.Context, call string) (string, error) {
	found, err := collect(rows(ctx, s.read, "look for a call's node", `SELECT node FROM calls WHERE id = $1`, []any{text(call)},
		func(row scanner) (node string, err error) { err = row.Scan(&node); return node, err }))
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("store: %w", ErrUnknownCall)
	}
	return found[0], nil
}

// Caller gives the whole number of a call's caller, and notes in the audit
// that it was looked at. Empty if the number was withheld, purged or erased.
// ErrUnknownCall.
func (s *Store) Caller(ctx context.Context, by By, call string) (Private, error) {
	var number Private
	err := s.inTx(ctx, "read a caller's number", func(t *tx) error {
		found, err := collect(rows(ctx, t, "read call", `SELECT caller_sealed FROM calls WHERE id = $1`, []any{call},
			func(row scanner) (b []byte, err error) { err = row.Scan(&b); return b, err }))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("%w: %q", ErrUnknownCall, call)
		}
		if number, err = s.unseal(found[0], CallerPlace(call)); err != nil {
			return err
		}
		return s.note(ctx, t, by.entry("caller.read", "call "+call, ""))
	})
	if err != nil {
		return "", err
	}
	return number, nil
}
