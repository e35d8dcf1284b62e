package media

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// remote is a far end's SDP body as far as it concerns us.
type remote struct {
	media []*sdp.MediaDescription // every line, in order: an answer has as many
	audio []remoteAudio           // the audio lines of a profile we know that are not switched off
}

// remoteAudio is one audio line of a far end's.
type remoteAudio struct {
	media     *sdp.MediaDescription
	formats   []format       // those we know, in the far end's order
	address   netip.AddrPort // not valid when the address is 0.0.0.0: an old-style hold
	rtcp      netip.AddrPort // where it takes RTCP
	mux       bool           // it can have RTCP on the port of RTP (RFC 5761)
	secure    bool           // its profile is one of SRTP
	crypto    []cryptoLine   // those we know, in the far end's order
	direction direction
}

// profiles are the transports we know; true those of SRTP. To the feedback of
// AVPF (RFC 4585), which is an offer and no duty, we do not come.
var profiles = map[string]bool{"RTP/AVP": false, "RTP/AVPF": false, "RTP/SAVP": true, "RTP/SAVPF": true}

// readRemote reads a body. A body that breaks the grammar, or names its address
// in a way we cannot send to, is refused whole.
func readRemote(body []byte) (*remote, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		return nil, malformed("%v", err)
	}
	r := &remote{media: d.MediaDescriptions}
	for _, m := range d.MediaDescriptions {
		name := &m.MediaName
		secure, known := profiles[strings.Join(name.Protos, "/")]
		if name.Media != "audio" || name.Port.Value == 0 || !known {
			continue
		}
		audio := remoteAudio{media: m, formats: readFormats(m), direction: readDirection(&d, m), secure: secure}
		var err error
		if audio.address, err = readAddress(&d, m); err != nil {
			return nil, err
		}
		audio.readRTCP()
		for _, a := range m.Attributes {
			if c, ok := readCrypto(a.Value); ok && a.Key == "crypto" {
				audio.crypto = append(audio.crypto, c)
			}
		}
		r.audio = append(r.audio, audio)
	}
	return r, nil
}

// choose gives the first audio line that may be agreed to and has a format of
// ours, its first such format, and its crypto line, nil for none: the far end's order
// counts, as RFC 3264 section 6.1 wants.
func (r *remote) choose(ours []Codec, d *sdes, answers bool) (*remoteAudio, format, *cryptoLine, error) {
	var err error = ErrNoCodec
	for i := range r.audio {
		crypto, ok := d.choose(&r.audio[i], answers)
		if !ok {
			err = ErrNoEncryption
			continue
		}
		for _, f := range r.audio[i].formats {
			if slices.Contains(ours, f.codec) {
				return &r.audio[i], f, crypto, nil
			}
		}
	}
	return nil, format{}, nil, err
}

// readFormats gives the formats of a media line that we know. Payload types
// without an rtpmap are those of RFC 3551.
func readFormats(m *sdp.MediaDescription) []format {
	names := map[string]string{"0": PCMU.rtpmap(), "8": PCMA.rtpmap(), "9": G722.rtpmap()}
	parameters := map[string]string{}
	for _, a := range m.Attributes {
		number, value, ok := strings.Cut(a.Value, " ")
		switch {
		case ok && a.Key == "rtpmap":
			names[number] = strings.TrimSpace(value)
		case ok && a.Key == "fmtp":
			parameters[number] = strings.TrimSpace(value)
		}
	}
	var known []format
	for _, number := range m.MediaName.Formats {
		n, err := strconv.ParseUint(number, 10, 7)
		if err != nil {
			continue
		}
		if c := codecNamed(names[number]); c != 0 {
			known = append(known, format{uint8(n), c, parameters[number]})
		}
	}
	return known
}

// readRTCP reads where RTCP goes (RFC 3605): on the port after that of RTP, if
// nothing else is said. Another address than that of RTP is not believed.
func (a *remoteAudio) readRTCP() {
	port := a.address.Port() + 1
	for _, attribute := range a.media.Attributes {
		switch attribute.Key {
		case "rtcp-mux":
			a.mux = true
		case "rtcp":
			number, _, _ := strings.Cut(attribute.Value, " ")
			if n, err := strconv.ParseUint(number, 10, 16); err == nil && n > 0 {
				port = uint16(n)
			}
		}
	}
	if a.address.IsValid() && port != 0 {
		a.rtcp = netip.AddrPortFrom(a.address.Addr(), port)
	}
}

// readAddress gives where a media line wants its RTP. The line's own c= wins
// over the session's.
func readAddress(d *sdp.SessionDescription, m *sdp.MediaDescription) (netip.AddrPort, error) {
	connection := m.ConnectionInformation
	if connection == nil {
		connection = d.ConnectionInformation
	}
	if connection == nil || connection.Address == nil {
		return netip.AddrPort{}, malformed("no connection address")
	}
	host, _, _ := strings.Cut(connection.Address.Address, "/") // what follows is for multicast
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, &SDPError{488, "the connection address is not an IP address"}
	}
	address = address.Unmap().WithZone("")
	port := m.MediaName.Port.Value
	switch {
	case port < 0 || port > 1<<16-1:
		return netip.AddrPort{}, malformed("media port %d", port)
	case address.IsMulticast() || address == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.AddrPort{}, &SDPError{488, "the connection address is not that of one far end"}
	case address.IsUnspecified():
		return netip.AddrPort{}, nil
	}
	return netip.AddrPortFrom(address, uint16(port)), nil
}

// direction is which ways media flow on a line, as its writer sees it.
type direction uint8

const (
	sendrecv direction = iota
	sendonly
	recvonly
	inactive
)

// directionNames are the attributes of SDP, by direction.
var directionNames = [...]string{"sendrecv", "sendonly", "recvonly", "inactive"}

// String gives the direction's attribute.
func (d direction) String() string { return directionNames[d] }

// speaks tells whether the line's writer sends.
func (d direction) speaks() bool { return d == sendrecv || d == sendonly }

// hears tells whether the line's writer takes what we send.
func (d direction) hears() bool { return d == sendrecv || d == recvonly }

// mirror gives the direction as the other end sees it.
func (d direction) mirror() direction {
	switch d {
	case sendonly:
		return recvonly
	case recvonly:
		return sendonly
	}
	return d
}

// readDirection gives a media line's direction: its own, the session's, or both
// ways.
func readDirection(d *sdp.SessionDescription, m *sdp.MediaDescription) direction {
	for _, attributes := range [][]sdp.Attribute{m.Attributes, d.Attributes} {
		for _, a := range attributes {
			if i := slices.Index(directionNames[:], a.Key); i >= 0 {
				return direction(i)
			}
		}
	}
	return sendrecv
}
