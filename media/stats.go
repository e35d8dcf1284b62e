package media

import "time"

// Stats is what a leg has counted so far.
type Stats struct {
	Codec Codec  // negotiated; zero before
	Suite string // of its encryption, as RFC 4568 names it; empty: none

	PacketsIn, BytesIn   uint64 // RTP of the far end, headers included
	PacketsOut, BytesOut uint64 // RTP sent to it

	Missing    uint64 // packets of the far end that its sequence numbers show as lost
	Strangers  uint64 // packets from elsewhere, or not authentic, dropped
	Malformed  uint64 // datagrams that are neither RTP nor RTCP, dropped
	Unexpected uint64 // packets of the far end in a format never agreed on, dropped
	Unheard    uint64 // packets that the peer's far end could not take, dropped

	Heard Quality // what the far end says, as it reaches us
	Sent  Quality // what we say, as the far end reports that it reaches it

	RoundTrip time.Duration // mean, by RTCP; 0: not known
}

// Quality tells how well one direction of a leg's sound has travelled.
type Quality struct {
	Loss   float64       // share of the packets, 0 to 1
	Jitter time.Duration // mean, as RFC 3550 reckons it
	// MOS is the mean opinion score that the E-model (ITU-T G.107) foretells, 1
	// to 4.41; 0: nothing is known of this direction.
	MOS float64
}

// legCounts is the running count of a stream.
type legCounts struct {
	sequence sequenceCount
	transit  transit
	octets   uint64 // of payload sent, without tags of encryption
	Stats

	jitter    mean // of transit, once a second
	farJitter mean // as the far end's reports have it
	farLoss   float64
	roundTrip mean
}

// stats gives the counts as the outside sees them.
func (c *legCounts) stats() Stats {
	s := c.Stats
	s.Missing = c.sequence.missing()
	s.RoundTrip = c.roundTrip.value()
	jitter := c.jitter.value()
	if c.jitter.n == 0 {
		jitter = c.transit.time()
	}
	if s.PacketsIn > 0 {
		s.Heard = Quality{Loss: c.sequence.loss(), Jitter: jitter}
		s.Heard.MOS = meanOpinion(mouthToEar(s.RoundTrip, jitter), s.Heard.Loss,
			burstiness(s.Heard.Loss, s.Missing, c.sequence.gaps))
	}
	if c.farJitter.n > 0 {
		s.Sent = Quality{Loss: c.farLoss, Jitter: c.farJitter.value()}
		s.Sent.MOS = meanOpinion(mouthToEar(s.RoundTrip, s.Sent.Jitter), s.Sent.Loss, 1)
	}
	return s
}

// sequenceCount follows the sequence numbers of one far end, as RFC 3550
// appendix A.3 does for receiver reports: what was expected less what came.
type sequenceCount struct {
	earlier struct{ expected, missing uint64 } // of the runs before the present one
	gaps    uint64                             // how often something was missing, in all runs
	told    struct{ expected, came uint64 }    // of this run, at the last report

	ssrc     uint32
	first    uint16
	newest   uint16
	expected uint64 // in this run
	came     uint64
}

// sequenceRun is how far a sequence may leap, either way, and still be the
// same run.
const sequenceRun = 3000

// note counts a packet. Another SSRC, or a leap, begins another run.
func (c *sequenceCount) note(ssrc uint32, sequence uint16) {
	step := int16(sequence - c.newest)
	switch {
	case c.expected == 0 || ssrc != c.ssrc || step > sequenceRun || step < -sequenceRun:
		next := sequenceCount{ssrc: ssrc, first: sequence, newest: sequence, expected: 1, gaps: c.gaps}
		next.earlier.missing = c.missing()
		next.earlier.expected = c.earlier.expected + c.expected
		*c = next
	case step > 0:
		c.newest = sequence
		c.expected += uint64(step)
		if step > 1 {
			c.gaps++
		}
	}
	c.came++
}

// missing tells how many packets have not come. Repeated packets make up for
// as many, as they do in receiver reports.
func (c *sequenceCount) missing() uint64 {
	if c.came >= c.expected {
		return c.earlier.missing
	}
	return c.earlier.missing + c.expected - c.came
}

// loss gives the share of what was expected that has not come.
func (c *sequenceCount) loss() float64 {
	expected := c.earlier.expected + c.expected
	if expected == 0 {
		return 0
	}
	return float64(c.missing()) / float64(expected)
}

// report fills in what a receiver's report says of the present run, and begins
// the next interval.
func (c *sequenceCount) report(r *reception) {
	expected, came := c.expected-c.told.expected, c.came-c.told.came
	c.told.expected, c.told.came = c.expected, c.came
	r.ssrc = c.ssrc
	r.highest = uint32(c.first) + uint32(c.expected-1)
	r.lost = int32(int64(c.expected) - int64(c.came))
	if expected > came {
		r.fraction = uint8(min(255, (expected-came)*256/expected))
	}
}
