//go:build bench

// Package call measures the whole path of a call as a carrier would send it:
// 4 s of language prompt, a key, 4 s of menu, a key, the queue, an agent who
// answers at once, 3.5 s of talk, RTP both ways all the time.
//
// It prints one line a figure; bench/README.md says how to read them.
package call

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/bench/meter"
	"github.com/bugle-voice/bugle/test/peer"
)

const (
	rate    = 16 // calls a second
	calls   = 480
	agents  = 200
	minutes = 3
)

const bench meter.Bench = "call"

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
	median := meter.Median(cpu)
	packets := 2 * 50 * (12.4 + 3.5) // a call's, in and out, on both legs
	bench.Figure("failed_calls", failed, "calls", meter.AtMost(0))
	bench.Figure("cpu_per_call", median, "ms", meter.AtMost(12))
	bench.Figure("peak_memory", memory, "MB", meter.AtMost(100))
	bench.Figure("key_to_offer_p99", late, "ms", meter.AtMost(10))
	bench.Figure("limit_per_call", packets*limit.Seconds()*1000, "ms", meter.Informs)
	bench.Figure("times_the_limit", median/(packets*limit.Seconds()*1000), "x", meter.AtMost(1.5))
	bench.Figure("asterisk_times", 62/median, "x", meter.AtLeast(5))
	if failed > 0 {
		t.Errorf("%v calls failed", failed)
	}
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
	before := meter.CPU(bugle.PID())
	got := peer.StartCallers(t, peer.Callers{
		Server: bugle.SIP, Number: "helpline", Port: 5090, Calls: calls, Rate: rate,
		Keys: []peer.Press{{Key: '1', Wait: 4300 * time.Millisecond}, {Key: '2', Wait: 4300 * time.Millisecond}},
		Talk: 3500 * time.Millisecond,
	}).Done(t, minutes*time.Minute)
	cpu := meter.CPU(bugle.PID()) - before
	r := result{
		cpu:    cpu.Seconds() * 1000 / calls,
		memory: meter.Resident(t, bugle.PID(), meter.Most) / 1024,
		failed: calls - peer.Sum(bugle.Metrics(t), "bugle_queue_answered_total") + float64(got.Failed),
	}
	r.offer99 = offerLatency(t, bugle)
	for _, p := range []*peer.Process{phones, bugle.Process} {
		p.Signal(syscall.SIGTERM)
		p.Wait(t, 20*time.Second)
	}
	return r
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
	before := meter.OwnCPU(t)
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
	return (meter.OwnCPU(t) - before) / (2 * legs * rounds)
}
