package event

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Set in the process that TestKilledProcess starts and kills.
const (
	crashDir  = "BUGLE_TEST_CRASH_DIR"
	crashSeal = "BUGLE_TEST_CRASH_SEAL"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		emitForever(dir, os.Getenv(crashSeal) != "")
	}
	goleak.VerifyTestMain(m)
}

const crashBatch = 10

// emitForever says the number of each fact once Emit has returned, and of each
// event that a reader was given, before that is committed.
func emitForever(dir string, sealed bool) {
	var by Sealer
	if sealed {
		by = testKey(1)
	}
	l, err := Open(Options{Dir: dir, Log: quiet, Seal: by, SegmentBytes: 1000, Keep: time.Hour})
	orExit(err)
	r, err := l.Reader("history")
	orExit(err)
	go func() {
		for {
			batch, err := r.Next(context.Background(), crashBatch)
			orExit(err)
			var said strings.Builder
			for _, ev := range batch {
				fmt.Fprintln(&said, "read", ev.Seq)
			}
			fmt.Print(said.String())
			orExit(r.Commit(batch[len(batch)-1].Seq))
		}
	}()
	for i := 0; ; i++ {
		l.Emit("c", StepEntered{Step: strconv.Itoa(i)})
		fmt.Println("emitted", i)
	}
}

func orExit(err error) {
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
}

// What was emitted before kill -9 is there after it, over the borders of
// segments; and what a reader was given in all lives together is everything.
func TestKilledProcess(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		dir := t.TempDir()
		read := uint64(0)
		for life := range 4 {
			emitted, first, last := runAndKill(t, dir, by != nil, 100*(life+1))
			if first > read+1 || first+crashBatch < read+1 {
				t.Errorf("life %d: the reader begins with %d after %d", life, first, read)
			}
			read = max(read, last)

			l, err := Open(Options{Dir: dir, Node: "between", Log: quiet, Seal: by, SegmentBytes: 1000, Keep: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if kept := keptOfLastLife(t, dir, by); kept < emitted {
				t.Fatalf("life %d: emitted up to %d, kept up to %d", life, emitted, kept)
			}
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*.log")); len(files) < 20 {
			t.Errorf("only %d segments", len(files))
		}
	})
}

// keptOfLastLife looks that the last killed life's facts are there in order, and
// gives the number of the last.
func keptOfLastLife(t *testing.T, dir string, by Sealer) int {
	t.Helper()
	kept := -1
	for _, ev := range whole(t, dir, by) {
		switch f := ev.Fact.(type) {
		case NodeStarted:
			if f.Node != "between" {
				kept = -1
			}
		case StepEntered:
			if kept++; f.Step != strconv.Itoa(kept) {
				t.Fatalf("step %s is kept as number %d", f.Step, kept)
			}
		}
	}
	return kept
}

// runAndKill lets a process emit until it has said so many facts and its reader
// has begun. It gives the last fact it said, and the first and the last event its
// reader did.
func runAndKill(t *testing.T, dir string, sealed bool, facts int) (emitted int, first, last uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	if sealed {
		cmd.Env = append(cmd.Env, crashSeal+"=yes")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n') // half a line is an error
		if err != nil {
			break
		}
		word, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseUint(number, 10, 64)
		switch {
		case err == nil && word == "emitted":
			emitted = int(n)
		case err == nil && word == "read" && (last == 0 || n == last+1):
			if last = n; first == 0 {
				first = n
			}
		default:
			t.Errorf("the process says %q after event %d", line, last)
		}
		if emitted >= facts && last > 0 && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if !killed {
		t.Fatalf("it ended after %d facts", emitted)
	}
	return emitted, first, last
}
