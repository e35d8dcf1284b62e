package sip

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// house is who is no secret.
func house(user string) bool { return user == "anna" || user == "+498001112" || user == "*70" }

func TestMaskHeaders(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`From: "Maria Schmidt" <sip:+4930123456@carrier.example;user=phone>;tag=a1`, `From: "…" <sip:…56@carrier.example;user=phone>;tag=a1`},
		{`f: Maria Schmidt <sip:+4930123456@carrier.example>`, `f: … … <sip:…56@carrier.example>`},
		{`From: sip:%2B4930123456@carrier.example;tag=x`, `From: sip:…56@carrier.example;tag=x`},
		{`From: "Ma\"ria <sip:x@y>" <sips:maria@h:5061>;x-id=4711`, `From: "…" <sips:…@h:5061>;x-id=…`},
		{`To: <sip:anna@help.example>`, `To: <sip:anna@help.example>`},
		{`To: <sip:+498001112;npdi=yes@help.example>`, `To: <sip:+498001112…@help.example>`},
		{`To: <tel:+4930123456;phone-context=+49>`, `To: <tel:…56;phone-context=…>`},
		{`To: <tel:+498001112>`, `To: <tel:+498001112>`},
		{`To: <sip:112@h>`, `To: <sip:…@h>`},
		{`To: <sip:+4930123456>`, `To: <sip:…>`},
		{`To: <sip:anna:secret@h>`, `To: <sip:anna…@h>`},
		{`Contact: *`, `Contact: *`},
		{`m: <sip:anna@192.0.2.7:5062;transport=tcp;x=y>;+sip.instance="<urn:uuid:1>";reg-id=1;expires=60, <sip:x@[2001:db8::1]>`,
			`m: <sip:anna@192.0.2.7:5062;transport=tcp;x=…>;+sip.instance=…;reg-id=1;expires=60, <sip:…@[2001:db8::1]>`},
		{`P-Asserted-Identity: "M" <sip:+4930123456@h>, <tel:+4930123456>`, `P-Asserted-Identity: "…" <sip:…56@h>, <tel:…56>`},
		{`Diversion: <sip:+4930999888@h>;reason=unconditional;counter=1`, `Diversion: <sip:…88@h>;reason=unconditional;counter=1`},
		{`History-Info: <sip:+4930123456@h?Reason=SIP%3Bcause%3D302>;index=1`, `History-Info: <sip:…56@h?…>;index=1`},
		{`Refer-To: <sip:anna@h?Replaces=x%3Bto-tag%3Dy>`, `Refer-To: <sip:anna@h?…>`},
		{`Refer-To: <mailto:maria@example.org>`, `Refer-To: <…>`},
		{`Route: <sip:edge.example;lr>, <sip:10.0.0.1:5060;lr;ftag=abc>`, `Route: <sip:edge.example;lr>, <sip:10.0.0.1:5060;lr;ftag=…>`},
		{`Route: <sip:sbc-4930123456.example;lr>`, `Route: <sip:sbc-….example;lr>`},
		{`Via: SIP/2.0/UDP 192.0.2.7:5062;rport=5062;received=192.0.2.8;branch=z9hG4bK-1;i=9, SIP/2.0/TLS edge.example;branch=z9`,
			`Via: SIP/2.0/UDP 192.0.2.7:5062;rport=5062;received=192.0.2.8;branch=z9hG4bK-1;i=…, SIP/2.0/TLS edge.example;branch=z9`},
		{`Via: SIP/2.0/UDP 4930123456`, `Via: SIP/2.0/UDP …`},
		{`Authorization: Digest username="anna", realm="help.example", nonce="abc", uri="sip:help.example", response="0f1e", cnonce="c", nc=00000001, qop=auth, algorithm=MD5, opaque="o"`,
			`Authorization: Digest username="anna", realm="help.example", nonce=…, uri="sip:help.example", response=…, cnonce=…, nc=00000001, qop=auth, algorithm=MD5, opaque=…`},
		{`Authorization: Basic bWFyaWE6c2VjcmV0`, `Authorization: Basic …`},
		{`WWW-Authenticate: Digest realm="help.example", nonce="abc", algorithm=SHA-256, qop="auth", stale=true`,
			`WWW-Authenticate: Digest realm="help.example", nonce=…, algorithm=SHA-256, qop="auth", stale=true`},
		{`CSeq: 314159 INVITE`, `CSeq: 314159 INVITE`},
		{`User-Agent: Yealink SIP-T46S 66.86.0.15 805ec0123456`, `User-Agent: Yealink SIP-T46S 66.86.0.15 …`},
		{`User-Agent: Linphone iOS/5.2.1 (Jane's iPhone) LinphoneSDK/5.3.1-pre~12+g2fe`, `User-Agent: Linphone iOS/5.2.1 … iPhone) LinphoneSDK/5.3.1-pre~12+g2fe`},
		{`User-Agent: LinphoneAndroid/5.2.5 (Jane Roe "Pixel" 7) LinphoneSDK/5.3`, `User-Agent: LinphoneAndroid/5.2.5 … LinphoneSDK/5.3`},
		{`User-Agent: Jane 0301-234`, `User-Agent: …`},
		{`Server: kamailio (5.6.3 (x86_64/linux))`, `Server: kamailio (5.6.3 …`},
		{`Server: FreeSWITCH-mod_sofia/1.10.7-release+git~20211024`, `Server: FreeSWITCH-mod_sofia/1.10.7-release+git~…`},
		{`Server: phone of 030 12 34`, `Server: phone …`},
		{`Content-Disposition: attachment; filename="JaneRoe-SSN.txt";handling=optional`, `Content-Disposition: attachment;filename=…;handling=optional`},
		{`c: text/plain; name="Jane, Roe";charset=utf-8`, `c: text/plain;name=…;charset=utf-8`},
		{`Content-Type: multipart/mixed;boundary="Jane Roe"`, `Content-Type: multipart/mixed;boundary=…`},
		{`Content-Type: text/x;version=03012345678;charset=0301-23456;handling=call 0301`, `Content-Type: text/x;version=…;charset=…;handling=…`},
		{`Reason: SIP;cause=4930123456`, `Reason: SIP;cause=…`},
		{`To: <sip:anna@h;user=4930123456>;method=x`, `To: <sip:anna@h;user=…>;method=x`},
		{`Content-Type: Jane Roe`, `Content-Type: …`},
		{`Accept: application/sdp, text/*;q=0.5;x=Jane`, `Accept: application/sdp, text/*;q=0.5;x=…`},
		{`o: x;u="Jane Roe";id=7`, `o: x;u=…;id=7`},
		{`Subscription-State: terminated;reason=noresource`, `Subscription-State: terminated;reason=noresource`},
		{`Reason: SIP;cause=200;text="Call completed elsewhere", Q.850;cause=16;text="Jane Roe"`, `Reason: SIP;cause=200;text="Call completed elsewhere", Q.850;cause=16;text="…"`},
		{`Reason: Q.850;cause=31;text=Normal`, `Reason: Q.850;cause=31;text=Normal`},
		{`Warning: 399 h.example "Jane Roe 0301-234"`, `Warning: 399 … "…"`},
		{`Warning: 399 jane "Busy", 399 [2001:db8::1]:5060 "Busy", 399 bugle "An emergency call is not transferred"`,
			`Warning: 399 … "Busy", 399 [2001:db8::1]:5060 "Busy", 399 bugle "An emergency call is not transferred"`},
		{`Warning: 399 fe80::1%jane "Busy", 399 [fe80::1%jane]:5060 "Busy"`, `Warning: 399 … "Busy", 399 … "Busy"`},
		{`Priority: Emergency`, `Priority: Emergency`},
		{`Priority: jane`, `Priority: …`},
		{`Privacy: id;user;jane`, `Privacy: id;user;…`},
		{`Request-Disposition: no-fork, jane`, `Request-Disposition: no-fork, …`},
		{`Answer-Mode: Manual;require=jane`, `Answer-Mode: Manual;…`},
		{`Accept-Language: de-DE;q=0.8, es-419, zh-Hant-TW, *;q=0, jane, de-jane, en;x=jane;q=4711`,
			`Accept-Language: de-DE;q=0.8, es-419, zh-Hant-TW, *;q=0, …, …, en;…;…`},
		{`User-Agent: Jane/1.0 Jane-Roe/2 Linphone-Jane/5.2 Linphone/5.2-jane JANE12 1.jane`, `User-Agent: …`},
		{`User-Agent: Grandstream GXP2170 1.0.11.16`, `User-Agent: Grandstream GXP2170 1.0.11.16`},
		{`User-Agent: baresip v1.0.0 (x86_64/linux)`, `User-Agent: baresip v1.0.0 …`},
		{`User-Agent: PolycomVVX-VVX_410-UA/5.9.0.9373`, `User-Agent: PolycomVVX-VVX_410-UA/5.9.0.9373`},
		{`User-Agent: Cisco-CP8841/12.8.1 Polycom-Jane/5.9.0`, `User-Agent: Cisco-CP8841/12.8.1 …`},
		{`Warning: 305 192.0.2.7:5060 "Incompatible media format: Media type not available", 399 x "Busy"`, `Warning: 305 192.0.2.7:5060 "Incompatible media format: Media type not available", 399 … "Busy"`},
		{`Reason: Q.850;cause=16;text="call to sip:maria@h ended"`, `Reason: Q.850;cause=16;text="call to … ended"`},
		{`X-Edge-Source: tcp:192.0.2.7:5062`, `X-Edge-Source: tcp:192.0.2.7:5062`},
		{`Cookie: session=1`, `Cookie: …`},
		{`X-Account: 17`, `X-Account: …`},
		{`Geolocation: <cid:target@example.org>`, `Geolocation: …`},
		{`Subject: I need help`, `Subject: …`},
		{`Identity: eyJhbGciOi`, `Identity: …`},
		{`Supported`, `… (9 bytes that are no header)`},
		{`X-4930123456: 1`, `… (15 bytes that are no header)`},
		{`Allow: INVITE` + "\x1b\xff", `Allow: INVITE\x1b\xff`},
		{`Call-ID: 3848276298220188511@192.0.2.7`, `Call-ID: 3848276298220188511@192.0.2.7`},
		{`From:`, `From: `},
		{`From: "`, `From: "…"`},
		{`From: <`, `From: <…>`},
		{`Contact: <urn:service:sos.fire>, <data:maria>`, `Contact: <urn:service:sos.fire>, <…>`},
	} {
		if _, got := newMasker(house).header(c.line); got != c.want {
			t.Errorf("%s\n is %s\nnot %s", c.line, got, c.want)
		}
	}
}

