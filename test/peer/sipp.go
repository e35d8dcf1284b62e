package peer

import (
	"bytes"
	"embed"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"
)

//go:embed scenarios
var scenarios embed.FS

// Callers is a load of callers with sound in both directions all the time.
type Callers struct {
	Server    string // host:port of Bugle
	Number    string
	Transport string // udp (default), tcp
	Keys      []Press
	Talk      time.Duration // after the last key
	Calls     int           // how many in all
	Rate      float64       // calls a second
	Port      int           // of all callers' SIP; their RTP leaves from Port+2
}

// Press is one key, pressed after a wait.
type Press struct {
	Key  byte
	Wait time.Duration
}

// Counts is what sipp counted.
type Counts struct{ Succeeded, Failed int }

// SippCallers is a running load.
type SippCallers struct {
	*Process
	stats string
}

// StartCallers begins a load of callers.
func StartCallers(t testing.TB, c Callers) *SippCallers {
	t.Helper()
	dir := t.TempDir()
	type key struct {
		Wait int64
		File string
	}
	var keys []key
	for i, p := range c.Keys {
		file := fmt.Sprintf("key%d.pcap", i)
		write(t, filepath.Join(dir, file), string(keyPress(p.Key, uint16(1000*(i+1)))))
		keys = append(keys, key{p.Wait.Milliseconds(), file})
	}
	const voice = "voice.ulaw" // sipp splits what it is told at commas: no folder
	write(t, filepath.Join(dir, voice), string(speechLike(20*time.Second)))
	scenario := filepath.Join(dir, "caller.xml")
	var text bytes.Buffer
	err := template.Must(template.ParseFS(scenarios, "scenarios/caller.xml.tmpl")).Execute(&text, map[string]any{
		"Voice": voice, "Keys": keys, "Talk": c.Talk.Milliseconds(),
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, scenario, text.String())

	s := &SippCallers{stats: filepath.Join(dir, "stats.csv")}
	args := append(sippArgs(c.Transport, c.Port), "-s", c.Number, "-sf", scenario, "-mp", strconv.Itoa(c.Port+2),
		"-r", strconv.FormatFloat(c.Rate, 'f', -1, 64), "-m", strconv.Itoa(c.Calls), "-l", strconv.Itoa(c.Calls),
		"-trace_stat", "-stf", s.stats, "-fd", "5", c.Server)
	cmd := exec.Command("sipp", args...)
	cmd.Env = append(os.Environ(), "LD_PRELOAD="+rtpShim(t, dir))
	cmd.Dir = dir
	s.Process = start(t, cmd)
	return s
}

// Play runs one of our small sipp scenarios as a single call to a number of
// Bugle and fails the test if the scenario does not go as written.
func Play(t testing.TB, scenario, server, number string) {
	t.Helper()
	text, err := scenarios.ReadFile("scenarios/" + scenario)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, scenario), string(text))
	cmd := exec.Command("sipp", append(sippArgs("udp", FreePort(t)), "-s", number, "-sf", scenario, "-m", "1", server)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sipp %s: %v\n%s", scenario, err, out)
	}
}

// Done waits for the load's end and gives sipp's own count.
func (s *SippCallers) Done(t testing.TB, limit time.Duration) Counts {
	t.Helper()
	s.Wait(t, limit)
	count := SippStatistics(t, s.stats)
	return Counts{Succeeded: int(count["SuccessfulCall(C)"]), Failed: int(count["FailedCall(C)"])}
}

// SippStatistics gives the last line of what sipp wrote with -trace_stat, by the
// names of its columns; those that are no numbers are 0.
func SippStatistics(t testing.TB, path string) map[string]float64 {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.Comma, r.FieldsPerRecord = ';', -1
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("sipp's statistics: %d rows, %v", len(rows), err)
	}
	names, last := rows[0], rows[len(rows)-1]
	count := map[string]float64{}
	for i, text := range last[:min(len(last), len(names))] {
		count[names[i]], _ = strconv.ParseFloat(text, 64)
	}
	return count
}

// StartAgents registers the agents, password "pw-ID", all on one port, and then
// answers their calls there, echoing what it hears.
func StartAgents(t testing.TB, server string, port int, ids ...string) *Process {
	t.Helper()
	text, err := scenarios.ReadFile("scenarios/agent.xml")
	if err != nil {
		t.Fatal(err)
	}
	return StartAgentsAs(t, string(text), server, port, ids, "-mp", strconv.Itoa(port+2), "-rtp_echo")
}

// StartAgentsAs is StartAgents with a scenario, and arguments for sipp, of one's own.
func StartAgentsAs(t testing.TB, scenario, server string, port int, ids []string, more ...string) *Process {
	t.Helper()
	registerAgents(t, server, port, ids)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "agent.xml"), scenario)
	answer := exec.Command("sipp", append(sippArgs("udp", port), append(more, "-sf", "agent.xml")...)...)
	answer.Dir = dir
	return start(t, answer)
}

