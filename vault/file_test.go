package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// sealFile gives a sealed file of what plain holds.
func sealFile(t testing.TB, v *Vault, plain []byte, associated string) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := v.NewWriter(&file, []byte(associated))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// openBytes opens a sealed file in memory.
func openBytes(v *Vault, file []byte, associated string) (*Reader, error) {
	return v.OpenReader(bytes.NewReader(file), int64(len(file)), []byte(associated))
}

// sound gives n bytes in which no two places look the same.
func sound(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// fileHead is the length of what stands before a file's stream.
func fileHead(t testing.TB, file []byte) int {
	t.Helper()
	return len(fileMagic) + 3 + int(binary.BigEndian.Uint16(file[len(fileMagic)+1:]))
}

// What fits a chunk, and the first one.
const (
	chunkPlain = chunkSize - tagSize
	firstPlain = chunkPlain - streamHeader
)

// lengths are those around which chunks begin and end.
var lengths = []int{0, 1, 1000, firstPlain - 1, firstPlain, firstPlain + 1,
	firstPlain + chunkPlain - 1, firstPlain + chunkPlain, firstPlain + chunkPlain + 1, 3<<20 + 12345}

func TestFileComesBack(t *testing.T) {
	v, _ := fresh(t)
	for _, n := range lengths {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			plain := sound(n)
			file := sealFile(t, v, plain, "call 17")
			if n > 64 && bytes.Contains(file, plain[:64]) {
				t.Error("the plain can be read in the file")
			}
			r, err := openBytes(v, file, "call 17")
			if err != nil {
				t.Fatal(err)
			}
			if r.Size() != int64(n) {
				t.Errorf("size %d, want %d", r.Size(), n)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("read %d bytes (%v), not what was sealed", len(got), err)
			}
		})
	}
}

// TestWrittenInAnyPieces: a recorder writes 160 bytes at a time.
func TestWrittenInAnyPieces(t *testing.T) {
	v, _ := fresh(t)
	plain := sound(2<<20 + 77)
	for _, piece := range []int{160, 4099, 1 << 20, 3 << 20} {
		var file bytes.Buffer
		w, err := v.NewWriter(&file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(plain)}, make([]byte, piece)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := openBytes(v, file.Bytes(), "")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("pieces of %d: read %d bytes (%v), not what was sealed", piece, len(got), err)
		}
	}
}

