// Command reference-day writes the reference day: events.jsonl, the log of a
// small helpline around Sunday 26 October 2025 in Berlin, when clocks go back and
// the day has 25 hours, and followups.csv, the calls it owed. sheet.md has the figures
// of it, worked out by hand.
//
//	go run ./report/testdata/reference-day report/testdata/reference-day
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/event"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: reference-day FOLDER")
	}
	var d day
	d.classicHour()
	d.nightHour()
	d.edges()
	d.again()
	d.shifts()
	d.surveys()
	d.promises()
	if err := d.write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// day gathers events in any order.
type day struct {
	events []event.Event
	owed   []string
}

func (d *day) add(at time.Time, call string, f event.Fact) {
	d.events = append(d.events, event.Event{At: at.UTC(), Call: call, Fact: f})
}

// at reads a local time: summer time is +02:00, winter time +01:00.
func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05.999 -07:00", s)
	if err != nil {
		log.Fatal(err)
	}
	return t
}

const s = time.Second

// stay is one visit and what came of it.
type stay struct {
	joined          time.Time
	queue, language string
	result          event.VisitResult
	waited          time.Duration
	agent           string
	talk, hold      time.Duration
	wrapUp          time.Duration // 0 for none
	rangOut         string        // an agent who let it ring for 15 s first
	estimate        time.Duration // of the wait; 0 for none
}

// What the configuration of the day said, and who answered in which tier.
var (
	goals  = map[string]time.Duration{"claims": 20 * s, "urgent": 10 * s}
	shorts = map[string]time.Duration{"claims": 5 * s, "urgent": 2 * s}
	tiers  = map[string]int{"anna": 1, "bert": 1, "carl": 2, "dora": 3}
)

// call adds a call with its visits. Caller "" withholds the number.
func (d *day) call(id, caller string, stays ...stay) {
	number := map[string]string{"en": "helpline", "es": "ayuda"}[stays[0].language]
	start := stays[0].joined.Add(-10 * s)
	d.add(start, id, event.CallStarted{Number: number, Caller: "…", Trunk: "carrier", CallerHash: caller})
	d.add(start, id, event.CallAnswered{})
	ended := start
	for i, st := range stays {
		ended = d.visit(id, fmt.Sprintf("%s-%d", id, i+1), st)
	}
	if !ended.IsZero() {
		d.add(ended, id, event.CallEnded{Class: "caller", Reason: "hung_up", Duration: ended.Sub(start)})
	}
}

// visit gives when it and its talk were over; the zero time if they never are.
func (d *day) visit(call, id string, v stay) time.Time {
	d.add(v.joined, call, event.VisitJoined{Visit: id, Queue: v.queue, Language: v.language,
		Goal: goals[v.queue], Short: shorts[v.queue], Estimate: v.estimate})
	if v.result == "" {
		return time.Time{}
	}
	if v.rangOut != "" {
		d.add(v.joined, call, event.OfferMade{Visit: id, Queue: v.queue, Agent: v.rangOut})
		d.add(v.joined.Add(15*s), call, event.OfferEnded{Visit: id, Queue: v.queue, Agent: v.rangOut, Result: event.OfferTimedOut, Rang: 15 * s})
	}
	left := v.joined.Add(v.waited)
	if v.agent != "" {
		d.add(left.Add(-s), call, event.OfferMade{Visit: id, Queue: v.queue, Agent: v.agent})
		d.add(left, call, event.OfferEnded{Visit: id, Queue: v.queue, Agent: v.agent, Result: event.OfferAnswered, Rang: s})
	}
	d.add(left, call, event.VisitEnded{Visit: id, Queue: v.queue, Language: v.language, Result: v.result, Agent: v.agent, Tier: tiers[v.agent], Waited: v.waited})
	if v.agent == "" {
		return left
	}
	over := left.Add(v.talk + v.hold)
	d.add(over, call, event.TalkEnded{Visit: id, Queue: v.queue, Language: v.language, Agent: v.agent, Tier: tiers[v.agent], Talk: v.talk, Hold: v.hold})
	if v.wrapUp > 0 {
		d.add(over.Add(v.wrapUp), call, event.WrapUpEnded{Visit: id, Queue: v.queue, Language: v.language, Agent: v.agent, Took: v.wrapUp})
	}
	return over
}

