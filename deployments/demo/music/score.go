package main

// note is one string plucked: when, for how long it may ring, which, how hard.
type note struct {
	at, length float64 // seconds
	pitch      int     // MIDI note number; 60 is middle C
	level      float64 // 0 to 1
}

const (
	quarter   = 60.0 / 96 // seconds at 96 beats a minute
	eighth    = quarter / 2
	barEighth = 8 // eighths in a bar
)

// chord is a bar of harmony: a bass and the four notes above it, low to high.
type chord struct {
	bass  int
	notes [4]int
}

// The progression is in G and ends on the dominant, so that the loop's start
// resolves its end. Everything lies between 150 and 1500 Hz, where a telephone
// is at its best.
var progression = []chord{
	{55, [4]int{62, 67, 71, 74}}, // G
	{54, [4]int{62, 66, 69, 74}}, // D/F#
	{52, [4]int{59, 64, 67, 71}}, // Em
	{59, [4]int{62, 66, 71, 74}}, // Bm
	{60, [4]int{64, 67, 72, 76}}, // C
	{59, [4]int{62, 67, 71, 74}}, // G/B
	{57, [4]int{60, 64, 67, 72}}, // Am7
	{50, [4]int{62, 67, 69, 74}}, // Dsus4
}

// figures are the order in which a bar's notes are plucked, an eighth each;
// they take turns so that the ear does not tire.
var figures = [][barEighth]int{
	{0, 1, 2, 3, 2, 1, 2, 1},
	{0, 2, 1, 3, 1, 2, 3, 2},
}

// piece is the whole loop and its length in seconds: the progression twice,
// the second time with a melody above it.
func piece() (notes []note, length float64) {
	bar := barEighth * eighth
	for round := range 2 {
		for i, c := range progression {
			start := float64(round*len(progression)+i) * bar
			notes = append(notes, note{start, bar, c.bass, 0.55})
			for k, which := range figures[(i+round)%len(figures)] {
				accent := 0.30
				if k%4 == 0 {
					accent = 0.38
				}
				notes = append(notes, note{start + float64(k)*eighth, 4 * eighth, c.notes[which], accent})
			}
			if round == 1 {
				notes = append(notes, melody(c, i, start)...)
			}
		}
	}
	return notes, 2 * float64(len(progression)) * bar
}

// melody sings the top of the chord, and in every other bar steps down.
func melody(c chord, i int, start float64) []note {
	top, below := c.notes[3], c.notes[2]
	if i%2 == 0 {
		return []note{{start, 6 * eighth, top + 12, 0.32}, {start + 6*eighth, 3 * eighth, below + 12, 0.26}}
	}
	return []note{{start + 2*eighth, 6 * eighth, below + 12, 0.30}}
}
