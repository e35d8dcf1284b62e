package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/vault"
)

// The hashes of "anna:bugle.test:secret", made with md5sum and sha256sum.
const (
	annaMD5    = "77941fc93766ebf5ca41aa9af487d2e1"
	annaSHA256 = "327e3ab41b46ca0cdd83c0e5c8409b92769a91ae402762b48df6807460cafa84"
)

// testVault is a vault with a keyset of its own.
func testVault(t testing.TB) *vault.Vault {
	t.Helper()
	dir := t.TempDir()
	must(t, vault.Init(filepath.Join(dir, vault.KeysetFile)))
	v, err := vault.Open(t.Context(), config.Vault{}, dir)
	must(t, err)
	return v
}

func openTestHA1(t *testing.T, content string) (*HA1File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agents.ha1")
	if content != "" {
		write(t, path, content, 0o600)
	}
	f, err := OpenHA1(path, "bugle.test", testVault(t))
	if err != nil {
		t.Fatal(err)
	}
	return f, path
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestHA1FileKeepsHashesOnly(t *testing.T) {
	f, path := openTestHA1(t, "")
	if _, known := f.HA1("anna", "MD5"); known {
		t.Fatal("a user is known before any was set")
	}
	if err := f.Set("anna", "secret"); err != nil {
		t.Fatal(err)
	}
	for algorithm, want := range map[string]string{"MD5": annaMD5, "md5": annaMD5, "SHA-256": annaSHA256, "SHA-512-256": ""} {
		if got, known := f.HA1("anna", algorithm); got != want || known != (want != "") {
			t.Errorf("HA1(anna, %s) = %q, %v", algorithm, got, known)
		}
	}
	if _, known := f.HA1("eve", "MD5"); known {
		t.Error("eve is known")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %04o", info.Mode().Perm())
	}
	if data, _ := os.ReadFile(path); strings.Contains(string(data), "secret") || strings.Contains(string(data), annaMD5) || strings.Contains(string(data), annaSHA256) {
		t.Errorf("the password or a hash of it stands in the file:\n%s", data)
	}
	if there, err := os.ReadDir(filepath.Dir(path)); err != nil || len(there) != 1 {
		t.Errorf("beside the file there is something: %v, %v", there, err)
	}
}

func TestHA1FileFollowsChanges(t *testing.T) {
	f, path := openTestHA1(t, "")
	other, err := OpenHA1(path, "bugle.test", f.vault)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Set("anna", "first"); err != nil {
		t.Fatal(err)
	}
	first, known := f.HA1("anna", "MD5")
	if !known {
		t.Fatal("a user set by another process is not known")
	}
	if err := other.Set("anna", "other"); err != nil {
		t.Fatal(err)
	}
	if second, _ := f.HA1("anna", "MD5"); second == first {
		t.Error("a password changed by another process still holds")
	}
	if err := f.Set("bert", "mine"); err != nil {
		t.Fatal(err)
	}
	if _, known := other.HA1("anna", "MD5"); !known {
		t.Error("setting one user lost another")
	}
}

func TestHA1FileKeepsWhatItHadWhenTheFileGoesBad(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"deleted":  func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"opened":   func(t *testing.T, path string) { must(t, os.Chmod(path, 0o644)) },
		"scrawled": func(t *testing.T, path string) { write(t, path, "anna", 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			f, path := openTestHA1(t, "")
			must(t, f.Set("anna", "secret"))
			spoil(t, path)
			if got, _ := f.HA1("anna", "MD5"); got != annaMD5 {
				t.Errorf("anna's hash is %q", got)
			}
			if f.Healthy() == nil {
				t.Error("it calls itself healthy")
			}
			if f.Set("bert", "x") == nil {
				t.Error("it writes over a file it can't read")
			}
		})
	}
}

