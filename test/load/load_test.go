//go:build load

// Package load runs whole calls in numbers against a plain build: sipp callers
// with RTP and key presses, sipp agents, and what Bugle counted against what
// sipp counted. Everything is on loopback.
package load

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// 500 calls at 20 a second through the whole path: all succeed, the figures say
// the same as sipp, and afterwards nothing is left.
func TestFiveHundredCalls(t *testing.T) {
	redis := peer.StartRedis(t)
	for _, c := range []struct{ name, more, transport string }{
		{"embedded Redis, UDP", "", "udp"},
		{"real Redis, TCP", "redis: {addr: " + redis + "}\n", "tcp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const calls, warmUp = 505, 5
			config, agents := peer.LoadHelpline(t, 120, c.more)
			bugle := peer.StartBugle(t, config, agents...)
			peer.StartAgents(t, bugle.SIP, 6200, agents...)
			awaitReady(t, bugle, len(agents))
			callers := peer.Callers{
				Server: bugle.SIP, Number: "helpline", Transport: c.transport, Port: 5290, Calls: warmUp, Rate: 20,
				Keys: []peer.Press{{Key: '1', Wait: time.Second}, {Key: '2', Wait: time.Second}},
				Talk: 3500 * time.Millisecond,
			}
			// What a node keeps for good, such as its number in Redis, comes with
			// its first calls.
			peer.StartCallers(t, callers).Done(t, time.Minute)
			awaitReady(t, bugle, len(agents))
			before := snapshot(t, bugle, redis)

			callers.Calls = calls - warmUp
			got := peer.StartCallers(t, callers).Done(t, 3*time.Minute)
			if got.Succeeded != callers.Calls || got.Failed != 0 {
				t.Errorf("sipp counted %+v, want %d succeeded", got, callers.Calls)
			}
			awaitReady(t, bugle, len(agents))
			figures := bugle.Metrics(t)
			for name, want := range map[string]float64{
				`bugle_queue_offered_total`:        calls,
				`bugle_queue_answered_total`:       calls,
				`bugle_queue_abandoned_total`:      0,
				`bugle_queue_flowed_out_total`:     0,
				`bugle_queue_answer_seconds_count`: calls,
				`bugle_calls_active`:               0,
			} {
				if got := peer.Sum(figures, name); got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
			if got := figures[`bugle_calls_total{class="completed",reason="caller_hung_up"}`]; got != calls {
				t.Errorf("%v calls completed, want %d", got, calls)
			}
			if got := peer.Sum(figures, "bugle_queue_answered_in_goal_total"); got < calls*99/100 {
				t.Errorf("%v of %d were answered in goal with agents to spare", got, calls)
			}
			// Transactions are kept for 32 s (RFC 3261, 64*T1), and ports rest.
			var after left
			defer func() {
				if t.Failed() {
					t.Logf("before %+v, after %+v", before, after)
				}
			}()
			peer.Eventually(t, 60*time.Second, "everything to be as it was before the load", func() bool {
				after = snapshot(t, bugle, redis)
				return after == before
			})
		})
	}
}

// left is what a call could leave behind.
type left struct {
	udp        int // sockets
	legs       float64
	ports      float64
	keys       string // of Redis
	goroutines bool   // no more than a quiet node's and those of all connections to Redis: ten a core, each of two if it is embedded
}

func snapshot(t *testing.T, bugle *peer.Bugle, redis string) left {
	t.Helper()
	figures := bugle.Metrics(t)
	return left{
		udp:        udpSockets(t, bugle.PID()),
		legs:       figures["bugle_media_legs"],
		ports:      figures[`bugle_media_ports{state="used"}`],
		keys:       dbsize(t, redis),
		goroutines: figures["go_goroutines"] < float64(60+2*10*runtime.NumCPU()),
	}
}

// udpSockets counts the UDP sockets a process has open.
func udpSockets(t *testing.T, pid int) (n int) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 9 {
			inodes["socket:["+fields[9]+"]"] = true
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(dir + fd.Name()); err == nil && inodes[target] {
			n++
		}
	}
	return n
}

func dbsize(t *testing.T, redis string) string {
	t.Helper()
	conn, err := net.Dial("tcp", redis)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "DBSIZE\r\n")
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func awaitReady(t *testing.T, bugle *peer.Bugle, agents int) {
	t.Helper()
	peer.Eventually(t, 20*time.Second, fmt.Sprintf("%d agents to be ready", agents), func() bool {
		return bugle.Metrics(t)[`bugle_agents{state="ready"}`] == float64(agents)
	})
}
