package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestNoOpenRelay holds that nobody has us send a message to a third party, by
// whatever a request may name one: a stranger not at all, a trunk not before the
// room above dials.
func TestNoOpenRelay(t *testing.T) {
	for name, message := range map[string]string{
		"Request-URI":          "OPTIONS sip:x@%victim SIP/2.0\r\n%head\r\nCSeq: 1 OPTIONS",
		"Request-URI, INVITE":  "INVITE sip:x@%victim SIP/2.0\r\n%head\r\nCSeq: 1 INVITE\r\nContact: <sip:c@%victim>",
		"maddr":                "OPTIONS sip:x@%server;maddr=127.0.0.1;port=%port SIP/2.0\r\n%head\r\nCSeq: 1 OPTIONS",
		"telephone":            "INVITE tel:+19005550199 SIP/2.0\r\n%head\r\nCSeq: 1 INVITE\r\nContact: <sip:c@%victim>",
		"Route":                "OPTIONS sip:x@%server SIP/2.0\r\n%head\r\nCSeq: 1 OPTIONS\r\nRoute: <sip:%server;lr>, <sip:%victim;lr>",
		"Route, INVITE":        "INVITE sip:x@%server SIP/2.0\r\n%head\r\nCSeq: 1 INVITE\r\nRoute: <sip:%victim;lr>\r\nContact: <sip:c@%victim>",
		"strict Route":         "INVITE sip:%server SIP/2.0\r\n%head\r\nCSeq: 1 INVITE\r\nRoute: <sip:x@%victim>\r\nContact: <sip:c@%victim>",
		"Record-Route":         "INVITE sip:x@%server SIP/2.0\r\n%head\r\nCSeq: 1 INVITE\r\nRecord-Route: <sip:%victim;lr>\r\nContact: <sip:c@%victim>",
		"Contact and Path":     "REGISTER sip:%server SIP/2.0\r\n%head\r\nCSeq: 1 REGISTER\r\nPath: <sip:%victim;lr>\r\nContact: <sip:c@%victim>",
		"Refer-To":             "REFER sip:x@%server SIP/2.0\r\n%head\r\nCSeq: 1 REFER\r\nRefer-To: <sip:x@%victim>\r\nContact: <sip:c@%victim>",
		"message":              "MESSAGE sip:x@%victim SIP/2.0\r\n%head\r\nCSeq: 1 MESSAGE\r\nRoute: <sip:%victim;lr>",
		"subscription":         "SUBSCRIBE sip:x@%victim SIP/2.0\r\n%head\r\nCSeq: 1 SUBSCRIBE\r\nEvent: refer\r\nContact: <sip:c@%victim>",
		"notification":         "NOTIFY sip:x@%victim SIP/2.0\r\n%head\r\nCSeq: 1 NOTIFY\r\nEvent: refer\r\nContact: <sip:c@%victim>",
		"Via's maddr":          "OPTIONS sip:x@%server SIP/2.0\r\nVia: SIP/2.0/UDP h;maddr=127.0.0.1;rport=%port;branch=z9hG4bKm\r\n%names\r\nCSeq: 1 OPTIONS",
		"Via's received":       "OPTIONS sip:x@%server SIP/2.0\r\nVia: SIP/2.0/UDP h;received=127.0.0.1;rport=%port;branch=z9hG4bKm\r\n%names\r\nCSeq: 1 OPTIONS",
		"unreadable":           "OPTIONS sip:x@%server SIP/2.0\r\nVia: SIP/2.0/UDP %victim;;,\r\n%names\r\nCSeq: x OPTIONS",
		"answer to nobody":     "SIP/2.0 200 OK\r\n%head\r\nVia: SIP/2.0/UDP %victim;branch=z9hG4bKv\r\nCSeq: 1 INVITE\r\nContact: <sip:c@%victim>",
		"challenge of nothing": "SIP/2.0 401 Who\r\n%head\r\nCSeq: 1 INVITE\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"",
		"replaced":             "INVITE sip:x@%server SIP/2.0\r\n%head\r\nCSeq: 1 INVITE\r\nReplaces: a;to-tag=b;from-tag=c\r\nContact: <sip:c@%victim>",
	} {
		for _, trusted := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", stranger", true: ", trunk"}[trusted], func(t *testing.T) {
				virtual(t, func(t *testing.T, e *ether) {
					o := Options{Config: openConfig(), Handler: newDesk(func(l *Leg) { _ = l.Reject(404, "") })}
					if !trusted {
						o.Config.Trunks = o.Config.Trunks[:0]
					}
					s := startIn(t, e, o)
					w, victim := newWire(t, s), e.listen(nil)
					_, port, _ := strings.Cut(victim.addr.String(), ":")
					names := "From: <sip:a@x>;tag=1\r\nTo: <sip:x@%server>\r\nCall-ID: relay"
					fill := strings.NewReplacer("%server", w.to.String(), "%victim", victim.addr.String(), "%port", port)
					w.raw(fill.Replace(strings.NewReplacer("%head", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bKr\r\n"+names, "%names", names).Replace(message) + "\r\n\r\n"))
					time.Sleep(time.Minute)
					synctest.Wait()
					if n := len(victim.in); n != 0 {
						t.Errorf("the victim got %d messages, first %q", n, <-victim.in)
					}
				})
			})
		}
	}
}