// A key that comes from elsewhere may take seconds; an agent who registers meanwhile is
// known by what was read last, and an unusable file is not opened for each of them.
func TestHA1WaitsForNoKey(t *testing.T) {
	f, path := openTestHA1(t, "")
	must(t, f.Set("anna", "secret"))
	f.reading.Lock()
	got, _ := f.HA1("anna", "MD5")
	f.reading.Unlock()
	if got != annaMD5 {
		t.Errorf("anna's hash is %q while the file is read", got)
	}

	bad := "anna:bugle.test:sealed:" + strings.Repeat("A", 80) + "\n"
	write(t, path, bad, 0o600)
	_, _ = f.HA1("anna", "MD5")
	if f.failed == (stamp{}) {
		t.Fatal("an unusable file was not noticed")
	}
	f.vault = nil // opening anything would panic
	if got, _ := f.HA1("anna", "MD5"); got != annaMD5 {
		t.Errorf("anna's hash is %q after the file went bad", got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHA1FileOfAnotherRealm(t *testing.T) {
	f, path := openTestHA1(t, "anna:[::1]:"+annaMD5+":"+annaSHA256+"\n")
	if _, known := f.HA1("anna", "MD5"); known {
		t.Error("a hash of another realm is given")
	}
	v6, err := OpenHA1(path, "[::1]", f.vault)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := v6.HA1("anna", "MD5"); got != annaMD5 {
		t.Errorf("in a realm with colons: %q", got)
	}
	must(t, f.Set("anna", "secret"))
	if _, known := v6.HA1("anna", "MD5"); !known {
		t.Error("setting a user lost the same one in another realm")
	}
}

func TestHA1FileRefuses(t *testing.T) {
	hashes, keys := annaMD5+":"+annaSHA256, testVault(t)
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"others may read", "anna:r:" + hashes, 0o640, "chmod 600"},
		{"no hash", "# fine\n\nanna:r", 0o600, ":3: not USER"},
		{"not hex", "anna:r:" + strings.Repeat("z", 32) + ":" + annaSHA256, 0o600, ":1: not USER"},
		{"short hash", "anna:r:" + annaMD5[2:] + ":" + annaSHA256, 0o600, ":1: not USER"},
		{"no user", ":r:" + hashes, 0o600, ":1: not USER"},
		{"twice", "anna:r:" + hashes + "\nanna:r:" + hashes, 0o600, ":2: the same user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "agents.ha1")
			write(t, path, test.content, test.mode)
			_, err := OpenHA1(path, "r", keys)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), annaMD5) {
				t.Errorf("the error tells a hash: %v", err)
			}
		})
	}
}

// What a file of before has in the clear is good, and is sealed.
func TestHA1FileSealsWhatIsPlain(t *testing.T) {
	f, path := openTestHA1(t, "anna:bugle.test:"+annaMD5+":"+annaSHA256+"\nben:other:"+annaMD5+":"+annaSHA256+":demo\n")
	for _, plain := range []int{2, 0} {
		if got, _ := f.HA1("anna", "MD5"); got != annaMD5 {
			t.Errorf("anna's hash is %q", got)
		}
		if all, n := f.Count(); all != 2 || n != plain {
			t.Errorf("%d of %d are plain, want %d", n, all, plain)
		}
		must(t, f.Renew())
	}
	text, err := os.ReadFile(path)
	must(t, err)
	if strings.Contains(string(text), annaMD5) || strings.Contains(string(text), annaSHA256) || strings.Contains(string(text), "demo") {
		t.Errorf("the file has\n%s", text)
	}
	if other, err := OpenHA1(path, "other", f.vault); err != nil || !other.HasDemo() {
		t.Errorf("the demo's password is forgotten: %v", err)
	}
	must(t, f.Renew())
	if again, err := os.ReadFile(path); string(again) != string(text) {
		t.Errorf("written although nothing was plain: %v", err)
	}
}

// A node's start seals what an older version left.
func TestStartSealsPasswords(t *testing.T) {
	dir, keys := t.TempDir(), testVault(t)
	c := &config.Config{DataDir: dir}
	c.SIP.Domain = "bugle.test"
	path := filepath.Join(dir, ha1Name)
	write(t, path, "anna:bugle.test:"+annaMD5+":"+annaSHA256+"\n", 0o600)
	f, err := openSecrets(c, keys)
	must(t, err)
	if got, _ := f.HA1("anna", "MD5"); got != annaMD5 {
		t.Errorf("anna's hash is %q", got)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), annaMD5) {
		t.Errorf("the file has\n%s%v", text, err)
	}
}

