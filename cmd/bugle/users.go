package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
)

// users shows and changes who may use the API, with which roles.
func users(env environment, args []string) error {
	flags := flag.NewFlagSet("users", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	again := flags.Bool("again", false, "put: let a user in again who was removed")
	var changes []func(*store.User)
	text := func(name, help string, set func(*store.User, string)) {
		flags.Func(name, help, func(v string) error {
			changes = append(changes, func(u *store.User) { set(u, v) })
			return nil
		})
	}
	text("name", "put: the user's `name`", func(u *store.User, v string) { u.Name = v })
	text("agent", "put: the `agent` this user is", func(u *store.User, v string) { u.Agent = v })
	text("roles", "put: such as `supervisor,auditor`", func(u *store.User, v string) { u.Roles = readRoles(v) })
	flags.SetOutput(env.err)
	rest, err := parseAny(flags, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 || len(rest) != 2 && rest[0] != "list" || len(rest) != 1 && rest[0] == "list" {
		return fmt.Errorf("%w: neither list, put USER, token USER nor remove USER", errUsage)
	}
	return withStore(env, *path, func(ctx context.Context, _ *config.Config, s *store.Store) error {
		switch rest[0] {
		case "list":
			return listUsers(ctx, env, s)
		case "put":
			return putUser(ctx, s, rest[1], *again, changes)
		case "token":
			return tellToken(ctx, env, s, rest[1])
		case "remove":
			return s.RemoveUser(ctx, operator(), rest[1])
		}
		return fmt.Errorf("%w: %q is neither list, put, token nor remove", errUsage, rest[0])
	})
}

func readRoles(list string) (roles []store.Role) {
	for _, r := range strings.Split(list, ",") {
		if r = strings.TrimSpace(r); r != "" {
			roles = append(roles, store.Role(r))
		}
	}
	return roles
}

// errRemoved is a change of a user who may not sign in, which would not help him.
var errRemoved = errors.New("this user was removed; -again lets him in again")

// putUser changes what is given and keeps the rest. Who was removed is only back if
// that is asked for.
func putUser(ctx context.Context, s *store.Store, id string, again bool, changes []func(*store.User)) error {
	if !userID(id) {
		return fmt.Errorf("user %q cannot be a name: use up to 64 letters, digits and .-_@", id)
	}
	return s.ChangeUser(ctx, operator(), id, func(u *store.User) error {
		if !u.Disabled.IsZero() && !again {
			return errRemoved
		}
		u.Disabled = time.Time{}
		for _, c := range changes {
			c(u)
		}
		return nil
	})
}

func userID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_@", r))
	})
}

func tellToken(ctx context.Context, env environment, s *store.Store, id string) error {
	token, err := s.NewToken(ctx, operator(), id)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.out, token)
	return err
}

func listUsers(ctx context.Context, env environment, s *store.Store) error {
	all, err := s.Users(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tROLES\tAGENT\tTOKEN")
	for _, u := range all {
		if !u.Disabled.IsZero() {
			continue
		}
		token := "none"
		if u.HasToken {
			token = "yes"
		}
		roles := slices.Collect(func(yield func(string) bool) {
			for _, r := range u.Roles {
				if !yield(string(r)) {
					return
				}
			}
		})
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", u.ID, u.Name, strings.Join(roles, ","), u.Agent, token)
	}
	return w.Flush()
}
