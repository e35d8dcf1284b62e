package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/google/go-cmp/cmp"
)

// written is a Source of a test's own. Like a database it gives what lies within
// the times asked for, in order.
type written struct {
	visits    []store.Visit
	states    []store.StateChange
	surveys   []store.Survey
	followUps []store.FollowUp
	fails     error // of Visits, at its end
}

func between[T any](all []T, at func(T) time.Time, from, to time.Time, fails error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !at(v).Before(from) && at(v).Before(to) && !yield(v, nil) {
				return
			}
		}
		if fails != nil {
			yield(*new(T), fails)
		}
	}
}

func (w *written) Visits(_ context.Context, from, to time.Time) iter.Seq2[store.Visit, error] {
	return between(w.visits, func(v store.Visit) time.Time { return v.Joined }, from, to, w.fails)
}

func (w *written) StateChanges(_ context.Context, from, to time.Time) iter.Seq2[store.StateChange, error] {
	return between(w.states, func(c store.StateChange) time.Time { return c.At }, from, to, nil)
}

func (w *written) Surveys(_ context.Context, from, to time.Time) iter.Seq2[store.Survey, error] {
	return between(w.surveys, func(a store.Survey) time.Time { return a.At }, from, to, nil)
}

func (w *written) FollowUps(_ context.Context, from, to time.Time) iter.Seq2[store.FollowUp, error] {
	return between(w.followUps, func(f store.FollowUp) time.Time { return f.DueTo }, from, to, nil)
}

func (w *written) FirstContacts(_ context.Context, from, to time.Time, within time.Duration) iter.Seq2[store.FirstContact, error] {
	var all []store.FirstContact
	for i, v := range w.visits {
		same := func(o store.Visit) bool {
			return o.CallerHash == v.CallerHash && o.Queue == v.Queue && o.Joined.Sub(v.Joined).Abs() <= within
		}
		talked := func(o store.Visit) bool { return same(o) && o.Result == event.Answered }
		if v.CallerHash != "" && v.Result == event.Answered && !slices.ContainsFunc(w.visits[:i], talked) {
			again := slices.ContainsFunc(w.visits[i+1:], func(o store.Visit) bool { return same(o) && o.Call != v.Call })
			all = append(all, store.FirstContact{Visit: v, Again: again})
		}
	}
	return between(all, func(c store.FirstContact) time.Time { return c.Joined }, from, to, w.fails)
}

// AgentTime sums up the states as a database does when they are written down.
func (w *written) AgentTime(_ context.Context, from, to time.Time, each bool) iter.Seq2[store.AgentTime, error] {
	const quarter = 15 * time.Minute
	var all []store.AgentTime
	for _, c := range w.states {
		for at := c.At.Add(-c.After); at.Before(c.At); {
			q := at.Truncate(quarter)
			until := q.Add(quarter)
			if until.After(c.At) {
				until = c.At
			}
			t := store.AgentTime{Quarter: q, State: c.Previous, Spent: until.Sub(at)}
			if each {
				t.Agent = c.Agent
			}
			all = append(all, t)
			at = until
		}
	}
	return between(all, func(t store.AgentTime) time.Time { return t.Quarter }, from, to, nil)
}

func (w *written) AgentsNow(context.Context) iter.Seq2[store.StateChange, error] {
	now := make(map[string]store.StateChange)
	for _, c := range w.states {
		now[c.Agent] = c
	}
	return between(slices.Collect(maps.Values(now)), func(c store.StateChange) time.Time { return c.At }, time.Time{}, clock(31, 0, 0), nil)
}

// at is a time of day in tests whose clock stands at the beginning of 2000.
func clock(day, hour, minute int) time.Time {
	return time.Date(2000, 1, day, hour, minute, 0, 0, time.UTC)
}

