package manifest

import (
	"cmp"
	"errors"
	"maps"
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/literal"
)

// A unit is what one document or one package registers, in the order of the fields.
type unit struct {
	Position
	// source places the problems of a document; nil for a package.
	source    *source
	tasks     []*admin.TaskCreateRequest
	workflows []*admin.WorkflowCreateRequest
	plans     []plan
	// uploads are the files whose addresses the messages hold.
	uploads []upload
	// err says why the unit cannot be registered, or could not.
	err error
}

type plan struct {
	*admin.LaunchPlanCreateRequest
	activation  activation
	description string
}

// activation is the state that a launch plan is to be in after it is registered.
type activation int

const (
	leave activation = iota
	activate
	deactivate
)

// A workflowFinder finds the interface of a workflow that a document names
// without defining it. With an empty version it finds the one in the same manifest.
type workflowFinder func(id ident.ID) (ident.ID, *core.TypedInterface, error)

// errNoVersion is a workflowFinder's answer when only a version would help.
var errNoVersion = errors.New("no document here defines it; give the version of a registered one")

// A place is where a manifest was found, and what can be asked from there.
type place struct {
	// dir is the directory that the files of the manifest are relative to.
	dir    string
	lookup workflowFinder
	locate locator
}

// A compiler turns one document into a unit.
type compiler struct {
	*source
	Document
	place
	unit *unit
	// ids are the identifiers that take the document's version once it is known.
	ids []*core.Identifier
}

// defines says that the document defines its workflow rather than only naming it.
func (d *Document) defines() bool {
	return d.Workflow.Nodes != nil || len(d.Workflow.Inputs)+len(d.Workflow.Outputs) > 0
}

// workflowName is the name of the document's workflow.
func (d *Document) workflowName() string { return cmp.Or(d.Workflow.Name, d.LaunchPlan) }

// compile returns what the document registers. The problems are in the unit's err.
func compile(p parsed, at place) *unit {
	c := compiler{source: p.source, Document: p.Document, place: at, unit: &unit{Position: p.source.Position, source: p.source}}
	if len(c.problems) == 0 {
		c.names()
	}
	if len(c.problems) == 0 {
		c.document()
	}
	c.unit.err = problemsError(c.problems)
	return c.unit
}

// names checks what identifies the document's entities.
func (c *compiler) names() {
	if c.workflowName() == "" {
		c.problem("workflow.name", "is missing; a document names a launchPlan, a workflow or both")
		return
	}
	for field, check := range map[string]ident.Key{
		"project":       {Project: c.Project, Domain: "d", Name: "n"},
		"domain":        {Project: "p", Domain: c.Domain, Name: "n"},
		"workflow.name": {Project: "p", Domain: "d", Name: cmp.Or(c.Workflow.Name, "n")},
		"launchPlan":    {Project: "p", Domain: "d", Name: cmp.Or(c.LaunchPlan, "n")},
	} {
		c.invalid(field, check.Validate(""))
	}
	if c.Version != "" {
		c.invalid("version", ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: "n"}, Version: c.Version}.Validate(""))
	}
	if c.LaunchPlan == "" {
		for _, field := range []string{"schedule", "fixedInputs", "defaultInputs", "active", "description", "concurrencyPolicy"} {
			if _, ok := c.at[field]; ok {
				c.problem(field, "belongs to a launch plan; name one with launchPlan")
			}
		}
		if !c.defines() {
			c.problem("workflow.nodes", "is missing; a document without a launchPlan defines a workflow")
		}
	}
	if c.defines() {
		if c.Workflow.Version != "" {
			c.problem("workflow.version", "is for a workflow that is registered already; this one has nodes, and takes the document's version")
		}
		if len(c.Workflow.Nodes) == 0 {
			c.problem("workflow.nodes", "is empty; a workflow has at least one node")
		}
	}
}

