package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// source is where a keyset is read from. Its methods are called by one
// goroutine at a time.
type source interface {
	// read gives the keyset's text.
	read(ctx context.Context) ([]byte, error)
	// changed reports, at the price of a stat, whether read would give another
	// text than last time.
	changed() bool
	// due reports whether a source that can't tell whether it has changed should
	// be read again, as that was refresh ago; never for a refresh of 0.
	due(refresh time.Duration) bool
	// mayHaveMore is asked when a key is missing, and may be answered at a
	// higher price: whether to read again for it.
	mayHaveMore() bool
	fmt.Stringer
}

// maxKeyset bounds what is read: a keyset of a hundred keys is 30 KiB.
const maxKeyset = 1 << 20

// newSource gives the source that a configuration names.
func newSource(c config.Vault, dataDir string) (source, error) {
	kind, place, _ := strings.Cut(c.Keyset, ":")
	switch {
	case len(c.Command) > 0:
		return &commandSource{argv: c.Command}, nil
	case c.Keyset == "":
		return &fileSource{path: filepath.Join(dataDir, KeysetFile)}, nil
	case kind == "file" && place != "":
		return &fileSource{path: place}, nil
	case kind == "env" && place != "":
		return envSource(place), nil
	}
	return nil, unusable("vault.keyset is neither file:PATH nor env:NAME")
}

// fileSource is a file that only its owner may read. A rotation replaces it, so
// it is looked at while the node runs.
type fileSource struct {
	path string
	seen stamp
}

// stamp tells one version of a file from another. The zero stamp is of none.
type stamp struct {
	inode             uint64
	size              int64
	mode              fs.FileMode // the clocks of files are coarse
	modified, changed time.Time   // the latter of mode and owner too
}

// unread is the stamp of a file that the system wouldn't let us read: it is
// tried again even if nothing about it changes.
var unread = stamp{size: -1}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mode: info.Mode(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode, s.changed = sys.Ino, time.Unix(sys.Ctim.Unix())
	}
	return s
}

func (f *fileSource) String() string { return "file " + f.path }

func (f *fileSource) changed() bool {
	info, err := os.Stat(f.path)
	if err != nil {
		return f.seen != stamp{}
	}
	return stampOf(info) != f.seen
}

func (f *fileSource) due(time.Duration) bool { return false }

func (f *fileSource) mayHaveMore() bool { return f.changed() }

func (f *fileSource) read(context.Context) ([]byte, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.seen = stamp{}
		return nil, fmt.Errorf("%w: there is no such file; put the helpline's keyset there, "+
			"or make one with: bugle vault init", ErrKeyset)
	}
	if err != nil {
		f.seen = unread
		return nil, fmt.Errorf("%w: %w", ErrKeyset, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		f.seen = unread
		return nil, fmt.Errorf("%w: %w", ErrKeyset, err)
	}
	f.seen = stampOf(info)
	if !info.Mode().IsRegular() {
		return nil, unusable("it is not a plain file")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, unusable(fmt.Sprintf("its mode is %#o, so others may read or change it: chmod 600 %s", info.Mode().Perm(), f.path))
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyset+1))
	if err != nil {
		f.seen = unread
		return nil, fmt.Errorf("%w: %w", ErrKeyset, err)
	}
	if len(text) > maxKeyset {
		return nil, unusable("it is longer than 1 MiB")
	}
	return text, nil
}

// envSource is an environment variable, which can't change while a node runs.
type envSource string

func (e envSource) String() string    { return "environment variable " + string(e) }
func (e envSource) changed() bool     { return false }
func (e envSource) mayHaveMore() bool { return false }

func (e envSource) due(time.Duration) bool { return false }

func (e envSource) read(context.Context) ([]byte, error) {
	text, set := os.LookupEnv(string(e))
	if !set {
		return nil, unusable("it is not set; put the helpline's keyset there, or make one with: bugle vault init -out FILE")
	}
	return []byte(text), nil
}

// commandSource is a program that prints the keyset, such as a key service's
// client that decrypts it.
type commandSource struct {
	argv  []string
	tried time.Time
}

const (
	commandLimit = 10 * time.Second // how long the command may take
	commandRest  = 10 * time.Second // between two tries for a missing key
)

// String names the program alone: its arguments could hold secrets.
func (c *commandSource) String() string { return "command " + filepath.Base(c.argv[0]) }

func (c *commandSource) changed() bool { return false }
func (c *commandSource) due(refresh time.Duration) bool {
	return refresh > 0 && time.Since(c.tried) >= refresh
}

func (c *commandSource) mayHaveMore() bool { return time.Since(c.tried) >= commandRest }

// read runs the command. What it writes to standard error is not passed on: a
// key service's client may say there what must not stand in a log.
func (c *commandSource) read(ctx context.Context) ([]byte, error) {
	defer func() { c.tried = time.Now() }()
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	var out bounded
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Stdout = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its children too
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case out.over:
		return nil, unusable("it printed more than 1 MiB")
	case ctx.Err() != nil:
		return nil, unusable(fmt.Sprintf("it did not end in time (limit %s)", commandLimit))
	case err != nil:
		return nil, fmt.Errorf("%w: %w; run it by hand to see what it says", ErrKeyset, err)
	}
	return out.text, nil
}

// bounded keeps what is written to it as long as a keyset may be. It is no
// bytes.Buffer inside: that has a ReadFrom, which goes past any bound in Write.
type bounded struct {
	text []byte
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > maxKeyset {
		b.over = true
		return 0, errors.New("too long")
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
