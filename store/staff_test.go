package store

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/bugle-voice/bugle/config"
	"github.com/google/go-cmp/cmp"
)

// Every way to change the agents is seen in the version, and what changes
// nothing is not.
func TestStaffVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, ctx := d.open(t, "n1"), t.Context()
		last, err := s.StaffVersion(ctx)
		must(t, err)
		for _, step := range []struct {
			name    string
			changes bool
			do      func() error
		}{
			{"seed", true, func() error { _, err := s.Seed(ctx, map[string]config.Agent{"anna": anna()}); return err }},
			{"seed again", false, func() error { _, err := s.Seed(ctx, map[string]config.Agent{"anna": anna()}); return err }},
			{"put", true, func() error { return s.PutAgent(ctx, tester, "ben", anna()) }},
			{"import what is there", false, func() error { return importText(t, s, "id,name,tier,languages\nben,Ben,1,en:2\n", "id", false) }},
			{"import", true, func() error { return importText(t, s, "id,name,tier,languages\nben,Ben,1,en:2\n", "", false) }},
			{"remove", true, func() error { return s.RemoveAgent(ctx, tester, "ben") }},
			{"remove nobody", false, func() error {
				if err := s.RemoveAgent(ctx, tester, "ben"); !errors.Is(err, ErrUnknownAgent) {
					t.Errorf("got %v", err)
				}
				return nil
			}},
		} {
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			now, err := s.StaffVersion(ctx)
			must(t, err)
			if (now > last) != step.changes {
				t.Errorf("%s: version %d after %d", step.name, now, last)
			}
			last = now
		}
	})
}

// importText imports a text; same is "id" if it is first exported, so that
// nothing is new.
func importText(t *testing.T, s *Store, text, same string, all bool) error {
	t.Helper()
	if same != "" {
		var out strings.Builder
		must(t, s.ExportAgents(t.Context(), &out))
		text = out.String()
	}
	_, err := s.ImportAgents(t.Context(), tester, words, strings.NewReader(text), all)
	return err
}

// A file that is all there is removes who is not in it, but an empty one nobody.
func TestImportAll(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, ctx := d.open(t, "n1"), t.Context()
		for _, id := range []string{"anna", "ben", "zoe"} {
			must(t, s.PutAgent(ctx, tester, id, anna()))
		}
		if _, err := s.ImportAgents(ctx, tester, words, strings.NewReader("id,languages\n"), true); !errors.Is(err, errNobody) {
			t.Errorf("an empty file: got %v", err)
		}
		done, err := s.ImportAgents(ctx, tester, words, strings.NewReader("id,name,languages\nben,Ben,en:2\nmia,Mia,en:1\n"), true)
		must(t, err)
		if want := (Imported{Added: 1, Changed: 1, Removed: 2}); done != want {
			t.Errorf("got %+v, want %+v", done, want)
		}
		staff, err := s.Staff(ctx)
		must(t, err)
		if len(staff) != 2 || staff["ben"].Name != "Ben" || staff["mia"].Name != "Mia" {
			t.Errorf("got %v", staff)
		}
	})
}

