package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Snapshot is how things stand in the whole domain.
type Snapshot struct {
	Lines  []Line
	Agents map[State]int // agents ever seen, by state
}

// Line is the callers who wait in one queue and language, those being offered
// to an agent included.
type Line struct {
	Queue    string
	Language string
	Waiting  int
	Oldest   time.Time // when the one who waits longest joined
}

// Snapshot counts who waits and what the agents do. It reads all visits and
// agents, in pieces, so it is for pages and for people, not for each call;
// what changes meanwhile may be counted in either state.
func (q *Queue) Snapshot(ctx context.Context) (Snapshot, error) {
	s := Snapshot{Agents: make(map[State]int)}
	err := q.scan(ctx, "agents", func(id, record string) {
		s.Agents[parseAgent(id, record).State]++
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("queue: counting agents: %w", err)
	}
	lines := make(map[[2]string]*Line)
	err = q.scan(ctx, "visits", func(_, record string) {
		// As put_visit of records.lua writes them.
		f := strings.Split(record, unitSep)
		if len(f) != 11 || f[6] != "waiting" && f[6] != "offered" {
			return
		}
		name, language := splitGroup(f[3])
		joined := fromMillis(f[5])
		l := lines[[2]string{name, language}]
		if l == nil {
			l = &Line{Queue: name, Language: language, Oldest: joined}
			lines[[2]string{name, language}] = l
		}
		l.Waiting++
		if joined.Before(l.Oldest) {
			l.Oldest = joined
		}
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("queue: counting visits: %w", err)
	}
	s.Lines = sortedLines(lines)
	return s, nil
}

// scan goes through a hash in pieces; each field is seen once.
func (q *Queue) scan(ctx context.Context, hash string, see func(field, value string)) error {
	seen := make(map[string]bool) // HSCAN may tell a field twice
	var cursor uint64
	for {
		page, next, err := q.client.HScan(ctx, q.prefix+hash, cursor, "", 500).Result()
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(page); i += 2 {
			if !seen[page[i]] {
				seen[page[i]] = true
				see(page[i], page[i+1])
			}
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}

func sortedLines(lines map[[2]string]*Line) []Line {
	sorted := make([]Line, 0, len(lines))
	for _, l := range lines {
		sorted = append(sorted, *l)
	}
	slices.SortFunc(sorted, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Language, b.Language))
	})
	return sorted
}
