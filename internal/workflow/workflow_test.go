package workflow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
)

func TestCompile(t *testing.T) {
	r := standard(t)
	sent := spec(
		template("main",
			&core.TypedInterface{Inputs: variables(t, "n", "integer"), Outputs: variables(t, "out", "integer", "echo", "integer")},
			[]*core.Binding{bind("out", promise("second", "sum")), bind("echo", promise("", "n"))},
			run("first", "add", bind("a", promise("", "n")), bind("b", number(1))),
			hold("second", "sub", bind("x", promise("first", "sum"))),
			after(run("last", "noop"), "second"),
			run("alone", "noop"),
		),
		template("sub",
			&core.TypedInterface{Inputs: variables(t, "x", "integer"), Outputs: variables(t, "sum", "integer")},
			[]*core.Binding{bind("sum", promise("n0", "sum"))},
			run("n0", "add", bind("a", promise("start-node", "x")), bind("b", promise("start-node", "x"))),
		),
		template("unused", nil, nil, run("n0", "join")),
	)
	untouched := proto.CloneOf(sent)
	c, err := Compile(id("main"), sent, r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(untouched, sent, protocmp.Transform()); diff != "" {
		t.Errorf("the client's message was changed:\n%s", diff)
	}

	var nodes []string
	for _, n := range c.GetPrimary().GetTemplate().GetNodes() {
		nodes = append(nodes, n.GetId())
	}
	if want := []string{"start-node", "end-node", "first", "second", "last", "alone"}; !slices.Equal(nodes, want) {
		t.Errorf("nodes are %v, want %v", nodes, want)
	}
	if diff := cmp.Diff(connections(c.GetPrimary().GetConnections().GetUpstream()), map[string][]string{
		"first": {"start-node"}, "second": {"first"}, "last": {"second"}, "alone": {"start-node"},
		"end-node": {"alone", "last", "second", "start-node"},
	}); diff != "" {
		t.Errorf("upstream:\n%s", diff)
	}
	if diff := cmp.Diff(connections(c.GetPrimary().GetConnections().GetDownstream()), map[string][]string{
		"start-node": {"alone", "end-node", "first"}, "first": {"second"}, "second": {"end-node", "last"},
		"last": {"end-node"}, "alone": {"end-node"},
	}); diff != "" {
		t.Errorf("downstream:\n%s", diff)
	}
	if diff := cmp.Diff(Upstream(c.GetPrimary()), map[string][]string{
		"first": {}, "second": {"first"}, "last": {"second"}, "alone": {},
	}); diff != "" {
		t.Errorf("Upstream:\n%s", diff)
	}
	end := c.GetPrimary().GetTemplate().GetNodes()[1]
	if got := end.GetInputs()[1].GetBinding().GetPromise().GetNodeId(); got != StartNode {
		t.Errorf("an input that is an output comes from %q", got)
	}
	if names := taskNames(c); !slices.Equal(names, []string{"add", "noop"}) {
		t.Errorf("tasks are %v", names)
	}
	if n := len(c.GetSubWorkflows()); n != 1 || ID(c.GetSubWorkflows()[0].GetTemplate().GetId()) != id("sub") {
		t.Errorf("%d sub-workflows, want sub alone", n)
	}
}

func connections(m map[string]*core.ConnectionSet_IdList) map[string][]string {
	out := map[string][]string{}
	for id, list := range m {
		out[id] = list.GetIds()
	}
	return out
}

func taskNames(c *core.CompiledWorkflowClosure) []string {
	var names []string
	for _, t := range c.GetTasks() {
		names = append(names, t.GetTemplate().GetId().GetName())
	}
	return names
}

// A compiled workflow compiles to itself, and a registered one serves as sub-workflow.
func TestCompiledWorkflowsCompileAgain(t *testing.T) {
	r := standard(t)
	i := &core.TypedInterface{Inputs: variables(t, "x", "integer"), Outputs: variables(t, "y", "integer")}
	inner, err := Compile(id("inner"), spec(template("inner", i,
		[]*core.Binding{bind("y", promise("n0", "sum"))},
		run("n0", "add", bind("a", promise("", "x")), bind("b", number(2))))), r)
	if err != nil {
		t.Fatal(err)
	}
	r.workflows[id("inner")] = inner
	outer, err := Compile(id("outer"), spec(template("outer", i,
		[]*core.Binding{bind("y", promise("n0", "y"))},
		hold("n0", "inner", bind("x", promise("", "x"))))), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(outer.GetSubWorkflows()) != 1 || !slices.Equal(taskNames(outer), []string{"add"}) {
		t.Errorf("the closure holds %d sub-workflows and the tasks %v", len(outer.GetSubWorkflows()), taskNames(outer))
	}
	if diff := cmp.Diff(inner.GetPrimary(), outer.GetSubWorkflows()[0], protocmp.Transform()); diff != "" {
		t.Errorf("the sub-workflow differs from the registered one:\n%s", diff)
	}
	again, err := Compile(id("outer"), spec(outer.GetPrimary().GetTemplate()), r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outer, again, protocmp.Transform()); diff != "" {
		t.Errorf("compiled again, it differs:\n%s", diff)
	}
	bare := proto.CloneOf(outer.GetPrimary().GetTemplate())
	bare.Outputs = nil
	if again, err = Compile(id("outer"), spec(bare), r); err != nil || !proto.Equal(outer, again) {
		t.Errorf("outputs that stand only in the end node are lost: %v", err)
	}
}

// What flytekit registers (testdata/register.py) compiles as flyteadmin compiles it.
func TestCompileWhatFlytekitSends(t *testing.T) {
	name := func(n string) ident.ID {
		return ident.ID{Key: ident.Key{Project: "flytesnacks", Domain: "development", Name: n}, Version: "v1"}
	}
	r := registry{tasks: map[ident.ID]*core.CompiledTask{}}
	files, err := filepath.Glob("testdata/tasks/*.txtpb")
	if err != nil || len(files) != 5 {
		t.Fatalf("%d tasks, %v", len(files), err)
	}
	for _, file := range files {
		var task admin.TaskSpec
		read(t, file, &task)
		id := ID(task.GetTemplate().GetId())
		if r.tasks[id], err = CompileTask(id, task.GetTemplate()); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var sent admin.WorkflowSpec
	read(t, "testdata/workflow.txtpb", &sent)
	c, err := Compile(name("register.report"), &sent, r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Upstream(c.GetPrimary()), map[string][]string{
		"n0": {}, "n1": {"n0"}, "n2": {}, "n3": {}, "n4": {"n0", "n2"}, "n5": {"n0", "n3"}, "n6": {"n0"}, "n7": {},
	}); diff != "" {
		t.Errorf("Upstream:\n%s", diff)
	}
	if want := []string{"register.paint", "register.point", "register.split", "register.wait", "shell"}; !slices.Equal(taskNames(c), want) {
		t.Errorf("tasks are %v, want %v", taskNames(c), want)
	}
	delete(r.tasks, name("register.point"))
	_, err = Compile(name("register.report"), &sent, r)
	wantInvalid(t, err, "spec.template.nodes[n3].task_node.reference_id: "+
		"task flytesnacks/development/register.point@v1 is not registered")
}

func read(t *testing.T, file string, m proto.Message) {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := prototext.Unmarshal(b, m); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func wantInvalid(t *testing.T, err error, want string) {
	t.Helper()
	var bad *invalid.Error
	if !errors.As(err, &bad) {
		t.Errorf("got %v, want an *invalid.Error: %s", err, want)
		return
	}
	if got := bad.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCompileRefuses(t *testing.T) {
	ref := func(kind core.ResourceType, name string) *core.Identifier { return Identifier(kind, id(name)) }
	// with makes a workflow with an integer input n and the nodes.
	with := func(nodes ...*core.Node) *admin.WorkflowSpec {
		return spec(template("main", &core.TypedInterface{Inputs: variables(t, "n", "integer")}, nil, nodes...))
	}
	target := func(n *core.Node) *core.Node {
		n.Id = "n0"
		return n
	}
	withNode := func(change func(*core.Node)) *admin.WorkflowSpec {
		n := run("n0", "noop")
		change(n)
		return with(n)
	}
	add := func(a, b *core.BindingData) *core.Node { return run("n0", "add", bind("a", a), bind("b", b)) }
	returning := func(outputs ...*core.Binding) *admin.WorkflowSpec {
		i := &core.TypedInterface{Outputs: variables(t, "out", "integer")}
		return spec(template("main", i, outputs, run("n0", "add", bind("a", number(1)), bind("b", number(2)))))
	}
	words := func(data *core.BindingData) *core.Node { return run("n1", "join", bind("words", data)) }
	sum := run("n0", "add", bind("a", number(1)), bind("b", number(2)))
	deep := number(1)
	for range 100 {
		deep = listOf(deep)
	}
	many := make([]*core.Node, maxNodes+1)
	for i := range many {
		many[i] = run(fmt.Sprint("n", i), "noop")
	}
	// Each level runs the one below ten times: a million nodes out of sixty.
	var levels []*core.WorkflowTemplate
	for level := range 6 {
		var nodes []*core.Node
		for i := range 10 {
			nodes = append(nodes, hold(fmt.Sprint("n", i), fmt.Sprint("level", level+1)))
		}
		levels = append(levels, template(fmt.Sprint("level", level), nil, nil, nodes...))
	}
	levels = append(levels, template("level6", nil, nil, run("n0", "noop")))
	var nest []*core.WorkflowTemplate
	for level := range 40 {
		nest = append(nest, template(fmt.Sprint("level", level), nil, nil, hold("n0", fmt.Sprint("level", level+1))))
	}
	const node = "spec.template.nodes[n0]"

	for _, c := range []struct {
		name string
		spec *admin.WorkflowSpec
		want string
	}{
		{"nothing", nil, "spec.template: is missing"},
		{"no template", &admin.WorkflowSpec{}, "spec.template: is missing"},
		{"no nodes", with(), "spec.template.nodes: a workflow needs at least one node"},
		{"start and end alone", with(&core.Node{Id: StartNode}, &core.Node{Id: EndNode}), "spec.template.nodes: a workflow needs at least one node"},
		{"another name", spec(template("other", nil, nil, run("n0", "noop"))), "spec.template.id: names p/d/other@v1, but the request registers p/d/main@v1"},
		{"the id of a task", spec(&core.WorkflowTemplate{Id: ref(core.ResourceType_TASK, "main")}), "spec.template.id.resource_type: is TASK; it must be WORKFLOW"},
		{"an input without a type", spec(template("main", &core.TypedInterface{Inputs: &core.VariableMap{
			Variables: map[string]*core.Variable{"x": {}},
		}}, nil)), "spec.template.interface.inputs.variables[x].type: no type is given"},
		{"a variable without a name", spec(template("main", &core.TypedInterface{Outputs: variables(t, "", "integer")}, nil)), "spec.template.interface.outputs.variables[]: a variable needs a name"},
		{"a failure node", &admin.WorkflowSpec{Template: &core.WorkflowTemplate{FailureNode: run("f", "noop")}}, "spec.template.failure_node: failure nodes cannot run here yet; remove on_failure"},

		{"a node without an id", with(run("", "noop")), "spec.template.nodes[0].id: is empty"},
		{"a nil node", with(nil), "spec.template.nodes[0].id: is empty"},
		{"a path for an id", with(run("n0", "noop"), run("../x", "noop")), `spec.template.nodes[1].id: "../x": use a letter or digit, then letters, digits, hyphens, underscores and dots`},
		{"a long id", with(run(strings.Repeat("x", 64), "noop")), "spec.template.nodes[0].id: is 64 bytes long; 63 is the most"},
		{"two of an id", with(run("n0", "noop"), run("n0", "noop")), node + ".id: two nodes have this id"},
		{"a start node that works", with(run("start-node", "noop")), "spec.template.nodes[start-node].id: is reserved; give the node another id"},
		{"an end node that works", with(run("end-node", "noop")), "spec.template.nodes[end-node].id: is reserved; give the node another id"},
		{"too many nodes", with(many...), "spec.template.nodes: there are 10001 nodes; 10000 is the most"},
		{"too many nodes in sub-workflows", spec(template("main", nil, nil, hold("n0", "level0")), levels...), "spec.sub_workflows[level1].nodes: with its sub-workflows, the workflow would run more than 100000 nodes"},
		{"too deep sub-workflows", spec(template("main", nil, nil, hold("n0", "level0")), nest...), "spec.sub_workflows[level31]: sub-workflows nest more than 32 levels deep"},

		{"no target", with(&core.Node{Id: "n0"}), node + ": says neither which task nor which workflow to run"},
		{"a branch", with(target(&core.Node{Target: &core.Node_BranchNode{}})), node + ".branch_node: branch nodes cannot run here yet"},
		{"a gate", with(target(&core.Node{Target: &core.Node_GateNode{}})), node + ".gate_node: gate nodes cannot run here yet"},
		{"an array", with(target(&core.Node{Target: &core.Node_ArrayNode{}})), node + ".array_node: array nodes (map tasks) cannot run here yet"},
		{"a launch plan", with(target(&core.Node{Target: &core.Node_WorkflowNode{WorkflowNode: &core.WorkflowNode{
			Reference: &core.WorkflowNode_LaunchplanRef{LaunchplanRef: ref(core.ResourceType_LAUNCH_PLAN, "lp")},
		}}})), node + ".workflow_node.launchplan_ref: nodes that launch a launch plan cannot run here yet; use the workflow itself"},
		{"aliases", withNode(func(n *core.Node) { n.OutputAliases = []*core.Alias{{}} }), node + ".output_aliases: output aliases cannot run here yet"},
		{"no task", with(target(&core.Node{Target: &core.Node_TaskNode{}})), node + ".task_node.reference_id: is missing"},
		{"an unknown task", with(run("n0", "nope")), node + ".task_node.reference_id: task p/d/nope@v1 is not registered"},
		{"a task without a name", with(run("n0", "")), node + ".task_node.reference_id.name: is empty"},
		{"a workflow for a task", with(target(&core.Node{Target: &core.Node_TaskNode{TaskNode: &core.TaskNode{
			Reference: &core.TaskNode_ReferenceId{ReferenceId: ref(core.ResourceType_WORKFLOW, "add")},
		}}})), node + ".task_node.reference_id.resource_type: is WORKFLOW; it must be TASK"},
		{"no sub-workflow", with(target(&core.Node{Target: &core.Node_WorkflowNode{}})), node + ".workflow_node.sub_workflow_ref: is missing"},
		{"an unknown sub-workflow", with(hold("n0", "nope")), node + ".workflow_node.sub_workflow_ref: workflow p/d/nope@v1 is not registered"},
		{"a workflow in itself", with(hold("n0", "main")), node + ".workflow_node.sub_workflow_ref: workflow main would hold itself: main → main"},
		{"a workflow in its sub-workflow", spec(template("main", nil, nil, hold("n0", "x")), template("x", nil, nil, hold("n0", "y")), template("y", nil, nil, hold("n0", "x"))), "spec.sub_workflows[y].nodes[n0].workflow_node.sub_workflow_ref: workflow x would hold itself: x → y → x"},
		{"a sub-workflow twice", spec(template("main", nil, nil, run("n0", "noop")), template("x", nil, nil), template("x", nil, nil)), "spec.sub_workflows[1].id: p/d/x@v1 is defined twice"},
		{"a sub-workflow of the same id", spec(template("main", nil, nil, run("n0", "noop")), template("main", nil, nil)), "spec.sub_workflows[0].id: p/d/main@v1 is defined twice"},
		{"a sub-workflow without an id", spec(template("main", nil, nil, run("n0", "noop")), &core.WorkflowTemplate{}), "spec.sub_workflows[0].id: is missing"},
		{"a mistake in a sub-workflow", spec(template("main", nil, nil, hold("n0", "x")), template("x", nil, nil, run("n0", "add"))), `spec.sub_workflows[x].nodes[n0].inputs[a]: node n0 (task add) needs input "a" (integer), and nothing is bound to it`},
		{"many retries", withNode(func(n *core.Node) { n.Metadata = &core.NodeMetadata{Retries: &core.RetryStrategy{Retries: 101}} }), node + ".metadata.retries: 101 retries; 100 is the most"},

		{"unknown upstream", with(after(run("n0", "noop"), "n00")), node + `.upstream_node_ids[0]: there is no node "n00"; did you mean "n0"?`},
		{"the end node upstream", with(after(run("n0", "noop"), "end-node")), node + `.upstream_node_ids[0]: there is no node "end-node"; did you mean "start-node"?`},
		{"itself upstream", with(after(run("n0", "noop"), "n0")), node + ": nodes wait for each other in a cycle: n0 → n0"},
		{"a cycle", with(after(run("n0", "noop"), "n2"), after(run("n1", "noop"), "n0"), after(run("n2", "noop"), "n1"), after(run("n3", "noop"), "n2")), node + ": nodes wait for each other in a cycle: n0 → n1 → n2 → n0"},
		{"a cycle of bindings", with(add(promise("n0", "sum"), number(1))), node + ": nodes wait for each other in a cycle: n0 → n0"},

		{"an unbound input", with(run("n0", "add", bind("a", number(1)))), node + `.inputs[b]: node n0 (task add) needs input "b" (integer), and nothing is bound to it`},
		{"an unknown input", with(run("n0", "add", bind("aa", number(1)))), node + `.inputs[aa]: node n0 (task add) has no input "aa"; did you mean "a"?`},
		{"an input of nothing", with(run("n0", "noop", bind("a", number(1)))), node + `.inputs[a]: node n0 (task noop) has no input "a"; it has none`},
		{"an input twice", with(run("n0", "add", bind("a", number(1)), bind("a", number(1)))), node + ".inputs[a]: is bound twice"},
		{"an empty binding", with(add(&core.BindingData{}, number(1))), node + ".inputs[a]: is bound to nothing"},
		{"no binding", with(add(nil, number(1))), node + ".inputs[a]: is bound to nothing"},
		{"another type", with(add(text("x"), number(1))), node + ".inputs[a]: want integer, got string"},
		{"an unknown node", with(add(promise("m0", "sum"), number(1))), node + `.inputs[a]: there is no node "m0"; did you mean "n0"?`},
		{"an unknown output", with(sum, run("n1", "add", bind("a", promise("n0", "sun")), bind("b", number(1)))), `spec.template.nodes[n1].inputs[a]: node n0 (task add) has no output "sun"; did you mean "sum"?`},
		{"an unknown workflow input", with(add(promise("", "m"), number(1))), node + `.inputs[a]: the workflow has no input "m"; did you mean "n"?`},
		{"an output of another type", with(sum, words(promise("n0", "sum"))), "spec.template.nodes[n1].inputs[words]: n0.sum: integer cannot be bound to list<string>"},
		{"an integer in a list of strings", with(sum, words(listOf(text("x"), promise("n0", "sum")))), "spec.template.nodes[n1].inputs[words][1]: n0.sum: integer cannot be bound to string"},
		{"a map for a list", with(words(mapOf(nil))), "spec.template.nodes[n1].inputs[words]: want list<string>, got a map"},
		{"a list for an integer", with(add(listOf(), number(1))), node + ".inputs[a]: want integer, got a list"},
		{"an attribute of an integer", with(sum, run("n1", "add", bind("a", promise("n0", "sum", "x")), bind("b", number(1)))), `spec.template.nodes[n1].inputs[a]: n0.sum: integer has no attributes, but "x" is asked for`},
		{"a binding nested too deep", with(words(deep)), "spec.template.nodes[n1].inputs[words][0]: want string, got a list"},
		{"an offloaded value", with(add(&core.BindingData{Value: &core.BindingData_OffloadedMetadata{}}, number(1))), node + ".inputs[a]: an offloaded value cannot be read here; send the value itself"},
		{"an unbound output", returning(), `spec.template.outputs[out]: the workflow needs output "out" (integer), and nothing is bound to it`},
		{"an unknown output of the workflow", returning(bind("o", number(1))), `spec.template.outputs[o]: the workflow has no output "o"; did you mean "out"?`},
		{"an output bound to another type", returning(bind("out", text("x"))), "spec.template.outputs[out]: want integer, got string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Compile(id("main"), c.spec, standard(t))
			wantInvalid(t, err, c.want)
		})
	}
}

// Lists, maps, structs and unions are looked into, wherever their types say what is there.
func TestBindingsOfCompositeTypes(t *testing.T) {
	parse := func(name string) *core.LiteralType { return variables(t, "x", name).GetVariables()["x"].GetType() }
	union := func(variants ...*core.LiteralType) *core.LiteralType {
		return &core.LiteralType{Type: &core.LiteralType_UnionType{UnionType: &core.UnionType{Variants: variants}}}
	}
	dataclass := parse("struct")
	dataclass.Structure = &core.TypeStructure{DataclassType: map[string]*core.LiteralType{"words": parse("list<string>")}}
	optionalInts := union(parse("list<integer>"), parse("none"))
	for _, c := range []struct {
		name string
		have *core.LiteralType // of the workflow's input x
		want *core.LiteralType // of the task's input
		data *core.BindingData
		err  string // behind the field
	}{
		{"an element of a list", parse("list<integer>"), parse("integer"), promise("", "x", 0), ""},
		{"an element by name", parse("list<integer>"), parse("integer"), promise("", "x", "a"), `: start-node.x: a list is indexed by a number from 0, not by "a"`},
		{"an element from behind", parse("list<integer>"), parse("integer"), promise("", "x", -1), ": start-node.x: a list is indexed by a number from 0, not by -1"},
		{"an element of another type", parse("list<integer>"), parse("string"), promise("", "x", 0), ": start-node.x: integer cannot be bound to string"},
		{"an entry of a map of lists", parse("map<list<integer>>"), parse("integer"), promise("", "x", "k", 3), ""},
		{"a dataclass's field", dataclass, parse("list<string>"), promise("", "x", "words"), ""},
		{"a dataclass's field's element", dataclass, parse("integer"), promise("", "x", "words", 0), ": start-node.x: string cannot be bound to integer"},
		{"no dataclass's field", dataclass, parse("string"), promise("", "x", "word"), `: start-node.x: there is no attribute "word"; did you mean "words"?`},
		{"a struct's field", parse("struct"), parse("integer"), promise("", "x", "anything", 1, "goes"), ""},
		{"into an optional", optionalInts, parse("integer"), promise("", "x", 0), ""},
		{"a list for an optional list", parse("integer"), optionalInts, listOf(number(1), promise("", "x")), ""},
		{"a wrong list for an optional list", parse("string"), optionalInts, listOf(number(1), promise("", "x")), "[1]: start-node.x: string cannot be bound to integer"},
		{"a map for an optional list", parse("string"), optionalInts, mapOf(nil), ": want list<integer> | none, got a map that is none of these"},
		{"a list for one of two lists", parse("string"), union(parse("list<integer>"), parse("list<string>")), listOf(promise("", "x")), ""},
		{"a list for none of two lists", parse("float"), union(parse("list<integer>"), parse("list<string>")), listOf(promise("", "x")), ": want list<integer> | list<string>, got a list that is none of these"},
		{"a map of lists", parse("integer"), parse("map<list<integer>>"), mapOf(map[string]*core.BindingData{"k": listOf(promise("", "x"))}), ""},
		{"a wrong map of lists", parse("integer"), parse("map<list<string>>"), mapOf(map[string]*core.BindingData{"k": listOf(promise("", "x"))}), "[k][0]: start-node.x: integer cannot be bound to string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := standard(t)
			task, err := CompileTask(id("take"), &core.TaskTemplate{Type: "x", Interface: &core.TypedInterface{
				Inputs: &core.VariableMap{Variables: map[string]*core.Variable{"in": {Type: c.want}}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			r.tasks[id("take")] = task
			i := &core.TypedInterface{Inputs: &core.VariableMap{Variables: map[string]*core.Variable{"x": {Type: c.have}}}}
			_, err = Compile(id("main"), spec(template("main", i, nil, run("n0", "take", bind("in", c.data)))), r)
			if c.err != "" {
				wantInvalid(t, err, "spec.template.nodes[n0].inputs[in]"+c.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// An optional input need not be bound.
func TestOptionalInputsMayStayUnbound(t *testing.T) {
	r := standard(t)
	i := r.tasks[id("noop")].GetTemplate().GetInterface()
	i.Inputs = variables(t, "maybe", "none")
	if _, err := Compile(id("main"), spec(template("main", nil, nil, run("n0", "noop"))), r); err != nil {
		t.Error(err)
	}
}

var errBroken = errors.New("disk on fire")

type brokenLookup struct{}

func (brokenLookup) Task(ident.ID) (*core.CompiledTask, error) { return nil, errBroken }

func (brokenLookup) Workflow(ident.ID) (*core.CompiledWorkflowClosure, error) { return nil, errBroken }

// A lookup that fails is no mistake of the client's.
func TestCompileReportsAFailedLookup(t *testing.T) {
	for _, n := range []*core.Node{run("n0", "add"), hold("n0", "sub")} {
		_, err := Compile(id("main"), spec(template("main", nil, nil, n)), brokenLookup{})
		var bad *invalid.Error
		if !errors.Is(err, errBroken) || errors.As(err, &bad) {
			t.Errorf("got %v", err)
		}
	}
}
