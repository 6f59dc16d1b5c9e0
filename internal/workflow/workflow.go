// Package workflow compiles what clients register: it holds tasks and workflows
// against Flyte's rules, resolves what workflows refer to, and makes of them the
// closures that clients read back and that executions run from. It has no clock
// and does no I/O; what is registered already it asks a [Lookup] for.
//
// What is wrong with a client's message is an *invalid.Error whose Field begins
// at the create request: "spec.template.nodes[n0].inputs[x]".
package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// The nodes that stand for a workflow's inputs and outputs. Clients leave them
// out; compiled workflows hold both.
const (
	StartNode = "start-node"
	EndNode   = "end-node"
)

// TaskNode is the one node of an execution of a task alone.
const TaskNode = "n0"

// Bounds far beyond what people write by hand. They keep one request from
// occupying the server, and one execution from starting without end.
const (
	maxNodes    = 10_000  // in one workflow
	maxExpanded = 100_000 // with every sub-workflow counted as often as it runs
	maxNesting  = 32      // of sub-workflows
)

// Lookup finds what is registered. An error that is store.ErrNotFound says that
// nothing is registered under the id.
type Lookup interface {
	Task(id ident.ID) (*core.CompiledTask, error)
	Workflow(id ident.ID) (*core.CompiledWorkflowClosure, error)
}

// ID is what id names.
func ID(id *core.Identifier) ident.ID {
	return ident.ID{
		Key:     ident.Key{Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName()},
		Version: id.GetVersion(),
	}
}

// Identifier is id as it stands in Flyte's messages.
func Identifier(kind core.ResourceType, id ident.ID) *core.Identifier {
	return &core.Identifier{
		ResourceType: kind, Project: id.Project, Domain: id.Domain, Name: id.Name, Version: id.Version,
	}
}

// Compile holds the workflow that spec describes against Flyte's rules and
// resolves its references, sub-workflows first among those in spec and then
// among the registered ones. The closure holds each sub-workflow and task that
// is reached once, sorted by name; the same spec always gives an equal closure.
//
// Branch, gate and array nodes, references to launch plans, failure nodes and
// output aliases are refused: nothing here runs them yet.
//
// An error that is no *invalid.Error is lookup's own.
func Compile(id ident.ID, spec *admin.WorkflowSpec, lookup Lookup) (*core.CompiledWorkflowClosure, error) {
	if err := id.Validate("id."); err != nil {
		return nil, err
	}
	if spec.GetTemplate() == nil {
		return nil, invalid.Field("spec.template", "is missing")
	}
	if err := checkOwnID("spec.template.id", core.ResourceType_WORKFLOW, id, spec.GetTemplate().GetId()); err != nil {
		return nil, err
	}
	r := newResolver(lookup)
	if err := r.addSubWorkflows(id, spec.GetSubWorkflows()); err != nil {
		return nil, err
	}
	primary, err := r.compile(id, "spec.template", spec.GetTemplate())
	if err != nil {
		return nil, err
	}
	return r.closure(primary), nil
}

// checkOwnID reports why an id inside a template contradicts the id under which
// the template is registered. An absent one follows the request's.
func checkOwnID(field string, kind core.ResourceType, id ident.ID, own *core.Identifier) error {
	if proto.Size(own) == 0 {
		return nil
	}
	if own.GetResourceType() != kind && own.GetResourceType() != core.ResourceType_UNSPECIFIED {
		return invalid.Field(field+".resource_type", "is %s; it must be %s", own.GetResourceType(), kind)
	}
	if ID(own) != id {
		return invalid.Field(field, "names %s, but the request registers %s", ID(own), id)
	}
	return nil
}

// checkReference reports why ref cannot name a registered entity of that kind.
func checkReference(field string, kind core.ResourceType, ref *core.Identifier) error {
	if ref == nil {
		return invalid.Field(field, "is missing")
	}
	if ref.GetResourceType() != kind && ref.GetResourceType() != core.ResourceType_UNSPECIFIED {
		return invalid.Field(field+".resource_type", "is %s; it must be %s", ref.GetResourceType(), kind)
	}
	return ID(ref).Validate(field + ".")
}

// compiled is a workflow and the number of nodes that one run of it starts.
type compiled struct {
	workflow *core.CompiledWorkflow
	expanded int
}

// templateAt is a template and where in the request it stands.
type templateAt struct {
	field    string
	template *core.WorkflowTemplate
}

// resolver compiles workflows and remembers what it has met.
type resolver struct {
	lookup    Lookup
	templates map[ident.ID]templateAt
	done      map[ident.ID]compiled
	tasks     map[ident.ID]*core.CompiledTask
	// open are the workflows that are being compiled, outermost first.
	open  []ident.ID
	steps int // taken in checking bindings
}

func newResolver(lookup Lookup) *resolver {
	return &resolver{
		lookup:    lookup,
		templates: map[ident.ID]templateAt{},
		done:      map[ident.ID]compiled{},
		tasks:     map[ident.ID]*core.CompiledTask{},
	}
}

