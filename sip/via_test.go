package sip

import (
	"strings"
	"testing"
)

// TestViaComesBack: an answer's Vias are those of its request, byte for byte, whatever quoted
// strings are in them.
func TestViaComesBack(t *testing.T) {
	bubble(t, Options{Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		w := newWire(t, s)
		for _, vias := range [][]string{
			{`;x="a\"b"`},
			{`;x="a\\";y="\"";z=1`},
			{`;x="a \"b\" c, d;e=f"`},
			{`;x=" a "`, `;x="a,b"`},
			{`;x="";y=a`},
			{`;x="a\"b, SIP/2.0/UDP nobody;branch=z9hG4bKother"`, `;y=1`},
			{`;x=plain;y="quoted"`},
		} {
			var lines, want []string
			for i, v := range vias {
				host := w.addr()
				if i > 0 {
					host = "192.0.2.1:5060"
				}
				want = append(want, "SIP/2.0/UDP "+host+";branch=z9hG4bK"+token()+v)
				lines = append(lines, "Via: "+want[i])
			}
			w.send(append(append([]string{"OPTIONS sip:x SIP/2.0"}, lines...),
				"From: <sip:a@d>;tag=1", "To: <sip:b@d>", "Call-ID: "+token(), "CSeq: 1 OPTIONS", "Max-Forwards: 70")...)
			answer := w.recv("SIP/2.0 ")
			for _, v := range want {
				if !strings.Contains(answer, "Via: "+v+"\r\n") {
					t.Errorf("%s does not come back:\n%s", v, answer)
				}
			}
		}
	})
}

// TestViasOfOneLine: a comma ends a Via where it is not quoted.
func TestViasOfOneLine(t *testing.T) {
	m := parse(t, "OPTIONS sip:x SIP/2.0\r\nv: SIP/2.0/UDP a;x=\"1,\\\"2\";branch=z9hG4bKa, SIP/2.0/TCP b;Y=\"3 \\\\\" ;branch=z9hG4bKb\r\n"+
		"From: <sip:a@d>;tag=1\r\nTo: <sip:b@d>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n")
	var all []string
	for _, h := range headersOf(m, "via", "v") {
		all = append(all, h.Value())
	}
	want := `SIP/2.0/UDP a;x="1,\"2";branch=z9hG4bKa|SIP/2.0/TCP b;y="3 \\";branch=z9hG4bKb`
	if got := strings.Join(all, "|"); got != want {
		t.Errorf("read as %s, want %s", got, want)
	}
}

// TestViaIsReadAlone: what follows a Via in its line is not looked at before its turn comes, so that
// a line of thousands costs no more than as many lines.
func TestViaIsReadAlone(t *testing.T) {
	rest := strings.Repeat(`, SIP/2.0/UDP b;y="2"`, 1000)
	for via, want := range map[string]string{
		`SIP/2.0/UDP a;x="1,\"2"`: "SIP/2.0/UDP a;x=" + strings.Repeat("\x0e", 7) + ",",
		`SIP/2.0/UDP a;x`:         "SIP/2.0/UDP a;x" + rest,
		`SIP/2.0/UDP a;x=\"`:      `SIP/2.0/UDP a;x=\"` + rest,
	} {
		if marked, quoted := markQuoted(via + rest); marked != want || len(quoted) > 1 {
			t.Errorf("of %s and what follows %d strings are marked, and %d bytes left", via, len(quoted), len(marked))
		}
	}
}
