package sip

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// somewhere is where tests ask from that are not about that.
var somewhere = netip.MustParseAddr("127.0.0.1")

// kept are Credentials that are hashes already, as those of a node are.
type kept map[string]string

func (k kept) HA1(user, _ string) (string, bool) {
	ha1, ok := k[user]
	return ha1, ok
}

// TestGuardDoesTheSameWork holds that a wrong password of an agent and that of a
// name nobody has cost the same and are judged the same: neither the time of an
// answer nor the answer tells them apart. Work is counted in allocations, which a
// busy machine does not change.
func TestGuardDoesTheSameWork(t *testing.T) {
	for _, alg := range []string{"md5", "sha-256"} {
		g := newGuard(kept{"anna": HA1("MD5", "anna", "d", "secret")}, "d", alg)
		work := func(user string) float64 {
			p := digestParams{"realm": "d", "nonce": g.nonce(time.Now(), somewhere), "qop": "auth", "algorithm": g.algs[0]}
			req := gosip.NewRequest(gosip.REGISTER, gosip.Uri{Scheme: "sip", Host: "d"})
			req.AppendHeader(gosip.NewHeader("Authorization", answerTo(p, gosip.REGISTER, "sip:d", Auth{user, "guess"})))
			return testing.AllocsPerRun(100, func() {
				if _, v := g.check(req, somewhere); v != proofWrong {
					t.Errorf("%s: a wrong password of %s is judged %d", alg, user, v)
				}
			})
		}
		if known, unknown := work("anna"), work("nobo"); known != unknown {
			t.Errorf("%s: %v allocations for an agent, %v for nobody", alg, known, unknown)
		}
	}
}

// TestChallengesOfOneInstant holds that two phones behind one address, or two requests of
// one, that are challenged at the same time are both taken.
func TestChallengesOfOneInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(kept{"anna": HA1("MD5", "anna", "d", "secret"), "ben": HA1("MD5", "ben", "d", "secret")}, "d", "md5")
		var asked []digestParams
		for range 2 {
			p, err := parseDigest(g.challenges(somewhere, false)[0].Value())
			if err != nil {
				t.Fatal(err)
			}
			asked = append(asked, p)
		}
		for i, user := range []string{"anna", "ben"} {
			req := gosip.NewRequest(gosip.REGISTER, gosip.Uri{Scheme: "sip", Host: "d"})
			req.AppendHeader(gosip.NewHeader("Authorization", answerTo(asked[i], gosip.REGISTER, "sip:d", Auth{user, "secret"})))
			if _, v := g.check(req, somewhere); v != proofRight {
				t.Errorf("%s's proof is judged %d", user, v)
			}
		}
	})
}
