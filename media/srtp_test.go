package media

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// a packet of 20 ms, with room behind it.
func packetOf(sequence uint16, timestamp uint32) []byte {
	raw := make([]byte, headerSize+frameSize, headerSize+frameSize+sealSize)
	h := header{sequence: sequence, timestamp: timestamp, ssrc: 0x11223344}
	h.put(raw)
	for i := range raw[headerSize:] {
		raw[headerSize+i] = byte(i)
	}
	return raw
}

// pair gives the two ends of one encryption.
func pair(t testing.TB, s *suite) (a, b *secure) {
	t.Helper()
	k, l := s.newKey(), s.newKey()
	a, err := newSecure(s, k, l, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = newSecure(s, l, k, nil); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestSuitesSealAndOpen(t *testing.T) {
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			a, b := pair(t, s)
			// Over the end of the sequence numbers: the rollover counter counts.
			for n := range 300 {
				sequence := uint16(65400 + n)
				want := packetOf(sequence, uint32(n))
				sealed, ok := a.seal(packetOf(sequence, uint32(n)))
				if !ok || bytes.Contains(sealed, want[headerSize:headerSize+16]) {
					t.Fatalf("packet %d is not encrypted", n)
				}
				again := bytes.Clone(sealed)
				broken := bytes.Clone(sealed)
				broken[len(broken)-1-n%100] ^= 1
				if _, ok := b.open(broken); ok {
					t.Fatalf("packet %d passes though it was changed", n)
				}
				got, ok := b.open(sealed)
				if !ok || !bytes.Equal(got, want) {
					t.Fatalf("packet %d opens as %x, %v", n, got, ok)
				}
				if _, ok := b.open(again); ok {
					t.Fatalf("packet %d passes twice", n)
				}
			}
			var raw [reportSize + sealSize]byte
			report := ownReport{ssrc: 1, hears: true, about: reception{ssrc: 2, jitter: 9}}
			n := report.put(raw[:])
			want := bytes.Clone(raw[:n])
			sealed, ok := a.sealReport(raw[:n])
			if !ok || bytes.Contains(sealed, want[8:24]) {
				t.Fatal("a report is not encrypted")
			}
			again := bytes.Clone(sealed)
			if got, ok := b.openReport(sealed); !ok || !bytes.Equal(got, want) {
				t.Errorf("a report opens as %x, %v", got, ok)
			}
			if _, ok := b.openReport(again); ok {
				t.Error("a report passes twice")
			}
		})
	}
}

// Nobody without the key is let in, and no key opens another's packets.
func TestStrangersKeysOpenNothing(t *testing.T) {
	for _, s := range suites {
		a, _ := pair(t, s)
		_, b := pair(t, s)
		sealed, _ := a.seal(packetOf(1, 1))
		if _, ok := b.open(sealed); ok {
			t.Errorf("%s: another's key opens a packet", s.name)
		}
		if _, ok := b.open(packetOf(2, 2)); ok {
			t.Errorf("%s: a plain packet passes", s.name)
		}
	}
}

