package media

import (
	"bytes"
	"fmt"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// replayWindow is how far behind the newest a packet may come, in packets.
const replayWindow = 64

// secure encrypts what goes out and opens what comes in. In force it belongs
// to the leg's shard. Rollover counters and the memory against replays last as
// long as the key they belong to.
type secure struct {
	suite         *suite
	local, remote masterKey
	in, out       *srtp.Context
	before        *srtp.Context // for packets under the far end's last key, until one comes under the new

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
		next.before, next.scratch = before.in, make([]byte, datagramSize)
	}
	var err error
	if next.out == nil {
		if next.out, err = s.context(local); err != nil {
			return nil, err
		}
	}
	if next.in == nil {
		if next.in, err = s.context(remote, srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow)); err != nil {
			return nil, err
		}
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
	if s.before != nil {
		return s.openEither(raw)
	}
	plain, err := s.in.DecryptRTP(raw, raw, &s.header)
	return plain, err == nil
}

// openEither opens a packet by the new key or the last. Trying a key may spoil
// the packet, hence the copy.
func (s *secure) openEither(raw []byte) ([]byte, bool) {
	tried := s.scratch[:copy(s.scratch, raw)]
	if plain, err := s.in.DecryptRTP(tried, tried, &s.header); err == nil {
		s.before = nil
		return raw[:copy(raw, plain)], true
	}
	plain, err := s.before.DecryptRTP(raw, raw, &s.header)
	return plain, err == nil
}

// seal encrypts an RTP packet in place; its slice has sealSize to spare. False:
// the key is used up.
func (s *secure) seal(packet []byte) ([]byte, bool) {
	sealed, err := s.out.EncryptRTP(packet, packet, &s.header)
	return sealed, err == nil
}

// openReport checks and decrypts an RTCP packet in place.
func (s *secure) openReport(raw []byte) ([]byte, bool) {
	plain, err := s.in.DecryptRTCP(raw, raw, &s.rtcpHeader)
	return plain, err == nil
}

// sealReport encrypts an RTCP packet in place; its slice has sealSize to spare.
func (s *secure) sealReport(packet []byte) ([]byte, bool) {
	sealed, err := s.out.EncryptRTCP(packet, packet, &s.rtcpHeader)
	return sealed, err == nil
}