// addSubWorkflows takes the templates that were sent with workflow id.
func (r *resolver) addSubWorkflows(id ident.ID, templates []*core.WorkflowTemplate) error {
	for i, t := range templates {
		field := fmt.Sprintf("spec.sub_workflows[%d]", i)
		if err := checkReference(field+".id", core.ResourceType_WORKFLOW, t.GetId()); err != nil {
			return err
		}
		sub := ID(t.GetId())
		if _, twice := r.templates[sub]; twice || sub == id {
			return invalid.Field(field+".id", "%s is defined twice", sub)
		}
		r.templates[sub] = templateAt{field: "spec.sub_workflows[" + sub.Name + "]", template: t}
	}
	return nil
}

// compile compiles the template t of workflow id and the workflows it holds.
func (r *resolver) compile(id ident.ID, field string, t *core.WorkflowTemplate) (compiled, error) {
	if len(r.open) >= maxNesting {
		return compiled{}, invalid.Field(field, "sub-workflows nest more than %d levels deep", maxNesting)
	}
	r.open = append(r.open, id)
	defer func() { r.open = r.open[:len(r.open)-1] }()

	g, err := r.graph(id, field, t)
	if err != nil {
		return compiled{}, err
	}
	c := compiled{workflow: g.compiled(), expanded: g.expanded}
	r.done[id] = c
	return c, nil
}

// subWorkflow is the sub-workflow that ref, found at field, names.
func (r *resolver) subWorkflow(field string, ref *core.Identifier) (compiled, error) {
	if err := checkReference(field, core.ResourceType_WORKFLOW, ref); err != nil {
		return compiled{}, err
	}
	id := ID(ref)
	if i := slices.Index(r.open, id); i >= 0 {
		return compiled{}, invalid.Field(field, "workflow %s would hold itself: %s", id.Name, chain(slices.Concat(r.open[i:], []ident.ID{id})))
	}
	if c, done := r.done[id]; done {
		return c, nil
	}
	if _, known := r.templates[id]; !known {
		if err := r.fetchWorkflow(field, id); err != nil {
			return compiled{}, err
		}
	}
	at := r.templates[id]
	return r.compile(id, at.field, at.template)
}

// fetchWorkflow looks up a registered workflow and takes over its templates.
func (r *resolver) fetchWorkflow(field string, id ident.ID) error {
	closure, err := r.lookup.Workflow(id)
	if err != nil {
		return lookupError(field, "workflow", id, err)
	}
	for _, w := range append(slices.Clone(closure.GetSubWorkflows()), closure.GetPrimary()) {
		sub := ID(w.GetTemplate().GetId())
		if _, known := r.templates[sub]; !known {
			r.templates[sub] = templateAt{field: field, template: w.GetTemplate()}
		}
	}
	if _, found := r.templates[id]; !found {
		return fmt.Errorf("look up workflow %s: the closure is that of another workflow", id)
	}
	for _, t := range closure.GetTasks() {
		if _, known := r.tasks[ID(t.GetTemplate().GetId())]; !known {
			r.tasks[ID(t.GetTemplate().GetId())] = t
		}
	}
	return nil
}

// task is the registered task that ref, found at field, names.
func (r *resolver) task(field string, ref *core.Identifier) (*core.CompiledTask, error) {
	if err := checkReference(field, core.ResourceType_TASK, ref); err != nil {
		return nil, err
	}
	id := ID(ref)
	if t, known := r.tasks[id]; known {
		return t, nil
	}
	t, err := r.lookup.Task(id)
	if err != nil {
		return nil, lookupError(field, "task", id, err)
	}
	r.tasks[id] = t
	return t, nil
}

// closure holds primary and everything that was compiled on the way to it.
func (r *resolver) closure(primary compiled) *core.CompiledWorkflowClosure {
	c := &core.CompiledWorkflowClosure{Primary: primary.workflow}
	used := map[ident.ID]bool{}
	collect := func(w *core.CompiledWorkflow) {
		for _, n := range w.GetTemplate().GetNodes() {
			if ref := n.GetTaskNode().GetReferenceId(); ref != nil {
				used[ID(ref)] = true
			}
		}
	}
	collect(primary.workflow)
	for _, id := range sortedIDs(r.done) {
		if w := r.done[id].workflow; w != primary.workflow {
			c.SubWorkflows = append(c.SubWorkflows, w)
			collect(w)
		}
	}
	for _, id := range sortedIDs(r.tasks) {
		if used[id] {
			c.Tasks = append(c.Tasks, r.tasks[id])
		}
	}
	return c
}

func sortedIDs[V any](m map[ident.ID]V) []ident.ID {
	ids := make([]ident.ID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ident.ID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}

// chain writes workflows in the order in which each holds the next.
func chain(ids []ident.ID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.Name
	}
	return strings.Join(names, " → ")
}

// lookupError tells a client's reference to nothing from a failed lookup.
func lookupError(field, kind string, id ident.ID, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return invalid.Field(field, "%s %s is not registered", kind, id)
	}
	return fmt.Errorf("look up %s %s: %w", kind, id, err)
}