func (c *compiler) document() {
	var (
		workflow *core.Identifier
		face     *core.TypedInterface
	)
	if c.defines() {
		workflow = c.identifier(core.ResourceType_WORKFLOW, c.workflowName())
		face = c.workflow(workflow)
	} else {
		id := ident.ID{Key: ident.Key{Project: c.Project, Domain: c.Domain, Name: c.workflowName()}, Version: c.Workflow.Version}
		found, i, err := c.lookup(id)
		if err != nil {
			c.problem("workflow", "%s: %v", id.Name, err)
			return
		}
		workflow, face = &core.Identifier{
			ResourceType: core.ResourceType_WORKFLOW,
			Project:      found.Project, Domain: found.Domain, Name: found.Name, Version: found.Version,
		}, i
	}
	if c.LaunchPlan != "" && face != nil {
		c.launchPlan(workflow, face)
	}
	if len(c.problems) > 0 {
		return
	}
	version := cmp.Or(c.Version, c.unit.hash())
	for _, id := range c.ids {
		id.Version = version
	}
	c.validate(face)
}

// identifier names something that takes the document's version.
func (c *compiler) identifier(kind core.ResourceType, name string) *core.Identifier {
	id := &core.Identifier{ResourceType: kind, Project: c.Project, Domain: c.Domain, Name: name}
	c.ids = append(c.ids, id)
	return id
}

// variables reads the inputs or outputs under key.
func (c *compiler) variables(key string, from map[string]Variable) map[string]*core.Variable {
	to := make(map[string]*core.Variable, len(from))
	for _, name := range slices.Sorted(maps.Keys(from)) {
		t, err := literal.ParseType(from[name].Type)
		if err != nil {
			at := join(key, name)
			if _, ok := c.at[join(at, "type")]; ok {
				at = join(at, "type")
			}
			c.invalid(at, err)
			continue
		}
		to[name] = &core.Variable{Type: t, Description: from[name].Description}
	}
	return to
}

// workflow adds the document's tasks and workflow, and returns the workflow's interface.
func (c *compiler) workflow(id *core.Identifier) *core.TypedInterface {
	const inputs = "workflow.inputs"
	template := &core.WorkflowTemplate{
		Id:       id,
		Metadata: &core.WorkflowMetadata{},
		Interface: &core.TypedInterface{
			Inputs:  &core.VariableMap{Variables: c.variables(inputs, c.Workflow.Inputs)},
			Outputs: &core.VariableMap{Variables: map[string]*core.Variable{}},
		},
		MetadataDefaults: &core.WorkflowMetadataDefaults{},
	}
	if c.Workflow.OnFailure == "fail-after-executable-nodes-complete" {
		template.Metadata.OnFailure = core.WorkflowMetadata_FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
	}
	b := binder{source: c.source, scope: variables{"": template.GetInterface().GetInputs().GetVariables()}}
	for i, n := range c.Workflow.Nodes {
		at := index("workflow.nodes", i)
		if other, ok := c.nodes[n.ID]; ok {
			c.problem(join(at, "id"), "%q is the id of %s already", n.ID, other)
			continue
		}
		c.nodes[n.ID] = at
		b.scope[n.ID] = c.variables(join(at, "outputs"), n.Outputs)
	}
	if len(c.problems) > 0 {
		return nil // What refers to these would only be found wrong again.
	}
	for i := range c.Workflow.Nodes {
		template.Nodes = append(template.Nodes, c.node(i, &b))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Workflow.Outputs)) {
		data, t := b.bind(join("workflow.outputs", name), c.Workflow.Outputs[name].tree)
		template.Outputs = append(template.Outputs, &core.Binding{Var: name, Binding: data})
		template.Interface.Outputs.Variables[name] = &core.Variable{Type: t}
	}
	c.unit.workflows = append(c.unit.workflows, &admin.WorkflowCreateRequest{
		Id: id, Spec: &admin.WorkflowSpec{Template: template},
	})
	return template.GetInterface()
}

// Where a container finds its inputs and leaves its outputs. tminus, which runs
// tasks without containers too, puts its own directories in their place.
const (
	inputPath  = "/var/inputs"
	outputPath = "/var/outputs"
)

// dataEnv tells tasks of these directories, so that the same command works
// wherever it runs; tminus sets the same variables itself.
func dataEnv() []*core.KeyValuePair {
	return []*core.KeyValuePair{{Key: "TMINUS_INPUT_DIR", Value: inputPath}, {Key: "TMINUS_OUTPUT_DIR", Value: outputPath}}
}

