package media

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// broken is a source and a file that panics.
type broken struct{}

func (broken) next([]byte, Codec, int64) bool { panic("in a source") }
func (broken) Write([]byte) (int, error)      { panic("in a file") }
func (broken) Seek(int64, int) (int64, error) { panic("in a file") }

// TestPanicEndsOneLeg holds that a panic in a leg's turn, or in a command to it,
// ends that leg, says so, and is noticed by nobody else.
func TestPanicEndsOneLeg(t *testing.T) {
	for name, burst := range map[string]func(*Leg){
		"in its turn": func(l *Leg) { l.do(func(s *stream, _ int64) { s.play(broken{}) }) },
		"in its end": func(l *Leg) {
			l.do(func(s *stream, _ int64) {
				s.party = new(party) // of no room: to leave it panics, too
				s.play(broken{})
			})
		},
		"in a command": func(l *Leg) { l.do(func(*stream, int64) { panic("in a command") }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := testEngine(t)
				leg, _ := call(t, engine, PCMU, LegOptions{})
				var others []*Leg
				for range 4 { // on both sides of it, in both phases
					other, _ := call(t, engine, PCMU, LegOptions{Near: leg})
					others = append(others, other)
				}
				if err := leg.Bridge(others[0]); err != nil {
					t.Fatal(err)
				}
				used := engine.PortsInUse()
				burst(leg)
				if e := next(t, leg); e != (Lost{}) {
					t.Errorf("told %#v, want Lost", e)
				}
				<-leg.Done()
				leg.Close()
				if n := engine.PortsInUse(); n != used-1 {
					t.Errorf("%d ports in use, %d before", n, used)
				}
				for i, other := range others {
					before := other.Stats().PacketsOut
					time.Sleep(time.Second)
					if n := other.Stats().PacketsOut - before; n < 49 || n > 51 {
						t.Errorf("leg %d sent %d packets in a second", i, n)
					}
				}
				want := map[string]float64{"in its end": 2}[name]
				if n := testutil.ToFloat64(engine.panics); n != max(1, want) {
					t.Errorf("%v panics counted", n)
				}
			})
		})
	}
}

// TestPanicEndsOneRecording holds that a panic in what is written to ends the
// recording alone.
func TestPanicEndsOneRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := testEngine(t)
		leg, _ := call(t, engine, PCMU, LegOptions{})
		tape, err := leg.Record(broken{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		<-tape.Done()
		if err := tape.Close(); err == nil || !strings.Contains(err.Error(), "in a file") {
			t.Errorf("error %v", err)
		}
		voice, err := leg.RecordVoice(broken{}, VoiceOptions{}) // the tap is off
		if err != nil {
			t.Fatal(err)
		}
		if err := voice.Close(); err == nil || !strings.Contains(err.Error(), "in a file") {
			t.Errorf("error %v", err)
		}
		select {
		case <-leg.Done():
			t.Error("the leg ended too")
		default:
		}
		if n := testutil.ToFloat64(engine.panics); n != 2 {
			t.Errorf("%v panics counted", n)
		}
	})
}

// TestPanicElsewhereEndsNothing holds that a panic in a shard's own work is caught,
// and whoever waits for that work is told.
func TestPanicElsewhereEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := sharingEngine(t, 1, 1)
		leg, _ := shared(t, engine)
		if ok, err := leg.ask(leg.where(), func(int64) bool { panic("in a question") }); ok || err != nil {
			t.Errorf("answered %v, error %v", ok, err)
		}
		if n := testutil.ToFloat64(engine.panics); n != 1 {
			t.Errorf("%v panics counted", n)
		}
		before := leg.Stats().PacketsOut
		time.Sleep(time.Second)
		if n := leg.Stats().PacketsOut - before; n < 49 {
			t.Errorf("the shard's leg sent %d packets in a second", n)
		}
	})
}
