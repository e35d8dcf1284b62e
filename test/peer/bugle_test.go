package peer

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// complaints is a test that notes what it is failed for.
type complaints struct {
	testing.TB
	said []string
}

func (*complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

func TestRaceInAProcessFailsTheTest(t *testing.T) {
	for printed, want := range map[string]int{
		"level=INFO msg=serving\n": 0,
		"level=INFO msg=serving\nWARNING: DATA RACE\nWrite at 0x00c0 by goroutine 7:\n  main.f()\n": 1,
	} {
		c := &complaints{TB: t}
		wantNoRace(c, exec.Command("bugle", "serve"), printed)
		if len(c.said) != want || want == 1 && !strings.Contains(c.said[0], "main.f()") {
			t.Errorf("%q fails a test with %q", printed, c.said)
		}
	}
}
