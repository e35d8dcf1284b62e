package media

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"

	"github.com/pion/sdp/v3"
)

// SDPError is an offer or answer that cannot be agreed to.
type SDPError struct {
	Code   int    // the SIP response it deserves: 400 or 488
	Reason string // what is wrong with it
}

// ErrNoCodec says that an SDP has no audio that we can speak.
var ErrNoCodec = &SDPError{488, "no audio format in common"}

// Error gives the reason.
func (e *SDPError) Error() string { return "media: SDP: " + e.Reason }

// SIPCode gives the SIP response code that tells the far end.
func (e *SDPError) SIPCode() int { return e.Code }

// malformed makes the error of a body that cannot be read.
func malformed(format string, args ...any) *SDPError {
	return &SDPError{400, fmt.Sprintf(format, args...)}
}

// session is one end of an SDP negotiation (RFC 3264): what we say. What the
// far end says is read in remote.go.
type session struct {
	local   netip.AddrPort
	locate  func(far netip.AddrPort) (netip.AddrPort, error) // finds local for our answer; nil: it stays
	prefer  []Codec
	id      uint64 // of our origin line
	version uint64 // rises with every body that differs from the last
	last    []byte // the body sent last, under version
	offered bool   // an offer of ours is out, or was the last to be answered
}

// newSession makes the session of a leg whose RTP goes to local.
func newSession(local netip.AddrPort, prefer []Codec) session {
	if len(prefer) == 0 {
		prefer = Preferring(0)
	}
	return session{
		local:  local,
		prefer: slices.Clone(prefer),
		id:     rand.Uint64() >> 2, // it is read into signed 64 bits elsewhere
	}
}

// offer gives a body that offers our codecs.
func (s *session) offer() ([]byte, error) {
	line := audioLine{port: s.local.Port(), direction: sendrecv}
	for _, c := range s.prefer {
		line.formats = append(line.formats, format{c.payloadType(), c})
	}
	line.formats = append(line.formats, format{telephoneEvent.payloadType(), telephoneEvent})
	s.offered = true
	return s.body([]*sdp.MediaDescription{line.describe()})
}

// answer reads an offer and gives our answer and what it comes to.
func (s *session) answer(offer []byte) ([]byte, terms, error) {
	far, err := readRemote(offer)
	if err != nil {
		return nil, terms{}, err
	}
	audio, chosen, err := far.choose(s.prefer)
	if err != nil {
		return nil, terms{}, err
	}
	t, err := s.terms(audio, chosen)
	if err != nil {
		return nil, terms{}, err
	}
	if s.locate != nil {
		if s.local, err = s.locate(t.far); err != nil {
			return nil, terms{}, err
		}
	}
	line := audioLine{port: s.local.Port(), direction: audio.direction.mirror(), formats: []format{chosen}}
	if t.keys {
		line.formats = append(line.formats, format{t.keysType, telephoneEvent})
	}
	var lines []*sdp.MediaDescription
	for _, m := range far.media {
		if m == audio.media {
			lines = append(lines, line.describe())
		} else {
			lines = append(lines, refuse(m))
		}
	}
	body, err := s.body(lines)
	if err != nil {
		return nil, terms{}, err
	}
	s.offered = false
	return body, t, nil
}

// accept reads the answer to our offer and gives what it comes to.
func (s *session) accept(answer []byte) (terms, error) {
	if !s.offered {
		return terms{}, malformed("an answer without an offer")
	}
	far, err := readRemote(answer)
	if err != nil {
		return terms{}, err
	}
	audio, chosen, err := far.choose(s.prefer)
	if err != nil {
		return terms{}, err
	}
	t, err := s.terms(audio, chosen)
	if err != nil {
		return terms{}, err
	}
	// What we offered may come under the numbers of our offer, too.
	for _, c := range append(slices.Clone(s.prefer), telephoneEvent) {
		if n := c.payloadType(); t.receive[n] == 0 {
			t.receive[n] = c
		}
	}
	return t, nil
}

// terms puts together what a far end's audio line and the format chosen from it
// come to.
func (s *session) terms(audio *remoteAudio, chosen format) (terms, error) {
	t := terms{
		codec:       chosen.codec,
		payloadType: chosen.number,
		far:         audio.address,
		send:        audio.direction.hears() && audio.address.IsValid(),
		hear:        audio.direction.speaks(),
	}
	if t.far.IsValid() && t.far.Addr().Is4() != s.local.Addr().Is4() {
		return terms{}, &SDPError{488, "the far end is reached by another version of IP"}
	}
	t.receive[chosen.number] = chosen.codec
	for _, f := range audio.formats {
		if f.codec == telephoneEvent && !t.keys {
			t.keys, t.keysType = true, f.number
			t.receive[f.number] = telephoneEvent
		}
	}
	return t, nil
}

// body writes the lines as a whole SDP body of ours.
func (s *session) body(lines []*sdp.MediaDescription) ([]byte, error) {
	ip := "IP4"
	if s.local.Addr().Is6() {
		ip = "IP6"
	}
	address := s.local.Addr().String()
	d := sdp.SessionDescription{
		Origin: sdp.Origin{Username: "bugle", SessionID: s.id, SessionVersion: s.version,
			NetworkType: "IN", AddressType: ip, UnicastAddress: address},
		SessionName: "-",
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: ip,
			Address: &sdp.Address{Address: address}},
		TimeDescriptions:  []sdp.TimeDescription{{}},
		MediaDescriptions: lines,
	}
	body, err := d.Marshal()
	if err != nil || bytes.Equal(body, s.last) {
		return body, err
	}
	if s.last != nil {
		s.version++
		d.Origin.SessionVersion = s.version
		body, err = d.Marshal()
	}
	s.last = body
	return body, err
}

// format is a payload type and what it stands for.
type format struct {
	number uint8
	codec  Codec
}

// audioLine is a media line of ours.
type audioLine struct {
	port      uint16
	formats   []format
	direction direction
}

// describe gives the line as the SDP library wants it.
func (a *audioLine) describe() *sdp.MediaDescription {
	m := &sdp.MediaDescription{MediaName: sdp.MediaName{
		Media: "audio", Port: sdp.RangedPort{Value: int(a.port)}, Protos: []string{"RTP", "AVP"},
	}}
	for _, f := range a.formats {
		number := strconv.Itoa(int(f.number))
		m.MediaName.Formats = append(m.MediaName.Formats, number)
		m.Attributes = append(m.Attributes, sdp.NewAttribute("rtpmap",
			fmt.Sprintf("%s %v/%d", number, f.codec, sampleRate)))
		if f.codec == telephoneEvent {
			m.Attributes = append(m.Attributes, sdp.NewAttribute("fmtp", number+" 0-15"))
		}
	}
	m.Attributes = append(m.Attributes,
		sdp.NewAttribute("ptime", strconv.Itoa(int(frameTime.Milliseconds()))),
		sdp.NewPropertyAttribute(a.direction.String()))
	return m
}

// refuse gives the answer to a media line that is not wanted: the same, with
// port 0 (RFC 3264, section 6).
func refuse(m *sdp.MediaDescription) *sdp.MediaDescription {
	return &sdp.MediaDescription{MediaName: sdp.MediaName{
		Media: m.MediaName.Media, Protos: m.MediaName.Protos, Formats: m.MediaName.Formats,
	}}
}