// classicHour is the textbook's: 100 offered, 85 answered, 75 in time, 15
// abandoned, of them 6 short and 10 in time. A caller comes every 36 s, so that
// each quarter of an hour has 25 and the 26th comes just as the second begins.
func (d *day) classicHour() {
	nine := at("2025-10-26 09:00:00 +01:00")
	for i := range 100 {
		v := stay{joined: nine.Add(time.Duration(i) * 36 * s), queue: "claims", language: "en", result: event.Abandoned}
		switch {
		case i < 25:
			v.waited, v.estimate = 8*s, 10*s
		case i < 50:
			v.waited, v.estimate = 12*s, 8*s
		case i < 75:
			v.waited, v.estimate = 20*s, 20*s // just in time, as was said
		case i < 85:
			v.waited = 32 * s // nobody could say
		case i < 90:
			v.waited = 3 * s
		case i < 91:
			v.waited = 5 * s // just short
		case i < 95:
			v.waited, v.estimate = 15*s, 40*s // nobody will know
		default:
			v.waited = 60 * s
		}
		if i < 85 {
			v.result, v.talk, v.wrapUp, v.agent = event.Answered, 100*s, 20*s, "bert"
			if i%2 == 0 {
				v.hold, v.agent = 10*s, "anna"
			}
		}
		d.call(fmt.Sprintf("classic%02d", i), classicCaller(i), v)
	}
}

// classicCaller withholds one number.
func classicCaller(i int) string {
	if i == 5 {
		return ""
	}
	return fmt.Sprintf("caller%02d", i)
}

// nightHour is the hour from 02:00 to 03:00, which comes twice.
func (d *day) nightHour() {
	urgent := stay{queue: "urgent", language: "es", result: event.Answered}
	for i, v := range []struct {
		joined             string
		waited             time.Duration
		agent              string
		talk, hold, wrapUp time.Duration
	}{
		{"2025-10-26 02:10:00 +02:00", 5 * s, "carl", 600 * s, 60 * s, 120 * s},
		{"2025-10-26 02:20:00 +02:00", 10 * s, "carl", 900 * s, 0, 100 * s}, // just in time
		{"2025-10-26 02:10:00 +01:00", 11 * s, "dora", 1200 * s, 0, 200 * s},
		{"2025-10-26 02:20:00 +01:00", 2 * s, "", 0, 0, 0}, // just short
	} {
		st := urgent
		st.joined, st.waited, st.agent, st.talk, st.hold, st.wrapUp = at(v.joined), v.waited, v.agent, v.talk, v.hold, v.wrapUp
		if v.agent == "" {
			st.result = event.Abandoned
		}
		d.call(fmt.Sprintf("night%d", i), fmt.Sprintf("nightcaller%d", i), st)
	}
}

