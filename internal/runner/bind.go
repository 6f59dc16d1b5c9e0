package runner

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"google.golang.org/protobuf/types/known/structpb"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/workflow"
)

// scope is one run of a workflow or sub-workflow: what its nodes have put out so far.
type scope struct {
	// parent is the NodeExecution.Node of the node that runs the sub-workflow; empty at the top.
	parent string
	// prefix stands before the ids of the nodes.
	prefix string
	// depth counts the sub-workflows around it.
	depth int

	mu     sync.Mutex
	values map[string]map[string]*core.Literal // by node id and variable
}

// newScope is the scope of a run of c. Optional inputs that are not given are none.
func newScope(parent, prefix string, c *core.CompiledWorkflow, given *core.LiteralMap) *scope {
	inputs := maps.Clone(given.GetLiterals())
	if inputs == nil {
		inputs = make(map[string]*core.Literal)
	}
	for name, v := range c.GetTemplate().GetInterface().GetInputs().GetVariables() {
		if _, ok := inputs[name]; ok || !literal.Optional(v.GetType()) {
			continue
		}
		if none, err := literal.FromValue(v.GetType(), nil); err == nil {
			inputs[name] = none
		}
	}
	return &scope{
		parent: parent, prefix: prefix,
		values: map[string]map[string]*core.Literal{workflow.StartNode: inputs},
	}
}

func (s *scope) put(node string, outputs *core.LiteralMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[node] = outputs.GetLiterals()
}

// bind resolves the inputs of a node, or the outputs of the workflow.
func (s *scope) bind(bindings []*core.Binding) (*core.LiteralMap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bound := make(map[string]*core.Literal, len(bindings))
	for _, b := range bindings {
		l, err := s.resolve(b.GetBinding(), 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.GetVar(), err)
		}
		bound[b.GetVar()] = l
	}
	return &core.LiteralMap{Literals: bound}, nil
}

// maxBindingDepth bounds how deeply bindings nest, as Flyte's literals do in literal.
const maxBindingDepth = 100

func (s *scope) resolve(b *core.BindingData, depth int) (*core.Literal, error) {
	if depth > maxBindingDepth {
		return nil, fmt.Errorf("bindings nest more than %d levels deep", maxBindingDepth)
	}
	switch v := b.GetValue().(type) {
	case *core.BindingData_Scalar: // Unions among them.
		return scalarLiteral(v.Scalar), nil
	case *core.BindingData_Promise:
		return s.promise(v.Promise)
	case *core.BindingData_Collection:
		all := make([]*core.Literal, len(v.Collection.GetBindings()))
		for i, e := range v.Collection.GetBindings() {
			var err error
			if all[i], err = s.resolve(e, depth+1); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return collection(all), nil
	case *core.BindingData_Map:
		all := make(map[string]*core.Literal, len(v.Map.GetBindings()))
		for key, e := range v.Map.GetBindings() {
			l, err := s.resolve(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%s]: %w", key, err)
			}
			all[key] = l
		}
		return &core.Literal{Value: &core.Literal_Map{Map: &core.LiteralMap{Literals: all}}}, nil
	case *core.BindingData_OffloadedMetadata:
		return nil, fmt.Errorf("%s is offloaded; tminus reads no offloaded values", v.OffloadedMetadata.GetUri())
	default:
		return nil, errors.New("nothing is bound")
	}
}

func (s *scope) promise(p *core.OutputReference) (*core.Literal, error) {
	node := p.GetNodeId()
	if node == "" {
		node = workflow.StartNode
	}
	what := "output " + p.GetVar() + " of node " + node
	if node == workflow.StartNode {
		what = "workflow input " + p.GetVar()
	}
	l, ok := s.values[node][p.GetVar()]
	if !ok {
		return nil, fmt.Errorf("there is no %s; there is %s", what, list(slices.Sorted(maps.Keys(s.values[node]))))
	}
	l, err := follow(l, p.GetAttrPath())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return l, nil
}

func collection(all []*core.Literal) *core.Literal {
	return &core.Literal{Value: &core.Literal_Collection{Collection: &core.LiteralCollection{Literals: all}}}
}

