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

// ErrNoEncryption says that one side wants encryption and the other does not
// have it.
var ErrNoEncryption = &SDPError{488, "no agreement on encryption"}

// malformed makes the error of a body that cannot be read.
func malformed(format string, args ...any) *SDPError {
	return &SDPError{400, fmt.Sprintf(format, args...)}
}

// session is one end of an SDP negotiation (RFC 3264): what we say. What the
// far end says is read in remote.go. A copy of it is independent: answer and accept
// are tried on one, since they may fail half-way.
type session struct {
	local      netip.AddrPort
	locate     func(far netip.AddrPort) (netip.AddrPort, error) // finds local for our answer; nil: it stays
	prefer     []Codec
	parameters [codecs]string // of the codecs we pass on, by their other far end
	sdes       sdes
	holding    bool   // we do not listen
	id         uint64 // of our origin line
	version    uint64 // rises with every body that differs from the last
	last       []byte // the body sent last, under version
	offered    bool   // an offer of ours is out, or was the last to be answered

	// What has been settled stays so in later offers (RFC 3264, section 8).
	numbers [codecs]uint8           // payload type of each codec, and one; 0: none yet
	asked   [codecs]uint8           // the same as of our last offer
	lines   []*sdp.MediaDescription // of the last body; all but ours are refused
	ours    int                     // our line among them
	mux     bool

	formats []Format // what the far end said last that it takes
}

// Format is a codec with what SDP's fmtp says of it.
type Format struct {
	Codec      Codec
	Parameters string
}

// newSession makes the session of a leg whose RTP goes to local.
func newSession(local netip.AddrPort, o *LegOptions) session {
	prefer := o.Prefer
	if len(prefer) == 0 {
		prefer = Preferring(0)
	}
	return session{
		local:  local,
		prefer: slices.Clone(prefer),
		sdes:   sdes{mode: o.SRTP, confidential: o.Confidential},
		id:     rand.Uint64() >> 2, // it is read into signed 64 bits elsewhere
	}
}

// offer gives a body that offers our codecs.
func (s *session) offer() ([]byte, error) {
	protocol, crypto, err := s.sdes.offer()
	if err != nil {
		return nil, err
	}
	line := audioLine{port: s.local.Port(), protocol: protocol, crypto: crypto, direction: s.direct(sendrecv), mux: s.mux}
	var keys []format
	for _, c := range s.prefer {
		line.formats = append(line.formats, format{s.number(c), c, s.parameters[c]})
		if k := c.keysOf(); !slices.ContainsFunc(keys, func(f format) bool { return f.codec == k }) {
			keys = append(keys, format{s.number(k), k, encodings[k].parameters})
		}
	}
	line.formats = append(line.formats, keys...)
	s.offered, s.asked = true, s.numbers
	lines := slices.Clone(s.lines)
	if len(lines) == 0 {
		lines = make([]*sdp.MediaDescription, 1)
	}
	lines[s.ours] = line.describe()
	return s.body(lines)
}

// direct gives the direction that is left of one if we hold the far end.
func (s *session) direct(d direction) direction {
	switch {
	case !s.holding:
		return d
	case d.speaks():
		return sendonly
	}
	return inactive
}

// number gives the payload type under which we offer a codec: the one it has in
// this session already, or its usual one, or the first that is free.
func (s *session) number(c Codec) uint8 {
	if s.numbers[c] == 0 {
		const firstDynamic, last = 96, 127
		number := c.payloadType()
		for n := uint8(firstDynamic); slices.Contains(s.numbers[:], number+1) && n <= last; n++ {
			number = n
		}
		s.numbers[c] = number + 1
	}
	return s.numbers[c] - 1
}