func TestMaskStartLines(t *testing.T) {
	for _, c := range []struct{ line, title, want string }{
		{"INVITE sip:+498001112@help.example;transport=udp SIP/2.0", "INVITE", "INVITE sip:+498001112@help.example;transport=udp SIP/2.0"},
		{"INVITE sip:+4930123456@h SIP/2.0", "INVITE", "INVITE sip:…56@h SIP/2.0"},
		{"INVITE sip:+4930123456@h", "INVITE", "INVITE sip:…56@h"},
		{"INVITE <sip:+4930123456@h> SIP/7.0", "INVITE", "INVITE … SIP/7.0"},
		{"INVITE sip:a b@h SIP/2.0", "INVITE", "INVITE sip:…@h SIP/2.0"},
		{"INVITE sip:h SIP/4930123456", "INVITE", "INVITE sip:h SIP/…"},
		{"4930123456", "malformed", "… (10 bytes that are no first line of SIP)"},
		{"", "malformed", "… (0 bytes that are no first line of SIP)"},
		{"SIP/2.0 200 OK", "200 OK", "SIP/2.0 200 OK"},
		{"SIP/2.0 404 +4930123456 is nobody", "404 … is …", "SIP/2.0 404 … is …"},
		{"SIP/2.0 180 Jane Roe", "180 …", "SIP/2.0 180 …"},
		{"SIP/2.0 481 Call Leg/Transaction Does Not Exist", "481 Call … Does Not Exist", "SIP/2.0 481 Call … Does Not Exist"},
		{"SIP/2.0 503 service unavailable", "503 service unavailable", "SIP/2.0 503 service unavailable"},
		{"SIP/2.0 4930123456", "response", "SIP/2.0 …"},
	} {
		if title, got := newMasker(house).startLine(c.line); title != c.title || got != c.want {
			t.Errorf("%q is %q, %q; want %q, %q", c.line, title, got, c.title, c.want)
		}
	}
}

