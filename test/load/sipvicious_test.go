//go:build load

package load

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// SIPVicious is the scanner most strangers bring. It finds no agent and no
// password; guessing, it is banned, and others at other addresses are not. (Its
// option -b is without effect, so here 127.0.0.1 is the stranger's address.)
func TestSipvicious(t *testing.T) {
	config, _ := peer.LoadHelpline(t, 1, "")
	config = strings.Replace(config, "127.0.0.0/8", "127.0.0.9/32", 1)
	config = strings.Replace(config, "agent0:", `"200":`, 1)
	bugle := peer.StartBugle(t, config, "200")
	_, port, _ := strings.Cut(bugle.SIP, ":")
	scan := func(tool string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, tool, append(args, "-p", port, "127.0.0.1")...).CombinedOutput()
		if ctx.Err() != nil || len(out) == 0 {
			t.Fatalf("%s %v: %v\n%s", tool, args, err, out)
		}
		return string(out)
	}
	for _, method := range []string{"REGISTER", "INVITE", "OPTIONS"} {
		if out := scan("svwar", "--force", "-m", method, "-e", "190-210"); !strings.Contains(out, "found nothing") {
			t.Errorf("svwar -m %s found something:\n%s", method, out)
		}
	}
	if n := bugle.Metrics(t)["bugle_sip_banned_sources"]; n != 0 {
		t.Errorf("%v banned for a few questions", n)
	}
	if out := scan("svcrack", "-u", "200", "-r", "1000-9999", "--maximumtime", "8"); !strings.Contains(out, "found nothing") {
		t.Errorf("svcrack found something:\n%s", out)
	}
	figures := bugle.Metrics(t)
	if n := figures["bugle_sip_banned_sources"]; n != 1 {
		t.Errorf("%v banned after the guesses, want 1", n)
	}
	if n := figures[`bugle_sip_rejected_total{reason="wrong_proof"}`]; n < 10 || n > 100 {
		t.Errorf("%v guesses were judged, want about 20", n)
	}
	if answersOptions(t, bugle.SIP, "127.0.0.1") {
		t.Error("the scanner is still answered")
	}
	if !answersOptions(t, bugle.SIP, "127.0.0.3") {
		t.Error("somebody else is not answered")
	}
}

// answersOptions says whether an OPTIONS from an address gets an answer.
func answersOptions(t *testing.T, server, from string) bool {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP " + conn.LocalAddr().String() + ";branch=z9hG4bKa\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:x>\r\n" +
		"Call-ID: " + conn.LocalAddr().String() + "\r\nCSeq: 1 OPTIONS\r\n\r\n"
	buf := make([]byte, 2048)
	for range 3 {
		if _, err := conn.Write([]byte(ask)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := conn.Read(buf); err == nil {
			return strings.HasPrefix(string(buf[:n]), "SIP/2.0 200")
		}
	}
	return false
}

// svwar gives up by itself once a name nobody has and the first it tries get the same
// answer. Who goes on where it stops, name after name without a proof, is banned.
func TestWhoAsksForNamesIsBanned(t *testing.T) {
	config, _ := peer.LoadHelpline(t, 1, "")
	config = strings.Replace(config, "127.0.0.0/8", "127.0.0.9/32", 1)
	config = strings.Replace(config, "agent0:", `"200":`, 1)
	bugle := peer.StartBugle(t, config, "200")
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := dialer.Dial("udp", bugle.SIP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers, buf := map[string]int{}, make([]byte, 2048)
	for name := range 300 {
		ask := fmt.Sprintf("REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;branch=z9hG4bK%[2]d\r\nFrom: <sip:%[2]d@x>;tag=1\r\nTo: <sip:%[2]d@x>\r\n"+
			"Call-ID: %[2]d\r\nCSeq: 1 REGISTER\r\n\r\n", conn.LocalAddr(), 100+name)
		if _, err := conn.Write([]byte(ask)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := conn.Read(buf)
		if err != nil {
			n = copy(buf, "none")
		}
		line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
		answers[line]++
	}
	if n := answers["SIP/2.0 401 Unauthorized"]; len(answers) != 2 || n < 150 || answers["none"] != 300-n || answers["none"] == 0 {
		t.Errorf("the names were answered %v, want 401 until the ban", answers)
	}
	if n := bugle.Metrics(t)[`bugle_sip_bans_total{reason="no_proof"}`]; n != 1 {
		t.Errorf("%v bans for want of proof, want 1", n)
	}
	if answersOptions(t, bugle.SIP, "127.0.0.2") || !answersOptions(t, bugle.SIP, "127.0.0.3") {
		t.Error("it is not he who is banned, or not he alone")
	}
}
