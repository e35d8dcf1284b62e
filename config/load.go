package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads the configuration in a file. Relative paths in it (data_dir,
// vault.keyset, prompts, secrets' file:PATH) start at the folder the file is
// in. An error is either of the file system or a Problems, which lists every
// mistake found.
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	dir := filepath.Dir(path)
	c, err := parseIn(b, path, dir)
	if err != nil {
		return nil, err
	}
	for _, p := range []*string{&c.DataDir, &c.Prompts.Dir, &c.Prompts.Music} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if path, ok := strings.CutPrefix(c.Vault.Keyset, "file:"); ok && !filepath.IsAbs(path) {
		c.Vault.Keyset = "file:" + filepath.Join(dir, path)
	}
	return c, nil
}

// Parse reads a configuration whose file is called name in what is reported.
// Relative paths are left as they are. An error is a Problems.
func Parse(b []byte, name string) (*Config, error) { return parseIn(b, name, "") }

// parseIn is Parse with the folder that the paths of secrets start at.
func parseIn(b []byte, name, dir string) (*Config, error) {
	d := &decoder{
		src: &source{file: name, keys: map[string]Position{}, values: map[string]Position{}},
		env: os.LookupEnv,
		readFile: func(path string) ([]byte, error) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			return os.ReadFile(path)
		},
	}
	c := &Config{source: d.src}
	root, problem := parseYAML(b, name)
	if problem != nil {
		return nil, Problems{*problem}
	}
	c.defaults()
	if root != nil {
		d.decode(root, reflect.ValueOf(c).Elem(), nil)
	}
	c.derive()
	problems := append(d.problems, c.check().without(d.problems)...)
	problems.Sort()
	if problems.Err() != nil {
		return nil, problems
	}
	c.warnings = problems
	return c, nil
}

// parseYAML gives the one document of a file, nil if there is nothing in it.
func parseYAML(b []byte, name string) (ast.Node, *Problem) {
	f, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p := Problem{File: name, Position: Position{Line: 1, Column: 1}, What: err.Error(), Remedy: "mend the YAML"}
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			p.What = "not YAML: " + strings.TrimSpace(syntax.Message)
			if syntax.Token != nil && syntax.Token.Position != nil {
				p.Line, p.Column = syntax.Token.Position.Line, syntax.Token.Position.Column
			}
			p.Remedy = "mind the indentation (spaces, no tabs) and the quotes"
		}
		return nil, &p
	}
	var root ast.Node
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			return nil, &Problem{File: name, Position: position(doc.Body),
				What: "the file holds a second YAML document", Remedy: "put everything into one"}
		}
		root = doc.Body
	}
	return root, nil
}
