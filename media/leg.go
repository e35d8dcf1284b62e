package media

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Errors of legs.
var (
	ErrNoKeys    = errors.New("media: the far end takes neither telephone events nor tones")
	ErrRecording = errors.New("media: the leg is being recorded already")
)

// eventBuffer is how many events a leg keeps for a conductor that is busy.
const eventBuffer = 64

// LegOptions says what kind of leg is wanted.
type LegOptions struct {
	// Prefer is the order of the codecs in our offers, and all we accept.
	// Default: PCMU, PCMA. A leg that is to be played something needs one of
	// these two among them.
	Prefer []Codec
	// SRTP says whether the leg's sound is encrypted.
	SRTP SRTP
	// Confidential says that the signalling which carries our SDP is encrypted,
	// or that it may carry keys all the same. Without it SRTPOffer is SRTPOff, and
	// a leg that requires encryption agrees to nothing: ErrNotConfidential.
	Confidential bool
	// Near is a leg of the same engine on whose shard to sit: two legs that
	// will be bridged need not move then.
	Near *Leg
	// Shared lets the leg be served at a port with many others, which costs less
	// (see docs/decisions/09). It takes effect if the far end offers first and
	// config.Media.SharedPorts is not 0, and not with Latch: an address that
	// must be learnt wants a port of its own.
	Shared bool
	// Latch lets the far end's address be learnt from its packets, for agents
	// behind NAT. Without it packets must come from the address in the far
	// end's SDP; only the port may be another.
	Latch bool
	// Flow is the address that the leg's SIP comes from, if known. Packets
	// from there are believed sooner than others when latching.
	Flow netip.Addr
}

// Leg is one far end: a caller or an agent. Its methods may be called from any
// goroutine; none of them waits for the network. It must be closed.
type Leg struct {
	engine *Engine
	stream *stream
	plays  atomic.Uint64

	mu      sync.Mutex // guards what follows, so that terms reach the shard in order
	session session
	agreed  terms
	hidden  bool // its keys, by HideKeys
	port    legPort

	route sync.Mutex // guards shard, so that commands follow the leg in order
	shard *shard     // where commands go
}

// NewLeg opens a leg, which has a free pair of ports from the start unless it is
// to share one. It hears silence until it is played something, and nothing is
// sent before offer and answer are agreed. Errors: ErrNoPorts, ErrClosed, or the
// operating system's.
func (e *Engine) NewLeg(o LegOptions) (*Leg, error) {
	st := &stream{
		gate:    gate{latch: o.Latch, flow: o.Flow.Unmap()},
		events:  make(chan Event, eventBuffer),
		gone:    make(chan struct{}),
		reports: newReporter(),
	}
	st.bind()
	l := &Leg{engine: e, stream: st}
	if !o.Shared || o.Latch || e.sharedPorts == 0 {
		var err error
		if st.socket, st.port, err = e.bind(rtpBuffer); err != nil {
			return nil, err
		}
		l.port.own = true
	}
	l.session = newSession(netip.AddrPortFrom(e.advertise, st.port), &o)
	l.session.locate = l.forAnswer
	if !e.start(l, o.Near) {
		if l.port.own {
			st.socket.close()
			e.ports.give(st.port)
		}
		return nil, ErrClosed
	}
	return l, nil
}

// start gives a new leg to a shard. False: the engine is closed.
func (e *Engine) start(l *Leg, near *Leg) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	sh, st := e.place(near), l.stream
	l.shard, st.shard = sh, sh
	sh.load.Add(1)
	sh.do(func(now int64) {
		st.out = newSender(now * beatSize)
		sh.add(st)
	})
	return true
}

// Close ends the leg and waits (a moment: no beat, no network) until nothing of
// it is left but its port, which rests before it is used again. A bridge with
// it is undone, a recording completed. It may be called more than once.
func (l *Leg) Close() {
	l.do(func(s *stream, _ int64) { s.shard.remove(s) })
	<-l.stream.gone
}

// Done is closed when the leg is.
func (l *Leg) Done() <-chan struct{} { return l.stream.gone }

// Offer gives an SDP offer of our codecs in our order. Offering again in
// mid-call is allowed.
func (l *Leg) Offer() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	local, err := l.forOffer()
	if err != nil {
		return nil, err
	}
	l.session.local = local
	return l.session.offer()
}

// Answer takes an SDP offer, the first or one in mid-call, and gives our
// answer; its codec is the first of the offer's that we have. If it fails, what
// was agreed before stays in force. Its errors are *SDPError; ErrNoCodec is the
// one to be expected in good company. A leg that may share gets its port here,
// and may find none: ErrNoPorts.
func (l *Leg) Answer(offer []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.session // what fails on the way leaves no trace but the port it got
	answer, t, err := next.answer(offer)
	if err != nil {
		l.session.local = next.local
		return nil, err
	}
	l.session = next
	l.agree(t)
	return answer, nil
}

// Accept takes the answer to our last offer. The same offer may be answered
// more than once, as 183 and 200 do. Errors as with Answer.
func (l *Leg) Accept(answer []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.session
	t, err := next.accept(answer)
	if err != nil {
		return err
	}
	if err := l.forAccept(t.far); err != nil {
		return err
	}
	l.session = next
	l.agree(t)
	return nil
}

