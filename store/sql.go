package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// tx is one transaction. It prepares each statement once.
type tx struct {
	*sql.Tx
	prepared map[string]*sql.Stmt
}

// inTx runs f in a transaction, which is committed if f returns nil. An error
// of either is wrapped with what was being done.
func (s *Store) inTx(ctx context.Context, doing string, f func(*tx) error) error {
	if !s.known.Load() {
		return fmt.Errorf("store: %s: %w", doing, ErrAway)
	}
	return s.transact(ctx, doing, f)
}

// mostTries bounds how often a transaction is begun again that PostgreSQL gave up
// in favour of another.
const mostTries = 10

// transact is inTx for what makes the database ready. Nodes take in their logs side
// by side, each in the order of its own, and so may want each other's rows: one of
// them is told to begin again, which is no failure. So f may be run more than once.
func (s *Store) transact(ctx context.Context, doing string, f func(*tx) error) error {
	for try := 1; ; try++ {
		err := s.attempt(ctx, doing, f)
		if try == mostTries || !gaveWay(err) || ctx.Err() != nil {
			return err
		}
	}
}

// gaveWay says whether a transaction was ended for another's sake.
func gaveWay(err error) bool {
	p, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (p.Code == "40P01" || p.Code == "40001") // deadlock_detected, serialization_failure
}

func (s *Store) attempt(ctx context.Context, doing string, f func(*tx) error) error {
	t, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %s: %w", doing, err)
	}
	err = f(&tx{Tx: t, prepared: map[string]*sql.Stmt{}})
	if err != nil {
		if back := t.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
			err = errors.Join(err, back)
		}
	} else {
		err = t.Commit()
	}
	if err != nil {
		return fmt.Errorf("store: %s: %w", doing, err)
	}
	return nil
}

// exec runs a statement and gives how many rows it touched.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := t.statement(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row runs a query for one row.
func (t *tx) row(ctx context.Context, query string, args []any, into ...any) error {
	st, err := t.statement(ctx, query)
	if err != nil {
		return err
	}
	return st.QueryRowContext(ctx, args...).Scan(into...)
}

func (t *tx) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := t.prepared[query]; st != nil {
		return st, nil
	}
	st, err := t.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	t.prepared[query] = st // closed with the transaction
	return st, nil
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// rows runs a query and gives its rows one by one, as scan reads them. An
// error is the last pair.
func rows[T any](ctx context.Context, q querier, doing, query string, args []any, scan func(scanner) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		found, err := q.QueryContext(ctx, query, args...)
		if err != nil {
			yield(zero, fmt.Errorf("store: %s: %w", doing, err))
			return
		}
		defer found.Close()
		for found.Next() {
			v, err := scan(found)
			if err != nil {
				yield(zero, fmt.Errorf("store: %s: %w", doing, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
		if err := found.Err(); err != nil {
			yield(zero, fmt.Errorf("store: %s: %w", doing, err))
		}
	}
}

// scanner is a row.
type scanner interface{ Scan(into ...any) error }

// collect gathers what rows gives.
func collect[T any](all iter.Seq2[T, error]) ([]T, error) {
	var list []T
	for v, err := range all {
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// where gathers the conditions of a query; "?" in one stands for its argument.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	for _, a := range args {
		w.args = append(w.args, a)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// within asks for a time from one moment until before another; a zero one is no limit.
func (w *where) within(column string, from, to time.Time) {
	if !from.IsZero() {
		w.and(column+" >= ?", from.UnixMilli())
	}
	if !to.IsZero() {
		w.and(column+" < ?", to.UnixMilli())
	}
}

// is asks for a value, unless it is empty.
func (w *where) is(column, value string) {
	if value != "" {
		w.and(column+" = ?", text(value))
	}
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// text makes a string fit for both databases: PostgreSQL takes neither NUL nor
// bytes that are not UTF-8, and a fact that can't be stored would hold up all
// after it.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// moment is a time as it is stored: the zero time as NULL.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// when reads a moment back.
type when struct{ into *time.Time }

// Scan implements sql.Scanner.
func (w when) Scan(v any) error {
	switch ms := v.(type) {
	case nil:
		*w.into = time.Time{}
	case int64: // as both drivers give it
		*w.into = time.UnixMilli(ms).UTC()
	default:
		return fmt.Errorf("a moment can't be read from %T", v)
	}
	return nil
}

// levels writes skills and their levels as JSON, keys in order.
func levels(m map[string]int) (string, error) {
	if m == nil {
		return "{}", nil
	}
	b, err := json.Marshal(m)
	return text(string(b)), err
}

// asJSON reads a JSON column.
type asJSON struct{ into any }

// Scan implements sql.Scanner.
func (j asJSON) Scan(v any) error {
	var s sql.NullString
	if err := s.Scan(v); err != nil {
		return err
	}
	if !s.Valid {
		return nil
	}
	return json.Unmarshal([]byte(s.String), j.into)
}
