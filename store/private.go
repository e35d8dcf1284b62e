package store

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Sealer keeps private what is stored; *vault.Vault is one. Associated data
// binds a sealed value to its place: moved elsewhere it can't be opened.
type Sealer interface {
	Seal(plain, associated []byte) ([]byte, error)
	Unseal(sealed, associated []byte) ([]byte, error)
	Hash(number string) string // keyed, the same for the same number for ever
	Fingerprint() string       // of the key of Hash
}

// CallerPlace is the associated data of a call's sealed caller number
// (event.CallStarted.CallerSealed).
func CallerPlace(call string) []byte { return []byte("call caller " + call) }

// TransferPlace is the associated data of a transfer's sealed outside number
// (event.Transferred.Sealed).
func TransferPlace(id string) []byte { return []byte("transfer target " + id) }

func followUpPlace(id string) []byte { return []byte("follow-up caller " + id) }
func headPlace(node string) []byte   { return []byte("audit head " + node) }

// Private is text about a person, such as a telephone number. It prints as
// "[sealed]"; Reveal gives the text, to who may see it.
type Private string

// Reveal gives the text itself.
func (p Private) Reveal() string { return string(p) }

// Format implements fmt.Formatter for every verb.
func (p Private) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// String hides the text.
func (p Private) String() string {
	if p == "" {
		return ""
	}
	return "[sealed]"
}

// MarshalText hides the text from JSON and logs.
func (p Private) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

var errNoSealer = errors.New("the store was opened without a vault")

// noSealer seals nothing: what would be stored in the clear is refused.
type noSealer struct{}

func (noSealer) Seal(_, _ []byte) ([]byte, error)   { return nil, errNoSealer }
func (noSealer) Unseal(_, _ []byte) ([]byte, error) { return nil, errNoSealer }
func (noSealer) Hash(string) string                 { return "" }
func (noSealer) Fingerprint() string                { return "" }

// errOtherVault is a database in which nothing of ours could be found.
var errOtherVault = errors.New("the database was filled with another vault's keys: give every node that uses it the same keyset")

// errOtherCountry is a database in which a caller with a national number would be
// another one than before.
var errOtherCountry = errors.New("callers would not be known again")

// recognise holds vault and country against those the database was filled with,
// since the hash of a number depends on both; the first to come decides.
func (s *Store) recognise(ctx context.Context) error {
	ours := s.sealer.Fingerprint()
	if ours == "" {
		return nil
	}
	var vault, country string
	err := s.transact(ctx, "recognise the vault", func(t *tx) error {
		if err := t.trait(ctx, "vault", ours, &vault); err != nil || vault != ours {
			return err // an unknown vault's country decides nothing
		}
		return t.trait(ctx, "country", s.country, &country)
	})
	switch {
	case err != nil:
		return err
	case vault != ours:
		return fmt.Errorf("%w: %w", ErrRefused, errOtherVault)
	case country != s.country:
		return fmt.Errorf("%w: %w: the database was filled with %s, and here is %s: set country as it was, on every node that uses the database",
			ErrRefused, errOtherCountry, countrySet(country), countrySet(s.country))
	}
	return nil
}

// trait reads what the database was filled with, and writes it if nothing is.
func (t *tx) trait(ctx context.Context, name, ours string, theirs *string) error {
	return t.row(ctx, `INSERT INTO traits (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = traits.value RETURNING value`, []any{name, ours}, theirs)
}

// countrySet is a configuration's country for people.
func countrySet(c string) string {
	if c == "" {
		return "no country"
	}
	return "country: " + c
}

// seal gives nil for nothing.
func (s *Store) seal(p Private, place []byte) ([]byte, error) {
	if p == "" {
		return nil, nil
	}
	return s.sealer.Seal([]byte(p), place)
}

// unseal gives nothing for nil.
func (s *Store) unseal(sealed, place []byte) (Private, error) {
	if len(sealed) == 0 {
		return "", nil
	}
	plain, err := s.sealer.Unseal(sealed, place)
	return Private(plain), err
}
