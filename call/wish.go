package call

import (
	"errors"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/sip"
)

// wish is an agent's wish to hand his caller on, from his REFER to its end. On nil,
// no wish, the methods do nothing and the channels never deliver.
type wish struct {
	id    string // of no other, in whatever call: it names what holds an agent for it
	refer *sip.Refer
	asked time.Time
	ended time.Time
	how   event.TransferKind
	to    Destination
	rung  *ring // who is rung for the caller
}

// result is how a wish ended: the word for the record, and the status that the
// agent's phone is told.
type result struct {
	word string
	code int
}

// The ends of a wish, and there are no others but those with another code.
var (
	handedOn   = result{"done", 200}
	declined   = result{"declined", 603}
	busy       = result{"busy", 486}
	noAnswer   = result{"no_answer", 480}
	refused    = result{"refused", 603} // by the site's policy
	broken     = result{"failed", 503}
	tooLate    = result{"failed", 603} // nobody has taken it up in time
	callerLeft = result{"caller_left", 487}
)

// accept tells the agent's phone that its wish is tried, before anything is done for
// it, and says whether that is to be: not if the phone was told meanwhile that nobody
// has taken it up. One that is gone has hung up on its wish, which is granted all the
// same.
func (t *talk) accept(w *wish) bool {
	err := w.refer.Accept()
	if errors.Is(err, sip.ErrState) {
		t.log.Warn("a transfer was taken up too late", "agent", t.with.agent)
		t.conclude(w, tooLate)
		return false
	}
	if err != nil {
		t.log.Debug("accepting a transfer", "error", err)
	}
	return true
}

// refuse ends a wish that the site forbids: at once, unless the status, as an answer,
// could end the agent's dialog and with it the talk (RFC 5057). Then it is news.
func (t *talk) refuse(w *wish, r result) {
	if r.code != 403 && r.code != 603 {
		if t.accept(w) {
			t.conclude(w, r)
		}
		return
	}
	if err := w.refer.Reject(r.code); err != nil {
		t.log.Debug("refusing a transfer", "error", err)
	}
	t.tell(w, r)
}

// conclude ends a wish that was accepted: the agent's phone hears how, and so does the
// record.
func (t *talk) conclude(w *wish, r result) {
	_ = w.refer.Notify(r.code)
	t.tell(w, r)
	if w.to.Kind == ToEmergency {
		t.tellHelp(w, r)
	}
}

// tell writes down how a wish ended.
func (t *talk) tell(w *wish, r result) {
	t.log.Info("transfer over", "agent", t.with.agent, "result", r.word)
	fact := event.Transferred{
		Transfer: w.id, Visit: t.with.talk.Visit().ID, Agent: t.with.agent, How: w.how,
		To: w.to.Kind.String(), Result: r.word, Took: time.Since(w.asked),
	}
	if r != handedOn {
		t.counted.End()
		t.vain, w.ended = w, time.Now()
	}
	switch w.to.Kind {
	case ToAgent:
		fact.Target = w.to.Agent
	case ToQueue:
		fact.Target = w.to.Queue
	case ToNumber:
		fact.Target = w.to.Number
	case ToOutside, ToEmergency:
		fact.Sealed = t.Sealed(fact.Transfer, w.to.Number)
	}
	t.Events.Emit(t.id, fact)
}

// tellHelp tells of a wish for help that came to nothing, unless nobody needs it now or
// it has come before.
func (t *talk) tellHelp(w *wish, r result) {
	switch {
	case r == handedOn, r == callerLeft, r == notThere:
	case len(w.to.Trunks) == 0:
		t.noHelp(t.with.agent, w.to, EmergencyRefused)
	default:
		t.noHelp(t.with.agent, w.to, EmergencyFailed)
	}
}

func (w *wish) answered() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.rung.answered()
}

func (w *wish) refused() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.rung.refused()
}

func (w *wish) late() <-chan time.Time {
	if w == nil {
		return nil
	}
	return w.rung.late()
}

// outcome is how a ringing ended that was not answered.
func (r *ring) outcome() result {
	end, code := unreached(r.leg.End())
	if end == TrunkFailed {
		return broken
	}
	switch code {
	case 486, 600:
		return busy
	case 403, 603, 607:
		return declined
	case 404, 408, 480:
		return noAnswer
	default:
		return result{broken.word, max(code, 400)} // sent elsewhere, he is not called there
	}
}