// agree puts terms into force.
func (l *Leg) agree(t terms) {
	l.agreed = t
	fresh := new(ear)
	var in *jitter
	if l.hidden {
		in = newJitter()
	}
	l.do(func(s *stream, now int64) {
		s.agree(t, now)
		s.listenFor(t, fresh)
		s.muffle(in)
	})
}

// Codec gives the codec agreed on; zero before that.
func (l *Leg) Codec() Codec {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.agreed.codec
}

// Takes gives the codecs that the far end said last that it takes, of those we
// know, in its order: also those in which nothing has been agreed on.
func (l *Leg) Takes() []Codec {
	var takes []Codec
	for _, f := range l.Formats() {
		takes = append(takes, f.Codec)
	}
	return takes
}

// Formats gives what Takes gives, with the far end's parameters (fmtp).
func (l *Leg) Formats() []Format {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.session.formats)
}

// Prefer changes the codecs of the offers and answers to come, as
// LegOptions.Prefer has them. To agree on them, offer in mid-call. Of a codec
// that is passed on untouched the parameters are told, best those that the other
// far end gave (Formats).
func (l *Leg) Prefer(codecs []Codec, parameters ...Format) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.prefer = slices.Clone(codecs)
	for _, f := range parameters {
		if !f.Codec.isKeys() {
			l.session.parameters[f.Codec] = f.Parameters
		}
	}
}

// Hold says whether our offers and answers to come tell the far end that we do not
// listen; what it is played is sent. It takes effect with the next offer.
func (l *Leg) Hold(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.holding = on
}

// CanPlay tells whether the far end has agreed to a codec in which we can play to it.
// To one that has not, nothing is sent while it is played something; the
// time of that passes all the same, and its end is told.
func (l *Leg) CanPlay() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.agreed.voice != 0
}

// LocalAddr gives the address at which the leg takes RTP, as SDP says it. Its
// port is 0 while a leg that may share has none.
func (l *Leg) LocalAddr() netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.local
}

// Play plays clips one after the other without a gap, in place of what was
// played before. At their end there is a PlayDone with the id returned, and the
// leg hears its peer again, or silence. Before anything is agreed, and while
// the far end holds us, playing waits.
func (l *Leg) Play(clips ...*Clip) PlayID {
	list := &playlist{id: PlayID(l.plays.Add(1)), clips: slices.Clone(clips)}
	l.do(func(s *stream, _ int64) { s.play(list) })
	return list.id
}

// PlayMusic plays a clip round and round, at a position shared by all legs that
// hear it.
func (l *Leg) PlayMusic(c *Clip) {
	l.do(func(s *stream, _ int64) { s.play(music{c}) })
}

// Silence stops whatever is played. A bridged leg hears its peer again.
func (l *Leg) Silence() {
	l.do(func(s *stream, _ int64) { s.play(nil) })
}

// Bridge lets two legs hear each other, until Unbridge, another Bridge or
// Close. What was played to them stops; what is played to one of them later is
// heard in place of its peer until it ends. Keys pass as telephone events where
// both ends take them, and are told as events here all the same. If the legs are
// on different shards, one of them moves.
func (l *Leg) Bridge(peer *Leg) error {
	switch {
	case l == peer:
		return errors.New("media: a leg cannot be bridged to itself")
	case l.closed() || peer.closed():
		return ErrClosed
	}
	if err := l.engine.gather(l, peer); err != nil {
		return err
	}
	l.do(func(s *stream, _ int64) {
		s.shard.when(peer.stream, func(int64) {
			if s.home.Load() == peer.stream.shard {
				s.bridge(peer.stream)
			}
		})
	})
	return nil
}

// Unbridge parts the leg from its peer; both hear silence.
func (l *Leg) Unbridge() {
	l.do(func(s *stream, _ int64) { s.unbridge() })
}

// Events gives what the leg has to tell. The channel is never closed (see
// Done); what is not taken when its buffer of 64 is full is dropped and
// counted.
func (l *Leg) Events() <-chan Event { return l.stream.events }

// Stats gives the leg's counts so far; after Close, the last ones.
func (l *Leg) Stats() Stats {
	reply := make(chan Stats, 1)
	l.do(func(s *stream, _ int64) { reply <- s.counts.stats() })
	select {
	case s := <-reply:
		return s
	case <-l.stream.gone:
		return l.stream.counts.stats() // nobody writes it any more
	}
}

// Record writes both directions to a WAV file until the recording is closed or
// the leg ends. The file is the caller's to close, after Recording.Close.
// ErrRecording: the leg is being recorded already.
func (l *Leg) Record(file io.WriteSeeker) (*Recording, error) {
	r := &Recording{newTaping(l)}
	if err := r.start(func() error { return r.write(file) }); err != nil {
		return nil, err
	}
	return r, nil
}

// do runs something on the leg's shard, unless the leg is closed by then.
func (l *Leg) do(run func(s *stream, now int64)) {
	l.route.Lock()
	defer l.route.Unlock()
	sh := l.shard
	sh.do(func(int64) {
		sh.when(l.stream, func(now int64) { run(l.stream, now) })
	})
}

// where gives the shard that the leg is on or on its way to.
func (l *Leg) where() *shard {
	l.route.Lock()
	defer l.route.Unlock()
	return l.shard
}

// shares tells whether the leg is served at a shared port, which is another
// shard's once it moves.
func (l *Leg) shares() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.port.seat != nil && !l.port.own
}

// closed tells whether the shard has let go of the leg.
func (l *Leg) closed() bool {
	select {
	case <-l.stream.gone:
		return true
	default:
		return false
	}
}
