// Package store is the SQL database: what must last. SQLite in a file of the
// node's own by default, PostgreSQL where nodes share it; the same tables, the
// same queries and the same tests for both.
//
// It owns the schema (migrations/), the agents and users, the history that it
// writes from the event log (history.go), the calls we owe somebody
// (followup.go), the audit's chain (audit.go), and for how long anything is
// kept (retention.go). It does not own the meaning of what it gives: formulas
// are room report's, and who may ask is decided above.
//
// Callers' numbers are sealed by room vault and found by their keyed hash. A
// moment is milliseconds since 1970 in UTC and a length of time nanoseconds,
// both as integers: the events are so, both databases compare and index them
// alike, and no driver converts a time zone behind our back.
//
// Start with store.go for how a database is opened, history.go for how facts
// become rows, visit.go for what figures are made of.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/bugle-voice/bugle/config"
)

// Options is what a Store needs.
type Options struct {
	Config  config.Store
	DataDir string       // where the SQLite file is, if Config names no PostgreSQL
	Node    string       // whose chain audit entries go into
	Sealer  Sealer       // nil only where nothing personal is stored: tests, tools
	Country string       // config.Config.Country, by which Sealer brings numbers into one form
	Log     *slog.Logger // default: slog.Default()
}

// Store is an open database. Its methods are safe for concurrent use.
type Store struct {
	// SQLite takes one writer at a time, and begins a transaction that will
	// write as such: one connection for writing, others for reading. For
	// PostgreSQL both are the same pool.
	write *sql.DB
	read  pool
	known atomic.Bool // the tables and the vault are as they must be: Ready

	dialect dialect
	node    string
	sealer  Sealer
	country string
	log     *slog.Logger
	metrics *metrics
}

// dialect is which database it is, where they differ.
type dialect int

const (
	sqlite dialect = iota
	postgres
)

// fileName is the SQLite database's name in data_dir.
const fileName = "bugle.db"

// Open opens the database and brings its tables up to date. A database that a
// newer version of Bugle has changed, or that was filled with another vault or for
// another country, is refused: ErrRefused.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := Later(o)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Later gives a database that may be away: until Ready has succeeded every method
// gives ErrAway. ErrRefused.
func Later(o Options) (*Store, error) {
	s := &Store{node: o.Node, sealer: o.Sealer, country: o.Country, log: o.Log, metrics: newMetrics()}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.sealer == nil {
		s.sealer = noSealer{}
	}
	var read *sql.DB
	var err error
	if o.Config.Postgres != "" {
		s.dialect = postgres
		s.write, err = openPostgres(o.Config.Postgres)
		read = s.write
	} else {
		s.write, read, err = openSQLite(filepath.Join(o.DataDir, fileName))
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.read = pool{read, &s.known}
	return s, nil
}

var (
	// ErrAway is a database that could not be asked yet.
	ErrAway = errors.New("the database has been away since the start")
	// ErrRefused is a database that is not for this node, now or later.
	ErrRefused = errors.New("refused")
)

// Ready brings the tables up to date and holds vault and country against the database's,
// after which the other methods work. It may be tried again. ErrRefused.
func (s *Store) Ready(ctx context.Context) error {
	err := s.migrate(ctx)
	if err == nil {
		err = s.recognise(ctx)
	}
	if err != nil {
		if needsHands(err) {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return fmt.Errorf("open store: %w", err)
	}
	s.known.Store(true)
	return nil
}

// pool is the connections for reading. Nothing is read before Ready.
type pool struct {
	*sql.DB
	known *atomic.Bool
}

func (p pool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if !p.known.Load() {
		return nil, ErrAway
	}
	return p.DB.QueryContext(ctx, query, args...)
}

func (p pool) BeginTx(ctx context.Context, o *sql.TxOptions) (*sql.Tx, error) {
	if !p.known.Load() {
		return nil, ErrAway
	}
	return p.DB.BeginTx(ctx, o)
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read.PingContext(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Close closes the database. What is under way ends with an error.
func (s *Store) Close() error {
	if s.read.DB == s.write {
		return s.write.Close()
	}
	return errors.Join(s.read.Close(), s.write.Close())
}
