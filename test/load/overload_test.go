//go:build load

package load

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// Past sip.max_calls a call is refused in less than 10 ms, with when to try
// again, and the calls that are up do not notice.
func TestOverload(t *testing.T) {
	const room, extra = 20, 2000
	bugle, _ := strangers(t, room, fmt.Sprintf("  max_calls: %d\n", room))
	callers := answered(bugle.SIP, room, 20*time.Second)
	callers.Port = 5690
	load := peer.StartCallers(t, callers)
	peer.Eventually(t, 30*time.Second, "the node to be full", func() bool {
		return bugle.Metrics(t)["bugle_media_legs"] >= 2*room
	})
	quiet := bugle.Metrics(t)
	time.Sleep(lull)
	before, stood, begin := bugle.Metrics(t), peer.Standstills(), time.Now()
	// How quickly the machine lets anybody answer is seen on an echo at the same time.
	var echoed []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		echoed = askAll(t, dialUDP(t, echo(t)), extra, func(i int) string { return fmt.Sprint(i) }, func(answer string) (i int, err error) {
			_, err = fmt.Sscan(answer, &i)
			return i, err
		})
	})
	conn := dialUDP(t, bugle.SIP)
	took := askAll(t, conn, extra, func(i int) string {
		return fmt.Sprintf("INVITE sip:helpline@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKo%d\r\nFrom: <sip:1@x>;tag=%d\r\nTo: <sip:helpline@x>\r\n"+
			"Call-ID: over-%d\r\nCSeq: 1 INVITE\r\nContact: <sip:%s>\r\nMax-Forwards: 70\r\n\r\n", bugle.SIP, conn.LocalAddr(), i, i, i, conn.LocalAddr())
	}, func(answer string) (i int, err error) {
		if !strings.HasPrefix(answer, "SIP/2.0 503") || !strings.Contains(answer, "\r\nRetry-After: ") {
			return 0, fmt.Errorf("not a 503 with Retry-After: %.40q", answer)
		}
		_, rest, _ := strings.Cut(answer, "Call-ID: over-")
		_, err = fmt.Sscanf(rest, "%d", &i)
		return i, err
	})
	wg.Wait()
	beatsLost(t, quiet, before, bugle.Metrics(t), time.Since(begin), stood())
	const most = extra * 95 / 100
	t.Logf("refused in %v (median), %v (95 %%), %v (longest); echoed in %v (95 %%)", took[extra/2], took[most], took[extra-1], echoed[most])
	if want := max(10*time.Millisecond, 3*echoed[most]); took[most] > want { // more only where an echo takes long, too
		t.Errorf("19 of 20 are refused within %v, want %v", took[most], want)
	}
	if got := load.Done(t, time.Minute); got.Succeeded != room || got.Failed != 0 {
		t.Errorf("sipp counted %+v, want %d talks", got, room)
	}
}

// askAll sends questions, one every 2 ms, those that are not answered once more after a
// second without any answer, and gives how long the answers took from the first time,
// shortest first. whose tells which question an answer is to.
func askAll(t *testing.T, conn net.Conn, n int, question func(i int) string, whose func(answer string) (i int, err error)) []time.Duration {
	askedAt, took := make([]atomic.Int64, n), make([]time.Duration, n)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 65536)
		for left, silent := n, 0; left > 0; {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			size, err := conn.Read(buf)
			now := time.Now()
			if err != nil {
				if silent++; silent > 10 {
					t.Errorf("%d of %d are not answered: %v", left, n, err)
					return
				}
				for i := range took {
					if took[i] == 0 && askedAt[i].Load() != 0 {
						_, _ = fmt.Fprint(conn, question(i))
					}
				}
				continue
			}
			silent = 0
			i, err := whose(string(buf[:size]))
			if err != nil || i < 0 || i >= n {
				t.Errorf("whose answer is it? %v: %.80q", err, buf[:size])
				return
			}
			if took[i] == 0 { // else it was asked again
				took[i] = now.Sub(time.Unix(0, askedAt[i].Load()))
				left--
			}
		}
	})
	for i := range n {
		askedAt[i].Store(time.Now().UnixNano())
		_, _ = fmt.Fprint(conn, question(i))
		time.Sleep(2 * time.Millisecond)
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

// echo is somebody who says whatever he is told; it gives his address.
func echo(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	return conn.LocalAddr().String()
}

func dialUDP(t *testing.T, to string) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
