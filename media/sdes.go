package media

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/srtp/v3"
)

// SRTP says whether the sound of a leg is encrypted. Keys are told in SDP
// (SDES, RFC 4568), so they are as secret as the signalling is.
type SRTP uint8

// The degrees.
const (
	// SRTPOff offers and takes plain RTP only.
	SRTPOff SRTP = iota
	// SRTPOffer offers keys along with plain RTP (RFC 8643) and takes what the
	// far end chooses or offers.
	SRTPOffer
	// SRTPRequire offers and takes encrypted RTP only.
	SRTPRequire
)

// SRTPNamed gives the degree of a name as the configuration writes it: off, offer
// or require. Any other name is off.
func SRTPNamed(name string) SRTP {
	return SRTP(max(0, slices.Index([]string{SRTPOff: "off", SRTPOffer: "offer", SRTPRequire: "require"}, name)))
}

// suite is a crypto-suite of RFC 4568 or RFC 7714.
type suite struct {
	name      string
	profile   srtp.ProtectionProfile
	key, salt int // bytes
	tag       int // bytes at the end of an RTP packet
}

// suites are those we know, in the order of our offers: first those that cost
// least, a quarter of the others. Of an offer we take its own first.
var suites = [...]*suite{
	{"AEAD_AES_128_GCM", srtp.ProtectionProfileAeadAes128Gcm, 16, 12, 16},
	{"AEAD_AES_256_GCM", srtp.ProtectionProfileAeadAes256Gcm, 32, 12, 16},
	{"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80, 16, 14, 10},
	{"AES_CM_128_HMAC_SHA1_32", srtp.ProtectionProfileAes128CmHmacSha1_32, 16, 14, 4},
}

// masterKey is a suite's key with the salt behind it. It shows itself to nobody
// who logs or prints it.
type masterKey struct{ bytes [44]byte }

// String keeps the key from being printed.
func (masterKey) String() string { return "[key]" }

// GoString keeps the key from being printed.
func (masterKey) GoString() string { return "[key]" }

// LogValue keeps the key from being logged.
func (masterKey) LogValue() slog.Value { return slog.StringValue("[key]") }

// newKey makes a key at random.
func (s *suite) newKey() masterKey {
	var k masterKey
	_, _ = rand.Read(k.bytes[:s.key+s.salt]) // never fails (Go 1.24)
	return k
}

// cryptoLine is one crypto attribute (RFC 4568, section 9).
type cryptoLine struct {
	tag   string
	suite *suite
	key   masterKey
}

// attribute writes the line's value.
func (c *cryptoLine) attribute() string {
	key := c.key.bytes[:c.suite.key+c.suite.salt]
	return c.tag + " " + c.suite.name + " inline:" + base64.StdEncoding.EncodeToString(key)
}

// readCrypto reads a line's value. False: it is broken, or wants something that
// we do not do: another suite, several keys, or a session parameter that must
// be understood. How long the far end's key lasts is the far end's to mind.
func readCrypto(value string) (cryptoLine, bool) {
	fields := strings.Fields(value)
	if len(fields) < 3 || !isTag(fields[0]) {
		return cryptoLine{}, false
	}
	c := cryptoLine{tag: fields[0]}
	for _, s := range suites {
		if s.name == fields[1] {
			c.suite = s
		}
	}
	inline, ok := strings.CutPrefix(fields[2], "inline:")
	if c.suite == nil || !ok {
		return cryptoLine{}, false
	}
	text, rest, _ := strings.Cut(inline, "|")
	// Some phones leave out the padding of base64.
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(key) != c.suite.key+c.suite.salt || strings.Contains(rest, ":") {
		return cryptoLine{}, false // what has a colon is an MKI: several keys
	}
	copy(c.key.bytes[:], key)
	for _, parameter := range fields[3:] {
		if !strings.HasPrefix(parameter, "WSH=") && !strings.HasPrefix(parameter, "-") {
			return cryptoLine{}, false
		}
	}
	return c, true
}

// isTag tells whether a field is a crypto line's number, of up to nine digits.
func isTag(field string) bool {
	return len(field) <= 9 && strings.Trim(field, "0123456789") == ""
}

// sdes is one end's part in agreeing on encryption.
type sdes struct {
	mode SRTP
	// confidential says that the signalling may carry keys.
	confidential bool

	ours   [len(suites)]masterKey // made when first told
	used   [len(suites)]bool      // has encrypted something, or may have
	agreed *secure                // last
}

// ErrNotConfidential says that encryption is required for a leg whose
// signalling would show the keys to whoever reads along.
var ErrNotConfidential = &SDPError{488, "encryption is required, but the signalling would show its keys"}

// able tells whether keys may be offered and taken.
func (d *sdes) able() bool { return d.mode != SRTPOff && d.confidential }

// offer gives what a line of ours offers: the profile and a key for each suite.
// Keys stay the same from offer to offer, so that offering again what is in force
// changes nothing; only one that was in use before the present one is renewed.
func (d *sdes) offer() (protocol []string, lines []cryptoLine, err error) {
	protocol = []string{"RTP", "AVP"}
	if d.mode == SRTPRequire {
		protocol[1] = "SAVP"
	}
	if !d.able() {
		if d.mode == SRTPRequire {
			return nil, nil, ErrNotConfidential
		}
		return protocol, nil, nil
	}
	for i, s := range suites {
		lines = append(lines, cryptoLine{strconv.Itoa(i + 1), s, d.key(i, d.agreed != nil && d.agreed.suite == s)})
	}
	return protocol, lines, nil
}

// choose gives the crypto line by which an audio line of the far end's may be
// agreed to; nil for plain RTP. False: it may not.
func (d *sdes) choose(a *remoteAudio, answers bool) (*cryptoLine, bool) {
	if d.able() {
		for i := range a.crypto {
			c := &a.crypto[i]
			if !answers || c.tag == strconv.Itoa(1+slices.Index(suites[:], c.suite)) {
				return c, true
			}
		}
	}
	return nil, !a.secure && d.mode != SRTPRequire
}

// answerWith gives our crypto line for the far end's: of the same tag and suite.
// A far end that has renewed its key gets a new one of ours.
func (d *sdes) answerWith(theirs *cryptoLine) *cryptoLine {
	i := slices.Index(suites[:], theirs.suite)
	kept := d.agreed != nil && d.agreed.suite == theirs.suite && d.agreed.remote == theirs.key
	return &cryptoLine{theirs.tag, theirs.suite, d.key(i, kept)}
}

// key gives our key for a suite: the one there is, unless it has been used and is
// not in use any more. Its counters may be gone, and with them what keeps
// the same key stream from being used twice.
func (d *sdes) key(i int, inUse bool) masterKey {
	if d.ours[i] == (masterKey{}) || d.used[i] && !inUse {
		d.ours[i], d.used[i] = suites[i].newKey(), false
	}
	return d.ours[i]
}

// agree gives the encryption that comes of the far end's crypto line.
func (d *sdes) agree(theirs *cryptoLine) (*secure, error) {
	i := slices.Index(suites[:], theirs.suite)
	next, err := newSecure(theirs.suite, d.ours[i], theirs.key, d.agreed)
	if err == nil {
		d.agreed, d.used[i] = next, true
	}
	return next, err
}
