package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

func TestInit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", KeysetFile)
	if err := Init(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	before, _ := os.ReadFile(path)
	if err := Init(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v, want fs.ErrExist", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the keyset that was there has been changed")
	}
	onlyKeyset(t, filepath.Dir(path))
	if keys := open(t, path).Keys(); len(keys) != 1 || !keys[0].Primary || time.Since(keys[0].Made) > time.Minute {
		t.Errorf("keys %v, want one that is primary and new", keys)
	}
}

// onlyKeyset wants no half-written files beside the keyset.
func onlyKeyset(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != KeysetFile {
		t.Errorf("the folder holds %v, want only the keyset", entries)
	}
}

func TestRotate(t *testing.T) {
	v, path := fresh(t)
	first := v.Keys()[0]
	old, hash := mustSeal(t, v, "old", "place"), v.Hash("5550100")
	k, err := Rotate(path, Whole)
	if err != nil {
		t.Fatal(err)
	}
	onlyKeyset(t, filepath.Dir(path))
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	after := open(t, path)
	keys := after.Keys()
	if len(keys) != 2 || keys[0] != k || !k.Primary || keys[1].ID != first.ID || keys[1].Primary || !keys[1].Made.Equal(first.Made) {
		t.Errorf("keys %v after rotating %v to %v", keys, first, k)
	}
	mustUnseal(t, after, old, "place", "old")
	if id, _ := SealedUnder(mustSeal(t, after, "new", "place")); id != k.ID {
		t.Errorf("sealed under key %d, want the new %d", id, k.ID)
	}
	if after.Hash("5550100") != hash || after.Fingerprint() != v.Fingerprint() {
		t.Error("the key for numbers has been rotated")
	}
	if _, err := Rotate(filepath.Join(t.TempDir(), "none"), Whole); !errors.Is(err, ErrKeyset) {
		t.Errorf("without a keyset: %v, want ErrKeyset", err)
	}
}

func TestRotateThroughALink(t *testing.T) {
	_, path := fresh(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(link, Whole); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
	if n := len(open(t, path).Keys()); n != 2 {
		t.Errorf("%d keys where the link leads, want 2", n)
	}
}

// TestRootRotatesForTheServer: the server could not read a keyset of root's.
func TestRootRotatesForTheServer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: only that an own file stays so")
	}
	_, path := fresh(t)
	owner := os.Geteuid()
	if owner == 0 {
		owner = 65534
	}
	if err := os.Chown(path, owner, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(path, Whole); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != owner {
		t.Errorf("the keyset belongs to %d after it, want %d", uid, owner)
	}
}

// TestRotationsAtOnce: none may undo another, or what has been sealed under its
// key is lost.
func TestRotationsAtOnce(t *testing.T) {
	_, path := fresh(t)
	made := make([]Key, 8)
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			var err error
			if made[i], err = Rotate(path, Whole); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	ring := open(t, path).ring.Load()
	for _, k := range made {
		if !ring.has(k.ID) {
			t.Errorf("key %d is lost", k.ID)
		}
	}
	onlyKeyset(t, filepath.Dir(path))
}

// TestRunningNodesTakeItUp is a rotation under two nodes, one that seals and
// one that only opens.
func TestRunningNodesTakeItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seals, path := fresh(t)
		opens := open(t, path)
		taken := watch(t, seals, 0)
		k, err := Rotate(path, Whole)
		if err != nil {
			t.Fatal(err)
		}
		if got := <-taken; got.ID != k.ID || !got.Primary {
			t.Errorf("took up %+v, want %+v", got, k)
		}
		sealed := mustSeal(t, seals, "new", "place")
		if id, _ := SealedUnder(sealed); id != k.ID {
			t.Errorf("after the rotation it still seals under %d, not %d", id, k.ID)
		}
		mustUnseal(t, opens, sealed, "place", "new") // at once: it misses the key
		if opens.Keys()[0].ID != k.ID {
			t.Error("the node that only opens goes on with the old primary key")
		}
	})
}

