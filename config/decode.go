package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder lays a YAML tree over Go types. It goes on after a mistake, so that
// one run finds them all, and notes where each value stood.
//
// The library's own decoder stops at the first mistake and forgets positions;
// both matter to who has to mend the file at night.
type decoder struct {
	src      *source
	problems Problems
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)
}

// defaulter is a type that fills in its defaults before the file is laid over
// it, so that a value left out differs from a zero that was written.
type defaulter interface{ defaults() }

func (d *decoder) bad(n ast.Node, what, remedy string) {
	d.problems = append(d.problems, Problem{File: d.src.file, Position: position(n), What: what, Remedy: remedy})
}

// position is where a node begins: a mapping at its first key, not at the
// colon the library takes for its token.
func position(n ast.Node) Position {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return position(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(m.Key)
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return Position{Line: 1, Column: 1}
	}
	return Position{Line: t.Position.Line, Column: t.Position.Column}
}

// decode fills v, the value called by the last name of path, from node n.
func (d *decoder) decode(n ast.Node, v reflect.Value, path []string) {
	d.locate(n, path)
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if dv, ok := v.Addr().Interface().(defaulter); ok {
		dv.defaults()
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.bad(n, "YAML anchors, aliases and tags are not read here", "write the value out")
		return
	case *ast.NullNode:
		d.bad(n, fmt.Sprintf("%s has no value", name(path)), "write one, or remove the key")
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, u, v.Type(), path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// locate notes where a value stands. A mapping or list stands at its key,
// where it has one: that is the line a reader looks for.
func (d *decoder) locate(n ast.Node, path []string) {
	where := position(n)
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		if key, ok := d.src.keys[pathKey(path)]; ok {
			where = key
		}
	}
	d.src.values[pathKey(path)] = where
}

// entries gives the key-value pairs of a mapping, each key once.
func (d *decoder) entries(n ast.Node, path []string) []*ast.MappingValueNode {
	var all []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		all = m.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{m}
	default:
		d.bad(n, fmt.Sprintf("%s is %s", name(path), describe(n)), "it wants keys with values")
		return nil
	}
	seen, unique := map[string]Position{}, all[:0:0]
	for _, e := range all {
		key, ok := keyText(e.Key)
		if !ok {
			d.bad(e.Key, "a key must be plain text", "YAML merge keys and complex keys are not read here")
			continue
		}
		if first, twice := seen[key]; twice {
			d.bad(e.Key, fmt.Sprintf("%s is given twice", name(append(path, key))),
				fmt.Sprintf("remove one; the first is in line %d", first.Line))
			continue
		}
		seen[key] = position(e.Key)
		unique = append(unique, e)
	}
	return unique
}

// keyText is a mapping's key as it was written. A menu's 1 and "1" are the
// same key.
func keyText(k ast.MapKeyNode) (string, bool) {
	switch k.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return k.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) structure(n ast.Node, v reflect.Value, path []string) {
	fields, names := map[string]int{}, []string{}
	for i := range v.NumField() {
		if tag, ok := v.Type().Field(i).Tag.Lookup("yaml"); ok {
			fields[tag] = i
			names = append(names, tag)
		}
	}
	for _, e := range d.entries(n, path) {
		key, _ := keyText(e.Key)
		i, ok := fields[key]
		if !ok {
			where := ""
			if len(path) > 0 {
				where = " in " + name(path)
			}
			d.bad(e.Key, fmt.Sprintf("unknown key %q%s", key, where), Suggest(key, names))
			continue
		}
		child := extend(path, key)
		d.src.keys[pathKey(child)] = position(e.Key)
		if v.Type().Field(i).Tag.Get("secret") != "" {
			d.secret(e.Value, v.Field(i), child)
			continue
		}
		d.decode(e.Value, v.Field(i), child)
		if v.Field(i).Kind() == reflect.String && variable.MatchString(v.Field(i).String()) {
			d.bad(e.Value, fmt.Sprintf("%s holds an environment variable", name(child)),
				"they are only read in http.token, redis.password and store.postgres: write the value itself")
		}
	}
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path []string) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.entries(n, path) {
		key, _ := keyText(e.Key)
		child := extend(path, key)
		d.src.keys[pathKey(child)] = position(e.Key)
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(e.Value, value, child)
		v.SetMapIndex(reflect.ValueOf(key), value)
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, path []string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.bad(n, fmt.Sprintf("%s is %s", name(path), describe(n)), "it wants a list: [a, b]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		d.decode(item, v.Index(i), extend(path, strconv.Itoa(i)))
	}
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path []string) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := stringOf(n); ok {
			v.SetString(s)
			return
		}
		remedy := "it wants text"
		if _, ok := n.(ast.ScalarNode); ok {
			remedy = "it wants text: put it in quotes"
		}
		d.bad(n, fmt.Sprintf("%s is %s", name(path), describe(n)), remedy)
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return
		}
		d.bad(n, fmt.Sprintf("%s is %s", name(path), describe(n)), "it wants true or false")
	case reflect.Int:
		if i, ok := n.(*ast.IntegerNode); ok {
			if x, err := strconv.Atoi(i.GetToken().Value); err == nil {
				v.SetInt(int64(x))
				return
			}
		}
		d.bad(n, fmt.Sprintf("%s is %s", name(path), describe(n)), "it wants a whole number")
	default:
		panic("config: no decoding for " + v.Type().String()) // a type of ours, so a test would have met it
	}
}

