package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// openSQLite opens a file, made if missing, for its owner's eyes only; SQLite
// gives the files beside it the same mode.
//
// WAL lets readers go on while one writes. synchronous=FULL makes each commit
// reach the disk: a callback is promised and an audit entry vouched for once
// it is stored, and history commits few times a second, so it costs little.
// Other processes (bugle agents import) are waited for, up to the timeout.
func openSQLite(path string) (write, read *sql.DB, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := f.Close(); err != nil {
		return nil, nil, err
	}
	pragmas := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-16000)",
	}}
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String()
	if read, err = sql.Open("sqlite", name+"?"+pragmas.Encode()); err != nil {
		return nil, nil, err
	}
	read.SetMaxOpenConns(4)
	pragmas.Set("_txlock", "immediate")
	if write, err = sql.Open("sqlite", name+"?"+pragmas.Encode()); err != nil {
		return nil, nil, errors.Join(err, read.Close())
	}
	write.SetMaxOpenConns(1)
	return write, read, nil
}

// errAddress hides what the driver says of an address it cannot read: it would
// quote it, and it holds a password.
var errAddress = errors.New("store.postgres is not the address of a database")

// openPostgres makes a pool; nothing is connected yet.
func openPostgres(address string) (*sql.DB, error) {
	c, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, errAddress)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "bugle"
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(4)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

//go:embed migrations
var migrations embed.FS

// migrator knows the migrations and what of them the database has. Nodes that start
// together take turns.
func (s *Store) migrator() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithTableName("bugle_migrations"), goose.WithSlog(s.log)}
	dialect := goose.DialectSQLite3
	if s.dialect == postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, s.write, files, options...)
}

// migrate brings the tables up to date.
func (s *Store) migrate(ctx context.Context) error {
	p, err := s.migrator()
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the tables up to date: %w", err)
	}
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("bring the tables up to date: %w", err)
	}
	sources := p.ListSources()
	if known := sources[len(sources)-1].Version; has > known {
		return fmt.Errorf("%w: the tables are of version %d, this bugle knows %d: run a newer bugle", ErrRefused, has, known)
	}
	return nil
}

// needsHands tells whether trying again is of no use: the server is there and
// says no, to the password, the database's name, a right, or a migration. The
// classes are those of PostgreSQL's appendix A.
func needsHands(err error) bool {
	var said *pgconn.PgError
	if !errors.As(err, &said) || len(said.Code) != 5 {
		return false
	}
	switch said.Code[:2] {
	case "08", "40", "53", "55", "57", "58": // connection, conflict, resources, locks, shutdown, the server's disk
		return false
	}
	return true
}
