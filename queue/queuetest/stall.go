package queuetest

import (
	"bytes"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bugle-voice/bugle/config"
)

// Stall is a way to a redis-server on which one command can be held up, longer
// than anybody waits for it, and arrive all the same; or be carried out, and its
// answer be lost.
type Stall struct {
	Redis config.Redis // where to connect to

	t      testing.TB
	server string
	conns  sync.WaitGroup

	mu      sync.Mutex
	open    []net.Conn
	word    string        // of the command to be held; "" for none
	unheard string        // of commands whose answer is lost
	times   int           // how many of those are to come
	held    chan struct{} // closed when it is held
	release chan struct{} // closed by the test
	done    chan struct{} // closed when Redis has answered it
}

// NewStall starts a redis-server and the way to it; both end with the test.
func NewStall(t testing.TB) *Stall {
	t.Helper()
	s := &Stall{t: t, server: Server(t).Addr}
	s.Redis.Addr = filepath.Join(t.TempDir(), "stall.sock")
	l, err := net.Listen("unix", s.Redis.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s.conns.Go(func() { s.accept(l) })
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, c := range s.open {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.conns.Wait()
	})
	return s
}

// HoldNext holds up the next command with this word in it.
func (s *Stall) HoldNext(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.word = word
	s.held, s.release, s.done = make(chan struct{}), make(chan struct{}), make(chan struct{})
}

// LoseAnswers cuts the connection in place of the answers to the next commands, so many,
// with this word in them.
func (s *Stall) LoseAnswers(word string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unheard, s.times = word, times
}

// Held is closed when the command is there.
func (s *Stall) Held() <-chan struct{} { return s.held }

// Release lets the command go on, and returns when Redis has run it.
func (s *Stall) Release() {
	<-s.held
	close(s.release)
	<-s.done
}

func (s *Stall) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", s.server)
		if err != nil {
			s.t.Error(err)
			_ = client.Close()
			return
		}
		s.mu.Lock()
		s.open = append(s.open, client, server)
		s.mu.Unlock()
		answered := make(chan struct{}, 1)
		var cut atomic.Bool
		s.conns.Go(func() { s.forth(client, server, answered, &cut) })
		s.conns.Go(func() { back(client, server, answered, &cut) })
	}
}

// forth passes commands on; the client writes each in one piece.
func (s *Stall) forth(client, server net.Conn, answered <-chan struct{}, cut *atomic.Bool) {
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		hold := s.takes(buf[:n])
		if s.loses(buf[:n]) {
			cut.Store(true)
		}
		if hold {
			close(s.held)
			<-s.release
			select {
			case <-answered: // an older answer
			default:
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if hold {
			<-answered
			close(s.done)
		}
	}
}

func (s *Stall) takes(command []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.word == "" || !bytes.Contains(command, []byte(s.word)) {
		return false
	}
	s.word = ""
	return true
}

func (s *Stall) loses(command []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.times == 0 || !bytes.Contains(command, []byte(s.unheard)) {
		return false
	}
	s.times--
	return true
}

// back passes answers on, also if nobody is there any more to hear them, until the
// connection is cut.
func back(client, server net.Conn, answered chan<- struct{}, cut *atomic.Bool) {
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if cut.Load() {
			return
		}
		_, _ = client.Write(buf[:n])
		select {
		case answered <- struct{}{}:
		default:
		}
	}
}
