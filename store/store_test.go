package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/test/peer"
	"go.uber.org/goleak"
)

// server is the PostgreSQL that all tests of the package share.
var server *peer.Postgres

func TestMain(m *testing.M) {
	var err error
	if server, err = peer.RunPostgres(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := 1
	if err := makeBlank(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	server.Stop()
	os.RemoveAll(blank.dir)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// site is one database, which several nodes can open.
type site struct {
	config config.Store
	dir    string
	sealer *testSealer
}

// blank is a database of each kind that has been migrated and holds nothing: copying
// it costs far less than the migrations.
var blank site

// makeBlank makes the SQLite file in blank.dir and the database blank.config names.
func makeBlank() (err error) {
	if blank.dir, err = os.MkdirTemp("", "bugle-store-"); err != nil {
		return err
	}
	if blank.config.Postgres, err = server.Create(""); err != nil {
		return err
	}
	for _, c := range []config.Store{{}, blank.config} {
		s, err := Later(Options{Config: c, DataDir: blank.dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		if err := errors.Join(s.migrate(context.Background()), s.Close()); err != nil {
			return err
		}
	}
	return nil
}

// onBoth runs a test on both databases, migrated and with nothing in them.
func onBoth(t *testing.T, test func(t *testing.T, d site)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, site{}.another(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, onPostgres(t)) })
}

// onPostgres is the half of onBoth for what only PostgreSQL does.
func onPostgres(t testing.TB) site { return site{config: blank.config}.another(t) }

// another gives another site with the same kind of database, migrated and with nothing in it.
func (d site) another(t testing.TB) site {
	t.Helper()
	if d.config.Postgres != "" {
		return site{config: blank.config}.copy(t)
	}
	return site{dir: blank.dir}.copy(t)
}

// onBothFromNothing is onBoth for a test of what is done to a database before it can be used.
func onBothFromNothing(t *testing.T, test func(t *testing.T, d site)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, site{dir: t.TempDir(), sealer: newSealer()}) })
	t.Run("postgres", func(t *testing.T) {
		test(t, site{config: config.Store{Postgres: server.Database(t)}, dir: t.TempDir(), sealer: newSealer()})
	})
}

// copy gives another site whose database holds what d's does, which no node may have open.
func (d site) copy(t testing.TB) site {
	t.Helper()
	c := site{dir: t.TempDir(), sealer: newSealer()}
	if d.config.Postgres != "" {
		c.config.Postgres = server.Copy(t, d.config.Postgres)
		return c
	}
	b, err := os.ReadFile(filepath.Join(d.dir, fileName))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(c.dir, fileName), b, 0o600))
	return c
}

// open opens the database as a node.
func (d site) open(t testing.TB, node string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Config: d.config, DataDir: d.dir, Node: node, Sealer: d.sealer, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// testSealer is a vault with one key.
type testSealer struct {
	aead cipher.AEAD
	name string
}

func newSealer() *testSealer {
	block, err := aes.NewCipher([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &testSealer{aead, "test vault"}
}

func (v *testSealer) Seal(plain, associated []byte) ([]byte, error) {
	nonce := make([]byte, v.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return v.aead.Seal(nonce, nonce, plain, associated), nil
}

func (v *testSealer) Unseal(sealed, associated []byte) ([]byte, error) {
	if len(sealed) < v.aead.NonceSize() {
		return nil, fmt.Errorf("not sealed")
	}
	n := v.aead.NonceSize()
	return v.aead.Open(nil, sealed[:n], sealed[n:], associated)
}

func (v *testSealer) Hash(number string) string {
	m := hmac.New(sha256.New, []byte("key"))
	m.Write([]byte(number))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

func (v *testSealer) Fingerprint() string { return v.name }

var tester = By{Actor: "tess", Address: "192.0.2.7"}

// must is for what cannot fail in a test that is well.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenTwiceKeepsEverything(t *testing.T) {
	onBothFromNothing(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		must(t, s.PutAgent(t.Context(), tester, "anna", config.Agent{Name: "Anna", Tier: 1}))
		again := d.open(t, "n2")
		agents, err := again.Agents(t.Context())
		must(t, err)
		if agents["anna"].Name != "Anna" {
			t.Errorf("got %v", agents)
		}
		must(t, again.Ping(t.Context()))
	})
}

// A database that was not there yet gives ErrAway, whatever it is asked, until it is
// ready; then all works.
func TestLater(t *testing.T) {
	onBothFromNothing(t, func(t *testing.T, d site) {
		s, err := Later(Options{Config: d.config, DataDir: d.dir, Node: "n1", Sealer: d.sealer, Log: slog.New(slog.DiscardHandler)})
		must(t, err)
		defer func() { must(t, s.Close()) }()
		ctx := t.Context()
		ask := func() map[string]error {
			_, staff := s.Staff(ctx)
			_, verified := s.Verify(ctx, nil)
			_, offset := s.Offset(ctx, "log", "history")
			return map[string]error{
				"put": s.PutAgent(ctx, tester, "anna", config.Agent{Tier: 1}), "staff": staff, "verify": verified, "offset": offset,
				"audit": s.Audit(ctx, Entry{Actor: "x"}),
			}
		}
		for what, err := range ask() {
			if !errors.Is(err, ErrAway) {
				t.Errorf("%s: %v", what, err)
			}
		}
		over, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.Ready(over); err == nil {
			t.Error("ready although there was no time")
		}
		must(t, s.Ready(ctx))
		must(t, s.Ready(ctx))
		for what, err := range ask() {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// Nodes that start together all migrate; one does it, the others wait.
func TestNodesMigrateTogether(t *testing.T) {
	d := site{config: config.Store{Postgres: server.Database(t)}, sealer: newSealer()}
	errs := make(chan error, 4)
	for i := range cap(errs) {
		go func() {
			s, err := Open(context.Background(), Options{Config: d.config, Node: fmt.Sprint(i), Sealer: d.sealer, Log: slog.New(slog.DiscardHandler)})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		must(t, <-errs)
	}
}

// A migration with a number below one that a database has already is refused
// there: the next one takes the next number.
func TestMigrationsHaveNoGaps(t *testing.T) {
	files, err := migrations.ReadDir("migrations")
	must(t, err)
	for i, f := range files {
		if want := fmt.Sprintf("%05d_", i+1); !strings.HasPrefix(f.Name(), want) {
			t.Errorf("%s should begin with %s", f.Name(), want)
		}
	}
}

// A server that is there and says no is no server that is away.
func TestRefusalsOfTheServerAreFinal(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		if d.config.Postgres == "" {
			return // a file is never away
		}
		for name, change := range map[string]func(*url.URL){
			"unknown database": func(u *url.URL) { u.Path = "/nobody-made-this" },
			"unknown user":     func(u *url.URL) { u.User = url.UserPassword("nobody", "wrong") },
		} {
			at, err := url.Parse(d.config.Postgres)
			must(t, err)
			change(at)
			_, err = Open(t.Context(), Options{Config: config.Store{Postgres: at.String()}, Sealer: d.sealer, Log: slog.New(slog.DiscardHandler)})
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v, want it refused", name, err)
			}
		}
		gone := Options{Config: config.Store{Postgres: "postgres://127.0.0.1:1/bugle"}, Sealer: d.sealer, Log: slog.New(slog.DiscardHandler)}
		if _, err := Open(t.Context(), gone); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("nobody listening: %v, want it to be away", err)
		}
	})
}

func TestNewerTablesAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		_, err := s.write.Exec(`INSERT INTO bugle_migrations (version_id, is_applied) VALUES (99, $1)`, true)
		must(t, err)
		_, err = Open(t.Context(), Options{Config: d.config, DataDir: d.dir, Sealer: d.sealer, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), "run a newer bugle") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnotherVaultIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		d.open(t, "n1")
		other := newSealer()
		other.name = "another vault"
		_, err := Open(t.Context(), Options{Config: d.config, DataDir: d.dir, Sealer: other, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), "same keyset") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSQLiteFilesAreTheOwnersAlone(t *testing.T) {
	d := site{dir: t.TempDir(), sealer: newSealer()}
	s := d.open(t, "n1")
	must(t, s.Audit(t.Context(), Entry{Actor: "a"}))
	files, err := filepath.Glob(filepath.Join(d.dir, fileName+"*"))
	must(t, err)
	if len(files) != 3 { // with -wal and -shm
		t.Errorf("files: %v", files)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f, info.Mode())
		}
	}
}

// A path may hold what means something in a URL.
func TestSQLiteInAnOddFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50% of? it #1")
	d := site{dir: dir, sealer: newSealer()}
	d.open(t, "n1")
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		t.Error(err)
	}
}

