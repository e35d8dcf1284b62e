//go:build load

package load

import (
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/test/peer"
)

var kills = flag.Int("kills", 200, "how often the node is killed")

// A node under load, with callers in flows, in line, ringing, talking and leaving
// messages, and with acts over its API, is killed at random moments. After each
// restart every event of its log is in the database, once and as it was; what the
// kill cut off has an end that says so, and who was in line is owed a call; every
// message that was told of can be heard; every act that was acknowledged is in the
// audit, once; and the audit's chain holds.
//
// Each restart reads all that its node has ever logged, so a new node follows after a while.
func TestKilledTwoHundredTimes(t *testing.T) {
	const each = 20
	moments := rand.New(rand.NewPCG(1, 2))
	var all tally
	for done := 0; done < *kills && !t.Failed(); done += each {
		t.Run(fmt.Sprint("from ", done+1), func(t *testing.T) { killAgainAndAgain(t, min(each, *kills-done), moments, &all) })
	}
	t.Logf("after %d kills: %+v", *kills, all)
	if all.talksCut == 0 || all.offersCut == 0 || all.visitsCut == 0 || all.callsCut == 0 || all.talks == 0 || all.acts < *kills ||
		all.wrapUps == 0 || all.legs == 0 || all.recordings == 0 || all.messagesCut == 0 {
		t.Error("too little happened for the test to mean anything")
	}
}

// killAgainAndAgain kills one node so many times.
func killAgainAndAgain(t *testing.T, kills int, moments *rand.Rand, all *tally) {
	settings, ids := crashHelpline(t)
	bugle := peer.StartBugle(t, settings, ids...)
	peer.StartCallers(t, peer.Callers{
		Server: bugle.SIP, Number: "helpline", Port: 5390, Calls: 1_000_000, Rate: 20,
		Keys: []peer.Press{{Key: '1', Wait: 50 * time.Millisecond}, {Key: '2', Wait: 50 * time.Millisecond}},
		Talk: 900 * time.Millisecond,
	})
	peer.StartCallers(t, peer.Callers{
		Server: bugle.SIP, Number: "helpline", Port: 5290, Calls: 1_000_000, Rate: 4,
		Keys: []peer.Press{{Key: '1', Wait: 50 * time.Millisecond}, {Key: '3', Wait: 50 * time.Millisecond}, {Key: '5', Wait: 50 * time.Millisecond}},
		Talk: 6 * time.Second,
	})
	acts := startActs(t, bugle.HTTP)
	from := time.Time{}
	for kill := range kills {
		phones := peer.StartAgents(t, bugle.SIP, 6300, ids...)
		time.Sleep(time.Duration(50+moments.IntN(1500)) * time.Millisecond) // the moment is what is tested
		if kill == 10 {
			time.Sleep(8 * time.Second) // a life in which messages come to their end
		}
		bugle.Signal(syscall.SIGKILL)
		killed := time.Now()
		bugle.Wait(t, 5*time.Second)
		phones.Signal(syscall.SIGKILL)
		phones.Wait(t, 5*time.Second)
		acknowledged := acts.acknowledged()
		cut := readLog(t, bugle, from)
		bugle.Restart(t)
		compare(t, bugle, cut, acknowledged, from, all)
		if t.Failed() {
			t.Fatalf("after kill %d of this node", kill+1)
		}
		from = killed.Add(-10 * time.Second) // what is older has been compared
	}
	all.acts += len(acts.acknowledged())
}

// tally is what was seen at all kills; what lasted over two counts twice.
type tally struct {
	events, calls, visits, offers, talks, states, acts int
	wrapUps, legs, recordings                          int
	callsCut, visitsCut, offersCut, talksCut           int
	messagesCut                                        int // messages of which a part was kept
}

// told is what a log says up to a kill, by what names it.
type told struct {
	events  int
	calls   map[string]string            // how each ended; "" if it did not
	visits  map[string]event.VisitResult // by visit
	offers  map[string]event.OfferResult // by visit and agent and moment
	talks   map[string]time.Duration     // by visit; -1 while it goes on
	wraps   map[string]time.Duration     // by visit
	legs    map[string][]string          // by call
	states  map[string]int               // by agent, state, reason and moment: how often
	audited map[string]int               // by act

	recordings map[string]store.Recording
}

func newTold() told {
	return told{
		calls: map[string]string{}, visits: map[string]event.VisitResult{}, offers: map[string]event.OfferResult{},
		talks: map[string]time.Duration{}, wraps: map[string]time.Duration{}, legs: map[string][]string{},
		states: map[string]int{}, audited: map[string]int{}, recordings: map[string]store.Recording{},
	}
}

