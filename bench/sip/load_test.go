//go:build bench

package sip

import (
	"bytes"
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

	"github.com/bugle-voice/bugle/bench/meter"
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

	began, idled, cpu := time.Now(), meter.Idle(t), c.cpu(t)
	others := c.phonesCPU(t) + meter.ChildrenCPU(t)
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
	ours := meter.Idle(t) - idled + r.CPU + c.phonesCPU(t) + meter.ChildrenCPU(t) - others
	r.Others = 100 * (1 - ours.Seconds()/took.Seconds()/float64(runtime.NumCPU()))
	count := peer.SippStatistics(t, filepath.Join(dir, "stats.csv"))
	r.Succeeded, r.Failed = int(count["SuccessfulCall(C)"]), int(count["FailedCall(C)"])
	r.Retransmitted, r.Rate = int(count["Retransmissions(C)"]), count["CallRate(C)"]
	return r
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
	total := meter.CPU(pid)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		pid, _ := strconv.Atoi(child)
		total += meter.CPU(pid)
	}
	return total
}

func (c *contestant) phonesCPU(t *testing.T) time.Duration {
	if c.phones == nil {
		return 0
	}
	return meter.CPU(c.phones.PID())
}
