package sip

import (
	"strings"
	"testing"

	gosip "github.com/emiago/sipgo/sip"
)

// What is asked of every message costs no memory: at a thousand calls a second
// each allocation is ten thousand.
func TestJudgingAMessageAllocatesNothing(t *testing.T) {
	invite := []byte(strings.ReplaceAll(`INVITE sip:helpline@192.0.2.1:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK-1
Via: SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bK-0;received=192.0.2.9
From: "Ann \"A\" Reed" <sip:+15550001@192.0.2.2:5060;user=phone>;tag=one
To: <sip:helpline@192.0.2.1:5060>
Call-ID: call
CSeq: 1 INVITE
Contact: <sip:caller@192.0.2.2:5060;transport=udp>
Max-Forwards: 70
Supported: 100rel, timer
Content-Type: application/sdp
Content-Length: 3

v=0`, "\n", "\r\n"))
	m, err := newParser().ParseSIP(invite)
	if err != nil {
		t.Fatal(err)
	}
	req := m.(*gosip.Request)
	for name, judge := range map[string]func() bool{
		"plausible":  func() bool { return plausible(invite) },
		"safe":       func() bool { tidy(req); return safe(req) },
		"addressed":  func() bool { return addressed(req) },
		"answerable": func() bool { return answerable(req) },
		"validate":   func() bool { return validate(req) == nil },
	} {
		if !judge() {
			t.Errorf("%s refuses it", name)
		}
		if n := testing.AllocsPerRun(100, func() { judge() }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
