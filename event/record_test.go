package event

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// everyFact has one fact of each type, no field left at zero.
var everyFact = []Fact{
	NodeStarted{"n1", "v1.2.3"},
	NodeStopped{"n1"},
	FactsLost{3},
	CallStarted{"helpline", "+49…42", "carrier", "9f3a51c0", []byte("sealed")},
	CallAnswered{},
	StepEntered{"main", "subject", "es"},
	CallEnded{"caller", "hung_up", 95 * time.Second},
	VisitJoined{"v1", "claims", "es", map[string]int{"claims": 1, "es": 1}},
	VisitEnded{"v1", "claims", "es", Answered, "sofia", 12345 * time.Microsecond},
	OfferMade{"v1", "claims", "sofia", "longest ready of 3 with claims≥1, es≥1"},
	OfferEnded{"v1", "claims", "sofia", OfferTimedOut, 15 * time.Second},
	TalkEnded{"v1", "claims", "es", "sofia", 80 * time.Second, time.Second},
	WrapUpEnded{"v1", "claims", "sofia", 10 * time.Second},
	AgentChanged{"sofia", "ready", "paused", "lunch", time.Hour},
	RecordingMade{"20261122-k3j2-message", "message", 12 * time.Second, 96310},
}

// Every type of fact.go has to be registered, or it could be written and not
// read. The source is asked, as nothing in a running program lists them.
func TestEveryFactIsRegistered(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fact.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	samples := make(map[string]Fact)
	for _, f := range everyFact {
		samples[reflect.TypeOf(f).Name()] = f
	}
	found := 0
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv == nil || fn.Name.Name != "Kind" {
			continue
		}
		found++
		name := fn.Recv.List[0].Type.(*ast.Ident).Name
		f, known := samples[name]
		if !known {
			t.Errorf("everyFact has no %s", name)
			continue
		}
		if kinds[f.Kind()] == nil {
			t.Errorf("%s (%s) is not registered in kinds.go", name, f.Kind())
		}
		for i, v := 0, reflect.ValueOf(f); i < v.NumField(); i++ {
			if v.Field(i).IsZero() {
				t.Errorf("everyFact's %s leaves %s at zero", name, v.Type().Field(i).Name)
			}
		}
	}
	if found != len(everyFact) || found != len(kinds) {
		t.Errorf("fact.go has %d kinds, everyFact %d, the registry %d", found, len(everyFact), len(kinds))
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	e := newEncoder()
	var file bytes.Buffer
	var want []Event
	for i, f := range append(everyFact, Unknown{"visit.levitated", []byte(`{"height":3}`)}, Unknown{Name: "bare"}) {
		ev := Event{Seq: uint64(i + 1), At: time.Date(2026, 3, 1, 8, 0, i, 5e6, time.UTC), Call: "c1", Fact: f}
		record, err := e.encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(record)
		if f.Kind() == "bare" {
			ev.Fact = Unknown{"bare", []byte("null")}
		}
		want = append(want, ev)
	}
	var got []Event
	for ev, err := range events(&file) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ev)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestTooLongAFactIsRefused(t *testing.T) {
	e := newEncoder()
	if _, err := e.encode(Event{Seq: 1, Fact: OfferMade{Why: strings.Repeat("w", maxPayload)}}); !errors.Is(err, errTooLong) {
		t.Errorf("error is %v", err)
	}
	if _, err := e.encode(Event{Seq: 1, Fact: OfferMade{Why: "short"}}); err != nil {
		t.Errorf("and the next one: %v", err)
	}
}