func total(t *testing.T, source Source, from, to time.Time, q Query) Counts {
	t.Helper()
	q.From, q.To = from, to
	made, err := (&Reporter{Source: source, Queues: testQueues}).Report(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return made.Total
}

func TestTotalsAndIntervalsAgree(t *testing.T) {
	r := referenceReporter(t)
	var want Counts
	for i, by := range [][]Dimension{
		nil, {ByQueue}, {ByLanguage, ByClass}, {ByAgent}, {ByTier}, {ByNumber}, {ByQueue, ByLanguage, ByTier, ByNumber, ByAgent, ByClass},
	} {
		for interval := range intervalNames {
			q, err := Request{From: "2025-10-20", To: "2025-11-03", Resolution: true}.Query(r.Zone, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			q.Interval, q.By = Interval(interval), by
			made, err := r.Report(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			got := made.Total
			if i == 0 && interval == 0 {
				want = got
			}
			for _, row := range made.Rows {
				if row.Offered != row.Answered+row.Abandoned+row.CalledBack+row.FlowedOut+row.Waiting() {
					t.Errorf("by %v %v: %+v", by, q.Interval, row)
				}
			}
			if len(by) > 0 && by[0] != ByAgent || len(by) > 1 { // agents' time has no other value
				got.Ready, got.Busy = want.Ready, want.Busy
			}
			if i > 2 { // a promise is no agent's, no tier's and of no number
				got.PromisesDue, got.PromisesKept = want.PromisesDue, want.PromisesKept
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("by %v %v: want (-), got (+):\n%s", by, q.Interval, diff)
			}
		}
	}
}

// Without a split every interval has its row, so that a sheet has no gaps.
func TestEmptyIntervals(t *testing.T) {
	made, err := (&Reporter{Source: &written{}}).Report(t.Context(), Query{From: clock(1, 0, 0), To: clock(2, 0, 0), Interval: Quarter})
	if err != nil || len(made.Rows) != 96 || made.Total != (Counts{}) {
		t.Errorf("%d rows, %v, %v", len(made.Rows), made.Total, err)
	}
	made, err = (&Reporter{Source: &written{}}).Report(t.Context(), Query{From: clock(1, 0, 0), To: clock(2, 0, 0), Interval: Quarter, By: []Dimension{ByQueue}})
	if err != nil || len(made.Rows) != 0 {
		t.Errorf("%d rows, %v", len(made.Rows), err)
	}
}

func TestReportsThatCantBe(t *testing.T) {
	broken := errors.New("the database is away")
	many := &written{}
	for i := range MaxRows + 1 {
		many.visits = append(many.visits, store.Visit{Joined: clock(1, 0, 0).Add(time.Duration(i) * time.Millisecond), Agent: fmt.Sprint(i)})
	}
	for _, test := range []struct {
		name   string
		source Source
		query  Query
		want   error
	}{
		{"ends before it begins", &written{}, Query{From: clock(2, 0, 0), To: clock(1, 0, 0)}, ErrRequest},
		{"too many intervals", &written{}, Query{From: clock(1, 0, 0), To: clock(1, 0, 0).AddDate(10, 0, 0), Interval: Quarter}, ErrRequest},
		{"too many rows", many, Query{From: clock(1, 0, 0), To: clock(2, 0, 0), By: []Dimension{ByAgent}}, ErrRequest},
		{"database", &written{fails: broken}, Query{From: clock(1, 0, 0), To: clock(2, 0, 0)}, broken},
		{"database, asked for resolution", &written{fails: broken}, Query{From: clock(1, 0, 0), To: clock(2, 0, 0), Resolution: true}, broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := (&Reporter{Source: test.source}).Report(t.Context(), test.query); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Reporter{Source: &written{}}).Report(ctx, Query{From: clock(1, 0, 0), To: clock(2, 0, 0)}); !errors.Is(err, context.Canceled) {
		t.Errorf("a report nobody waits for: %v", err)
	}
}

func TestPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(clock(3, 12, 0)))
		due := func(to time.Time, result store.FollowUpResult, settled time.Time) store.FollowUp {
			return store.FollowUp{Queue: "claims", Language: "es", DueFrom: to.Add(-time.Hour), DueTo: to, Result: result, Settled: settled}
		}
		w := &written{followUps: []store.FollowUp{
			due(clock(2, 23, 59), store.FollowUpDone, clock(2, 23, 0)), // yesterday's
			due(clock(3, 10, 0), store.FollowUpDone, clock(3, 10, 0)),  // just in time
			due(clock(3, 10, 0), store.FollowUpDone, clock(3, 10, 1)),  // late
			due(clock(3, 10, 0), store.FollowUpFailed, clock(3, 9, 0)),
			due(clock(3, 10, 0), store.FollowUpDropped, clock(3, 9, 0)),
			due(clock(3, 10, 0), store.FollowUpErased, clock(3, 9, 0)), // taken back
			due(clock(3, 12, 0), "", time.Time{}),                      // overdue
			due(clock(3, 12, 1), "", time.Time{}),                      // may still be kept
			due(clock(3, 20, 0), store.FollowUpDone, clock(3, 11, 0)),  // kept early
			due(clock(4, 0, 0), store.FollowUpDone, clock(3, 11, 0)),   // tomorrow's
		}}
		w.followUps[1].DueFrom = clock(5, 0, 0) // put off by a try that failed; it counts where it was due
		for _, by := range [][]Dimension{nil, {ByQueue, ByLanguage, ByClass}} {
			c := total(t, w, clock(3, 0, 0), clock(4, 0, 0), Query{Interval: Quarter, By: by})
			if got := c.Promises(); got != (Ratio{2, 6}) {
				t.Errorf("by %v: kept %v", by, got)
			}
		}
		if c := total(t, w, clock(3, 0, 0), clock(4, 0, 0), Query{By: []Dimension{ByAgent}}); c.PromisesDue != 0 {
			t.Errorf("an agent's: %v", c.Promises())
		}
	})
}

