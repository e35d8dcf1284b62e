//go:build bench

package media

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bugle-voice/bugle/bench/meter"
	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
)

// bugle is the engine as its conductors use it.
type bugle struct {
	shared  bool
	far     []uint16
	engine  *media.Engine
	legs    []*media.Leg
	tune    *media.Clip
	metrics *prometheus.Registry
	profile *os.File
}

func (b *bugle) open(far []uint16, shards int) (err error) {
	c := config.Media{
		Address: loopback,
		Ports:   config.PortRange{First: 10000, Last: 31999},
		Silence: config.Duration(time.Minute),
		Shards:  shards,
	}
	if b.shared {
		c.SharedPorts = sharedPorts
	}
	if b.engine, err = media.New(c, nil); err != nil {
		return err
	}
	b.far, b.tune, b.metrics = far, media.Tone(425, 10*time.Second), prometheus.NewRegistry()
	b.metrics.MustRegister(b.engine.Collectors()...)
	return b.startProfile()
}

func (b *bugle) join(first, n int, music bool) ([]uint16, error) {
	var near []uint16
	for i := first; i < first+n; i++ {
		options := media.LegOptions{Shared: b.shared}
		if !music && i%2 == 1 {
			options.Near = b.legs[i-1]
		}
		leg, err := b.engine.NewLeg(options)
		if err != nil {
			return nil, err
		}
		b.legs = append(b.legs, leg)
		if music {
			leg.PlayMusic(b.tune)
		} else if i%2 == 1 {
			// Before anything is agreed, so that not even a packet of silence is sent.
			if err := leg.Bridge(b.legs[i-1]); err != nil {
				return nil, err
			}
		}
	}
	for i := first; i < first+n; i++ {
		if _, err := b.legs[i].Answer([]byte(sdpOf(b.far[i]))); err != nil {
			return nil, err
		}
		near = append(near, b.legs[i].LocalAddr().Port())
	}
	for i := first; i < first+n; i++ {
		b.legs[i].Stats() // asked of its shard, which by then has done all of the above
	}
	return near, nil
}

// startProfile writes a profile of the CPU into the directory that BENCH_PROFILE
// names.
func (b *bugle) startProfile() (err error) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return nil
	}
	name := fmt.Sprintf("%s-%d.pprof", os.Getenv(meter.Role), len(b.far))
	if b.profile, err = os.Create(filepath.Join(dir, name)); err != nil {
		return err
	}
	return pprof.StartCPUProfile(b.profile)
}

func (b *bugle) close() {
	if b.profile != nil {
		pprof.StopCPUProfile()
		_ = b.profile.Close()
	}
	if b.engine != nil {
		_ = b.engine.Close()
	}
}

// count adds what a Go program and the engine know of themselves.
func (b *bugle) count(u *usage) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Mallocs, u.Heap, u.Resident = m.Mallocs, m.HeapAlloc, resident()
	if b.metrics == nil {
		return
	}
	families, _ := b.metrics.Gather()
	for _, f := range families {
		if f.GetName() != "bugle_media_beat_late_seconds" {
			continue
		}
		for _, bucket := range f.Metric[0].GetHistogram().Bucket {
			if bucket.GetUpperBound() == .005 {
				u.OnTime = bucket.GetCumulativeCount()
			}
		}
	}
}

// resident gives the memory of this process that is in RAM.
func resident() int64 {
	var total, pages int64
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(text), &total, &pages)
	}
	if err != nil {
		return -1
	}
	return pages * int64(os.Getpagesize())
}

// sdpOf is how a far end on a port of loopback describes itself.
func sdpOf(port uint16) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
		"m=audio %d RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n", port)
}
