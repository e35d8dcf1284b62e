package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// replayWindow is how far behind the newest a packet may come, in packets.
const replayWindow = 64

// maxSources is how many SSRCs a far end may use under one key. What is
// remembered of each, its rollover counter and what has come, stays as long as
// the key.
const maxSources = 32

// opener is what opens a far end's packets under one of its keys.
type opener struct {
	context *srtp.Context
	rtp     sources
	rtcp    sources
}

// sources are the SSRCs that have authentically come.
type sources struct {
	known [maxSources]uint32
	n     int
}

// has tells whether an SSRC is among them.
func (s *sources) has(ssrc uint32) bool { return slices.Contains(s.known[:s.n], ssrc) }

// admits tells whether a packet of an SSRC may be opened: that of one more is
// not, when there are as many as there may be.
func (s *sources) admits(ssrc uint32) bool { return s.n < maxSources || s.has(ssrc) }

// add notes that an SSRC has come.
func (s *sources) add(ssrc uint32) {
	if !s.has(ssrc) {
		s.known[s.n] = ssrc
		s.n++
	}
}

// open checks and decrypts an RTP packet in place.
func (o *opener) open(raw []byte, h *rtp.Header) ([]byte, bool) {
	if len(raw) < headerSize {
		return nil, false
	}
	ssrc := binary.BigEndian.Uint32(raw[8:])
	if !o.rtp.admits(ssrc) {
		return nil, false
	}
	plain, err := o.context.DecryptRTP(raw, raw, h)
	if err != nil {
		return nil, false
	}
	o.rtp.add(ssrc)
	return plain, true
}

// openReport checks and decrypts an RTCP packet in place.
func (o *opener) openReport(raw []byte, h *rtcp.Header) ([]byte, bool) {
	if len(raw) < rtcpHeader {
		return nil, false
	}
	ssrc := binary.BigEndian.Uint32(raw[4:])
	if !o.rtcp.admits(ssrc) {
		return nil, false
	}
	plain, err := o.context.DecryptRTCP(raw, raw, h)
	if err != nil {
		return nil, false
	}
	o.rtcp.add(ssrc)
	return plain, true
}

// secure encrypts what goes out and opens what comes in. In force it belongs
// to the leg's shard. Rollover counters and the memory against replays last as
// long as the key they belong to.
type secure struct {
	suite         *suite
	local, remote masterKey
	out           *srtp.Context
	in            *opener
	before        *opener // for packets under the far end's last key, until one comes under the new
	reportsBefore *opener // for reports, the same

	header     rtp.Header // kept from packet to packet, so that none of them allocates
	rtcpHeader rtcp.Header
	scratch    []byte
}

// newSecure makes the encryption for a pair of keys. What it has in common with
// the one in force before goes on: a counter that begun anew under the same key would
// give the same key stream twice.
func newSecure(s *suite, local, remote masterKey, before *secure) (*secure, error) {
	if before != nil && before.suite == s && before.local == local && before.remote == remote {
		return before, nil
	}
	next := &secure{suite: s, local: local, remote: remote}
	if before != nil && before.suite == s && before.local == local {
		next.out = before.out
	}
	if before != nil && before.suite == s && before.remote == remote {
		next.in = before.in
	} else if before != nil {
		next.before, next.reportsBefore, next.scratch = before.in, before.in, make([]byte, datagramSize)
	}
	var err error
	if next.out == nil {
		if next.out, err = s.context(local); err != nil {
			return nil, err
		}
	}
	if next.in == nil {
		c, err := s.context(remote, srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
		if err != nil {
			return nil, err
		}
		next.in = &opener{context: c}
	}
	return next, nil
}

func (s *suite) context(k masterKey, o ...srtp.ContextOption) (*srtp.Context, error) {
	c, err := srtp.CreateContext(bytes.Clone(k.bytes[:s.key]), bytes.Clone(k.bytes[s.key:s.key+s.salt]), s.profile, o...)
	if err != nil {
		return nil, fmt.Errorf("media: %s: %w", s.name, err)
	}
	return c, nil
}

// open checks and decrypts an RTP packet in place. False: it is none of the far
// end's, or has come before.
func (s *secure) open(raw []byte) ([]byte, bool) {
	if s.before == nil {
		return s.in.open(raw, &s.header)
	}
	// Trying a key may spoil the packet, hence the copy.
	tried := s.scratch[:copy(s.scratch, raw)]
	if plain, ok := s.in.open(tried, &s.header); ok {
		s.before = nil
		return raw[:copy(raw, plain)], true
	}
	return s.before.open(raw, &s.header)
}

// seal encrypts an RTP packet in place; its slice has sealSize to spare. False:
// the key is used up.
func (s *secure) seal(packet []byte) ([]byte, bool) {
	sealed, err := s.out.EncryptRTP(packet, packet, &s.header)
	return sealed, err == nil
}

// openReport checks and decrypts an RTCP packet in place, as open does.
func (s *secure) openReport(raw []byte) ([]byte, bool) {
	if s.reportsBefore == nil {
		return s.in.openReport(raw, &s.rtcpHeader)
	}
	tried := s.scratch[:copy(s.scratch, raw)]
	if plain, ok := s.in.openReport(tried, &s.rtcpHeader); ok {
		s.reportsBefore = nil
		return raw[:copy(raw, plain)], true
	}
	return s.reportsBefore.openReport(raw, &s.rtcpHeader)
}

// sealReport encrypts an RTCP packet in place; its slice has sealSize to spare.
func (s *secure) sealReport(packet []byte) ([]byte, bool) {
	sealed, err := s.out.EncryptRTCP(packet, packet, &s.rtcpHeader)
	return sealed, err == nil
}
