package report

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Format is how a report is written.
type Format string

// The formats.
const (
	CSV   Format = "csv"   // a heading, then each row; the total is left to the reader
	JSON  Format = "json"  // rows and total
	Table Format = "table" // for a terminal, with the headlines of the total
)

// ParseFormat reads a format's name. ErrRequest.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case CSV, JSON, Table:
		return f, nil
	}
	return "", fmt.Errorf("%w: format %q: it is csv, json or table", ErrRequest, s)
}

// Write writes the report.
func (r *Report) Write(w io.Writer, f Format) error {
	out := bufio.NewWriter(w)
	var err error
	switch f {
	case CSV:
		err = r.csv(out)
	case JSON:
		err = r.json(out)
	default:
		err = r.table(out)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// csv writes moments with their offset, so that the hour which comes twice in
// autumn is told apart, and nothing where there is no figure.
func (r *Report) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	record := []string{"from", "to"}
	for _, d := range r.By {
		record = append(record, string(d))
	}
	for _, f := range figures {
		record = append(record, f.name)
	}
	_ = out.Write(record) // an error is Flush's
	var field []byte
	for i := range r.Rows {
		row := &r.Rows[i]
		record = append(record[:0], row.From.Format(time.RFC3339), row.To.Format(time.RFC3339))
		record = append(record, row.Values...)
		for _, f := range figures {
			if field = f.value(&row.Counts).append(field[:0]); string(field) == "null" {
				field = field[:0]
			}
			record = append(record, string(field))
		}
		_ = out.Write(record)
	}
	out.Flush()
	return out.Error()
}

// json writes an object of what was asked for, the rows and the total, all in
// the order of the CSV.
func (r *Report) json(w *bufio.Writer) error {
	b := append([]byte(`{"from":"`), r.From.Format(time.RFC3339)...)
	b = append(append(b, `","to":"`...), r.To.Format(time.RFC3339)...)
	b = appendString(append(b, `","time_zone":`...), r.From.Location().String())
	b = appendString(append(b, `,"interval":`...), r.Interval.String())
	b = append(b, `,"by":[`...)
	for i, d := range r.By {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, string(d))
	}
	b = append(b, `],"total":{`...)
	b = append(appendFigures(b, &r.Total), `},"rows":[`...)
	for i := range r.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.appendRow(append(b, '\n'), &r.Rows[i])
		if _, err := w.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	_, err := w.Write(append(b, "\n]}\n"...))
	return err
}

func (r *Report) appendRow(b []byte, row *Row) []byte {
	b = append(append(b, `{"from":"`...), row.From.Format(time.RFC3339)...)
	b = append(append(append(b, `","to":"`...), row.To.Format(time.RFC3339)...), '"')
	for i, d := range r.By {
		b = append(appendString(append(b, ','), string(d)), ':')
		b = appendString(b, row.Values[i])
	}
	return append(appendFigures(append(b, ','), &row.Counts), '}')
}

func appendFigures(b []byte, c *Counts) []byte {
	for i, f := range figures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), f.name...), `":`...)
		b = f.value(c).append(b)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string can always be written
	return append(b, quoted...)
}
