package main

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
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
)

// HA1File keeps what agents prove themselves with: not their passwords but the
// digest hashes of them (RFC 7616 section 3.4.2), in a file that only Bugle may
// read. It is safe for concurrent use, and follows changes that another process
// makes to the file.
//
// A line is USER:REALM:MD5:SHA256, the hashes in hex; ":demo" behind it marks a
// password that EnsureDemo made. A hash is good in its realm only, so lines of
// another realm are kept but never used.
type HA1File struct {
	path  string
	realm string

	mu    sync.Mutex
	stamp stamp // of the file that lines was read from
	lines map[secretKey]secret
}

type (
	secretKey struct{ user, realm string }
	secret    struct {
		md5, sha256 string
		demo        bool
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
// an HA1 can pass for the agent.
func OpenHA1(path, realm string) (*HA1File, error) {
	f := &HA1File{path: path, realm: realm, lines: make(map[secretKey]secret)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		return nil, err
	}
	return f, nil
}

// HA1 gives a user's hash in hex for an algorithm, "MD5" or "SHA-256" in any
// case. If the file has become unusable, what was read last still holds.
func (f *HA1File) HA1(user, algorithm string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.refresh() // Healthy tells
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
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refresh()
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		return err
	}
	lines := maps.Clone(f.lines)
	if err := f.put(lines, user, password, false); err != nil {
		return err
	}
	return f.write(lines)
}

// DemoPassword is one that EnsureDemo made. It is shown once and kept nowhere.
type DemoPassword struct{ User, Password string }

// EnsureDemo makes passwords for those users who have none in this realm, and
// gives them, sorted by user.
func (f *HA1File) EnsureDemo(users []string) ([]DemoPassword, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		return nil, err
	}
	lines := maps.Clone(f.lines)
	var made []DemoPassword
	for _, user := range slices.Sorted(slices.Values(users)) {
		if _, has := lines[secretKey{user, f.realm}]; has {
			continue
		}
		password := readablePassword()
		if err := f.put(lines, user, password, true); err != nil {
			return nil, err
		}
		made = append(made, DemoPassword{user, password})
	}
	if len(made) == 0 {
		return nil, nil
	}
	return made, f.write(lines)
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
	lines[secretKey{user, f.realm}] = secret{hex.EncodeToString(m[:]), hex.EncodeToString(s[:]), demo}
	return nil
}

// refresh reads the file again if it changed. The caller holds mu.
func (f *HA1File) refresh() error {
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
	if now == f.stamp {
		return nil
	}
	if now.mode.Perm()&0o077 != 0 {
		return fmt.Errorf("agents' secrets: %s can be read by others than its owner (mode %04o): chmod 600 it, and give the agents new passwords if anyone may have", f.path, now.mode.Perm())
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("agents' secrets: %w", err)
	}
	lines, err := parseHA1(data)
	if err != nil {
		return fmt.Errorf("agents' secrets: %s:%w", f.path, err)
	}
	f.lines, f.stamp = lines, now
	return nil
}

// write replaces the file. The caller holds mu.
func (f *HA1File) write(lines map[secretKey]secret) error {
	tmp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("agents' secrets: %w", err)
	}
	_, err = tmp.Write(formatHA1(lines))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("agents' secrets: %w", err)
	}
	return f.refresh()
}

func formatHA1(lines map[secretKey]secret) []byte {
	var b bytes.Buffer
	b.WriteString("# USER:REALM:MD5:SHA256 of agents' passwords. For Bugle alone: mode 0600.\n")
	keys := slices.SortedFunc(maps.Keys(lines), func(a, b secretKey) int {
		return strings.Compare(a.user+":"+a.realm, b.user+":"+b.realm)
	})
	for _, k := range keys {
		s := lines[k]
		fmt.Fprintf(&b, "%s:%s:%s:%s", k.user, k.realm, s.md5, s.sha256)
		if s.demo {
			b.WriteString(":demo")
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// parseHA1 reads the file. Errors name the line, never what stands in it.
func parseHA1(data []byte) (map[secretKey]secret, error) {
	lines := make(map[secretKey]secret)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, s, ok := parseHA1Line(line)
		if !ok {
			return nil, fmt.Errorf("%d: not USER:REALM:MD5:SHA256 with hashes in hex", n)
		}
		if _, twice := lines[key]; twice {
			return nil, fmt.Errorf("%d: the same user and realm stand above", n)
		}
		lines[key] = s
	}
	return lines, nil
}

// parseHA1Line takes the hashes from the right, since a realm may hold colons:
// that of a site known by an IPv6 address does.
func parseHA1Line(line string) (secretKey, secret, bool) {
	line, demo := strings.CutSuffix(line, ":demo")
	user, rest, _ := strings.Cut(line, ":")
	parts := strings.Split(rest, ":")
	if user == "" || len(parts) < 3 {
		return secretKey{}, secret{}, false
	}
	n := len(parts)
	s := secret{strings.ToLower(parts[n-2]), strings.ToLower(parts[n-1]), demo}
	ok := isHex(s.md5, md5.Size) && isHex(s.sha256, sha256.Size)
	return secretKey{user, strings.Join(parts[:n-2], ":")}, s, ok
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
