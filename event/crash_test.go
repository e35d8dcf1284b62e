package event

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// crashDir is set in the process that TestKilledProcess starts and kills.
const crashDir = "BUGLE_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		emitForever(dir)
	}
	goleak.VerifyTestMain(m)
}

// emitForever says the number of each fact once Emit has returned.
func emitForever(dir string) {
	l, err := Open(Options{Dir: dir, Log: quiet})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		l.Emit("c", StepEntered{Step: strconv.Itoa(i)})
		fmt.Println(i)
	}
}

// What was emitted before kill -9 is there after it.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	for life := range 5 {
		said := runAndKill(t, dir, 100*(life+1))
		l := openTest(t, dir)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		kept := -1
		for ev, err := range Read(dir) {
			if err != nil {
				t.Fatal(err)
			}
			switch f := ev.Fact.(type) {
			case NodeStarted:
				if f.Node == "" { // of a process that is killed
					kept = -1
				}
			case StepEntered:
				if kept++; f.Step != strconv.Itoa(kept) {
					t.Fatalf("step %s is kept as number %d", f.Step, kept)
				}
			}
		}
		if kept < said {
			t.Fatalf("life %d: emitted up to %d, kept up to %d", life, said, kept)
		}
	}
}

// runAndKill lets a process emit until it has said so many facts, and gives the
// last it said.
func runAndKill(t *testing.T, dir string, facts int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last, killed := -1, false
	for s := bufio.NewScanner(out); s.Scan(); {
		n, err := strconv.Atoi(strings.TrimSpace(s.Text()))
		if err != nil {
			if killed {
				break // half a line
			}
			t.Errorf("the process says %q", s.Text())
			break
		}
		if last = n; n >= facts && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if last < facts {
		t.Fatalf("it ended after %d facts", last)
	}
	return last
}
