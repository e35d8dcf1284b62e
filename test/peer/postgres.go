package peer

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Postgres is a PostgreSQL server of the tests' own, in a directory that goes
// with it. One serves all tests of a package, each in a database of its own.
type Postgres struct {
	port     int
	dir      string
	settings []string
	cmd      *exec.Cmd
	out      bytes.Buffer
	exited   chan struct{}
	made     atomic.Int64 // databases
}

// Durable are the settings of a server that keeps what it has confirmed, as
// one does that is not for tests.
var Durable = []string{"fsync=on", "synchronous_commit=on", "full_page_writes=on"}

// StartPostgres runs a server until the test ends.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	p, err := RunPostgres(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// RunPostgres runs a server until Stop; for a TestMain. Unless the settings say
// otherwise it keeps nothing safe from its own death, which makes it quick.
func RunPostgres(settings ...string) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	// Not a test's own directory: only root may look into that.
	dir, err := os.MkdirTemp("", "bugle-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir, settings: settings}
	if err := p.run(bin); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("run PostgreSQL: %w\n%s", err, p.out.String())
	}
	return p, nil
}

// postgresBin gives the directory of the newest server that is installed.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("PostgreSQL is not installed (Debian: postgresql): %w", cmp.Or(err, os.ErrNotExist))
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 sorts first
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })), nil
}

func (p *Postgres) run(bin string) error {
	who, err := notRoot(p.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "bugle", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = p.dir, who
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if p.port, err = takePorts(4); err != nil {
		return err
	}
	return p.launch(bin, who)
}

// launch starts the server on what it has and waits until it answers.
func (p *Postgres) launch(bin string, who *syscall.SysProcAttr) error {
	args := []string{"-D", filepath.Join(p.dir, "data"), "-p", strconv.Itoa(p.port), "-k", p.dir}
	quick := []string{"listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60"}
	for _, setting := range append(quick, p.settings...) {
		args = append(args, "-c", setting)
	}
	p.cmd = exec.Command(filepath.Join(bin, "postgres"), args...)
	p.cmd.Dir, p.cmd.SysProcAttr = p.dir, who
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	return p.await(20 * time.Second)
}

// Crash ends the server as a crash does: what it has not written is gone, and
// who calls is refused. Again starts it on what is left.
func (p *Postgres) Crash() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.exited
}

// Again is the end of Crash.
func (p *Postgres) Again(t testing.TB) {
	t.Helper()
	bin, err := postgresBin()
	if err != nil {
		t.Fatal(err)
	}
	who, err := notRoot(p.dir)
	if err == nil {
		err = p.launch(bin, who)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL again: %v\n%s", err, p.out.String())
	}
}

// PIDs gives the server's processes.
func (p *Postgres) PIDs() []int { return append(p.children(), p.cmd.Process.Pid) }

// await waits until the server answers.
func (p *Postgres) await(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	db, err := sql.Open("pgx", p.address("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if err = db.PingContext(ctx); err == nil {
			tick.Stop()
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("it ended at once: %w", err)
		case <-ctx.Done():
			p.Stop()
			return err
		}
	}
}

func (p *Postgres) address(database string) string {
	return fmt.Sprintf("postgres://bugle@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

// Database makes an empty database and gives its address.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	return p.Copy(t, "")
}

// Copy is Create for a test.
func (p *Postgres) Copy(t testing.TB, from string) string {
	t.Helper()
	address, err := p.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Create makes a database with what the one at the address from holds, which nobody may be
// using; an empty one if from is "". It gives its address.
func (p *Postgres) Create(from string) (string, error) {
	template := "template1"
	if from != "" {
		u, err := url.Parse(from)
		if err != nil {
			return "", err
		}
		template = strings.TrimPrefix(u.Path, "/")
	}
	db, err := sql.Open("pgx", p.address("postgres"))
	if err != nil {
		return "", err
	}
	defer db.Close()
	name := fmt.Sprintf("test%d", p.made.Add(1))
	if _, err := db.Exec("CREATE DATABASE " + name + " TEMPLATE " + template); err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	return p.address(name), nil
}

// Pause stops the server's processes where they are, as a machine does that is
// cut off: connections stay open and nothing answers. Resume goes on.
func (p *Postgres) Pause() { p.signalAll(syscall.SIGSTOP) }

// Resume is the end of Pause.
func (p *Postgres) Resume() { p.signalAll(syscall.SIGCONT) }

func (p *Postgres) signalAll(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s)
	for _, pid := range p.children() {
		_ = syscall.Kill(pid, s)
	}
}

// children gives the processes that serve connections and do the chores: they
// are sessions of their own, known by their parent.
func (p *Postgres) children() (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var parent int
		var state string
		if i := bytes.LastIndexByte(b, ')'); i > 0 {
			if _, err := fmt.Sscan(string(b[i+1:]), &state, &parent); err == nil && parent == p.cmd.Process.Pid {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Stop ends the server at once and removes what it kept.
func (p *Postgres) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // immediate: nothing is worth keeping
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	os.RemoveAll(p.dir)
}

// notRoot gives the directory to user postgres and says to run as that user:
// the server refuses to run as root. Who is not root stays who he is.
func notRoot(dir string) (*syscall.SysProcAttr, error) {
	// A peer never outlives the tests, however they end.
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, uid, gid)
}
