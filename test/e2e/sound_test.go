package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// What is heard breaks off where the machine stands still, and that is not Bugle's doing.
// So a call goes on until what is listened for has been heard whole: the machine leaves
// alone some stretch of it, and a fault of Bugle's comes again in every one.

// patience is how long that may take.
const patience = 2 * time.Minute

// awaitSound lets a call go on until something holds of what is heard in it.
func awaitSound(t *testing.T, what string, heard func() bool) {
	t.Helper()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); !heard(); <-look.C {
		if time.Since(began) > patience {
			t.Fatalf("not heard within %v: %s", patience, what)
		}
	}
}

// awaitTone lets a call go on until the tone stands in what is recorded of it, for so long
// and without a gap.
func awaitTone(t *testing.T, recording string, hertz float64, long time.Duration) {
	t.Helper()
	awaitToneFrom(t, recording, 0, hertz, long)
}

// awaitToneFrom is awaitTone for what is heard from a place of the recording on.
func awaitToneFrom(t *testing.T, recording string, from time.Duration, hertz float64, long time.Duration) {
	t.Helper()
	awaitSound(t, fmt.Sprintf("%v Hz for %v without a gap", hertz, long), func() bool {
		s := recorded(t, recording)
		return s.Cut(from, s.Length()).Tone(0, hertz) >= long
	})
}

// recorded gives what has been recorded of a call that goes on.
func recorded(t *testing.T, file string) peer.Sound {
	t.Helper()
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		return peer.Sound{Rate: 8000, Channels: make([][]float64, 2)}
	}
	return peer.ReadWAV(t, file)
}

// awaitMusic lets a call go on until the caller hears music in place of the agent's tone,
// and then a second and a half more, in which he hears nothing else. It gives the place in
// the recording where they end, and how long he has been on hold at least.
func awaitMusic(t *testing.T, recording string, agent float64) (end, held time.Duration) {
	t.Helper()
	const soon, more = 500 * time.Millisecond, 1500 * time.Millisecond
	awaitSound(t, "music on hold", func() bool {
		s := recorded(t, recording)
		end = s.Length()
		s = s.Cut(end-soon, end)
		return s.Heard(0, agent) < soon/10 && s.Loud(0) > soon/2
	})
	from, began := end, time.Now()
	var hold peer.Sound
	awaitSound(t, "more of it", func() bool {
		s := recorded(t, recording)
		end = s.Length()
		hold = s.Cut(from, end)
		return hold.Loud(0) >= more
	})
	if got := hold.Heard(0, agent); got > 100*time.Millisecond {
		t.Errorf("of %v on hold the caller heard the agent for %v", hold.Length(), got)
	}
	return end, time.Since(began)
}

// awaitTalk waits until the phone has answered and heard something for so long.
func awaitTalk(t *testing.T, phone *peer.Baresip, long time.Duration) {
	t.Helper()
	phone.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	peer.Eventually(t, time.Minute, fmt.Sprintf("%v of talk", long), func() bool { return talked(t, phone, long) })
}

// talked says whether the phone has heard something for so long.
func talked(t *testing.T, phone *peer.Baresip, atLeast time.Duration) bool {
	t.Helper()
	for _, file := range phone.Heard(t) {
		if info, err := os.Stat(file); err == nil && info.Size() > int64(atLeast.Seconds()*8000*2) {
			return true
		}
	}
	return false
}

func theOneRecording(t *testing.T, phone *peer.Baresip) (file string) {
	t.Helper()
	files := phone.Heard(t)
	if len(files) != 1 {
		t.Fatalf("%d recordings, want 1: %v", len(files), files)
	}
	return files[0]
}
