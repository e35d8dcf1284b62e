package media

import "slices"

const (
	// jitterSize is the ring of a jitter buffer in samples: ten packets, and
	// room to the next power of two, so that timestamps wrap with it.
	jitterSize = 2048
	jitterRoom = int32(10 * frameSize)

	jitterTarget = int32(2 * frameSize) // gathered before a sound begins: 40 ms
	jitterMost   = int32(3 * frameSize) // where the network has shown that it needs more: 60 ms
	jitterStep   = 80

	// jitterPatience is how many turns in a row a sound that ceases is waited for,
	// before its next packet begins it anew.
	jitterPatience = 3
	// jitterLate is how many packets in a row may be too late, before their
	// sender is believed to have set back its clock.
	jitterLate = 10
	// jitterWatch is how many turns the depth is watched before it is made less.
	jitterWatch = 25
)

// jitter evens out one far end's audio: packets go in as they come, 20 ms come
// out each turn. It puts them in order, drops what comes twice or too late, and
// conceals what is missing. Its depth follows the network: a sound that ceases
// too early is waited for, which makes it deeper; what has not been needed for
// half a second is taken out again, a period of the voice at a time. The same
// keeps up with a sender whose clock runs faster or slower than ours.
type jitter struct {
	pcm [jitterSize]int16 // by timestamp
	has [jitterSize]bool

	begun  bool // there is a stream
	ssrc   uint32
	play   uint32 // timestamp of the next sample to come out
	end    uint32 // after the newest
	going  bool   // a sound is coming out; else one is being gathered
	target int32  // samples to gather
	late   int    // packets in a row

	reserve  int32 // samples kept back: time to mute what is found out late
	since    int32 // turns since the newest packet; they count as time kept back
	draining bool  // it is to run empty, as fast as goes unnoticed

	dry    int   // turns in a row without all of their samples
	turns  int   // watched
	lowest int32 // depth in them

	muting           bool
	quietFrom, quiet uint32 // timestamps: nothing between them is to be heard

	conceal    concealer
	concealing bool
	joining    int // samples into the blend from what was concealed; blend: none

	dropped, concealed uint64 // packets; samples
}

func newJitter() *jitter { return &jitter{target: jitterTarget, joining: blend} }

// put takes a packet's audio.
func (j *jitter) put(ssrc, timestamp uint32, audio []byte, c Codec) {
	size := int32(len(audio))
	if size > jitterRoom {
		return
	}
	if !j.begun || ssrc != j.ssrc {
		j.restart(ssrc, timestamp)
	}
	ahead := int32(timestamp - j.play)
	switch {
	case ahead+size > jitterRoom || ahead < -sampleRate:
		j.restart(ssrc, timestamp)
		ahead = 0
	case ahead+size <= 0:
		j.dropped++
		if j.late++; j.late < jitterLate {
			return
		}
		j.restart(ssrc, timestamp)
		ahead = 0
	case ahead > 0 && !j.going && j.play == j.end:
		j.play, j.end = timestamp, timestamp // a sound after a pause
		ahead = 0
	}
	j.late, j.since = 0, 0
	if ahead < 0 {
		audio, timestamp = audio[-ahead:], j.play
	}
	if int32(timestamp+uint32(len(audio))-j.end) <= 0 && j.has[timestamp%jitterSize] {
		j.dropped++ // twice
		return
	}
	j.lay(timestamp, audio, c)
	if end := timestamp + uint32(len(audio)); int32(end-j.end) > 0 {
		j.end = end
	}
	if j.muting {
		j.silence()
	}
}

// lay puts samples into the ring.
func (j *jitter) lay(timestamp uint32, audio []byte, c Codec) {
	for at := timestamp % jitterSize; len(audio) > 0; at = 0 {
		n := min(len(audio), int(jitterSize-at))
		decode(j.pcm[at:], audio[:n], c)
		for i := range j.has[at:][:n] {
			j.has[int(at)+i] = true
		}
		audio = audio[n:]
	}
}

// restart forgets what is in the buffer and begins at a timestamp.
func (j *jitter) restart(ssrc, timestamp uint32) {
	clear(j.has[:])
	j.begun, j.ssrc, j.play, j.end = true, ssrc, timestamp, timestamp
	j.going, j.late, j.muting = false, 0, false
}

// mute makes silent what lies between two timestamps, whether it has come yet or
// not; what has come out already cannot be helped.
func (j *jitter) mute(from, to uint32) {
	if j.muting && int32(from-j.quiet) <= 0 && int32(from-j.quietFrom) > 0 {
		from = j.quietFrom // it goes on
	}
	j.muting, j.quietFrom, j.quiet = true, from, to
	j.silence()
}

// silence mutes what has come of that.
func (j *jitter) silence() {
	if int32(j.quiet-j.play) <= 0 || int32(j.quietFrom-j.play) > jitterSize {
		return
	}
	for at := later(j.quietFrom, j.play); int32(j.quiet-at) > 0 && int32(j.end-at) > 0; at++ {
		j.pcm[at%jitterSize] = 0
	}
}

