package report

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The classic example of contact-centre textbooks.
var classic = Counts{
	Offered: 100, Answered: 85, AnsweredInGoal: 75,
	Abandoned: 15, ShortAbandoned: 6, AbandonedInGoal: 10,
	Waits:    85 * 17 * time.Second,
	Handling: Handling{80, 80 * 500 * time.Second, 80 * 30 * time.Second, 80 * 70 * time.Second},
}

func TestRatios(t *testing.T) {
	for _, test := range []struct {
		name   string
		figure func(Counts) Ratio
		want   string // of classic
	}{
		{"service level", Counts.ServiceLevel, "75.0 %"},
		{"of those answered", Counts.ServiceLevelAnswered, "88.2 %"},
		{"without short", Counts.ServiceLevelWithoutShort, "79.8 %"},
		{"with abandoned", Counts.ServiceLevelWithAbandoned, "85.0 %"},
		{"abandonment", Counts.Abandonment, "15.0 %"},
		{"of offered", Counts.AbandonmentOfOffered, "15.0 %"},
		{"abandonment without short", Counts.AbandonmentWithoutShort, "9.6 %"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.figure(classic).String(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got := test.figure(classic.Plus(classic)).String(); got != test.want {
				t.Errorf("of twice the same: %s, want %s", got, test.want)
			}
			if got := test.figure(Counts{}); got.String() != "–" || !math.IsNaN(got.Value()) {
				t.Errorf("of nobody: %s, %v", got, got.Value())
			}
		})
	}
}

func TestMeans(t *testing.T) {
	if got := classic.SpeedOfAnswer().Value(); got != 17*time.Second {
		t.Errorf("speed of answer is %v", got)
	}
	if got := classic.HandleTime().Value(); got != 10*time.Minute {
		t.Errorf("handle time is %v", got)
	}
	if (Counts{}).SpeedOfAnswer().Value() != 0 || (Counts{}).HandleTime().Value() != 0 {
		t.Error("means of nobody are not 0")
	}
}

func TestRatioAsJSON(t *testing.T) {
	got, err := json.Marshal([]Ratio{{75, 100}, {2, 3}, {0, 7}, {7, 7}, {0, 0}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[0.75,0.6667,0,1,null]", string(got)); diff != "" {
		t.Error(diff)
	}
}
