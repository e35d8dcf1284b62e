package report

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/call"
	"github.com/bugle-voice/bugle/cert"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/store"
	"github.com/prometheus/client_golang/prometheus"
)

// What deployments/ tells Prometheus and Grafana to ask for has to be what a
// node answers.

const (
	rulesDir  = "../deployments/prometheus"
	dashboard = "../deployments/grafana/queues-agents.json"
)

// promtool runs it in the folder of the rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...) // package prometheus; make peers installs it
	cmd.Dir = rulesDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusFiles(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
	promtool(t, "test", "rules", "bugle.rules.test.yml")
}

// exported gives the names a node exports that dashboards and rules may use.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	log, err := event.Open(event.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	registry := prometheus.NewRegistry()
	figures := New(testQueues, []string{"en"})
	figures.Observe(event.Event{Fact: event.CallEnded{Class: "caller", Reason: "hung_up"}})
	figures.Observe(event.Event{Fact: event.VisitJoined{Visit: "v", Queue: "claims", Language: "en"}})
	figures.Observe(event.Event{Fact: event.VisitEnded{Visit: "v", Queue: "claims", Language: "en", Result: event.Answered, Waited: time.Second}})
	registry.MustRegister(figures)
	known := &Reporter{Source: &written{
		visits:    []store.Visit{{Call: "c", CallerHash: "a", Queue: "claims", Language: "en", Joined: clock(10, 0, 0), Result: event.Answered}},
		followUps: []store.FollowUp{{Queue: "claims", Language: "en", DueTo: clock(19, 0, 0)}},
	}}
	for _, r := range []*Reckoning{NewResolution(known), NewPromises(known)} {
		if err := r.Update(t.Context(), clock(20, 0, 0)); err != nil {
			t.Fatal(err)
		}
		registry.MustRegister(r)
	}
	registry.MustRegister(log.Collectors()...)
	phones, err := sip.New(sip.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer phones.Close()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, c := range append(append(phones.Collectors(), call.New(call.Options{}).Collectors()...), &cert.Store{}) {
		for _, name := range described(c) {
			names[name] = true
		}
	}
	for _, f := range families {
		names[f.GetName()] = true
		if f.GetType().String() == "HISTOGRAM" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				names[f.GetName()+suffix] = true
			}
		}
	}
	return names
}

// described gives the names a collector announces, whether or not there is anything to
// tell just now.
func described(c prometheus.Collector) (names []string) {
	announced := make(chan *prometheus.Desc)
	go func() { defer close(announced); c.Describe(announced) }()
	for d := range announced {
		names = append(names, fullName.FindStringSubmatch(d.String())[1])
	}
	return names
}

var (
	fullName   = regexp.MustCompile(`fqName: "([^"]+)"`)
	metricName = regexp.MustCompile(`\b(?:[a-z]+:)?bugle_[a-z0-9_]+(?::[a-z0-9_]+)?\b`)
	recorded   = regexp.MustCompile(`(?m)^ +- record: (\S+)$`)
)

// known adds what the rules record to what nodes export.
func known(t *testing.T) map[string]bool {
	t.Helper()
	names := exported(t)
	rules, err := os.ReadFile(filepath.Join(rulesDir, "bugle.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range recorded.FindAllSubmatch(rules, -1) {
		names[string(m[1])] = true
	}
	return names
}

func TestRulesAskForWhatIsExported(t *testing.T) {
	names := known(t)
	for _, file := range []string{"bugle.rules.yml", "bugle.rules.test.yml"} {
		data, err := os.ReadFile(filepath.Join(rulesDir, file))
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, "- name: ") { // of a group
				continue
			}
			for _, name := range metricName.FindAllString(line, -1) {
				asked++
				if !names[name] {
					t.Errorf("%s: no node exports %s", file, name)
				}
			}
		}
		if asked < 20 {
			t.Errorf("%s: only %d metrics were found in it", file, asked)
		}
	}
}

// board is what the test needs of a Grafana dashboard.
type board struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID                 int
		Type               string
		Title, Description string
		Datasource         struct{ UID string }
		GridPos            struct{ X, Y, W, H int }
		Targets            []struct {
			RefID, Expr string
			Datasource  struct{ UID string }
		}
	}
}

func readBoard(t *testing.T) board {
	t.Helper()
	data, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var b board
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	if b.UID == "" || b.Title == "" || len(b.Panels) == 0 {
		t.Fatalf("%s is no dashboard: %+v", dashboard, b)
	}
	return b
}

func TestDashboardAsksForWhatIsExported(t *testing.T) {
	names, b := known(t), readBoard(t)
	vars := make(map[string]bool)
	for _, v := range b.Templating.List {
		vars[v.Name] = true
		for _, name := range metricName.FindAllString(v.Definition, -1) {
			if !names[name] {
				t.Errorf("variable %s: no node exports %s", v.Name, name)
			}
		}
	}
	// As Grafana does before it asks Prometheus.
	fill := strings.NewReplacer("$__rate_interval", "5m", "$__range", "3h", "$queue", ".*", "$language", ".*")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for _, p := range b.Panels {
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if p.Datasource.UID != "${datasource}" || target.Datasource.UID != "${datasource}" || !vars["datasource"] {
				t.Errorf("panel %q does not use the data source chosen", p.Title)
			}
			if refs[target.RefID] {
				t.Errorf("panel %q has two targets %s", p.Title, target.RefID)
			}
			refs[target.RefID] = true
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				if !names[name] {
					t.Errorf("panel %q: no node exports %s", p.Title, name)
				}
			}
			expr := fill.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("panel %q: unknown variable in %s", p.Title, target.Expr)
			}
			fmt.Fprintf(&rules, "  - {record: \"panel_%d_%s\", expr: %q}\n", p.ID, target.RefID, expr)
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// What is divided must be of the languages it is divided by.
func TestDashboardChoosesTheLanguageEverywhere(t *testing.T) {
	const chosen = `{queue=~"$queue", language=~"$language"}`
	ofQueue := regexp.MustCompile(`\bbugle_queue_[a-z_]+(\{[^}]*\})?`)
	for _, p := range readBoard(t).Panels {
		for _, target := range p.Targets {
			for _, m := range ofQueue.FindAllStringSubmatch(target.Expr, -1) {
				if m[1] != chosen {
					t.Errorf("panel %q: %s chooses other lines than %s", p.Title, m[0], chosen)
				}
			}
		}
	}
}

func TestDashboardIsWellLaidOut(t *testing.T) {
	const width = 24 // columns of a Grafana dashboard
	b := readBoard(t)
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range b.Panels {
		if p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d lacks title, description or targets", p.ID)
		}
		if ids[p.ID] {
			t.Errorf("two panels have id %d", p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.X+g.W > width || g.W < 1 || g.H < 1 {
			t.Errorf("panel %q does not fit: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, is := taken[[2]int{x, y}]; is {
					t.Fatalf("panels %q and %q overlap", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
