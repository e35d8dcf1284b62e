// Package queuetest gives tests a Redis of their own, of either kind: the one
// that is embedded in Bugle, here with a listener so that several nodes can
// meet in it, and the real redis-server.
package queuetest

import (
	"bytes"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/bugle-voice/bugle/config"
)

// Each runs a test on each kind of Redis, empty at its beginning.
func Each(t *testing.T, test func(t *testing.T, cfg config.Redis)) {
	t.Run("miniredis", func(t *testing.T) {
		test(t, config.Redis{Addr: miniredis.RunT(t).Addr()})
	})
	t.Run("redis", func(t *testing.T) { test(t, Server(t)) })
}

// Server starts a redis-server that keeps nothing and listens on a socket in a
// directory of its own; it ends with the test.
func Server(t testing.TB) config.Redis {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("the tests need redis-server (apt-get install redis-server): %v", err)
	}
	socket := filepath.Join(t.TempDir(), "redis.sock")
	var output bytes.Buffer
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting redis-server: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// There is nothing to wait on but the socket itself.
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
			return config.Redis{Addr: socket}
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("redis-server does not listen: %v\n%s", err, output.Bytes())
		}
		<-time.After(5 * time.Millisecond)
	}
}
