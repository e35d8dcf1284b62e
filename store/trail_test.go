package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The audit is read page by page, latest first, also where entries of several
// nodes are of one moment, and narrowed to who, what, to what and when.
func TestTrail(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		ctx := t.Context()
		for n := range 2 {
			s := d.open(t, fmt.Sprintf("n%d", n+1))
			for i, e := range []Entry{{Actor: "tess", Action: "a", Object: "agent x"}, {Actor: "tess", Action: "b", Object: "agent y"}, {Actor: "system", Action: "a", Object: "agent x"}} {
				e.At = noon.Add(time.Duration(i/2) * time.Hour)
				must(t, s.Audit(ctx, e))
			}
		}
		s := d.open(t, "n1")
		for _, test := range []struct {
			search EntrySearch
			want   string
		}{
			{EntrySearch{}, "n2/3 n1/3 n2/2 n2/1 n1/2 n1/1"},
			{EntrySearch{Actor: "tess", Action: "a"}, "n2/1 n1/1"},
			{EntrySearch{Object: "agent y"}, "n2/2 n1/2"},
			{EntrySearch{Object: "agent"}, ""},
			{EntrySearch{From: noon.Add(time.Minute)}, "n2/3 n1/3"},
			{EntrySearch{To: noon.Add(time.Hour), Action: "b"}, "n2/2 n1/2"},
		} {
			for _, limit := range []int{0, 1, 2} {
				var got []string
				for q := test.search; ; {
					q.Limit = limit
					page, err := s.Trail(ctx, q)
					must(t, err)
					for _, e := range page.Entries {
						got = append(got, fmt.Sprintf("%s/%d", e.Node, e.Seq))
					}
					if q.After = page.Next; q.After == "" {
						break
					}
				}
				if strings.Join(got, " ") != test.want {
					t.Errorf("%+v by %d: got %v, want %s", test.search, limit, got, test.want)
				}
			}
		}
		for _, mark := range []string{"rubbish", pageMark(noon, "x n1")} {
			if _, err := s.Trail(ctx, EntrySearch{After: mark}); !errors.Is(err, ErrBadPage) {
				t.Errorf("%q: %v", mark, err)
			}
		}
	})
}