// edges is what is easily counted wrongly.
func (d *day) edges() {
	claims := stay{queue: "claims", language: "en"}

	v := claims // the day before, by a millisecond
	v.joined, v.result, v.waited, v.agent, v.talk, v.wrapUp = at("2025-10-25 23:59:59.999 +02:00"), event.Answered, s, "anna", 30*s, 10*s
	d.call("before", "caller-before", v)

	v = claims // the day's first moment
	v.joined, v.result, v.waited = at("2025-10-26 00:00:00 +02:00"), event.Abandoned, 21*s
	d.call("first", "caller-first", v)

	v = claims // the day's last moment; answered the day after, a millisecond late
	v.joined, v.result, v.waited, v.agent, v.talk = at("2025-10-26 23:59:59.999 +01:00"), event.Answered, 20*s+time.Millisecond, "bert", 60*s
	d.call("last", "caller-last", v)

	v = claims // the day after
	v.joined, v.result, v.waited = at("2025-10-27 00:00:00 +01:00"), event.FlowedOut, 100*s
	d.call("after", "caller-after", v)

	v = claims // taken out by us
	v.joined, v.result, v.waited = at("2025-10-26 12:00:00 +01:00"), event.FlowedOut, 300*s
	d.call("drained", "caller-drained", v)

	v = claims // owed a call
	v.joined, v.result, v.waited = at("2025-10-26 16:00:00 +01:00"), event.CallBack, 120*s
	d.call("owed", "caller-owed", v)

	v = claims // anna lets it ring, and it keeps its place
	v.joined, v.language, v.result, v.waited, v.rangOut = at("2025-10-26 12:30:00 +01:00"), "es", event.Answered, 25*s, "anna"
	v.agent, v.talk, v.hold, v.wrapUp = "bert", 200*s, 20*s, 30*s
	d.call("rona", "caller-rona", v)

	v = claims // still waiting where the log ends
	v.joined = at("2025-10-26 23:30:00 +01:00")
	d.call("waiting", "caller-waiting", v)

	d.add(at("2025-10-26 13:00:00 +01:00"), "noqueue", event.CallStarted{Number: "helpline", Caller: "…", Trunk: "carrier", CallerHash: "caller-noqueue"})
	d.add(at("2025-10-26 13:00:20 +01:00"), "noqueue", event.CallEnded{Class: "caller", Reason: "hung_up", Duration: 20 * s})

	v = claims // handed on: one call, two visits
	v.joined, v.result, v.waited, v.agent, v.talk = at("2025-10-26 14:00:00 +01:00"), event.Answered, 10*s, "anna", 50*s
	u := stay{joined: at("2025-10-26 14:02:00 +01:00"), queue: "urgent", language: "en", result: event.Answered,
		waited: 4 * s, agent: "dora", talk: 300 * s, wrapUp: 60 * s}
	d.call("handed-on", "caller-handed-on", v, u)
}

// again is callers of the classic hour on other days, and once later that day.
func (d *day) again() {
	claims := stay{queue: "claims", language: "en", result: event.Answered, waited: 8 * s, agent: "anna", talk: 100 * s, wrapUp: 20 * s}
	for _, a := range []struct {
		caller int
		joined string
	}{
		{0, "2025-10-29 09:00:00 +01:00"}, // 3 days later: not resolved
		{2, "2025-10-20 09:00:00 +02:00"}, // 6 days before: the day's is no first contact
		{4, "2025-11-03 09:10:00 +01:00"}, // 8 days later: too late to matter
	} {
		v := claims
		v.joined = at(a.joined)
		d.call(fmt.Sprintf("again%d", a.caller), classicCaller(a.caller), v)
	}
	u := stay{joined: at("2025-10-27 09:00:00 +01:00"), queue: "urgent", language: "en", result: event.Answered, // another subject
		waited: 3 * s, agent: "carl", talk: 100 * s}
	d.call("again1", classicCaller(1), u)
	v := stay{joined: at("2025-10-26 15:00:00 +01:00"), queue: "claims", language: "en", result: event.Abandoned, waited: 40 * s}
	d.call("again3", classicCaller(3), v) // not resolved, though nobody answered
}

// shifts is the agents' states. They are not those that the talks would give:
// the figures of the two are to be told apart.
func (d *day) shifts() {
	d.shift("anna", at("2025-10-26 08:50:00 +01:00"), "ready", 600*s, "talking", 3600*s, "wrapup", 600*s, "ready", 1800*s, "reserved", 30*s)
	d.shift("carl", at("2025-10-26 01:50:00 +02:00"), "ready", 1200*s, "talking", 2400*s, "wrapup", 900*s) // over the change of clocks
	d.shift("bert", at("2025-10-25 23:50:00 +02:00"), "ready", 1200*s)                                     // 10 minutes of it in the day
	d.shift("bert", at("2025-10-26 23:40:00 +01:00"), "ready", 2400*s)                                     // 20 minutes of it in the day
}

