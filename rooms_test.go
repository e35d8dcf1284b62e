package bugle_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bugle-voice/bugle/"

// rooms is the plan of the house: which room may import which others. Every
// room may import event and config, which import nothing of ours. cmd, test and
// bench may import all and are not listed.
var rooms = map[string][]string{
	"config": {},
	"number": {},
	"event":  {},
	"media":  {},
	"ivr":    {},
	"cert":   {},
	"sip":    {"cert", "number"},
	"queue":  {},
	"router": {"queue"},
	"call":   {"sip", "media", "ivr", "router", "queue", "number"},
	"phone":  {"sip", "media"},
	"vault":  {},
	"store":  {"vault"},
	"report": {"store"},
	"web":    {"report", "store", "router", "call", "vault", "cert"},

	"deployments": {},
}

// only names, for a library, the rooms that may know it.
var only = map[string][]string{
	"github.com/emiago/sipgo":         {"sip"},
	"github.com/coder/websocket":      {"sip"},
	"github.com/redis/go-redis":       {"queue"},
	"github.com/alicebob/miniredis":   {"queue"},
	"github.com/pion/sdp":             {"media"},
	"github.com/pion/rtp":             {"media"},
	"github.com/pion/rtcp":            {"media"},
	"github.com/pion/srtp":            {"media"},
	"github.com/tink-crypto/tink-go":  {"vault"},
	"modernc.org/sqlite":              {"store"},
	"github.com/jackc/pgx":            {"store"},
	"github.com/pressly/goose":        {"store"},
	"github.com/goccy/go-yaml":        {"config"},
	"github.com/nyaruka/phonenumbers": {"number"},
}

func TestRoomsImportOnlyWhatThePlanAllows(t *testing.T) {
	for _, p := range listPackages(t) {
		room, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, module), "/")
		if room == "cmd" || room == "test" || room == "bench" || p.ImportPath+"/" == module {
			continue
		}
		allowed, known := rooms[room]
		if !known {
			t.Errorf("%s: room %q is not in the plan (rooms_test.go, DESIGN section 2)", p.ImportPath, room)
			continue
		}
		for _, imp := range slices.Sorted(slices.Values(p.Imports)) {
			if other, ours := strings.CutPrefix(imp, module); ours {
				other, _, _ = strings.Cut(other, "/")
				free := room != "config" && room != "event" && (other == "event" || other == "config")
				if other != room && !free && !slices.Contains(allowed, other) {
					t.Errorf("%s imports %s: room %s may import %v", p.ImportPath, imp, room, allowed)
				}
				continue
			}
			for library, in := range only {
				if strings.HasPrefix(imp, library) && !slices.Contains(in, room) {
					t.Errorf("%s imports %s: only %v may", p.ImportPath, imp, in)
				}
			}
		}
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < len(rooms) {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}
