package sip

import (
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Session timers (RFC 4028): one end refreshes the session before its interval is
// over; an end that hears nothing hangs up. So a call is not kept for a far end
// that has vanished, nor by a proxy between.

const (
	defaultSessionExpires = 30 * time.Minute
	defaultMinSE          = 90 * time.Second // RFC 4028 section 4: nobody may ask for more haste
)

// sessionTimer is a leg's; the leg's lock guards it.
type sessionTimer struct {
	every time.Duration // the interval agreed on; 0: none
	least time.Duration // the smallest the far end or a proxy takes
	ours  bool          // we refresh
	until time.Time
	next  *time.Timer // to refresh, or to give up
}

func (t *sessionTimer) stop() {
	stop(t.next)
	t.every = 0
}

// readSessionExpires reads the interval a message asks for, and who is to refresh.
func readSessionExpires(m headed) (every time.Duration, refresher string, ok bool) {
	v := header(m, "session-expires", "x")
	secs, params, _ := strings.Cut(v, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(secs), 10, 31)
	if v == "" || err != nil {
		return 0, "", false
	}
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "refresher") {
			refresher = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return time.Duration(n) * time.Second, refresher, true
}

func readMinSE(m headed) time.Duration {
	secs, _, _ := strings.Cut(header(m, "min-se", ""), ";")
	n, err := strconv.ParseUint(strings.TrimSpace(secs), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

// takesTimer reports whether who sent a message knows session timers.
func takesTimer(m headed) bool {
	return lists(m, "supported", "k", "timer") || lists(m, "require", "", "timer")
}

// timerFault refuses an interval smaller than ours, if the far end will understand
// why (section 6).
func (s *Server) timerFault(req *gosip.Request) *fault {
	every, _, ok := readSessionExpires(req)
	if !ok || every >= s.minSE || !takesTimer(req) {
		return nil
	}
	return &fault{422, reasonOf(422), gosip.NewHeader("Min-SE", seconds(s.minSE))}
}

// propose asks for an interval in a request of ours (section 7.1). In mid-call,
// who refreshes goes on doing so.
func (t *sessionTimer) propose(s *Server, req *gosip.Request) {
	if s.sessionExpires <= 0 {
		return
	}
	v := seconds(max(s.sessionExpires, t.least))
	if t.every > 0 {
		v = seconds(max(t.every, t.least))
		if t.ours {
			v += ";refresher=uac"
		} else {
			v += ";refresher=uas"
		}
	}
	req.AppendHeader(gosip.NewHeader("Session-Expires", v))
	if t.least > 0 {
		req.AppendHeader(gosip.NewHeader("Min-SE", seconds(t.least)))
	}
}

// raise takes a 422 and reports whether a longer interval can be tried.
func (t *sessionTimer) raise(res *gosip.Response) bool {
	least := readMinSE(res)
	if res.StatusCode != 422 || least <= t.least || least > 24*time.Hour {
		return false
	}
	t.least = least
	return true
}

// answered takes the interval from a 2xx to a request of ours (section 7.2).
func (t *sessionTimer) answered(l *Leg, res *gosip.Response) {
	every, refresher, ok := readSessionExpires(res)
	if !ok || l.s.sessionExpires <= 0 {
		t.stop()
		return
	}
	t.run(l, max(every, l.s.minSE), refresher != "uas")
}

// grant agrees on an interval in a 2xx to a request of theirs (section 9).
func (t *sessionTimer) grant(l *Leg, req *gosip.Request, res *gosip.Response) {
	every, refresher, asked := readSessionExpires(req)
	takes := takesTimer(req)
	if l.s.sessionExpires <= 0 || !takes && (!asked || every < l.s.minSE) {
		t.stop()
		return
	}
	least := max(readMinSE(req), l.s.minSE)
	if !asked || every > l.s.sessionExpires {
		every = max(l.s.sessionExpires, least)
	}
	if refresher != "uac" && refresher != "uas" {
		refresher = "uas" // we rely on ourselves, unless it was the far end's before
		if takes && t.every > 0 && !t.ours {
			refresher = "uac"
		}
	}
	if !takes {
		refresher = "uas"
	}
	res.AppendHeader(gosip.NewHeader("Session-Expires", seconds(every)+";refresher="+refresher))
	if takes {
		res.AppendHeader(requireTimerHeader)
	}
	t.run(l, every, refresher == "uas")
}

// run begins an interval.
func (t *sessionTimer) run(l *Leg, every time.Duration, ours bool) {
	t.every, t.ours = every, ours
	t.until = time.Now().Add(every)
	t.wake(l)
}

// wake sets the timer for the next thing to do. Who refreshes does so at half of
// what is left, and again, until it succeeds; the other gives up a little before
// the end (section 10).
func (t *sessionTimer) wake(l *Leg) {
	stop(t.next)
	left := time.Until(t.until)
	wait := left - min(32*time.Second, t.every/3)
	if t.ours {
		wait = left
		if left > l.s.minSE/45 {
			wait = left / 2
		}
	}
	t.next = l.s.after(wait, l.sessionDue)
}

// sessionDue refreshes the session, or ends a call whose far end did not.
func (l *Leg) sessionDue() {
	l.mu.Lock()
	t := &l.timer
	if t.every == 0 || l.state >= legEnding {
		l.mu.Unlock()
		return
	}
	if !t.ours || !time.Now().Before(t.until) {
		l.hangupAs(failure(408, "session expired"))
		l.mu.Unlock()
		return
	}
	t.wake(l)
	c := &revision{method: gosip.UPDATE, result: make(chan error, 1)}
	if !l.updates {
		c.method, c.describe = gosip.INVITE, true
	}
	l.mu.Unlock()
	_ = l.propose(c) // another change of ours is a refresh as well
}
