package media

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// beatTime is a shard's beat. Legs are served on every second one, half of
	// them on the even and half on the odd beats.
	beatTime = 10 * time.Millisecond
	phases   = int(frameTime / beatTime)
	// catchUp is how many beats late a shard still makes up for: two more
	// packets a leg. Beyond that it lets the time go.
	catchUp = int64(2 * phases)
	// glanceTurns is how many turns a leg has between two looks at what needs no
	// haste: 100 ms.
	glanceTurns = 5
	// inboxSize and scratchSize are what a shard has for the datagrams and the
	// payloads of a beat; if that is too little, it sends before the beat is over.
	inboxSize   = 512
	scratchSize = 256 << 10
	// lateTime is from when a beat counts as late.
	lateTime = 5 * time.Millisecond
)

// shard serves some of the engine's legs: one goroutine, which alone touches
// them. Others reach it through do.
type shard struct {
	start    time.Time // of the engine: beat 0, sample 0
	silence  int64     // beats without RTP that make a far end lost; 0: never
	pool     *ports
	lateness prometheus.Observer
	panicked func(in string, value any) // hears of panics caught
	ended    func(Stats)                // takes what legs that end have counted

	commands atomic.Pointer[command] // newest first
	wake     chan struct{}           // holds a token when a command may be waiting
	done     chan struct{}           // closed when the goroutine has ended
	load     atomic.Int64            // legs here, or on their way

	// Touched by the goroutine only.
	streams  [phases][]*stream
	arriving map[*stream]*arrival
	ports    []*sharedPort
	broken   []*stream     // to be removed, since serving them panicked
	next     int64         // the beat to come
	elapsed  time.Duration // from start to the last time beats were due
	wall     int64         // the same by the clock on the wall, in nanoseconds since 1970
	stopped  bool
	inbox    *inbox
	frame    [datagramSize + sealSize]byte // where a report is put together
	scratch  []byte                        // where payloads are that are put together
	used     int                           // of scratch
	queued   uint64                        // packets ever put into outboxes
	counts   shardCounts

	published publishedCounts
}

// command is something to be done on the shard's goroutine.
type command struct {
	run   func(now int64)
	older *command
}

func newShard(start time.Time, silence time.Duration, pool *ports, lateness prometheus.Observer) *shard {
	return &shard{
		start:    start,
		silence:  int64((silence + beatTime - 1) / beatTime),
		pool:     pool,
		lateness: lateness,
		panicked: func(string, any) {},
		ended:    func(Stats) {},
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		arriving: make(map[*stream]*arrival),
		inbox:    newInbox(inboxSize),
		scratch:  make([]byte, scratchSize),
	}
}