// answer reads an offer and gives our answer and what it comes to.
func (s *session) answer(offer []byte) ([]byte, terms, error) {
	far, err := readRemote(offer)
	if err != nil {
		return nil, terms{}, err
	}
	audio, chosen, crypto, err := far.choose(s.prefer, &s.sdes, false)
	if err != nil {
		return nil, terms{}, err
	}
	if err := s.reaches(audio.address); err != nil {
		return nil, terms{}, err
	}
	if s.locate != nil {
		local, err := s.locate(audio.address)
		if err != nil {
			return nil, terms{}, err
		}
		s.local = local
	}
	line := audioLine{
		port: s.local.Port(), protocol: audio.media.MediaName.Protos,
		direction: s.direct(audio.direction.mirror()), formats: s.takeUp(audio, chosen), mux: audio.mux,
	}
	if crypto != nil {
		line.crypto = []cryptoLine{*s.sdes.answerWith(crypto)}
	}
	t, err := s.terms(audio, line.formats, crypto)
	if err != nil {
		return nil, terms{}, err
	}
	var lines []*sdp.MediaDescription
	for i, m := range far.media {
		if m == audio.media {
			lines = append(lines, line.describe())
			s.ours = i
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

// settle keeps the number of a codec for later offers; whatever had it before
// will get another.
func (s *session) settle(f format) {
	if i := slices.Index(s.numbers[:], f.number+1); i >= 0 {
		s.numbers[i] = 0
	}
	s.numbers[f.codec] = f.number + 1
}

// takeUp gives the formats of an offer that our answer has: the chosen one;
// where we cannot play in that, the first in which we can; and keys on the
// clocks of these. Gateways that have keys on the clock of 8 kHz alone send
// them so beside Opus, too.
func (s *session) takeUp(audio *remoteAudio, chosen format) []format {
	formats := []format{chosen}
	find := func(wanted func(Codec) bool) {
		for _, f := range audio.formats {
			if wanted(f.codec) {
				if f.codec.isKeys() {
					f.parameters = encodings[f.codec].parameters
				}
				formats = append(formats, f)
				return
			}
		}
	}
	if !chosen.codec.playable() {
		find(func(c Codec) bool { return c.playable() && slices.Contains(s.prefer, c) })
	}
	if keys := chosen.codec.keysOf(); keys != telephoneEvent {
		find(func(c Codec) bool { return c == keys })
	}
	find(func(c Codec) bool { return c == telephoneEvent })
	for i, f := range formats {
		if !f.codec.isKeys() {
			formats[i].parameters = s.parameters[f.codec]
		}
	}
	return formats
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
	audio, _, crypto, err := far.choose(s.prefer, &s.sdes, true)
	if err != nil {
		return terms{}, err
	}
	formats := slices.DeleteFunc(slices.Clone(audio.formats), func(f format) bool {
		return !f.codec.isKeys() && !slices.Contains(s.prefer, f.codec)
	})
	if err := s.reaches(audio.address); err != nil {
		return terms{}, err
	}
	audio.mux = audio.mux && s.mux // else it was not offered
	t, err := s.terms(audio, formats, crypto)
	if err != nil {
		return terms{}, err
	}
	// What we offered may come under the numbers of our offer, too.
	for c, number := range s.asked {
		if number != 0 && t.receive[number-1] == 0 {
			t.receive[number-1] = Codec(c)
		}
	}
	return t, nil
}

// reaches gives an error if our RTP cannot go to a far end; to one that is
// nowhere, none goes.
func (s *session) reaches(far netip.AddrPort) error {
	if far.IsValid() && far.Addr().Is4() != s.local.Addr().Is4() {
		return &SDPError{488, "the far end is reached by another version of IP"}
	}
	return nil
}

// terms puts together what a far end's audio line and the formats taken from it
// come to.
func (s *session) terms(audio *remoteAudio, formats []format, crypto *cryptoLine) (terms, error) {
	t := terms{
		far:  audio.address,
		rtcp: audio.rtcp,
		mux:  audio.mux,
		send: audio.direction.hears() && audio.address.IsValid(),
		hear: audio.direction.speaks() && !s.holding,
	}
	if t.mux {
		t.rtcp = t.far
	}
	for _, f := range formats {
		t.add(f)
		t.receive[f.number] = f.codec
		s.settle(f)
	}
	if crypto != nil {
		var err error
		if t.secure, err = s.sdes.agree(crypto); err != nil {
			return terms{}, &SDPError{488, err.Error()}
		}
	}
	s.mux = t.mux
	s.formats = s.formats[:0:0]
	for _, f := range audio.formats {
		if !f.codec.isKeys() {
			s.formats = append(s.formats, Format{f.codec, f.parameters})
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
	s.lines = lines
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
	number     uint8
	codec      Codec
	parameters string // its fmtp
}

// audioLine is a media line of ours.
type audioLine struct {
	port      uint16
	protocol  []string
	formats   []format
	crypto    []cryptoLine
	direction direction
	mux       bool
}

// describe gives the line as the SDP library wants it.
func (a *audioLine) describe() *sdp.MediaDescription {
	m := &sdp.MediaDescription{MediaName: sdp.MediaName{
		Media: "audio", Port: sdp.RangedPort{Value: int(a.port)}, Protos: a.protocol,
	}}
	add := func(key, value string) { m.Attributes = append(m.Attributes, sdp.NewAttribute(key, value)) }
	for _, f := range a.formats {
		number := strconv.Itoa(int(f.number))
		m.MediaName.Formats = append(m.MediaName.Formats, number)
		add("rtpmap", number+" "+f.codec.rtpmap())
		if f.parameters != "" {
			add("fmtp", number+" "+f.parameters)
		}
	}
	for i := range a.crypto {
		add("crypto", a.crypto[i].attribute())
	}
	add("ptime", strconv.Itoa(int(frameTime.Milliseconds())))
	if a.mux {
		m.Attributes = append(m.Attributes, sdp.NewPropertyAttribute("rtcp-mux"))
	}
	m.Attributes = append(m.Attributes, sdp.NewPropertyAttribute(a.direction.String()))
	return m
}

// refuse gives the answer to a media line that is not wanted: the same, with
// port 0 (RFC 3264, section 6).
func refuse(m *sdp.MediaDescription) *sdp.MediaDescription {
	return &sdp.MediaDescription{MediaName: sdp.MediaName{
		Media: m.MediaName.Media, Protos: m.MediaName.Protos, Formats: m.MediaName.Formats,
	}}
}