// StartTrunk answers whatever a trunk at this port is sent, and waits for the end.
func StartTrunk(t testing.TB, port int) *Process {
	t.Helper()
	return start(t, exec.Command("sipp", append(sippArgs("udp", port), "-sn", "uas")...))
}

func registerAgents(t testing.TB, server string, port int, ids []string) {
	t.Helper()
	dir := t.TempDir()
	var users strings.Builder
	users.WriteString("SEQUENTIAL\n")
	for _, id := range ids {
		fmt.Fprintf(&users, "%s;[authentication username=%s password=pw-%s]\n", id, id, id)
	}
	text, err := scenarios.ReadFile("scenarios/register.xml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "register.xml"), string(text))
	write(t, filepath.Join(dir, "users.csv"), users.String())
	args := append(sippArgs("udp", port), "-sf", "register.xml", "-inf", "users.csv",
		"-m", strconv.Itoa(len(ids)), "-r", "100", server)
	for try := 1; ; try++ { // a machine that others use too may be too slow for one
		register := exec.Command("sipp", args...)
		register.Dir = dir
		out, err := register.CombinedOutput()
		if err == nil {
			return
		}
		if try == 3 {
			t.Fatalf("sipp registering %d agents: %v\n%s", len(ids), err, out)
		}
	}
}

func sippArgs(transport string, port int) []string {
	mode := "u1"
	if transport == "tcp" {
		mode = "t1"
	}
	// Its watchdog ends a sipp that was slow too often, in an hour on any busy machine.
	return []string{"-t", mode, "-i", "127.0.0.1", "-ci", "127.0.0.1", "-mi", "127.0.0.1", "-p", strconv.Itoa(port),
		"-nostdin", "-buff_size", "4194304", "-watchdog_interval", "0"}
}

// rtpShim builds the preload that makes sipp press keys as a phone does.
func rtpShim(t testing.TB, dir string) string {
	t.Helper()
	source, err := scenarios.ReadFile("scenarios/rtp_shim.c")
	if err != nil {
		t.Fatal(err)
	}
	c, so := filepath.Join(dir, "rtp_shim.c"), filepath.Join(dir, "rtp_shim.so")
	write(t, c, string(source))
	if out, err := exec.Command("gcc", "-O2", "-shared", "-fPIC", "-o", so, c, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return so
}

// keyPress gives one RFC 4733 key press of 100 ms as a pcap file: payload type
// 101, a packet each 20 ms, the marker on the first, the end sent three times.
func keyPress(key byte, sequence uint16) []byte {
	event := byte(strings.IndexByte("0123456789*#", key))
	out := le(nil, uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(1))
	for n := range 8 {
		at, marker, end, duration := n*20, byte(0), byte(0), min(160*(n+1), 800)
		if n == 0 {
			marker = 0x80
		}
		if n >= 5 {
			end = 0x80
		}
		rtp := be(nil, byte(0x80), marker|101, sequence+uint16(n), uint32(100000), uint32(0x0d7f0001),
			event, end|10, uint16(duration))
		udp := append(be(nil, uint16(4000), uint16(5000), uint16(8+len(rtp)), uint16(0)), rtp...)
		ip := be(nil, byte(0x45), byte(0), uint16(20+len(udp)), uint16(n), uint16(0), byte(64), byte(17), uint16(0),
			[4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 1})
		frame := append(append(append(make([]byte, 12), 8, 0), ip...), udp...)
		out = le(out, uint32(1000), uint32(at*1000), uint32(len(frame)), uint32(len(frame)))
		out = append(out, frame...)
	}
	return out
}

func le(to []byte, values ...any) []byte { return appendAll(to, binary.LittleEndian, values) }
func be(to []byte, values ...any) []byte { return appendAll(to, binary.BigEndian, values) }

func appendAll(to []byte, order binary.ByteOrder, values []any) []byte {
	for _, v := range values {
		var err error
		if to, err = binary.Append(to, order, v); err != nil {
			panic(err)
		}
	}
	return to
}

// speechLike gives µ-law that sounds, to a codec, like somebody talking: a
// gliding voice with its harmonics, in syllables.
func speechLike(length time.Duration) []byte {
	out := make([]byte, int(length.Seconds()*8000))
	var phase float64
	for i := range out {
		at := float64(i) / 8000
		phase += 2 * math.Pi * (130 + 30*math.Sin(2*math.Pi*0.7*at)) / 8000
		syllable := math.Max(0, math.Sin(2*math.Pi*2.3*at))
		voice := math.Sin(phase) + 0.5*math.Sin(2*phase) + 0.3*math.Sin(5*phase)
		out[i] = toUlaw(4000 * syllable * voice)
	}
	return out
}

// toUlaw codes one sample by ITU-T G.711, 16-bit scale.
func toUlaw(v float64) byte {
	sign, x := byte(0), int(v)
	if x < 0 {
		sign, x = 0x80, -x
	}
	x = min(x, 32635) + 0x84
	exponent := 7
	for mask := 0x4000; x&mask == 0 && exponent > 0; mask >>= 1 {
		exponent--
	}
	return ^(sign | byte(exponent)<<4 | byte(x>>(exponent+3)&0x0F))
}
