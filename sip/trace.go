package sip

import (
	"bytes"
	"cmp"
	"container/list"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// tracer keeps the messages of calls as they stood on the wire, for the engineer
// who asks what was said. It holds so many bytes and no more: the call that has been
// silent for longest goes first, so one that is over goes before one that goes on.
//
// What no leg came of (refusals, registrations, pings, whatever strangers send) has
// a small shelf of its own, so that no flood pushes the calls out. A message costs its
// sender's lane one copy; nobody reads it, and nothing of it is masked, until somebody
// asks (tracemask.go). Nothing is ever written to disk. A nil tracer keeps nothing.
type tracer struct {
	mu      sync.Mutex
	dialogs map[string]*traced // by SIP Call-ID
	byCall  map[string]*traced // by Bugle's id
	calls   shelf
	others  shelf
}

// shelf is the part of the memory for one kind, the longest silent first.
type shelf struct {
	list.List // of *traced
	bytes     int
	limit     int // bytes
	most      int // messages of one call
}

// traced is one call, with all its legs, or a Call-ID without any.
type traced struct {
	ids      []string // Bugle's; more than one where a call of ours came back to us
	dialogs  []tracedDialog
	messages []tracedMessage
	left     int // messages from the middle that are not kept
	bytes    int
	shelf    *shelf
	place    *list.Element
}

// tracedDialog is one leg: its Call-ID and who it is with.
type tracedDialog struct{ callID, with string }

type tracedMessage struct {
	at, last  int64 // Unix nanoseconds: of the first, and of the latest repetition
	raw       []byte
	transport string
	peer      netip.AddrPort
	repeated  uint32
	dialog    uint16 // in traced.dialogs
	out       bool
}

const (
	othersShare   = 8   // of the memory, a share of one in so many is for what is no call
	callShare     = 16  // and one call may have one in so many of its shelf
	mostOfCall    = 512 // messages
	mostOfOther   = 32
	lookBack      = 32   // messages that a repetition is looked for in
	longestCallID = 1024 // with a longer one nothing is kept
	usual         = 8    // messages of a leg
	messageCost   = 112  // bytes beside the message's own, about
	tracedCost    = 1280
)

// newTracer makes a tracer of so many bytes, nil for none.
func newTracer(limit int) *tracer {
	if limit <= 0 {
		return nil
	}
	t := &tracer{dialogs: make(map[string]*traced), byCall: make(map[string]*traced)}
	t.others.limit, t.others.most = limit/othersShare, mostOfOther
	t.calls.limit, t.calls.most = limit-t.others.limit, mostOfCall
	return t
}

// saw keeps a message that came in or went out; raw is copied.
func (t *tracer) saw(transport string, out bool, peer netip.AddrPort, raw []byte) {
	if t == nil {
		return
	}
	id := callIDIn(raw)
	if len(id) == 0 || len(id) > longestCallID {
		return // a keep-alive, or nothing it could be found by
	}
	now := time.Now().UnixNano()
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.dialogs[string(id)]
	if c == nil {
		c = t.begin(&t.others)
		t.name(c, string(id), "")
	}
	c.shelf.MoveToBack(c.place)
	if m := c.earlier(out, raw); m != nil {
		m.repeated++
		m.last = now
		return
	}
	c.messages = append(c.messages, tracedMessage{
		at: now, raw: bytes.Clone(raw), out: out, transport: transport, peer: peer,
		dialog: c.dialog(id),
	})
	c.grow(messageCost + len(raw))
	t.trim(c)
}

// join makes a dialog a leg of a call, and says who it is with.
func (t *tracer) join(callID, call, with string) {
	if t == nil || len(callID) > longestCallID {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c, d := t.byCall[call], t.dialogs[callID]
	switch {
	case c == nil && d == nil:
		c = t.begin(&t.calls)
	case c == nil:
		c = d
		c.move(&t.calls)
	case d != nil && d != c:
		t.merge(c, d)
	}
	if t.byCall[call] == nil {
		t.byCall[call] = c
		c.ids = append(c.ids, call)
		c.grow(len(call))
	}
	t.name(c, callID, with)
	t.trim(c)
}

// get gives a copy of what is kept under a call's id or a SIP Call-ID.
func (t *tracer) get(id string) (traced, bool) {
	if t == nil {
		return traced{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byCall[id]
	if c == nil {
		c = t.dialogs[id]
	}
	if c == nil {
		return traced{}, false
	}
	return traced{ids: slices.Clone(c.ids), dialogs: slices.Clone(c.dialogs), messages: slices.Clone(c.messages), left: c.left}, true
}

// size gives the bytes that are kept, about.
func (t *tracer) size() int {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls.bytes + t.others.bytes
}

func (t *tracer) begin(s *shelf) *traced {
	c := &traced{shelf: s, messages: make([]tracedMessage, 0, usual)}
	c.place = s.PushBack(c)
	c.grow(tracedCost)
	return c
}

// name lists a dialog with a call, under a name if it has none yet.
func (t *tracer) name(c *traced, callID, with string) {
	t.dialogs[callID] = c
	for i := range c.dialogs {
		if d := &c.dialogs[i]; d.callID == callID {
			if d.with == "" {
				d.with = with
			}
			return
		}
	}
	c.dialogs = append(c.dialogs, tracedDialog{callID, with})
	c.grow(len(callID))
}

// merge puts what came under d's Call-IDs, before it was known to belong to c, in
// its place there.
func (t *tracer) merge(c, d *traced) {
	first := uint16(len(c.dialogs))
	for _, from := range d.dialogs {
		t.name(c, from.callID, from.with)
	}
	for _, id := range d.ids {
		t.byCall[id] = c
	}
	c.ids = append(c.ids, d.ids...)
	for _, m := range d.messages {
		m.dialog += first
		c.messages = append(c.messages, m)
		c.grow(messageCost + len(m.raw))
	}
	slices.SortStableFunc(c.messages, func(a, b tracedMessage) int { return cmp.Compare(a.at, b.at) })
	c.left += d.left
	d.grow(-d.bytes)
	d.shelf.Remove(d.place)
}

// trim keeps a call, and then its shelf, within their limits. Of a call the middle
// goes: how it began and how it ended is what is asked for.
func (t *tracer) trim(c *traced) {
	s := c.shelf
	for len(c.messages) > 1 && (len(c.messages) > s.most || c.bytes > s.limit/callShare) {
		middle := len(c.messages) / 2
		c.grow(-messageCost - len(c.messages[middle].raw))
		c.messages = slices.Delete(c.messages, middle, middle+1)
		c.left++
	}
	for s.bytes > s.limit {
		oldest := s.Front().Value.(*traced)
		for _, d := range oldest.dialogs {
			delete(t.dialogs, d.callID)
		}
		for _, id := range oldest.ids {
			delete(t.byCall, id)
		}
		oldest.grow(-oldest.bytes)
		s.Remove(oldest.place)
	}
}

func (c *traced) grow(n int) {
	c.bytes += n
	c.shelf.bytes += n
}

// move puts a call onto another shelf.
func (c *traced) move(s *shelf) {
	if c.shelf == s {
		return
	}
	n := c.bytes
	c.grow(-n)
	c.shelf.Remove(c.place)
	c.shelf, c.place = s, s.PushBack(c)
	c.grow(n)
}

// dialog gives the place of a Call-ID among the dialogs.
func (c *traced) dialog(callID []byte) uint16 {
	for i, d := range c.dialogs {
		if d.callID == string(callID) {
			return uint16(i)
		}
	}
	return 0
}

// earlier finds the message that this one repeats, or nil.
func (c *traced) earlier(out bool, raw []byte) *tracedMessage {
	for i := len(c.messages) - 1; i >= max(0, len(c.messages)-lookBack); i-- {
		if m := &c.messages[i]; m.out == out && bytes.Equal(m.raw, raw) {
			return m
		}
	}
	return nil
}

// callIDIn finds the Call-ID in a message's head, without reading the rest: what
// could not be parsed may still have one.
func callIDIn(raw []byte) []byte {
	for len(raw) > 0 {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			return nil
		}
		if line[0]|0x20 != 'c' && line[0]|0x20 != 'i' {
			continue
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		if name = bytes.TrimRight(name, " \t"); found && (bytes.EqualFold(name, []byte("call-id")) || len(name) == 1 && name[0]|0x20 == 'i') {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}
