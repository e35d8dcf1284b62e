package media

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCollectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		registry := prometheus.NewPedanticRegistry()
		for _, c := range e.Collectors() {
			if err := registry.Register(c); err != nil {
				t.Fatal(err)
			}
		}
		leg, far := call(t, e, PCMU, LegOptions{})
		gone, err := e.NewLeg(LegOptions{})
		if err != nil {
			t.Fatal(err)
		}
		gone.Close()
		far.say(PCMU, make([]byte, frameSize))
		stranger := newFarEnd(t)
		stranger.to = far.to
		time.Sleep(5 * frameTime)
		stranger.say(PCMU, make([]byte, frameSize))
		stranger.send(header{payloadType: 18}, make([]byte, 10)) // G.729
		if !send(far.fd, []byte("nonsense"), &far.to) {
			t.Fatal("cannot send")
		}
		time.Sleep(5 * frameTime)
		leg.Close()
		synctest.Wait()
		want := `
			# HELP bugle_media_dropped_total Datagrams not heard or not sent, by why.
			# TYPE bugle_media_dropped_total counter
			bugle_media_dropped_total{reason="kernel"} 0
			bugle_media_dropped_total{reason="malformed"} 1
			bugle_media_dropped_total{reason="overrun"} 0
			bugle_media_dropped_total{reason="stranger"} 2
			bugle_media_dropped_total{reason="unsent"} 0
			# HELP bugle_media_legs Legs being served.
			# TYPE bugle_media_legs gauge
			bugle_media_legs 0
			# HELP bugle_media_late_beats_total Beats served more than 5 ms late.
			# TYPE bugle_media_late_beats_total counter
			bugle_media_late_beats_total 0
		`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
			"bugle_media_dropped_total", "bugle_media_legs", "bugle_media_late_beats_total"); err != nil {
			t.Error(err)
		}
		measured, err := testutil.GatherAndCount(registry, "bugle_media_jitter_seconds", "bugle_media_loss_ratio", "bugle_media_mos", "bugle_media_round_trip_seconds")
		if err != nil || measured != 3 { // of the leg that was agreed on, what came in; nothing was reported of what went out
			t.Errorf("%d series of how sound travelled, error %v", measured, err)
		}
		counted, err := testutil.GatherAndCount(registry, "bugle_media_packets_total", "bugle_media_beat_late_seconds",
			"bugle_media_skipped_beats_total", "bugle_media_events_dropped_total", "bugle_media_ports")
		if err != nil || counted != 8 {
			t.Errorf("%d further series, error %v", counted, err)
		}
	})
}
