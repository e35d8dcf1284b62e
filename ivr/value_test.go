package ivr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestPrivateValuesStayPrivate: whatever prints a private value, at whatever
// depth, the digits are not in it.
func TestPrivateValuesStayPrivate(t *testing.T) {
	const digits = "1234567890"
	v := NewValue(digits, true)
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
	if got := v.String(); got != "[private]" {
		t.Errorf("String() = %q, want [private]", got)
	}
	if got := v.Digits(); got != digits {
		t.Errorf("Digits() = %q, want %q", got, digits)
	}
}

func TestOpenValuesShow(t *testing.T) {
	v := NewValue("42", false)
	b, err := json.Marshal(map[string]Value{"ext": v})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), `{"ext":"42"}`; got != want {
		t.Errorf("JSON %s, want %s", got, want)
	}
	if got := fmt.Sprintf("%v", v); got != "42" {
		t.Errorf("prints %q, want 42", got)
	}
	if got := (Value{}).Digits(); got != "" {
		t.Errorf("the zero value holds %q", got)
	}
}
