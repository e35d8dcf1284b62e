package main

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/bugle-voice/bugle/vault"
)

// HA1File keeps what agents prove themselves with: not their passwords but the
// digest hashes of them (RFC 7616 section 3.4.2), sealed by the vault, in a file
// that only Bugle may read. It is safe for concurrent use, and follows changes
// that another process makes to the file.
//
// A line is USER:REALM:sealed:VALUE. Sealed is MD5:SHA256, the hashes in hex, and
// ":demo" behind them for a password that EnsureDemo made; it is bound to user and
// realm, so that nobody gets another's password by swapping lines. Before, a line
// was USER:REALM:MD5:SHA256[:demo], in the clear: that is still read, and sealed
// as the file is next written. A hash is good in its realm only, so lines of
// another realm are kept but never used.
type HA1File struct {
	path  string
	realm string
	vault *vault.Vault

	reading sync.Mutex // who reads or changes the file; a vault's key may take seconds to come

	stamp  stamp // of the file that lines was read from; who holds reading has it
	failed stamp // of the last that could not be used; likewise

	mu    sync.Mutex
	lines map[secretKey]secret
}

type (
	secretKey struct{ user, realm string }
	secret    struct {
		md5, sha256 string
		demo        bool
		key         uint32 // that the file has it sealed under, 0 if it is in the clear there
	}
	// stamp tells one version of a file from another. Set puts a new file in
	// place, so two changes within the clock's grain differ by inode.
	stamp struct {
		modified time.Time
		size     int64
		mode     fs.FileMode
		inode    uint64
	}
)

// OpenHA1 reads the file at path, or starts with none: it is made by the first
// Set. A file that others than its owner may read is refused, since whoever has
// an HA1 can pass for the agent; so is one that the vault can't open.
func OpenHA1(path, realm string, v *vault.Vault) (*HA1File, error) {
	f := &HA1File{path: path, realm: realm, vault: v, lines: make(map[secretKey]secret)}
	if err := f.Healthy(); err != nil {
		return nil, err
	}
	return f, nil
}

// HA1 gives a user's hash in hex for an algorithm, "MD5" or "SHA-256" in any
// case. If the file has become unusable, or somebody is reading it just now, what was
// read last holds: nobody who asks waits for a key.
func (f *HA1File) HA1(user, algorithm string) (string, bool) {
	if f.reading.TryLock() {
		_ = f.refresh(false) // Healthy tells, and tries again
		f.reading.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s, known := f.lines[secretKey{user, f.realm}]
	switch {
	case !known:
		return "", false
	case strings.EqualFold(algorithm, "MD5"):
		return s.md5, true
	case strings.EqualFold(algorithm, "SHA-256"):
		return s.sha256, true
	}
	return "", false
}

// Healthy says why the file as it stands can't be used, or nil if it can.
func (f *HA1File) Healthy() error {
	f.reading.Lock()
	defer f.reading.Unlock()
	return f.refresh(true)
}

// HasDemo reports whether any user of this realm still has a password that
// EnsureDemo made. Such a node must not listen beyond loopback.
func (f *HA1File) HasDemo() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, s := range f.lines {
		if key.realm == f.realm && s.demo {
			return true
		}
	}
	return false
}

// Set gives a user a password. The file is replaced whole or not at all.
func (f *HA1File) Set(user, password string) error {
	return f.change(func(lines map[secretKey]secret) (bool, error) {
		return true, f.put(lines, user, password, false)
	})
}

// Count gives how many passwords the file has, of all realms, and how many of them
// in the clear.
func (f *HA1File) Count() (all, plain int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.lines {
		if s.key == 0 {
			plain++
		}
	}
	return len(f.lines), plain
}

// Renew seals what the file has in the clear or sealed under another key than
// the vault's first: who has an older keyset opens no later copy of the file.
func (f *HA1File) Renew() error {
	return f.change(func(lines map[secretKey]secret) (bool, error) {
		for _, s := range lines {
			if s.key != f.vault.Keys()[0].ID {
				return true, nil
			}
		}
		return false, nil
	})
}

