package media

// Stats is what a leg has counted so far.
type Stats struct {
	Codec Codec // negotiated; zero before

	PacketsIn, BytesIn   uint64 // RTP of the far end, headers included
	PacketsOut, BytesOut uint64 // RTP sent to it

	Missing    uint64 // packets of the far end that its sequence numbers show as lost
	Strangers  uint64 // packets from elsewhere, dropped
	Malformed  uint64 // datagrams that are no RTP, dropped
	Unexpected uint64 // packets of the far end in a format never agreed on, dropped
}

// legCounts is the running count of a stream.
type legCounts struct {
	Stats
	sequence sequenceCount
}

// stats gives the counts as the outside sees them.
func (c *legCounts) stats() Stats {
	s := c.Stats
	s.Missing = c.sequence.missing()
	return s
}

// sequenceCount follows the sequence numbers of one far end, as RFC 3550
// appendix A.3 does for receiver reports: what was expected less what came.
type sequenceCount struct {
	ssrc     uint32
	newest   uint16
	expected uint64 // in the present run
	came     uint64
	earlier  uint64 // missing in the runs before
}

// sequenceRun is how far a sequence may leap, either way, and still be the
// same run.
const sequenceRun = 3000

// note counts a packet. Another SSRC, or a leap, begins another run.
func (c *sequenceCount) note(ssrc uint32, sequence uint16) {
	step := int16(sequence - c.newest)
	switch {
	case c.expected == 0 || ssrc != c.ssrc || step > sequenceRun || step < -sequenceRun:
		*c = sequenceCount{ssrc: ssrc, newest: sequence, expected: 1, earlier: c.missing()}
	case step > 0:
		c.newest = sequence
		c.expected += uint64(step)
	}
	c.came++
}

// missing tells how many packets have not come. Repeated packets make up for
// as many, as they do in receiver reports.
func (c *sequenceCount) missing() uint64 {
	if c.came >= c.expected {
		return c.earlier
	}
	return c.earlier + c.expected - c.came
}