// A new key of the far end's: what is still on its way under the last one is
// heard, until the first under the new. Our own key, unchanged, counts on.
func TestKeysAreRenewed(t *testing.T) {
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			k, old, renewed := s.newKey(), s.newKey(), s.newKey()
			end := func(local, remote masterKey, before *secure) *secure {
				e, err := newSecure(s, local, remote, before)
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			far, us := end(old, k, nil), end(k, old, nil)
			first, _ := us.seal(packetOf(65535, 1))
			first = bytes.Clone(first)
			if same := end(k, old, us); same != us {
				t.Error("the same keys began anew")
			}
			late, _ := far.seal(packetOf(7, 7))
			lateReport, _ := far.sealReport(reportOf(1))
			far, us = end(renewed, k, far), end(k, renewed, us)
			if _, ok := us.open(late); !ok {
				t.Error("a packet under the last key is not heard")
			}
			fresh, _ := far.seal(packetOf(8, 8))
			if got, ok := us.open(fresh); !ok || !bytes.Equal(got, packetOf(8, 8)) {
				t.Error("a packet under the new key is not heard")
			}
			if us.before != nil {
				t.Error("the last key is still good")
			}
			if got, ok := us.openReport(lateReport); !ok || !bytes.Equal(got, reportOf(1)) {
				t.Error("a report under the last key is not heeded")
			}
			freshReport, _ := far.sealReport(reportOf(1))
			if got, ok := us.openReport(freshReport); !ok || !bytes.Equal(got, reportOf(1)) {
				t.Error("a report under the new key is not heeded")
			}
			if us.reportsBefore != nil {
				t.Error("the last key is still good for reports")
			}
			// Our sequence rolls over across the renewal, and the far end follows.
			second, _ := us.seal(packetOf(0, 2))
			for n, sealed := range [][]byte{first, second} {
				if _, ok := far.open(bytes.Clone(sealed)); !ok {
					t.Errorf("packet %d of ours does not open after the far end's renewal", n)
				}
			}
		})
	}
}

// A far end that keeps changing its SSRC costs no more memory for it.
func TestSourcesUnderOneKeyAreLimited(t *testing.T) {
	for _, s := range suites {
		a, b := pair(t, s)
		opened, reports := 0, 0
		for n := range uint32(10 * maxSources) {
			// Not the key's: counts for nothing.
			forged := packetOf(1, 1)
			binary.BigEndian.PutUint32(forged[8:], 1000+n)
			if _, ok := b.open(forged); ok {
				t.Fatalf("%s: a forged packet passes", s.name)
			}
			raw := packetOf(1, 1)
			binary.BigEndian.PutUint32(raw[8:], n)
			sealed, _ := a.seal(raw)
			if _, ok := b.open(sealed); ok {
				opened++
			}
			report, _ := a.sealReport(reportOf(n))
			if _, ok := b.openReport(report); ok {
				reports++
			}
		}
		if opened != maxSources || reports != maxSources {
			t.Errorf("%s: %d SSRCs are heard and %d of reports, want %d", s.name, opened, reports, maxSources)
		}
		again, _ := a.seal(packetOf(1, 1)[:headerSize+frameSize])
		binary.BigEndian.PutUint32(again[8:], 0) // spoiled
		if _, ok := b.open(again); ok {
			t.Errorf("%s: a spoiled packet passes", s.name)
		}
		raw := packetOf(2, 2)
		binary.BigEndian.PutUint32(raw[8:], maxSources-1)
		sealed, _ := a.seal(raw)
		if _, ok := b.open(sealed); !ok {
			t.Errorf("%s: a known SSRC is not heard any more", s.name)
		}
	}
}

// reportOf is a report of an SSRC's, with room behind it.
func reportOf(ssrc uint32) []byte {
	raw := make([]byte, reportSize, reportSize+sealSize)
	r := ownReport{ssrc: ssrc, hears: true, about: reception{ssrc: 2, jitter: 9}}
	return raw[:r.put(raw)]
}

func TestEncryptionAllocatesNothing(t *testing.T) {
	for _, s := range suites {
		a, b := pair(t, s)
		raw := packetOf(0, 0)
		sequence := uint16(0)
		if n := testing.AllocsPerRun(1000, func() {
			sequence++
			h := header{sequence: sequence, ssrc: 5}
			h.put(raw)
			sealed, ok := a.seal(raw)
			if !ok {
				t.Fatal("not sealed")
			}
			if _, ok := b.open(sealed); !ok {
				t.Fatal("not opened")
			}
		}); n > 0 && !raceDetector {
			t.Errorf("%s: %v allocations a packet", s.name, n)
		}
	}
}

