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
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// The reference day: a committed log, and a sheet of the figures it must give,
// worked out by hand. See testdata/reference-day.
const referenceDay = "testdata/reference-day"

var (
	referenceQueues = map[string]config.Queue{
		"claims": {Goal: config.Duration(20 * time.Second), ShortAbandon: config.Duration(5 * time.Second), Class: "routine"},
		"urgent": {Goal: config.Duration(10 * time.Second), ShortAbandon: config.Duration(2 * time.Second), Class: "clinical"},
	}
	referenceAgents = map[string]config.Agent{"anna": {Tier: 1}, "bert": {Tier: 1}, "carl": {Tier: 2}, "dora": {Tier: 3}}
)

// The committed log is what its generator writes.
func TestReferenceDayIsGenerated(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./"+referenceDay, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"events.jsonl", "surveys.csv"} {
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

// referenceReporter takes the log into a database and reports on that.
func referenceReporter(t *testing.T) *Reporter {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DataDir: t.TempDir(), Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Seed(t.Context(), referenceAgents); err != nil {
		t.Fatal(err)
	}
	history := s.History(referenceQueues)
	for batch := range slices.Chunk(referenceEvents(t), 300) {
		for range 2 { // what comes twice counts once
			if err := history.Apply(t.Context(), store.Origin{Node: "n1", Log: "reference"}, batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	addSurveys(t, s)
	return &Reporter{Source: s, Queues: referenceQueues, Zone: zone(t, "Europe/Berlin")}
}

func addSurveys(t *testing.T, s *store.Store) {
	f, err := os.Open(filepath.Join(referenceDay, "surveys.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		answer, _ := strconv.Atoi(row[3])
		given, err := time.Parse(time.RFC3339, row[4])
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AddSurvey(t.Context(), store.Survey{Call: row[0], Visit: row[1], Question: row[2], Answer: answer, At: given}); err != nil {
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

func TestReferenceDay(t *testing.T) {
	r := referenceReporter(t)
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
func TestReferenceDayByMetrics(t *testing.T) {
	f := New(referenceQueues, []string{"en", "es"})
	f.Tiers(func(agent string) int { return referenceAgents[agent].Tier })
	for _, ev := range referenceEvents(t) {
		f.Observe(ev)
	}
	r := referenceReporter(t)
	q, err := Request{From: "2025-10-20", To: "2025-11-03", Interval: "none"}.Query(r.Zone, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Report(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	want := made.Total
	want.Rated, want.Satisfied, want.Scored, want.Promoters, want.Detracted = 0, 0, 0, 0, 0 // not events
	if diff := cmp.Diff(want, f.Total()); diff != "" {
		t.Errorf("report (-), running node (+):\n%s", diff)
	}

	q.By = []Dimension{ByQueue, ByLanguage}
	if made, err = r.Report(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	for _, l := range f.Lines() {
		c := find(t, made, "", []string{l.Queue, l.Language}).Counts
		c.Rated, c.Satisfied, c.Scored, c.Promoters, c.Detracted = 0, 0, 0, 0, 0
		if diff := cmp.Diff(c, l.Counts); diff != "" {
			t.Errorf("%s/%s: report (-), running node (+):\n%s", l.Queue, l.Language, diff)
		}
	}
	checkExported(t, f)
}

// checkExported holds the metrics against the sheet.
func checkExported(t *testing.T, f *Figures) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(f)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			sums[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	metrics := map[string]string{
		"offered": "queue_offered_total", "answered": "queue_answered_total", "answered_in_goal": "queue_answered_in_goal_total",
		"abandoned": "queue_abandoned_total", "abandoned_in_goal": "queue_abandoned_in_goal_total",
		"short_abandoned": "queue_short_abandoned_total", "called_back": "queue_called_back_total", "flowed_out": "queue_flowed_out_total", "waiting": "queue_waiting",
		"escalated": "queue_escalated_total", "ready_seconds": "agents_ready_seconds_total", "busy_seconds": "agents_busy_seconds_total",
		"talk_seconds": "queue_talk_seconds", "hold_seconds": "queue_hold_seconds", "wrap_up_seconds": "queue_wrapup_seconds",
	}
	sheet := readSheet(t)
	whole := sheet[len(sheet)-1]
	for _, figure := range whole.figures {
		if name := metrics[figure[0]]; name != "" {
			if got := fmt.Sprint(sums["bugle_"+name]); got != figure[1] {
				t.Errorf("bugle_%s is %s, the sheet has %s", name, got, figure[1])
			}
			delete(metrics, figure[0])
		}
	}
	if len(metrics) > 0 {
		t.Errorf("not in the sheet: %v", metrics)
	}
}
