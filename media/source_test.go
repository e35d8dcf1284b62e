package media

import (
	"bytes"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// testShard makes a shard that does not run.
func testShard() *shard {
	pool, _ := newPorts(config.PortRange{First: 23000, Last: 24799})
	return newShard(time.Now(), 0, pool, nil)
}

// count makes a clip whose PCMU bytes count from a number, to see each again.
func count(from, n int) *Clip {
	c := &Clip{mu: make([]byte, n), a: make([]byte, n)}
	for i := range c.mu {
		c.mu[i], c.a[i] = byte(from+i), byte(from+i)+128
	}
	return c
}

func TestPlaylistLeavesNoGap(t *testing.T) {
	list := &playlist{clips: []*Clip{count(0, 100), count(100, 1), count(0, 0), count(101, 260)}}
	var heard []byte
	for frame := make([]byte, frameSize); list.next(frame, PCMU, 0); {
		heard = append(heard, frame...)
	}
	want := count(0, 361).mu
	want = append(want, bytes.Repeat([]byte{PCMU.silence()}, 3*frameSize-len(want))...)
	if !bytes.Equal(heard, want) {
		t.Errorf("heard %v", heard)
	}
	if list.next(make([]byte, frameSize), PCMU, 0) {
		t.Error("goes on after its end")
	}
}

func TestPlaylistChangesCodecInItsMiddle(t *testing.T) {
	list := &playlist{clips: []*Clip{count(0, 2*frameSize)}}
	first, second := make([]byte, frameSize), make([]byte, frameSize)
	list.next(first, PCMU, 0)
	list.next(second, PCMA, 0)
	if whole := count(0, 2*frameSize); !bytes.Equal(first, whole.mu[:frameSize]) || !bytes.Equal(second, whole.a[frameSize:]) {
		t.Errorf("heard %v, then %v", first, second)
	}
}

func TestMusicFollowsTheClock(t *testing.T) {
	for _, length := range []int{1, 7, 100, 160, 161, 1000} {
		tune := music{count(0, length)}
		for _, clock := range []int64{0, 80, 12345678} {
			frame := make([]byte, frameSize)
			if !tune.next(frame, PCMU, clock) {
				t.Fatalf("music of %d samples has ended", length)
			}
			for i, b := range frame {
				if want := byte((clock + int64(i)) % int64(length)); b != want {
					t.Fatalf("music of %d samples at %d: sample %d is %d, want %d", length, clock, i, b, want)
				}
			}
		}
	}
	if (music{new(Clip)}).next(make([]byte, frameSize), PCMU, 0) {
		t.Error("an empty clip plays")
	}
}