// After a rotation a keyset of before it opens the file no more. What is sealed
// under the new key stays as it is.
func TestRotationSealsPasswordsAnew(t *testing.T) {
	dir := t.TempDir()
	path, keysetFile := filepath.Join(dir, ha1Name), filepath.Join(dir, vault.KeysetFile)
	must(t, vault.Init(keysetFile))
	keys, err := vault.Open(t.Context(), config.Vault{}, dir)
	must(t, err)
	f, err := OpenHA1(path, "bugle.test", keys)
	must(t, err)
	must(t, f.Set("anna", "secret"))
	old, err := os.ReadFile(keysetFile)
	must(t, err)

	_, err = vault.Rotate(keysetFile, vault.Whole)
	must(t, err)
	must(t, keys.Reload(t.Context()))
	must(t, f.Renew())
	renewed, err := os.ReadFile(path)
	must(t, err)
	must(t, f.Renew())
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, renewed) {
		t.Errorf("sealed once more (%v), from\n%sto\n%s", err, renewed, again)
	}
	if got, ok := f.HA1("anna", "MD5"); !ok || got == "" {
		t.Error("anna has no password any more")
	}

	leaver := t.TempDir()
	write(t, filepath.Join(leaver, vault.KeysetFile), string(old), 0o600)
	write(t, filepath.Join(leaver, ha1Name), string(renewed), 0o600)
	keys, err = vault.Open(t.Context(), config.Vault{}, leaver)
	must(t, err)
	if _, err := OpenHA1(filepath.Join(leaver, ha1Name), "bugle.test", keys); !errors.Is(err, vault.ErrUnknownKey) {
		t.Errorf("with the keyset of before: %v", err)
	}
}