// do has the shard run a command, at once and in order, between two beats; the
// command is given the beat to come. It may be called from anywhere and does
// not wait. After the shard has stopped, commands are not run.
func (s *shard) do(run func(now int64)) {
	c := &command{run: run}
	for {
		c.older = s.commands.Load()
		if s.commands.CompareAndSwap(c.older, c) {
			break
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the shard's goroutine. Deadlines are absolute: a late beat does not
// push back the next. Without legs it sleeps.
func (s *shard) run() {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	armed := int64(-1) // the beat that the timer is set for
	for {
		s.obey()
		if s.stopped {
			return
		}
		if s.idle() {
			<-s.wake
			s.next = s.beatAt(time.Now()) + 1
			continue
		}
		// Set anew before it fires, a timer has the runtime look through all timers of
		// the process when it is due, and calls keep a hundred thousand.
		if armed != s.next {
			timer.Reset(time.Until(s.deadline(s.next)))
			armed = s.next
		}
		select {
		case <-s.wake:
		case <-timer.C:
			armed = -1
			s.due(time.Now())
		}
	}
}

// obey runs the commands that wait, oldest first.
func (s *shard) obey() {
	var oldest *command
	for c := s.commands.Swap(nil); c != nil; {
		c, c.older, oldest = c.older, oldest, c
	}
	for c := oldest; c != nil; c = c.older {
		s.contain(c)
		s.clear()
	}
}

// due runs the beats that are due, letting go those beyond catchUp.
func (s *shard) due(now time.Time) {
	late := now.Sub(s.deadline(s.next))
	s.lateness.Observe(late.Seconds())
	if late > lateTime {
		s.counts.lateBeats++
	}
	s.elapsed, s.wall = now.Sub(s.start), now.UnixNano()
	last := s.beatAt(now)
	if skipped := last - s.next - catchUp; skipped > 0 {
		s.counts.skippedBeats += uint64(skipped)
		s.next += skipped
	}
	for ; s.next <= last; s.next++ {
		s.beat(s.next)
	}
	s.published.store(&s.counts)
}

// beat takes what has come to the shared ports, serves the legs whose turn it
// is, and sends what is to be sent together.
func (s *shard) beat(n int64) {
	for _, p := range s.ports {
		s.drain(p, n)
	}
	turn := s.streams[n%int64(phases)]
	for _, st := range turn {
		if n >= st.due && n >= st.resting {
			s.serve(st, n)
		}
	}
	s.glance(turn, n)
	s.flush()
	s.clear()
}

// contain runs a command; a panic in it is the end of that command alone.
func (s *shard) contain(c *command) {
	defer s.survive("command")
	c.run(s.next)
}

// drain takes what has come to a shared port.
func (s *shard) drain(p *sharedPort, n int64) {
	defer s.survive("shared port")
	p.drain(n)
	p.drainReports(n)
}

// farewell tells a stream's far end and peers of its end.
func (s *shard) farewell(st *stream) {
	defer s.survive("end of a leg")
	st.end(s.next)
}

// survive, deferred, catches a panic in what is done for no one leg, or for one
// that has ended already.
func (s *shard) survive(in string) {
	if r := recover(); r != nil {
		s.panicked(in, r)
	}
}

// serve gives a stream its turn.
func (s *shard) serve(st *stream, n int64) {
	defer s.rescue(st)
	st.turn(n)
}

// deliver gives a stream a datagram of a shared port.
func (s *shard) deliver(st *stream, raw []byte, from netip.AddrPort, n int64) {
	defer s.rescue(st)
	st.take(raw, from, n)
}

// glance looks at a part of the streams, each time another, for what needs no
// haste.
func (s *shard) glance(streams []*stream, n int64) {
	part := int(n / int64(phases) % glanceTurns)
	for _, st := range streams[len(streams)*part/glanceTurns : len(streams)*(part+1)/glanceTurns] {
		s.look(st, n)
	}
}

// look gives a stream its look.
func (s *shard) look(st *stream, n int64) {
	defer s.rescue(st)
	st.listen(n)
	st.report(n)
}

// flush sends what the shared ports have put together, and lets go of the memory
// it lies in.
func (s *shard) flush() {
	s.send()
	s.inbox.release()
}

// send is flush without letting go of what was received.
func (s *shard) send() {
	for _, p := range s.ports {
		if p.out.used > 0 {
			p.out.send(p.sockets.rtp)
		}
	}
	s.used = 0
}

// room gives memory for a payload of ours, which must be handed on before room is
// asked for again: it lasts until the packet is sent.
func (s *shard) room(size int) body {
	size += headerSize
	if s.used+size+sealSize > len(s.scratch) {
		s.send()
	}
	room := s.scratch[s.used:][: size : size+sealSize]
	s.used += cap(room)
	return room
}

// rescue, deferred, catches a panic in what is done for a stream: that one call
// is lost, and no other on the shard.
func (s *shard) rescue(st *stream) {
	if r := recover(); r != nil {
		s.panicked("leg", r)
		st.tell(Lost{})
		s.broken = append(s.broken, st)
	}
}

// clear removes the streams that broke.
func (s *shard) clear() {
	for _, st := range s.broken {
		s.remove(st)
	}
	s.broken = s.broken[:0]
}

// deadline tells when a beat is due.
func (s *shard) deadline(n int64) time.Time { return s.start.Add(time.Duration(n) * beatTime) }

// beatAt tells the newest beat due at a time.
func (s *shard) beatAt(t time.Time) int64 { return int64(t.Sub(s.start) / beatTime) }

// idle tells whether there is nobody to serve: no leg, and no shared port of legs
// that are elsewhere.
func (s *shard) idle() bool {
	if len(s.ports) > 0 {
		return false
	}
	for _, streams := range s.streams {
		if len(streams) > 0 {
			return false
		}
	}
	return true
}

// add begins to serve a stream, on the beats with the fewest.
func (s *shard) add(st *stream) {
	for phase, streams := range s.streams {
		if len(streams) < len(s.streams[st.phase]) {
			st.phase = phase
		}
	}
	s.enlist(st)
}

// enlist puts a stream on the list of its phase.
func (s *shard) enlist(st *stream) {
	st.index = len(s.streams[st.phase])
	s.streams[st.phase] = append(s.streams[st.phase], st)
	st.home.Store(s)
}

// drop takes a stream off its list.
func (s *shard) drop(st *stream) {
	list := s.streams[st.phase]
	last := len(list) - 1
	list[st.index] = list[last]
	list[st.index].index = st.index
	list[last] = nil
	s.streams[st.phase] = list[:last]
	st.home.Store(nil)
}

// remove ends a stream and gives its ports back. Removing it again does
// nothing.
func (s *shard) remove(st *stream) {
	if st.home.Load() != s {
		return
	}
	s.drop(st)
	s.load.Add(-1)
	s.farewell(st)
	st.release(s.next)
	s.ended(st.counts.stats())
	if st.port != 0 {
		s.pool.give(st.port)
	}
	close(st.gone)
}

// stop ends every stream and then the goroutine.
func (s *shard) stop() {
	for phase := range s.streams {
		for len(s.streams[phase]) > 0 {
			s.remove(s.streams[phase][0])
		}
	}
	s.published.store(&s.counts)
	s.stopped = true
}
