package sip

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Trace is what was said in a call with everybody, for the engineer: all its legs'
// messages in the order of time. Nothing in it tells who called, what was dialled
// in mid-call, or a secret.
type Trace struct {
	Calls    []string       `json:"calls"` // Bugle's ids; none: no leg came of it
	Dialogs  []TraceDialog  `json:"dialogs"`
	Messages []TraceMessage `json:"messages"`
	Left     int            `json:"left,omitempty"` // messages from the middle of a long call that are not kept
}

// TraceDialog is one leg.
type TraceDialog struct {
	CallID string `json:"sip_call_id"`
	With   string `json:"with"` // "caller, carrier", "agent anna"; empty if it is no leg
}

// TraceMessage is one message.
type TraceMessage struct {
	Time      time.Time `json:"time"`
	Last      time.Time `json:"last,omitzero"` // when it was repeated last
	Repeated  int       `json:"repeated,omitempty"`
	Direction string    `json:"direction"` // in, out
	Transport string    `json:"transport"` // udp, tcp, tls, ws, wss
	Peer      string    `json:"peer"`      // address and port
	Dialog    int       `json:"dialog"`    // which of the dialogs, from 0
	Title     string    `json:"title"`     // "INVITE", "200 OK"
	Method    string    `json:"method"`    // of its CSeq
	Text      string    `json:"text"`      // masked, with line ends of \n
}

// Trace gives what was said in a call, by Bugle's id of it or by a SIP Call-ID, and
// whether anything is known of it: what is kept is bounded (sip.trace). Numbers and
// names are masked but for those that ours says are no secret: agents, and numbers of
// the house.
func (s *Server) Trace(id string, ours func(user string) bool) (*Trace, bool) {
	c, ok := s.edge.trace.get(id)
	if !ok {
		return nil, false
	}
	return c.masked(newMasker(ours)), true
}

// Call gives Bugle's id of the call, "" if no leg came of the messages.
func (t *Trace) Call() string {
	if len(t.Calls) == 0 {
		return ""
	}
	return t.Calls[0]
}

// masked makes of what is kept what may be read.
func (c traced) masked(m *masker) *Trace {
	t := &Trace{Calls: append([]string{}, c.ids...), Left: c.left, Messages: make([]TraceMessage, len(c.messages))}
	for i, kept := range c.messages {
		shown := &t.Messages[i]
		*shown = TraceMessage{
			Time: time.Unix(0, kept.at).UTC(), Repeated: int(kept.repeated), Direction: "in",
			Transport: kept.transport, Peer: kept.peer.String(), Dialog: int(kept.dialog),
		}
		if kept.repeated > 0 {
			shown.Last = time.Unix(0, kept.last).UTC()
		}
		if kept.out {
			shown.Direction = "out"
		}
		shown.Title, shown.Method, shown.Text = m.message(kept.raw)
	}
	// Only now every number that is hidden somewhere is known.
	for i := range t.Messages {
		shown := &t.Messages[i]
		shown.Title, shown.Text = m.sweep(shown.Title), m.sweep(shown.Text)
	}
	for _, d := range c.dialogs {
		t.Dialogs = append(t.Dialogs, TraceDialog{m.sweep(visible(d.callID)), d.with})
	}
	return t
}

// with gives who a message is exchanged with.
func (t *Trace) with(m *TraceMessage) string {
	if w := t.Dialogs[m.Dialog].With; w != "" {
		return w
	}
	return m.Peer
}

const (
	ladderWidth = 34 // between two lines
	ladderTime  = "15:04:05.000"
)

// WriteText writes the trace to be read by people: a ladder, then the messages.
func (t *Trace) WriteText(w io.Writer) error {
	var b strings.Builder
	if len(t.Calls) > 0 {
		fmt.Fprintf(&b, "call %s", strings.Join(t.Calls, ", "))
	} else {
		b.WriteString("no call came of it")
	}
	fmt.Fprintf(&b, ": %d messages; times are UTC\n", len(t.Messages))
	for _, d := range t.Dialogs {
		fmt.Fprintf(&b, "  Call-ID %s  %s\n", d.CallID, d.With)
	}
	b.WriteByte('\n')
	t.ladder(&b)
	for i := range t.Messages {
		t.dump(&b, i)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ladder draws who said what to whom: who came first on the left, Bugle beside him,
// the others behind.
func (t *Trace) ladder(b *strings.Builder) {
	names := []string{"bugle"}
	for i := range t.Messages {
		if name := t.with(&t.Messages[i]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 1 {
		names[0], names[1] = names[1], names[0]
	}
	indent := strings.Repeat(" ", len(ladderTime)+7)
	head := indent
	for _, name := range names {
		head += fmt.Sprintf("%-*.*s", ladderWidth, ladderWidth-1, name)
	}
	b.WriteString(strings.TrimRight(head, " ") + "\n")
	for i := range t.Messages {
		m := &t.Messages[i]
		fmt.Fprintf(b, "%4d  %s %s\n", i+1, m.Time.Format(ladderTime), m.rung(slices.Index(names, "bugle"), slices.Index(names, t.with(m)), len(names)))
		if t.Left > 0 && i == (len(t.Messages)-1)/2 {
			fmt.Fprintf(b, "%s(%d messages are not kept)\n", indent, t.Left)
		}
	}
}

// rung draws one message between the lines of us and another.
func (m *TraceMessage) rung(us, other, lines int) string {
	row := []byte(strings.Repeat("|"+strings.Repeat(" ", ladderWidth-1), lines))
	from, to := min(us, other)*ladderWidth, max(us, other)*ladderWidth
	for i := from + 1; i < to; i++ {
		row[i] = '-'
	}
	if (us < other) == (m.Direction == "out") {
		row[to-1] = '>'
	} else {
		row[from+1] = '<'
	}
	label := m.Title
	if m.Method != "" && m.Method != m.Title {
		label += " (" + m.Method + ")"
	}
	if m.Repeated > 0 {
		label += fmt.Sprintf(" x%d", m.Repeated+1)
	}
	label = strings.ReplaceAll(label, hidden, "...")
	copy(row[from+4:to-3], label)
	return strings.TrimRight(string(row), " ")
}

// dump writes one message whole.
func (t *Trace) dump(b *strings.Builder, i int) {
	m := &t.Messages[i]
	fmt.Fprintf(b, "\n%4d  %s  %s %s %s  %s", i+1, m.Time.Format(time.RFC3339Nano), m.Direction, m.Transport, m.Peer, t.Dialogs[m.Dialog].With)
	if m.Repeated > 0 {
		fmt.Fprintf(b, "  repeated %d times, last at %s", m.Repeated, m.Last.Format(ladderTime))
	}
	b.WriteByte('\n')
	for line := range strings.SplitSeq(strings.TrimRight(m.Text, "\n"), "\n") {
		b.WriteString(strings.TrimRight("      "+line, " ") + "\n")
	}
}