func TestMaskBodies(t *testing.T) {
	const sdp = "v=0\r\no=maria 1 2 IN IP4 192.0.2.7\r\ns=Maria's call\r\ni=x\r\ne=maria@example.org\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n" +
		"m=audio 4000 RTP/SAVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 KDR=1\r\n" +
		"a=ice-pwd:secret\r\na=sendrecv\r\nk=clear:key\r\nrubbish\r\n"
	for _, c := range []struct{ kind, body, want string }{
		{"application/sdp", sdp, "v=0\no=… 1 2 IN IP4 192.0.2.7\ns=…\ni=…\ne=…\nc=IN IP4 192.0.2.7\nt=0 0\n" +
			"m=audio 4000 RTP/SAVP 0 101\na=rtpmap:101 telephone-event/8000\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…\n" +
			"a=ice-pwd:…\na=sendrecv\nk=…\n… (7 bytes)\n"},
		{"application/sdp", "o=jane 03012345678 3012345601 IN IP4 h\na=tool:Jane's phone 1.2\n", "o=… …78 …01 IN IP4 h\na=tool:… phone 1.2\n"},
		{"Application/SDP; x=y", "v=0\no=- 1 2 IN IP4 h\ns=-\n", "v=0\no=- 1 2 IN IP4 h\ns=-\n"},
		{"application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "(24 bytes of application/dtmf-relay, not shown)\n"},
		{"text/plain", "my number is", "(12 bytes of text/plain, not shown)\n"},
		{"application/pidf+xml", "<geo/>", "(6 bytes of application/pidf+xml, not shown)\n"},
		{"4930123456", "x", "(1 bytes of something, not shown)\n"},
		{"", "x", "(1 bytes of something, not shown)\n"},
		{"message/sipfrag;version=2.0", "SIP/2.0 200 OK\r\nTo: <sip:+4930123456@h>\r\n", "SIP/2.0 200 OK\nTo: <sip:…56@h>\n"},
	} {
		if got := newMasker(house).body(c.kind, []byte(c.body)); got != c.want {
			t.Errorf("%s: %s", c.kind, cmp.Diff(c.want, got))
		}
	}
}

// sampleTrace is a call with two legs, and a message that is no SIP.
func sampleTrace() traced {
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	c := traced{ids: []string{"c4ll"}, dialogs: []tracedDialog{{"4930123456@192.0.2.7", "caller, carrier"}, {"ours", "agent anna"}}, left: 3}
	for i, of := range []struct {
		dialog   uint16
		out      bool
		repeated uint32
		raw      string
	}{
		{0, false, 2, "INVITE sip:+498001112@help.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nFrom: \"Maria\" <sip:+4930123456@carrier.example>;tag=t\r\n" +
			"To: <sip:+498001112@help.example>\r\nCall-ID: 4930123456@192.0.2.7\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=030 12 34 56\r\n"},
		{0, true, 0, "SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\nCall-ID: 4930123456@192.0.2.7\r\n\r\n"},
		{1, true, 0, "INVITE sip:anna@192.0.2.9 SIP/2.0\r\nFrom: <sip:030-12.34(56)@help.example>;tag=t\r\nX-Number: 030123456\r\nCSeq: 1 INVITE\r\n\r\n"},
		{1, false, 0, "SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\nUser-Agent: phone of 030 123456\r\n\r\n"},
		{0, false, 0, "\x00\x01nonsense"},
	} {
		m := tracedMessage{peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(7 + 2*of.dialog)}), 5060), at: at.Add(time.Duration(i) * 40 * time.Millisecond).UnixNano(), raw: []byte(of.raw), transport: "udp", dialog: of.dialog, out: of.out, repeated: of.repeated}
		m.last = m.at + int64(of.repeated)*int64(time.Second)
		c.messages = append(c.messages, m)
	}
	return c
}