// TestReaderKeepsItsPromises reads and seeks in every way that io knows of.
func TestReaderKeepsItsPromises(t *testing.T) {
	v, _ := fresh(t)
	plain := sound(firstPlain + chunkPlain + 100)
	r, err := openBytes(v, sealFile(t, v, plain, ""), "")
	if err != nil {
		t.Fatal(err)
	}
	small, err := openBytes(v, sealFile(t, v, plain[:2000], ""), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(small, plain[:2000]); err != nil {
		t.Error(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		from := random.IntN(len(plain) + 1)
		n := random.IntN(min(5000, len(plain)-from+1))
		if random.IntN(3) == 0 { // across the border of two chunks
			from, n = firstPlain-1-random.IntN(50), 100
		}
		got := make([]byte, n)
		if m, err := r.ReadAt(got, int64(from)); m != n || err != nil || !bytes.Equal(got, plain[from:from+n]) {
			t.Fatalf("ReadAt %d bytes from %d: %d, %v", n, from, m, err)
		}
	}
	for _, bad := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekStart}, {-1 - r.Size(), io.SeekEnd}, {0, 7}} {
		if _, err := r.Seek(bad.offset, bad.whence); err == nil {
			t.Errorf("Seek(%d, %d) went well", bad.offset, bad.whence)
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt before the beginning went well")
	}
	if n, err := r.ReadAt(make([]byte, 1), r.Size()+5); n != 0 || err != io.EOF {
		t.Errorf("ReadAt behind the end: %d, %v", n, err)
	}
}

// TestPlayerSeeks has a browser ask for a part of a recording.
func TestPlayerSeeks(t *testing.T) {
	v, _ := fresh(t)
	plain := sound(firstPlain + 5000)
	file := sealFile(t, v, plain, "")
	request := httptest.NewRequest("GET", "/recording.wav", nil)
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", firstPlain-10, firstPlain+9))
	response := httptest.NewRecorder()
	r, err := openBytes(v, file, "")
	if err != nil {
		t.Fatal(err)
	}
	http.ServeContent(response, request, "recording.wav", time.Time{}, r)
	if response.Code != http.StatusPartialContent || !bytes.Equal(response.Body.Bytes(), plain[firstPlain-10:firstPlain+10]) {
		t.Errorf("got %d and %d bytes", response.Code, response.Body.Len())
	}
}

// counting counts the bytes that are read from a file.
type counting struct {
	io.ReaderAt
	n int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

func TestSeekingReadsOneChunk(t *testing.T) {
	v, _ := fresh(t)
	file := sealFile(t, v, sound(8<<20), "")
	c := &counting{ReaderAt: bytes.NewReader(file)}
	r, err := v.OpenReader(c, int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.n = 0
	for i := range 100 { // a player reads on in small steps
		if _, err := r.ReadAt(make([]byte, 160), 5<<20+int64(i)*160); err != nil {
			t.Fatal(err)
		}
	}
	if c.n != chunkSize {
		t.Errorf("read %d bytes of the file, want one chunk", c.n)
	}
}

func TestReadersShareAFile(t *testing.T) {
	v, _ := fresh(t)
	plain := sound(2 << 20)
	r, err := openBytes(v, sealFile(t, v, plain, ""), "")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			got := make([]byte, 1000)
			for j := range 10 {
				from := (i + j) % 2 * (1 << 20)
				if _, err := r.ReadAt(got, int64(from)); err != nil || !bytes.Equal(got, plain[from:from+1000]) {
					t.Errorf("from %d: %v", from, err)
				}
			}
		})
	}
	all.Wait()
}