// readLog reads what the log says since a moment. Of what began earlier nothing
// is noted.
func readLog(t *testing.T, bugle *peer.Bugle, from time.Time) told {
	t.Helper()
	s := newTold()
	rings := map[string]string{} // by visit: its offer that is open
	next := uint64(1)
	for e, err := range logOf(t, bugle) {
		if err != nil { // half a record of the moment of the kill: its Emit never returned
			continue
		}
		if e.Seq != next {
			t.Fatalf("event %d is followed by %d", next-1, e.Seq)
		}
		next++
		if e.At.Before(from) {
			continue
		}
		s.events++
		switch fact := e.Fact.(type) {
		case event.CallStarted:
			s.calls[e.Call] = ""
		case event.CallEnded:
			known(s.calls, e.Call, fact.Reason)
		case event.VisitJoined:
			s.visits[fact.Visit] = ""
		case event.VisitEnded:
			known(s.visits, fact.Visit, fact.Result)
			if _, there := s.visits[fact.Visit]; there && fact.Result == event.Answered {
				s.talks[fact.Visit] = -1
			}
		case event.TalkEnded:
			known(s.talks, fact.Visit, fact.Talk)
		case event.OfferMade:
			rings[fact.Visit] = offerName(fact.Visit, fact.Agent, e.At)
			s.offers[rings[fact.Visit]] = ""
		case event.OfferEnded:
			known(s.offers, rings[fact.Visit], fact.Result)
		case event.WrapUpEnded:
			s.wraps[fact.Visit] = fact.Took
		case event.LegEnded:
			s.legs[e.Call] = append(s.legs[e.Call], fmt.Sprint(fact))
		case event.RecordingMade:
			s.recordings[fact.Recording] = recordingOf(e, fact)
		case event.AgentChanged:
			s.states[stateName(fact.Agent, fact.To, fact.Reason, e.At)]++
		case event.Audited:
			s.audited[actName(fact.Object, fact.Detail)]++
		}
	}
	return s
}

// known notes the end of what began.
func known[V any](m map[string]V, key string, end V) {
	if _, began := m[key]; began {
		m[key] = end
	}
}

func offerName(visit, agent string, at time.Time) string {
	return fmt.Sprintf("%s %s %d", visit, agent, at.UnixMilli())
}

func stateName(agent, state, reason string, at time.Time) string {
	return fmt.Sprintf("%s %s %s %d", agent, state, reason, at.UnixMilli())
}

func logOf(t *testing.T, bugle *peer.Bugle) iter.Seq2[event.Event, error] {
	data := filepath.Join(bugle.Dir, "data")
	return event.Read(filepath.Join(data, "events"), keysOf(t, data))
}

const cutOff = "interrupted" // how what a kill cut off has ended