func TestTraceText(t *testing.T) {
	var b strings.Builder
	if err := sampleTrace().masked(newMasker(house)).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "trace.txt")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("not what %s says: %s", file, diff)
	}
}

// someNumber is a caller's.
const someNumber = "+4986754309127"

// tells gives five digits of it in a row that a text has.
func tells(text string) string {
	digits := someNumber[1:]
	for i := range len(digits) - 4 {
		if strings.Contains(text, digits[i:i+5]) {
			return digits[i : i+5]
		}
	}
	return ""
}

// FuzzTrace puts the number of a caller wherever NUMBER stands in a message, beside an
// INVITE of his in the same call. Whatever the message is, no five digits of the
// number are shown, nothing but printable text is, and nothing panics.
func FuzzTrace(f *testing.F) {
	for _, seed := range []string{
		"INVITE sip:NUMBER@h SIP/2.0\r\nFrom: NUMBER <sip:NUMBER@NUMBER;x=NUMBER?y=NUMBER>;tag=NUMBER\r\nCall-ID: NUMBER\r\n\r\n",
		"SIP/2.0 200 NUMBER\r\nVia: SIP/2.0/UDP NUMBER;branch=z9hG4bKNUMBER\r\nCSeq: 1 INVITE\r\nX-NUMBER: NUMBER\r\nServer: %3NUMBER\r\n folded NUMBER\r\n\r\n",
		"NUMBER\nm: <tel:NUMBER>,\"NUMBER\\\"<\r\nAuthorization: Digest username=\"NUMBER\",realm=\"NUMBER\",uri=NUMBER,nc=NUMBER\n\nNUMBER",
		"INFO sip:a SIP/2.0\r\nc: application/dtmf-relay\r\n\r\nSignal=NUMBER",
		"INFO sip:a SIP/2.0\r\nc: application/sdp\r\n\r\nv=NUMBER\r\no=NUMBER NUMBER\r\ns=NUMBER\r\na=NUMBER:NUMBER\r\na=rtpmap:NUMBER\r\na=crypto:NUMBER NUMBER NUMBER\r\nNUMBER\r\nm=NUMBER",
		"NOTIFY sip:a SIP/2.0\r\nc: message/sipfrag\r\n\r\nSIP/2.0 200 NUMBER\r\nTo: NUMBER\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if tells(string(data)) != "" || len(data) > 1<<14 {
			return
		}
		message := strings.ReplaceAll(string(data), "NUMBER", someNumber)
		c := traced{dialogs: []tracedDialog{{callID: string(callIDIn([]byte(message)))}}, messages: []tracedMessage{
			{raw: []byte(message)},
			{raw: []byte("INVITE sip:x@h SIP/2.0\r\nFrom: <sip:" + someNumber + "@h>\r\n\r\n")},
		}}
		var b strings.Builder
		if err := c.masked(newMasker(house)).WriteText(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if told := tells(text); told != "" {
			t.Errorf("%s is told of %q:\n%s", told, message, text)
		}
		if plain := strings.NewReplacer("\n", "", hidden, "").Replace(text); visible(plain) != plain {
			t.Errorf("%q is shown as\n%q", message, text)
		}
	})
}

