package sip

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// TestTrunkCaller: who an INVITE of a trunk is from, and for.
func TestTrunkCaller(t *testing.T) {
	const from = "From: <sip:030123456@carrier.example>;tag=1"
	for _, test := range []struct {
		name     string
		trusted  bool
		country  string
		uri      string
		headers  []string
		caller   string
		withheld bool
		number   string
	}{
		{"as it comes", true, "", "030999999", []string{from}, "030123456", false, "030999999"},
		{"international", true, "DE", "030999999", []string{from}, "+4930123456", false, "+4930999999"},
		{"asserted", true, "DE", "helpline", []string{from, `P-Asserted-Identity: "A" <sip:+18005550100@c.example>, <tel:+1>`}, "+18005550100", false, "helpline"},
		{"asserted by tel", true, "DE", "helpline", []string{from, "P-Asserted-Identity: <tel:+18005550100>"}, "+18005550100", false, "helpline"},
		{"not trusted", false, "DE", "helpline", []string{from, "P-Asserted-Identity: <sip:+18005550100@c.example>"}, "+4930123456", false, "helpline"},
		{"private", true, "DE", "helpline", []string{from, "P-Asserted-Identity: <sip:+18005550100@c.example>", "Privacy: id;critical"}, "", true, "helpline"},
		{"private user", true, "DE", "helpline", []string{from, "Privacy: session; USER"}, "", true, "helpline"},
		{"not private", true, "DE", "helpline", []string{from, "Privacy: none"}, "+4930123456", false, "helpline"},
		{"anonymous", true, "DE", "helpline", []string{`From: "Anonymous" <sip:Anonymous@anonymous.invalid>;tag=1`}, "", true, "helpline"},
		{"anonymous host", true, "DE", "helpline", []string{"From: <sip:x@anonymous.invalid>;tag=1", "P-Asserted-Identity: <sip:+18005550100@c.example>"}, "", true, "helpline"},
		{"registered", true, "DE", "bugle", []string{from}, "+4930123456", false, "+4930777777"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := openConfig("udp")
			cfg.Trunks = []config.Trunk{{Name: "carrier", Addresses: []netip.Prefix{loopback}, Trusted: test.trusted, Country: test.country,
				Username: "bugle", Password: "x", Register: true}}
			d := newDesk(nil)
			bubble(t, Options{Config: cfg, Handler: d}, func(t *testing.T, s *Server) {
				w := newWire(t, s)
				w.send(append([]string{"INVITE sip:" + test.uri + "@" + w.to.String() + " SIP/2.0",
					"Via: SIP/2.0/UDP " + w.addr() + ";branch=z9hG4bK1", "To: <sip:030777777@d.example>", "Call-ID: " + strings.ReplaceAll(test.name, " ", "-"),
					"CSeq: 1 INVITE", "Contact: <sip:c@" + w.addr() + ">", "Max-Forwards: 70"}, test.headers...)...)
				l := next(t, "leg", d.legs)
				if l.Caller() != test.caller || l.Withheld() != test.withheld || l.Number() != test.number {
					t.Errorf("caller %q (withheld %t) for %q, want %q (%t) for %q", l.Caller(), l.Withheld(), l.Number(), test.caller, test.withheld, test.number)
				}
				_ = l.Reject(486, "")
				w.recv("SIP/2.0 486")
				wait(t, "end", l.Done())
			})
		})
	}
}

// TestTrunkIdentity: what we write when we call.
func TestTrunkIdentity(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*config.Trunk)
		call TrunkCall
		want map[string]string // "" as name: the Request-URI
	}{
		{"plain", func(c *config.Trunk) { c.Trusted = false }, TrunkCall{Number: "+4930123456", From: "+18005550100", Display: "Helpline"}, map[string]string{
			"": "sip:+4930123456@carrier.example", "From": `"Helpline" <sip:+18005550100@carrier.example>`, "P-Asserted-Identity": "", "Privacy": ""}},
		{"trusted", nil, TrunkCall{Number: "+4930123456", From: "+18005550100"}, map[string]string{
			"P-Asserted-Identity": "<sip:+18005550100@carrier.example>", "Privacy": ""}},
		{"withheld", nil, TrunkCall{Number: "+4930123456", From: "+18005550100", Display: "Helpline", Withheld: true}, map[string]string{
			"From": `"Anonymous" <sip:anonymous@anonymous.invalid>`, "P-Asserted-Identity": "<sip:+18005550100@carrier.example>", "Privacy": "id"}},
		{"withheld from a stranger", func(c *config.Trunk) { c.Trusted = false }, TrunkCall{Number: "+4930123456", From: "+18005550100", Withheld: true}, map[string]string{
			"From": `"Anonymous" <sip:anonymous@anonymous.invalid>`, "P-Asserted-Identity": "", "Privacy": "id"}},
		{"national", func(c *config.Trunk) { c.Country, c.Dial, c.Prefix = "DE", "national", "0" }, TrunkCall{Number: "+4930123456", From: "+4930999999"}, map[string]string{
			"": "sip:0030123456@carrier.example", "From": "<sip:030999999@carrier.example>"}},
		{"e164", func(c *config.Trunk) { c.Country, c.Dial = "DE", "e164" }, TrunkCall{Number: "030123456", From: "030999999"}, map[string]string{
			"": "sip:4930123456@carrier.example", "From": "<sip:4930999999@carrier.example>"}},
		{"account", func(c *config.Trunk) { c.Username, c.Password = "bugle", "x" }, TrunkCall{Number: "112"}, map[string]string{
			"": "sip:112@carrier.example", "From": "<sip:bugle@carrier.example>"}},
		{"hostile", nil, TrunkCall{Number: "1>\r\nX: y", From: "a@b>\r\n"}, map[string]string{
			"": "sip:1%3E%0D%0AX%3A%20y@carrier.example", "X": "", "P-Asserted-Identity": "<sip:a%40b%3E%0D%0A@carrier.example>"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines(t, 1, test.edit, func(t *testing.T, s *Server, hosts []*wire) {
				l := dialTrunk(t, s, test.call)
				invite := hosts[0].recv("INVITE ")
				for name, want := range test.want {
					got := field(invite, name)
					if name == "" {
						got = strings.Fields(invite)[1]
					}
					got, _, _ = strings.Cut(got, ";tag=")
					if got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				if test.call.Withheld && strings.Contains(field(invite, "Contact")+field(invite, "From"), "8005550100") {
					t.Errorf("the number is told: %s", invite)
				}
				hosts[0].answer(invite, "486 Busy", "x")
				wantEnd(t, l, 486, ByRemote)
				time.Sleep(time.Minute)
			})
		})
	}
}
