package vault

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/prf/hmacprf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Key is what may be told of a key for sealing.
type Key struct {
	ID      uint32    // stands before each value sealed under it
	Made    time.Time // UTC
	Primary bool      // what is sealed now is sealed under it; the others only open
}

// keyring is a keyset ready for use. It never changes, but for the count; a
// rotation makes another.
type keyring struct {
	seal *keyset.Handle // AES-256-GCM keys, one of them primary
	hash *keyset.Handle // the one HMAC-SHA-256 key for numbers
	made map[uint32]time.Time

	aead        tink.AEAD
	prf         prf.PRF
	primary     uint32
	keys        []Key
	fingerprint string
	sealed      *atomic.Uint64 // here under the primary key, by this process and those before
}

// document is a keyset as it stands in its source: two of Tink's cleartext
// keysets in JSON, and when the keys were made, which Tink doesn't keep.
type document struct {
	Version int                  `json:"bugle_keyset"`
	Made    map[uint32]time.Time `json:"made"`
	Seal    json.RawMessage      `json:"seal"`
	Hash    json.RawMessage      `json:"hash"`
}

// documentVersion is that of keysets written and read here.
const documentVersion = 1

// newKeyring makes fresh keys.
func newKeyring(now time.Time) (*keyring, error) {
	seal, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	hash, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	id := seal.KeysetInfo().GetPrimaryKeyId()
	return assemble(seal, hash, map[uint32]time.Time{id: now.UTC().Truncate(time.Second)})
}

// rotated gives the keyring after a step, and the id of the key that the step was
// about.
func (r *keyring) rotated(step Step, now time.Time) (*keyring, uint32, error) {
	m := keyset.NewManagerFromHandle(r.seal)
	made := map[uint32]time.Time{}
	for _, k := range r.keys {
		made[k.ID] = k.Made
	}
	id := r.newest()
	var err error
	switch waits := id != r.primary; {
	case step == Promote && !waits:
		return nil, 0, ErrNoneAdded
	case step != Promote && waits:
		return nil, 0, fmt.Errorf("%w: key %d", ErrAdded, id)
	case step != Promote:
		if id, err = m.Add(aead.AES256GCMKeyTemplate()); err == nil {
			made[id] = now.UTC().Truncate(time.Second)
		}
	}
	if err == nil && step != Add {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("make a key: %w", err)
	}
	seal, err := m.Handle()
	if err != nil {
		return nil, 0, fmt.Errorf("make a key: %w", err)
	}
	fresh, err := assemble(seal, r.hash, made)
	return fresh, id, err
}

// newest gives the key that was added last: Tink keeps them in that order.
func (r *keyring) newest() uint32 {
	for i := r.seal.Len() - 1; i >= 0; i-- {
		if entry, err := r.seal.Entry(i); err == nil && r.has(entry.KeyID()) {
			return entry.KeyID()
		}
	}
	return r.primary
}

// key gives one of the keys by its id.
func (r *keyring) key(id uint32) Key {
	for _, k := range r.keys {
		if k.ID == id {
			return k
		}
	}
	return Key{}
}

// assemble checks that the keys are of the kind wanted and makes them usable.
func assemble(seal, hash *keyset.Handle, made map[uint32]time.Time) (*keyring, error) {
	r := &keyring{seal: seal, hash: hash, made: made, sealed: new(atomic.Uint64)}
	if err := r.list(); err != nil {
		return nil, err
	}
	if err := checkHashKey(hash); err != nil {
		return nil, err
	}
	var err error
	if r.aead, err = aead.New(seal); err != nil {
		return nil, unusable("its keys for sealing are refused")
	}
	set, err := prf.NewPRFSet(hash)
	if err != nil {
		return nil, unusable("its key for numbers is refused")
	}
	r.prf = set.PRFs[set.PrimaryID]
	print, err := r.prf.ComputePRF([]byte("bugle fingerprint"), 8)
	if err != nil {
		return nil, unusable("its key for numbers is refused")
	}
	r.fingerprint = hex.EncodeToString(print)
	return r, nil
}

