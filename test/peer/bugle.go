package peer

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bugle is a running node: the built binary, as a user runs it.
type Bugle struct {
	*Process
	Dir  string // where bugle.yaml and data_dir are
	SIP  string // host:port
	HTTP string // http://host:port
}

var build struct {
	once sync.Once
	path string
	err  error
}

// Binary builds bugle once for all tests of the process, with the race detector
// where the tests have it, and gives its path.
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
		if err != nil {
			build.err = fmt.Errorf("find the module: %w", err)
			return
		}
		build.path = filepath.Join(strings.TrimSpace(string(root)), "bin", fmt.Sprintf("bugle-test-race-%t", raceEnabled))
		args := []string{"build", "-o", build.path}
		if raceEnabled {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, "github.com/bugle-voice/bugle/cmd/bugle")...).CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// command is a bugle subcommand. The race detector would have each wait a second at
// its exit.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// wantNoRace fails the test if the race detector has spoken in what a process printed:
// who runs until he is stopped is not asked for his exit code.
func wantNoRace(t testing.TB, cmd *exec.Cmd, printed string) {
	t.Helper()
	if _, race, found := strings.Cut(printed, "WARNING: DATA RACE"); found {
		t.Errorf("a data race in %v:%s", cmd.Args, race[:min(len(race), 6000)])
	}
}

// Run runs a bugle subcommand to its end and gives what it printed.
func Run(t testing.TB, stdin string, args ...string) (out string, code int) {
	t.Helper()
	cmd := command(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("bugle %v: %v", args, err)
	}
	wantNoRace(t, cmd, string(text))
	return string(text), cmd.ProcessState.ExitCode()
}

// StartBugle writes the configuration to a directory of its own, makes a keyset,
// gives each agent the password "pw-ID", runs serve and waits until it is ready. In the
// text, SIP_ADDR and HTTP_ADDR stand for free addresses of loopback.
func StartBugle(t testing.TB, config string, agents ...string) *Bugle {
	t.Helper()
	return startBugle(t, config, "", agents)
}

// StartBeside is StartBugle for another node of the same helpline, which has the
// first one's keyset.
func (b *Bugle) StartBeside(t testing.TB, config string, agents ...string) *Bugle {
	t.Helper()
	keyset, err := os.ReadFile(filepath.Join(b.Dir, "data", "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	return startBugle(t, config, string(keyset), agents)
}

// startBugle starts a node with a keyset, or a new one if that is empty.
func startBugle(t testing.TB, config, keyset string, agents []string) *Bugle {
	t.Helper()
	b := &Bugle{Dir: t.TempDir()}
	b.SIP = fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	address := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	b.HTTP = "http://" + address
	text := strings.NewReplacer("SIP_ADDR", b.SIP, "HTTP_ADDR", address, "DATA_DIR", filepath.Join(b.Dir, "data")).Replace(config)
	path := filepath.Join(b.Dir, "bugle.yaml")
	write(t, path, text)
	if keyset != "" {
		if err := os.Mkdir(filepath.Join(b.Dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(b.Dir, "data", "keyset.json"), keyset)
	} else if out, code := Run(t, "", "vault", "init", "-c", path); code != 0 {
		t.Fatalf("bugle vault init: exit %d\n%s", code, out)
	}
	for _, id := range agents {
		if out, code := Run(t, "pw-"+id+"\n", "passwd", "-c", path, id); code != 0 {
			t.Fatalf("bugle passwd %s: exit %d\n%s", id, code, out)
		}
	}
	b.Restart(t)
	return b
}

// Restart runs the node again, after it has ended, and waits until it is ready.
func (b *Bugle) Restart(t testing.TB) {
	t.Helper()
	b.Process = start(t, command(t, "serve", "-c", filepath.Join(b.Dir, "bugle.yaml")))
	b.awaitReady(t)
}

// Start runs a bugle subcommand that goes on until the test ends.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	return start(t, command(t, args...))
}

// StartPhone starts `bugle agent` with a password on its standard input.
func StartPhone(t testing.TB, password string, args ...string) *Process {
	t.Helper()
	cmd := command(t, append([]string{"agent"}, args...)...)
	cmd.Stdin = strings.NewReader(password + "\n")
	return start(t, cmd)
}

// Ready says whether the node takes calls.
func (b *Bugle) Ready() bool {
	resp, err := http.Get(b.HTTP + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Unready is what the node says of its checks.
func (b *Bugle) Unready() string {
	resp, err := http.Get(b.HTTP + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

func (b *Bugle) awaitReady(t testing.TB) {
	t.Helper()
	Eventually(t, 20*time.Second, "bugle to be ready", func() bool {
		select {
		case <-b.exited:
			t.Fatalf("bugle ended: %v\n%s", b.err, b.Output())
		default:
		}
		return b.Ready()
	})
}

// SetState sets an agent's state through the API.
func (b *Bugle) SetState(t testing.TB, agent, state string) {
	t.Helper()
	resp, err := http.Post(b.HTTP+"/api/v1/agents/"+agent+"/state", "application/json",
		strings.NewReader(fmt.Sprintf(`{"state":%q}`, state)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("set %s %s: %s %s", agent, state, resp.Status, text)
	}
}

// Metrics gives the figures of /metrics by name and labels as they are written
// there: `bugle_queue_offered_total{language="en",queue="claims"}`.
func (b *Bugle) Metrics(t testing.TB) map[string]float64 {
	t.Helper()
	resp, err := http.Get(b.HTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	figures := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			figures[line[:at]] = v
		}
	}
	return figures
}

// Sum adds up a metric over all its labels.
func Sum(figures map[string]float64, name string) (sum float64) {
	for series, v := range figures {
		if series == name || strings.HasPrefix(series, name+"{") {
			sum += v
		}
	}
	return sum
}