// TestSweepIsQuick: a far end that fills its call with numbers keeps nobody who looks
// at it waiting, nor the node's processor from calls.
func TestSweepIsQuick(t *testing.T) {
	tr := newTracer(16 << 20)
	tr.join("id", "call", "caller")
	for i := range 8 {
		var b strings.Builder
		fmt.Fprintf(&b, "INFO sip:a@b SIP/2.0\r\nCall-ID: id\r\nCSeq: %d INFO\r\nFrom: ", i)
		for n := range 4000 {
			fmt.Fprintf(&b, "%07d,", 1000000+4000*i+n)
		}
		b.WriteString("\r\nSupported: " + strings.Repeat("9999999,", 3999) + "1004000\r\n\r\n")
		tr.saw("tcp", false, netip.MustParseAddrPort("192.0.2.7:5060"), []byte(b.String()))
	}
	c, _ := tr.get("call")
	began := cpu(t) // and not the clock: the machine may stand still
	shown := c.masked(newMasker(house))
	if d := cpu(t) - began; d > 3*time.Second {
		t.Errorf("to mask %d messages took %v of a processor", len(shown.Messages), d)
	}
	for _, m := range shown.Messages {
		if strings.Contains(m.Text, "1004000") || !strings.Contains(m.Text, "9999999") {
			t.Error("the number that another message hides is shown, or one that is none is hidden")
		}
	}
}
