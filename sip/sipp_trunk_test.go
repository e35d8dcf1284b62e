package sip

import (
	"fmt"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	gosip "github.com/emiago/sipgo/sip"
)

// sippTrunk is a server with a trunk whose hosts are these ports of loopback, tried
// in their order.
func sippTrunk(t *testing.T, edit func(*config.Trunk), ports ...int) *Server {
	t.Helper()
	line := config.Trunk{Name: "carrier", Transport: "udp", Domain: "carrier.example", Trusted: true, DownAfter: 1,
		Timeout: config.Duration(time.Hour), Rest: config.Duration(time.Hour)}
	for i, p := range ports {
		line.Hosts = append(line.Hosts, config.TrunkHost{Host: "127.0.0.1", Port: p, Priority: i})
	}
	if edit != nil {
		edit(&line)
	}
	cfg := openConfig("udp")
	cfg.Trunks = []config.Trunk{line}
	return start(t, Options{Config: cfg, closeGrace: patience})
}

// TestSippTrunk: a call finds the one good host of three: one is not there, one
// refuses by 503, one asks for proof and answers.
func TestSippTrunk(t *testing.T) {
	t.Parallel()
	down, full, good := freePort(t), freePort(t), freePort(t)
	refuses := sipp(t, "udp", "trunk-full", []step{hears("INVITE"), answers("503 Full", false), hears("ACK")}, "-p", fmt.Sprint(full))
	takes := sipp(t, "udp", "trunk-good", []step{
		hears("INVITE"),
		sends("SIP/2.0 407 Proof", "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]", "[last_Call-ID:]", "[last_CSeq:]",
			`Proxy-Authenticate: Digest realm="carrier.example", nonce="47364c23432d2e131a5fb210812c", algorithm=MD5, qop="auth"`, "Content-Length: 0", ""),
		hears("ACK"),
		`<recv request="INVITE"><action><ereg regexp="username=.bugle.*response=" search_in="hdr" header="Proxy-Authorization:" check_it="true" assign_to="1"/></action></recv>
<Reference variables="1"/>
`, answers("180 Ringing", false), answers("200 OK", true), hears("ACK"), hears("BYE"), closes()},
		"-p", fmt.Sprint(good))
	listened(t, "udp", full, good)
	s := sippTrunk(t, func(c *config.Trunk) { c.Username, c.Password = "bugle", "secret" }, down, full, good)
	l := dialTrunk(t, s, TrunkCall{Number: "+15550100", From: "+15550199"})
	l.silent(asked(t, s, gosip.INVITE)) // the one that is not there
	wait(t, "answer", l.Answered())
	l.Hangup()
	wantEnd(t, l, 200, ByLocal)
	succeeds(t, refuses)
	succeeds(t, takes)
}

// TestSippTrunkRegisters: a registrar that asks for proof, and is told at the end.
func TestSippTrunkRegisters(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	reply := func(status string, extra ...string) step {
		return sends(append(append([]string{"SIP/2.0 " + status, "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]",
			"[last_Call-ID:]", "[last_CSeq:]"}, extra...), "Content-Length: 0", "")...)
	}
	const ask = `WWW-Authenticate: Digest realm="carrier.example", nonce="47364c23432d2e131a5fb210812c", algorithm=MD5, qop="auth"`
	done := sipp(t, "udp", "trunk-registrar", []step{
		hears("REGISTER"), reply("401 Proof", ask), hears("REGISTER"), reply("200 OK", "[last_Contact:]", "Expires: 600"),
		hears("REGISTER"), reply("401 Proof", ask), hears("REGISTER"), reply("200 OK")}, "-p", fmt.Sprint(port))
	listened(t, "udp", port)
	s := sippTrunk(t, func(c *config.Trunk) { c.Username, c.Password, c.Register = "bugle", "secret", true }, port)
	eventually(t, func() string {
		if s.trunks[0].registered() {
			return ""
		}
		return "not registered"
	})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	succeeds(t, done)
}