// A state that nothing ended goes on until now, but not for ever.
func TestShiftsThatGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(clock(3, 12, 0)))
		w := &written{states: []store.StateChange{
			{Agent: "crashed", State: "talking", At: clock(1, 20, 0), Previous: "reserved", After: time.Minute},
			{Agent: "early", State: "ready", At: clock(3, 2, 0), Previous: "offline", After: 99 * time.Hour},
			{Agent: "anna", State: "ready", At: clock(3, 10, 0), Previous: "paused", After: time.Hour},
			{Agent: "anna", State: "talking", At: clock(3, 11, 30), Previous: "ready", After: 90 * time.Minute},
		}}
		for _, test := range []struct {
			from, to    time.Time
			ready, busy time.Duration
		}{
			{clock(3, 0, 0), clock(4, 0, 0), 10*time.Hour + 90*time.Minute, 30 * time.Minute},
			{clock(3, 11, 0), clock(3, 12, 0), time.Hour + 30*time.Minute, 30 * time.Minute}, // early has been ready for hours
			{clock(2, 0, 0), clock(3, 0, 0), 0, 8 * time.Hour},                               // as long as a shift can be
			{clock(3, 12, 0), clock(3, 13, 0), 0, 0},                                         // is not yet
		} {
			for interval := range intervalNames {
				// crashed is seen only where the day before is read.
				c := total(t, w, test.from, test.to, Query{Interval: Interval(interval), By: []Dimension{ByAgent}})
				if test.from.Equal(clock(2, 0, 0)) {
					c = total(t, w, clock(1, 0, 0), test.to, Query{Interval: Interval(interval)})
					c.Busy -= 4 * time.Hour
				}
				if c.Ready != test.ready || c.Busy != test.busy {
					t.Errorf("%v to %v by %v: ready %v, busy %v", test.from, test.to, Interval(interval), c.Ready, c.Busy)
				}
			}
		}
	})
}

