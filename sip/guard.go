package sip

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// verdict is what a request's proof is worth.
type verdict int

const (
	proofNone  verdict = iota // none given, or for another realm
	proofStale                // right or wrong, but for a nonce that is old, used up or not ours
	proofWrong
	proofRight
)

const (
	nonceLife = 5 * time.Minute
	maxNonces = 1 << 16 // nonces whose use is remembered
)

// guard challenges whoever must prove to be an agent (RFC 3261 section 22, RFC
// 7616, RFC 8760).
//
// Nonces carry their own time under an HMAC, so a challenge costs no memory; and they
// are good only from the address that was challenged: who answers one, rightly or
// not, is there, whatever a datagram may claim. Only one used with a right proof is remembered, with its last count, so that
// a proof cannot be replayed. A name nobody has is checked against a secret
// nobody knows: answer and timing do not tell it from a wrong password.
type guard struct {
	creds  Credentials
	realm  string
	algs   []string
	secret [32]byte

	mu   sync.Mutex
	used map[string]uint64 // nonce: highest count seen
	past map[string]uint64 // the ones before, forgotten at the next turn
	turn time.Time         // when used was begun
	base time.Time         // nonces made before are not taken: their use may be forgotten
}

func newGuard(creds Credentials, realm, digest string) *guard {
	g := &guard{creds: creds, realm: realm, used: make(map[string]uint64)}
	switch digest {
	case "sha-256":
		g.algs = []string{algSHA256}
	case "both":
		g.algs = []string{algSHA256, algMD5}
	default:
		g.algs = []string{algMD5}
	}
	_, _ = rand.Read(g.secret[:])
	return g
}

// knows reports whether there is such an agent, so that a call in his name from
// a trunk's address is challenged. Elsewhere every call is: a stranger cannot
// tell by it who is an agent.
func (g *guard) knows(user string) bool {
	if g.creds == nil {
		return false
	}
	_, ok := g.creds.HA1(user, g.algs[0])
	return ok
}

// challenges gives a WWW-Authenticate header for each algorithm, best first, to be
// answered from an address.
func (g *guard) challenges(from netip.Addr, stale bool) []gosip.Header {
	nonce := g.nonce(time.Now(), from)
	hs := make([]gosip.Header, 0, len(g.algs))
	for _, alg := range g.algs {
		v := fmt.Sprintf(`Digest realm=%s, nonce="%s", algorithm=%s, qop="auth"`, quote(g.realm), nonce, alg)
		if stale {
			v += ", stale=true"
		}
		hs = append(hs, gosip.NewHeader("WWW-Authenticate", v))
	}
	return hs
}

// check judges the proof of a request from an address and gives the user it is of.
func (g *guard) check(req *gosip.Request, from netip.Addr) (user string, v verdict) {
	p := g.proof(req)
	if p == nil {
		return "", proofNone
	}
	user = p["username"]
	if p["qop"] == "auth-int" {
		return user, proofNone // we did not offer it: it is told again what we did
	}
	right := g.right(req, user, p)
	switch {
	case !g.fresh(p["nonce"], time.Now(), from):
		return user, proofStale
	case !right:
		return user, proofWrong
	case !g.use(p):
		return user, proofStale
	}
	return user, proofRight
}

// right reports whether a proof is the user's, whatever its nonce is worth.
func (g *guard) right(req *gosip.Request, user string, p digestParams) bool {
	alg, ok := algorithmOf(p)
	if !ok || !g.asks(alg) || p["qop"] != "" && p["qop"] != "auth" {
		return false
	}
	ha1, known := g.ha1(user, alg)
	want := proofOf(alg, ha1, string(req.Method), p)
	return subtle.ConstantTimeCompare([]byte(want), []byte(p["response"])) == 1 && known
}

// proof finds the answer to a challenge of our realm.
func (g *guard) proof(req *gosip.Request) digestParams {
	for _, h := range headersOf(req, "authorization", "") {
		if p, err := parseDigest(h.Value()); err == nil && p["realm"] == g.realm {
			return p
		}
	}
	return nil
}

func (g *guard) asks(alg string) bool {
	for _, a := range g.algs {
		if a == alg {
			return true
		}
	}
	return false
}

// ha1 gives the user's secret, or for an unknown one something of its shape.
func (g *guard) ha1(user, alg string) (string, bool) {
	mac := hmac.New(sha256.New, g.secret[:])
	_, _ = mac.Write([]byte(user))
	decoy := hex.EncodeToString(mac.Sum(nil))[:hashOf(alg).Size()*2]
	if g.creds != nil {
		if ha1, ok := g.creds.HA1(user, alg); ok {
			return ha1, true
		}
	}
	return decoy, false
}

// A nonce is the time it was made at, something random, since two may be made at one
// time, and the head of an HMAC over both and the address it was made for.
const (
	nonceHead = 8 + 8
	nonceSize = nonceHead + 16
)

// nonce makes one for an address.
func (g *guard) nonce(now time.Time, from netip.Addr) string {
	var head [nonceHead]byte
	binary.BigEndian.PutUint64(head[:], uint64(now.UnixNano()))
	_, _ = rand.Read(head[8:]) // never fails (Go 1.24)
	return base64.RawURLEncoding.EncodeToString(g.sealNonce(head, from))
}

func (g *guard) sealNonce(head [nonceHead]byte, from netip.Addr) []byte {
	addr := from.As16()
	mac := hmac.New(sha256.New, g.secret[:])
	_, _ = mac.Write(head[:])
	_, _ = mac.Write(addr[:])
	return mac.Sum(head[:])[:nonceSize]
}

// fresh reports whether a nonce is ours, for that address, and young enough.
func (g *guard) fresh(nonce string, now time.Time, from netip.Addr) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != nonceSize || subtle.ConstantTimeCompare(b, g.sealNonce([nonceHead]byte(b), from)) != 1 {
		return false
	}
	at := time.Unix(0, int64(binary.BigEndian.Uint64(b)))
	g.mu.Lock()
	defer g.mu.Unlock()
	age := now.Sub(at)
	return age >= 0 && age < nonceLife && !at.Before(g.base)
}

// use notes the count of a right proof and reports whether it is a new one.
// Without a count (RFC 2069) a nonce serves once.
func (g *guard) use(p digestParams) bool {
	count := uint64(1) << 32
	if p["qop"] != "" {
		n, err := strconv.ParseUint(p["nc"], 16, 32)
		if err != nil || n == 0 {
			return false
		}
		count = n
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.turn) > nonceLife || len(g.used) >= maxNonces {
		g.base = g.turn
		g.past, g.used, g.turn = g.used, make(map[string]uint64), now
	}
	nonce := p["nonce"]
	if count <= max(g.used[nonce], g.past[nonce]) {
		return false
	}
	g.used[nonce] = count
	return true
}
