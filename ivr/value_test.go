package ivr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestValuesAreMasked: whatever prints a value, private or not, at whatever
// depth, the digits are not in it.
func TestValuesAreMasked(t *testing.T) {
	for _, private := range []bool{true, false} {
		t.Run(fmt.Sprintf("private %v", private), func(t *testing.T) { staysMasked(t, private) })
	}
}

func staysMasked(t *testing.T, private bool) {
	const digits = "1234567890"
	v := NewValue(digits, private)
	outcome := Outcome{Kind: Queue, Values: map[string]Value{"dod_id": v}}
	hidden := struct{ inner struct{ v Value } }{}
	hidden.inner.v = v

	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %p"} {
		for _, x := range []any{v, &v, outcome, &outcome, hidden, []Value{v}} {
			printed = append(printed, fmt.Sprintf(verb, x))
		}
	}
	for _, x := range []any{v, &v, outcome, []Value{v}} {
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(b))
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("done", "value", v, "outcome", outcome, "pointer", &v)
	}
	printed = append(printed, log.String(), fmt.Sprintln(v), fmt.Sprint(error(fmt.Errorf("value %v", v))))
	for _, s := range printed {
		if strings.Contains(s, digits) || strings.Contains(s, fmt.Sprintf("%x", digits)) {
			t.Errorf("the digits are in %s", s)
		}
	}
	if got := v.String(); got != "[masked]" {
		t.Errorf("String() = %q, want [masked]", got)
	}
	if got := v.Private(); got != private {
		t.Errorf("Private() = %v, want %v", got, private)
	}
	if got := v.Digits(); got != digits {
		t.Errorf("Digits() = %q, want %q", got, digits)
	}
}

func TestZeroValue(t *testing.T) {
	if got := (Value{}).Digits(); got != "" {
		t.Errorf("the zero value holds %q", got)
	}
}
