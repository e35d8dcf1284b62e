package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// Role is what a user may do.
type Role string

// The roles. What each may do is decided by who asks the store.
const (
	RoleAgent      Role = "agent"      // his own state and calls
	RoleSupervisor Role = "supervisor" // live pages, reports, agents' states
	RoleQuality    Role = "quality"    // recordings and surveys
	RoleAdmin      Role = "admin"      // users, agents, retention
	RoleAuditor    Role = "auditor"    // the audit, and nothing else
)

// Roles gives every role.
func Roles() []Role { return []Role{RoleAgent, RoleSupervisor, RoleQuality, RoleAdmin, RoleAuditor} }

// User is a person who may sign in.
type User struct {
	ID           string
	Name         string
	Agent        string // the agent this person is; empty for none
	PasswordHash string // made and compared by who signs users in; never shown
	HasToken     bool   // for the API
	Roles        []Role // sorted
	Created      time.Time
	Disabled     time.Time // zero while the user may sign in
}

// Format keeps the password hash out of whatever prints a user.
func (u User) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "user %s %v", u.ID, u.Roles) }

var (
	// ErrUnknownUser is an id that no user has.
	ErrUnknownUser = errors.New("no such user")
	// ErrUnknownRole is a role that is none of Roles.
	ErrUnknownRole = errors.New("no such role")
)

// ChangeUser changes a user as change says, or adds one: change then gets him with
// nothing but the id. Nobody changes him between its reading and writing; it may be
// run again. An error of change ends it. ErrUnknownRole.
func (s *Store) ChangeUser(ctx context.Context, by By, id string, change func(*User) error) error {
	return s.inTx(ctx, "change user", func(t *tx) error {
		// A write first: it keeps others who change him waiting.
		if _, err := t.exec(ctx, `INSERT INTO users (id, name, agent, password_hash, created_at) VALUES ($1, '', '', '', $2)
			ON CONFLICT (id) DO UPDATE SET name = users.name`, id, time.Now().UnixMilli()); err != nil {
			return err
		}
		found, err := gatherUsers(userRows(ctx, t, " WHERE u.id = $1", id))
		if err != nil {
			return err
		}
		u := found[id]
		if err := change(&u); err != nil {
			return err
		}
		for _, role := range u.Roles {
			if !slices.Contains(Roles(), role) {
				return fmt.Errorf("%w: %q", ErrUnknownRole, role)
			}
		}
		if _, err := t.exec(ctx, `UPDATE users SET name = $2, agent = $3, password_hash = $4, disabled_at = $5 WHERE id = $1`,
			id, text(u.Name), u.Agent, u.PasswordHash, moment(u.Disabled)); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM user_roles WHERE user_id = $1`, id); err != nil {
			return err
		}
		roles := slices.Compact(slices.Sorted(slices.Values(u.Roles)))
		for _, role := range roles {
			if _, err := t.exec(ctx, `INSERT INTO user_roles (user_id, role) VALUES ($1, $2)`, id, string(role)); err != nil {
				return err
			}
		}
		return s.note(ctx, t, by.entry("user.put", "user "+id, fmt.Sprintf("roles %v", roles)))
	})
}

// RemoveUser lets a user in no more and takes back his token; the audit keeps
// speaking of him. ChangeUser can bring him back. ErrUnknownUser.
func (s *Store) RemoveUser(ctx context.Context, by By, id string) error {
	return s.inTx(ctx, "remove user", func(t *tx) error {
		n, err := t.exec(ctx, `UPDATE users SET disabled_at = $2, token_hash = '', password_hash = '' WHERE id = $1 AND disabled_at IS NULL`,
			id, time.Now().UnixMilli())
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %q", ErrUnknownUser, id)
		}
		if err != nil {
			return err
		}
		return s.note(ctx, t, by.entry("user.remove", "user "+id, ""))
	})
}

// tokenHash is what is kept of a token. It is as good as the token's own
// randomness (NewToken), so it needs neither salt nor slowness.
func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// NewToken gives a user a new token for the API, in place of the one he had. It
// is shown here and never again: the table has its hash. ErrUnknownUser.
func (s *Store) NewToken(ctx context.Context, by By, id string) (token string, err error) {
	token = "bugle_" + rand.Text() + rand.Text() // 256 bits
	err = s.inTx(ctx, "make a token", func(t *tx) error {
		n, err := t.exec(ctx, `UPDATE users SET token_hash = $2 WHERE id = $1 AND disabled_at IS NULL`, id, tokenHash(token))
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %q", ErrUnknownUser, id)
		}
		if err != nil {
			return err
		}
		return s.note(ctx, t, by.entry("user.token", "user "+id, ""))
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// UserByToken gives the user who has a token. ErrUnknownUser if nobody has it,
// or he was removed.
func (s *Store) UserByToken(ctx context.Context, token string) (User, error) {
	found, err := gatherUsers(userRows(ctx, s.read, " WHERE u.token_hash = $1 AND u.disabled_at IS NULL", tokenHash(token)))
	if err != nil {
		return User{}, err
	}
	for _, u := range found {
		return u, nil
	}
	return User{}, fmt.Errorf("store: read user: %w", ErrUnknownUser)
}

// User gives one user. ErrUnknownUser.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	found, err := gatherUsers(userRows(ctx, s.read, " WHERE u.id = $1", id))
	if err != nil {
		return User{}, err
	}
	u, ok := found[id]
	if !ok {
		return User{}, fmt.Errorf("store: read user: %w: %q", ErrUnknownUser, id)
	}
	return u, nil
}

// Users gives all users, sorted by id.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	found, err := gatherUsers(userRows(ctx, s.read, ""))
	if err != nil {
		return nil, err
	}
	users := make([]User, 0, len(found))
	for _, id := range slices.Sorted(maps.Keys(found)) {
		users = append(users, found[id])
	}
	return users, nil
}

// userRows gives each user with one of his roles at a time.
func userRows(ctx context.Context, q querier, where string, args ...any) iter.Seq2[User, error] {
	return rows(ctx, q, "read users", `SELECT u.id, u.name, u.agent, u.password_hash, u.token_hash <> '', u.created_at, u.disabled_at, COALESCE(r.role, '')
		FROM users u LEFT JOIN user_roles r ON r.user_id = u.id`+where, args,
		func(row scanner) (User, error) {
			var u User
			var role Role
			err := row.Scan(&u.ID, &u.Name, &u.Agent, &u.PasswordHash, &u.HasToken, when{&u.Created}, when{&u.Disabled}, &role)
			if role != "" {
				u.Roles = []Role{role}
			}
			return u, err
		})
}

func gatherUsers(all iter.Seq2[User, error]) (map[string]User, error) {
	found := map[string]User{}
	for u, err := range all {
		if err != nil {
			return nil, err
		}
		u.Roles = append(u.Roles, found[u.ID].Roles...)
		slices.Sort(u.Roles)
		found[u.ID] = u
	}
	return found, nil
}