// What cannot be reached or read gives an error soon, and never the password.
func TestNoPasswordInErrors(t *testing.T) {
	for _, address := range []string{
		"postgres://bugle:hunter2@127.0.0.1:1/bugle",
		"postgres://bugle:hunter2@127.0.0.1:port/bugle",
		"postgres://bugle:hunter2@[::1/%zz",
	} {
		began := time.Now()
		_, err := Open(t.Context(), Options{Config: config.Store{Postgres: address}, Log: slog.New(slog.DiscardHandler)})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	}
}

func TestPrivateIsNotPrinted(t *testing.T) {
	p := Private("+15550100")
	printed := fmt.Sprintf("%v %s %q %+v %#v %x %d %v", p, p, p, p, p, p, p, FollowUp{Caller: p})
	if strings.Contains(printed, "5550100") || strings.Contains(printed, hex.EncodeToString([]byte("5550100"))) {
		t.Error(printed)
	}
	u := User{ID: "u", PasswordHash: "secret"}
	if printed := fmt.Sprintf("%v %+v %#v %s", u, u, u, u); strings.Contains(printed, "secret") {
		t.Error(printed)
	}
}

// Nodes that read national numbers in two ways would not know each other's callers.
func TestAnotherCountryIsRefused(t *testing.T) {
	for _, test := range []struct {
		filled, here string
		says         string // "": not refused
	}{
		{"DE", "DE", ""},
		{"", "", ""},
		{"DE", "US", "filled with country: DE, and here is country: US: set country as it was"},
		{"", "DE", "filled with no country, and here is country: DE: set country as it was"},
		{"DE", "", "filled with country: DE, and here is no country: set country as it was"},
	} {
		onBoth(t, func(t *testing.T, d site) {
			for i, country := range []string{test.filled, test.filled, test.here} {
				s, err := Open(t.Context(), Options{Config: d.config, DataDir: d.dir, Node: "n1", Sealer: d.sealer, Country: country, Log: slog.New(slog.DiscardHandler)})
				if err == nil {
					err = s.Close()
				}
				if i < 2 || test.says == "" {
					must(t, err)
				} else if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("after %q, %q: %v, want it refused: %s", test.filled, test.here, err, test.says)
				}
			}
		})
	}
}

// Without a vault nothing is stored in the clear instead.
func TestNothingPersonalWithoutVault(t *testing.T) {
	s, err := Open(t.Context(), Options{DataDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer s.Close()
	if _, err := s.AddFollowUp(t.Context(), FollowUp{ID: "f", Caller: "+15550100"}); err == nil {
		t.Error("a follow-up was stored")
	}
	if err := s.Audit(t.Context(), Entry{}); err == nil {
		t.Error("an audit entry was stored without a seal")
	}
}
