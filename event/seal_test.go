package event

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testKey is a Sealer with a key made of one byte.
type testKey byte

func (k testKey) aead() cipher.AEAD {
	block, err := aes.NewCipher(bytes.Repeat([]byte{byte(k)}, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (k testKey) SealAppend(dst, plain, associated []byte) ([]byte, error) {
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce) // never fails
	return k.aead().Seal(append(dst, nonce...), nonce, plain, associated), nil
}

func (k testKey) Unseal(sealed, associated []byte) ([]byte, error) {
	if len(sealed) < 12 {
		return nil, errors.New("too short")
	}
	return k.aead().Open(nil, sealed[:12], sealed[12:], associated)
}

// brokenKey is a Sealer that can't seal.
type brokenKey struct{ testKey }

var errBrokenKey = errors.New("no key")

func (brokenKey) SealAppend([]byte, []byte, []byte) ([]byte, error) { return nil, errBrokenKey }

// openSealed opens a log of small segments.
func openSealed(t *testing.T, dir string, by Sealer) *Log {
	t.Helper()
	l, err := Open(Options{Dir: dir, Node: "n1", Version: "v1", Log: quiet, Seal: by, SegmentBytes: 2000, Keep: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// whole gives every event of a log that has no gap.
func whole(t *testing.T, dir string, by Sealer) []Event {
	t.Helper()
	var all []Event
	for ev, err := range Read(dir, by) {
		if err != nil {
			t.Fatalf("after %d events: %v", len(all), err)
		}
		if len(all) > 0 && ev.Seq != all[len(all)-1].Seq+1 {
			t.Fatalf("event %d follows event %d", ev.Seq, all[len(all)-1].Seq)
		}
		all = append(all, ev)
	}
	return all
}

func TestASealedLogTellsNothing(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, testKey(1))
	for range 50 {
		l.Emit("secret-call", CallStarted{Number: "helpline", Caller: "+49 30 secret"})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(whole(t, dir, testKey(1))); n != 52 {
		t.Errorf("%d events are read", n)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"secret", "helpline", "caller", "call.started"} {
			if bytes.Contains(data, []byte(word)) {
				t.Errorf("%s holds %q", path, word)
			}
		}
	}
}

// A missing or wrong key stops the start and the reading, and loses nothing.
func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, testKey(1))
	l.Emit("c", CallAnswered{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, by := range []Sealer{testKey(2), nil} {
		if _, err := Open(Options{Dir: dir, Log: quiet, Seal: by}); !errors.Is(err, ErrUnseal) {
			t.Errorf("opening with %v: %v", by, err)
		}
		n := 0
		for _, err := range Read(dir, by) {
			if n++; !errors.Is(err, ErrUnseal) || errors.Is(err, ErrTorn) {
				t.Errorf("reading with %v: %v", by, err)
			}
		}
		if n != 1 {
			t.Errorf("%d errors with %v", n, by)
		}
	}
	if n := len(whole(t, dir, testKey(1))); n != 3 {
		t.Errorf("%d events with the right key", n)
	}
	plain := t.TempDir()
	if err := openTest(t, plain).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: plain, Log: quiet, Seal: testKey(1)}); !errors.Is(err, errNotSealed) {
		t.Errorf("a plain log opened with a key: %v", err)
	}
}

// The key is tried also where the newest segment has no event yet.
func TestWrongKeyWithAnEmptySegment(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, testKey(1))
	id := l.ID()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(3)), title(id, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Log: quiet, Seal: testKey(2)}); !errors.Is(err, ErrUnseal) {
		t.Errorf("opening with another key: %v", err)
	}
	l = openSealed(t, dir, testKey(1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(whole(t, dir, testKey(1))); n != 4 {
		t.Errorf("%d events", n)
	}
}

// Records that are swapped, or come from another log, are not taken for what
// they are not, however well their checksums fit.
func TestSealedRecordsAreTiedToTheirPlace(t *testing.T) {
	by := testKey(1)
	record := encodeTest(t, by, Event{Seq: 3, Fact: CallAnswered{}})
	r, _, err := scannerOf(record).next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealsTest("log", by).event(r); err != nil {
		t.Errorf("in its place: %v", err)
	}
	if _, err := sealsTest("another", by).event(r); !errors.Is(err, ErrUnseal) {
		t.Errorf("in another log: %v", err)
	}
	r.seq = 4
	if _, err := sealsTest("log", by).event(r); !errors.Is(err, ErrUnseal) {
		t.Errorf("under another number: %v", err)
	}
	r.seq, r.mark = 3, plainMark
	if _, err := sealsTest("log", by).event(r); !errors.Is(err, errNotSealed) {
		t.Errorf("as a plain one: %v", err)
	}
}

func TestWhatCannotBeSealedIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(Options{Dir: dir, Log: quiet, Seal: brokenKey{}}); !errors.Is(err, errBrokenKey) {
		t.Errorf("opening: %v", err)
	}
	for ev, err := range Read(dir, nil) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the log holds %v, %v", ev, err)
		}
	}
}
