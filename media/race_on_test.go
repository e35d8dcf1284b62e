//go:build race

package media

// raceDetector says that the race detector is on: under it a sync.Pool forgets
// at random, so that what takes from one allocates now and then.
const raceDetector = true

// amount gives how much of a test to do that is mere computation: the race detector has
// nothing to find in it, and makes it ten times as long. make test-load does all of it.
func amount(_, withRaceDetector int) int { return withRaceDetector }