// notations says how each type with a notation of its own is written.
var notations = map[reflect.Type][2]string{
	reflect.TypeFor[Duration]():       {"a duration", "write it as 20s, 1m30s or 500ms"},
	reflect.TypeFor[Period]():         {"a period", "write it as 7y or 90d"},
	reflect.TypeFor[PortRange]():      {"a range of ports", "write it as 20000-29999"},
	reflect.TypeFor[netip.Addr]():     {"an IP address", "write it as 192.0.2.10"},
	reflect.TypeFor[netip.AddrPort](): {"an IP address with a port", "write it as 192.0.2.10:5060"},
	reflect.TypeFor[netip.Prefix]():   {"a network", "write it as 192.0.2.0/24, one address as 192.0.2.10/32"},
}

func (d *decoder) text(n ast.Node, u encoding.TextUnmarshaler, t reflect.Type, path []string) {
	s, ok := stringOf(n)
	if !ok {
		if _, scalar := n.(ast.ScalarNode); scalar {
			s, ok = n.GetToken().Value, true
		}
	}
	if !ok || u.UnmarshalText([]byte(s)) != nil {
		d.bad(n, fmt.Sprintf("%s is %s, not %s", name(path), describe(n), notations[t][0]), notations[t][1])
	}
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

// secret resolves "file:PATH" and ${NAME}, so that no secret has to stand in
// the file itself. What it finds is never part of a problem's text. An empty
// secret protects nothing, however it came to be empty.
func (d *decoder) secret(n ast.Node, v reflect.Value, path []string) {
	d.locate(n, path)
	s, ok := stringOf(n)
	if !ok {
		d.bad(n, name(path)+" is not text", "put it in quotes")
		return
	}
	before := len(d.problems)
	if file, ok := strings.CutPrefix(s, "file:"); ok {
		b, err := d.readFile(file)
		if err != nil {
			d.bad(n, fmt.Sprintf("%s cannot be read: %v", name(path), err), "make the file readable for Bugle")
		}
		v.SetString(strings.TrimRight(string(b), "\r\n"))
	} else {
		v.SetString(d.expand(n, s, path))
	}
	if len(d.problems) == before && strings.TrimSpace(v.String()) == "" {
		d.bad(n, fmt.Sprintf("%s is empty", name(path)), "give it a value, or remove the key")
	}
}

// expand puts environment variables into a secret.
func (d *decoder) expand(n ast.Node, s string, path []string) string {
	return variable.ReplaceAllStringFunc(s, func(ref string) string {
		env := variable.FindStringSubmatch(ref)[1]
		value, ok := d.env(env)
		if !ok {
			d.bad(n, fmt.Sprintf("%s needs the environment variable %s, which is not set", name(path), env),
				"set it, or write file:PATH")
		}
		return value
	})
}

// stringOf is the text of a node that YAML takes for text.
func stringOf(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	}
	return "", false
}

// describe says what stands in the file where something else was wanted.
func describe(n ast.Node) string {
	switch s := n.(type) {
	case *ast.StringNode:
		return strconv.Quote(s.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	return n.GetToken().Value
}

// name writes a path as a person would: sip.listeners[0].address.
func name(path []string) string {
	if len(path) == 0 {
		return "the file"
	}
	var b strings.Builder
	for i, p := range path {
		if _, err := strconv.Atoi(p); err == nil && i > 0 {
			fmt.Fprintf(&b, "[%s]", p)
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	return b.String()
}

// extend is append without sharing the parent's array.
func extend(path []string, more ...string) []string {
	return append(path[:len(path):len(path)], more...)
}

// UnmarshalText reads "20s".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("read duration: %w", err)
	}
	*d = Duration(v)
	return nil
}

// String writes the duration as it is written in the file.
func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalText reads "20000-29999".
func (r *PortRange) UnmarshalText(b []byte) error {
	first, last, ok := strings.Cut(string(b), "-")
	if !ok {
		return fmt.Errorf("read ports %q: no hyphen", b)
	}
	f, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	if err != nil {
		return fmt.Errorf("read first port: %w", err)
	}
	l, err := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err != nil {
		return fmt.Errorf("read last port: %w", err)
	}
	*r = PortRange{First: uint16(f), Last: uint16(l)}
	return nil
}

// String writes the range as it is written in the file.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }
