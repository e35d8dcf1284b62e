package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Of nothing there is no figure: a Ratio, Mean or Score of nothing is neither 0
// nor anything else. It prints as "–", is null in JSON and empty in CSV.

const ofNothing = "–"

// Ratio is a part of a whole.
type Ratio struct{ Part, Whole uint64 }

// Value gives the ratio from 0 to 1, NaN of nothing.
func (r Ratio) Value() float64 {
	if r.Whole == 0 {
		return math.NaN()
	}
	return float64(r.Part) / float64(r.Whole)
}

// String gives the ratio in percent with one decimal, as people read it.
func (r Ratio) String() string {
	if r.Whole == 0 {
		return ofNothing
	}
	return fmt.Sprintf("%.1f %%", 100*r.Value())
}

// MarshalJSON gives the ratio from 0 to 1 with four decimals.
func (r Ratio) MarshalJSON() ([]byte, error) { return r.append(nil), nil }

func (r Ratio) append(b []byte) []byte {
	if r.Whole == 0 {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, math.Round(r.Value()*1e4)/1e4, 'f', -1, 64)
}

// Mean is a sum of times over how many there were.
type Mean struct {
	Sum time.Duration
	Of  uint64
}

// Value gives the mean, 0 of nothing.
func (m Mean) Value() time.Duration {
	if m.Of == 0 {
		return 0
	}
	return m.Sum / time.Duration(m.Of)
}

// String gives the mean as m:ss, or in seconds with one decimal below a minute.
func (m Mean) String() string {
	if m.Of == 0 {
		return ofNothing
	}
	if tenths := m.Value().Round(100 * time.Millisecond); tenths < time.Minute {
		return fmt.Sprintf("%.1f s", tenths.Seconds())
	}
	s := int64(m.Value().Round(time.Second).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// MarshalJSON gives the mean in seconds, to the millisecond.
func (m Mean) MarshalJSON() ([]byte, error) { return m.append(nil), nil }

func (m Mean) append(b []byte) []byte {
	if m.Of == 0 {
		return append(b, "null"...)
	}
	return appendSeconds(b, m.Value())
}

// Score is how many more were for than against, in percent of all.
type Score struct{ For, Against, All uint64 }

// Value gives the score from -100 to 100, NaN of nothing.
func (s Score) Value() float64 {
	if s.All == 0 {
		return math.NaN()
	}
	return 100 * (float64(s.For) - float64(s.Against)) / float64(s.All)
}

// String gives the score with its sign and one decimal.
func (s Score) String() string {
	if s.All == 0 {
		return ofNothing
	}
	return fmt.Sprintf("%+.1f", s.Value())
}

// MarshalJSON gives the score with one decimal.
func (s Score) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

func (s Score) append(b []byte) []byte {
	if s.All == 0 {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, math.Round(s.Value()*10)/10, 'f', -1, 64)
}

// appendSeconds writes a length of time in seconds, to the millisecond.
func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d.Round(time.Millisecond).Milliseconds())/1000, 'f', -1, 64)
}
