package workflow

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
)

// Bounds on bindings: how deep lists and maps nest in one, and how many parts
// are compared in one compilation. A message of 4 MiB, which is what gRPC takes,
// holds fewer; but unions are tried variant by variant, which nesting multiplies.
const (
	maxBindingDepth = 32
	maxBindingSteps = 1 << 19
)

// bind checks that bindings give each of node's variables a value of its type,
// and draws the edges from the nodes whose outputs they use. The variables are
// owner's; kind is what they are to it, input or output.
func (g *graph) bind(node, field, owner, kind string, bindings []*core.Binding, variables *core.VariableMap) error {
	bound := map[string]bool{}
	for _, b := range bindings {
		name := b.GetVar()
		at := field + "[" + name + "]"
		variable, known := variables.GetVariables()[name]
		switch {
		case !known:
			return invalid.Field(at, "%s has no %s %q%s", owner, kind, name, suggest(name, variables))
		case bound[name]:
			return invalid.Field(at, "is bound twice")
		}
		bound[name] = true
		if err := g.checkBinding(node, at, b.GetBinding(), variable.GetType(), 0); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(variables.GetVariables())) {
		v := variables.GetVariables()[name]
		if !bound[name] && !literal.Optional(v.GetType()) {
			return invalid.Field(field+"["+name+"]", "%s needs %s %q (%s), and nothing is bound to it",
				owner, kind, name, literal.TypeName(v.GetType()))
		}
	}
	return nil
}

// suggest names the variable that name was most likely meant to be.
func suggest(name string, variables *core.VariableMap) string {
	known := slices.Sorted(maps.Keys(variables.GetVariables()))
	if len(known) == 0 {
		return "; it has none"
	}
	return fmt.Sprintf("; did you mean %q?", invalid.Nearest(name, known))
}

// checkBinding checks that b is of type want.
func (g *graph) checkBinding(node, field string, b *core.BindingData, want *core.LiteralType, depth int) error {
	if g.steps++; g.steps > maxBindingSteps {
		return invalid.Field(field, "the workflow's bindings are too complex to be checked; use types with fewer variants")
	}
	if depth > maxBindingDepth {
		return invalid.Field(field, "nested more than %d levels deep", maxBindingDepth)
	}
	switch v := b.GetValue().(type) {
	case *core.BindingData_Scalar:
		l := &core.Literal{Value: &core.Literal_Scalar{Scalar: v.Scalar}}
		if err := literal.Match(want, l); err != nil {
			return invalid.Field(field, "%v", err)
		}
		return nil
	case *core.BindingData_Promise:
		return g.checkPromise(node, field, v.Promise, want)
	case *core.BindingData_Collection, *core.BindingData_Map:
		if want.GetUnionType() != nil {
			return g.checkVariants(node, field, b, want, depth)
		}
		return g.checkElements(node, field, b, want, depth)
	case *core.BindingData_OffloadedMetadata:
		return invalid.Field(field, "an offloaded value cannot be read here; send the value itself")
	default:
		return invalid.Field(field, "is bound to nothing")
	}
}

// checkElements checks a list or map of bindings.
func (g *graph) checkElements(node, field string, b *core.BindingData, want *core.LiteralType, depth int) error {
	if b.GetCollection() != nil {
		element := want.GetCollectionType()
		if element == nil {
			return invalid.Field(field, "want %s, got a list", literal.TypeName(want))
		}
		for i, e := range b.GetCollection().GetBindings() {
			if err := g.checkBinding(node, fmt.Sprintf("%s[%d]", field, i), e, element, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	value := want.GetMapValueType()
	if value == nil {
		return invalid.Field(field, "want %s, got a map", literal.TypeName(want))
	}
	bindings := b.GetMap().GetBindings()
	for _, key := range slices.Sorted(maps.Keys(bindings)) {
		if err := g.checkBinding(node, field+"["+key+"]", bindings[key], value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checkVariants checks that a list or map of bindings is of some variant of a
// union. Where only one variant is a list or map at all, its error is told.
func (g *graph) checkVariants(node, field string, b *core.BindingData, want *core.LiteralType, depth int) error {
	var alike []error
	for _, variant := range want.GetUnionType().GetVariants() {
		err := g.checkBinding(node, field, b, variant, depth+1)
		if err == nil {
			return nil
		}
		if variant.GetCollectionType() != nil && b.GetCollection() != nil || variant.GetMapValueType() != nil && b.GetMap() != nil {
			alike = append(alike, err)
		}
	}
	if len(alike) == 1 {
		return alike[0]
	}
	if b.GetCollection() != nil {
		return invalid.Field(field, "want %s, got a list that is none of these", literal.TypeName(want))
	}
	return invalid.Field(field, "want %s, got a map that is none of these", literal.TypeName(want))
}

// checkPromise checks that the output that p refers to exists and is of type
// want, names the start node where p leaves it out, and draws the edge.
func (g *graph) checkPromise(node, field string, p *core.OutputReference, want *core.LiteralType) error {
	from, err := g.upstreamNode(field, p.GetNodeId())
	if err != nil {
		return err
	}
	producer := g.nodes[from]
	variable, known := producer.outputs.GetVariables()[p.GetVar()]
	if !known {
		kind := "output"
		if from == StartNode {
			kind = "input"
		}
		return invalid.Field(field, "%s has no %s %q%s", producer.name, kind, p.GetVar(), suggest(p.GetVar(), producer.outputs))
	}
	got, err := attributeType(variable.GetType(), p.GetAttrPath())
	if err == nil && got != nil {
		err = literal.Castable(got, want)
	}
	if err != nil {
		return invalid.Field(field, "%s.%s: %v", from, p.GetVar(), err)
	}
	p.NodeId = from
	g.edge(from, node)
	return nil
}

// attributeType is the type of what path leads to in a value of type t; nil
// where only the value itself can tell.
func attributeType(t *core.LiteralType, path []*core.PromiseAttribute) (*core.LiteralType, error) {
	for _, step := range path {
		switch {
		case t.GetCollectionType() != nil:
			i, isIndex := step.GetValue().(*core.PromiseAttribute_IntValue)
			if !isIndex || i.IntValue < 0 {
				return nil, fmt.Errorf("a list is indexed by a number from 0, not by %s", stepName(step))
			}
			t = t.GetCollectionType()
		case t.GetMapValueType() != nil:
			t = t.GetMapValueType()
		case len(t.GetStructure().GetDataclassType()) > 0:
			fields := t.GetStructure().GetDataclassType()
			field, known := fields[step.GetStringValue()]
			if !known {
				return nil, fmt.Errorf("there is no attribute %s; did you mean %q?", stepName(step),
					invalid.Nearest(step.GetStringValue(), slices.Sorted(maps.Keys(fields))))
			}
			t = field
		case t.GetSimple() == core.SimpleType_STRUCT || t.GetUnionType() != nil:
			return nil, nil //nolint:nilnil // The type is unknown, and that is no error.
		default:
			return nil, fmt.Errorf("%s has no attributes, but %s is asked for", literal.TypeName(t), stepName(step))
		}
	}
	if t.GetType() == nil {
		return nil, errors.New("the attribute has no type")
	}
	return t, nil
}

func stepName(step *core.PromiseAttribute) string {
	if i, ok := step.GetValue().(*core.PromiseAttribute_IntValue); ok {
		return strconv.Itoa(int(i.IntValue))
	}
	return strconv.Quote(step.GetStringValue())
}
