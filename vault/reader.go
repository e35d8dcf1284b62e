package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Sizes of Tink's stream: its header is its own length, a salt for the key and
// the beginning of every nonce. The first chunk is shorter by the header.
const (
	saltSize     = 32
	nonceStart   = 7
	streamHeader = 1 + saltSize + nonceStart
	tagSize      = 16
)

// Reader opens a sealed file wherever it is read, one chunk at a time; what it
// gives has been authenticated. It is safe for concurrent use, as far as Seek
// and Read can be. It prints as "[sealed]".
type Reader struct {
	file   io.ReaderAt
	stream int64 // where the stream begins in file
	size   int64 // of the stream
	chunk  int64 // size of one, sealed
	chunks int64
	cut    bool // there is no last chunk
	gcm    cipher.AEAD
	nonce  [nonceStart]byte

	mu    sync.Mutex
	pos   int64
	index int64  // of the chunk that plain holds; -1: none
	plain []byte // in a buffer that is kept
}

// OpenReader opens a file of size bytes that NewWriter sealed with the same
// associated data. The last chunk is opened here, so a file that has been cut
// or goes on is refused before anything of it is heard. Errors are
// ErrUnknownKey, ErrAltered or r's.
func (v *Vault) OpenReader(r io.ReaderAt, size int64, associated []byte) (*Reader, error) {
	f, err := v.openFile(r, size, associated)
	if err != nil {
		return nil, fmt.Errorf("open sealed file: %w", err)
	}
	return f, nil
}

func (v *Vault) openFile(r io.ReaderAt, size int64, associated []byte) (*Reader, error) {
	f, err := v.openStream(r, size, associated)
	if err != nil {
		return nil, err
	}
	if err := f.load(f.chunks - 1); err != nil {
		return nil, err
	}
	return f, nil
}

// OpenCut opens a file as OpenReader does, or else what there is of one whose
// writer was never closed: its chunks up to the first that is not whole, which
// is said. That no chunk is missing at the end of such a file cannot be known, so
// this is for who knows that its writer died, and for nobody else.
func (v *Vault) OpenCut(r io.ReaderAt, size int64, associated []byte) (f *Reader, whole bool, err error) {
	if f, err = v.openFile(r, size, associated); err == nil {
		return f, true, nil
	}
	if f, err = v.openStream(r, size, associated); err != nil {
		return nil, false, fmt.Errorf("open cut file: %w", err)
	}
	f.cut = true
	there := f.size / f.chunk
	for f.chunks = 0; f.chunks < there; f.chunks++ {
		if err := f.load(f.chunks); errors.Is(err, ErrAltered) {
			break
		} else if err != nil {
			return nil, false, fmt.Errorf("open cut file: %w", err)
		}
	}
	f.size = f.chunks * f.chunk
	return f, false, nil
}

// openStream opens a file without looking at its chunks.
func (v *Vault) openStream(r io.ReaderAt, size int64, associated []byte) (*Reader, error) {
	head, key, err := v.fileKey(r, size, associated)
	if err != nil {
		return nil, err
	}
	f := &Reader{file: r, stream: int64(len(head)), size: size - int64(len(head)), chunk: chunkSizes[head[len(fileMagic)]], index: -1}
	if f.size < streamHeader+tagSize {
		return nil, fmt.Errorf("it ends early: %w", ErrAltered)
	}
	var header [streamHeader]byte
	if err := readFull(r, header[:], f.stream); err != nil {
		return nil, err
	}
	if header[0] != streamHeader {
		return nil, ErrAltered
	}
	copy(f.nonce[:], header[1+saltSize:])
	if f.gcm, err = streamCipher(key, header[1:1+saltSize], head); err != nil {
		return nil, err
	}
	f.chunks = (f.size + f.chunk - 1) / f.chunk
	if f.chunks > 1<<32-1 { // Tink counts them in 32 bits
		return nil, ErrAltered
	}
	return f, nil
}

