//go:build bench

// Package call measures the whole path of a call as a carrier would send it:
// 4 s of language prompt, a key, 4 s of menu, a key, the queue, an agent who
// answers at once, 3.5 s of talk, RTP both ways all the time.
//
// It prints one line a figure; bench/README.md says how to read them.
package call

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

const (
	rate    = 16 // calls a second
	calls   = 480
	agents  = 200
	minutes = 3
)

func TestCall(t *testing.T) {
	limit := packetLimit(t)
	var cpu []float64
	var memory, late, failed float64
	for range 3 {
		r := run(t)
		cpu = append(cpu, r.cpu)
		memory = max(memory, r.memory)
		late = max(late, r.offer99)
		failed += r.failed
	}
	slices.Sort(cpu)
	median := cpu[len(cpu)/2]
	packets := 2 * 50 * (12.4 + 3.5) // a call's, in and out, on both legs
	figure("failed_calls", failed, "calls", 0)
	figure("cpu_per_call", median, "ms", 12)
	figure("peak_memory", memory, "MB", 100)
	figure("key_to_offer_p99", late, "ms", 10)
	figure("limit_per_call", packets*limit.Seconds()*1000, "ms", 0)
	figure("times_the_limit", median/(packets*limit.Seconds()*1000), "x", 1.5)
	figure("asterisk_times", 62/median, "x", 5)
	if failed > 0 {
		t.Errorf("%v calls failed", failed)
	}
}

// figure prints one line. A goal of 0 for what only informs is met by itself.
func figure(name string, value float64, unit string, goal float64) {
	verdict := "ok"
	short := value > goal
	if name == "asterisk_times" {
		short = value < goal
	}
	if short && name != "limit_per_call" {
		verdict = "short"
	}
	fmt.Printf("call %s=%.2f %s goal=%v %s\n", name, value, unit, goal, verdict)
}

// result is one run's.
type result struct {
	cpu     float64 // ms a call, user and system
	memory  float64 // MB at the peak
	offer99 float64 // ms from the last key to the offer
	failed  float64
}

func run(t *testing.T) result {
	config, ids := peer.LoadHelpline(t, agents, "")
	bugle := peer.StartBugle(t, config, ids...)
	phones := peer.StartAgents(t, bugle.SIP, 6000, ids...)
	peer.Eventually(t, 20*time.Second, "all agents to be ready", func() bool {
		return bugle.Metrics(t)[`bugle_agents{state="ready"}`] == agents
	})
	before := cpuOf(t, bugle.PID())
	got := peer.StartCallers(t, peer.Callers{
		Server: bugle.SIP, Number: "helpline", Port: 5090, Calls: calls, Rate: rate,
		Keys: []peer.Press{{Key: '1', Wait: 4300 * time.Millisecond}, {Key: '2', Wait: 4300 * time.Millisecond}},
		Talk: 3500 * time.Millisecond,
	}).Done(t, minutes*time.Minute)
	cpu := cpuOf(t, bugle.PID()) - before
	r := result{
		cpu:    cpu.Seconds() * 1000 / calls,
		memory: peakMemory(t, bugle.PID()),
		failed: calls - peer.Sum(bugle.Metrics(t), "bugle_queue_answered_total") + float64(got.Failed),
	}
	r.offer99 = offerLatency(t, bugle)
	for _, p := range []*peer.Process{phones, bugle.Process} {
		p.Signal(syscall.SIGTERM)
		p.Wait(t, 20*time.Second)
	}
	return r
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

// peakMemory gives the greatest resident size of a process in MB.
func peakMemory(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kB, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kB / 1024
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// offerLatency gives the 99th percentile, in ms, from the flow's entering the
// queue step, which the last key causes, to the agent's being rung.
func offerLatency(t *testing.T, bugle *peer.Bugle) float64 {
	t.Helper()
	out, code := peer.Run(t, "", "events", "-c", filepath.Join(bugle.Dir, "bugle.yaml"))
	if code != 0 {
		t.Fatalf("bugle events: %s", out)
	}
	began := map[string]time.Time{}
	var all []float64
	for line := range strings.Lines(out) {
		var e struct {
			At   time.Time
			Kind string
			Call string
			Fact struct{ Step string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		switch {
		case e.Kind == "step.entered" && e.Fact.Step == "wait":
			began[e.Call] = e.At
		case e.Kind == "offer.made":
			all = append(all, float64(e.At.Sub(began[e.Call]).Microseconds())/1000)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return -1
	}
	return all[len(all)*99/100]
}

// packetLimit measures what this machine takes to move one packet of 172 bytes
// over loopback with a socket per leg and nothing else: CPU for a non-blocking
// send plus a non-blocking receive, halved.
func packetLimit(t *testing.T) time.Duration {
	const legs, rounds = 200, 400
	type pair struct{ a, b int }
	var pairs []pair
	var to []syscall.Sockaddr
	for range legs {
		var p pair
		for _, fd := range []*int{&p.a, &p.b} {
			var err error
			*fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK, 0)
			if err == nil {
				err = syscall.Bind(*fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
			}
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Close(*fd)
		}
		address, err := syscall.Getsockname(p.b)
		if err != nil {
			t.Fatal(err)
		}
		pairs, to = append(pairs, p), append(to, address)
	}
	packet := make([]byte, 172)
	before := ownCPU(t)
	for range rounds {
		for i, p := range pairs {
			if err := syscall.Sendto(p.a, packet, 0, to[i]); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range pairs {
			if _, _, err := syscall.Recvfrom(p.b, packet, 0); err != nil {
				t.Fatal(err)
			}
			_, _, _ = syscall.Recvfrom(p.b, packet, 0) // a beat learns by EAGAIN that there is no more
		}
	}
	return (ownCPU(t) - before) / (2 * legs * rounds)
}

func ownCPU(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
