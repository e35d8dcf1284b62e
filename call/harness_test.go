package call

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/sip/siptest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const helpline = `
domain: test
node: test
data_dir: unused
http: {address: "127.0.0.1:8080"}
sip:
  listeners: [{network: udp, address: "127.0.0.1:5060"}]
  trunks:
    - {name: carrier, addresses: [127.0.0.0/8], hosts: [{host: 127.0.0.1}], options: 0s}
    - {name: backup, hosts: [{host: 127.0.0.1}], options: 0s}
media: {ports: 25000-27999, silence: 4s, shards: 1}
languages: [en, es]
skills: [claims]
queues:
  claims: {requires: {claims: 1}, ring: 2s, wrap_up: 0s}
numbers:
  helpline: {flow: main, language: en}
  goodbye: {flow: bye, language: en}
  message: {flow: message, language: en}
flows:
  main:
    start: menu
    steps:
      menu: {menu: {prompts: [long], keys: {1: {next: wait}}, else: wait}}
      wait: {queue: {name: claims, announce: [short]}}
  bye:
    start: end
    steps:
      end: {hangup: {prompts: [short]}}
  message:
    start: leave
    steps:
      leave: {record: {prompts: [short], name: message, min: 500ms, silence: 1s, tries: 1, next: thanks, else: sorry}}
      thanks: {play: {prompts: [long], next: end}}
      sorry: {hangup: {}}
      end: {hangup: {}}
agents:
  anna: {name: Anna, languages: {en: 5}, skills: {claims: 3}}
  ben: {name: Ben, languages: {en: 5}, skills: {claims: 3}}
`

// house is a node's rooms on loopback, and a telephone exchange of the test's
// own: callers and agents whose every move the test makes itself.
type house struct {
	t      *testing.T
	ether  *siptest.Ether
	facts  *facts
	queue  *queue.Queue
	router *router.Router
	media  *media.Engine
	calls  *Conductor
	sip    *sip.Server
	lines  *sip.Server   // callers' telephones outside
	phones *sip.Server   // agents' telephones outside: what comes from where one is registered is an agent's
	ears   *media.Engine // and their media
	rung   chan *sip.Leg // what rings there
	tapes  *tapes
	full   atomic.Bool // the event log's disk
	fills  atomic.Bool // the disk is full as soon as a call has been let in
	silent atomic.Bool // what rings outside does not say so

	dialled atomic.Int32 // how many the node has rung
	taken   int32        // how many of them ringing has given

	toAgent atomic.Pointer[sip.Leg] // the node's leg to an agent, the latest
}

