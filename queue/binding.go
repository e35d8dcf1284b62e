package queue

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed bind.lua
	bindLua    string
	bindScript = newScript("bind", bindLua)

	//go:embed unbind.lua
	unbindLua    string
	unbindScript = newScript("unbind", unbindLua)
)

// PutBinding remembers where a user can be reached until a binding expires.
// The value is the registrar's own; a contact's earlier value is replaced. For as
// long sender is one of Senders, unless it is empty, or the user has 20 that last longer.
func (q *Queue) PutBinding(ctx context.Context, user, contact string, expires time.Time, value []byte, sender string) error {
	_, err := q.run(ctx, bindScript, user, contact, millis(expires), value, q.now(), sender)
	return err
}

// Senders gives whence the bindings come that were put with a sender and have not
// expired, removed ones too.
func (q *Queue) Senders(ctx context.Context) (map[string]bool, error) {
	all, err := q.client.ZRangeByScoreWithScores(ctx, q.prefix+"senders", &redis.ZRangeBy{Min: "(" + strconv.FormatInt(q.now(), 10), Max: "+inf"}).Result()
	if err != nil {
		return nil, fmt.Errorf("queue: reading whence bindings come: %w", err)
	}
	senders := make(map[string]bool, len(all))
	for _, z := range all {
		if place, ok := z.Member.(string); ok { // "user sender"
			_, sender, _ := strings.Cut(place, " ")
			senders[sender] = true
		}
	}
	return senders, nil
}

// Bindings gives the values of a user's bindings that have not expired, in the
// order of their contacts; none is no error.
func (q *Queue) Bindings(ctx context.Context, user string) ([][]byte, error) {
	all, err := q.client.HGetAll(ctx, q.prefix+"bind:"+user).Result()
	if err != nil {
		return nil, fmt.Errorf("queue: reading bindings: %w", err)
	}
	at := q.now()
	var values [][]byte
	for _, contact := range slices.Sorted(maps.Keys(all)) {
		expires, value, _ := strings.Cut(all[contact], " ")
		if ms, err := strconv.ParseInt(expires, 10, 64); err == nil && ms > at {
			values = append(values, []byte(value))
		}
	}
	return values, nil
}

// RemoveBinding forgets one contact of a user, unless it has been put again with a
// later expiry than the given one; an unknown contact is no error.
func (q *Queue) RemoveBinding(ctx context.Context, user, contact string, expires time.Time) error {
	_, err := q.run(ctx, unbindScript, user, contact, millis(expires))
	return err
}
