// Package peer starts the real things the tests talk to: baresip, sipp,
// redis-server and the built bugle binary itself, each on loopback in a
// directory of its own, each stopped when the test ends. It also holds the
// tests' ear: whether a tone is found, unbroken, in what somebody recorded.
//
// A peer that is not installed fails the test; see test/install-peers.sh.
//
// Start with the file named after the peer you need; ear.go for the sound.
package peer

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests' own ports lie below those that the system gives to whoever asks for any,
// and between the ones of the demo and of the nodes' sound: nobody else takes one
// between its being handed out and its use.
const firstPort, lastPort = 8100, 9999

var ports = struct {
	sync.Mutex
	next int
}{next: firstPort + os.Getpid()*32%(lastPort-firstPort)&^1} // other tests of this machine begin elsewhere

// FreePort gives a port of 127.0.0.1 on which neither UDP nor TCP listens, and an even
// one. The next three are free as well: sipp and baresip take some of them unasked.
func FreePort(t testing.TB) int {
	t.Helper()
	return freePorts(t, 4)
}

// freePorts gives the first of n neighbours like that; n is even.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	first, err := takePorts(n)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func takePorts(n int) (first int, err error) {
	ports.Lock()
	defer ports.Unlock()
	for range lastPort - firstPort {
		first = ports.next
		if ports.next = first + n; ports.next > lastPort {
			ports.next = firstPort
			continue
		}
		if free(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d neighbouring ports are free for both UDP and TCP", n)
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
		p, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		p.Close()
	}
	return true
}

// Process is a peer that runs until the test ends.
type Process struct {
	cmd    *exec.Cmd
	out    *output
	exited chan struct{}
	err    error // of Wait, valid after exited
}

// start runs the command and stops it (SIGTERM, then SIGKILL after 5 s) when
// the test ends. What it printed is shown if the test failed.
func start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, out: newOutput(), exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	// A peer never outlives the tests, however they end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
			p.Signal(syscall.SIGKILL)
			<-p.exited
		}
		wantNoRace(t, cmd, p.Output())
		if t.Failed() {
			t.Logf("%s printed:\n%s", cmd.Args[0], p.out.tail(6000))
		}
	})
	return p
}

// StartCommand runs a command that is no peer of the tests' own; it ends with the test.
func StartCommand(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd)
}

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// PID gives the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Wait waits for the process to end and gives its exit code.
func (p *Process) Wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s still runs after %v", p.cmd.Args[0], limit)
		return -1
	}
}

// Output gives all that was printed so far, on both streams.
func (p *Process) Output() string { return p.out.String() }

// Await waits until the process has printed the text.
func (p *Process) Await(t testing.TB, text string, limit time.Duration) {
	t.Helper()
	deadline := time.After(limit)
	for {
		seen, more := p.out.watch(text)
		if seen {
			return
		}
		select {
		case <-more:
		case <-p.exited:
			if seen, _ := p.out.watch(text); seen {
				return
			}
			t.Fatalf("%s ended without printing %q", p.cmd.Args[0], text)
		case <-deadline:
			t.Fatalf("%s did not print %q within %v", p.cmd.Args[0], text, limit)
		}
	}
}

// Eventually waits until the condition holds; for what only polling can tell,
// such as another process's figures.
func Eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if condition() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			tick.Stop()
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// output collects what a process prints and tells watchers of more.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed and renewed at each write
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) watch(text string) (seen bool, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.buf.Bytes(), []byte(text)), o.more
}

func (o *output) tail(n int) string {
	s := o.String()
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
