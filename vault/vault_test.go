package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/config"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// fresh gives a vault over a new keyset in a folder of its own, and the
// keyset's path.
func fresh(t testing.TB) (*Vault, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), KeysetFile)
	if err := Init(path); err != nil {
		t.Fatal(err)
	}
	return open(t, path), path
}

// open gives a vault over a keyset's file, without a data_dir.
func open(t testing.TB, path string) *Vault {
	t.Helper()
	v, err := Open(t.Context(), fileConfig(path), "")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func fileConfig(path string) config.Vault { return config.Vault{Keyset: "file:" + path} }

func mustSeal(t testing.TB, v *Vault, plain, associated string) []byte {
	t.Helper()
	sealed, err := v.Seal([]byte(plain), []byte(associated))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func mustUnseal(t testing.TB, v *Vault, sealed []byte, associated, want string) {
	t.Helper()
	plain, err := v.Unseal(sealed, []byte(associated))
	if err != nil {
		t.Fatal(err)
	}
	if string(plain) != want {
		t.Fatalf("unsealed %q, want %q", plain, want)
	}
}

func TestSealedComesBack(t *testing.T) {
	v, path := fresh(t)
	for _, plain := range []string{"", "x", "+18005550100", strings.Repeat("long ", 1<<16)} {
		sealed := mustSeal(t, v, plain, "calls.caller:17")
		if len(plain) > 8 && bytes.Contains(sealed, []byte(plain[:8])) {
			t.Errorf("%.12q can be read in what was sealed", plain)
		}
		if len(sealed) != len(plain)+33 {
			t.Errorf("sealed %d bytes into %d, want 33 more", len(plain), len(sealed))
		}
		mustUnseal(t, v, sealed, "calls.caller:17", plain)
		mustUnseal(t, open(t, path), sealed, "calls.caller:17", plain) // after a restart
	}
}

func TestSealsDifferEachTime(t *testing.T) {
	v, _ := fresh(t)
	if bytes.Equal(mustSeal(t, v, "same", "place"), mustSeal(t, v, "same", "place")) {
		t.Error("the same value sealed twice can be told to be the same")
	}
}

func TestSealAppend(t *testing.T) {
	v, _ := fresh(t)
	buf := append(make([]byte, 0, 256), "headplain"...)
	out, err := v.SealAppend(buf[:4], buf[4:], []byte("place")) // plain lies where the result goes
	if err != nil {
		t.Fatal(err)
	}
	if string(out[:4]) != "head" {
		t.Errorf("what was there became %q", out[:4])
	}
	mustUnseal(t, v, out[4:], "place", "plain")
}

func TestChangedValuesAreRefused(t *testing.T) {
	v, _ := fresh(t)
	sealed := mustSeal(t, v, "+18005550100", "place")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x40
		want := ErrAltered
		if i >= 1 && i < prefixSize {
			want = ErrUnknownKey
		}
		if plain, err := v.Unseal(changed, []byte("place")); !errors.Is(err, want) || plain != nil {
			t.Errorf("byte %d changed: got %q, %v, want %v", i, plain, err, want)
		}
		if _, err := v.Unseal(sealed[:i], []byte("place")); !errors.Is(err, ErrAltered) {
			t.Errorf("cut to %d bytes: %v, want ErrAltered", i, err)
		}
	}
	if _, err := v.Unseal(append(sealed, 0), []byte("place")); !errors.Is(err, ErrAltered) {
		t.Errorf("a byte more: %v, want ErrAltered", err)
	}
	if _, err := v.Unseal(sealed, []byte("other place")); !errors.Is(err, ErrAltered) {
		t.Errorf("put elsewhere: %v, want ErrAltered", err)
	}
	if _, err := v.Unseal([]byte("+18005550100"), []byte("place")); !errors.Is(err, ErrAltered) {
		t.Errorf("plain: %v, want ErrAltered", err)
	}
}

func TestUnknownKeyIsNamed(t *testing.T) {
	v, path := fresh(t)
	other, _ := fresh(t)
	_, err := v.Unseal(mustSeal(t, other, "x", ""), nil)
	if !errors.Is(err, ErrUnknownKey) {
		t.Fatalf("got %v, want ErrUnknownKey", err)
	}
	for _, want := range []string{fmt.Sprint(other.Keys()[0].ID), fmt.Sprint(v.Keys()[0].ID), path} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not tell %s", err, want)
		}
	}
}

// secrets gives what must never be printed: the keys as they stand in the file.
func secrets(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for rest := string(text); ; {
		_, after, ok := strings.Cut(rest, `"value"`)
		if !ok {
			break
		}
		_, after, _ = strings.Cut(after, `"`)
		value, after, _ := strings.Cut(after, `"`)
		found, rest = append(found, value), after
	}
	if len(found) < 2 {
		t.Fatalf("found %d keys in the keyset, want two or more", len(found))
	}
	return found
}

func TestNothingPrintsAKey(t *testing.T) {
	v, path := fresh(t)
	keys := secrets(t, path)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "vault", v, "nested", struct{ V *Vault }{v})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "vault", v, "nested", struct{ V *Vault }{v})
	inJSON, err := json.Marshal(map[string]any{"v": v})
	if err != nil {
		t.Fatal(err)
	}
	ring := v.ring.Load()
	printed := []string{log.String(), string(inJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		printed = append(printed, fmt.Sprintf(verb, v), fmt.Sprintf(verb, ring), fmt.Sprintf(verb, struct{ V *Vault }{v}))
		if got := fmt.Sprintf(verb, v); got != "[sealed]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	for _, p := range printed {
		for _, k := range keys {
			if strings.Contains(p, k) {
				t.Errorf("a key is printed: %s", p)
			}
		}
	}
}

// TestTinkOpensIt holds that what lies on disk for years needs no code of ours:
// it is Tink's own format.
func TestTinkOpensIt(t *testing.T) {
	v, path := fresh(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	plain, err := tinkAEAD(t, keyset.NewJSONReader(bytes.NewReader(d.Seal))).Decrypt(mustSeal(t, v, "value", "place"), []byte("place"))
	if err != nil || string(plain) != "value" {
		t.Errorf("Tink gave %q, %v", plain, err)
	}
}

func BenchmarkSealAppend(b *testing.B) {
	v, _ := fresh(b)
	plain, place, buf := bytes.Repeat([]byte("x"), 300), []byte("node:17"), make([]byte, 0, 512)
	b.ReportAllocs()
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := v.SealAppend(buf, plain, place); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSealAppendHardlyAllocates guards the event log's hot path.
func TestSealAppendHardlyAllocates(t *testing.T) {
	v, _ := fresh(t)
	plain, place, buf := bytes.Repeat([]byte("x"), 300), []byte("node:17"), make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { _, _ = v.SealAppend(buf, plain, place) }); n > 2 {
		t.Errorf("%v allocations a value, want at most 2", n)
	}
}

func BenchmarkHash(b *testing.B) {
	v, _ := fresh(b)
	for b.Loop() {
		v.Hash("+18005550100")
	}
}
