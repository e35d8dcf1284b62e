//go:build race

package media

// raceDetector says that the race detector is on: under it a sync.Pool forgets
// at random, so that what takes from one allocates now and then.
const raceDetector = true