// TestDamagedFilesAreRefused tries every kind of harm, each on a file of four
// chunks, and wants none of the harmed parts to be heard.
func TestDamagedFilesAreRefused(t *testing.T) {
	v, _ := fresh(t)
	plain := sound(3*chunkSize + 500)
	file := sealFile(t, v, plain, "call 17")
	other := sealFile(t, v, sound(3*chunkSize+500), "call 17")
	head := fileHead(t, file)
	chunk := func(i int) (from, to int) { return head + i*chunkSize, min(head+(i+1)*chunkSize, len(file)) }
	swap := func(f []byte, i, j int) []byte {
		a, b := head+i*chunkSize, head+j*chunkSize
		held := bytes.Clone(f[a : a+chunkSize])
		copy(f[a:], f[b:b+chunkSize])
		copy(f[b:], held)
		return f
	}
	take := func(f []byte, i int) []byte {
		from, to := chunk(i)
		copy(f[from:to], other[from:to])
		return f
	}
	for name, harm := range map[string]func(f []byte) []byte{
		"empty":                   func(f []byte) []byte { return nil },
		"cut in the magic":        func(f []byte) []byte { return f[:3] },
		"cut in the key":          func(f []byte) []byte { return f[:head-1] },
		"cut before the stream":   func(f []byte) []byte { return f[:head] },
		"cut in stream's header":  func(f []byte) []byte { return f[:head+20] },
		"cut after the header":    func(f []byte) []byte { return f[:head+streamHeader] },
		"cut to a tag":            func(f []byte) []byte { return f[:head+streamHeader+tagSize] },
		"cut by a byte":           func(f []byte) []byte { return f[:len(f)-1] },
		"cut by a chunk":          func(f []byte) []byte { return f[:head+3*chunkSize] },
		"cut into a chunk":        func(f []byte) []byte { return f[:head+2*chunkSize+9] },
		"cut to the first chunk":  func(f []byte) []byte { return f[:head+chunkSize] },
		"a byte more":             func(f []byte) []byte { return append(f, 0) },
		"many bytes more":         func(f []byte) []byte { return append(f, make([]byte, 2<<20)...) },
		"last chunk again":        func(f []byte) []byte { from, to := chunk(3); return append(f, f[from:to]...) },
		"another file behind it":  func(f []byte) []byte { return append(f, other...) },
		"chunks swapped":          func(f []byte) []byte { return swap(f, 1, 2) },
		"chunk of another file":   func(f []byte) []byte { return take(f, 1) },
		"end of another file":     func(f []byte) []byte { return take(f, 3) },
		"key of another file":     func(f []byte) []byte { copy(f[:head], other[:head]); return f },
		"stream of another file":  func(f []byte) []byte { copy(f[head:], other[head:]); return f },
		"chunk left out":          func(f []byte) []byte { return append(f[:head+chunkSize], f[head+2*chunkSize:]...) },
		"chunk twice":             func(f []byte) []byte { copy(f[head+2*chunkSize:], f[head+chunkSize:head+2*chunkSize]); return f },
		"magic changed":           func(f []byte) []byte { f[0] ^= 1; return f },
		"version changed":         func(f []byte) []byte { f[4]++; return f },
		"key's length changed":    func(f []byte) []byte { f[6]--; return f },
		"key changed":             func(f []byte) []byte { f[head-1] ^= 1; return f },
		"header's length changed": func(f []byte) []byte { f[head] ^= 1; return f },
		"salt changed":            func(f []byte) []byte { f[head+1] ^= 1; return f },
		"nonces changed":          func(f []byte) []byte { f[head+streamHeader-1] ^= 1; return f },
		"first chunk changed":     func(f []byte) []byte { f[head+streamHeader] ^= 1; return f },
		"middle chunk changed":    func(f []byte) []byte { f[head+2*chunkSize-1] ^= 1; return f },
		"last byte changed":       func(f []byte) []byte { f[len(f)-1] ^= 1; return f },
	} {
		t.Run(name, func(t *testing.T) {
			r, err := openBytes(v, harm(bytes.Clone(file)), "call 17")
			if err == nil {
				var got []byte
				if got, err = io.ReadAll(r); !bytes.HasPrefix(plain, got) {
					t.Error("heard what was not sealed")
				}
			}
			if !errors.Is(err, ErrAltered) {
				t.Errorf("got %v, want ErrAltered", err)
			}
		})
	}
	if _, err := openBytes(v, file, "call 18"); !errors.Is(err, ErrAltered) {
		t.Errorf("as another call's: %v, want ErrAltered", err)
	}
	stranger, _ := fresh(t)
	if _, err := openBytes(stranger, file, "call 17"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("with another keyset: %v, want ErrUnknownKey", err)
	}
}

