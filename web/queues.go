package web

import (
	"net/http"
	"time"

	"github.com/bugle-voice/bugle/report"
)

// queueLine is one queue in one language as the API shows it. Ratios go from 0
// to 1 and are null of nothing.
type queueLine struct {
	Queue           string       `json:"queue"`
	Language        string       `json:"language"`
	Waiting         int          `json:"waiting"`
	LongestWait     float64      `json:"longest_wait_seconds"`
	EstimatedWait   float64      `json:"estimated_wait_seconds,omitempty"` // of who joins now; missing if nothing is known
	Offered         uint64       `json:"offered"`
	Answered        uint64       `json:"answered"`
	AnsweredInGoal  uint64       `json:"answered_in_goal"`
	Abandoned       uint64       `json:"abandoned"`
	AbandonedInGoal uint64       `json:"abandoned_in_goal"`
	ShortAbandoned  uint64       `json:"short_abandoned"`
	FlowedOut       uint64       `json:"flowed_out"`
	ServiceLevel    report.Ratio `json:"service_level"`
	Abandonment     report.Ratio `json:"abandonment"`
	SpeedOfAnswer   float64      `json:"speed_of_answer_seconds"`
	HandleTime      float64      `json:"handle_time_seconds"`
}

type queueAPI struct{ figures Figures }

// list shows this node's figures since it started.
func (q queueAPI) list(w http.ResponseWriter, r *http.Request) {
	lines := q.figures.Lines()
	shown := make([]queueLine, len(lines))
	for i, l := range lines {
		shown[i] = queueLine{
			Queue: l.Queue, Language: l.Language,
			Waiting: l.Waiting, LongestWait: seconds(l.Longest), EstimatedWait: seconds(l.Expect),
			Offered: l.Offered, Answered: l.Answered, AnsweredInGoal: l.AnsweredInGoal,
			Abandoned: l.Abandoned, AbandonedInGoal: l.AbandonedInGoal, ShortAbandoned: l.ShortAbandoned,
			FlowedOut:    l.FlowedOut,
			ServiceLevel: l.ServiceLevel(), Abandonment: l.Abandonment(),
			SpeedOfAnswer: seconds(l.SpeedOfAnswer().Value()), HandleTime: seconds(l.HandleTime().Value()),
		}
	}
	reply(w, http.StatusOK, map[string][]queueLine{"queues": shown})
}

// seconds gives a duration to the millisecond.
func seconds(d time.Duration) float64 {
	return float64(d.Milliseconds()) / 1000
}
