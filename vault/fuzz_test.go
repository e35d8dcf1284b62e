package vault

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

func FuzzUnseal(f *testing.F) {
	v, _ := fresh(f)
	sealed := mustSeal(f, v, "+18005550100", "place")
	f.Add(sealed, []byte("place"))
	f.Add(sealed, []byte("other"))
	f.Add(sealed[:prefixSize], []byte(nil))
	f.Add([]byte{1, 0, 0, 0, 1}, []byte(nil))
	f.Add([]byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, value, associated []byte) {
		plain, err := v.Unseal(value, associated)
		switch {
		case bytes.Equal(value, sealed) && string(associated) == "place":
			if err != nil || string(plain) != "+18005550100" {
				t.Errorf("got %q, %v", plain, err)
			}
		case err == nil:
			t.Errorf("opened %x, which was not sealed here", value)
		case !errors.Is(err, ErrAltered) && !errors.Is(err, ErrUnknownKey):
			t.Errorf("an error of another kind: %v", err)
		}
	})
}

func FuzzKeyset(f *testing.F) {
	_, path := fresh(f)
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"bugle_keyset":1,"made":{},"seal":{},"hash":{}}`))
	f.Add([]byte(`{"bugle_keyset":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ring, err := parseKeyring(text)
		if err != nil {
			if !errors.Is(err, ErrKeyset) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if len(ring.keys) == 0 || !ring.keys[0].Primary || ring.keys[0].ID != ring.primary {
			t.Errorf("a keyset without a primary key was taken: %v", ring.keys)
		}
	})
}

func FuzzOpenReader(f *testing.F) {
	v, _ := fresh(f)
	good := sealFile(f, v, []byte("a short voicemail"), "call 17")
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[:fileHead(f, good)])
	f.Add([]byte(fileMagic + "\x02\xff\xff"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := v.OpenReader(bytes.NewReader(file), int64(len(file)), []byte("call 17"))
		if err != nil {
			if !errors.Is(err, ErrAltered) && !errors.Is(err, ErrUnknownKey) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(file, good) {
			t.Errorf("opened a file that was not sealed here (%d bytes)", r.Size())
		}
	})
}

// FuzzOpenCut: whatever is made of a file, what is heard of it is its beginning.
func FuzzOpenCut(f *testing.F) {
	v, _ := fresh(f)
	plain := sound(2*chunkSize + 100)
	good := sealFile(f, v, plain, "call 17")
	f.Add(good, 0, byte(1))
	f.Add(good[:len(good)-50], 0, byte(0))
	f.Add(good[:fileHead(f, good)+chunkSize], 300, byte(2))
	f.Fuzz(func(t *testing.T, file []byte, at int, change byte) {
		if at >= 0 && at < len(file) {
			file = bytes.Clone(file)
			file[at] ^= change
		}
		r, whole, err := v.OpenCut(bytes.NewReader(file), int64(len(file)), []byte("call 17"))
		if err != nil {
			if !errors.Is(err, ErrAltered) && !errors.Is(err, ErrUnknownKey) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		got, err := io.ReadAll(r)
		if !bytes.HasPrefix(plain, got) {
			t.Errorf("heard %d bytes that were not sealed", len(got))
		}
		if !whole && err != nil {
			t.Errorf("a cut file was opened and can't be read: %v", err)
		}
	})
}