// A rotation that somebody else notices first is told of as well, and nothing that
// was sealed under the old key is counted as sealed under the new one.
func TestRotationNoticedElsewhereFirst(t *testing.T) {
	for name, notice := range map[string]func(v, other *Vault){
		"health": func(v, _ *Vault) { _ = v.Healthy(t.Context()) },
		"reload": func(v, _ *Vault) { _ = v.Reload(t.Context()) },
		"unseal": func(v, other *Vault) { mustUnseal(t, v, mustSeal(t, other, "new", "place"), "place", "new") },
	} {
		synctest.Test(t, func(t *testing.T) {
			v, path := fresh(t)
			for range 10 {
				mustSeal(t, v, "x", "")
			}
			k, err := Rotate(path, Whole)
			if err != nil {
				t.Fatal(err)
			}
			notice(v, open(t, path))
			if v.Keys()[0].ID != k.ID {
				t.Fatalf("%s: the rotation was not noticed", name)
			}
			if n := v.Sealed(); n != 0 {
				t.Errorf("%s: %d values are counted under the new key", name, n)
			}
			taken := watch(t, v, 0)
			time.Sleep(time.Minute)
			if len(taken) != 1 || (<-taken).ID != k.ID {
				t.Errorf("%s: the new key was told of %d times, not once", name, len(taken))
			}
		})
	}
}