// fileKey reads what stands before the stream and gives it and the file's key.
func (v *Vault) fileKey(r io.ReaderAt, size int64, associated []byte) (head, key []byte, err error) {
	head = make([]byte, len(fileMagic)+3)
	if size < int64(len(head)) {
		return nil, nil, fmt.Errorf("it ends early: %w", ErrAltered)
	}
	if err := readFull(r, head, 0); err != nil {
		return nil, nil, err
	}
	if string(head[:len(fileMagic)]) != fileMagic || chunkSizes[head[len(fileMagic)]] == 0 {
		return nil, nil, fmt.Errorf("it does not begin as one: %w", ErrAltered)
	}
	sealed := make([]byte, binary.BigEndian.Uint16(head[len(fileMagic)+1:]))
	if size < int64(len(head)+len(sealed)) {
		return nil, nil, fmt.Errorf("it ends early: %w", ErrAltered)
	}
	if err := readFull(r, sealed, int64(len(head))); err != nil {
		return nil, nil, err
	}
	if key, err = v.Unseal(sealed, filePlace(associated)); err != nil {
		return nil, nil, err
	}
	if len(key) != fileKeySize {
		return nil, nil, ErrAltered
	}
	return append(head, sealed...), key, nil
}

// streamCipher derives the key that Tink's stream is sealed under.
func streamCipher(key, salt, associated []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, salt, string(associated), fileKeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// load opens a chunk, unless it is the one at hand. The caller holds mu, or is
// alone.
func (f *Reader) load(index int64) error {
	if index == f.index {
		return nil
	}
	start, end := index*f.chunk, min((index+1)*f.chunk, f.size)
	if index == 0 {
		start = streamHeader
	}
	if end-start < tagSize {
		return fmt.Errorf("it ends early: %w", ErrAltered)
	}
	f.index = -1
	if cap(f.plain) < int(end-start) {
		f.plain = make([]byte, end-start)
	}
	sealed := f.plain[:end-start]
	if err := readFull(f.file, sealed, f.stream+start); err != nil {
		return err
	}
	var nonce [12]byte
	copy(nonce[:], f.nonce[:])
	binary.BigEndian.PutUint32(nonce[nonceStart:], uint32(index))
	if index == f.chunks-1 && !f.cut {
		nonce[nonceStart+4] = 1
	}
	plain, err := f.gcm.Open(sealed[:0], nonce[:], sealed, nil)
	if err != nil {
		return fmt.Errorf("chunk %d of %d: %w", index, f.chunks, ErrAltered)
	}
	f.index, f.plain = index, plain
	return nil
}

// readFull reads p from an offset. A file that has become shorter since its
// size was taken has been altered.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("it ends early: %w", ErrAltered)
	}
	return err
}

// Size is how many bytes there are to read.
func (f *Reader) Size() int64 { return max(0, f.size-streamHeader-f.chunks*tagSize) }

// plainSizes are those of a chunk and of the first, which is shorter by the
// stream's header.
func (f *Reader) plainSizes() (chunk, first int64) {
	chunk = f.chunk - tagSize
	return chunk, chunk - streamHeader
}

// ReadAt reads as io.ReaderAt says.
func (f *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read sealed file: negative offset")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readAt(p, off)
}

// readAt is ReadAt for who holds mu.
func (f *Reader) readAt(p []byte, off int64) (n int, err error) {
	chunk, first := f.plainSizes()
	for n < len(p) {
		if off >= f.Size() {
			return n, io.EOF
		}
		index, within := int64(0), off
		if off >= first {
			index, within = 1+(off-first)/chunk, (off-first)%chunk
		}
		if err := f.load(index); err != nil {
			return n, fmt.Errorf("read sealed file: %w", err)
		}
		read := copy(p[n:], f.plain[within:])
		n, off = n+read, off+int64(read)
	}
	return n, nil
}

// Read reads on from where the last Read or Seek left off.
func (f *Reader) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.readAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Seek moves to where the next Read begins, as io.Seeker says.
func (f *Reader) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.Size()
	default:
		return 0, fmt.Errorf("seek in sealed file: whence %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek in sealed file: before its beginning")
	}
	f.pos = offset
	return offset, nil
}

// Format prints "[sealed]": the reader holds a chunk in the clear.
func (f *Reader) Format(s fmt.State, _ rune) { fmt.Fprint(s, "[sealed]") }

var (
	_ io.ReadSeeker = (*Reader)(nil)
	_ io.ReaderAt   = (*Reader)(nil)
)