// change has do change the lines as they are now, and writes the file if it says
// so. One process at a time changes it.
func (f *HA1File) change(do func(lines map[secretKey]secret) (write bool, err error)) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	dir, err := os.Open(filepath.Dir(f.path))
	if err == nil {
		defer dir.Close() // and so unlocks it
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("agents' secrets: %w", err)
	}
	if err := f.refresh(true); err != nil {
		return err
	}
	lines := maps.Clone(f.lines) // which only who is reading replaces
	if write, err := do(lines); err != nil || !write {
		return err
	}
	return f.write(lines)
}

// DemoPassword is one that EnsureDemo made. It is shown once and kept nowhere.
type DemoPassword struct{ User, Password string }

// EnsureDemo makes passwords for those users who have none in this realm, and
// gives them, sorted by user.
func (f *HA1File) EnsureDemo(users []string) ([]DemoPassword, error) {
	var made []DemoPassword
	err := f.change(func(lines map[secretKey]secret) (bool, error) {
		for _, user := range slices.Sorted(slices.Values(users)) {
			if _, has := lines[secretKey{user, f.realm}]; has {
				continue
			}
			password := readablePassword()
			if err := f.put(lines, user, password, true); err != nil {
				return false, err
			}
			made = append(made, DemoPassword{user, password})
		}
		return len(made) > 0, nil
	})
	return made, err
}

// put adds a line. Neither part may hold what separates lines and their parts.
func (f *HA1File) put(lines map[secretKey]secret, user, password string, demo bool) error {
	odd := func(r rune) bool { return r == ':' || r == '#' || unicode.IsSpace(r) || unicode.IsControl(r) }
	if user == "" || strings.ContainsFunc(user, odd) {
		return fmt.Errorf("user %q: a user name is not empty and has no space, colon or #", user)
	}
	if password == "" {
		return fmt.Errorf("user %q: the password is empty", user)
	}
	a1 := []byte(user + ":" + f.realm + ":" + password)
	m, s := md5.Sum(a1), sha256.Sum256(a1)
	lines[secretKey{user, f.realm}] = secret{md5: hex.EncodeToString(m[:]), sha256: hex.EncodeToString(s[:]), demo: demo}
	return nil
}

// refresh reads the file again if it changed; if it could not be used as it stands,
// only when it is to be tried again. The caller holds reading.
func (f *HA1File) refresh(again bool) error {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) && f.stamp == (stamp{}) {
		return nil // not made yet
	}
	if err != nil {
		return fmt.Errorf("agents' secrets: %w", err)
	}
	now := stamp{modified: info.ModTime(), size: info.Size(), mode: info.Mode()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		now.inode = sys.Ino
	}
	if now == f.stamp || now == f.failed && !again {
		return nil
	}
	lines, err := f.read(now.mode)
	if err != nil {
		f.failed = now
		return err
	}
	f.stamp = now
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = lines
	return nil
}

// read gives what the file has.
func (f *HA1File) read(mode fs.FileMode) (map[secretKey]secret, error) {
	if mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("agents' secrets: %s can be read by others than its owner (mode %04o): chmod 600 it, and give the agents new passwords if anyone may have", f.path, mode.Perm())
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("agents' secrets: %w", err)
	}
	lines, err := parseHA1(data, f.vault)
	if err != nil {
		return nil, fmt.Errorf("agents' secrets: %s:%w", f.path, err)
	}
	return lines, nil
}

// write replaces the file. The caller holds reading.
func (f *HA1File) write(lines map[secretKey]secret) error {
	text, err := formatHA1(lines, f.vault)
	if err == nil {
		err = replaceFile(f.path, text)
	}
	if err != nil {
		return fmt.Errorf("agents' secrets: %w", err)
	}
	return f.refresh(true)
}

// secretPlace is what a line's sealed value is bound to. No user has a colon.
func secretPlace(k secretKey) []byte { return []byte("agent secret " + k.user + ":" + k.realm) }

// sealedMark stands before a sealed value, where a plain line has an MD5 in hex.
const sealedMark = "sealed"

