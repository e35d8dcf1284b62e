// Package vault keeps what is private from being read by whoever gets hold of a
// disk, a dump or a backup: it seals values and files with AES-256-GCM, and
// gives caller numbers a keyed hash by which they can be found again.
//
// It owns the keyset, where that comes from (a file, the environment, a command
// that asks a key service), its rotation while nodes run, and the format of
// sealed files. It does not know what it seals, nor where sealed bytes are
// kept: callers bind a value to its place with associated data, so that sealed
// values cannot be swapped. Nothing here ever falls back to plain.
//
// The keys and their primitives are Tink's. Read this file for what callers
// use, keyring.go for what a keyset is, source.go for where it is read from,
// manage.go for making and rotating it, watch.go for how a running node takes that
// up, writer.go and reader.go for files.
package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bugle-voice/bugle/config"
)

// KeysetFile is the name of the keyset in data_dir, read where the
// configuration names none.
const KeysetFile = "keyset.json"

var (
	// ErrUnknownKey is of a value sealed under a key that the keyset lacks.
	ErrUnknownKey = errors.New("sealed under a key that is not in the keyset")
	// ErrAltered is of a value or file that has been changed, cut, moved from
	// its place, or was never sealed here.
	ErrAltered = errors.New("not what was sealed here")
	// ErrKeyset is of a keyset that is missing or can't be used.
	ErrKeyset = errors.New("no usable keyset")
)

// Vault seals and opens. Its methods are safe for concurrent use. It prints as
// "[sealed]" however it is printed.
type Vault struct {
	source source
	ring   atomic.Pointer[keyring]
	dir    string // data_dir; empty for tools
	clean  func(number string) string

	reading sync.Mutex // held while the source is read
	told    uint32     // the primary key that Watch knows of; held by reading

	mu     sync.Mutex
	failed error // of the last reading; nil once one succeeded
}

// Open reads the keyset that c names, by default KeysetFile in dataDir, and
// holds it against what dataDir was sealed with before: a wrong keyset is an
// error here, not later. An empty dataDir skips that (tools, tests). A missing
// keyset is an ErrKeyset that says how to make one.
func Open(ctx context.Context, c config.Vault, dataDir string) (*Vault, error) {
	v, err := Inspect(ctx, c, dataDir)
	if err != nil {
		return nil, err
	}
	if dataDir == "" {
		return v, nil
	}
	if err := v.leaveWitness(dataDir); err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	v.dir = dataDir
	ring := v.ring.Load()
	ring.sealed.Add(readCount(dataDir, ring.primary))
	return v, nil
}

// Inspect is Open for tools: it writes nothing into dataDir.
func Inspect(ctx context.Context, c config.Vault, dataDir string) (*Vault, error) {
	source, err := newSource(c, dataDir)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	v := &Vault{source: source}
	if err := v.Reload(ctx); err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	v.told = v.ring.Load().primary
	if dataDir == "" {
		return v, nil
	}
	if err := v.checkWitness(dataDir); err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	return v, nil
}

// Seal gives plain sealed under the primary key and bound to associated, which
// Unseal has to be given again. The result is 33 bytes longer than plain.
func (v *Vault) Seal(plain, associated []byte) ([]byte, error) {
	ring := v.ring.Load()
	ring.sealed.Add(1)
	sealed, err := ring.aead.Encrypt(plain, associated)
	if err != nil {
		return nil, errors.New("seal: the value is too long") // the one thing that Encrypt refuses
	}
	return sealed, nil
}

// SealAppend is Seal that appends to dst, for writers that keep a buffer. plain
// may lie in dst's array.
func (v *Vault) SealAppend(dst, plain, associated []byte) ([]byte, error) {
	sealed, err := v.Seal(plain, associated)
	if err != nil {
		return dst, err
	}
	return append(dst, sealed...), nil
}

