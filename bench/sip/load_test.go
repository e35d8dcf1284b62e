//go:build bench

package sip

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
	"golang.org/x/sys/unix"
)

// load is what sipp calls with. It ends after so many calls or so long.
type load struct {
	network string // udp if empty
	calls   int
	length  time.Duration
	rate    int // calls a second
	atOnce  int
	hold    time.Duration // before BYE
	oneCore bool
	timeout time.Duration // for its end
}

// asManyAsPossible is a rate that nobody reaches: a new call begins as soon as one
// has ended.
const asManyAsPossible = 20000

// result is what came of it.
type result struct {
	Succeeded, Failed, Retransmitted int
	Rate                             float64       // calls a second
	CPU                              time.Duration // of who was called
	Busy                             float64       // that, as a share of one core's time
	Others                           float64       // what else ran on the machine, as a share of all its time
}

// perCall gives the CPU for a call in ms.
func (r result) perCall() float64 { return 1e3 * r.CPU.Seconds() / float64(r.Succeeded) }

// call lets sipp call.
func (c *contestant) call(t *testing.T, l load) (r result) {
	t.Helper()
	dir := t.TempDir()
	var text bytes.Buffer
	if err := template.Must(template.New("").Parse(callerScenario)).Execute(&text, map[string]bool{"Waits": c.waits}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "caller.xml"), text.String())
	args := sippArgs(l.network, strconv.Itoa(peer.FreePort(t)), "-sf", "caller.xml", "-s", c.number,
		"-mp", strconv.Itoa(peer.FreePort(t)), "-d", strconv.Itoa(int(l.hold.Milliseconds())),
		"-r", strconv.Itoa(l.rate), "-l", strconv.Itoa(l.atOnce),
		"-trace_stat", "-stf", "stats.csv", "-fd", "1", c.address)
	if l.calls > 0 {
		args = append(args, "-m", strconv.Itoa(l.calls))
	}
	cmd := exec.Command("sipp", args...)
	cmd.Dir = dir

	began, idled, cpu := time.Now(), idle(t), c.cpu(t)
	others := c.phonesCPU(t) + childrenCPU(t)
	var p *peer.Process
	on(t, l.oneCore, ourCore, func() { p = peer.StartCommand(t, cmd) })
	if l.length > 0 {
		time.Sleep(l.length)
		p.Signal(syscall.SIGUSR1) // no new calls
	}
	p.Wait(t, max(l.timeout, 10*time.Second))
	r.CPU = c.cpu(t) - cpu
	took := time.Since(began)
	r.Busy = 100 * r.CPU.Seconds() / took.Seconds()
	ours := idle(t) - idled + r.CPU + c.phonesCPU(t) + childrenCPU(t) - others
	r.Others = 100 * (1 - ours.Seconds()/took.Seconds()/float64(runtime.NumCPU()))
	r.read(t, filepath.Join(dir, "stats.csv"))
	return r
}

// read takes the last line of sipp's statistics.
func (r *result) read(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := csv.NewReader(file)
	in.Comma, in.FieldsPerRecord = ';', -1
	rows, err := in.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("sipp's statistics: %d rows, %v", len(rows), err)
	}
	last := rows[len(rows)-1]
	for i, name := range rows[0] {
		v, _ := strconv.ParseFloat(last[min(i, len(last)-1)], 64)
		switch name {
		case "SuccessfulCall(C)":
			r.Succeeded = int(v)
		case "FailedCall(C)":
			r.Failed = int(v)
		case "Retransmissions(C)":
			r.Retransmitted = int(v)
		case "CallRate(C)":
			r.Rate = v
		}
	}
}

func sippArgs(network, port string, more ...string) []string {
	mode := "u1"
	if network == "tcp" {
		mode = "t1"
	}
	return append([]string{"-t", mode, "-i", "127.0.0.1", "-ci", "127.0.0.1", "-mi", "127.0.0.1", "-p", port,
		"-nostdin", "-buff_size", "4194304", "-watchdog_interval", "0"}, more...)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Where there are two cores, who is called may have one of its own.
const (
	ourCore   = 0
	theirCore = 1
)

// on has f's processes run on one core, if so wanted: a process inherits what the
// thread may use that starts it.
func on(t *testing.T, wanted bool, core int, f func()) {
	t.Helper()
	if wanted {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var all, one unix.CPUSet
		one.Set(core)
		err := unix.SchedGetaffinity(0, &all)
		if err == nil {
			err = unix.SchedSetaffinity(0, &one)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := unix.SchedSetaffinity(0, &all); err != nil {
				t.Fatal(err)
			}
		}()
	}
	f()
}

// cpu gives user and system time of who is called so far.
func (c *contestant) cpu(t *testing.T) time.Duration {
	t.Helper()
	pid := c.process.PID()
	total := cpuOf(t, pid)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		pid, _ := strconv.Atoi(child)
		total += cpuOf(t, pid)
	}
	return total
}

func (c *contestant) phonesCPU(t *testing.T) time.Duration {
	if c.phones == nil {
		return 0
	}
	return cpuOf(t, c.phones.PID())
}

// cpuOf gives user and system time of a process so far (proc(5), stat).
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// childrenCPU gives that of the processes of ours that have ended.
func childrenCPU(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// idle gives the time that the machine's cores have had nothing to do (proc(5),
// stat).
func idle(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	var ticks [5]int64
	if err == nil {
		_, err = fmt.Sscanf(string(text), "cpu %d %d %d %d %d", &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4])
	}
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ticks[3]+ticks[4]) * 10 * time.Millisecond
}

// resident gives the size of a process in memory, in KiB, now or at its greatest
// (VmRSS, VmHWM).
func resident(t *testing.T, pid int, which string) float64 {
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
