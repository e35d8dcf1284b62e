package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/test/peer"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// The reference day: a committed log, and a sheet of the figures it must give,
// worked out by hand. See testdata/reference-day.
const referenceDay = "testdata/reference-day"

// What is configured now is not what held on the day: goals are those that the
// events tell.
var referenceQueues = map[string]config.Queue{
	"claims": {Goal: config.Duration(time.Minute), ShortAbandon: config.Duration(time.Second), Class: "routine"},
	"urgent": {Goal: config.Duration(time.Second), ShortAbandon: config.Duration(time.Minute), Class: "clinical"},
}

// The committed log is what its generator writes.
func TestReferenceDayIsGenerated(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./"+referenceDay, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"events.jsonl", "followups.csv"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(referenceDay, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what go run ./report/%s writes (%v)", name, referenceDay, err)
		}
	}
}

// referenceEvents reads the log as bugle events prints one.
func referenceEvents(t *testing.T) []event.Event {
	t.Helper()
	f, err := os.Open(filepath.Join(referenceDay, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	facts := kinds(
		reads[event.CallStarted], reads[event.CallAnswered], reads[event.CallEnded], reads[event.VisitJoined], reads[event.VisitEnded],
		reads[event.OfferMade], reads[event.OfferEnded], reads[event.TalkEnded], reads[event.WrapUpEnded], reads[event.AgentChanged],
		reads[event.SurveyAnswered], reads[event.FollowUpSettled],
	)
	var all []event.Event
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l struct {
			Seq  uint64
			At   time.Time
			Kind string
			Call string
			Fact json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		fact, err := facts[l.Kind](l.Fact)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, event.Event{Seq: l.Seq, At: l.At, Call: l.Call, Fact: fact})
	}
	return all
}

type factReader func(json.RawMessage) (event.Fact, error)

func reads[F event.Fact](data json.RawMessage) (event.Fact, error) {
	var f F
	err := json.Unmarshal(data, &f)
	return f, err
}

func kinds(readers ...factReader) map[string]factReader {
	m := make(map[string]factReader)
	for _, read := range readers {
		zero, _ := read(json.RawMessage("{}"))
		m[zero.Kind()] = read
	}
	return m
}

// onBoth runs a test on the reference day in both databases.
func onBoth(t *testing.T, test func(t *testing.T, r *Reporter)) {
	t.Run("sqlite", func(t *testing.T) { test(t, referenceReporter(t)) })
	t.Run("postgres", func(t *testing.T) {
		test(t, reporterOn(t, config.Store{Postgres: peer.StartPostgres(t).Database(t)}))
	})
}

// referenceReporter takes the log into a database and reports on that.
func referenceReporter(t *testing.T) *Reporter { return reporterOn(t, config.Store{}) }

func reporterOn(t *testing.T, c config.Store) *Reporter {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Config: c, DataDir: t.TempDir(), Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	addFollowUps(t, s)
	history := s.History(referenceQueues)
	for batch := range slices.Chunk(referenceEvents(t), 300) {
		for range 2 { // what comes twice counts once
			if err := history.Apply(t.Context(), store.Origin{Node: "n1", Log: "reference"}, batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &Reporter{Source: s, Queues: referenceQueues, Zone: zone(t, "Europe/Berlin")}
}

// addFollowUps writes down what is owed, before it is settled.
func addFollowUps(t *testing.T, s *store.Store) {
	f, err := os.Open(filepath.Join(referenceDay, "followups.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		due, err := time.Parse(time.RFC3339, row[3])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddFollowUp(t.Context(), store.FollowUp{
			ID: row[0], Kind: store.Promised, Queue: row[1], Language: row[2], DueFrom: due.Add(-4 * time.Hour), DueTo: due,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// section is one report of the sheet and what one row of it must show.
type section struct {
	title   string
	request Request
	values  []string
	at      string // beginning of the row; empty if there is but one
	figures [][2]string
}

func readSheet(t *testing.T) []section {
	t.Helper()
	sheet, err := os.ReadFile(filepath.Join(referenceDay, "sheet.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []section
	for _, part := range strings.Split(string(sheet), "\n## ")[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		s := section{title: title, request: Request{Resolution: true}}
		for line := range strings.Lines(rest) {
			line = strings.TrimSpace(line)
			if query, ok := strings.CutPrefix(line, "`"); ok {
				s.read(strings.Fields(strings.Trim(query, "`")))
			}
			if cells := strings.Split(line, "|"); len(cells) == 5 {
				s.figures = append(s.figures, [2]string{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[3])})
			}
		}
		s.figures = s.figures[2:] // the table's heading
		all = append(all, s)
	}
	return all
}

// read reads "from A to B interval I by D row V at T"; by, row and at may have
// nothing behind them.
func (s *section) read(words []string) {
	keys := []string{"from", "to", "interval", "by", "row", "at"}
	given := map[string]string{}
	for i, word := range words {
		if slices.Contains(keys, word) && i+1 < len(words) && !slices.Contains(keys, words[i+1]) {
			given[word] = words[i+1]
		}
	}
	s.request.From, s.request.To = given["from"], given["to"]
	s.request.Interval, s.request.By, s.at = given["interval"], given["by"], given["at"]
	if row := given["row"]; row != "" {
		s.values = strings.Split(strings.ReplaceAll(row, "-", ""), ",") // "-" is the empty value
	}
}

func TestReferenceDay(t *testing.T) { onBoth(t, testReferenceDay) }

func testReferenceDay(t *testing.T, r *Reporter) {
	checked := 0
	for _, s := range readSheet(t) {
		t.Run(s.title, func(t *testing.T) {
			q, err := s.request.Query(r.Zone, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			made, err := r.Report(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			row := find(t, made, s.at, s.values)
			for _, f := range s.figures {
				got := shown(t, f[0], &row.Counts)
				if !slices.Contains(got, f[1]) {
					t.Errorf("%s is %v, the sheet has %s", f[0], got, f[1])
				}
				checked++
			}
		})
	}
	if checked < 100 {
		t.Errorf("only %d figures of the sheet were checked", checked)
	}
}

func find(t *testing.T, r *Report, at string, values []string) Row {
	t.Helper()
	for _, row := range r.Rows {
		if (at == "" || row.From.Format(time.RFC3339) == at) && slices.Equal(row.Values, values) {
			return row
		}
	}
	t.Fatalf("no row of %v at %q", values, at)
	return Row{}
}

// shown gives a figure as people read it and as programs do.
func shown(t *testing.T, name string, c *Counts) []string {
	t.Helper()
	for _, f := range figures {
		if f.name == name {
			v := f.value(c)
			return []string{v.String(), string(v.append(nil))}
		}
	}
	t.Fatalf("there is no figure %q", name)
	return nil
}

// A node that hears of the same events has the same figures, and exports them.
func TestReferenceDayByMetrics(t *testing.T) { onBoth(t, testReferenceDayByMetrics) }

func testReferenceDayByMetrics(t *testing.T, r *Reporter) {
	f := New(referenceQueues, []string{"en", "es"})
	for _, ev := range referenceEvents(t) {
		f.Observe(ev)
	}
	q, err := Request{From: "2025-10-20", To: "2025-11-03", Interval: "none"}.Query(r.Zone, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Report(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	withoutPromises := func(c Counts) Counts { // the database knows them, no node does
		c.PromisesDue, c.PromisesKept = 0, 0
		return c
	}
	if diff := cmp.Diff(withoutPromises(made.Total), f.Total()); diff != "" {
		t.Errorf("report (-), running node (+):\n%s", diff)
	}

	q.By = []Dimension{ByQueue, ByLanguage}
	if made, err = r.Report(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	for _, l := range f.Lines() {
		c := find(t, made, "", []string{l.Queue, l.Language}).Counts
		if diff := cmp.Diff(withoutPromises(c), l.Counts); diff != "" {
			t.Errorf("%s/%s: report (-), running node (+):\n%s", l.Queue, l.Language, diff)
		}
	}
	resolution := NewResolution(r)
	if err := resolution.Update(t.Context(), time.Date(2025, 11, 9, 12, 0, 0, 0, r.Zone)); err != nil {
		t.Fatal(err)
	}
	promises := NewPromises(r)
	if err := promises.Update(t.Context(), time.Date(2025, 11, 2, 12, 0, 0, 0, r.Zone)); err != nil {
		t.Fatal(err)
	}
	checkExported(t, f, resolution, promises)
}

// checkExported holds the metrics against the sheet.
func checkExported(t *testing.T, collectors ...prometheus.Collector) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums, counts := map[string]float64{}, map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			sums[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			counts[family.GetName()] += float64(m.GetHistogram().GetSampleCount())
		}
	}
	metrics := map[string]string{
		"offered": "queue_offered_total", "answered": "queue_answered_total", "answered_in_goal": "queue_answered_in_goal_total",
		"abandoned": "queue_abandoned_total", "abandoned_in_goal": "queue_abandoned_in_goal_total",
		"short_abandoned": "queue_short_abandoned_total", "called_back": "queue_called_back_total", "flowed_out": "queue_flowed_out_total", "waiting": "queue_waiting",
		"escalated": "queue_escalated_total", "ready_seconds": "agents_ready_seconds_total", "busy_seconds": "agents_busy_seconds_total",
		"talk_seconds": "queue_talk_seconds", "hold_seconds": "queue_hold_seconds", "wrap_up_seconds": "queue_wrapup_seconds",
		"promises_due": "promises_due", "satisfaction_answers": "queue_satisfaction_answers_total",
		"promoter_answers": "queue_promoter_answers_total",
	}
	// Figures that Prometheus makes of several metrics.
	made := map[string]value{
		"estimate_error_seconds": seconds(each(sums["bugle_queue_estimate_error_seconds"], counts["bugle_queue_estimate_error_seconds"])),
		"estimate_bias_seconds": seconds(each(sums["bugle_queue_estimate_too_long_seconds_total"]-sums["bugle_queue_estimate_too_short_seconds_total"],
			counts["bugle_queue_estimate_error_seconds"])),
		"estimated":      number(counts["bugle_queue_estimate_error_seconds"]),
		"promises_kept":  Ratio{uint64(sums["bugle_promises_kept"]), uint64(sums["bugle_promises_due"])},
		"satisfaction":   Ratio{uint64(sums["bugle_queue_satisfied_total"]), uint64(sums["bugle_queue_satisfaction_answers_total"])},
		"promoter_score": Score{uint64(sums["bugle_queue_promoters_total"]), uint64(sums["bugle_queue_detractors_total"]), uint64(sums["bugle_queue_promoter_answers_total"])},
	}
	resolved := map[string]value{
		"first_contacts":           number(sums["bugle_first_contacts"]),
		"first_contact_resolution": Ratio{uint64(sums["bugle_first_contacts_resolved"]), uint64(sums["bugle_first_contacts"])},
	}
	sheet := readSheet(t)
	whole, week := sheet[len(sheet)-2], sheet[len(sheet)-1]
	for _, figure := range whole.figures {
		if name := metrics[figure[0]]; name != "" {
			if got := fmt.Sprint(sums["bugle_"+name]); got != figure[1] {
				t.Errorf("bugle_%s is %s, the sheet has %s", name, got, figure[1])
			}
			delete(metrics, figure[0])
		}
		holdAgainst(t, made, figure)
	}
	for _, figure := range week.figures {
		holdAgainst(t, resolved, figure)
	}
	if len(metrics)+len(made)+len(resolved) > 0 {
		t.Errorf("not in the sheet: %v %v %v", metrics, made, resolved)
	}
}

// each is a mean in seconds, as Prometheus divides.
func each(sum, n float64) time.Duration {
	return time.Duration(sum / n * float64(time.Second)).Round(time.Microsecond)
}

// holdAgainst compares a figure with the sheet's, if it is one of those, and takes it out.
func holdAgainst(t *testing.T, made map[string]value, figure [2]string) {
	t.Helper()
	v, ok := made[figure[0]]
	if !ok {
		return
	}
	if got := []string{v.String(), string(v.append(nil))}; !slices.Contains(got, figure[1]) {
		t.Errorf("the metrics say that %s is %v, the sheet has %s", figure[0], got, figure[1])
	}
	delete(made, figure[0])
}