// follow is the part of l that path leads to, as flytepropeller finds it
// (nodes/attr_path_resolver.go): through lists and maps of literals, and from
// there on inside of a struct or of a dataclass in MessagePack. It also looks into unions.
func follow(l *core.Literal, path []*core.PromiseAttribute) (*core.Literal, error) {
	for i, attribute := range path {
		for l.GetScalar().GetUnion() != nil {
			l = l.GetScalar().GetUnion().GetValue()
		}
		switch v := l.GetValue().(type) {
		case *core.Literal_Collection:
			i, err := indexOf(attribute, len(v.Collection.GetLiterals()))
			if err != nil {
				return nil, err
			}
			l = v.Collection.GetLiterals()[i]
		case *core.Literal_Map:
			key, err := keyOf(attribute, v.Map.GetLiterals())
			if err != nil {
				return nil, err
			}
			l = v.Map.GetLiterals()[key]
		default:
			if l.GetScalar().GetGeneric() == nil && l.GetScalar().GetBinary() == nil {
				return nil, fmt.Errorf("%s leads into a value that has no parts", attributeText(attribute))
			}
			return followValue(literal.ToValue(l), path[i:])
		}
	}
	return l, nil
}

func followValue(v any, path []*core.PromiseAttribute) (*core.Literal, error) {
	for _, attribute := range path {
		switch parts := v.(type) {
		case []any:
			i, err := indexOf(attribute, len(parts))
			if err != nil {
				return nil, err
			}
			v = parts[i]
		case map[string]any:
			key, err := keyOf(attribute, parts)
			if err != nil {
				return nil, err
			}
			v = parts[key]
		default:
			return nil, fmt.Errorf("%s leads into a value that has no parts", attributeText(attribute))
		}
	}
	return fromPart(v)
}

// indexOf is where in a list of that length a leads.
func indexOf(a *core.PromiseAttribute, length int) (int, error) {
	index, ok := a.GetValue().(*core.PromiseAttribute_IntValue)
	if !ok || index.IntValue < 0 || int(index.IntValue) >= length {
		return 0, fmt.Errorf("%s does not lead into a list of %d", attributeText(a), length)
	}
	return int(index.IntValue), nil
}

// keyOf is which entry of parts a leads to.
func keyOf[T any](a *core.PromiseAttribute, parts map[string]T) (string, error) {
	if key, ok := a.GetValue().(*core.PromiseAttribute_StringValue); ok {
		if _, ok := parts[key.StringValue]; ok {
			return key.StringValue, nil
		}
	}
	return "", fmt.Errorf("%s is not among %s", attributeText(a), list(slices.Sorted(maps.Keys(parts))))
}

func attributeText(a *core.PromiseAttribute) string {
	if key, ok := a.GetValue().(*core.PromiseAttribute_StringValue); ok {
		return "." + key.StringValue
	}
	return fmt.Sprintf("[%d]", a.GetIntValue())
}

// fromPart is a part of a struct as a literal: primitives as such, lists as
// lists, and objects as structs. The types of a struct do not outlive JSON, so a
// whole number is a float, as in Flyte; MessagePack keeps integers.
func fromPart(v any) (*core.Literal, error) {
	switch v := v.(type) {
	case nil:
		return scalarLiteral(&core.Scalar{Value: &core.Scalar_NoneType{NoneType: &core.Void{}}}), nil
	case string:
		return primitive(&core.Primitive{Value: &core.Primitive_StringValue{StringValue: v}}), nil
	case bool:
		return primitive(&core.Primitive{Value: &core.Primitive_Boolean{Boolean: v}}), nil
	case float64:
		return primitive(&core.Primitive{Value: &core.Primitive_FloatValue{FloatValue: v}}), nil
	case int64:
		return primitive(&core.Primitive{Value: &core.Primitive_Integer{Integer: v}}), nil
	case uint64:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("%d does not fit an integer", v)
		}
		return primitive(&core.Primitive{Value: &core.Primitive_Integer{Integer: int64(v)}}), nil
	case []any:
		all := make([]*core.Literal, len(v))
		for i, e := range v {
			var err error
			if all[i], err = fromPart(e); err != nil {
				return nil, err
			}
		}
		return collection(all), nil
	case map[string]any:
		s, err := structpb.NewStruct(v)
		if err != nil {
			return nil, err
		}
		return scalarLiteral(&core.Scalar{Value: &core.Scalar_Generic{Generic: s}}), nil
	default:
		return nil, fmt.Errorf("a %T cannot be bound", v)
	}
}

func primitive(p *core.Primitive) *core.Literal {
	return scalarLiteral(&core.Scalar{Value: &core.Scalar_Primitive{Primitive: p}})
}