// TestEveryByteOfAFileCounts changes each byte of a small file and cuts it at
// each length.
func TestEveryByteOfAFileCounts(t *testing.T) {
	v, _ := fresh(t)
	file := sealFile(t, v, []byte("a short voicemail"), "call 17")
	for i := range file {
		changed := bytes.Clone(file)
		changed[i] ^= 0x10
		if _, err := openBytes(v, changed, "call 17"); !errors.Is(err, ErrAltered) && !errors.Is(err, ErrUnknownKey) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := openBytes(v, file[:i], "call 17"); !errors.Is(err, ErrAltered) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

// TestUnfinishedFileIsRefused is what a crash leaves.
func TestUnfinishedFileIsRefused(t *testing.T) {
	v, _ := fresh(t)
	var file bytes.Buffer
	w, err := v.NewWriter(&file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(sound(2<<20 + 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := openBytes(v, file.Bytes(), ""); !errors.Is(err, ErrAltered) {
		t.Errorf("got %v, want ErrAltered", err)
	}
}

// TestCutFile: what a writer that died has left, at whatever byte, is opened up to
// its last whole chunk and said to be cut; what is harmed ends it there, and
// nothing else is ever heard.
func TestCutFile(t *testing.T) {
	v, _ := fresh(t)
	plain := sound(3*chunkSize + 500)
	file := sealFile(t, v, plain, "call 17")
	head := fileHead(t, file)
	for name, test := range map[string]struct {
		file []byte
		want int // bytes of plain; -1 for an error
	}{
		"whole":                 {file, len(plain)},
		"in the key":            {file[:head-1], -1},
		"before the stream":     {file[:head], -1},
		"in the first chunk":    {file[:head+chunkSize-1], 0},
		"after the first chunk": {file[:head+chunkSize], firstPlain},
		"in the second chunk":   {file[:head+2*chunkSize-1], firstPlain},
		"in the last chunk":     {file[:len(file)-1], firstPlain + 2*chunkPlain},
		"zeros at its end":      {append(bytes.Clone(file[:head+2*chunkSize]), make([]byte, chunkSize)...), firstPlain + chunkPlain},
		"a chunk harmed":        {harmed(file[:head+3*chunkSize], head+chunkSize+7), firstPlain},
		"the first harmed":      {harmed(file[:head+3*chunkSize], head+streamHeader), 0},
		"the key harmed":        {harmed(file[:head+3*chunkSize], head-1), -1},
		"the header harmed":     {harmed(file[:head+3*chunkSize], head+3), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, whole, err := v.OpenCut(bytes.NewReader(test.file), int64(len(test.file)), []byte("call 17"))
			if test.want < 0 {
				if !errors.Is(err, ErrAltered) {
					t.Errorf("got %v, want ErrAltered", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || whole != (name == "whole") || r.Size() != int64(test.want) || !bytes.Equal(got, plain[:test.want]) {
				t.Errorf("whole: %t, size %d, %d bytes (%v), want %d", whole, r.Size(), len(got), err, test.want)
			}
			if n, err := r.ReadAt(make([]byte, 10), int64(test.want)+5); n != 0 || err != io.EOF {
				t.Errorf("behind the end: %d bytes, %v", n, err)
			}
		})
	}
	if _, _, err := v.OpenCut(bytes.NewReader(file), int64(len(file)), []byte("call 18")); !errors.Is(err, ErrAltered) {
		t.Errorf("as another call's: %v, want ErrAltered", err)
	}
}

func harmed(file []byte, at int) []byte {
	file = bytes.Clone(file)
	file[at] ^= 1
	return file
}

// TestLittleIsLost: of a voice that is written packet by packet, a writer that dies
// at any moment has lost less than two chunks' worth.
func TestLittleIsLost(t *testing.T) {
	v, _ := fresh(t)
	var file bytes.Buffer
	w, err := v.NewWriter(&file, nil)
	if err != nil {
		t.Fatal(err)
	}
	packet, written := make([]byte, 160), 0
	for range 4 * chunkSize / len(packet) {
		if _, err := w.Write(packet); err != nil {
			t.Fatal(err)
		}
		written += len(packet)
		r, whole, err := v.OpenCut(bytes.NewReader(file.Bytes()), int64(file.Len()), nil)
		switch {
		case written <= chunkSize: // perhaps nothing yet
		case err != nil || whole:
			t.Fatalf("after %d bytes: whole is %t, %v", written, whole, err)
		case int64(written)-r.Size() > chunkSize+int64(len(packet)):
			t.Fatalf("after %d bytes there are %d", written, r.Size())
		}
	}
}

// TestFirstVersion: files with chunks of 1 MiB are read as ever, and none passes
// for one of the other version.
func TestFirstVersion(t *testing.T) {
	v, _ := fresh(t)
	plain := sound(2<<20 + 500)
	var file bytes.Buffer
	w, err := v.newWriter(&file, []byte("call 17"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := openBytes(v, file.Bytes(), "call 17")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("read %d bytes (%v)", len(got), err)
	}
	got := make([]byte, 100)
	if _, err := r.ReadAt(got, 1<<20+7); err != nil || !bytes.Equal(got, plain[1<<20+7:][:100]) {
		t.Errorf("in the middle: %v", err)
	}
	for name, f := range map[string][]byte{"first as second": file.Bytes(), "second as first": sealFile(t, v, plain, "call 17")} {
		f = bytes.Clone(f)
		f[4] ^= 3
		if _, err := openBytes(v, f, "call 17"); !errors.Is(err, ErrAltered) {
			t.Errorf("%s: %v, want ErrAltered", name, err)
		}
		if r, _, err := v.OpenCut(bytes.NewReader(f), int64(len(f)), []byte("call 17")); err == nil && r.Size() > 0 {
			t.Errorf("%s: %d bytes of a cut file", name, r.Size())
		}
	}
}

// TestFileGrowsShorterWhileOpen: what was told of its size no longer holds.
func TestFileGrowsShorterWhileOpen(t *testing.T) {
	v, _ := fresh(t)
	file := sealFile(t, v, sound(2<<20), "")
	path := t.TempDir() + "/recording"
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := v.OpenReader(f, int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrAltered) {
		t.Errorf("got %v, want ErrAltered", err)
	}
}

// TestTinkReadsTheStream holds our seeking reader against the one it is made
// after.
func TestTinkReadsTheStream(t *testing.T) {
	v, _ := fresh(t)
	for _, n := range lengths {
		plain := sound(n)
		file := sealFile(t, v, plain, "call 17")
		head := file[:fileHead(t, file)]
		key, err := v.Unseal(head[len(fileMagic)+3:], filePlace([]byte("call 17")))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := subtle.NewAESGCMHKDF(key, "SHA256", fileKeySize, chunkSize, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := stream.NewDecryptingReader(bytes.NewReader(file[len(head):]), head)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: Tink read %d (%v)", n, len(got), err)
		}
	}
}

// fillsUp is a disk with room for so many bytes.
type fillsUp struct{ room int }

var errFull = errors.New("disk is full")

func (f *fillsUp) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	if f.room -= n; n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestWriterStopsAtTheFirstError(t *testing.T) {
	v, _ := fresh(t)
	for _, room := range []int{0, 50, 100} {
		if _, err := v.NewWriter(&fillsUp{room}, nil); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v, want errFull", room, err)
		}
	}
	disk := &fillsUp{1000}
	w, err := v.NewWriter(disk, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(sound(2 << 20)); !errors.Is(err, errFull) {
		t.Errorf("Write: %v, want errFull", err)
	}
	disk.room = 4 << 20 // too late: half a chunk is in the file
	if _, err := w.Write([]byte("more")); !errors.Is(err, errFull) {
		t.Errorf("Write after it: %v, want errFull", err)
	}
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close: %v, want errFull", err)
	}
	if disk.room != 4<<20 {
		t.Error("it wrote on after the error")
	}

	disk = &fillsUp{150}
	if w, err = v.NewWriter(disk, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(sound(1000)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close()); !errors.Is(err, errFull) {
		t.Errorf("Close on a full disk: %v, want errFull", err)
	}
	var file bytes.Buffer
	if w, err = v.NewWriter(&file, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("late")); err == nil {
		t.Error("Write after Close went well")
	}
}

// TestFilesOutliveRotation: the key a file is under is opened by the old key.
func TestFilesOutliveRotation(t *testing.T) {
	v, path := fresh(t)
	file := sealFile(t, v, []byte("voice"), "call 17")
	if _, err := Rotate(path, Whole); err != nil {
		t.Fatal(err)
	}
	r, err := openBytes(open(t, path), file, "call 17")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "voice" {
		t.Errorf("read %q, %v", got, err)
	}
	if got := fmt.Sprintf("%+v %s", r, r); strings.Contains(got, "voice") || got != "[sealed] [sealed]" {
		t.Errorf("a reader prints %s", got)
	}
}

// tinkAEAD gives Tink's own primitive of a cleartext keyset.
func tinkAEAD(t *testing.T, r keyset.Reader) tink.AEAD {
	t.Helper()
	handle, err := insecurecleartextkeyset.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