// watch runs Watch until the test ends and gives the keys that it takes up.
func watch(t *testing.T, v *Vault, refresh time.Duration) <-chan Key {
	t.Helper()
	taken := make(chan Key, 20)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { v.Watch(ctx, Watcher{Refresh: refresh, TakenUp: func(k Key) { taken <- k }}) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return taken
}

// A command is run again by the clock: nobody tells that the key service has
// another keyset.
func TestWatchRunsTheCommand(t *testing.T) {
	_, path := fresh(t)
	v, err := Open(t.Context(), config.Vault{Command: []string{"cat", path}}, "")
	if err != nil {
		t.Fatal(err)
	}
	k, err := Rotate(path, Whole)
	if err != nil {
		t.Fatal(err)
	}
	if got, taken := v.lookAgain(t.Context(), 0); taken {
		t.Errorf("without a refresh it took up %+v", got)
	}
	if got, taken := v.lookAgain(t.Context(), time.Hour); taken {
		t.Errorf("before the refresh it took up %+v", got)
	}
	if got, taken := v.lookAgain(t.Context(), time.Nanosecond); !taken || got.ID != k.ID {
		t.Errorf("took up %+v, %t, want %+v", got, taken, k)
	}
}

// What is sealed under a key is counted over restarts, anew for each key, and
// from Many on a rotation is asked for.
func TestSealsAreCounted(t *testing.T) {
	dir := t.TempDir()
	if err := Init(filepath.Join(dir, KeysetFile)); err != nil {
		t.Fatal(err)
	}
	run := func(f func(v *Vault)) {
		v, err := Open(t.Context(), config.Vault{}, dir)
		if err != nil {
			t.Fatal(err)
		}
		f(v)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		v.Watch(ctx, Watcher{})
	}
	var before uint64
	run(func(v *Vault) {
		for range 10 {
			mustSeal(t, v, "x", "")
		}
		if before = v.Sealed(); before < 10 {
			t.Errorf("%d values are counted", before)
		}
	})
	run(func(v *Vault) {
		if v.Sealed() != before {
			t.Errorf("after a restart %d values are counted, want %d", v.Sealed(), before)
		}
		if n := testutil.ToFloat64(v.Collectors()[0]); n != float64(before) {
			t.Errorf("the metric says %v", n)
		}
	})
	if _, err := Rotate(filepath.Join(dir, KeysetFile), Whole); err != nil {
		t.Fatal(err)
	}
	run(func(v *Vault) {
		if v.Sealed() > 1 { // the witness, at most
			t.Errorf("%d values are counted under a new key", v.Sealed())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		v, _ := fresh(t)
		v.ring.Load().sealed.Store(Many)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		told := 0
		v.Watch(ctx, Watcher{Worn: func(k Key, n uint64) {
			if told++; k.ID != v.Keys()[0].ID || n < Many {
				t.Errorf("told of %+v, %d", k, n)
			}
		}})
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

// TestSealingWhileRotating never fails and never seals what can't be opened.
func TestSealingWhileRotating(t *testing.T) {
	v, path := fresh(t)
	reader := open(t, path)
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for {
				v.lookAgain(t.Context(), 0)
				sealed, err := v.Seal([]byte("x"), nil)
				if err == nil {
					_, err = reader.Unseal(sealed, nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 10 {
		if _, err := Rotate(path, Whole); err != nil {
			t.Error(err)
		}
	}
	close(done)
	all.Wait()
	if err := v.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(v.Keys()); n != 11 {
		t.Errorf("%d keys at the end, want 11", n)
	}
}

func TestReloadRefusesForeignKeysets(t *testing.T) {
	v, path := fresh(t)
	sealed, own := mustSeal(t, v, "x", ""), v.ring.Load()
	_, strangers := fresh(t)
	later, _, err := own.rotated(Whole, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m := keyset.NewManagerFromHandle(later.seal)
	if err := m.Delete(own.primary); err != nil {
		t.Fatal(err)
	}
	without, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	lacking, err := assemble(without, own.hash, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := lacking.marshal()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(strangers)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"a stranger's":             foreign,
		"without the key in use":   text,
		"damaged":                  text[:len(text)/2],
		"empty":                    nil,
		"of a version to come":     []byte(`{"bugle_keyset": 2}`),
		"a keyset of Tink's alone": []byte(`{"primaryKeyId": 1, "key": []}`),
	} {
		if err := replaceFile(path, text, nil); err != nil {
			t.Fatal(err)
		}
		if err := v.Reload(t.Context()); !errors.Is(err, ErrKeyset) {
			t.Errorf("%s: %v, want ErrKeyset", name, err)
		}
		if err := v.Healthy(t.Context()); !errors.Is(err, ErrKeyset) {
			t.Errorf("%s: Healthy says %v, want ErrKeyset", name, err)
		}
		mustUnseal(t, v, sealed, "", "x") // it goes on with what it had
		mustUnseal(t, v, mustSeal(t, v, "y", ""), "", "y")
	}
	if err := replace(path, own); err != nil {
		t.Fatal(err)
	}
	if err := v.Healthy(t.Context()); err != nil {
		t.Errorf("with the right keyset back, Healthy says %v", err)
	}
}

// handle makes a Tink keyset of templates, the last one primary.
func handle(t *testing.T, templates ...*tinkpb.KeyTemplate) *keyset.Handle {
	t.Helper()
	m := keyset.NewManager()
	for _, template := range templates {
		id, err := m.Add(template)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.SetPrimary(id); err != nil {
			t.Fatal(err)
		}
	}
	h, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestOnlyTheRightKindsOfKeys(t *testing.T) {
	gcm, raw, number := aead.AES256GCMKeyTemplate(), aead.AES256GCMNoPrefixKeyTemplate(), prf.HMACSHA256PRFKeyTemplate()
	for name, c := range map[string]struct{ seal, hash *keyset.Handle }{
		"AES-128":              {handle(t, aead.AES128GCMKeyTemplate()), handle(t, number)},
		"no prefix":            {handle(t, raw), handle(t, number)},
		"one of two no prefix": {handle(t, raw, gcm), handle(t, number)},
		"another cipher":       {handle(t, aead.ChaCha20Poly1305KeyTemplate()), handle(t, number)},
		"no cipher":            {handle(t, number), handle(t, number)},
		"two for numbers":      {handle(t, gcm), handle(t, number, number)},
		"SHA-512 for numbers":  {handle(t, gcm), handle(t, prf.HMACSHA512PRFKeyTemplate())},
		"no PRF for numbers":   {handle(t, gcm), handle(t, gcm)},
	} {
		if _, err := assemble(c.seal, c.hash, nil); !errors.Is(err, ErrKeyset) {
			t.Errorf("%s: %v, want ErrKeyset", name, err)
		}
	}
	if _, err := assemble(handle(t, gcm, gcm), handle(t, number), nil); err != nil {
		t.Errorf("the right kinds: %v", err)
	}
}

// TestDisabledKeysDoNotOpen: an operator may shut a key off in Tink's way.
func TestDisabledKeysDoNotOpen(t *testing.T) {
	v, path := fresh(t)
	sealed, first := mustSeal(t, v, "x", ""), v.Keys()[0].ID
	if _, err := Rotate(path, Whole); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := parseKeyring(text)
	if err != nil {
		t.Fatal(err)
	}
	m := keyset.NewManagerFromHandle(ring.seal)
	if err := m.Disable(first); err != nil {
		t.Fatal(err)
	}
	h, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	if ring, err = assemble(h, ring.hash, ring.made); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, ring); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path).Unseal(sealed, nil); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("got %v, want ErrUnknownKey", err)
	}
}

func TestRotateTo(t *testing.T) {
	v, path := fresh(t)
	out := filepath.Join(t.TempDir(), "next.json")
	c := config.Vault{Command: []string{"cat", path}}
	k, err := RotateTo(t.Context(), c, "", out, Whole)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, path).Keys()); n != 1 {
		t.Errorf("the keyset in use has %d keys after it, want 1", n)
	}
	next := open(t, out)
	if keys := next.Keys(); len(keys) != 2 || keys[0] != k {
		t.Errorf("keys %v, want two, first %v", keys, k)
	}
	mustUnseal(t, next, mustSeal(t, v, "x", ""), "", "x")
	if _, err := RotateTo(t.Context(), c, "", out, Whole); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file that is there: %v, want fs.ErrExist", err)
	}
	if _, err := RotateTo(t.Context(), config.Vault{Command: []string{"false"}}, "", out, Whole); !errors.Is(err, ErrKeyset) {
		t.Errorf("from nothing: %v, want ErrKeyset", err)
	}
}

// TestKeysetIsTinks: should Bugle be gone, Tink's own tools read what it left.
func TestKeysetIsTinks(t *testing.T) {
	_, path := fresh(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string][]byte{"seal": d.Seal, "hash": d.Hash} {
		h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(part)))
		if err != nil || h.Len() != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !slices.Contains(secrets(t, path), d.firstKey(t)) {
		t.Error("the test that nothing prints a key looks for the wrong text")
	}
}

// firstKey is the first sealing key as it stands in the document.
func (d document) firstKey(t *testing.T) string {
	t.Helper()
	var set struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	if err := json.Unmarshal(d.Seal, &set); err != nil || len(set.Key) == 0 {
		t.Fatalf("%v, %d keys", err, len(set.Key))
	}
	return set.Key[0].KeyData.Value
}

// A rotation in two steps: while nodes take the keyset up one by one, each opens
// what any other seals.
func TestRotateInTwoSteps(t *testing.T) {
	first, path := fresh(t)
	old := first.Keys()[0].ID
	if _, err := Rotate(path, Promote); !errors.Is(err, ErrNoneAdded) {
		t.Errorf("promoted nothing: %v", err)
	}
	added, err := Rotate(path, Add)
	if err != nil || added.Primary || added.ID == old {
		t.Fatalf("added %+v, %v", added, err)
	}
	for _, again := range []Step{Add, Whole} {
		if _, err := Rotate(path, again); !errors.Is(err, ErrAdded) {
			t.Errorf("a key beside one that waits: %v", err)
		}
	}
	for _, step := range []struct {
		take    bool // the second keyset
		primary uint32
	}{{false, old}, {true, added.ID}} {
		if step.take {
			promoted, err := Rotate(path, Promote)
			if err != nil || promoted.ID != added.ID || !promoted.Primary || !promoted.Made.Equal(added.Made) {
				t.Fatalf("promoted %+v, %v, want key %d", promoted, err, added.ID)
			}
		}
		second := open(t, path) // the first has not looked yet
		if id := second.Keys()[0].ID; id != step.primary {
			t.Errorf("it seals under %d, want %d", id, step.primary)
		}
		if sealed := mustSeal(t, second, "new", "place"); !first.ring.Load().has(mustID(t, sealed)) {
			t.Error("a node that has not taken the step lacks the key")
		} else {
			mustUnseal(t, first, sealed, "place", "new")
		}
		mustUnseal(t, second, mustSeal(t, first, "old", "place"), "place", "old")
		if err := first.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Rotate(path, Whole); err != nil {
		t.Errorf("rotated in one step after that: %v", err)
	}
}

func mustID(t *testing.T, sealed []byte) uint32 {
	t.Helper()
	id, ok := SealedUnder(sealed)
	if !ok {
		t.Fatal("not sealed")
	}
	return id
}