// node adds the task of the i-th node and returns the node that runs it.
func (c *compiler) node(i int, b *binder) *core.Node {
	n, at := c.Workflow.Nodes[i], index("workflow.nodes", i)
	id := c.identifier(core.ResourceType_TASK, c.workflowName()+"."+n.ID)
	inputs := map[string]*core.Variable{}
	node := &core.Node{
		Id:       n.ID,
		Metadata: &core.NodeMetadata{Name: n.ID},
		Target:   &core.Node_TaskNode{TaskNode: &core.TaskNode{Reference: &core.TaskNode_ReferenceId{ReferenceId: id}}},
	}
	upstream := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(n.Inputs)) {
		data, t := b.bind(join(join(at, "inputs"), name), n.Inputs[name].tree)
		node.Inputs = append(node.Inputs, &core.Binding{Var: name, Binding: data})
		inputs[name] = &core.Variable{Type: t}
		producers(data, upstream)
	}
	for j, other := range n.After {
		if _, ok := b.scope[other]; !ok || other == "" {
			c.problem(index(join(at, "after"), j), "there is no node %s%s", quote(other), meant(other, slices.Sorted(maps.Keys(b.scope))))
		}
		upstream[other] = true
	}
	node.UpstreamNodeIds = slices.Sorted(maps.Keys(upstream))

	metadata := &core.TaskMetadata{
		Runtime: &core.RuntimeMetadata{Flavor: "tminus"},
		Retries: &core.RetryStrategy{Retries: uint32(n.Retries)}, //nolint:gosec // The decoder keeps it between 0 and 2³¹.
	}
	if n.Timeout != "" {
		d, err := time.ParseDuration(n.Timeout)
		if err != nil || d <= 0 {
			c.problem(join(at, "timeout"), "%s: use a duration such as 90s, 30m or 24h", quote(n.Timeout))
		}
		metadata.Timeout = durationpb.New(d)
	}
	if len(n.Command) == 0 {
		c.problem(join(at, "command"), "is empty; name a program")
	}
	command := make([]string, len(n.Command))
	for j, argument := range n.Command {
		command[j] = c.fill(index(join(at, "command"), j), argument, inputs)
	}
	env := dataEnv()
	for _, e := range pairs(n.Env) {
		e.Value = c.fill(join(join(at, "env"), e.GetKey()), e.GetValue(), inputs)
		env = append(env, e)
	}
	c.unit.tasks = append(c.unit.tasks, &admin.TaskCreateRequest{Id: id, Spec: &admin.TaskSpec{Template: &core.TaskTemplate{
		Id:       id,
		Type:     "raw-container",
		Metadata: metadata,
		Interface: &core.TypedInterface{
			Inputs:  &core.VariableMap{Variables: inputs},
			Outputs: &core.VariableMap{Variables: b.scope[n.ID]},
		},
		Target: &core.TaskTemplate_Container{Container: &core.Container{
			Image:   n.Image,
			Command: command,
			Env:     env,
			DataConfig: &core.DataLoadingConfig{
				Enabled: true, InputPath: inputPath, OutputPath: outputPath, Format: core.DataLoadingConfig_JSON,
			},
		}},
	}}})
	return node
}

// inputPlaceholder is the template variable of an input, as Flyte's plugins read it.
var inputPlaceholder = regexp.MustCompile(`(?i)\{\{\s*[.$]inputs\.([^}\s]+)\s*\}\}`)

// fill puts the path of each input that is a file or directory in the place of
// its variable, for which Flyte would put in the address that the file was
// copied from. It reports variables that name no input of the node.
func (c *compiler) fill(key, text string, inputs map[string]*core.Variable) string {
	return inputPlaceholder.ReplaceAllStringFunc(text, func(match string) string {
		name := inputPlaceholder.FindStringSubmatch(match)[1]
		input, ok := inputs[name]
		if !ok {
			c.problem(key, "%s is no input of the node%s", match, meant(name, slices.Sorted(maps.Keys(inputs))))
		}
		if input.GetType().GetBlob() != nil {
			return inputPath + "/" + name
		}
		return match
	})
}

// producers adds the nodes whose outputs data uses.
func producers(data *core.BindingData, to map[string]bool) {
	if node := data.GetPromise().GetNodeId(); node != "" {
		to[node] = true
	}
	for _, item := range data.GetCollection().GetBindings() {
		producers(item, to)
	}
	for _, item := range data.GetMap().GetBindings() {
		producers(item, to)
	}
}

func pairs(m map[string]string) []*core.KeyValuePair {
	var list []*core.KeyValuePair
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, &core.KeyValuePair{Key: key, Value: m[key]})
	}
	return list
}
