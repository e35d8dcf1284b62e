package media

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// What we write, another implementation reads.
func TestReportsAreReadByOthers(t *testing.T) {
	about := reception{ssrc: 7, fraction: 64, lost: -3, highest: 1<<16 + 9, jitter: 55, lastSR: 0xABCD1234, delay: 65536}
	for name, r := range map[string]ownReport{
		"sender": {ssrc: 42, sending: true, ntp: 0x1122334455667788, timestamp: 160, packets: 3, octets: 480, hears: true, about: about},
		"silent": {ssrc: 42, hears: true, about: about},
		"last":   {ssrc: 42, sending: true, bye: true},
	} {
		copy(r.cname[:], "0123456789abcdef")
		var b [reportSize]byte
		n := r.put(b[:])
		all, err := rtcp.Unmarshal(b[:n])
		if err != nil {
			t.Fatalf("%s: %v\n%x", name, err, b[:n])
		}
		if err := rtcp.CompoundPacket(all).Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if cname, err := rtcp.CompoundPacket(all).CNAME(); err != nil || cname != "0123456789abcdef" {
			t.Errorf("%s: CNAME %q (%v)", name, cname, err)
		}
		blocks := []rtcp.ReceptionReport(nil)
		switch p := all[0].(type) {
		case *rtcp.SenderReport:
			blocks = p.Reports
			if !r.sending || p.SSRC != 42 || p.NTPTime != r.ntp || p.RTPTime != r.timestamp || p.PacketCount != r.packets || p.OctetCount != r.octets {
				t.Errorf("%s: read as %+v", name, p)
			}
		case *rtcp.ReceiverReport:
			blocks = p.Reports
			if r.sending || p.SSRC != 42 {
				t.Errorf("%s: read as %+v", name, p)
			}
		}
		if r.hears {
			want := rtcp.ReceptionReport{SSRC: 7, FractionLost: 64, TotalLost: 0xFFFFFD, LastSequenceNumber: 1<<16 + 9, Jitter: 55,
				LastSenderReport: 0xABCD1234, Delay: 65536}
			if len(blocks) != 1 || blocks[0] != want {
				t.Errorf("%s: blocks %+v, want %+v", name, blocks, want)
			}
		}
		if _, bye := all[len(all)-1].(*rtcp.Goodbye); bye != r.bye {
			t.Errorf("%s: ends with %T", name, all[len(all)-1])
		}
		back, ok := parseReport(b[:n], 7)
		heeded := about
		heeded.fraction, heeded.highest = 0, 0
		if !ok || back.sr != r.sending || r.hears && back.about != heeded {
			t.Errorf("%s: read back as %+v, %v", name, back, ok)
		}
	}
}

// What others write, we read; of two blocks, ours.
func TestReportsOfOthersAreRead(t *testing.T) {
	raw, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{SSRC: 5, NTPTime: 1 << 40, Reports: []rtcp.ReceptionReport{
			{SSRC: 1, Jitter: 1}, {SSRC: 2, FractionLost: 3, TotalLost: 4, Jitter: 5, LastSenderReport: 6, Delay: 7}}},
		rtcp.NewCNAMESourceDescription(5, "someone@example.org"),
		&rtcp.PictureLossIndication{SenderSSRC: 5, MediaSSRC: 2}, // not ours to mind
		&rtcp.Goodbye{Sources: []uint32{5}, Reason: "bye"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, ok := parseReport(raw, 2)
	want := report{sr: true, ntp: 1 << 40, about: reception{ssrc: 2, lost: 4, jitter: 5, lastSR: 6, delay: 7}}
	if !ok || got != want {
		t.Errorf("read %+v, %v; want %+v", got, ok, want)
	}
	if got, _ := parseReport(raw, 9); got.about != (reception{}) {
		t.Errorf("another's block taken for ours: %+v", got.about)
	}
}

func TestMalformedReportsAreRefused(t *testing.T) {
	good := bytes.Join([][]byte{{0x80, 201, 0, 1}, {0, 0, 0, 5}}, nil)
	if _, ok := parseReport(good, 1); !ok {
		t.Fatal("an empty receiver report is refused")
	}
	for name, raw := range map[string][]byte{
		"nothing":                    {},
		"version 1":                  {0x40, 201, 0, 1, 0, 0, 0, 5},
		"begins with SDES":           {0x81, 202, 0, 1, 0, 0, 0, 5},
		"length beyond the end":      {0x80, 201, 0, 2, 0, 0, 0, 5},
		"rest after the end":         append(bytes.Clone(good), 0x80, 203),
		"a block announced, none":    {0x81, 201, 0, 1, 0, 0, 0, 5},
		"a sender without its info":  {0x80, 200, 0, 1, 0, 0, 0, 5},
		"padding longer than all":    {0xA0, 201, 0, 1, 0, 0, 0, 8},
		"padding of 3":               {0xA0, 201, 0, 2, 0, 0, 0, 5, 0, 0, 0, 3},
		"padding not in the last":    append([]byte{0xA0, 201, 0, 2, 0, 0, 0, 5, 0, 0, 0, 4}, good...),
		"a farewell without its ids": append(bytes.Clone(good), 0x82, 203, 0, 1, 0, 0, 0, 5),
	} {
		if got, ok := parseReport(raw, 1); ok {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
	padded := []byte{0xA0, 201, 0, 2, 0, 0, 0, 5, 0, 0, 0, 4}
	if got, ok := parseReport(padded, 1); !ok {
		t.Errorf("padding: %+v, %v", got, ok)
	}
}

func TestNTPTimes(t *testing.T) {
	at := time.Date(2036, 2, 7, 6, 28, 15, 500_000_000, time.UTC) // half a second before NTP's era ends
	if got := ntpTime(at); got != 0xFFFFFFFF80000000 {
		t.Errorf("%v is %x", at, got)
	}
	if got := ntpShort(shortNTP(1500 * time.Millisecond)); got != 1500*time.Millisecond {
		t.Errorf("1.5 s went through NTP as %v", got)
	}
}

// FuzzRTCP reads hostile reports; what is read must be what another
// implementation reads, as far as that takes it.
func FuzzRTCP(f *testing.F) {
	f.Add([]byte{0x80, 201, 0, 1, 0, 0, 0, 5})
	r := ownReport{ssrc: 1, sending: true, hears: true, about: reception{ssrc: 2}, bye: true}
	var b [reportSize]byte
	f.Add(b[:r.put(b[:])])
	f.Add([]byte{0xA0, 201, 0, 2, 0, 0, 0, 5, 0, 0, 0, 4})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := parseReport(raw, 2)
		if !ok {
			return
		}
		var sr rtcp.SenderReport
		if got.sr && raw[1] == rtcpSR && raw[0]&0x20 == 0 && len(raw) == 4+4*(int(raw[2])<<8|int(raw[3])) && sr.Unmarshal(raw) == nil && sr.NTPTime != got.ntp {
			t.Errorf("read %+v, another reads %+v", got, sr)
		}
	})
}
