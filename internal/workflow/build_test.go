package workflow

import (
	"fmt"
	"testing"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/store"
)

// registry is a Lookup over what a test has registered.
type registry struct {
	tasks     map[ident.ID]*core.CompiledTask
	workflows map[ident.ID]*core.CompiledWorkflowClosure
}

func (r registry) Task(id ident.ID) (*core.CompiledTask, error) {
	if t, ok := r.tasks[id]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("get task: %w", store.ErrNotFound)
}

func (r registry) Workflow(id ident.ID) (*core.CompiledWorkflowClosure, error) {
	if w, ok := r.workflows[id]; ok {
		return w, nil
	}
	return nil, fmt.Errorf("get workflow: %w", store.ErrNotFound)
}

func id(name string) ident.ID {
	return ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: name}, Version: "v1"}
}

// variables makes a VariableMap from names and types: "a", "integer", "b", "string".
func variables(t *testing.T, namesAndTypes ...string) *core.VariableMap {
	t.Helper()
	m := &core.VariableMap{Variables: map[string]*core.Variable{}}
	for i := 0; i < len(namesAndTypes); i += 2 {
		typ, err := literal.ParseType(namesAndTypes[i+1])
		if err != nil {
			t.Fatal(err)
		}
		m.Variables[namesAndTypes[i]] = &core.Variable{Type: typ}
	}
	return m
}

// standard registers three tasks: noop; add, with integers a and b in and sum
// out; join, with list<string> words in and string text out.
func standard(t *testing.T) registry {
	t.Helper()
	r := registry{tasks: map[ident.ID]*core.CompiledTask{}, workflows: map[ident.ID]*core.CompiledWorkflowClosure{}}
	for name, i := range map[string]*core.TypedInterface{
		"noop": {},
		"add":  {Inputs: variables(t, "a", "integer", "b", "integer"), Outputs: variables(t, "sum", "integer")},
		"join": {Inputs: variables(t, "words", "list<string>"), Outputs: variables(t, "text", "string")},
	} {
		task, err := CompileTask(id(name), &core.TaskTemplate{Type: "raw-container", Interface: i})
		if err != nil {
			t.Fatal(err)
		}
		r.tasks[id(name)] = task
	}
	return r
}

// run is a node that runs a task.
func run(node, task string, inputs ...*core.Binding) *core.Node {
	return &core.Node{Id: node, Inputs: inputs, Target: &core.Node_TaskNode{TaskNode: &core.TaskNode{
		Reference: &core.TaskNode_ReferenceId{ReferenceId: Identifier(core.ResourceType_TASK, id(task))},
	}}}
}

// hold is a node that runs a sub-workflow.
func hold(node, workflow string, inputs ...*core.Binding) *core.Node {
	return &core.Node{Id: node, Inputs: inputs, Target: &core.Node_WorkflowNode{WorkflowNode: &core.WorkflowNode{
		Reference: &core.WorkflowNode_SubWorkflowRef{SubWorkflowRef: Identifier(core.ResourceType_WORKFLOW, id(workflow))},
	}}}
}

func after(n *core.Node, upstream ...string) *core.Node {
	n.UpstreamNodeIds = upstream
	return n
}

func bind(variable string, data *core.BindingData) *core.Binding {
	return &core.Binding{Var: variable, Binding: data}
}

func number(n int64) *core.BindingData {
	return scalar(&core.Scalar{Value: &core.Scalar_Primitive{Primitive: &core.Primitive{
		Value: &core.Primitive_Integer{Integer: n},
	}}})
}

func text(s string) *core.BindingData {
	return scalar(&core.Scalar{Value: &core.Scalar_Primitive{Primitive: &core.Primitive{
		Value: &core.Primitive_StringValue{StringValue: s},
	}}})
}

func scalar(s *core.Scalar) *core.BindingData {
	return &core.BindingData{Value: &core.BindingData_Scalar{Scalar: s}}
}

// promise binds to an output of a node; path holds strings and ints.
func promise(node, variable string, path ...any) *core.BindingData {
	ref := &core.OutputReference{NodeId: node, Var: variable}
	for _, step := range path {
		a := &core.PromiseAttribute{}
		switch step := step.(type) {
		case string:
			a.Value = &core.PromiseAttribute_StringValue{StringValue: step}
		case int:
			a.Value = &core.PromiseAttribute_IntValue{IntValue: int32(step)}
		}
		ref.AttrPath = append(ref.AttrPath, a)
	}
	return &core.BindingData{Value: &core.BindingData_Promise{Promise: ref}}
}

func listOf(elements ...*core.BindingData) *core.BindingData {
	return &core.BindingData{Value: &core.BindingData_Collection{Collection: &core.BindingDataCollection{Bindings: elements}}}
}

func mapOf(entries map[string]*core.BindingData) *core.BindingData {
	return &core.BindingData{Value: &core.BindingData_Map{Map: &core.BindingDataMap{Bindings: entries}}}
}

func template(name string, i *core.TypedInterface, outputs []*core.Binding, nodes ...*core.Node) *core.WorkflowTemplate {
	return &core.WorkflowTemplate{
		Id: Identifier(core.ResourceType_WORKFLOW, id(name)), Interface: i, Outputs: outputs, Nodes: nodes,
	}
}

func spec(t *core.WorkflowTemplate, subs ...*core.WorkflowTemplate) *admin.WorkflowSpec {
	return &admin.WorkflowSpec{Template: t, SubWorkflows: subs}
}
