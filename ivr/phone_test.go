package ivr

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// spokenFor is how long every prompt of a fake phone takes.
const spokenFor = 2 * time.Second

// fakePhone is a caller in virtual time: what he does is a script, what he
// hears is written down.
type fakePhone struct {
	pressed  chan Signal
	prompts  []Prompt
	started  time.Time
	finished <-chan time.Time // nil while nothing is spoken
	heard    []string         // "en/welcome", with "…" if cut short

	talking atomic.Bool
	kept    int  // recordings
	full    bool // the disk
}

// act is one thing a caller does: at a time since he was answered.
//
//	"1"     presses key 1 for 100 ms
//	"1info" presses key 1 on a phone that sends SIP INFO
//	"1down" presses key 1 and does not let go
//	"1up"   lets it go
//	"talk"  begins to speak
//	"hush"  stops speaking
//	"bye"   hangs up
type act struct {
	at time.Duration
	do string
}

// newFakePhone starts a caller, who ends with the test's bubble. hangUp is
// called when he hangs up.
func newFakePhone(ctx context.Context, hangUp func(), script ...act) *fakePhone {
	p := &fakePhone{pressed: make(chan Signal, 64)}
	start := time.Now()
	go func() {
		for _, a := range script {
			select {
			case <-time.After(a.at - time.Since(start)):
			case <-ctx.Done():
				return
			}
			p.act(a.do, hangUp)
		}
	}()
	return p
}

func (p *fakePhone) act(do string, hangUp func()) {
	switch do {
	case "bye":
		hangUp()
		return
	case "talk", "hush":
		p.talking.Store(do == "talk")
		return
	}
	key, how := rune(do[0]), do[1:]
	switch how {
	case "down":
		p.pressed <- Signal{Kind: KeyDown, Key: key}
	case "up", "info":
		p.pressed <- Signal{Kind: Key, Key: key}
	case "":
		p.pressed <- Signal{Kind: KeyDown, Key: key}
		time.Sleep(100 * time.Millisecond)
		p.pressed <- Signal{Kind: Key, Key: key}
	default:
		panic("no such act: " + do)
	}
}

func (p *fakePhone) Play(prompts ...Prompt) {
	p.Silence()
	length := time.Duration(len(prompts)) * spokenFor
	p.prompts, p.started, p.finished = prompts, time.Now(), time.After(length)
}

func (p *fakePhone) Silence() { p.stop(time.Since(p.started)) }

// stop writes down what was heard of the prompts.
func (p *fakePhone) stop(after time.Duration) {
	for i, prompt := range p.prompts {
		switch begins := time.Duration(i) * spokenFor; {
		case after >= begins+spokenFor:
			p.heard = append(p.heard, prompt.String())
		case after > begins:
			p.heard = append(p.heard, prompt.String()+"…")
		}
	}
	p.prompts, p.finished = nil, nil
}

func (p *fakePhone) Next(ctx context.Context, within time.Duration) (Signal, error) {
	var timeout <-chan time.Time
	if within >= 0 {
		timeout = time.After(within)
	}
	synctest.Wait() // the caller comes first where both are due at one instant
	select {
	case s := <-p.pressed:
		return s, nil
	default:
	}
	select {
	case <-ctx.Done():
		return Signal{}, ctx.Err()
	case s := <-p.pressed:
		return s, nil
	case <-p.finished:
		p.stop(time.Since(p.started))
		return Signal{Kind: Finished}, nil
	case <-timeout:
		return Signal{Kind: TimedOut}, nil
	}
}

// Record listens ten times a second. What was kept is in the transcript.
func (p *fakePhone) Record(ctx context.Context, o RecordOptions) (Recording, error) {
	p.Silence()
	if p.full {
		return Recording{}, ErrCannotRecord
	}
	const beat = 100 * time.Millisecond
	var speech, quiet, length time.Duration
	var err error
	for over := false; !over && err == nil && quiet < o.Silence && length < o.Max; {
		time.Sleep(beat)
		synctest.Wait() // the caller comes first where both are due at one instant
		length, quiet = length+beat, quiet+beat
		if p.talking.Load() {
			speech, quiet = speech+beat, 0
		}
		select {
		case s := <-p.pressed:
			over = s.Kind == Key && strings.ContainsRune(o.Finish, s.Key)
		default:
			err = ctx.Err()
		}
	}
	if speech < o.Min {
		return Recording{}, err
	}
	p.kept++
	p.heard = append(p.heard, "("+length.String()+")")
	return Recording{ID: fmt.Sprintf("id%d", p.kept), Name: o.Name, Length: length}, err
}

// transcript is all that was heard, in one line.
func (p *fakePhone) transcript() string { return strings.Join(p.heard, " ") }

// keys presses one key after the other, a quarter of a second apart.
func keys(from time.Duration, pressed string) []act {
	var script []act
	for i, key := range pressed {
		script = append(script, act{from + time.Duration(i)*250*time.Millisecond, string(key)})
	}
	return script
}

func TestFakePhone(t *testing.T) {
	p := &fakePhone{}
	p.prompts = []Prompt{{"en", "a"}, {"en", "b"}, {"en", "c"}}
	p.stop(3 * time.Second)
	if got, want := p.transcript(), "en/a en/b…"; got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}
