package call

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
)

// tapes keeps recordings in memory.
type tapes struct {
	mu      sync.Mutex
	none    bool // can be created
	full    bool // can be kept
	open    int
	created int
	kept    map[string][]byte
}

func (s *tapes) Create(call, name string, _ time.Time) (Tape, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.none {
		return nil, "", errors.New("no space left")
	}
	s.open++
	s.created++
	id := call + "-" + name
	return &memoryTape{all: s, id: id}, id, nil
}

type memoryTape struct {
	bytes.Buffer
	all  *tapes
	id   string
	over bool
}

func (m *memoryTape) Keep() (int64, error) {
	defer m.Discard()
	m.all.mu.Lock()
	defer m.all.mu.Unlock()
	if m.all.full {
		return 0, errors.New("no space left")
	}
	m.all.kept[m.id] = m.Bytes()
	return int64(m.Len()), nil
}

func (m *memoryTape) Discard() {
	m.all.mu.Lock()
	defer m.all.mu.Unlock()
	if !m.over {
		m.over = true
		m.all.open--
	}
}

// speak calls the number that takes messages, and begins to speak when it can
// be heard there.
func (h *house) speak() party {
	h.t.Helper()
	caller := h.dial("message")
	h.await("the answer", caller.leg.Answered())
	h.poll("the recording begins", func() bool {
		h.tapes.mu.Lock()
		defer h.tapes.mu.Unlock()
		return h.tapes.open == 1
	})
	caller.media.PlayMusic(media.Tone(700, time.Second))
	return caller
}

// goOn lets somebody speak for 1.2 s.
func (h *house) goOn(caller party) {
	h.t.Helper()
	before := caller.media.Stats().PacketsOut
	h.poll("he has spoken", func() bool { return caller.media.Stats().PacketsOut >= before+60 })
}

// heard gives the only recording kept, and how much of it the facts tell.
func (h *house) heard() (length time.Duration) {
	h.t.Helper()
	made := h.facts.await(h.t, "recording.made").(event.RecordingMade)
	h.tapes.mu.Lock()
	defer h.tapes.mu.Unlock()
	file := h.tapes.kept[made.Recording]
	if len(h.tapes.kept) != 1 || made.Name != "message" || int(made.Bytes) != len(file) {
		h.t.Errorf("%d recordings; the fact tells of %q and %d bytes of %d", len(h.tapes.kept), made.Name, made.Bytes, len(file))
	}
	return made.Length
}

// kept says how many recordings there are; none may be left half made.
func (h *house) kept(want int) {
	h.t.Helper()
	h.tapes.mu.Lock()
	defer h.tapes.mu.Unlock()
	if len(h.tapes.kept) != want || h.tapes.open != 0 {
		h.t.Errorf("%d recordings kept and %d open, want %d and none", len(h.tapes.kept), h.tapes.open, want)
	}
}

func TestCallerLeavesAMessage(t *testing.T) {
	for name, end := range map[string]func(*testing.T, party){
		"by a key":         func(t *testing.T, p party) { must(t, p.media.SendKeys("1#")) },
		"by falling still": func(_ *testing.T, p party) { p.media.Silence() },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				caller := h.speak()
				h.goOn(caller)
				end(t, caller)
				if got := h.heard(); got < time.Second || got > 4*time.Second {
					t.Errorf("a message of %v, want something over 1.2s", got)
				}
				for step := ""; step != "thanks"; {
					step = h.facts.await(t, "step.entered").(event.StepEntered).Step
				}
				caller.leg.Hangup()
				h.ended(LeftMessage)
				h.kept(1)
				h.nothingLeft()
			})
		})
	}
}

func TestCallerHangsUpInTheMiddleOfHisMessage(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.speak()
		h.goOn(caller)
		caller.leg.Hangup()
		if got := h.heard(); got < time.Second || got > 3*time.Second {
			t.Errorf("a message of %v, want something over 1.2s", got)
		}
		h.ended(LeftMessage)
		h.kept(1)
		h.nothingLeft()
	})
}

func TestCallerHangsUpWithoutAMessage(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.speak()
		caller.leg.Hangup()
		h.ended(LeftFlow)
		h.kept(0)
		h.nothingLeft()
	})
}

func TestNodeEndsInTheMiddleOfAMessage(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.speak()
		h.goOn(caller)
		h.calls.Close()
		h.heard()
		h.ended(Drained)
		h.kept(1)
		h.nothingLeft()
	})
}

// What cannot be kept leads on, and the caller is not left hanging.
func TestMessageThatCannotBeKept(t *testing.T) {
	t.Run("none can be made", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t)
			h.tapes.none = true
			h.dial("message")
			h.ended(FlowEnded)
			h.kept(0)
			h.nothingLeft()
		})
	})
	t.Run("it cannot be finished", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t)
			h.tapes.full = true
			caller := h.speak()
			h.goOn(caller)
			must(t, caller.media.SendKeys("#"))
			h.ended(FlowEnded)
			h.kept(0)
			h.nothingLeft()
		})
	})
}

// A full disk has room for facts alone. A message is not begun on it; what somebody
// has said of one is kept.
func TestMessageOnAFullDisk(t *testing.T) {
	t.Run("before it", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t)
			h.fills.Store(true)
			h.dial("message")
			h.ended(FlowEnded)
			h.tapes.mu.Lock()
			begun := h.tapes.created
			h.tapes.mu.Unlock()
			if begun > 0 {
				t.Error("a recording was begun")
			}
			h.nothingLeft()
		})
	})
	t.Run("in the middle of it", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t)
			caller := h.speak()
			h.goOn(caller)
			h.full.Store(true)
			if length := h.heard(); length < time.Second {
				t.Errorf("%v is kept", length)
			}
			caller.leg.Hangup()
			h.ended(LeftMessage)
			h.kept(1)
			h.nothingLeft()
		})
	})
}
