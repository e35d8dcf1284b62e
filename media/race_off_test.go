//go:build !race

package media

const raceDetector = false

func amount(all, _ int) int { return all }
