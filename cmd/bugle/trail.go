package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/bugle-voice/bugle/report"
	"github.com/bugle-voice/bugle/store"
)

// listAudit writes the entries that fit, latest first, with moments in the site's
// time zone. They come page by page: an audit is kept for years.
func listAudit(ctx context.Context, out io.Writer, s *store.Store, q store.EntrySearch, format report.Format, zone *time.Location) error {
	if err := onRecord(ctx, s, "audit.read", "audit", q.String()); err != nil {
		return err
	}
	add, end := entryWriter(out, format)
	for q.Limit = 1000; ; {
		page, err := s.Trail(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			e.At = e.At.In(zone)
			if err := add(e); err != nil {
				return fmt.Errorf("write the audit: %w", err)
			}
		}
		if q.After = page.Next; q.After == "" {
			return end()
		}
	}
}

// entryWriter gives what writes an entry, and what comes after the last, in the
// formats of reports.
func entryWriter(out io.Writer, format report.Format) (add func(store.Entry) error, end func() error) {
	const moment = "2006-01-02T15:04:05.000Z07:00" // that is how exactly it is kept
	switch format {
	case report.JSON:
		w := bufio.NewWriter(out)
		before := `{"entries":[`
		add = func(e store.Entry) error {
			b, err := json.Marshal(e)
			_, wrote := fmt.Fprintf(w, "%s\n%s", before, b)
			before = ","
			return errors.Join(err, wrote)
		}
		return add, func() error {
			if before != "," { // none was found
				_, _ = w.WriteString(before) // an error is Flush's
			}
			_, _ = w.WriteString("\n]}\n")
			return w.Flush()
		}
	case report.CSV:
		w := csv.NewWriter(out)
		_ = w.Write([]string{"at", "node", "seq", "actor", "action", "object", "from", "detail"}) // an error is Flush's
		add = func(e store.Entry) error {
			return w.Write([]string{e.At.Format(moment), e.Node, strconv.FormatUint(e.Seq, 10), e.Actor, e.Action, e.Object, e.From, e.Detail})
		}
		return add, func() error { w.Flush(); return w.Error() }
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tNODE\tACTOR\tACTION\tOBJECT\tFROM\tDETAIL")
	written := 0
	add = func(e store.Entry) error {
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.At.Format("2006-01-02 15:04:05"), e.Node, e.Actor, e.Action, e.Object, e.From, e.Detail)
		if written++; written%1000 == 0 { // what it aligns it holds in memory
			err = errors.Join(err, w.Flush())
		}
		return err
	}
	return add, w.Flush
}
