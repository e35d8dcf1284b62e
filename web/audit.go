package web

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Act is something done over the API that the audit is to know of.
type Act struct {
	Actor  string // "user:sue"; "token" for that of http.token, "loopback" where none is set
	Action string // "agent.state", "calls.search"
	Object string // "agent anna"
	From   string // address
	Detail string // "paused"; nothing private
}

// Auditor writes acts into the audit.
type Auditor interface {
	Audit(ctx context.Context, a Act) error
}

// auditing tells the audit of a request before it is carried out.
type auditing struct {
	to  Auditor // nil where there is no database
	log *slog.Logger
}

// auditTimeout is how long a request waits for the audit.
const auditTimeout = 2 * time.Second

// tell reports whether the audit knows. What it cannot be told of is not done: it
// takes an entry without the database, so only a disk that is full or broken
// keeps it from that.
func (a *auditing) tell(r *http.Request, action, object, detail string) bool {
	if a.to == nil {
		return true
	}
	by := by(r)
	ctx, cancel := context.WithTimeout(r.Context(), auditTimeout)
	defer cancel()
	act := Act{Actor: by.Actor, Action: action, Object: object, From: by.From, Detail: detail}
	if err := a.to.Audit(ctx, act); err != nil {
		a.log.Error("the audit was not told", "actor", act.Actor, "action", action, "object", object, "from", act.From, "detail", detail, "error", err)
		return false
	}
	return true
}

// By is who asks, and from which address.
type By struct{ Actor, From string }

func by(r *http.Request) By {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	return By{Actor: callerOf(r).actor, From: from}
}