// virtual runs a test in virtual time: its minutes cost nothing, and a machine that
// stands still changes nothing. Signalling goes by a network in memory, Redis is the
// embedded one, and the sockets of media are not Go's, so that a bubble does not mind
// them. Tests so run are parallel.
func virtual(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// newHouse opens a house, in virtual time.
func newHouse(t *testing.T, edit ...func(*config.Config)) *house {
	t.Helper()
	c, err := config.Parse([]byte(helpline), "test.yaml")
	must(t, err)
	c.SIP.Listeners[0].Address = netip.MustParseAddrPort("127.0.0.1:0")
	c.Media.Address = place()
	c.Media.Advertise = c.Media.Address
	for _, e := range edit {
		e(c)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := &house{t: t, ether: siptest.NewEther(), facts: newFacts(), rung: make(chan *sip.Leg, 8), tapes: &tapes{kept: map[string][]byte{}}}
	h.queue, err = queue.Open(t.Context(), c.Redis, c.Domain, c.Node, log)
	must(t, err)
	h.router = router.New(router.Options{Queue: h.queue, Events: h.facts, Agents: c.Agents, Queues: c.Queues, Log: log})
	h.media, err = media.New(c.Media, log)
	must(t, err)
	phones := &bindings{kept: map[string]sip.Binding{}}
	h.calls = New(Options{
		Config: c, Music: media.Tone(300, time.Second), Media: h.media, Router: h.router, Events: h.facts, Log: log, Recordings: h.tapes,
		Prompts: map[ivr.Prompt]*media.Clip{
			{Language: "en", Name: "long"}:  media.Tone(400, 20*time.Second),
			{Language: "en", Name: "short"}: media.Tone(500, 100*time.Millisecond),
		},
		Dial: func(target sip.Target, s sip.Session) (*sip.Leg, error) {
			h.dialled.Add(1)
			leg, err := h.sip.Dial(target, s)
			h.toAgent.Store(leg)
			return leg, err
		},
		Find:   func(r sip.Replaces) *sip.Leg { return h.sip.Find(r) },
		Sealed: func(transfer, number string) []byte { return []byte(transfer + " " + number) },
		DialTrunk: func(c sip.TrunkCall, s sip.Session) (*sip.Leg, error) {
			h.dialled.Add(1)
			return h.sip.DialTrunk(c, s)
		},
		Bindings: phones,
		Private: func(_, number string) (string, []byte) {
			if h.fills.Load() {
				h.full.Store(true)
			}
			return "hash of " + number, nil
		},
		Full:     h.full.Load,
		Estimate: func(queue, language string) time.Duration { return time.Duration(len(queue+language)) * time.Second },
	})
	outside := config.SIP{
		Listeners: []config.Listener{{Network: "udp", Address: netip.MustParseAddrPort("127.0.0.1:0")}},
		Trunks:    []config.Trunk{{Name: "bugle", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		MaxCalls:  100,
	}
	h.phones = h.serve(sip.Options{Config: outside, Handler: exchange{h.rung, &h.silent}, Log: slog.New(slog.DiscardHandler)})
	h.lines = h.serve(sip.Options{Config: outside, Handler: exchange{h.rung, &h.silent}, Log: slog.New(slog.DiscardHandler)})
	for i := range c.SIP.Trunks { // by all of them our lines are called
		for j := range c.SIP.Trunks[i].Hosts {
			c.SIP.Trunks[i].Hosts[j].Port = int(h.lines.Addrs()[0].Address.Port())
		}
	}
	h.sip = h.serve(sip.Options{Config: c.SIP, Handler: h.calls, Credentials: secrets{}, Bindings: phones, Log: log})

	h.ears, err = media.New(config.Media{Address: place(), Ports: config.PortRange{First: 28000, Last: 28999}, Shards: 1}, log)
	must(t, err)
	t.Cleanup(h.close)
	return h
}

// place gives an address of loopback that no other house has: a far end sends on to a port
// until its test ends, and must not be heard in a call of another test.
func place() netip.Addr {
	n := places.Add(1)
	return netip.AddrFrom4([4]byte{127, 100 + byte(n>>14), 1 + byte(n>>7&0x7f), 1 + byte(n&0x7f)})
}

var places atomic.Uint32

// pairs lets a house have so many pairs of ports.
func pairs(n uint16) func(*config.Config) {
	return func(c *config.Config) {
		c.Media.Ports.Last = c.Media.Ports.First + 2*n - 1
		c.Media.SharedPorts = 0
	}
}

func (h *house) serve(o sip.Options) *sip.Server {
	h.t.Helper()
	o.BindUDP = h.ether.Bind
	s, err := sip.New(o)
	must(h.t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	h.t.Cleanup(func() { <-served })
	return s
}

// close shuts the rooms in the order of a node, and asserts that each goes.
func (h *house) close() {
	h.calls.Close()
	for _, room := range []interface{ Close() error }{h.lines, h.phones, h.ears, h.sip, h.media} {
		if err := room.Close(); err != nil {
			h.t.Errorf("close %T: %v", room, err)
		}
	}
	h.router.Close()
	if err := h.queue.Close(); err != nil {
		h.t.Errorf("close queue: %v", err)
	}
	h.facts.inOrder(h.t)
}

// party is a telephone outside with its leg.
type party struct {
	leg   *sip.Leg
	media *media.Leg
}

// dial calls a number of the helpline.
func (h *house) dial(number string) party { return h.dialAs(number, media.LegOptions{}) }

// dialAs is dial with a telephone of some kind.
func (h *house) dialAs(number string, o media.LegOptions) party {
	h.t.Helper()
	side, err := h.ears.NewLeg(o)
	must(h.t, err)
	h.t.Cleanup(side.Close)
	leg, err := h.lines.Dial(sip.Target{URI: "sip:" + number + "@" + h.address(), From: "+4915112345678"}, side)
	must(h.t, err)
	return party{leg, side}
}

// join calls and goes on until the caller waits in the queue.
func (h *house) join() party {
	h.t.Helper()
	caller := h.dial("helpline")
	h.await("the answer", caller.leg.Answered())
	must(h.t, caller.media.SendKeys("1"))
	joined := h.facts.await(h.t, "visit.joined").(event.VisitJoined)
	if want := time.Duration(len(joined.Queue+joined.Language)) * time.Second; joined.Estimate != want {
		h.t.Errorf("the wait was estimated as %v, the record has %v", want, joined.Estimate)
	}
	return caller
}

// register puts an agent's phone on the line and makes him ready.
func (h *house) register(id string) {
	h.t.Helper()
	h.arrives(id)
	h.state(id, router.Ready)
}

// arrives is register for an agent who is rung at once.
func (h *house) arrives(id string) {
	h.t.Helper()
	r, err := h.phones.Register(h.t.Context(), sip.Registration{
		Registrar: "sip:" + h.address(), User: id, Password: "pw-" + id, Expires: time.Minute,
	})
	must(h.t, err)
	_ = r // ended with h.phones
	h.facts.await(h.t, "agent.changed")
	must(h.t, h.router.SetState(h.t.Context(), id, router.Ready, "test"))
}

// ringing gives the leg on which an agent is rung.
func (h *house) ringing() party { return h.ringingAs(media.LegOptions{Latch: true}) }

// ringingAs is ringing with a telephone of some kind.
func (h *house) ringingAs(o media.LegOptions) party {
	h.t.Helper()
	select {
	case leg := <-h.rung:
		h.taken++
		side, err := h.ears.NewLeg(o)
		must(h.t, err)
		h.t.Cleanup(side.Close)
		return party{leg, side}
	case <-time.After(10 * time.Second):
		h.t.Fatal("no agent is rung")
		return party{}
	}
}

// pickUp answers what rings next.
func (h *house) pickUp() party {
	h.t.Helper()
	p := h.ringing()
	must(h.t, p.leg.Answer(p.media))
	return p
}

// over has the caller hang up, which ends the last call there is.
func (h *house) over(caller party) {
	h.t.Helper()
	caller.leg.Hangup()
	h.ended(CallerHungUp)
	h.nothingLeft()
}

// talk brings a caller and an agent together.
func (h *house) talk() (caller, agent party) {
	h.t.Helper()
	caller = h.join()
	agent = h.pickUp()
	h.facts.await(h.t, "visit.ended")
	return caller, agent
}

func (h *house) address() string { return h.sip.Addrs()[0].Address.String() }

func (h *house) await(what string, c <-chan struct{}) {
	h.t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		h.t.Fatalf("%s did not come", what)
	}
}

// state waits until the agent is in the state.
func (h *house) state(id string, want router.State) {
	h.t.Helper()
	h.poll("agent "+id+" is "+string(want), func() bool {
		all, err := h.router.Agents(h.t.Context())
		must(h.t, err)
		i := slices.IndexFunc(all, func(a router.AgentInfo) bool { return a.ID == id })
		return all[i].State == want
	})
}

// nothingLeft waits until no trace of any call is left.
func (h *house) nothingLeft() {
	h.t.Helper()
	h.poll("nothing is left of the calls", func() bool {
		live, err := h.queue.Snapshot(context.Background())
		must(h.t, err)
		for _, line := range live.Lines {
			if line.Waiting != 0 {
				return false
			}
		}
		h.calls.mu.Lock()
		defer h.calls.mu.Unlock()
		return h.calls.active == 0 && len(h.calls.talks) == 0 && len(h.calls.desks) == 0 && h.media.PortsInUse() == 0 && h.sip.Legs() == 0 &&
			live.Agents[queue.Reserved] == 0 && live.Agents[queue.Talking] == 0
	})
	for len(h.rung) > 0 { // in vain
		<-h.rung
	}
}

func (h *house) poll(what string, holds func() bool) {
	h.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(10 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-limit:
			h.t.Fatalf("in vain: %s", what)
		}
	}
}

// exchange hands what rings outside to the test.
type exchange struct {
	rung   chan *sip.Leg
	silent *atomic.Bool
}

func (e exchange) Invite(leg *sip.Leg) {
	if !e.silent.Load() {
		_ = leg.Ringing()
	}
	e.rung <- leg
	<-leg.Done()
}
func (exchange) Registered(string, sip.Binding) {}
func (exchange) Unregistered(string)            {}

// secrets makes every agent's password "pw-ID".
type secrets struct{}

func (secrets) HA1(user, algorithm string) (string, bool) {
	sum := md5.Sum([]byte(user + ":127.0.0.1:pw-" + user))
	return hex.EncodeToString(sum[:]), algorithm == "MD5" && (user == "anna" || user == "ben")
}

// bindings keeps registrations in memory.
type bindings struct {
	mu   sync.Mutex
	kept map[string]sip.Binding
}

func (b *bindings) Put(_ context.Context, n sip.Binding) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept[n.User+" "+n.Contact] = n
	return nil
}

func (b *bindings) Get(_ context.Context, user string) (all []sip.Binding, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.kept {
		if n.User == user {
			all = append(all, n)
		}
	}
	return all, nil
}

func (b *bindings) Remove(_ context.Context, gone sip.Binding) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.kept, gone.User+" "+gone.Contact)
	return nil
}

func (b *bindings) Senders(context.Context) (func(string) bool, error) {
	return func(string) bool { return false }, nil // no edge proxy is between
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