func TestFirstContactResolution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(clock(20, 0, 0)))
		n := 0
		visit := func(caller string, joined time.Time, queue string, result event.VisitResult) store.Visit {
			n++
			return store.Visit{Call: fmt.Sprint(n), CallerHash: caller, Joined: joined, Queue: queue, Result: result}
		}
		ten := clock(10, 10, 0)
		week := 7 * 24 * time.Hour
		for _, test := range []struct {
			name   string
			visits []store.Visit
			want   Ratio
		}{
			{"once", []store.Visit{visit("a", ten, "claims", event.Answered)}, Ratio{1, 1}},
			{"again", []store.Visit{visit("a", ten, "claims", event.Answered), visit("a", ten.Add(week), "claims", event.Abandoned)}, Ratio{0, 1}},
			{"too late", []store.Visit{visit("a", ten, "claims", event.Answered), visit("a", ten.Add(week+time.Millisecond), "claims", event.Answered)}, Ratio{1, 1}},
			{"three times is one caller", []store.Visit{visit("a", ten, "claims", event.Answered), visit("a", ten.Add(time.Hour), "claims", event.Answered),
				visit("a", ten.Add(2*time.Hour), "claims", event.Answered)}, Ratio{0, 1}},
			{"another subject", []store.Visit{visit("a", ten, "claims", event.Answered), visit("a", ten.Add(time.Hour), "urgent", event.Answered)}, Ratio{2, 2}},
			{"another caller", []store.Visit{visit("a", ten, "claims", event.Answered), visit("b", ten.Add(time.Hour), "claims", event.Answered)}, Ratio{2, 2}},
			{"withheld", []store.Visit{visit("", ten, "claims", event.Answered)}, Ratio{}},
			{"gave up", []store.Visit{visit("a", ten, "claims", event.Abandoned)}, Ratio{}},
			{"gave up, then talked", []store.Visit{visit("a", ten, "claims", event.Abandoned), visit("a", ten.Add(time.Hour), "claims", event.Answered)}, Ratio{1, 1}},
			{"talked the week before", []store.Visit{visit("a", ten.Add(-week), "claims", event.Answered), visit("a", ten, "claims", event.Answered)}, Ratio{}},
			{"talked long before", []store.Visit{visit("a", ten.Add(-week-time.Millisecond), "claims", event.Answered), visit("a", ten, "claims", event.Answered)}, Ratio{1, 1}},
			{"the same call", []store.Visit{
				{Call: "x", CallerHash: "a", Joined: ten, Queue: "claims", Result: event.Answered},
				{Call: "x", CallerHash: "a", Joined: ten.Add(time.Minute), Queue: "claims", Result: event.Answered}}, Ratio{1, 1}},
		} {
			for _, interval := range []Interval{Whole, Quarter} {
				c := total(t, &written{visits: test.visits}, clock(10, 0, 0), clock(11, 0, 0), Query{Interval: interval, Resolution: true})
				if got := c.FirstContactResolution(); got != test.want {
					t.Errorf("%s: %v, want %v", test.name, got, test.want)
				}
			}
		}

		// Whose seven days are not over is neither resolved nor not.
		w := &written{visits: []store.Visit{
			visit("a", clock(13, 0, 0), "claims", event.Answered), visit("b", clock(13, 0, 1), "claims", event.Answered),
			visit("c", clock(14, 0, 0), "claims", event.Answered), visit("c", clock(14, 1, 0), "claims", event.Answered),
		}}
		if got := total(t, w, clock(13, 0, 0), clock(15, 0, 0), Query{Resolution: true}).FirstContactResolution(); got != (Ratio{1, 1}) {
			t.Errorf("of the last days: %v", got)
		}
		if got := total(t, w, clock(13, 0, 0), clock(15, 0, 0), Query{}).FirstContactResolution(); got != (Ratio{}) {
			t.Errorf("not asked for: %v", got)
		}
	})
}

func TestSurveysOutsideTheScale(t *testing.T) {
	var c Counts
	for _, question := range []string{"csat", "nps", "colour"} {
		for answer := -1; answer <= 11; answer++ {
			c.surveyed(question, answer)
		}
	}
	if c.Satisfaction() != (Ratio{2, 5}) || c.PromoterScore() != (Score{2, 7, 11}) {
		t.Errorf("%+v", c)
	}
}

