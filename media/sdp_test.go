package media

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// lines joins SDP lines as they travel.
func lines(l ...string) []byte { return []byte(strings.Join(l, "\r\n") + "\r\n") }

// farBody is a far end's body whose media part is given.
func farBody(media ...string) []byte {
	return lines(append([]string{"v=0", "o=phone 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"}, media...)...)
}

func testSession(prefer ...Codec) *session {
	s := newSession(netip.MustParseAddrPort("127.0.0.1:40000"), &LegOptions{Prefer: prefer})
	s.id = 42
	return &s
}

// ourBody is what a testSession says of itself, under a version.
func ourBody(version int, media ...string) string {
	return string(lines(append([]string{"v=0", fmt.Sprintf("o=bugle 42 %d IN IP4 127.0.0.1", version), "s=-",
		"c=IN IP4 127.0.0.1", "t=0 0"}, media...)...))
}

func TestOffer(t *testing.T) {
	s := testSession(PCMA, PCMU)
	want := ourBody(0, "m=audio 40000 RTP/AVP 8 0 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000",
		"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20", "a=sendrecv")
	for range 2 { // offering the same again is the same version
		got, err := s.offer()
		if err != nil || string(got) != want {
			t.Errorf("offered (%v)\n%s\nwant\n%s", err, got, want)
		}
	}
}

func TestAnswer(t *testing.T) {
	plain := []string{"a=rtpmap:0 PCMU/8000", "a=ptime:20", "a=sendrecv"}
	for _, c := range []struct {
		name   string
		prefer []Codec
		offer  []byte
		want   []string // our media part
		codec  Codec
		far    string // "" for none
		send   bool
		hear   bool
	}{
		{
			name: "the far end's first codec of ours", offer: farBody("m=audio 4000 RTP/AVP 9 8 0", "a=rtpmap:9 G722/8000"),
			want:  []string{"m=audio 40000 RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=ptime:20", "a=sendrecv"},
			codec: PCMA, far: "192.0.2.1:4000", send: true, hear: true,
		},
		{
			name: "only what we prefer", prefer: []Codec{PCMU}, offer: farBody("m=audio 4000 RTP/AVP 8 0"),
			want:  append([]string{"m=audio 40000 RTP/AVP 0"}, plain...),
			codec: PCMU, far: "192.0.2.1:4000", send: true, hear: true,
		},
		{
			name:  "keys under the number of the offer",
			offer: farBody("m=audio 4000 RTP/AVP 0 96 97", "a=rtpmap:96 telephone-event/48000", "a=rtpmap:97 telephone-event/8000", "a=fmtp:97 0-16"),
			want: []string{"m=audio 40000 RTP/AVP 0 97", "a=rtpmap:0 PCMU/8000", "a=rtpmap:97 telephone-event/8000",
				"a=fmtp:97 0-15", "a=ptime:20", "a=sendrecv"},
			codec: PCMU, far: "192.0.2.1:4000", send: true, hear: true,
		},
		{
			name:  "a codec under a dynamic number",
			offer: farBody("m=audio 4000 RTP/AVP 100", "a=rtpmap:100 pcma/8000/1"),
			want:  []string{"m=audio 40000 RTP/AVP 100", "a=rtpmap:100 PCMA/8000", "a=ptime:20", "a=sendrecv"},
			codec: PCMA, far: "192.0.2.1:4000", send: true, hear: true,
		},
		{
			name:  "the line's address wins",
			offer: farBody("m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.77"),
			want:  append([]string{"m=audio 40000 RTP/AVP 0"}, plain...),
			codec: PCMU, far: "192.0.2.77:4000", send: true, hear: true,
		},
		{
			name:  "every line has its answer",
			offer: farBody("m=video 5000 RTP/AVP 99", "m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0", "m=audio 4004 RTP/AVP 0"),
			want: append(append([]string{"m=video 0 RTP/AVP 99", "m=audio 0 RTP/SAVP 0", "m=audio 40000 RTP/AVP 0"}, plain...),
				"m=audio 0 RTP/AVP 0"),
			codec: PCMU, far: "192.0.2.1:4002", send: true, hear: true,
		},
		{
			name: "hold", offer: farBody("m=audio 4000 RTP/AVP 0", "a=sendonly"),
			want:  []string{"m=audio 40000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=ptime:20", "a=recvonly"},
			codec: PCMU, far: "192.0.2.1:4000", hear: true,
		},
		{
			name: "a listener", offer: farBody("m=audio 4000 RTP/AVP 0", "a=recvonly"),
			want:  []string{"m=audio 40000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=ptime:20", "a=sendonly"},
			codec: PCMU, far: "192.0.2.1:4000", send: true,
		},
		{
			name: "hold for the whole session", offer: farBody("a=inactive", "m=audio 4000 RTP/AVP 0"),
			want:  []string{"m=audio 40000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=ptime:20", "a=inactive"},
			codec: PCMU, far: "192.0.2.1:4000",
		},
		{
			name: "hold of the old style", offer: farBody("m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0"),
			want: append([]string{"m=audio 40000 RTP/AVP 0"}, plain...), codec: PCMU, hear: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, terms, err := testSession(c.prefer...).answer(c.offer)
			if err != nil {
				t.Fatal(err)
			}
			if want := ourBody(0, c.want...); string(got) != want {
				t.Errorf("answered\n%s\nwant\n%s", got, want)
			}
			far := ""
			if terms.far.IsValid() {
				far = terms.far.String()
			}
			if terms.codec != c.codec || far != c.far || terms.send != c.send || terms.hear != c.hear {
				t.Errorf("agreed on %v with %q, send %v, hear %v", terms.codec, far, terms.send, terms.hear)
			}
		})
	}
}

func TestAnswerRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		code int
		want string
	}{
		{"no codec in common", farBody("m=audio 4000 RTP/AVP 9 18"), 488, "media: SDP: no audio format in common"},
		{"nothing but keys", farBody("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"), 488, "media: SDP: no audio format in common"},
		{"PCMU at another rate", farBody("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 PCMU/16000"), 488, "media: SDP: no audio format in common"},
		{"no audio", farBody("m=video 4000 RTP/AVP 99"), 488, "media: SDP: no audio format in common"},
		{"encrypted only", farBody("m=audio 4000 RTP/SAVP 0"), 488, "media: SDP: no agreement on encryption"},
		{"another transport", farBody("m=audio 4000 TCP/RTP/AVP 0"), 488, "media: SDP: no audio format in common"},
		{"keys by DTLS", farBody("m=audio 4000 UDP/TLS/RTP/SAVPF 0"), 488, "media: SDP: no audio format in common"},
		{"switched off", farBody("m=audio 0 RTP/AVP 0"), 488, "media: SDP: no audio format in common"},
		{"a name for an address", farBody("m=audio 4000 RTP/AVP 0", "c=IN IP4 phone.example"), 488, "media: SDP: the connection address is not an IP address"},
		{"multicast", farBody("m=audio 4000 RTP/AVP 0", "c=IN IP4 239.1.2.3/127"), 488, "media: SDP: the connection address is not that of one far end"},
		{"IPv6 to an IPv4 leg", farBody("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"), 488, "media: SDP: the far end is reached by another version of IP"},
		{"no address", lines("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "m=audio 4000 RTP/AVP 0"), 400, "media: SDP: no connection address"},
	} {
		s := testSession()
		_, _, err := s.answer(c.body)
		var refused *SDPError
		if !errors.As(err, &refused) || refused.SIPCode() != c.code || err.Error() != c.want {
			t.Errorf("%s: error %v; want %d %s", c.name, err, c.code, c.want)
		}
	}
	var refused *SDPError
	if _, _, err := testSession().answer([]byte("hello")); !errors.As(err, &refused) || refused.Code != 400 {
		t.Errorf("no SDP at all: error %v", err)
	}
}

func TestAcceptTakesKeysUnderBothNumbers(t *testing.T) {
	s := testSession()
	if _, err := s.accept(farBody("m=audio 4000 RTP/AVP 0")); err == nil {
		t.Error("an answer without an offer was taken")
	}
	if _, err := s.offer(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // 183 and 200 bear the same answer
		got, err := s.accept(farBody("m=audio 4000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000"))
		if err != nil {
			t.Fatal(err)
		}
		audio, _ := got.number(PCMA)
		keys, able := got.number(telephoneEvent)
		if got.codec != PCMA || got.voice != PCMA || audio != 8 || !able || keys != 96 {
			t.Errorf("sends %v as %d, keys %v as %d", got.codec, audio, able, keys)
		}
		for number, want := range map[int]Codec{8: PCMA, 0: PCMU, 96: telephoneEvent, 101: telephoneEvent, 9: 0} {
			if got.receive[number] != want {
				t.Errorf("receives %d as %v, want %v", number, got.receive[number], want)
			}
		}
	}
	if _, err := s.accept(farBody("m=audio 0 RTP/AVP 0")); !errors.Is(err, ErrNoCodec) {
		t.Errorf("a refused line: error %v", err)
	}
}

func TestVersionRisesWithEachChange(t *testing.T) {
	s := testSession()
	for i, step := range []struct {
		direction string
		version   string
	}{{"sendrecv", "42 0"}, {"sendonly", "42 1"}, {"sendonly", "42 1"}, {"sendrecv", "42 2"}} {
		body, _, err := s.answer(farBody("m=audio 4000 RTP/AVP 0", "a="+step.direction))
		if err != nil || !strings.Contains(string(body), "o=bugle "+step.version+" ") {
			t.Errorf("answer %d (%v) is not version %s:\n%s", i, err, step.version, body)
		}
	}
}

func TestSessionSpeaksIPv6(t *testing.T) {
	s := newSession(netip.MustParseAddrPort("[::1]:40000"), &LegOptions{})
	body, terms, err := s.answer(farBody("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"))
	if err != nil || terms.far != netip.MustParseAddrPort("[2001:db8::1]:4000") || !strings.Contains(string(body), "c=IN IP6 ::1\r\n") {
		t.Errorf("agreed with %v (%v):\n%s", terms.far, err, body)
	}
}

// FuzzSDP reads hostile offers and answers. Whatever is agreed to, our answer
// must be one that we could accept ourselves.
func FuzzSDP(f *testing.F) {
	f.Add(farBody("m=audio 4000 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000", "a=sendonly"))
	f.Add(farBody("m=video 1 RTP/AVP 99", "m=audio 4000/2 RTP/AVP 96", "c=IN IP4 0.0.0.0", "a=rtpmap:96 PCMA/8000/1"))
	f.Add(lines("v=0", "o=- 0 0 IN IP6 ::1", "s=-", "t=0 0", "m=audio 65535 RTP/AVP 0", "c=IN IP6 ::1%lo"))
	f.Add(farBody("m=audio 4000 RTP/SAVP 9 96 0", "a=rtpmap:96 opus/48000/2", "a=rtcp-mux", "a=rtcp:9",
		"a=crypto:1 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==|2^31"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := testSession()
		if _, err := s.offer(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.accept(body); err != nil {
			var refused *SDPError
			if !errors.As(err, &refused) || refused.SIPCode() < 400 {
				t.Fatalf("error without a SIP response: %v", err)
			}
		}
		secret := testSession(Opus, G722, PCMU)
		secret.sdes = sdes{mode: SRTPOffer, confidential: true}
		if _, terms, err := secret.answer(body); err == nil {
			if _, err := secret.offer(); err != nil || !terms.agreed() {
				t.Fatalf("agreed to %+v, and then cannot offer: %v", terms, err)
			}
		}
		answer, terms, err := s.answer(body)
		if err != nil {
			return
		}
		if !terms.agreed() || terms.send && !terms.far.IsValid() {
			t.Fatalf("agreed to nothing: %+v", terms)
		}
		other := testSession()
		if _, err := other.offer(); err != nil {
			t.Fatal(err)
		}
		if _, err := other.accept(answer); err != nil {
			t.Fatalf("our answer is unusable: %v\n%s", err, answer)
		}
	})
}

func TestOfferOfEveryCodec(t *testing.T) {
	s := testSession(Opus, G722, PCMU)
	s.parameters[Opus] = "useinbandfec=1"
	want := ourBody(0, "m=audio 40000 RTP/AVP 111 9 0 110 101", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 useinbandfec=1",
		"a=rtpmap:9 G722/8000", "a=rtpmap:0 PCMU/8000", "a=rtpmap:110 telephone-event/48000", "a=fmtp:110 0-15",
		"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20", "a=sendrecv")
	if got, err := s.offer(); err != nil || string(got) != want {
		t.Fatalf("offered (%v)\n%s\nwant\n%s", err, got, want)
	}
	got, err := s.accept(farBody("m=audio 4000 RTP/AVP 111 0 110", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 stereo=0", "a=rtpmap:110 telephone-event/48000"))
	if err != nil || got.codec != Opus || got.voice != PCMU || got.keysFor(48000) != telephoneEvent48 || got.keysFor(8000) != telephoneEvent48 {
		t.Errorf("agreed on %+v (%v)", got, err)
	}
	if len(s.formats) != 2 || s.formats[0] != (Format{Opus, "stereo=0"}) {
		t.Errorf("the far end takes %+v", s.formats)
	}
}

// An offer is answered with the chosen codec, G.711 beside it if that cannot be
// played in, and keys on its clock.
func TestAnswerTakesUpWhatIsNeeded(t *testing.T) {
	all := []string{"a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/48000", "a=rtpmap:98 telephone-event/8000"}
	for _, c := range []struct {
		name    string
		prefer  []Codec
		formats string
		want    string
	}{
		{"we play in its first", nil, "0 8 96 97 98", "0 98"},
		{"what we cannot play in is not for us", nil, "96 9 8 97 98", "8 98"},
		{"Opus and what can be played", []Codec{Opus, PCMA}, "96 0 8 97 98", "96 8 97 98"},
		{"Opus alone", []Codec{Opus}, "96 0 97 98", "96 97 98"},
		{"Opus with keys on the other clock", []Codec{Opus, PCMU}, "96 0 98", "96 0 98"},
		{"G.722 and its clock", []Codec{G722, PCMU}, "9 0 97 98", "9 0 98"},
	} {
		s := testSession(c.prefer...)
		got, _, err := s.answer(farBody(append([]string{"m=audio 4000 RTP/AVP " + c.formats}, all...)...))
		if err != nil || !strings.Contains(string(got), "m=audio 40000 RTP/AVP "+c.want+"\r\n") {
			t.Errorf("%s (%v):\n%s\nwant %s", c.name, err, got, c.want)
		}
		if again, err := s.offer(); err != nil || len(c.prefer) > 1 && !strings.Contains(string(again), strings.Fields(c.want)[0]+" ") {
			t.Errorf("%s: then offers (%v)\n%s", c.name, err, again)
		}
	}
}

// Later offers keep the far end's payload types and have a line for each line there was.
func TestLaterOffersKeepWhatWasSettled(t *testing.T) {
	s := testSession(Opus, PCMU)
	if _, _, err := s.answer(farBody("m=video 5000 RTP/AVP 99", "m=audio 4000 RTP/AVP 101 0 96", "a=rtpmap:101 opus/48000/2",
		"a=rtpmap:96 telephone-event/8000", "m=application 9 TCP/BFCP *")); err != nil {
		t.Fatal(err)
	}
	got, err := s.offer()
	want := ourBody(1, "m=video 0 RTP/AVP 99", "m=audio 40000 RTP/AVP 101 0 110 96", "a=rtpmap:101 opus/48000/2", "a=rtpmap:0 PCMU/8000",
		"a=rtpmap:110 telephone-event/48000", "a=fmtp:110 0-15", "a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-15",
		"a=ptime:20", "a=sendrecv", "m=application 0 TCP/BFCP *")
	if err != nil || string(got) != want {
		t.Errorf("offered (%v)\n%s\nwant\n%s", err, got, want)
	}
	// The far end takes one of our numbers for something else: ours gives way.
	if _, _, err := s.answer(farBody("m=audio 4000 RTP/AVP 110", "a=rtpmap:110 opus/48000/2")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.offer(); err != nil || !strings.Contains(string(got), "RTP/AVP 110 0 97 96\r\n") {
		t.Errorf("offered (%v)\n%s", err, got)
	}
}

func TestHoldSaysThatWeDoNotListen(t *testing.T) {
	s := testSession()
	s.holding = true
	if got, err := s.offer(); err != nil || !strings.Contains(string(got), "a=sendonly") {
		t.Errorf("offered (%v)\n%s", err, got)
	}
	for theirs, ours := range map[string]string{"sendrecv": "sendonly", "recvonly": "sendonly", "sendonly": "inactive", "inactive": "inactive"} {
		got, agreed, err := s.answer(farBody("m=audio 4000 RTP/AVP 0", "a="+theirs))
		if agreed.hear {
			t.Errorf("%s, and we hold: its silence would count as its end", theirs)
		}
		if err != nil || !strings.Contains(string(got), "a="+ours+"\r\n") {
			t.Errorf("%s answered (%v)\n%s\nwant %s", theirs, err, got, ours)
		}
	}
}

func TestWhereReportsGo(t *testing.T) {
	for _, c := range []struct {
		name, media string
		attributes  []string
		want        string
		mux         bool
	}{
		{"the next port", "m=audio 4000 RTP/AVP 0", nil, "192.0.2.1:4001", false},
		{"another port", "m=audio 4000 RTP/AVP 0", []string{"a=rtcp:5005"}, "192.0.2.1:5005", false},
		{"another address is not believed", "m=audio 4000 RTP/AVP 0", []string{"a=rtcp:5005 IN IP4 192.0.2.9"}, "192.0.2.1:5005", false},
		{"nonsense", "m=audio 4000 RTP/AVP 0", []string{"a=rtcp:99999"}, "192.0.2.1:4001", false},
		{"the last port", "m=audio 65535 RTP/AVP 0", nil, "invalid AddrPort", false},
		{"one port", "m=audio 4000 RTP/AVP 0", []string{"a=rtcp-mux", "a=rtcp:4000"}, "192.0.2.1:4000", true},
	} {
		body, got, err := testSession().answer(farBody(append([]string{c.media}, c.attributes...)...))
		if err != nil || got.rtcp.String() != c.want || got.mux != c.mux || strings.Contains(string(body), "rtcp-mux") != c.mux {
			t.Errorf("%s: %v, one port %v (%v)\n%s", c.name, got.rtcp, got.mux, err, body)
		}
	}
	// Who answers with it unasked has misread us.
	s := testSession()
	if _, err := s.offer(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.accept(farBody("m=audio 4000 RTP/AVP 0", "a=rtcp-mux")); err != nil || got.mux {
		t.Errorf("one port without having offered it (%v)", err)
	}
}