// shift begins and ends in a pause.
func (d *day) shift(agent string, from time.Time, steps ...any) {
	state, after := "paused", 300*s
	for i := 0; i < len(steps); i += 2 {
		next, lasts := steps[i].(string), steps[i+1].(time.Duration)
		d.add(from, "", event.AgentChanged{Agent: agent, From: state, To: next, After: after})
		state, after, from = next, lasts, from.Add(lasts)
	}
	d.add(from, "", event.AgentChanged{Agent: agent, From: state, To: "paused", Reason: "key", After: after})
}

// surveys is answers of callers of the classic hour, after their talks.
func (d *day) surveys() {
	ten := at("2025-10-26 10:00:00 +01:00")
	for i, a := range []int{5, 5, 5, 4, 4, 4, 4, 3, 2, 1} {
		d.answer(ten, i, "csat", a)
	}
	for i, a := range []int{10, 9, 9, 8, 7, 6, 0, 10} {
		d.answer(ten, i, "nps", a)
	}
}

func (d *day) answer(at time.Time, i int, question string, answer int) {
	id := fmt.Sprintf("classic%02d", i)
	d.add(at, id, event.SurveyAnswered{Visit: id + "-1", Queue: "claims", Language: "en", Question: question, Answer: answer})
}

// promises is calls the helpline owed, and how they were settled.
func (d *day) promises() {
	for _, p := range []struct {
		id, queue, language, due, settled, result string
	}{
		{"owed-1", "claims", "en", "2025-10-26 20:00:00 +01:00", "2025-10-26 17:00:00 +01:00", "done"},
		{"just", "claims", "en", "2025-10-26 18:00:00 +01:00", "2025-10-26 18:00:00 +01:00", "done"},     // just in time
		{"late", "claims", "es", "2025-10-26 18:00:00 +01:00", "2025-10-26 18:00:00.001 +01:00", "done"}, // by a millisecond
		{"vain", "claims", "en", "2025-10-26 19:00:00 +01:00", "2025-10-26 15:00:00 +01:00", "failed"},
		{"erased", "claims", "en", "2025-10-26 19:00:00 +01:00", "2025-10-26 15:30:00 +01:00", "erased"}, // not due any more
		{"night", "urgent", "es", "2025-10-27 04:00:00 +01:00", "2025-10-26 23:00:00 +01:00", "done"},    // due the day after
	} {
		due := at(p.due)
		d.owed = append(d.owed, fmt.Sprintf("%s,%s,%s,%s", p.id, p.queue, p.language, due.UTC().Format(time.RFC3339)))
		d.add(at(p.settled), "", event.FollowUpSettled{FollowUp: p.id, Queue: p.queue, Language: p.language, Result: p.result, DueTo: due.UTC()})
	}
}

// write writes the events in the order in which they happened.
func (d *day) write(dir string) error {
	slices.SortStableFunc(d.events, func(a, b event.Event) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	var lines strings.Builder
	out := json.NewEncoder(&lines)
	for i, e := range d.events {
		err := out.Encode(struct {
			Seq  int        `json:"seq"`
			At   time.Time  `json:"at"`
			Kind string     `json:"kind"`
			Call string     `json:"call,omitempty"`
			Fact event.Fact `json:"fact"`
		}{i + 1, e.At, e.Fact.Kind(), e.Call, e.Fact})
		if err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "events.jsonl"), []byte(lines.String()), 0o644); err != nil {
		return err
	}
	owed := "id,queue,language,due_to\n" + strings.Join(d.owed, "\n") + "\n"
	return os.WriteFile(filepath.Join(dir, "followups.csv"), []byte(owed), 0o644)
}
