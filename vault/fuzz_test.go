package vault

import (
	"bytes"
	"errors"
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
	f.Add([]byte(fileMagic + "\xff\xff"))
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
