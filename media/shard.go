package media

import (
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
	// lateTime is from when a beat counts as late.
	lateTime = 5 * time.Millisecond
)

// shard serves some of the engine's legs: one goroutine, which alone touches
// them. Others reach it through do.
type shard struct {
	start    time.Time // of the engine: beat 0, sample 0
	silence  int64     // beats without RTP that make a far end lost; 0: never
	ports    *ports
	lateness prometheus.Observer
	panicked func(in string, value any) // hears of panics caught

	commands atomic.Pointer[command] // newest first
	wake     chan struct{}           // holds a token when a command may be waiting
	done     chan struct{}           // closed when the goroutine has ended
	load     atomic.Int64            // legs here, or on their way

	// Touched by the goroutine only.
	streams [phases][]*stream
	broken  []*stream // to be removed, since serving them panicked
	next    int64     // the beat to come
	stopped bool
	inbox   *inbox
	frame   [headerSize + frameSize]byte // where packets of our own are made
	counts  shardCounts

	published publishedCounts
}

// command is something to be done on the shard's goroutine.
type command struct {
	run   func(now int64)
	older *command
}

func newShard(start time.Time, silence time.Duration, ports *ports, lateness prometheus.Observer) *shard {
	return &shard{
		start:    start,
		silence:  int64((silence + beatTime - 1) / beatTime),
		ports:    ports,
		lateness: lateness,
		panicked: func(string, any) {},
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		inbox:    newInbox(),
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
		timer.Reset(time.Until(s.deadline(s.next)))
		select {
		case <-s.wake:
		case <-timer.C:
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
		c.run(s.next)
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

// beat serves the legs whose turn it is.
func (s *shard) beat(n int64) {
	for _, stream := range s.streams[n%int64(phases)] {
		s.serve(stream, n)
	}
	s.clear()
}

// serve gives a stream its turn.
func (s *shard) serve(st *stream, n int64) {
	defer s.rescue(st)
	st.turn(n)
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

// idle tells whether there is nobody to serve.
func (s *shard) idle() bool {
	for _, streams := range s.streams {
		if len(streams) > 0 {
			return false
		}
	}
	return true
}

// add begins to serve a stream, on the beats with the fewest.
func (s *shard) add(st *stream) {
	phase := 0
	for i, streams := range s.streams {
		if len(streams) < len(s.streams[phase]) {
			phase = i
		}
	}
	st.phase, st.index = phase, len(s.streams[phase])
	s.streams[phase] = append(s.streams[phase], st)
}

// remove ends a stream and gives its ports back. Removing it again does
// nothing.
func (s *shard) remove(st *stream) {
	list := s.streams[st.phase]
	if st.index >= len(list) || list[st.index] != st {
		return
	}
	last := len(list) - 1
	list[st.index] = list[last]
	list[st.index].index = st.index
	list[last] = nil
	s.streams[st.phase] = list[:last]
	st.end()
	s.ports.give(st.port)
	s.load.Add(-1)
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
