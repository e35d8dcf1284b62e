package meter

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const tick = 10 * time.Millisecond // of proc(5): USER_HZ is 100

// CPU gives user and system time so far of a process and of those of its own that
// have ended; 0 if it is not there.
func CPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	var total time.Duration
	for _, ticks := range strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))[11:15] {
		n, _ := strconv.Atoi(ticks)
		total += time.Duration(n) * tick
	}
	return total
}

// OwnCPU gives user and system time of this process.
func OwnCPU(t testing.TB) time.Duration { return rusage(t, syscall.RUSAGE_SELF) }

// ChildrenCPU gives that of the processes of ours that have ended.
func ChildrenCPU(t testing.TB) time.Duration { return rusage(t, syscall.RUSAGE_CHILDREN) }

func rusage(t testing.TB, who int) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Idle gives the time that the machine's cores have had nothing to do.
func Idle(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	var ticks [5]int64
	if err == nil {
		_, err = fmt.Sscanf(string(text), "cpu %d %d %d %d %d", &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4])
	}
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ticks[3]+ticks[4]) * tick
}

// Which size of a process.
const (
	Now  = "VmRSS"
	Most = "VmHWM"
)

// Resident gives the size of a process in memory, in KiB: Now, or the Most it was.
func Resident(t testing.TB, pid int, which string) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, which+":"); ok {
			kB, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kB
		}
	}
	t.Fatal("no " + which)
	return 0
}
