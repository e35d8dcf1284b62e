package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// everyFact has one fact of each type, no field left at zero.
var everyFact = []Fact{
	NodeStarted{"n1", "v1.2.3"},
	NodeStopped{"n1"},
	FactsLost{3},
	CallStarted{"helpline", "+49…42", "carrier", "anna", "emergency", "9f3a51c0", []byte("sealed")},
	CallAnswered{},
	StepEntered{"main", "subject", "es"},
	CallEnded{"caller", "hung_up", 95 * time.Second},
	VisitJoined{"v1", "claims", "es", map[string]int{"claims": 1, "es": 1}, 20 * time.Second, 5 * time.Second, 42 * time.Second, "routine"},
	VisitEnded{"v1", "claims", "es", Answered, "sofia", 1, Interrupted, 12345 * time.Microsecond},
	OfferMade{"v1", "claims", "sofia", "longest ready of 3 with claims≥1, es≥1"},
	OfferEnded{"v1", "claims", "sofia", OfferTimedOut, 15 * time.Second},
	TalkEnded{"v1", "claims", "es", "sofia", 1, 80 * time.Second, time.Second},
	WrapUpEnded{"v1", "t1", "claims", "es", "sofia", 10 * time.Second},
	AgentChanged{"sofia", "ready", "paused", "lunch", time.Hour},
	Transferred{"c1-t1", "v1", "sofia", Blind, "number", "maria", []byte("sealed"), "busy", 4 * time.Second},
	RecordingMade{"20261122-k3j2-message", "message", 12 * time.Second, 96310, time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)},
	LegEnded{"agent", "anna", "PCMA", "AEAD_AES_128_GCM", 5000, 5001, 25, Travel{.005, 3 * time.Millisecond, 4.2}, Travel{.01, time.Millisecond, 4.1}, 40 * time.Millisecond},
	SurveyAnswered{"v1", "claims", "es", "csat", 4},
	FollowUpSettled{"v1", "claims", "es", "done", time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)},
	Audited{"api:token", "agent.state", "agent sofia", "192.0.2.7", "paused"},
	AuditHead{"n1", 17, []byte("hash")},
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

// bothWays runs a test with plain and with sealed records.
func bothWays(t *testing.T, test func(t *testing.T, by Sealer)) {
	t.Run("plain", func(t *testing.T) { test(t, nil) })
	t.Run("sealed", func(t *testing.T) { test(t, testKey(1)) })
}

// sealsTest gives seals with a segment's key that is always the same.
func sealsTest(log string, by Sealer) *seals {
	s := newSeals(log, by)
	if err := s.key.make(bytes.Repeat([]byte{42}, 32)); err != nil {
		panic(err)
	}
	return s
}

// encodeTest gives a copy of an event's record.
func encodeTest(t testing.TB, by Sealer, ev Event) []byte {
	t.Helper()
	whole, err := newEncoder(sealsTest("log", by)).encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(whole)
}

func TestRecordsRoundTrip(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		e := newEncoder(sealsTest("log", by))
		var file bytes.Buffer
		var want, got []Event
		for i, f := range append(everyFact, Unknown{"visit.levitated", []byte(`{"height":3}`)}, Unknown{Name: "bare"}) {
			ev := Event{Seq: uint64(i + 1), At: time.Date(2026, 3, 1, 8, 0, i, 5e6, time.UTC), Call: "c1", Fact: f}
			whole, err := e.encode(ev)
			if err != nil {
				t.Fatal(err)
			}
			file.Write(whole)
			if f.Kind() == "bare" {
				ev.Fact = Unknown{"bare", []byte("null")}
			}
			want = append(want, ev)
		}
		s, seals := scannerOf(file.Bytes()), sealsTest("log", by)
		for {
			r, skipped, err := s.next()
			if err == io.EOF && skipped == 0 {
				break
			}
			if err != nil || skipped > 0 {
				t.Fatal(skipped, err)
			}
			ev, err := seals.event(r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ev)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	})
}

func scannerOf(data []byte) *scanner {
	return &scanner{r: bytes.NewReader(data), end: int64(len(data))}
}

func TestTooLongAFactIsRefused(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		e := newEncoder(sealsTest("log", by))
		if _, err := e.encode(Event{Seq: 1, Fact: OfferMade{Why: strings.Repeat("w", maxPayload)}}); !errors.Is(err, errTooLong) {
			t.Errorf("error is %v", err)
		}
		if _, err := e.encode(Event{Seq: 1, Fact: OfferMade{Why: "short"}}); err != nil {
			t.Errorf("and the next one: %v", err)
		}
	})
}

// Wherever a few bytes are damaged, what is whole around them is found, and what
// was passed over adds up.
func TestScannerFindsWhatIsWholeBehindDamage(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		const records = 5
		var data []byte
		var ends [records]int
		for i := range records {
			data = append(data, encodeTest(t, by, Event{Seq: uint64(i + 1), Fact: StepEntered{Step: strings.Repeat("s", 40*i)}})...)
			ends[i] = len(data)
		}
		for at := range data {
			for _, damage := range []func([]byte) []byte{
				func(d []byte) []byte { d[at] ^= 0x10; return d },
				func(d []byte) []byte { return append(d[:at], d[min(at+3, len(d)):]...) },
				func(d []byte) []byte { return append(d[:at:at], append([]byte("\xffBEs\x00\x00"), d[at:]...)...) },
			} {
				hurt := damage(bytes.Clone(data))
				var found []uint64
				s, passed, whole := scannerOf(hurt), int64(0), int64(0)
				for {
					r, skipped, err := s.next()
					passed += skipped
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					found = append(found, r.seq)
					whole += headerSize + int64(len(r.payload))
				}
				if passed+whole != int64(len(hurt)) {
					t.Fatalf("damage at %d: %d bytes passed over, %d whole of %d", at, passed, whole, len(hurt))
				}
				if len(found) < records-2 {
					t.Fatalf("damage at %d: only %v found", at, found)
				}
				for i := range records {
					begin := 0
					if i > 0 {
						begin = ends[i-1]
					}
					touched := at+3 > begin && at < ends[i] || at == begin
					if has := bytes.Contains(fmt.Append(nil, found), fmt.Append(nil, i+1)); !has && !touched {
						t.Fatalf("damage at %d: found %v without %d, which was not touched", at, found, i+1)
					}
				}
			}
		}
	})
}

// A mark that is no record's, and a length that points beyond what follows, hide
// nothing, also where they cross the scanner's window.
func TestScannerCrossesItsWindow(t *testing.T) {
	whole := encodeTest(t, nil, Event{Seq: 7, Fact: CallAnswered{}})
	long := encodeTest(t, nil, Event{Seq: 8, Fact: OfferMade{Why: strings.Repeat("w", 3*windowSize)}})
	mark := binary.BigEndian.AppendUint32(nil, sealedMark)
	for _, before := range []int{0, 1, windowSize - 4, windowSize - 3, windowSize - 2, windowSize - 1, windowSize, windowSize + 1, 3*windowSize - 2} {
		junk := bytes.Repeat([]byte{'j'}, before)
		data := append(append(append(append(junk, mark...), 0, 0, 1, 0), whole...), long...)
		s := scannerOf(data)
		r, skipped, err := s.next()
		if err != nil || r.seq != 7 || skipped != int64(before+8) {
			t.Fatalf("behind %d bytes: event %d after %d, %v", before, r.seq, skipped, err)
		}
		if r, skipped, err = s.next(); err != nil || r.seq != 8 || skipped != 0 {
			t.Fatalf("behind that: event %d after %d, %v", r.seq, skipped, err)
		}
	}
}

func TestScannerTellsAFailingDisk(t *testing.T) {
	whole := encodeTest(t, nil, Event{Seq: 7, Fact: CallAnswered{}})
	s := scanner{r: bytes.NewReader(whole[:10]), end: int64(len(whole))} // shorter than it is said to be
	if _, _, err := s.next(); err == nil || err == io.EOF {
		t.Errorf("error is %v", err)
	}
}

// FuzzScan: whatever stands in a segment, reading it ends, nothing is passed over
// uncounted, and what it gives can be written and read again.
func FuzzScan(f *testing.F) {
	var file []byte
	for seq := range uint64(2) {
		file = append(file, encodeTest(f, nil, Event{Seq: seq + 1, Fact: CallAnswered{}})...)
	}
	f.Add(file)
	f.Add(file[:len(file)-3])
	f.Add(file[5:])
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, seals := scannerOf(data), newSeals("log", nil)
		for at := int64(0); ; {
			r, skipped, err := s.next()
			if err == io.EOF {
				if at+skipped != int64(len(data)) {
					t.Fatalf("at %d, %d passed over, of %d", at, skipped, len(data))
				}
				return
			}
			if err != nil || at+skipped != r.off {
				t.Fatalf("at %d, %d passed over, a record at %d: %v", at, skipped, r.off, err)
			}
			at = s.off
			if ev, err := seals.event(r); err == nil {
				again(t, ev)
			}
		}
	})
}

// FuzzDecode is FuzzScan behind the checksum, which chance doesn't pass.
func FuzzDecode(f *testing.F) {
	for i, fact := range everyFact {
		f.Add(encodeTest(f, nil, Event{Seq: uint64(i + 1), At: time.Unix(1772352000, 0).UTC(), Call: "c", Fact: fact})[headerSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if ev, err := decode(payload); err == nil {
			ev.Seq = 1
			again(t, ev)
		}
	})
}

// FuzzTitle: a first line that is taken for a title is one.
func FuzzTitle(f *testing.F) {
	f.Add(title("n1-abcdefgh", nil))
	f.Add(title("\x00\n\"€", nil))
	f.Add(title("n1-abcdefgh", []byte("sealed")))
	f.Add([]byte(keyedTitle + `"a"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readTitle(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if h.size > 0 && !bytes.HasPrefix(data, title(h.id, h.key)) {
			t.Fatalf("%q is taken for the title of %q", data, h.id)
		}
	})
}

func again(t *testing.T, ev Event) {
	t.Helper()
	whole, err := newEncoder(newSeals("log", nil)).encode(ev)
	if errors.Is(err, errTooLong) {
		return
	}
	if err != nil {
		t.Fatalf("%+v can't be written: %v", ev, err)
	}
	r, skipped, err := scannerOf(whole).next()
	if err != nil || skipped != 0 {
		t.Fatalf("%+v can't be found: %v", ev, err)
	}
	back, err := newSeals("log", nil).event(r)
	if err != nil {
		t.Fatalf("%+v can't be read: %v", ev, err)
	}
	if back.Seq != ev.Seq || !back.At.Equal(ev.At) || back.Call != ev.Call || back.Fact.Kind() != ev.Fact.Kind() {
		t.Fatalf("%+v became %+v", ev, back)
	}
}