func TestCheckAgent(t *testing.T) {
	v := Vocabulary{Languages: []string{"en"}, Skills: []string{"claims"}, Numbers: []string{"helpline"}}
	good := config.Agent{Tier: 1, Languages: map[string]int{"en": 5}, Skills: map[string]int{"claims": 1}}
	if err := v.Check("anna", good); err != nil {
		t.Errorf("got %v", err)
	}
	for id, want := range map[string]BadAgent{
		"helpline": {`agent "helpline" is also a number: take another id: both are dialled as sip:helpline`},
		"a b":      {`agent "a b" cannot be a name: use up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first`},
	} {
		if diff := cmp.Diff(error(want), v.Check(id, good)); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", id, diff)
		}
	}
	bad := config.Agent{Tier: 4, Languages: map[string]int{"fr": 6}, Skills: map[string]int{"claims": 0}}
	want := BadAgent{"tier is 4: it must be from 1 to 3", `unknown language "fr"`, `language "fr" at level 6: levels are 1 to 5`,
		`skill "claims" at level 0: levels are 1 to 5`}
	if diff := cmp.Diff(error(want), v.Check("anna", bad)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, ctx := d.open(t, "n1"), t.Context()
		must(t, putUser(ctx, s, User{ID: "sue", Roles: []Role{RoleSupervisor, RoleAdmin}}))
		must(t, putUser(ctx, s, User{ID: "tom", Roles: []Role{RoleAuditor}}))
		first, err := s.NewToken(ctx, tester, "sue")
		must(t, err)
		second, err := s.NewToken(ctx, tester, "sue")
		must(t, err)
		if _, err := s.UserByToken(ctx, first); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("the token before: got %v", err)
		}
		for _, wrong := range []string{"", "bugle_", tokenHash(second)} {
			if _, err := s.UserByToken(ctx, wrong); !errors.Is(err, ErrUnknownUser) {
				t.Errorf("token %q: got %v", wrong, err)
			}
		}
		u, err := s.UserByToken(ctx, second)
		must(t, err)
		if u.ID != "sue" || !cmp.Equal(u.Roles, []Role{RoleAdmin, RoleSupervisor}) || !u.HasToken {
			t.Errorf("got %+v", u)
		}
		// A change of a user keeps his token; his removal does not.
		must(t, putUser(ctx, s, User{ID: "sue", Roles: []Role{RoleAgent}}))
		if u, err = s.UserByToken(ctx, second); err != nil || !cmp.Equal(u.Roles, []Role{RoleAgent}) {
			t.Errorf("got %v, %v", u, err)
		}
		must(t, s.RemoveUser(ctx, tester, "sue"))
		if _, err := s.UserByToken(ctx, second); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("after the removal: got %v", err)
		}
		must(t, putUser(ctx, s, User{ID: "sue", Roles: []Role{RoleAdmin}}))
		if _, err := s.UserByToken(ctx, second); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("after his return: got %v", err)
		}
		for name, err := range map[string]error{
			"remove":    s.RemoveUser(ctx, tester, "eve"),
			"new token": func() error { _, err := s.NewToken(ctx, tester, "eve"); return err }(),
		} {
			if !errors.Is(err, ErrUnknownUser) {
				t.Errorf("%s of nobody: got %v", name, err)
			}
		}
	})
}

// Two who change the same user, or agent, at once both have their way.
func TestChangesAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		const each = 5
		nodes := []*Store{d.open(t, "n1"), d.open(t, "n2")}
		var wg sync.WaitGroup
		for _, s := range nodes {
			wg.Go(func() {
				for range each {
					err := errors.Join(
						s.ChangeUser(t.Context(), tester, "sue", func(u *User) error { u.Name += "x"; return nil }),
						s.ChangeAgent(t.Context(), tester, "anna", func(a *config.Agent, _ bool) error { a.Name += "x"; return nil }))
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		u, err := nodes[0].User(t.Context(), "sue")
		must(t, err)
		staff, err := nodes[0].Staff(t.Context())
		must(t, err)
		if len(u.Name) != 2*each || len(staff["anna"].Name) != 2*each || u.Created.IsZero() {
			t.Errorf("got %q, %q", u.Name, staff["anna"].Name)
		}
		// What is refused leaves nothing behind.
		no := errors.New("no")
		for _, err := range []error{
			nodes[0].ChangeUser(t.Context(), tester, "eve", func(*User) error { return no }),
			nodes[0].ChangeAgent(t.Context(), tester, "eve", func(_ *config.Agent, known bool) error {
				if known {
					t.Error("eve is known")
				}
				return no
			}),
		} {
			if !errors.Is(err, no) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := nodes[0].User(t.Context(), "eve"); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("got %v", err)
		}
	})
}