// Unseal opens what Seal gave. A key that it doesn't know makes it look for a
// newer keyset once; the error is then an ErrUnknownKey that names the key, else
// an ErrAltered. Neither holds anything of the value.
func (v *Vault) Unseal(sealed, associated []byte) ([]byte, error) {
	id, ok := SealedUnder(sealed)
	if !ok {
		return nil, fmt.Errorf("unseal: %w", ErrAltered)
	}
	ring := v.ring.Load()
	if !ring.has(id) {
		if ring = v.searchFor(id); !ring.has(id) {
			return nil, fmt.Errorf("unseal: key %d: %w (%s has %s)", id, ErrUnknownKey, v.source, ring.ids())
		}
	}
	plain, err := ring.aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, fmt.Errorf("unseal under key %d: %w", id, ErrAltered)
	}
	return plain, nil
}

// SealedUnder gives the id of the key that a value was sealed under, if it is one
// that was: Tink puts a 1 and the id before what it encrypts.
func SealedUnder(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < prefixSize || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:prefixSize]), true
}

// prefixSize is that of what stands before the nonce: Tink's version and the
// key's id.
const prefixSize = 5

// searchFor looks whether the source has a keyset with the key by now, and gives
// the keyset to go on with. Those who miss a key at the same time wait for one
// reading.
func (v *Vault) searchFor(id uint32) *keyring {
	v.reading.Lock()
	defer v.reading.Unlock()
	if !v.ring.Load().has(id) && v.source.mayHaveMore() {
		_ = v.read(context.Background())
	}
	return v.ring.Load()
}

// Reload reads the keyset anew. One that lacks the key now sealed with, or has
// another key for numbers, is refused: it is somebody else's. On an error the
// keyset stays as it was.
func (v *Vault) Reload(ctx context.Context) error {
	v.reading.Lock()
	defer v.reading.Unlock()
	return v.read(ctx)
}

// read is Reload for who holds reading.
func (v *Vault) read(ctx context.Context) error {
	fresh, err := v.fetch(ctx)
	if err != nil {
		err = fmt.Errorf("keyset from %s: %w", v.source, err)
	} else {
		v.ring.Store(fresh)
	}
	v.mu.Lock()
	v.failed = err
	v.mu.Unlock()
	return err
}

// fetch reads and parses the keyset, and holds it against the one in use.
func (v *Vault) fetch(ctx context.Context) (*keyring, error) {
	text, err := v.source.read(ctx)
	if err != nil {
		return nil, err
	}
	fresh, err := parseKeyring(text)
	if err != nil {
		return nil, err
	}
	if old := v.ring.Load(); old != nil {
		switch {
		case old.fingerprint != fresh.fingerprint:
			return nil, fmt.Errorf("%w: it has another key for numbers than the keyset in use (%s, not %s)",
				ErrKeyset, fresh.fingerprint, old.fingerprint)
		case !fresh.has(old.primary):
			return nil, fmt.Errorf("%w: it lacks key %d, which this node seals with", ErrKeyset, old.primary)
		}
		if fresh.primary == old.primary {
			fresh.sealed = old.sealed
		}
	}
	return fresh, nil
}

// Healthy says why the keyset can't be read, or nil. It looks at the source
// first if that has changed, or if the last reading failed and another is due.
// The vault goes on with what it had.
func (v *Vault) Healthy(ctx context.Context) error {
	if v.reading.TryLock() { // else somebody is at it
		if v.source.changed() || v.failure() != nil && v.source.mayHaveMore() {
			_ = v.read(ctx)
		}
		v.reading.Unlock()
	}
	return v.failure()
}

func (v *Vault) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.failed
}

// Keys lists the keys for sealing, the primary first, then the youngest first.
func (v *Vault) Keys() []Key { return slices.Clone(v.ring.Load().keys) }

// Fingerprint names the key for numbers without telling anything of it: nodes
// that share a database must agree on it.
func (v *Vault) Fingerprint() string { return v.ring.Load().fingerprint }

// Source says where the keyset is read from, for people.
func (v *Vault) Source() string { return v.source.String() }

// Format prints "[sealed]", whatever the verb.
func (v *Vault) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[sealed]") }

// LogValue is Format for slog.
func (v *Vault) LogValue() slog.Value { return slog.StringValue("[sealed]") }

// MarshalJSON is Format for JSON.
func (v *Vault) MarshalJSON() ([]byte, error) { return []byte(`"[sealed]"`), nil }
