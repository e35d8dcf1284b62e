package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a configuration file; both count from 1.
type Position struct{ Line, Column int }

// Problem is one mistake in a configuration file: where, what, and what to do.
type Problem struct {
	File string
	Position
	What    string // `queue "claims" requires unknown skill "clams"`
	Remedy  string // `did you mean "claims"?`; may be empty
	Warning bool   // worth knowing, but the file can be served
}

// String writes the problem as one line that editors can jump to:
// FILE:LINE:COLUMN: WHAT; REMEDY.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.What)
	if p.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(p.Remedy)
	}
	return b.String()
}

// Problems is everything found in a file, in the file's order. As an error it
// is the whole list, one problem a line.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err gives the problems that keep the file from being served as an error,
// which is nil if there are none, and leaves the warnings out.
func (ps Problems) Err() error {
	grave := slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Warning })
	if len(grave) == 0 {
		return nil
	}
	return grave
}

// Warnings gives what is odd about a configuration that can be served, in the
// file's order.
func (c *Config) Warnings() Problems { return slices.Clone(c.warnings) }

// Sort puts the problems into the order of their lines.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// source remembers where in a file each value stood, so that a mistake found
// later, by a room that understands flows, still has its line.
type source struct {
	file   string
	keys   map[string]Position
	values map[string]Position
}

// pathKey makes a map key of a path. Names may hold dots, but never a NUL.
func pathKey(path []string) string { return strings.Join(path, "\x00") }

// find looks a path up among the keys or the values, and failing that what
// encloses it.
func (s *source) find(among map[string]Position, path []string) Position {
	if p, ok := among[pathKey(path)]; ok {
		return p
	}
	for n := len(path); n > 0; n-- {
		for _, in := range []map[string]Position{s.keys, s.values} {
			if p, ok := in[pathKey(path[:n])]; ok {
				return p
			}
		}
	}
	return Position{Line: 1, Column: 1}
}

// Problem makes a problem about the value at a path, such as
// "flows", "helpline", "start" (list items by their index, "0"). A mapping or
// list is found by its key, and what is not in the file by what encloses it.
func (c *Config) Problem(what, remedy string, path ...string) Problem {
	p := Problem{What: what, Remedy: remedy}
	if c.source != nil {
		p.File, p.Position = c.source.file, c.source.find(c.source.values, path)
	}
	return p
}

// KeyProblem is Problem, about the last key of the path and not its value.
func (c *Config) KeyProblem(what, remedy string, path ...string) Problem {
	p := Problem{What: what, Remedy: remedy}
	if c.source != nil {
		p.File, p.Position = c.source.file, c.source.find(c.source.keys, path)
	}
	return p
}

// without leaves out the problems that stand where others do: what could not
// be read need not be called missing as well.
func (ps Problems) without(others Problems) Problems {
	return slices.DeleteFunc(ps, func(p Problem) bool {
		return slices.ContainsFunc(others, func(o Problem) bool { return o.Position == p.Position })
	})
}
