package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/bugle-voice/bugle/config"
)

// Agents as CSV: a heading of these columns in any order, then one line an
// agent. Languages and skills are written "en:5 es:2".
var columns = []string{"id", "name", "tier", "languages", "skills"}

// Imported counts what an import did.
type Imported struct{ Added, Changed, Unchanged, Removed int }

// errNobody keeps a wrong file from sending everybody home.
var errNobody = errors.New("the file names no agent, so all would be removed")

// BadLine is one mistake in a file.
type BadLine struct {
	Line   int // counts from 1; the heading is 1
	What   string
	Remedy string
}

// BadLines is every mistake found in a file, in the file's order.
type BadLines []BadLine

// Error lists the mistakes, one a line.
func (b BadLines) Error() string {
	lines := make([]string, len(b))
	for i, l := range b {
		lines[i] = fmt.Sprintf("line %d: %s", l.Line, l.What)
		if l.Remedy != "" {
			lines[i] += "; " + l.Remedy
		}
	}
	return strings.Join(lines, "\n")
}

// ImportAgents adds and changes agents as a CSV file says. Agents it does not
// name stay as they are or, if the file is to be all there is, are removed. All
// lines or none: an error is BadLines if the file is to blame. Excel's
// semicolons are understood.
func (s *Store) ImportAgents(ctx context.Context, by By, v Vocabulary, r io.Reader, all bool) (Imported, error) {
	agents, bad, err := readAgents(r, v)
	if err != nil {
		return Imported{}, fmt.Errorf("import agents: %w", err)
	}
	if len(bad) > 0 {
		return Imported{}, bad
	}
	if all && len(agents) == 0 {
		return Imported{}, fmt.Errorf("import agents: %w", errNobody)
	}
	var done Imported
	err = s.inTx(ctx, "import agents", func(t *tx) error {
		before, err := agentsIn(ctx, t)
		if err != nil {
			return err
		}
		if done, err = putAll(ctx, t, before, agents); err != nil {
			return err
		}
		if all {
			if done.Removed, err = removeOthers(ctx, t, before, agents); err != nil {
				return err
			}
		}
		if done.Added+done.Changed+done.Removed > 0 {
			if err := staffChanged(ctx, t); err != nil {
				return err
			}
		}
		return s.note(ctx, t, by.entry("agents.import", "agents", fmt.Sprintf("added %d, changed %d, unchanged %d, removed %d",
			done.Added, done.Changed, done.Unchanged, done.Removed)))
	})
	return done, err
}

// putAll writes those who are new or other than before.
func putAll(ctx context.Context, t *tx, before map[string]Agent, agents map[string]config.Agent) (done Imported, err error) {
	for _, id := range slices.Sorted(maps.Keys(agents)) {
		old, known := before[id]
		switch {
		case !known:
			done.Added++
		case reflect.DeepEqual(old.Agent, agents[id]):
			done.Unchanged++
			continue
		default:
			done.Changed++
		}
		if err := putAgent(ctx, t, id, agents[id]); err != nil {
			return done, err
		}
	}
	return done, nil
}

// removeOthers lets those go who were there before and are not among agents.
func removeOthers(ctx context.Context, t *tx, before map[string]Agent, agents map[string]config.Agent) (n int, err error) {
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if _, stays := agents[id]; stays {
			continue
		}
		if err := removeAgent(ctx, t, id); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// ExportAgents writes all agents as a CSV file that ImportAgents reads.
func (s *Store) ExportAgents(ctx context.Context, w io.Writer) error {
	agents, err := s.Agents(ctx)
	if err != nil {
		return err
	}
	out := csv.NewWriter(w)
	_ = out.Write(columns) // an error is Flush's
	for _, id := range slices.Sorted(maps.Keys(agents)) {
		a := agents[id]
		_ = out.Write([]string{id, a.Name, strconv.Itoa(a.Tier), WriteLevels(a.Languages), WriteLevels(a.Skills)})
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("export agents: %w", err)
	}
	return nil
}

// readAgents reads a whole file, noting every mistake.
func readAgents(r io.Reader, v Vocabulary) (map[string]config.Agent, BadLines, error) {
	all, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, err
	}
	all = bytes.TrimPrefix(all, []byte("\uFEFF")) // Excel's byte order mark
	in, heading, bad, err := openCSV(bytes.NewReader(all))
	if err != nil || bad != nil {
		return nil, bad, err
	}
	f := file{v: v, all: all, heading: heading, agents: map[string]config.Agent{}, first: map[string]int{}}
	for {
		record, err := in.Read()
		var syntax *csv.ParseError
		switch {
		case err == io.EOF:
			return f.agents, f.bad, nil
		case errors.As(err, &syntax) && errors.Is(err, csv.ErrFieldCount):
			f.note(f.above+syntax.Line, fmt.Sprintf("%d fields where the heading has %d", len(record), len(heading)), "")
		case errors.As(err, &syntax):
			f.note(f.above+syntax.StartLine, "not CSV: "+syntax.Err.Error(), `put a field that holds a comma or a quote in quotes, and double each quote in it`)
			in = f.behind(syntax.StartLine, in.Comma)
		case err != nil:
			return nil, nil, err
		default:
			f.agent(in, record)
		}
	}
}

// openCSV reads the heading: which column is where, -1 for those that are not.
func openCSV(r io.Reader) (*csv.Reader, map[string]int, BadLines, error) {
	buffered := bufio.NewReader(r)
	start, _ := buffered.Peek(4096)
	firstLine, _, _ := bytes.Cut(start, []byte("\n"))
	in := csv.NewReader(buffered)
	if bytes.IndexByte(firstLine, ';') >= 0 && bytes.IndexByte(firstLine, ',') < 0 {
		in.Comma = ';'
	}
	names, err := in.Read()
	var syntax *csv.ParseError
	switch {
	case err == io.EOF:
		return nil, nil, BadLines{{1, "the file is empty", "the first line is: " + strings.Join(columns, ",")}}, nil
	case errors.As(err, &syntax):
		return nil, nil, BadLines{{syntax.Line, "not CSV: " + syntax.Err.Error(), ""}}, nil
	case err != nil:
		return nil, nil, nil, err
	}
	heading, bad := map[string]int{}, BadLines(nil)
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		_, twice := heading[name]
		switch {
		case !slices.Contains(columns, name):
			bad = append(bad, BadLine{1, fmt.Sprintf("unknown column %q", name), config.Suggest(name, columns)})
		case twice:
			bad = append(bad, BadLine{1, fmt.Sprintf("column %q is given twice", name), "remove one"})
		}
		heading[name] = i
	}
	for _, name := range []string{"id", "languages"} {
		if _, ok := heading[name]; !ok {
			bad = append(bad, BadLine{1, fmt.Sprintf("column %q is missing", name), "the first line is: " + strings.Join(columns, ",")})
		}
	}
	return in, heading, bad, nil
}

// file is what has been read so far.
type file struct {
	v       Vocabulary
	all     []byte
	above   int // lines before those that are being read
	heading map[string]int
	agents  map[string]config.Agent
	first   map[string]int // line of each id
	bad     BadLines
}

func (f *file) note(line int, what, remedy string) {
	f.bad = append(f.bad, BadLine{line, what, remedy})
}

// behind has the reading go on behind a line that is no CSV, counted as the reader
// does: a quote that is never closed must not swallow the rest.
func (f *file) behind(line int, comma rune) *csv.Reader {
	f.above += line
	rest := f.all
	for range f.above {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	in := csv.NewReader(bytes.NewReader(rest))
	in.Comma, in.FieldsPerRecord = comma, len(f.heading)
	return in
}

func (f *file) agent(in *csv.Reader, record []string) {
	line := func(column string) int { l, _ := in.FieldPos(max(f.heading[column], 0)); return f.above + l }
	field := func(column string) string {
		if i, ok := f.heading[column]; ok {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	id := field("id")
	a := config.Agent{Name: field("name"), Tier: 1}
	if what, remedy := f.v.id(id); what != "" {
		f.note(line("id"), what, remedy)
	} else if first, twice := f.first[id]; twice {
		f.note(line("id"), fmt.Sprintf("agent %q is given twice", id), fmt.Sprintf("the first is in line %d", first))
	} else {
		f.first[id] = line("id")
	}
	if tier := field("tier"); tier != "" {
		var err error
		if a.Tier, err = strconv.Atoi(tier); err != nil || a.Tier < 1 || a.Tier > 3 {
			f.note(line("tier"), fmt.Sprintf("tier is %q", tier), "it must be from 1 to 3")
		}
	}
	a.Languages = f.levels(line("languages"), "language", field("languages"), f.v.Languages)
	if field("languages") == "" {
		f.note(line("languages"), fmt.Sprintf("agent %q speaks no language, so no call fits", id), "write languages as en:5 es:2")
	}
	a.Skills = f.levels(line("skills"), "skill", field("skills"), f.v.Skills)
	f.agents[id] = a
}

// levels reads "en:5 es:2".
func (f *file) levels(line int, kind, written string, known []string) map[string]int {
	m := map[string]int{}
	for _, word := range strings.Fields(written) {
		name, level, _ := strings.Cut(word, ":")
		n, err := strconv.Atoi(level)
		_, twice := m[name]
		switch {
		case !slices.Contains(known, name):
			f.note(line, fmt.Sprintf("unknown %s %q", kind, name), config.Suggest(name, known))
		case err != nil || n < 1 || n > 5:
			f.note(line, fmt.Sprintf("%s %q at level %q", kind, name, level), "write it as "+name+":3; levels are 1 to 5")
		case twice:
			f.note(line, fmt.Sprintf("%s %q is given twice", kind, name), "remove one")
		}
		m[name] = n
	}
	return m
}

// WriteLevels writes skills and their levels as people do: "en:5 es:2".
func WriteLevels(m map[string]int) string {
	words := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%s:%d", name, m[name]))
	}
	return strings.Join(words, " ")
}
