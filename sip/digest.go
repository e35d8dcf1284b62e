package sip

import (
	"crypto/md5" //nolint:gosec // what most phones speak (RFC 3261 section 22)
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// The algorithms of RFC 7616 we know.
const (
	algMD5    = "MD5"
	algSHA256 = "SHA-256"
)

// digestParams are the fields of a challenge or of its answer, names in lower case.
type digestParams map[string]string

// maxDigestHeader bounds what is read of a header from outside.
const maxDigestHeader = 4096

// parseDigest reads the value of a WWW-Authenticate or Authorization header
// of scheme Digest.
func parseDigest(value string) (digestParams, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil, fmt.Errorf("authentication scheme is not Digest")
	}
	if len(value) > maxDigestHeader {
		return nil, errors.New("authentication header is too long")
	}
	p := make(digestParams)
	for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, errors.New("authentication field without a value")
		}
		name = strings.ToLower(strings.TrimSpace(name))
		val, tail, err := digestValue(strings.TrimLeft(after, " \t"))
		if err != nil {
			return nil, err
		}
		if _, twice := p[name]; twice {
			return nil, errors.New("authentication field given twice")
		}
		p[name], rest = val, tail
	}
	return p, nil
}

// digestValue takes a token or quoted string off the front.
func digestValue(s string) (val, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, ',')
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("authentication field without closing quote")
}

func hashOf(algorithm string) hash.Hash {
	if algorithm == algSHA256 {
		return sha256.New()
	}
	return md5.New() //nolint:gosec // see the import
}

// hexHash hashes the parts joined by colons.
func hexHash(algorithm string, parts ...string) string {
	h := hashOf(algorithm)
	for i, p := range parts {
		if i > 0 {
			_, _ = h.Write([]byte{':'})
		}
		_, _ = h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// HA1 hashes a user's password the way Credentials keeps it: the hex hash of
// "user:realm:password" under "MD5" or "SHA-256" (RFC 7616 section 3.4.2).
func HA1(algorithm, user, realm, password string) string {
	return hexHash(algorithm, user, realm, password)
}

// proofOf computes the response field of an answer (RFC 7616 section 3.4.1).
func proofOf(algorithm, ha1, method string, p digestParams) string {
	ha2 := hexHash(algorithm, method, p["uri"])
	if p["qop"] == "" {
		return hexHash(algorithm, ha1, p["nonce"], ha2)
	}
	return hexHash(algorithm, ha1, p["nonce"], p["nc"], p["cnonce"], p["qop"], ha2)
}

// algorithmOf gives the algorithm a challenge or an answer names; none is MD5.
func algorithmOf(p digestParams) (string, bool) {
	switch alg := strings.ToUpper(p["algorithm"]); alg {
	case "", algMD5:
		return algMD5, true
	case algSHA256:
		return algSHA256, true
	default:
		return alg, false
	}
}

// prove answers the challenge of a 401 or 407: SHA-256 if it is offered, else
// MD5. It gives the header to put into the request.
func prove(res *gosip.Response, method gosip.RequestMethod, uri string, auth Auth) (gosip.Header, error) {
	ask, give := "www-authenticate", "Authorization"
	if res.StatusCode == 407 {
		ask, give = "proxy-authenticate", "Proxy-Authorization"
	}
	var best digestParams
	for _, h := range headersOf(res, ask, "") {
		p, err := parseDigest(h.Value())
		if err != nil {
			continue
		}
		if alg, ok := algorithmOf(p); ok && (best == nil || alg == algSHA256) {
			best = p
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no challenge in the %d can be answered", res.StatusCode)
	}
	return gosip.NewHeader(give, answerTo(best, method, uri, auth)), nil
}

// answerTo writes the header that answers a challenge.
func answerTo(ask digestParams, method gosip.RequestMethod, uri string, auth Auth) string {
	alg, _ := algorithmOf(ask)
	p := digestParams{"nonce": ask["nonce"], "uri": uri}
	for offer := range strings.SplitSeq(ask["qop"], ",") {
		if strings.TrimSpace(offer) == "auth" {
			p["qop"], p["nc"], p["cnonce"] = "auth", "00000001", rand.Text()
		}
	}
	response := proofOf(alg, HA1(alg, auth.User, ask["realm"], auth.Password), string(method), p)
	var b strings.Builder
	fmt.Fprintf(&b, `Digest username=%s, realm=%s, nonce=%s, uri=%s, response="%s", algorithm=%s`,
		quote(auth.User), quote(ask["realm"]), quote(p["nonce"]), quote(uri), response, alg)
	if p["qop"] != "" {
		fmt.Fprintf(&b, `, qop=auth, nc=%s, cnonce="%s"`, p["nc"], p["cnonce"])
	}
	if opaque, ok := ask["opaque"]; ok {
		fmt.Fprintf(&b, `, opaque=%s`, quote(opaque))
	}
	return b.String()
}

func quote(s string) string { return `"` + quoted.Replace(s) + `"` }

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "", "\x00", "")
