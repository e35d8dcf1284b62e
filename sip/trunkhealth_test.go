package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestTrunkHealth: after three silences a host is down, after one answer up, and
// calls go to a host that is up.
func TestTrunkHealth(t *testing.T) {
	lines(t, 2, func(c *config.Trunk) { c.Options = config.Duration(30 * time.Second) }, func(t *testing.T, s *Server, hosts []*wire) {
		line := s.trunks[0]
		round := func(says ...string) {
			t.Helper()
			done := make(chan struct{})
			go func() { line.ask(); close(done) }()
			for i, w := range hosts {
				req := w.recv("OPTIONS ")
				if says[i] != "" {
					w.answer(req, says[i], "x")
				}
			}
			<-done
		}
		up := func(want string) {
			t.Helper()
			if err := testutil.CollectAndCompare(s.metrics.trunks, strings.NewReader(`# HELP bugle_sip_trunk_up 1 if a host of the trunk is well, as far as is known; 0 if none is.
# TYPE bugle_sip_trunk_up gauge
bugle_sip_trunk_up{trunk="carrier"} `+want+"\n"), "bugle_sip_trunk_up"); err != nil {
				t.Error(err)
			}
		}
		called := func(host int) {
			t.Helper()
			l := dialTrunk(t, s, TrunkCall{})
			hosts[host].answer(hosts[host].recv("INVITE "), "486 Busy", "x")
			wait(t, "end", l.Done())
		}
		up("1")
		round("", "404 Not Found")
		round("", "200 OK")
		round("", "200 OK")
		up("1")
		called(1)
		for range 3 {
			round("", "")
		}
		up("0")
		called(0) // nothing better is left; and it answers
		up("1")
		round("", "200 OK")
		round("503 Full", "200 OK")
		up("1")
		called(1)
		round("200 OK", "")
		called(0)
		synctest.Wait()
	})
}

// TestTrunkWatch: hosts are asked from the start, about as often as configured.
func TestTrunkWatch(t *testing.T) {
	lines(t, 1, func(c *config.Trunk) { c.Options = config.Duration(30 * time.Second) }, func(t *testing.T, s *Server, hosts []*wire) {
		s.tendTrunks()
		var last time.Time
		for i := range 10 {
			req, ok := hosts[0].within("OPTIONS ", time.Minute)
			if !ok {
				t.Fatal("no OPTIONS came")
			}
			if gap := time.Since(last); i > 0 && (gap < 27*time.Second || gap > 33*time.Second) {
				t.Errorf("asked after %s", gap)
			}
			last = time.Now()
			hosts[0].answer(req, "200 OK", "x")
		}
	})
}
