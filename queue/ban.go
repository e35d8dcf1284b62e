package queue

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed ban.lua
	banLua    string
	banScript = newScript("ban", banLua)
)

// maxBans is how many bans are shared at once; past it the shortest are forgotten.
const maxBans = 4096

// PutBan tells all nodes that a source, given by its address, is banned for d. A
// longer ban of it stays.
func (q *Queue) PutBan(ctx context.Context, source string, d time.Duration) error {
	now := q.now()
	_, err := q.run(ctx, banScript, source, now+d.Milliseconds(), now, maxBans)
	return err
}

// Bans gives the banned sources, each with what is left of its ban.
func (q *Queue) Bans(ctx context.Context) (map[string]time.Duration, error) {
	now := q.now()
	all, err := q.client.ZRangeByScoreWithScores(ctx, q.prefix+"bans", &redis.ZRangeBy{
		Min: "(" + strconv.FormatInt(now, 10), Max: "+inf",
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("queue: reading bans: %w", err)
	}
	bans := make(map[string]time.Duration, len(all))
	for _, z := range all {
		if source, ok := z.Member.(string); ok {
			bans[source] = time.Duration(int64(z.Score)-now) * time.Millisecond
		}
	}
	return bans, nil
}