// A log may end anywhere. Whatever was whole before that place is read, the rest
// is cut and kept, and the log goes on.
func TestTornTail(t *testing.T) {
	whole := func(t *testing.T) (string, []byte) {
		dir := t.TempDir()
		l := openTest(t, dir)
		l.Emit("c1", CallAnswered{})
		l.Emit("c2", CallAnswered{})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		return dir, data
	}
	_, sample := whole(t)
	lastRecord := len(sample) - bytes.LastIndex(sample, []byte(`{"seq":4`)) + headerSize
	for _, test := range []struct {
		name string
		tear func(data []byte) []byte
		left int // whole events
	}{
		{"half a header", func(d []byte) []byte { return d[:len(d)-lastRecord+3] }, 3},
		{"header only", func(d []byte) []byte { return d[:len(d)-lastRecord+headerSize] }, 3},
		{"half a payload", func(d []byte) []byte { return d[:len(d)-5] }, 3},
		{"a flipped bit", func(d []byte) []byte { d[len(d)-5] ^= 1; return d }, 3},
		{"zeros behind", func(d []byte) []byte { return append(d, make([]byte, 100)...) }, 4},
		{"noise behind", func(d []byte) []byte { return append(d, bytes.Repeat([]byte{0xff}, 100)...) }, 4},
		{"damage at the start", func(d []byte) []byte { d[0] ^= 0x80; return d }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, data := whole(t)
			path := filepath.Join(dir, fileName)
			torn := test.tear(data)
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readAll(dir)
			if !errors.Is(err, ErrTorn) || len(got) != test.left {
				t.Fatalf("reading it gives %d events, %v", len(got), err)
			}

			l := openTest(t, dir)
			l.Emit("c3", CallAnswered{})
			if testutil.ToFloat64(l.metrics.torn) == 0 {
				t.Error("the cut is not counted")
			}
			got, err = readAll(dir)
			if err != nil || len(got) != test.left+2 {
				t.Fatalf("after opening it: %d events, %v", len(got), err)
			}
			checkKept(t, path, torn)
		})
	}
}

// checkKept looks that what was cut off stands in a file beside.
func checkKept(t *testing.T, path string, torn []byte) {
	t.Helper()
	beside, err := filepath.Glob(path + ".cut-*")
	if err != nil || len(beside) != 1 {
		t.Fatalf("files beside: %v, %v", beside, err)
	}
	kept, err := os.ReadFile(beside[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) == 0 || !bytes.HasSuffix(torn, kept) {
		t.Errorf("%d bytes were kept, and are not the end of the file", len(kept))
	}
	if info, err := os.Stat(beside[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file beside: %v, %v", info, err)
	}
}

func TestReadNoticesAGap(t *testing.T) {
	e := newEncoder()
	var file bytes.Buffer
	for _, seq := range []uint64{1, 2, 4} {
		record, err := e.encode(Event{Seq: seq, Fact: CallAnswered{}})
		if err != nil {
			t.Fatal(err)
		}
		file.Write(record)
	}
	var last error
	n := 0
	for _, err := range events(&file) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 2 || last == nil {
		t.Errorf("%d events, then %v", n, last)
	}
}

// FuzzEvents: whatever stands in the file, reading it ends, and what it gives
// can be written and read again.
func FuzzEvents(f *testing.F) {
	e := newEncoder()
	var file []byte
	for seq := range uint64(2) {
		record, err := e.encode(Event{Seq: seq + 1, Fact: CallAnswered{}})
		if err != nil {
			f.Fatal(err)
		}
		file = append(file, record...)
	}
	f.Add(file)
	f.Add(file[:len(file)-3])
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		for ev, err := range events(bytes.NewReader(data)) {
			if err == nil {
				again(t, ev)
			}
		}
	})
}

// FuzzDecode is FuzzEvents behind the checksum, which chance doesn't pass.
func FuzzDecode(f *testing.F) {
	e := newEncoder()
	for i, fact := range everyFact {
		record, err := e.encode(Event{Seq: uint64(i + 1), At: time.Unix(1772352000, 0).UTC(), Call: "c", Fact: fact})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(record[headerSize:]))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if ev, err := decode(payload); err == nil {
			again(t, ev)
		}
	})
}

func again(t *testing.T, ev Event) {
	t.Helper()
	record, err := newEncoder().encode(ev)
	if errors.Is(err, errTooLong) {
		return
	}
	if err != nil {
		t.Fatalf("%+v can't be written: %v", ev, err)
	}
	back, err := decode(record[headerSize:])
	if err != nil {
		t.Fatalf("%+v can't be read: %v", ev, err)
	}
	if back.Seq != ev.Seq || !back.At.Equal(ev.At) || back.Call != ev.Call || back.Fact.Kind() != ev.Fact.Kind() {
		t.Fatalf("%+v became %+v", ev, back)
	}
}