// later gives the later of two timestamps.
func later(a, b uint32) uint32 {
	if int32(a-b) > 0 {
		return a
	}
	return b
}

// depth is how many samples there are to come out.
func (j *jitter) depth() int32 {
	return int32(j.end-j.play) - max(0, j.reserve-j.since*int32(frameSize))
}

// pull gives the next samples.
func (j *jitter) pull(out *[frameSize]int16) {
	j.tune()
	if !j.going && j.begun && j.depth() >= j.start() {
		j.going, j.dry = true, 0
		j.turns, j.lowest = 0, jitterRoom
	}
	n, mark := 0, 0 // out[:mark] is in the concealer's past
	if j.going {
		for depth := j.depth(); n < frameSize && depth > 0; n, depth = n+1, depth-1 {
			if run := j.plain(out[n:min(frameSize, n+int(depth))]); run > 0 {
				n, depth = n+run-1, depth-int32(run)+1
				continue
			}
			at := j.play % jitterSize
			j.play++
			if j.has[at] {
				j.has[at] = false
				out[n] = j.joined(j.pcm[at])
				continue
			}
			mark = j.lose(out, mark, n)
			out[n] = j.conceal.next()
		}
		j.note(n)
	}
	for ; n < frameSize; n++ {
		mark = j.lose(out, mark, n)
		out[n] = j.conceal.next()
	}
	j.conceal.heard(out[mark:])
	j.since++
}

// plain takes samples out of the ring as they are, as many as there are in one
// piece; none while what comes has to be blended.
func (j *jitter) plain(out []int16) int {
	if j.concealing || j.joining < blend {
		return 0
	}
	at := j.play % jitterSize
	has := j.has[at:min(jitterSize, int(at)+len(out))]
	n := slices.Index(has, false)
	if n < 0 {
		n = len(has)
	}
	copy(out, j.pcm[at:][:n])
	clear(has[:n])
	j.play += uint32(n)
	return n
}

// start is how much must have been gathered for a sound to begin.
func (j *jitter) start() int32 {
	if j.draining {
		return 1
	}
	return j.target
}

// note remembers a turn in which a sound gave so many samples.
func (j *jitter) note(n int) {
	if n == frameSize {
		j.dry = 0
		return
	}
	j.target = min(j.target+jitterStep, jitterMost)
	if j.dry++; j.dry == jitterPatience {
		j.going = false
	}
}

// lose notes that a sample is missing, and begins to conceal where nothing was
// concealed before.
func (j *jitter) lose(out *[frameSize]int16, mark, n int) int {
	if j.going {
		j.concealed++
	}
	if j.concealing && j.joining == blend {
		return mark
	}
	j.conceal.heard(out[mark:n])
	j.conceal.begin()
	j.concealing, j.joining = true, blend
	return n
}

// joined gives a sample that has come, blended with what was concealed before.
func (j *jitter) joined(sample int16) int16 {
	if j.concealing {
		j.concealing, j.joining = false, 0
	}
	if j.joining == blend {
		return sample
	}
	sample = fade(j.conceal.next(), sample, j.joining)
	j.joining++
	return sample
}

// tune takes out a period of the sound if the buffer has been deeper than it
// need be, or is to run empty.
func (j *jitter) tune() {
	if !j.going {
		return
	}
	depth := j.depth()
	j.lowest = min(j.lowest, depth)
	j.turns++
	switch {
	case j.draining:
		j.shorten()
	case j.turns >= jitterWatch:
		if j.lowest > j.target+int32(frameSize) {
			j.shorten()
		}
		j.turns, j.lowest = 0, jitterRoom
	}
}

// shorten drops the samples after which the sound is most like what it is now,
// and blends the two.
func (j *jitter) shorten() {
	const shortest, longest = concealShort * 2, concealLong
	var next [longest + concealMatch]int16
	if j.depth() < int32(len(next)) {
		return
	}
	for i := range next {
		at := (j.play + uint32(i)) % jitterSize
		if !j.has[at] {
			return
		}
		next[i] = j.pcm[at]
	}
	best, most := longest, 0.
	for lag := shortest; lag <= longest; lag++ {
		like, power := match(next[:concealMatch], next[lag:])
		if like > 0 && power > 0 {
			if score := float64(like) * float64(like) / float64(power); score > most {
				best, most = lag, score
			}
		}
	}
	for i := range best {
		j.has[(j.play+uint32(i))%jitterSize] = false
	}
	j.play += uint32(best)
	for i := range blend {
		at := (j.play + uint32(i)) % jitterSize
		j.pcm[at] = fade(next[i], j.pcm[at], i)
	}
}

// drained tells that a buffer that is to run empty has.
func (j *jitter) drained() bool { return j.draining && (!j.going || j.dry > 0 || j.depth() < blend) }
