//go:build load

package load

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// strangers gives a helpline to which only 127.0.0.1 is a trunk.
func strangers(t *testing.T, agents int, sip string) (*peer.Bugle, []string) {
	t.Helper()
	config, ids := peer.LoadHelpline(t, agents, "")
	config = strings.Replace(config, "127.0.0.0/8", "127.0.0.1/32", 1)
	config = strings.Replace(config, "sip:\n", "sip:\n"+sip, 1)
	bugle := peer.StartBugle(t, config, ids...)
	peer.StartAgents(t, bugle.SIP, 6590, ids...)
	awaitReady(t, bugle, len(ids))
	return bugle, ids
}

// rubbish is what strangers send: no SIP, broken SIP, unknown methods, unknown
// users, answers to nothing.
func rubbish(i int, from string) string {
	head := fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK%d\r\nFrom: <sip:%d@x>;tag=%d\r\nTo: <sip:%d@x>\r\nCall-ID: %d-%s\r\nMax-Forwards: 70\r\n", from, i, i, i, i, i, from)
	switch i % 6 {
	case 0:
		return strings.Repeat("\x16\x03\x01 no SIP at all ", 10)
	case 1:
		return "OPTIONS sip:x SIP/2.0\r\n" + head + "\r\n"
	case 2:
		return "DANCE sip:x SIP/2.0\r\n" + head + "CSeq: 1 DANCE\r\n\r\n"
	case 3:
		return "REGISTER sip:x SIP/2.0\r\n" + head + "CSeq: 1 REGISTER\r\n\r\n"
	case 4:
		return "INVITE sip:helpline@x SIP/2.0\r\n" + head + "CSeq: 1 INVITE\r\n\r\n"
	default:
		return "SIP/2.0 200 OK\r\n" + head + "CSeq: 1 INVITE\r\n\r\n"
	}
}

// flood sends so much rubbish from 250 addresses, so many a second, and gives how long
// that took: where the machine stands still, it goes on afterwards, a little faster.
func flood(t *testing.T, to string, perSecond, count int) time.Duration {
	t.Helper()
	const sources, slice = 250, 5 * time.Millisecond
	var conns []net.Conn
	for i := range sources {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}}
		c, err := dialer.Dial("udp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	atOnce := 2 * perSecond * int(slice) / int(time.Second)
	begin := time.Now()
	tick := time.NewTicker(slice)
	defer tick.Stop()
	for sent := 0; sent < count; <-tick.C {
		due := min(count, sent+atOnce, int(time.Since(begin).Seconds()*float64(perSecond)))
		for ; sent < due; sent++ {
			c := conns[sent%sources]
			_, _ = c.Write([]byte(rubbish(sent, c.LocalAddr().String()))) // an answer that found nobody shows here
		}
	}
	return time.Since(begin)
}

// lull is how long the beats lost to a busy machine are counted beforehand.
const lull = 5 * time.Second

// beatsLost complains if the engine lost more than 3 in 100 of its beats beyond
// those it would have lost anyway, and those of the time that the machine stood still.
// The sender of a flood shares the cores with the node here, and what else the machine
// does changes from second to second: 17 and 31 of 2000 were lost on two cores with a
// load of 9.
func beatsLost(t *testing.T, quiet, before, after map[string]float64, lasted, stood time.Duration) {
	t.Helper()
	lost := func(a, b map[string]float64) float64 {
		return b["bugle_media_skipped_beats_total"] - a["bugle_media_skipped_beats_total"]
	}
	const beats = 200 // a second, of two shards
	anyway := lost(quiet, before) * float64(lasted) / float64(lull)
	t.Logf("%v beats lost in %v, %.1f would have been anyway; the machine stood still for %v", lost(before, after), lasted, anyway, stood)
	if lost(before, after) > .03*beats*lasted.Seconds()+3*anyway+1.1*beats*stood.Seconds() {
		t.Errorf("%v beats lost", lost(before, after))
	}
}

// 20,000 malformed or unknown messages a second for ten seconds: the talks that
// are up and those that begin meanwhile go on without a lost beat, and the memory
// is where it was.
func TestFlood(t *testing.T) {
	const talks = 20
	bugle, ids := strangers(t, talks, "")
	callers := answered(bugle.SIP, talks, 30*time.Second)
	callers.Port = 5690
	load := peer.StartCallers(t, callers)
	peer.Eventually(t, 30*time.Second, "the talks to be up", func() bool {
		return bugle.Metrics(t)["bugle_media_legs"] >= 2*talks
	})
	quiet := bugle.Metrics(t)
	time.Sleep(lull)
	before, stood := bugle.Metrics(t), peer.Standstills()
	const sent = 200_000
	took := flood(t, bugle.SIP, 20_000, sent)
	after, still := bugle.Metrics(t), stood()
	if took > 20*time.Second {
		t.Errorf("%d messages took %v: this machine can't send half as fast as it should", sent, took)
	}
	if got := load.Done(t, time.Minute); got.Succeeded != talks || got.Failed != 0 {
		t.Errorf("sipp counted %+v, want %d talks", got, talks)
	}
	beatsLost(t, quiet, before, after, took, still)
	mb := func(m map[string]float64) float64 { return m["process_resident_memory_bytes"] / (1 << 20) }
	if grown := mb(after) - mb(before); grown > 30 {
		t.Errorf("memory grew from %.0f to %.0f MB", mb(before), mb(after))
	}
	dropped := peer.Sum(after, "bugle_sip_dropped_total") - peer.Sum(before, "bugle_sip_dropped_total")
	t.Logf("%d sent in %v, %.0f dropped, %v sources banned, %.0f to %.0f MB, %.1f CPU-s", sent, took, dropped,
		after["bugle_sip_banned_sources"], mb(before), mb(after), after["process_cpu_seconds_total"]-before["process_cpu_seconds_total"])
	if after["bugle_sip_banned_sources"] < 200 {
		t.Errorf("%v of 250 sources are banned", after["bugle_sip_banned_sources"])
	}
	awaitReady(t, bugle, len(ids))
	peer.Eventually(t, time.Minute, "goroutines to be as few as before", func() bool { return bugle.Metrics(t)["go_goroutines"] < float64(80+2*10*runtime.NumCPU()) })
}
