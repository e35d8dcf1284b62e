//go:build bench

package media

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bugle-voice/bugle/bench/meter"
)

// The contestants. Each is a process of its own, so that its CPU time is all its
// own.
const (
	barOwn      = "limit"        // the bare loop, a socket for each leg
	barShared   = "shared_limit" // the bare loop, shared ports
	bugleOwn    = "bugle"
	bugleShared = "shared_bugle"
	rtpengine   = "rtpengine"
)

// contestant is one of them as the test sees it.
type contestant interface {
	// open says where the far ends of all legs will be, and with how many
	// shards or threads to serve them. Legs 2n and 2n+1 are a call.
	open(t *testing.T, far []uint16, shards int)
	// join bridges, or plays music to, the next n legs and gives the ports at
	// which it takes their packets.
	join(t *testing.T, first, n int, music bool) []uint16
	usage(t *testing.T) usage
	process() *os.Process
	close(t *testing.T)
}

// usage is what a contestant has used and seen so far.
type usage struct {
	CPU      time.Duration // user and system
	Resident int64         // bytes
	Heap     uint64        // bytes
	Mallocs  uint64
	OnTime   uint64 // beats of Bugle's shards that were at most 5 ms late
}

// start starts a contestant.
func start(t *testing.T, role string) contestant {
	if role == rtpengine {
		return startRTPEngine(t)
	}
	return startChild(t, role)
}

// All but rtpengine are this test's binary once more, told by its environment
// whom to be. It takes orders as lines of JSON and answers each.

type order struct {
	Open, Join bool
	Far        []uint16
	Shards     int
	First, N   int
	Music      bool
}

type answer struct {
	Error string
	Near  []uint16
	Usage usage
}

// child is a contestant in a process of this binary.
type child struct {
	command *exec.Cmd
	orders  *json.Encoder
	answers *json.Decoder
	input   io.Closer
}

func startChild(t *testing.T, role string) *child {
	t.Helper()
	c := &child{command: exec.Command(os.Args[0])}
	c.command.Env = append(os.Environ(), meter.Role+"="+role)
	c.command.Stderr = os.Stderr
	in, err := c.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	c.orders, c.answers, c.input = json.NewEncoder(in), json.NewDecoder(out), in
	return c
}

func (c *child) do(t *testing.T, o order) answer {
	t.Helper()
	var a answer
	err := c.orders.Encode(o)
	if err == nil {
		err = c.answers.Decode(&a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (c *child) open(t *testing.T, far []uint16, shards int) {
	c.do(t, order{Open: true, Far: far, Shards: shards})
}

func (c *child) join(t *testing.T, first, n int, music bool) []uint16 {
	return c.do(t, order{Join: true, First: first, N: n, Music: music}).Near
}

func (c *child) process() *os.Process { return c.command.Process }

func (c *child) usage(t *testing.T) usage { return c.do(t, order{}).Usage }

func (c *child) close(t *testing.T) {
	_ = c.input.Close()
	if err := c.command.Wait(); err != nil {
		t.Error(err)
	}
}

// relayer is what a child does its orders with.
type relayer interface {
	open(far []uint16, shards int) error
	join(first, n int, music bool) (near []uint16, err error)
	count(*usage)
	close()
}

// serve is a child's main: it obeys until nobody orders any more.
func serve(role string) error {
	r := map[string]relayer{
		barOwn:      &bareLoop{},
		barShared:   &bareLoop{shared: true},
		bugleOwn:    &bugle{},
		bugleShared: &bugle{shared: true},
	}[role]
	if r == nil {
		return fmt.Errorf("no contestant %q", role)
	}
	defer r.close()
	answers, orders := json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)
	for {
		var o order
		if err := orders.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := answers.Encode(obey(r, o)); err != nil {
			return err
		}
	}
}

func obey(r relayer, o order) (a answer) {
	var err error
	switch {
	case o.Open:
		err = r.open(o.Far, o.Shards)
	case o.Join:
		a.Near, err = r.join(o.First, o.N, o.Music)
	default:
		var self unix.Rusage
		err = unix.Getrusage(unix.RUSAGE_SELF, &self)
		a.Usage.CPU = time.Duration(self.Utime.Nano() + self.Stime.Nano())
		r.count(&a.Usage)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}