// A sealed line is good for its user, its realm and its keyset alone; the error
// says which line is not.
func TestHA1FileOpensNoStrangersLine(t *testing.T) {
	f, path := openTestHA1(t, "")
	must(t, f.Set("anna", "secret"))
	must(t, f.Set("ben", "other"))
	text, err := os.ReadFile(path)
	must(t, err)
	for what, spoil := range map[string]func(string) string{
		"another user":  func(s string) string { return strings.Replace(s, "ben:", "eve:", 1) },
		"another realm": func(s string) string { return strings.Replace(s, "ben:bugle.test:", "ben:bugle:", 1) },
		"cut":           func(s string) string { return s[:len(s)-9] },
	} {
		write(t, path, spoil(string(text)), 0o600)
		if _, err := OpenHA1(path, "bugle.test", f.vault); !errors.Is(err, vault.ErrAltered) || !strings.Contains(err.Error(), path+":3: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	write(t, path, string(text), 0o600)
	if _, err := OpenHA1(path, "bugle.test", testVault(t)); !errors.Is(err, vault.ErrUnknownKey) || !strings.Contains(err.Error(), path+":2: ") {
		t.Errorf("with another keyset: %v", err)
	}
}

// Two who set passwords at the same time lose none.
func TestHA1FileIsChangedByOneAtATime(t *testing.T) {
	f, path := openTestHA1(t, "")
	other, err := OpenHA1(path, "bugle.test", f.vault)
	must(t, err)
	var wg sync.WaitGroup
	for i, by := range []*HA1File{f, other} {
		wg.Go(func() {
			for n := range 10 {
				if err := by.Set(fmt.Sprintf("agent%d-%d", i, n), "secret"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, f.Healthy())
	if all, _ := f.Count(); all != 20 {
		t.Errorf("%d of 20 passwords are kept", all)
	}
}

// vault check tells of the agents' passwords, and which it can't open.
func TestVaultCheckCountsPasswords(t *testing.T) {
	dir, run := storeSite(t)
	data := filepath.Join(dir, "data")
	path := filepath.Join(data, ha1Name)
	write(t, path, "anna:127.0.0.1:"+annaMD5+":"+annaSHA256+"\n", 0o600)
	check := func(want string) {
		t.Helper()
		if out, err := run(keyset, "check"); err != nil || !strings.Contains(out, want) {
			t.Errorf("said %q, %v, want %q", out, err, want)
		}
	}
	check("agents.ha1: 1 of 1 agents' passwords are not sealed yet")
	keys, err := vault.Inspect(t.Context(), config.Vault{}, data)
	must(t, err)
	f, err := OpenHA1(path, "127.0.0.1", keys)
	must(t, err)
	must(t, f.Renew())
	check("agents.ha1: 1 agents' passwords, sealed and opened")
	must(t, os.Remove(filepath.Join(data, vault.KeysetFile)))
	must(t, vault.Init(filepath.Join(data, vault.KeysetFile)))
	if out, err := run(keyset, "check"); !errors.Is(err, vault.ErrUnknownKey) || !strings.Contains(err.Error(), path+":2: this password can't be opened") {
		t.Errorf("with another keyset: %q, %v", out, err)
	}
}

func TestHA1FileRefusesUsersItCouldNotReadBack(t *testing.T) {
	f, _ := openTestHA1(t, "")
	for _, user := range []string{"", "a:b", "a\nb:r:x", "a\rb", "#anna", " anna"} {
		if f.Set(user, "x") == nil {
			t.Errorf("user %q is taken", user)
		}
	}
	if f.Set("anna", "") == nil {
		t.Error("an empty password is taken")
	}
}

func TestEnsureDemoMakesEachPasswordOnce(t *testing.T) {
	f, path := openTestHA1(t, "")
	must(t, f.Set("anna", "secret"))
	if f.HasDemo() {
		t.Error("a password set by a person counts as the demo's")
	}
	made, err := f.EnsureDemo([]string{"sofia", "anna", "bert"})
	must(t, err)
	if len(made) != 2 || made[0].User != "bert" || made[1].User != "sofia" {
		t.Fatalf("made %v", made)
	}
	if made[0].Password == made[1].Password {
		t.Error("two agents have the same password")
	}
	for _, m := range made {
		if !regexp.MustCompile(`^[a-z]{4}(-[a-z]{4}){3}$`).MatchString(m.Password) {
			t.Errorf("password %q", m.Password)
		}
	}
	if got, _ := f.HA1("anna", "MD5"); got != annaMD5 {
		t.Error("anna's own password was replaced")
	}

	again, err := OpenHA1(path, "bugle.test", f.vault)
	must(t, err)
	if more, err := again.EnsureDemo([]string{"sofia", "anna", "bert"}); err != nil || len(more) > 0 {
		t.Errorf("the second start made %v, %v", more, err)
	}
	if !again.HasDemo() {
		t.Error("the demo's passwords are forgotten after a restart")
	}
	must(t, again.Set("sofia", "her own"))
	must(t, again.Set("bert", "his own"))
	if again.HasDemo() {
		t.Error("the demo's passwords outlive their change")
	}
}

func FuzzParseHA1(f *testing.F) {
	f.Add([]byte("anna:bugle.test:" + annaMD5 + ":" + annaSHA256 + ":demo\n# comment\n"))
	f.Add([]byte("a:b:c:d"))
	keys := testVault(f)
	sealed, err := formatHA1(map[secretKey]secret{{"anna", "[::1]"}: {md5: annaMD5, sha256: annaSHA256, demo: true}}, keys)
	must(f, err)
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := parseHA1(data, keys)
		if err != nil {
			return
		}
		text, err := formatHA1(lines, keys)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseHA1(text, keys)
		if err != nil || len(again) != len(lines) {
			t.Fatalf("%d lines became %d: %v", len(lines), len(again), err)
		}
		for key, s := range lines {
			if s.key = keys.Keys()[0].ID; again[key] != s {
				t.Fatalf("%v became %v", s, again[key])
			}
		}
	})
}