func BenchmarkSRTP(b *testing.B) {
	for _, s := range suites {
		x, y := pair(b, s)
		raw := packetOf(0, 0)
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for sequence := uint16(0); b.Loop(); sequence++ {
				h := header{sequence: sequence, ssrc: 5}
				h.put(raw)
				sealed, _ := x.seal(raw)
				if _, ok := y.open(sealed); !ok {
					b.Fatal("not opened")
				}
			}
		})
	}
}

func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyDerivationOfRFC3711(t *testing.T) {
	// RFC 3711, appendix B.3: from this master key come a cipher key, salt and
	// authentication key, with which the packet is sealed here by hand.
	var k masterKey
	copy(k.bytes[:], bytesOf(t, "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6"))
	cipherKey := bytesOf(t, "C61E7A93744F39EE10734AFE3FF7A087")
	salt := bytesOf(t, "30CBBC08863D8C85D49DB34A9AE1")
	authKey := bytesOf(t, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
	s := suites[2]
	us, err := newSecure(s, k, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := packetOf(0x1234, 0xDECAFBAD)
	got, ok := us.seal(bytes.Clone(plain)[:len(plain):len(plain)])
	if !ok {
		t.Fatal("not sealed")
	}
	if want := sealByHand(t, plain, cipherKey, salt, authKey); !bytes.Equal(got, want) {
		t.Errorf("sealed as\n%x\nwant\n%x", got, want)
	}
}

// The packets of RFC 7714, sections 16.1.1 and 16.2.1, hold the sealing by hand, which
// holds ours: from master keys, which the RFC has no vectors for.
func TestGCMOfRFC7714(t *testing.T) {
	key := bytesOf(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	salt := bytesOf(t, "517569642070726f2071756f")
	plain := bytesOf(t, `8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
		69736120 696e2070 61727465 73207472 6573`)
	for size, want := range map[int]string{
		16: `8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
			51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce`,
		32: `8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
			76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13`,
	} {
		if got := gcmByHand(t, plain, key[:size], salt); !bytes.Equal(got, bytesOf(t, want)) {
			t.Errorf("%d bits by hand: %x", 8*size, got)
		}
	}
	for _, s := range suites[:2] {
		k := s.newKey()
		us, err := newSecure(s, k, k, nil)
		if err != nil {
			t.Fatal(err)
		}
		master, masterSalt := k.bytes[:s.key], k.bytes[s.key:s.key+s.salt]
		want := gcmByHand(t, plain, derive(t, master, masterSalt, 0, s.key), derive(t, master, masterSalt, 2, s.salt))
		if got, ok := us.seal(append(make([]byte, 0, len(plain)+sealSize), plain...)); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: sealed as\n%x\nwant\n%x", s.name, got, want)
		}
	}
}

// gcmByHand seals a packet as RFC 7714, section 8, says, with rollover counter 0.
func gcmByHand(t *testing.T, plain, key, salt []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv := bytes.Clone(salt)
	for i := range 4 {
		iv[2+i] ^= plain[8+i]
	}
	for i := range 2 {
		iv[10+i] ^= plain[2+i]
	}
	return gcm.Seal(bytes.Clone(plain[:headerSize]), iv, plain[headerSize:], plain[:headerSize])
}

// derive makes a session key (RFC 3711, section 4.3; a salt of 12 bytes is
// followed by zeros, RFC 7714, section 11).
func derive(t *testing.T, master, salt []byte, label byte, size int) []byte {
	t.Helper()
	block, err := aes.NewCipher(master)
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, 16)
	copy(iv, salt)
	iv[7] ^= label
	out := make([]byte, size)
	cipher.NewCTR(block, iv).XORKeyStream(out, out)
	return out
}

func TestCryptoLines(t *testing.T) {
	const key30, key28, key44 = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis="
	for _, c := range []struct{ name, value, tag, suite string }{
		{"of RFC 4568", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20", "1", "AES_CM_128_HMAC_SHA1_80"},
		{"lifetime in figures", "2 AES_CM_128_HMAC_SHA1_32 inline:" + key30 + "|1048576", "2", "AES_CM_128_HMAC_SHA1_32"},
		{"GCM", "3 AEAD_AES_128_GCM inline:" + key28, "3", "AEAD_AES_128_GCM"},
		{"without padding", "3 AEAD_AES_128_GCM inline:" + strings.TrimRight(key28, "="), "3", "AEAD_AES_128_GCM"},
		{"GCM of 256 bits", "999999999 AEAD_AES_256_GCM inline:" + key44, "999999999", "AEAD_AES_256_GCM"},
		{"a hint", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + " WSH=64 -WHAT=ever", "1", "AES_CM_128_HMAC_SHA1_80"},
		{"an MKI", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20|1:4", "", ""},
		{"two keys", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|1:1;inline:" + key30 + "|2:1", "", ""},
		{"not encrypted", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + " UNENCRYPTED_SRTP", "", ""},
		{"another suite", "1 F8_128_HMAC_SHA1_80 inline:" + key30, "", ""},
		{"a short key", "1 AES_CM_128_HMAC_SHA1_80 inline:" + key28, "", ""},
		{"no key", "1 AES_CM_128_HMAC_SHA1_80", "", ""},
		{"no tag", "x AES_CM_128_HMAC_SHA1_80 inline:" + key30, "", ""},
		{"another method", "1 AES_CM_128_HMAC_SHA1_80 uri:" + key30, "", ""},
	} {
		got, ok := readCrypto(c.value)
		if !ok {
			if c.suite != "" {
				t.Errorf("%s: refused", c.name)
			}
			continue
		}
		if got.tag != c.tag || got.suite.name != c.suite {
			t.Errorf("%s: read as %s %s, want %s %s", c.name, got.tag, got.suite.name, c.tag, c.suite)
		}
		if back, ok := readCrypto(got.attribute()); !ok || back != got {
			t.Errorf("%s: written as %q", c.name, got.attribute())
		}
	}
}

// A key gets into no log and no error, whoever prints it.
func TestKeysAreNotPrinted(t *testing.T) {
	k := suites[0].newKey()
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("a key", "key", k)
	fmt.Fprintf(&out, "%v %+v %#v %s", k, k, k, k)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("a key", "key", k)
	for _, form := range []string{hex.EncodeToString(k.bytes[:4]), fmt.Sprint(k.bytes[:4])[1:], string(k.bytes[:4])} {
		if strings.Contains(out.String(), strings.TrimSuffix(form, "]")) {
			t.Errorf("a key was printed: %s", out.String())
		}
	}
}

// FuzzSRTP opens hostile packets under each suite.
func FuzzSRTP(f *testing.F) {
	f.Add(packetOf(1, 1), false)
	f.Add([]byte{0x80, 201, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, true)
	f.Add([]byte{0x9F, 0, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4, 0xBE, 0xDE, 0xFF, 0xFF}, false)
	f.Fuzz(func(t *testing.T, raw []byte, report bool) {
		for _, s := range suites {
			_, b := pair(t, s)
			open := b.open
			if report {
				open = b.openReport
			}
			if _, ok := open(bytes.Clone(raw)); ok {
				t.Fatalf("%s: passes without the key", s.name)
			}
		}
	})
}

// sealByHand encrypts and authenticates a packet as RFC 3711, sections 4.1.1
// and 4.2.1, say, with rollover counter 0.
func sealByHand(t *testing.T, plain, key, salt, authKey []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, 16)
	copy(iv, salt)
	for i := range 4 { // SSRC * 2^64
		iv[4+i] ^= plain[8+i]
	}
	for i := range 2 { // index * 2^16
		iv[12+i] ^= plain[2+i]
	}
	sealed := bytes.Clone(plain)
	cipher.NewCTR(block, iv).XORKeyStream(sealed[headerSize:], plain[headerSize:])
	mac := hmac.New(sha1.New, authKey)
	mac.Write(sealed)
	mac.Write(make([]byte, 4))
	return append(sealed, mac.Sum(nil)[:10]...)
}
