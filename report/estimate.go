package report

import "time"

// The estimated wait: what a caller who joins now is told to expect. It is made of
// what the line has just shown, as no model of agents with many skills would hold:
//
//   - with nobody ahead, the usual wait of those who had nobody ahead;
//   - with n ahead, n + 1 times the usual pause between two callers leaving the line,
//     answered or not, while others wait.
//
// A node sees the calls that came to it: of the line, and of those who leave it, the
// same part. As many times fewer are ahead as fewer leave, so the node's estimate
// is one of the whole line; it is only rougher. No node knows another's.
//
// Of each estimate the error is measured (Counts.EstimateError).

// weight is how much the latest observation changes what is usual: about the last
// eight count.
const weight = 8

// usual is a mean that follows what it observes.
type usual struct {
	time.Duration
	known bool
}

func (u *usual) observe(d time.Duration) {
	if !u.known {
		u.Duration, u.known = d, true
	}
	u.Duration += (d - u.Duration) / weight
}

// estimator watches one line. Its zero value knows nothing.
type estimator struct {
	alone usual     // wait of those who had nobody ahead
	pause usual     // between two who leave a line that is not empty
	left  time.Time // when the last one left; zero if nobody was behind him
}

// leaves is a visit's end: ahead is how many were in line when it joined, behind how
// many are there without it.
func (e *estimator) leaves(at time.Time, answered bool, waited time.Duration, ahead, behind int) {
	if !e.left.IsZero() {
		e.pause.observe(at.Sub(e.left))
	}
	if e.left = at; behind == 0 {
		e.left = time.Time{}
	}
	if answered && ahead == 0 {
		e.alone.observe(waited)
	}
}

// estimate gives the wait of who joins behind so many, to the millisecond; 0 if the
// line has shown nothing yet.
func (e *estimator) estimate(ahead int) time.Duration {
	wait := e.alone.Duration
	switch {
	case e.pause.known && (ahead > 0 || !e.alone.known):
		wait = time.Duration(ahead+1) * e.pause.Duration
	case !e.alone.known:
		return 0
	}
	return max(wait.Round(time.Millisecond), time.Millisecond)
}

// Estimate gives how long a caller who joins a queue now will wait for an answer; 0 if
// nothing can be said yet, as nobody has been answered.
func (f *Figures) Estimate(queue, language string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.lines[lineKey{queue, language}]
	if l == nil {
		return 0
	}
	return l.expect.estimate(len(l.waiting))
}
