package sip

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"
)

// stunRequest is a Binding request with the transaction of RFC 5769's examples.
const stunRequest = "000100002112a442b7e7a701bc34d686fa87dfae"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSTUN compares addresses with the sample answers of RFC 5769 sections 2.2 and 2.3.
func TestSTUN(t *testing.T) {
	for _, c := range []struct{ what, asked, from, want string }{
		{"IPv4", stunRequest, "192.0.2.1:32853", "0101000c2112a442b7e7a701bc34d686fa87dfae002000080001a147e112a643"},
		{"IPv4 in IPv6", stunRequest, "[::ffff:192.0.2.1]:32853", "0101000c2112a442b7e7a701bc34d686fa87dfae002000080001a147e112a643"},
		{"IPv6", stunRequest, "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
			"010100182112a442b7e7a701bc34d686fa87dfae002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"},
		{"what may be ignored", "000100082112a442b7e7a701bc34d686fa87dfae8022000274650000", "192.0.2.1:32853",
			"0101000c2112a442b7e7a701bc34d686fa87dfae002000080001a147e112a643"},
		{"what may not", "000100082112a442b7e7a701bc34d686fa87dfae0003000400000006", "192.0.2.1:1",
			"011100102112a442b7e7a701bc34d686fa87dfae0009000400000414000a000200030000"},
		{"two things that may not, one that may", "000100102112a442b7e7a701bc34d686fa87dfae00030004000000068022000000300000", "192.0.2.1:1",
			"011100102112a442b7e7a701bc34d686fa87dfae0009000400000414000a000400030030"},
		{"an answer", "01010000" + stunRequest[8:], "192.0.2.1:1", ""},
		{"an indication", "00110000" + stunRequest[8:], "192.0.2.1:1", ""},
		{"of RFC 3489", "00010000b7e7a701b7e7a701bc34d686fa87dfae", "192.0.2.1:1", ""},
		{"too short", stunRequest[:38], "192.0.2.1:1", ""},
		{"of another length", "00010004" + stunRequest[8:], "192.0.2.1:1", ""},
		{"an attribute that does not end", "000100082112a442b7e7a701bc34d686fa87dfae8022000874650000", "192.0.2.1:1", ""},
		{"half an attribute", "000100022112a442b7e7a701bc34d686fa87dfae8022", "192.0.2.1:1", ""},
	} {
		if got := stunAnswer(unhex(t, c.asked), netip.MustParseAddrPort(c.from)); hex.EncodeToString(got) != c.want {
			t.Errorf("%s: %x, want %s", c.what, got, c.want)
		}
	}
}

// TestSTUNOnTheSIPPort asks the port that takes SIP.
func TestSTUNOnTheSIPPort(t *testing.T) {
	s := start(t, Options{Config: openConfig("udp")})
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addrs()[0].Address))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	asked := unhex(t, stunRequest)
	if _, err := conn.Write(asked); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	want := stunAnswer(asked, conn.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil || !bytes.Equal(buf[:n], want) {
		t.Errorf("%x, %v, want %x", buf[:n], err, want)
	}
	if n := counter(t, s.metrics.stun.WithLabelValues(stunAnswered)); n != 1 {
		t.Errorf("%v counted as answered", n)
	}
	if n := counter(t, s.metrics.dropped.WithLabelValues(dropImplausib)); n != 0 {
		t.Errorf("%v taken for garbage", n)
	}
}

func FuzzSTUN(f *testing.F) {
	f.Add(unhex(f, stunRequest))
	f.Add(unhex(f, "000100082112a442b7e7a701bc34d686fa87dfae8022000274650000"))
	f.Add(unhex(f, "000100082112a442b7e7a701bc34d686fa87dfae0003000400000006"))
	from := netip.MustParseAddrPort("192.0.2.1:32853")
	f.Fuzz(func(t *testing.T, data []byte) {
		answer := stunAnswer(data, from)
		if answer == nil {
			return
		}
		// A refusal is no way to have more sent to somebody than it cost.
		refused := stunResult(answer) == stunRefused && len(answer)%4 == 0 && len(answer) <= len(data)+12
		if !bytes.Equal(answer[4:20], data[4:20]) || int(binary.BigEndian.Uint16(answer[2:])) != len(answer)-stunHead || len(answer) != 32 && !refused {
			t.Errorf("%x is answered %x", data, answer)
		}
	})
}