func TestWrite(t *testing.T) {
	r := referenceReporter(t)
	q, err := Request{From: "2025-10-26T02:00:00+02:00", To: "2025-10-26T03:00", Interval: "60m", By: "queue,language"}.Query(r.Zone, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Report(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[Format]string{
		CSV: `from,to,queue,language,offered,answered,answered_in_goal,abandoned,abandoned_in_goal,short_abandoned,called_back,flowed_out,waiting,` +
			`service_level,service_level_answered,service_level_without_short,service_level_with_abandoned,` +
			`abandonment,abandonment_of_offered,abandonment_without_short,speed_of_answer_seconds,estimated,estimate_bias_seconds,estimate_error_seconds,` +
			`handled,talk_seconds,hold_seconds,wrap_up_seconds,handle_time_seconds,handle_time_routine_seconds,handle_time_clinical_seconds,` +
			`escalated,escalation,ready_seconds,busy_seconds,occupancy,first_contacts,first_contact_resolution,promises_due,promises_kept,` +
			`satisfaction_answers,satisfaction,promoter_answers,promoter_score
2025-10-26T02:00:00+02:00,2025-10-26T02:00:00+01:00,urgent,es,2,2,2,0,0,0,0,0,0,1,1,1,1,0,0,0,7.5,0,,,2,1500,60,220,890,,890,0,0,0,0,,0,,0,,0,,0,
2025-10-26T02:00:00+01:00,2025-10-26T03:00:00+01:00,urgent,es,2,1,0,1,1,1,0,0,0,0,0,0,0.5,0.5,0.5,0,11,0,,,1,1200,0,200,1400,,1400,1,1,0,0,,0,,0,,0,,0,
`,
		Table: `2025-10-26 02:00 until before 2025-10-26 03:00, Europe/Berlin

service level               50.0 %   (66.7 % of those answered, 66.7 % without short abandons, 75.0 % with abandons in time)
abandoned                   25.0 %   (25.0 % of those offered, 0.0 % without short abandons)
speed of answer              8.7 s
estimated wait off by            –   (– too long in the mean, 0 estimates)
handle time                  17:40   (– routine, 17:40 clinical)
occupancy                        –
escalation                  33.3 %
first-contact resolution         –   (0 contacts)
promises kept                    –   (0 due)
satisfaction                     –   (0 answers)
promoter score                   –   (0 answers)

                    from   queue  language  offered  answered  in goal  abandoned  flowed out  service  abandoned     ASA    AHT  occupancy
  2025-10-26 02:00+02:00  urgent        es        2         2        2          0           0  100.0 %      0.0 %   7.5 s  14:50          –
  2025-10-26 02:00+01:00  urgent        es        2         1        0          1           0    0.0 %     50.0 %  11.0 s  23:20          –
                   total                          4         3        2          1           0   50.0 %     25.0 %   8.7 s  17:40          –
`,
	} {
		var b strings.Builder
		if err := made.Write(&b, format); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", format, diff)
		}
	}
	var b strings.Builder
	if err := made.Write(&b, JSON); err != nil {
		t.Fatal(err)
	}
	const head = `{"from":"2025-10-26T02:00:00+02:00","to":"2025-10-26T03:00:00+01:00","time_zone":"Europe/Berlin","interval":"60m","by":["queue","language"],"total":{"offered":4,`
	var read struct {
		Total map[string]*float64
		Rows  []struct {
			From, To        time.Time
			Queue, Language string
			Offered         int
			Level           float64  `json:"service_level"`
			Occupancy       *float64 `json:"occupancy"`
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &read); err != nil || !strings.HasPrefix(b.String(), head) {
		t.Fatalf("%v:\n%s", err, b.String())
	}
	if len(read.Total) != len(figures) || *read.Total["service_level"] != 0.5 || read.Total["occupancy"] != nil {
		t.Errorf("total %v", read.Total)
	}
	if r := read.Rows; len(r) != 2 || r[0].Queue != "urgent" || r[0].Language != "es" || r[0].Level != 1 || r[1].Level != 0 || r[1].Occupancy != nil || !r[0].To.Equal(r[1].From) {
		t.Errorf("rows %+v", r)
	}
}

// What the sums by quarter of an hour give is what reading every change gives, also
// where clocks change and where states reach over intervals, days and the report's
// ends. In a zone whose days begin between quarters the changes are read.
func TestAgentTimeBySumsAndByChanges(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	rnd := rand.New(rand.NewPCG(1, 2))
	from := time.Date(2025, 10, 25, 0, 0, 0, 0, berlin) // clocks go back on the 26th
	w := &written{}
	for a := range 6 {
		at, was := from.Add(-2*time.Hour), "offline"
		for at.Before(from.AddDate(0, 0, 3)) {
			took := time.Duration(rnd.IntN(7_200_000)) * time.Millisecond
			at = at.Add(took)
			now := agentStates[rnd.IntN(len(agentStates))]
			w.states = append(w.states, store.StateChange{Agent: fmt.Sprint("a", a), State: now, Previous: was, At: at, After: took})
			was = now
		}
	}
	slices.SortFunc(w.states, func(a, b store.StateChange) int { return a.At.Compare(b.At) })
	odd := time.FixedZone("odd", 7*60)
	for _, to := range []time.Time{from.AddDate(0, 0, 2), from.Add(30 * time.Hour), from.Add(26*time.Hour + 15*time.Minute)} {
		for _, by := range [][]Dimension{nil, {ByAgent}} {
			sums, err := (&Reporter{Source: w, Zone: berlin}).Report(t.Context(), Query{From: from, To: to, Interval: Hour, By: by})
			if err != nil {
				t.Fatal(err)
			}
			changes, err := (&Reporter{Source: w, Zone: odd}).Report(t.Context(), Query{From: from, To: to, Interval: Quarter, By: by})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(changes.Total, sums.Total); diff != "" || sums.Total.Ready == 0 {
				t.Errorf("until %v by %v: changes (-), sums (+):\n%s", to, by, diff)
			}
			for _, row := range sums.Rows { // and hour by hour
				one, err := (&Reporter{Source: w, Zone: odd}).Report(t.Context(), Query{From: row.From, To: row.To, Interval: Hour, By: by})
				if err != nil {
					t.Fatal(err)
				}
				var want Counts
				for _, o := range one.Rows {
					if slices.Equal(o.Values, row.Values) {
						want = want.Plus(o.Counts)
					}
				}
				if row.Ready != want.Ready || row.Busy != want.Busy {
					t.Errorf("%v %v: ready %v and busy %v, want %v and %v", row.From, row.Values, row.Ready, row.Busy, want.Ready, want.Busy)
				}
			}
		}
	}
}

func TestWhichReportsTakeSums(t *testing.T) {
	berlin, nepal := zone(t, "Europe/Berlin"), zone(t, "Asia/Kathmandu")
	from := time.Date(2025, 10, 26, 0, 0, 0, 0, berlin)
	for _, test := range []struct {
		calendar
		want bool
	}{
		{calendar{berlin, Quarter, span{from, from.AddDate(0, 0, 1)}}, true},
		{calendar{berlin, Day, span{from, from.AddDate(0, 0, 9)}}, true},
		{calendar{nepal, Hour, span{from, from.AddDate(0, 0, 1)}}, true}, // +05:45
		{calendar{berlin, Whole, span{from.Add(time.Minute), from.AddDate(0, 0, 1)}}, false},
		{calendar{berlin, Whole, span{from, from.Add(time.Hour + time.Millisecond)}}, false},
		{calendar{time.FixedZone("odd", 7*60), Hour, span{from, from.AddDate(0, 0, 1)}}, false},
		{calendar{time.FixedZone("odd", 7*60), Whole, span{from, from.AddDate(0, 0, 1)}}, true},
	} {
		if got := test.quarters(); got != test.want {
			t.Errorf("%v in %v from %v to %v: %v", test.interval, test.zone, test.whole.from, test.whole.to, got)
		}
	}
}