func formatHA1(lines map[secretKey]secret, v *vault.Vault) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# USER:REALM:sealed:VALUE, of agents' passwords. For Bugle alone: mode 0600.\n")
	keys := slices.SortedFunc(maps.Keys(lines), func(a, b secretKey) int {
		return strings.Compare(a.user+":"+a.realm, b.user+":"+b.realm)
	})
	for _, k := range keys {
		s := lines[k]
		plain := s.md5 + ":" + s.sha256
		if s.demo {
			plain += ":demo"
		}
		sealed, err := v.Seal([]byte(plain), secretPlace(k))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:%s:%s:%s\n", k.user, k.realm, sealedMark, base64.RawStdEncoding.EncodeToString(sealed))
	}
	return b.Bytes(), nil
}

// parseHA1 reads the file. Errors name the line, never what stands in it.
func parseHA1(data []byte, v *vault.Vault) (map[secretKey]secret, error) {
	lines := make(map[secretKey]secret)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, s, err := parseHA1Line(line, v)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		if _, twice := lines[key]; twice {
			return nil, fmt.Errorf("%d: the same user and realm stand above", n)
		}
		lines[key] = s
	}
	return lines, nil
}

var errNoHA1 = errors.New("not USER:REALM:sealed:VALUE, nor USER:REALM:MD5:SHA256 with hashes in hex")

// parseHA1Line takes what follows the realm from the right, since a realm may hold
// colons: that of a site known by an IPv6 address does.
func parseHA1Line(line string, v *vault.Vault) (secretKey, secret, error) {
	line, demo := strings.CutSuffix(line, ":demo")
	user, rest, _ := strings.Cut(line, ":")
	parts := strings.Split(rest, ":")
	n := len(parts)
	if user == "" || n < 3 {
		return secretKey{}, secret{}, errNoHA1
	}
	key := secretKey{user, strings.Join(parts[:n-2], ":")}
	if parts[n-2] == sealedMark {
		s, err := openSecret(key, parts[n-1], v)
		return key, s, err
	}
	s, ok := parseHashes(parts[n-2], parts[n-1])
	if !ok {
		return key, s, errNoHA1
	}
	s.demo = demo
	return key, s, nil
}

// openSecret opens a line's sealed value.
func openSecret(key secretKey, value string, v *vault.Vault) (secret, error) {
	sealed, err := base64.RawStdEncoding.DecodeString(value)
	if err != nil {
		return secret{}, errNoHA1
	}
	plain, err := v.Unseal(sealed, secretPlace(key))
	if err != nil {
		return secret{}, fmt.Errorf("this password can't be opened: put back the keyset it was sealed with, or remove the line and give the agent a new password: %w", err)
	}
	hashes, demo := strings.CutSuffix(string(plain), ":demo")
	m, sha, _ := strings.Cut(hashes, ":")
	s, ok := parseHashes(m, sha)
	if !ok {
		return secret{}, errNoHA1
	}
	s.demo = demo
	s.key, _ = vault.SealedUnder(sealed)
	return s, nil
}

func parseHashes(m, sha string) (secret, bool) {
	s := secret{md5: strings.ToLower(m), sha256: strings.ToLower(sha)}
	return s, isHex(s.md5, md5.Size) && isHex(s.sha256, sha256.Size)
}

func isHex(s string, size int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == size
}

// readablePassword makes a password that is easily typed into a phone and has
// 50 bits of chance: four groups of two syllables, like "kafo-mite-ruba-sezo".
func readablePassword() string {
	const consonants, vowels = "bdfghjkmnprstvwz", "aeiou"
	// Every byte below limit stands for a syllable; the rest would make some
	// likelier than others.
	const syllables = len(consonants) * len(vowels)
	const limit = 256 / syllables * syllables
	var password []byte
	for n := 0; n < 8; {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand
		if int(b[0]) >= limit {
			continue
		}
		if n > 0 && n%2 == 0 {
			password = append(password, '-')
		}
		i := int(b[0]) % syllables
		password = append(password, consonants[i/len(vowels)], vowels[i%len(vowels)])
		n++
	}
	return string(password)
}
