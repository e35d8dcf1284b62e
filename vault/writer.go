package vault

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

// A sealed file is
//
//	"BGLV"  and a version byte, 2
//	uint16  length of the sealed key, big-endian
//	key     the file's own key of 32 bytes, sealed by the vault
//	stream  Tink's AES-GCM-HKDF streaming format under that key: a header, then
//	        chunks of 32 KiB, each sealed under a nonce of its index and "last or not"
//
// The vault's associated data covers the sealed key; that of the stream is all
// before it. So no chunk can be changed, left out, put elsewhere or taken from
// another file, and the file cannot be cut or go on: its last chunk, and no
// other, is sealed as the last. docs/decisions/06-sealed-files.md says why.
//
// In version 1, which is still read, chunks had 1 MiB: what a crash took of a
// voice was up to two minutes, and is now up to four seconds.
const (
	fileMagic   = "BGLV" // and the version
	version     = 2
	fileKeySize = 32
	chunkSize   = 32 << 10 // sealed
)

// chunkSizes are those of the versions.
var chunkSizes = map[byte]int64{1: 1 << 20, version: chunkSize}

// filePlace is what a file's key is bound to.
func filePlace(associated []byte) []byte {
	return append([]byte("bugle file key\x00"), associated...)
}

// NewWriter gives a writer that seals what is written to it into w, in chunks
// of 32 KiB: each is written when the next begins. Close seals the last one;
// without it the file is one that has been cut, which only OpenCut opens. Close
// leaves w open. The writer keeps up to 64 KiB in memory, and after an error
// gives that error for ever. It is not safe for concurrent use.
func (v *Vault) NewWriter(w io.Writer, associated []byte) (io.WriteCloser, error) {
	return v.newWriter(w, associated, version)
}

func (v *Vault) newWriter(w io.Writer, associated []byte, version byte) (io.WriteCloser, error) {
	key := make([]byte, fileKeySize)
	rand.Read(key) // never fails
	sealed, err := v.Seal(key, filePlace(associated))
	if err != nil {
		return nil, fmt.Errorf("seal file: %w", err)
	}
	head := append([]byte(fileMagic), version)
	head = binary.BigEndian.AppendUint16(head, uint16(len(sealed)))
	head = append(head, sealed...)
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("seal file: %w", err)
	}
	cipher, err := subtle.NewAESGCMHKDF(key, "SHA256", fileKeySize, int(chunkSizes[version]), 0)
	if err != nil {
		return nil, fmt.Errorf("seal file: %w", err)
	}
	stream, err := cipher.NewEncryptingWriter(w, head)
	if err != nil {
		return nil, fmt.Errorf("seal file: %w", err)
	}
	return &writer{stream: stream}, nil
}

// writer is Tink's, made to stop at the first error: Tink's would seal on after
// a chunk that only reached the disk in part.
type writer struct {
	stream io.WriteCloser
	err    error
}

var errFileClosed = errors.New("seal file: it is closed")

// Write seals p, or keeps it for the next chunk.
func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.stream.Write(p)
	if err != nil {
		w.err = fmt.Errorf("seal file: %w", err)
	}
	return n, w.err
}

// Close seals the last chunk. A second Close does nothing.
func (w *writer) Close() error {
	if w.err != nil {
		if errors.Is(w.err, errFileClosed) {
			return nil
		}
		return w.err
	}
	if err := w.stream.Close(); err != nil {
		w.err = fmt.Errorf("seal file: %w", err)
		return w.err
	}
	w.err = errFileClosed
	return nil
}
