package store

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// Leg is one side of a call that had sound, and how well that has travelled.
type Leg struct {
	Call  string
	Side  string // caller, agent
	Agent string
	Codec string
	Suite string // of its encryption; empty for none
	Ended time.Time

	PacketsIn, PacketsOut, Lost uint64
	Heard, Sent                 event.Travel // what was said there, and what was sent there
	RoundTrip                   time.Duration
}

const legQuery = `SELECT call_id, side, agent, codec, suite, ended_at, packets_in, packets_out, lost,
	loss, jitter_ns, mos, sent_loss, sent_jitter_ns, sent_mos, round_trip_ns FROM legs`

func scanLeg(row scanner) (Leg, error) {
	var l Leg
	err := row.Scan(&l.Call, &l.Side, &l.Agent, &l.Codec, &l.Suite, when{&l.Ended}, &l.PacketsIn, &l.PacketsOut, &l.Lost,
		&l.Heard.Loss, &l.Heard.Jitter, &l.Heard.MOS, &l.Sent.Loss, &l.Sent.Jitter, &l.Sent.MOS, &l.RoundTrip)
	return l, err
}

// legsOf gives the legs of some calls, in the order they ended.
func (s *Store) legsOf(ctx context.Context, calls []Call) iter.Seq2[Leg, error] {
	ids, places := make([]any, len(calls)), make([]string, len(calls))
	for i, c := range calls {
		ids[i], places[i] = c.ID, fmt.Sprintf("$%d", i+1)
	}
	return rows(ctx, s.read, "read legs", legQuery+` WHERE call_id IN (`+strings.Join(places, ", ")+`) ORDER BY ended_at, log, seq`, ids, scanLeg)
}

// addLegs fills in the legs of calls.
func (s *Store) addLegs(ctx context.Context, calls []Call) error {
	if len(calls) == 0 {
		return nil
	}
	at := make(map[string]*Call, len(calls))
	for i := range calls {
		at[calls[i].ID] = &calls[i]
	}
	for leg, err := range s.legsOf(ctx, calls) {
		if err != nil {
			return err
		}
		c := at[leg.Call]
		c.Legs = append(c.Legs, leg)
	}
	return nil
}

func (w *writer) legEnded(ctx context.Context, ev event.Event, f event.LegEnded) error {
	return w.exec(ctx, `INSERT INTO legs (log, seq, call_id, side, agent, codec, suite, ended_at, packets_in, packets_out, lost,
			loss, jitter_ns, mos, sent_loss, sent_jitter_ns, sent_mos, round_trip_ns)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (log, seq) DO NOTHING`,
		w.from.Log, int64(ev.Seq), ev.Call, text(f.Side), text(f.Agent), text(f.Codec), text(f.Suite), ev.At.UnixMilli(),
		int64(f.PacketsIn), int64(f.PacketsOut), int64(f.Lost), f.Heard.Loss, int64(f.Heard.Jitter), f.Heard.MOS,
		f.Sent.Loss, int64(f.Sent.Jitter), f.Sent.MOS, int64(f.RoundTrip))
}
