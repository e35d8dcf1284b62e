package ivr

import (
	"fmt"
	"io"
	"log/slog"
)

// Value is what a caller entered. It shows itself as "[masked]" to fmt, slog
// and every encoder, since any number may be one that tells who he is; only
// Digits gives it away, so a search for that name finds each place that sees one.
type Value struct {
	// A pointer, since fmt shows fields it cannot call methods on: in another
	// package's unexported field even a Formatter is passed by.
	digits  *string
	private bool
}

const masked = "[masked]"

// NewValue makes a value of digits, private or not; see Private.
func NewValue(digits string, private bool) Value {
	return Value{digits: &digits, private: private}
}

// Digits is what was entered, in the clear.
func (v Value) Digits() string {
	if v.digits == nil {
		return ""
	}
	return *v.digits
}

// Private says whether the digits are secret beyond that (DoD ID, SSN, date of
// birth): they leave the node in no form but sealed, and are in no recording.
func (v Value) Private() bool { return v.private }

// String is "[masked]".
func (v Value) String() string { return masked }

// Format writes String whatever the verb and flags.
func (v Value) Format(f fmt.State, _ rune) { io.WriteString(f, v.String()) }

// LogValue is String for slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText is String for encoding/json and its like.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
