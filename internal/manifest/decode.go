package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"tminus.dev/internal/invalid"
)

// The bounds of a manifest. Aliases make a short text long, so nodes are
// counted as often as they are used.
const (
	maxSize      = 4 << 20 // bytes
	maxDocuments = 1000
	maxNodes     = 200_000
	maxDepth     = 64
	maxKey       = 256 // bytes
	maxProblems  = 100
)

// A parsed document, and where its keys stand.
type parsed struct {
	Document
	source *source
}

// parse reads the documents of a YAML manifest; file names it in problems. It
// looks at the form alone: what the keys say is checked when a document is
// compiled. A document keeps its own problems, so that the others can be used.
// An error means that the file is no YAML.
func parse(file string, data []byte) ([]parsed, error) {
	if len(data) > maxSize {
		return nil, ProblemsError{{Position: Position{File: file}, Message: fmt.Sprintf("is larger than %d MiB", maxSize>>20)}}
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	d := decoder{file: file, nodes: maxNodes}
	var documents []parsed
	for {
		var root yaml.Node
		err := loader.Load(&root)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, syntaxProblem(file, data, err)
		}
		if root.Kind != yaml.DocumentNode || len(root.Content) != 1 || root.Content[0].ShortTag() == "!!null" {
			continue // Nothing but comments between two separators.
		}
		if len(documents) == maxDocuments {
			return nil, ProblemsError{{Position: d.position(&root), Message: fmt.Sprintf("holds more than %d documents", maxDocuments)}}
		}
		documents = append(documents, d.document(root.Content[0]))
	}
}

// syntaxProblem says where the text stops being YAML, and what people mostly meant.
func syntaxProblem(file string, data []byte, err error) ProblemsError {
	p := Problem{Position: Position{File: file}, Message: err.Error()}
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		p.Line, p.Column = load.Mark.Line, max(load.Mark.Column, min(load.Mark.Line, 1))
		p.Message = load.Message
		if load.ContextMsg != "" {
			p.Message = load.ContextMsg + ": " + load.Message
		}
	}
	switch {
	case tabbed(data, p.Line):
		p.Message += "; indent with spaces, not tabs"
	case strings.Contains(p.Message, "anchor"), strings.Contains(p.Message, "scanning an alias"):
		p.Message += `; a value that begins with * needs quotes, as in cron: "* * * * ? *"`
	case strings.Contains(p.Message, "cannot start any token"):
		p.Message += `; a value that begins with @, % or a backquote needs quotes, as in cron: "@daily"`
	}
	return ProblemsError{p}
}

// tabbed says that the indentation of a line, which counts from 1, holds a tab.
func tabbed(data []byte, line int) bool {
	for range line - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	text := bytes.TrimLeft(data, " ")
	return len(text) > 0 && text[0] == '\t'
}

// A decoder turns YAML nodes into the structs of a manifest.
type decoder struct {
	*source
	file  string
	nodes int // that may still be visited
}

func (d *decoder) document(root *yaml.Node) parsed {
	d.source = &source{Position: d.position(root), at: map[string]Position{}, inset: map[string]int{}, nodes: map[string]string{}}
	p := parsed{source: d.source}
	d.decode(root, reflect.ValueOf(&p.Document).Elem(), "", 0)
	return p
}

func (d *decoder) position(n *yaml.Node) Position {
	return Position{File: d.file, Line: n.Line, Column: n.Column}
}

func (d *decoder) refuse(n *yaml.Node, key, format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, Problem{Position: d.position(n), Key: key, Message: fmt.Sprintf(format, args...)})
	}
}

// enter follows aliases and keeps the bounds. It reports false when the node
// is not to be looked at.
func (d *decoder) enter(n *yaml.Node, key string, depth int) (*yaml.Node, bool) {
	if d.nodes <= 0 {
		return nil, false
	}
	if d.nodes--; d.nodes == 0 {
		d.refuse(n, key, "the manifest is too large: aliases count as often as they are used")
		return nil, false
	}
	if depth > maxDepth {
		outermost, _, _ := strings.Cut(key, "[") // An alias of itself has an endless path.
		d.refuse(n, outermost, "is nested too deeply; %d levels are the most", maxDepth)
		return nil, false
	}
	if _, ok := d.at[key]; !ok {
		d.at[key] = d.position(n)
	}
	if n.Kind == yaml.AliasNode {
		return d.enter(n.Alias, key, depth+1)
	}
	return n, true
}

// decode sets v to what n says.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, key string, depth int) {
	n, ok := d.enter(n, key, depth)
	if !ok {
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *Value:
		target.tree = d.tree(n, key, depth)
		return
	case *Variable:
		if n.Kind == yaml.ScalarNode {
			target.Type = d.text(n, key)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), key, depth+1)
	case reflect.Struct:
		d.fields(n, v, key, depth)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for name, value := range d.pairs(n, key) {
			element := reflect.New(v.Type().Elem()).Elem()
			d.decode(value, element, join(key, name.Value), depth+1)
			m.SetMapIndex(reflect.ValueOf(name.Value), element)
		}
		v.Set(m)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.refuse(n, key, "is %s; a list is expected", kindName(n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.decode(item, v.Index(i), index(key, i), depth+1)
		}
	case reflect.String:
		v.SetString(d.text(n, key))
	case reflect.Bool:
		var b bool
		if n.ShortTag() != "!!bool" || n.Load(&b) != nil {
			d.refuse(n, key, "is %s; use true or false", kindName(n))
			return
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 32)
		if n.Kind != yaml.ScalarNode || err != nil {
			d.refuse(n, key, "is %s; a whole number is expected", kindName(n))
			return
		}
		v.SetInt(i)
	default:
		panic("a manifest cannot hold " + v.Type().String())
	}
}

