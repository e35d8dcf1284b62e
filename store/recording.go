package store

import (
	"context"
	"iter"
	"time"
)

// Recording is something a caller said, kept in a sealed file of its node.
type Recording struct {
	ID        string
	Call      string
	Node      string // that has the file
	Name      string // which one of the call, as the flow calls it
	Length    time.Duration
	Bytes     int64 // of the sealed file
	Made      time.Time
	Condemned time.Time // zero unless it is to be deleted
}

const recordingQuery = `SELECT id, call_id, node, name, length_ns, bytes, made_at, condemned_at FROM recordings`

func scanRecording(row scanner) (Recording, error) {
	var r Recording
	err := row.Scan(&r.ID, &r.Call, &r.Node, &r.Name, &r.Length, &r.Bytes, when{&r.Made}, when{&r.Condemned})
	return r, err
}

// Recordings gives the recordings made from one moment until before another,
// in that order, without those condemned.
func (s *Store) Recordings(ctx context.Context, from, to time.Time) iter.Seq2[Recording, error] {
	return rows(ctx, s.read, "read recordings", recordingQuery+` WHERE made_at >= $1 AND made_at < $2 AND condemned_at IS NULL ORDER BY made_at, id`,
		[]any{from.UnixMilli(), to.UnixMilli()}, scanRecording)
}

// HasRecording reports whether a recording is known, condemned or not.
func (s *Store) HasRecording(ctx context.Context, id string) (bool, error) {
	for _, err := range rows(ctx, s.read, "look for a recording", `SELECT 1 FROM recordings WHERE id = $1`, []any{id},
		func(row scanner) (n int, err error) { return n, row.Scan(&n) }) {
		return err == nil, err
	}
	return false, nil
}

// Condemned gives the recordings of this node whose files are to be deleted:
// their time is over, or the caller asked to be forgotten. Each is to be
// forgotten (Forget) once its file is gone.
func (s *Store) Condemned(ctx context.Context) ([]Recording, error) {
	return collect(rows(ctx, s.read, "read condemned recordings", recordingQuery+` WHERE node = $1 AND condemned_at IS NOT NULL ORDER BY made_at, id`,
		[]any{s.node}, scanRecording))
}

// Forget deletes the row of a recording whose file is gone.
func (s *Store) Forget(ctx context.Context, recording string) error {
	return s.inTx(ctx, "forget a recording", func(t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM recordings WHERE id = $1`, recording)
		return err
	})
}
