package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/cert/certtest"
)

// Edge is Kamailio as the SIP edge before nodes, with the configuration of
// deployments/edge.
type Edge struct {
	*Process
	Outer string // host:port for phones and trunks, UDP and TCP
	TLS   string // and over TLS
	CA    string // file of the authority that has signed its certificate
	Inner string // host:port for the nodes
	dir   string
	nodes []string
}

// EdgeSilence is how long a connection to the edge may be silent of whom no node has let in.
const EdgeSilence = 2 * time.Second

// Addresses of the edge, and of the one carrier it knows.
const (
	EdgeHost    = "127.0.0.3"
	CarrierHost = "127.0.0.2"
)

// StartEdge runs the edge before nodes, given as host:port, and waits until it
// has heard from all of them.
func StartEdge(t testing.TB, nodes ...string) *Edge {
	t.Helper()
	e := &Edge{dir: t.TempDir(), nodes: nodes}
	outer, secure, inner := FreePort(t), FreePort(t), FreePort(t)
	e.Outer, e.TLS, e.Inner = fmt.Sprintf("%s:%d", EdgeHost, outer), fmt.Sprintf("%s:%d", EdgeHost, secure), fmt.Sprintf("%s:%d", EdgeHost, inner)
	e.CA = filepath.Join(e.dir, "ca.pem")
	ca, certificate, key := certtest.NewAuthority(t), filepath.Join(e.dir, "cert.pem"), filepath.Join(e.dir, "key.pem")
	ca.WriteCA(t, e.CA)
	ca.Write(t, certificate, key, EdgeHost)
	var list strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&list, "1 sip:%s;transport=udp\n", n)
	}
	write(t, filepath.Join(e.dir, "nodes.list"), list.String())
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("find the module: %v", err)
	}
	file := filepath.Join(e.dir, "kamailio.cfg")
	write(t, file, edgeConfig(t, filepath.Join(strings.TrimSpace(string(root)), "deployments/edge/kamailio.cfg"), map[string]string{
		"OUTER_TLS_PORT": strconv.Itoa(secure), "CERTIFICATE": certificate, "PRIVATE_KEY": key,
		"OUTER_IP": EdgeHost, "OUTER_PORT": strconv.Itoa(outer), "INNER_IP": EdgeHost, "INNER_PORT": strconv.Itoa(inner),
		"NODES_FILE": filepath.Join(e.dir, "nodes.list"), "RUN_DIR": e.dir, "CARRIERS": CarrierHost + "/32",
		"CHILDREN": "2", "ASK_EVERY": "1", "NODE_SILENT": "3000", "SILENT_STRANGER": strconv.Itoa(int(EdgeSilence / time.Second)),
	}))
	e.Process = start(t, exec.Command("kamailio", "-f", file, "-DD", "-E", "-m", "32", "-M", "4", "-Y", e.dir, "-P", filepath.Join(e.dir, "pid")))
	Eventually(t, 20*time.Second, "the edge to have heard from its nodes", func() bool {
		out, err := e.ask("dispatcher.list")
		return err == nil && strings.Count(out, "FLAGS: AP") == len(nodes)
	})
	return e
}

// edgeConfig gives the configuration with other values for what it says is to be
// changed.
func edgeConfig(t testing.TB, path string, values map[string]string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), "##!define WITH_TLS\n", "#!define WITH_TLS\n", 1)
	if text == string(raw) {
		t.Fatalf("%s: no line turns TLS on", path)
	}
	for name, value := range values {
		line := regexp.MustCompile(`(?m)^#!substdef "!` + name + `![^!]*!g"$`)
		if n := len(line.FindAllString(text, -1)); n != 1 {
			t.Fatalf("%s: %d lines set %s", path, n, name)
		}
		text = line.ReplaceAllLiteralString(text, fmt.Sprintf(`#!substdef "!%s!%s!g"`, name, value))
	}
	return text
}

// Only has new calls and registrations go to one node alone; to all of them again,
// if it is empty.
func (e *Edge) Only(t testing.TB, node string) {
	t.Helper()
	for _, n := range e.nodes {
		state := "dp" // disabled
		if node == "" || n == node {
			state = "ap"
		}
		e.Ask(t, "dispatcher.set_state", state, "1", "sip:"+n+";transport=udp")
	}
}

// Count gives one of the edge's own figures: "rcv_requests_bye".
func (e *Edge) Count(t testing.TB, name string) int {
	t.Helper()
	out := e.Ask(t, "stats.get_statistics", name)
	_, value, _ := strings.Cut(out, name+" = ")
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil {
		t.Fatalf("the edge's %s: %q", name, out)
	}
	return n
}

// Ask gives the edge a command of kamcmd's and gives what it says.
func (e *Edge) Ask(t testing.TB, command ...string) string {
	t.Helper()
	out, err := e.ask(command...)
	if err != nil {
		t.Fatalf("kamcmd %v: %v\n%s", command, err, out)
	}
	return out
}

func (e *Edge) ask(command ...string) (string, error) {
	out, err := exec.Command("kamcmd", append([]string{"-s", "unix:" + filepath.Join(e.dir, "kamailio_ctl")}, command...)...).CombinedOutput()
	return string(out), err
}