// fields decodes a mapping into the struct v.
func (d *decoder) fields(n *yaml.Node, v reflect.Value, key string, depth int) {
	known := map[string]int{}
	for i := range v.NumField() {
		known[v.Type().Field(i).Tag.Get("yaml")] = i
	}
	seen := map[string]bool{}
	for name, value := range d.pairs(n, key) {
		seen[name.Value] = true
		i, ok := known[name.Value]
		if !ok {
			d.refuse(name, join(key, name.Value), "unknown key; did you mean %s?",
				invalid.Nearest(name.Value, slices.Sorted(maps.Keys(known))))
			continue
		}
		before := len(d.problems)
		d.decode(value, v.Field(i), join(key, name.Value), depth+1)
		if len(d.problems) == before {
			d.check(value, v.Field(i), v.Type().Field(i).Tag, join(key, name.Value))
		}
	}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if name := tag.Get("yaml"); tag.Get("required") != "" && !seen[name] && n.Kind == yaml.MappingNode {
			d.refuse(n, join(key, name), "is missing")
		}
	}
}

// check holds a field's value against its tags.
func (d *decoder) check(n *yaml.Node, v reflect.Value, tag reflect.StructTag, key string) {
	if allowed, ok := tag.Lookup("enum"); ok && !slices.Contains(strings.Fields(allowed), v.String()) {
		d.refuse(n, key, "%s: use one of %s", quote(v.String()), strings.Join(strings.Fields(allowed), ", "))
	}
	if least, ok := tag.Lookup("min"); ok {
		if least, err := strconv.ParseInt(least, 10, 64); err == nil && v.Int() < least {
			d.refuse(n, key, "is %d; %d is the least", v.Int(), least)
		}
	}
}

// pairs yields the keys and values of a mapping; it refuses everything else,
// and keys that are no names or come twice.
func (d *decoder) pairs(n *yaml.Node, key string) func(yield func(name, value *yaml.Node) bool) {
	return func(yield func(name, value *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			d.refuse(n, key, "is %s; keys and values are expected", kindName(n))
			return
		}
		lines := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			switch {
			case name.ShortTag() == "!!merge":
				d.refuse(name, key, "merge keys (<<) are not taken; write the keys out, or give an alias as a whole value")
			case name.Kind != yaml.ScalarNode:
				d.refuse(name, key, "a key is %s; keys are names", kindName(name))
			case len(name.Value) > maxKey:
				d.refuse(name, key, "a key is %d bytes long; %d is the most", len(name.Value), maxKey)
			case lines[name.Value] != 0:
				d.refuse(name, join(key, name.Value), "is there already, in line %d", lines[name.Value])
			default:
				lines[name.Value] = name.Line
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// text is a scalar as it is written: version: 1.10 is 1.10, not 1.1.
func (d *decoder) text(n *yaml.Node, key string) string {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.refuse(n, key, "is %s; text is expected", kindName(n))
	case n.ShortTag() == "!!null":
		d.refuse(n, key, `is empty; leave the key out, or write ""`)
	default:
		if d.at[key] == d.position(n) && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0 && n.Anchor == "" {
			d.inset[key] = 0
			if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
				d.inset[key] = 1
			}
		}
		return n.Value
	}
	return ""
}

// tree is n as a Value holds it.
func (d *decoder) tree(n *yaml.Node, key string, depth int) any {
	n, ok := d.enter(n, key, depth)
	if !ok {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for name, value := range d.pairs(n, key) {
			m[name.Value] = d.tree(value, join(key, name.Value), depth+1)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.tree(item, index(key, i), depth+1)
		}
		return list
	default:
		return d.leaf(n, key)
	}
}

func (d *decoder) leaf(n *yaml.Node, key string) any {
	l := leaf{text: n.Value, value: n.Value}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!str", "!!timestamp":
	case "!!bool", "!!int", "!!float":
		if err := n.Load(&l.value); err != nil {
			d.refuse(n, key, "%s cannot be read as a number or truth value", quote(n.Value))
		}
	default:
		d.refuse(n, key, "the tag %s is not taken", n.Tag)
	}
	return l
}

// join is the path of a key in the one that holds it.
func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// kindName is what n is, for people.
func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.ShortTag() == "!!null":
		return "empty"
	default:
		return quote(n.Value)
	}
}

// maxQuoted bounds what a problem quotes of a manifest, which may be no manifest at all.
const maxQuoted = 60 // runes

// quote is text in quotation marks, cut off where it is long.
func quote(text string) string {
	shown := fmt.Sprintf("%.*q", maxQuoted, text)
	if utf8.RuneCountInString(text) > maxQuoted {
		shown = strings.TrimSuffix(shown, `"`) + `…"`
	}
	return shown
}

// index is the path of an item in the list that key names.
func index(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }
