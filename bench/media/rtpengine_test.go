//go:build bench

package media

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/bench/meter"
)

// relayDaemon is rtpengine in user space: no kernel module, two worker threads.
// It is driven as a SIP proxy does it: commands of its ng protocol, bencoded
// dictionaries over UDP.
type relayDaemon struct {
	command *exec.Cmd
	control net.Conn
	cookie  int
	far     []uint16
}

func startRTPEngine(t *testing.T) *relayDaemon {
	t.Helper()
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.LocalAddr().String()
	_ = probe.Close()
	r := &relayDaemon{command: exec.Command("rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=3",
		"--table=-1", "--num-threads=2", "--interface=127.0.0.1", "--listen-ng="+address,
		"--port-min=10000", "--port-max=31999")}
	log := new(bytes.Buffer)
	r.command.Stderr = log
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	if r.control, err = net.Dial("udp", address); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		answer, err := r.do(map[string]string{"command": "ping"})
		if err == nil && answer["result"] == "pong" {
			return r
		}
		if time.Now().After(deadline) {
			_ = r.command.Process.Kill()
			_ = r.command.Wait()
			t.Fatalf("rtpengine does not answer: %v %v %s", answer, err, log)
		}
	}
}

func (r *relayDaemon) open(_ *testing.T, far []uint16, _ int) { r.far = far }

func (r *relayDaemon) join(t *testing.T, first, n int, _ bool) []uint16 {
	t.Helper()
	near := make([]uint16, n)
	for leg := 0; leg < n; leg += 2 {
		tags := map[string]string{"call-id": fmt.Sprint("call", first+leg), "from-tag": "a", "ICE": "remove"}
		for i, command := range []string{"offer", "answer"} {
			tags["command"], tags["sdp"] = command, sdpOf(r.far[first+leg+i])
			if command == "answer" {
				tags["to-tag"] = "b"
			}
			answer, err := r.do(tags)
			if err == nil && answer["result"] != "ok" {
				err = fmt.Errorf("answer %v", answer)
			}
			if err == nil {
				near[leg+1-i], err = audioPort(answer["sdp"]) // what one side sent is for the other to read
			}
			if err != nil {
				t.Fatalf("%s: %v", command, err)
			}
		}
	}
	return near
}

var audioLine = regexp.MustCompile(`(?m)^m=audio (\d+) `)

func audioPort(sdp string) (uint16, error) {
	found := audioLine.FindStringSubmatch(sdp)
	if found == nil {
		return 0, fmt.Errorf("no audio in %q", sdp)
	}
	port, err := strconv.ParseUint(found[1], 10, 16)
	return uint16(port), err
}

// do sends a command and reads its answer.
func (r *relayDaemon) do(command map[string]string) (map[string]string, error) {
	r.cookie++
	cookie := fmt.Sprint("bench", r.cookie)
	var b strings.Builder
	b.WriteString(cookie + " d")
	for key, value := range command {
		fmt.Fprintf(&b, "%d:%s%d:%s", len(key), key, len(value), value)
	}
	b.WriteString("e")
	if _, err := r.control.Write([]byte(b.String())); err != nil {
		return nil, err
	}
	_ = r.control.SetReadDeadline(time.Now().Add(2 * time.Second))
	buffer := make([]byte, 1<<16)
	n, err := r.control.Read(buffer)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(buffer[:n], []byte(cookie+" d"))
	if !ok {
		return nil, fmt.Errorf("not an answer to us: %q", buffer[:n])
	}
	return readStrings(rest)
}

var errBencode = errors.New("not a bencoded dictionary of strings")

// readStrings reads the inside of a bencoded dictionary whose values are
// strings, which the answers asked for here are.
func readStrings(b []byte) (map[string]string, error) {
	answer := map[string]string{}
	var key string
	for odd := false; len(b) > 0 && b[0] != 'e'; odd = !odd {
		digits, rest, ok := bytes.Cut(b, []byte(":"))
		n, err := strconv.Atoi(string(digits))
		if !ok || err != nil || n < 0 || n > len(rest) {
			return nil, errBencode
		}
		text := string(rest[:n])
		b = rest[n:]
		if odd {
			answer[key] = text
		} else {
			key = text
		}
	}
	if len(b) == 0 {
		return nil, errBencode
	}
	return answer, nil
}

func (r *relayDaemon) process() *os.Process { return r.command.Process }

// usage gives its user and system time.
func (r *relayDaemon) usage(*testing.T) usage { return usage{CPU: meter.CPU(r.command.Process.Pid)} }

func (r *relayDaemon) close(*testing.T) {
	_ = r.control.Close()
	_ = r.command.Process.Signal(syscall.SIGTERM)
	_ = r.command.Wait()
}
