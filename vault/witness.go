package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// witnessFile lies in data_dir: a value sealed there with the keyset in use,
// which tells a wrong keyset before anything is sealed or opened with it.
const witnessFile = "vault.witness"

var witnessPlace = []byte("bugle witness")

// checkWitness holds the keyset against what a data_dir was sealed with. One
// without a witness fits any keyset.
func (v *Vault) checkWitness(dataDir string) error {
	path := filepath.Join(dataDir, witnessFile)
	sealed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	plain, err := v.Unseal(sealed, witnessPlace)
	switch {
	case errors.Is(err, ErrUnknownKey):
		id, _ := SealedUnder(sealed)
		return fmt.Errorf("%w: what is in %s was sealed under key %d, and %s has %s: put back the keyset that goes with it",
			ErrUnknownKey, dataDir, id, v.source, v.ring.Load().ids())
	case err != nil:
		return fmt.Errorf("%s can't be opened with the keyset from %s: one of the two is damaged: %w", path, v.source, err)
	case string(plain) != v.Fingerprint():
		return fmt.Errorf("%w: the key for numbers in %s is %s, and %s was hashed with %s: put back the keyset that goes with it",
			ErrKeyset, v.source, v.Fingerprint(), dataDir, plain)
	}
	return nil
}

// leaveWitness seals the witness of a data_dir, if it is not there or sealed
// under an old key.
func (v *Vault) leaveWitness(dataDir string) error {
	path := filepath.Join(dataDir, witnessFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ring := v.ring.Load()
	if id, ok := SealedUnder(old); ok && id == ring.primary {
		return nil
	}
	sealed, err := v.Seal([]byte(ring.fingerprint), witnessPlace)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	return replaceFile(path, sealed, nil)
}
