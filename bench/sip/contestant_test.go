//go:build bench

package sip

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/bugle-voice/bugle/bench/meter"
	"github.com/bugle-voice/bugle/test/peer"
)

// Who is called.
const (
	room      = "room"     // room sip alone
	node      = "node"     // bugle serve
	bareSipgo = "sipgo"    // the library beneath room sip
	sippUAS   = "sipp"     // sipp's UAS
	stateless = "kamailio" // Kamailio, answering without keeping anything
)

// contestant is one of them at work, in a process of its own.
type contestant struct {
	name    string
	process *peer.Process
	address string // of its SIP
	number  string // that is called
	waits   bool   // the callers wait for it to hang up
	node    *peer.Bugle
	phones  *peer.Process // of the agents
}

var (
	//go:embed kamailio.cfg.tmpl
	kamailioConfig string
	//go:embed scenarios/caller.xml.tmpl
	callerScenario string
	//go:embed scenarios/callee.xml
	calleeScenario string
	//go:embed scenarios/agent.xml
	agentScenario string
)

// start starts one who takes single legs, on one core only if told so.
func start(t *testing.T, name string, oneCore bool) *contestant {
	t.Helper()
	if name == node {
		n := startNode(t, 0, "", oneCore)
		n.number = "greeting"
		return n
	}
	c := &contestant{name: name, number: "callee", address: fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))}
	dir := t.TempDir()
	var cmd *exec.Cmd
	switch name {
	case sippUAS:
		_, port, _ := strings.Cut(c.address, ":")
		write(t, filepath.Join(dir, "callee.xml"), calleeScenario)
		cmd = exec.Command("sipp", sippArgs("udp", port, "-sf", "callee.xml")...)
	case stateless:
		var text bytes.Buffer
		err := template.Must(template.New("").Parse(kamailioConfig)).Execute(&text, map[string]string{
			"Address": c.address, "Description": strings.ReplaceAll(description, "\r\n", `\r\n`),
		})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "kamailio.cfg"), text.String())
		cmd = exec.Command("kamailio", "-DD", "-E", "-f", "kamailio.cfg", "-P", filepath.Join(dir, "pid"), "-w", dir, "-Y", dir)
	default:
		cmd = exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), meter.Role+"="+name, addressVariable+"="+c.address)
	}
	cmd.Dir = dir
	on(t, oneCore, theirCore, func() { c.process = peer.StartCommand(t, cmd) })
	c.awaitAnswer(t)
	return c
}

// startNode starts bugle serve with so many agents registered, who hang up as
// soon as they have answered, and with a Redis, or with its own if that is "".
func startNode(t *testing.T, agents int, redis string, oneCore bool) *contestant {
	t.Helper()
	more := ""
	if redis != "" {
		more = fmt.Sprintf("redis: {addr: %q}\n", redis)
	}
	text, ids := peer.LoadHelpline(t, max(agents, 1), more)
	// A port rests for 35 s after its call, so short calls need many. Nobody else
	// is at that address.
	text = strings.Replace(text, "ports: 10000-19999", "ports: 10000-65535, address: 127.0.0.9", 1)
	text = strings.Replace(text, "ready_on_register: true", "ready_on_register: true\n  max_calls: 20000\n  limits: {calls: 100000}", 1)
	var b *peer.Bugle
	on(t, oneCore, theirCore, func() { b = peer.StartBugle(t, text, ids[:agents]...) })
	c := &contestant{name: node, process: b.Process, address: b.SIP, number: "straight", waits: agents > 0, node: b}
	if agents > 0 {
		on(t, oneCore, ourCore, func() {
			c.phones = peer.StartAgentsAs(t, agentScenario, b.SIP, peer.FreePort(t), ids, "-mp", strconv.Itoa(peer.FreePort(t)))
		})
		peer.Eventually(t, 20*time.Second, "all agents to be ready", func() bool {
			return b.Metrics(t)[`bugle_agents{state="ready"}`] == float64(agents)
		})
	}
	return c
}

// awaitAnswer waits until it answers a call.
func (c *contestant) awaitAnswer(t *testing.T) {
	t.Helper()
	peer.Eventually(t, 10*time.Second, c.name+" to answer", func() bool {
		return c.call(t, load{calls: 1, atOnce: 1, rate: 1, timeout: time.Second}).Failed == 0
	})
}