// list fills keys, and refuses what isn't AES-256-GCM with the key's id before
// each value.
func (r *keyring) list() error {
	for i := range r.seal.Len() {
		entry, err := r.seal.Entry(i)
		if err != nil {
			return unusable("its keys for sealing are refused")
		}
		if entry.KeyStatus() != keyset.Enabled {
			continue
		}
		k, ok := entry.Key().(*aesgcm.Key)
		if !ok || !isAES256GCM(k.Parameters().(*aesgcm.Parameters)) {
			return unusable(fmt.Sprintf("key %d is not one for AES-256-GCM with Tink's prefix", entry.KeyID()))
		}
		if entry.IsPrimary() {
			r.primary = entry.KeyID()
		}
		r.keys = append(r.keys, Key{ID: entry.KeyID(), Made: r.made[entry.KeyID()], Primary: entry.IsPrimary()})
	}
	slices.SortFunc(r.keys, func(a, b Key) int {
		switch {
		case a.Primary:
			return -1
		case b.Primary:
			return 1
		}
		return cmp.Or(b.Made.Compare(a.Made), cmp.Compare(a.ID, b.ID))
	})
	return nil
}

func isAES256GCM(p *aesgcm.Parameters) bool {
	return p.KeySizeInBytes() == 32 && p.Variant() == aesgcm.VariantTink
}

// checkHashKey wants one key: with two, a number would have two hashes.
func checkHashKey(hash *keyset.Handle) error {
	if hash.Len() != 1 {
		return unusable(fmt.Sprintf("it has %d keys for numbers, not one", hash.Len()))
	}
	entry, err := hash.Primary()
	if err != nil {
		return unusable("its key for numbers is refused")
	}
	k, ok := entry.Key().(*hmacprf.Key)
	if !ok {
		return unusable("its key for numbers is not one for HMAC-SHA-256")
	}
	if p := k.Parameters().(*hmacprf.Parameters); p.HashType() != hmacprf.SHA256 || p.KeySizeInBytes() < 32 {
		return unusable("its key for numbers is not one for HMAC-SHA-256")
	}
	return nil
}

// has reports whether values sealed under a key can be opened.
func (r *keyring) has(id uint32) bool {
	return slices.ContainsFunc(r.keys, func(k Key) bool { return k.ID == id })
}

// ids lists the keys' ids for an error.
func (r *keyring) ids() string {
	var b strings.Builder
	for i, k := range r.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, k.ID)
	}
	return b.String()
}

// marshal gives the keyset as its source keeps it: the keys themselves.
func (r *keyring) marshal() ([]byte, error) {
	var seal, hash bytes.Buffer
	if err := insecurecleartextkeyset.Write(r.seal, keyset.NewJSONWriter(&seal)); err != nil {
		return nil, errors.New("write keyset: Tink refused the keys for sealing")
	}
	if err := insecurecleartextkeyset.Write(r.hash, keyset.NewJSONWriter(&hash)); err != nil {
		return nil, errors.New("write keyset: Tink refused the key for numbers")
	}
	text, err := json.MarshalIndent(document{documentVersion, r.made, seal.Bytes(), hash.Bytes()}, "", "  ")
	if err != nil {
		return nil, errors.New("write keyset: it can't be written as JSON")
	}
	return append(text, '\n'), nil
}

// parseKeyring reads a keyset. What JSON and Tink say of bad text is never
// passed on: it can quote the text, and the text is keys.
func parseKeyring(text []byte) (*keyring, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, unusable("it is empty")
	}
	var d document
	if json.Unmarshal(text, &d) != nil {
		return nil, unusable("it is not one that bugle vault init made, or it is damaged")
	}
	if d.Version != documentVersion {
		return nil, unusable(fmt.Sprintf("its bugle_keyset is %d, not %d", d.Version, documentVersion))
	}
	seal, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(d.Seal)))
	if err != nil {
		return nil, unusable(`its "seal" is not a keyset of Tink's`)
	}
	hash, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(d.Hash)))
	if err != nil {
		return nil, unusable(`its "hash" is not a keyset of Tink's`)
	}
	return assemble(seal, hash, d.Made)
}

func unusable(why string) error { return fmt.Errorf("%w: %s", ErrKeyset, why) }

// Format prints "[sealed]": a keyring must not be printed by accident.
func (r *keyring) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[sealed]") }
