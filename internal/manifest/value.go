package manifest

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
)

// A Value is a constant, a promise, or a list or map of them. What a constant
// means is up to the type it is given to: 01 is a number to an integer input
// and text to a string input.
type Value struct {
	// tree is nil, a leaf, a []any or a map[string]any.
	tree any
}

// A leaf is a scalar: the text as written, and what YAML takes it for.
type leaf struct {
	text  string
	value any // string, bool, int, int64, uint64 or float64
}

// constant is tree as literal.FromValue takes it for a value of type t.
func constant(tree any, t *core.LiteralType) any {
	switch tree := tree.(type) {
	case leaf:
		if _, isText := tree.value.(string); isText || textual(t) {
			return tree.text
		}
		return tree.value
	case []any:
		list := make([]any, len(tree))
		for i, item := range tree {
			list[i] = constant(item, t.GetCollectionType())
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(tree))
		for name, item := range tree {
			m[name] = constant(item, t.GetMapValueType())
		}
		return m
	default:
		return nil
	}
}

// textual says that values of type t are written as text, whatever YAML takes them for.
func textual(t *core.LiteralType) bool {
	switch t.GetType().(type) {
	case *core.LiteralType_Simple:
		switch t.GetSimple() {
		case core.SimpleType_STRING, core.SimpleType_DATETIME, core.SimpleType_DURATION:
			return true
		default:
			return false
		}
	case *core.LiteralType_EnumType:
		return true
	default:
		return false
	}
}

// variables is what a promise can refer to: the workflow's inputs under "", and
// each node's outputs under its id.
type variables map[string]map[string]*core.Variable

// A binder turns values into bindings and finds out their types.
type binder struct {
	*source
	scope variables
}

// bind returns the binding of what tree says and its type. After a problem the type is nil.
func (b *binder) bind(key string, tree any) (*core.BindingData, *core.LiteralType) {
	switch tree := tree.(type) {
	case leaf:
		if text, ok := tree.value.(string); ok {
			return b.text(key, text)
		}
		return b.scalar(key, tree.value)
	case []any:
		return b.list(key, tree)
	case map[string]any:
		return b.dictionary(key, tree)
	default:
		b.problem(key, "is empty; leave the key out, or give it a value")
		return nil, nil
	}
}

// text is a string constant or a promise. $${ stands for ${ in a constant.
func (b *binder) text(key, text string) (*core.BindingData, *core.LiteralType) {
	before, _, found := strings.Cut(strings.ReplaceAll(text, "$${", ""), "${")
	if !found {
		return b.scalar(key, strings.ReplaceAll(text, "$${", "${"))
	}
	reference, whole := strings.CutPrefix(text, "${")
	reference, closed := strings.CutSuffix(reference, "}")
	if before != "" || !whole || !closed || strings.ContainsAny(reference, "${}") {
		b.problem(key, "%s: a promise is the whole value, as in ${inputs.city}; put texts together in the command, "+
			"where {{.inputs.city}} stands for a value, and write $${ for a plain ${", quote(text))
		return nil, nil
	}
	return b.promise(key, strings.TrimSpace(reference))
}

// promise is inputs.NAME or nodes.ID.NAME.
func (b *binder) promise(key, reference string) (*core.BindingData, *core.LiteralType) {
	node, name := "", ""
	if rest, ok := strings.CutPrefix(reference, "inputs."); ok {
		name = rest
	} else if rest, ok := strings.CutPrefix(reference, "nodes."); ok {
		dot := max(0, strings.LastIndexByte(rest, '.')) // Nodes' ids may hold dots.
		node, name = rest[:dot], strings.TrimPrefix(rest[dot:], ".")
		if _, ok := b.scope[node]; !ok || node == "" {
			b.problem(key, "there is no node %s%s", quote(node), meant(node, slices.Sorted(maps.Keys(b.scope))))
			return nil, nil
		}
	} else {
		b.problem(key, "%s: a promise is ${inputs.NAME} or ${nodes.ID.NAME}", quote(reference))
		return nil, nil
	}
	v, ok := b.scope[node][name]
	if !ok {
		known := slices.Sorted(maps.Keys(b.scope[node]))
		if node == "" {
			b.problem(key, "the workflow has no input %s%s", quote(name), meant(name, known))
		} else {
			b.problem(key, "node %s has no output %s%s", node, quote(name), meant(name, known))
		}
		return nil, nil
	}
	return &core.BindingData{Value: &core.BindingData_Promise{
		Promise: &core.OutputReference{NodeId: node, Var: name},
	}}, v.GetType()
}

// scalar is a constant of the type that YAML takes it for.
func (b *binder) scalar(key string, v any) (*core.BindingData, *core.LiteralType) {
	simple := core.SimpleType_STRING
	switch v.(type) {
	case bool:
		simple = core.SimpleType_BOOLEAN
	case int, int64, uint64:
		simple = core.SimpleType_INTEGER
	case float64:
		simple = core.SimpleType_FLOAT
	}
	t := &core.LiteralType{Type: &core.LiteralType_Simple{Simple: simple}}
	l, err := literal.FromValue(t, v)
	if err != nil {
		b.invalid(key, err)
		return nil, nil
	}
	return &core.BindingData{Value: &core.BindingData_Scalar{Scalar: l.GetScalar()}}, t
}

func (b *binder) list(key string, items []any) (*core.BindingData, *core.LiteralType) {
	if len(items) == 0 {
		b.problem(key, "an empty list has no type; take it from an input of the workflow")
		return nil, nil
	}
	c := &core.BindingDataCollection{}
	var element *core.LiteralType
	for i, item := range items {
		data, t := b.bind(index(key, i), item)
		if t == nil {
			return nil, nil
		}
		if element != nil && !proto.Equal(element, t) {
			b.problem(index(key, i), "is %s, and the items before are %s; a list holds one type",
				literal.TypeName(t), literal.TypeName(element))
			return nil, nil
		}
		element = t
		c.Bindings = append(c.Bindings, data)
	}
	return &core.BindingData{Value: &core.BindingData_Collection{Collection: c}},
		&core.LiteralType{Type: &core.LiteralType_CollectionType{CollectionType: element}}
}

func (b *binder) dictionary(key string, entries map[string]any) (*core.BindingData, *core.LiteralType) {
	if len(entries) == 0 {
		b.problem(key, "an empty map has no type; take it from an input of the workflow")
		return nil, nil
	}
	m := &core.BindingDataMap{Bindings: map[string]*core.BindingData{}}
	var element *core.LiteralType
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		data, t := b.bind(join(key, name), entries[name])
		if t == nil {
			return nil, nil
		}
		if element != nil && !proto.Equal(element, t) {
			b.problem(join(key, name), "is %s, and the values before are %s; a map holds one type",
				literal.TypeName(t), literal.TypeName(element))
			return nil, nil
		}
		element = t
		m.Bindings[name] = data
	}
	return &core.BindingData{Value: &core.BindingData_Map{Map: m}},
		&core.LiteralType{Type: &core.LiteralType_MapValueType{MapValueType: element}}
}

// meant suggests the nearest known name, if there is any.
func meant(name string, known []string) string {
	known = slices.DeleteFunc(known, func(k string) bool { return k == "" })
	if len(known) == 0 {
		return ""
	}
	return "; did you mean " + invalid.Nearest(name, known) + "?"
}
