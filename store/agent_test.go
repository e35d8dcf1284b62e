package store

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/config"
	"github.com/google/go-cmp/cmp"
)

var words = Vocabulary{Languages: []string{"en", "es", "de"}, Skills: []string{"claims", "clinical"}}

func anna() config.Agent {
	return config.Agent{Name: "Anna Reed", Tier: 1, Languages: map[string]int{"en": 5}, Skills: map[string]int{"claims": 4}}
}

// putUser puts a user as he is here.
func putUser(ctx context.Context, s *Store, u User) error {
	return s.ChangeUser(ctx, tester, u.ID, func(was *User) error { *was = u; return nil })
}

func TestSeedAddsWhoIsMissing(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		added, err := s.Seed(ctx, map[string]config.Agent{"anna": anna(), "ben": {Name: "Ben", Tier: 2}})
		must(t, err)
		if diff := cmp.Diff([]string{"anna", "ben"}, added); diff != "" {
			t.Error(diff)
		}
		// SQL is the truth from now on: what it says is not seeded over, and
		// who has left does not come back.
		changed := anna()
		changed.Tier, changed.Languages = 3, map[string]int{"es": 2}
		must(t, s.PutAgent(ctx, tester, "anna", changed))
		must(t, s.RemoveAgent(ctx, tester, "ben"))
		added, err = s.Seed(ctx, map[string]config.Agent{"anna": anna(), "ben": {Name: "Ben"}, "cleo": {Name: "Cleo", Tier: 1}})
		must(t, err)
		if diff := cmp.Diff([]string{"cleo"}, added); diff != "" {
			t.Error(diff)
		}
		staff, err := s.Staff(ctx)
		must(t, err)
		want := map[string]config.Agent{"anna": changed, "cleo": {Name: "Cleo", Tier: 1, Languages: map[string]int{}, Skills: map[string]int{}}}
		if diff := cmp.Diff(want, staff); diff != "" {
			t.Error(diff)
		}
		if err := s.RemoveAgent(ctx, tester, "ben"); !errors.Is(err, ErrUnknownAgent) {
			t.Errorf("removing twice: %v", err)
		}
	})
}

func TestImportIsWholeAndAudited(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		must(t, s.PutAgent(ctx, tester, "anna", anna()))
		must(t, s.PutAgent(ctx, tester, "ben", config.Agent{Name: "Ben", Tier: 1, Languages: map[string]int{"en": 1}, Skills: map[string]int{}}))
		must(t, s.PutAgent(ctx, tester, "zoe", anna()))
		done, err := s.ImportAgents(ctx, tester, words, strings.NewReader("\uFEFFskills;id;name;languages;tier\r\n"+
			"claims:4;anna;Anna Reed;en:5;1\r\n"+
			"clinical:2 claims:1;ben;\"Carter; Ben\";en:5 es:2;2\r\n"+
			";cleo;Cléo;de:3;\r\n"), false)
		must(t, err)
		if want := (Imported{Added: 1, Changed: 1, Unchanged: 1}); done != want {
			t.Errorf("got %+v, want %+v", done, want)
		}
		var out bytes.Buffer
		must(t, s.ExportAgents(ctx, &out))
		want := "id,name,tier,languages,skills\n" +
			"anna,Anna Reed,1,en:5,claims:4\n" +
			"ben,Carter; Ben,2,en:5 es:2,claims:1 clinical:2\n" +
			"cleo,Cléo,1,de:3,\n" +
			"zoe,Anna Reed,1,en:5,claims:4\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
		// What was written can be read, and changes nothing.
		done, err = s.ImportAgents(ctx, tester, words, &out, false)
		must(t, err)
		if want := (Imported{Unchanged: 4}); done != want {
			t.Errorf("got %+v, want %+v", done, want)
		}
		last := audited(t, s)[4]
		if last.Action != "agents.import" || last.Actor != "tess" || last.Detail != "added 0, changed 0, unchanged 4, removed 0" {
			t.Errorf("audited %+v", last)
		}
	})
}

func TestImportReportsEveryBadLine(t *testing.T) {
	s := site{dir: t.TempDir(), sealer: newSealer()}.open(t, "n1")
	tests := []struct{ name, file, want string }{
		{"empty", "", "line 1: the file is empty; the first line is: id,name,tier,languages,skills"},
		{"heading", "id,nam,skils,id\n", `line 1: unknown column "nam"; did you mean "name"?
line 1: unknown column "skils"; did you mean "skills"?
line 1: column "id" is given twice; remove one
line 1: column "languages" is missing; the first line is: id,name,tier,languages,skills`},
		{"lines", `id,name,tier,languages,skills
anna,Anna,1,en:5,claims:4
ben carter,Ben,4,en:5,
anna,Anna,1,,clams:2
cleo,Cleo,2,en:6 es en:1,claims:1
dora,"Dora
Dee",x,en:1,claims:1
eve,Eve
`, `line 3: agent "ben carter" cannot be a name; use up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first
line 3: tier is "4"; it must be from 1 to 3
line 4: agent "anna" is given twice; the first is in line 2
line 4: agent "anna" speaks no language, so no call fits; write languages as en:5 es:2
line 4: unknown skill "clams"; did you mean "claims"?
line 5: language "en" at level "6"; write it as en:3; levels are 1 to 5
line 5: language "es" at level ""; write it as es:3; levels are 1 to 5
line 5: language "en" is given twice; remove one
line 7: tier is "x"; it must be from 1 to 3
line 8: 2 fields where the heading has 5`},
		{"quotes", "id,languages\nanna,en:5\nben,\"en\"x\ncleo,en:1\n", "line 3: not CSV: extraneous or missing \" in quoted-field; put a field that holds a comma or a quote in quotes, and double each quote in it"},
		{"every bad line", "\uFEFFid;languages\nanna;en:9\nben;\"en\"x\n\"cleo;en:1\n\ndora;en:8\neve\n\"fay\";en:7\n",
			`line 2: language "en" at level "9"; write it as en:3; levels are 1 to 5
line 3: not CSV: extraneous or missing " in quoted-field; put a field that holds a comma or a quote in quotes, and double each quote in it
line 4: not CSV: extraneous or missing " in quoted-field; put a field that holds a comma or a quote in quotes, and double each quote in it
line 6: language "en" at level "8"; write it as en:3; levels are 1 to 5
line 7: 1 fields where the heading has 2
line 8: language "en" at level "7"; write it as en:3; levels are 1 to 5`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.ImportAgents(t.Context(), tester, words, strings.NewReader(test.file), false)
			var bad BadLines
			if !errors.As(err, &bad) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
	agents, err := s.Agents(t.Context())
	must(t, err)
	if len(agents) != 0 {
		t.Errorf("a bad file left %v", slices.Sorted(maps.Keys(agents)))
	}
}

func FuzzReadAgents(f *testing.F) {
	f.Add("id,languages\nanna,en:5\n")
	f.Add("\uFEFFskills;id;name;languages;tier\r\nclaims:4;anna;\"A\";en:5;1\r\n")
	f.Add("id\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		agents, bad, err := readAgents(strings.NewReader(text), words)
		if err != nil {
			t.Fatalf("reading a string failed: %v", err)
		}
		if len(bad) > 0 {
			return
		}
		for id, a := range agents {
			if !agentID.MatchString(id) || a.Tier < 1 || a.Tier > 3 || len(a.Languages) == 0 {
				t.Errorf("%q: %+v was let in", id, a)
			}
		}
	})
}

func TestUsersAndRoles(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		u := User{ID: "tess", Name: "Tess", Agent: "anna", PasswordHash: "x", Roles: []Role{RoleSupervisor, RoleAgent}}
		must(t, putUser(ctx, s, u))
		must(t, putUser(ctx, s, User{ID: "al", Name: "Al"}))
		u.Roles = []Role{RoleAuditor, RoleAgent, RoleAgent}
		must(t, putUser(ctx, s, u))
		got, err := s.User(ctx, "tess")
		must(t, err)
		if !slices.Equal(got.Roles, []Role{RoleAgent, RoleAuditor}) || got.Agent != "anna" || got.Created.IsZero() || got.PasswordHash != "x" {
			t.Errorf("got %+v %v", got, got.Roles)
		}
		all, err := s.Users(ctx)
		must(t, err)
		if len(all) != 2 || all[0].ID != "al" || all[0].Roles != nil || all[1].ID != "tess" {
			t.Errorf("got %v", all)
		}
		if _, err := s.User(ctx, "nobody"); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("got %v", err)
		}
		if err := putUser(ctx, s, User{ID: "x", Roles: []Role{"king"}}); !errors.Is(err, ErrUnknownRole) {
			t.Errorf("got %v", err)
		}
	})
}