// compare waits until the database has all that the log had at the kill, and
// holds one against the other.
func compare(t *testing.T, bugle *peer.Bugle, cut told, acknowledged []string, from time.Time, all *tally) {
	t.Helper()
	data := filepath.Join(bugle.Dir, "data")
	db, err := store.Open(t.Context(), store.Options{DataDir: data, Node: "test", Sealer: keysOf(t, data)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// An act of the new life stands in the log behind all of the last one: when the
	// database has it, it has them. The ends of the visits that were cut off come later.
	mark := actMark(t, bugle)
	peer.Eventually(t, 60*time.Second, "the history to be in the new life", func() bool {
		for e, err := range db.Entries(t.Context(), time.Now().Add(-5*time.Minute), time.Now().Add(time.Hour)) {
			if err != nil {
				t.Fatal(err)
			}
			if actName(e.Object, e.Detail) == mark {
				return true
			}
		}
		return false
	})
	var visits map[string]store.Visit
	peer.Eventually(t, 60*time.Second, "every visit cut off to have an end", func() bool {
		visits = byID(t, db.Visits(t.Context(), from, time.Now().Add(time.Hour)), func(v store.Visit) string { return v.ID })
		for id := range cut.visits {
			if visits[id].Result == "" {
				return false
			}
		}
		return true
	})
	compareCalls(t, db, cut, all)
	compareRecordings(t, bugle, db, cut, all)
	compareVisits(t, db, cut, visits, all)
	compareOffers(t, db, cut, from, all)
	compareStates(t, db, cut, from, all)
	compareAudit(t, bugle, db, cut, acknowledged)
	all.events += cut.events
}

// byID gathers rows, each of which must be there once.
func byID[V any](t *testing.T, rows iter.Seq2[V, error], id func(V) string) map[string]V {
	t.Helper()
	m := map[string]V{}
	for v, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := m[id(v)]; twice {
			t.Fatalf("%s is there twice", id(v))
		}
		m[id(v)] = v
	}
	return m
}

func compareCalls(t *testing.T, db *store.Store, cut told, all *tally) {
	t.Helper()
	ends, legs := map[string]string{}, map[string][]string{}
	for search := (store.CallSearch{Limit: 1000}); ; {
		page, err := db.Calls(t.Context(), search)
		if err != nil {
			t.Fatal(err)
		}
		missing := false
		for _, c := range page.Calls {
			ends[c.ID] = c.Reason
			for _, l := range c.Legs {
				legs[c.ID] = append(legs[c.ID], fmt.Sprint(legFact(l)))
			}
		}
		for id := range cut.calls {
			_, there := ends[id]
			missing = missing || !there
		}
		if search.After = page.Next; page.Next == "" || !missing {
			break // the latest come first
		}
	}
	for id, reason := range cut.calls {
		want := reason
		if want == "" {
			want = cutOff
			all.callsCut++
		}
		if got, there := ends[id]; !there || got != want {
			t.Errorf("call %s ended %q, in the database (%t) %q", id, want, there, got)
		}
	}
	for id, want := range cut.legs {
		// Of a call that began before this reading the log knows only some.
		if got := legs[id]; cut.calls[id] != "" && !slices.Equal(got, want) {
			t.Errorf("call %s had the legs %v in the log and %v in the database", id, want, got)
		}
		all.legs += len(want)
	}
	all.calls += len(cut.calls)
}

func compareVisits(t *testing.T, db *store.Store, cut told, visits map[string]store.Visit, all *tally) {
	t.Helper()
	owed := byID(t, db.FollowUps(t.Context(), time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)), func(f store.FollowUp) string { return f.Visit })
	for id, result := range cut.visits {
		v, call := visits[id], owed[id]
		switch {
		case result == "" && (v.Result != event.CallBack || v.Reason != cutOff || call.ID != id):
			t.Errorf("visit %s was cut off and is %q (%s), owed a call: %q", id, v.Result, v.Reason, call.ID)
		case result == "":
			all.visitsCut++
		case v.Result != result:
			t.Errorf("visit %s ended %q in the log and %q in the database", id, result, v.Result)
		}
	}
	for id, talk := range cut.talks {
		switch v := visits[id]; {
		case v.TalkEnded.IsZero():
			t.Errorf("the talk of visit %s has no end", id)
		case talk < 0:
			all.talksCut++
		case v.Talk != talk:
			t.Errorf("the talk of visit %s lasted %v in the log and %v in the database", id, talk, v.Talk)
		}
	}
	for id, took := range cut.wraps {
		// That of a visit that joined before this reading is compared where the visit is.
		if v, there := visits[id]; there && (v.WrappedUp.IsZero() || v.WrapUp != took) {
			t.Errorf("the wrap-up of visit %s took %v in the log and %v in the database (ended: %t)", id, took, v.WrapUp, !v.WrappedUp.IsZero())
		}
	}
	all.wrapUps += len(cut.wraps)
	all.visits, all.talks = all.visits+len(cut.visits), all.talks+len(cut.talks)
}

func compareOffers(t *testing.T, db *store.Store, cut told, from time.Time, all *tally) {
	t.Helper()
	offers := byID(t, db.Offers(t.Context(), from, time.Now().Add(time.Hour)), func(o store.Offer) string { return offerName(o.Visit, o.Agent, o.Made) })
	for name, result := range cut.offers {
		want := result
		if want == "" {
			want = cutOff
			all.offersCut++
		}
		if got := offers[name].Result; got != want {
			t.Errorf("offer %s ended %q, in the database %q", name, want, got)
		}
	}
	all.offers += len(cut.offers)
}

func compareStates(t *testing.T, db *store.Store, cut told, from time.Time, all *tally) {
	t.Helper()
	states := map[string]int{}
	for s, err := range db.StateChanges(t.Context(), from, time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		states[stateName(s.Agent, s.State, s.Reason, s.At)]++
	}
	for name, n := range cut.states {
		if states[name] != n {
			t.Errorf("state %q is %d times in the log and %d times in the database", name, n, states[name])
		}
	}
	// No phone has registered in the new life yet.
	for a, err := range db.AgentsNow(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if a.State != "offline" {
			t.Errorf("agent %s is %s after the kill", a.Agent, a.State)
		}
	}
	all.states += len(cut.states)
}

// compareAudit holds what was acknowledged, and what the log says, against the
// chain. What was asked at the moment of the kill may be there or not.
func compareAudit(t *testing.T, bugle *peer.Bugle, db *store.Store, cut told, acknowledged []string) {
	t.Helper()
	entries := map[string]int{}
	for e, err := range db.Entries(t.Context(), time.Time{}, time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		name := actName(e.Object, e.Detail)
		if entries[name]++; entries[name] > 1 && isAct(name) {
			t.Errorf("%s is in the audit twice", name)
		}
	}
	for _, name := range acknowledged {
		if entries[name] != 1 {
			t.Errorf("%s was acknowledged and is in the audit %d times", name, entries[name])
		}
	}
	for name, n := range cut.audited {
		if isAct(name) && entries[name] != n {
			t.Errorf("%s is %d times in the log and %d times in the audit", name, n, entries[name])
		}
	}
	if verified, err := db.Verify(t.Context(), logOf(t, bugle)); err != nil || len(verified.Findings) > 0 {
		t.Errorf("the audit: %+v, %v", verified, err)
	}
}
