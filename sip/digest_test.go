package sip

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// The example of RFC 7616 section 3.9.1.
func TestProofOfTheRFC(t *testing.T) {
	p := digestParams{
		"uri": "/dir/index.html", "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "nc": "00000001",
		"cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "qop": "auth",
	}
	for alg, want := range map[string]string{
		algMD5:    "8ca523f5e9506fed4657c9700eebdbec",
		algSHA256: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		ha1 := HA1(alg, "Mufasa", "http-auth@example.org", "Circle of Life")
		if got := proofOf(alg, ha1, "GET", p); got != want {
			t.Errorf("%s: %s", alg, got)
		}
	}
	// RFC 2617 section 3.5 without qop is RFC 2069's.
	old := digestParams{"uri": "/dir/index.html", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
	if got := proofOf(algMD5, HA1(algMD5, "Mufasa", "testrealm@host.com", "Circle Of Life"), "GET", old); got != "670fd8c2df070c60b045671b8b24ff02" {
		t.Errorf("without qop: %s", got)
	}
}

func TestParseDigest(t *testing.T) {
	p, err := parseDigest(`digest username="a\"b\\c", realm = "r, s" ,nonce=n1, NC=00000001,  qop=auth,`)
	if err != nil || fmt.Sprint(p) != fmt.Sprint(digestParams{"username": `a"b\c`, "realm": "r, s", "nonce": "n1", "nc": "00000001", "qop": "auth"}) {
		t.Errorf("%v %v", p, err)
	}
	for _, bad := range []string{"", "Basic abc", `Digest username`, `Digest username="a`, `Digest a=1, a=2`, "Digest x=" + strings.Repeat("y", maxDigestHeader)} {
		if _, err := parseDigest(bad); err == nil {
			t.Errorf("%.30q was taken", bad)
		}
	}
}

// request with proof, as the guard sees it.
func withProof(t *testing.T, nonce, nc string, change func(digestParams)) *gosip.Request {
	t.Helper()
	p := digestParams{"username": "anna", "realm": "r", "nonce": nonce, "uri": "sip:h", "qop": "auth", "nc": nc, "cnonce": "c", "algorithm": "MD5"}
	if change != nil {
		change(p)
	}
	if p["response"] == "" {
		p["response"] = proofOf(algMD5, HA1(algMD5, "anna", "r", "pw"), "REGISTER", p)
	}
	var fields []string
	for k, v := range p {
		fields = append(fields, k+"="+quote(v))
	}
	return parse(t, "REGISTER sip:h SIP/2.0\r\nAuthorization: Digest "+strings.Join(fields, ", ")+"\r\n\r\n")
}

func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(passwords{"r", map[string]string{"anna": "pw"}}, "r", "md5")
		want := func(v verdict, nonce, nc string, change func(digestParams)) {
			t.Helper()
			if _, got := g.check(withProof(t, nonce, nc, change), somewhere); got != v {
				t.Errorf("verdict %d, want %d", got, v)
			}
		}
		time.Sleep(time.Hour)
		n := g.nonce(time.Now(), somewhere)
		want(proofRight, n, "00000001", nil)
		want(proofStale, n, "00000001", nil) // replayed
		want(proofRight, n, "00000003", nil)
		want(proofStale, n, "00000002", nil)
		want(proofStale, n, "zz", nil)
		want(proofWrong, n, "00000004", func(p digestParams) { p["response"] = "0" })
		want(proofWrong, n, "00000004", func(p digestParams) { p["username"] = "nobody" })
		want(proofWrong, n, "00000004", func(p digestParams) { p["algorithm"] = "SHA-256" }) // not asked for
		want(proofWrong, n, "00000004", func(p digestParams) { p["algorithm"] = "rot13" })
		want(proofNone, n, "00000004", func(p digestParams) { p["qop"] = "auth-int" })
		want(proofNone, n, "00000004", func(p digestParams) { p["realm"] = "else" })
		want(proofStale, "forged", "00000001", nil)
		want(proofStale, g.nonce(time.Now().Add(time.Minute), somewhere), "00000001", nil)
		plain := g.nonce(time.Now().Add(-time.Second), somewhere)
		noQop := func(p digestParams) { delete(p, "qop"); delete(p, "nc"); delete(p, "cnonce") }
		want(proofRight, plain, "", noQop)
		want(proofStale, plain, "", noQop) // a nonce without a count serves once
		time.Sleep(nonceLife)
		want(proofStale, n, "00000009", nil)
		if v := g.challenges(somewhere, true)[0].Value(); !strings.Contains(v, "stale=true") {
			t.Error(v)
		}
	})
}

// TestGuardForgetsSafely fills the memory of used nonces: what is forgotten is
// not taken again.
func TestGuardForgetsSafely(t *testing.T) {
	t.Parallel()
	g := newGuard(passwords{"r", map[string]string{"anna": "pw"}}, "r", "md5")
	g.turn = time.Now()
	first := g.nonce(time.Now(), somewhere)
	if !g.fresh(first, time.Now(), somewhere) || !g.use(digestParams{"nonce": first, "qop": "auth", "nc": "1"}) {
		t.Fatal("a new nonce is refused")
	}
	for i := range 2*maxNonces + 1 {
		g.use(digestParams{"nonce": fmt.Sprint(i), "qop": "auth", "nc": "1"})
	}
	if len(g.used)+len(g.past) > 2*maxNonces {
		t.Errorf("%d nonces remembered", len(g.used)+len(g.past))
	}
	if g.fresh(first, time.Now(), somewhere) && g.use(digestParams{"nonce": first, "qop": "auth", "nc": "1"}) {
		t.Error("a used nonce was taken again")
	}
}

func TestProvePrefersSHA256(t *testing.T) {
	res := gosip.NewResponse(407, "Proxy Authentication Required")
	for _, v := range []string{`Basic realm="x"`, `Digest realm="r", nonce="1", qop="auth,auth-int"`, `Digest realm="r", nonce="2", algorithm=SHA-256, opaque="o\"p"`, `Digest realm="r", nonce="3", algorithm=MD5-sess`} {
		res.AppendHeader(gosip.NewHeader("Proxy-Authenticate", v))
	}
	h, err := prove(res, gosip.INVITE, "sip:x@h", Auth{`a"b`, "pw"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseDigest(h.Value())
	if err != nil || h.Name() != "Proxy-Authorization" || p["nonce"] != "2" || p["algorithm"] != "SHA-256" || p["username"] != `a"b` || p["opaque"] != `o"p` {
		t.Errorf("%s: %v %v", h.Name(), p, err)
	}
	if _, err := prove(gosip.NewResponse(401, ""), gosip.INVITE, "sip:x@h", Auth{}); err == nil {
		t.Error("no challenge was answered")
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(`Digest username="a", realm="r", nonce="n", uri="sip:h", response="0", qop=auth, nc=00000001`)
	f.Add(`Digest a="\`)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseDigest(s)
		if err == nil && p == nil {
			t.Error("nothing and no error")
		}
	})
}
