package workflow

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
)

// graph is one workflow on its way from a template to a compiled workflow.
type graph struct {
	*resolver
	field string
	// template is a copy of what was sent, without start and end node.
	template *core.WorkflowTemplate
	// nodes maps what promises may refer to, StartNode included, to its outputs.
	nodes map[string]producer
	// upstream and downstream are the edges, once from either end.
	upstream, downstream map[string]map[string]bool
	expanded             int
}

// producer is a node with the interface of what it runs.
type producer struct {
	name            string // for errors, such as "node n0 (task etl.load)"
	inputs, outputs *core.VariableMap
}

// graph checks template t and draws its edges.
func (r *resolver) graph(id ident.ID, field string, t *core.WorkflowTemplate) (*graph, error) {
	g := &graph{
		resolver:   r,
		field:      field,
		template:   &core.WorkflowTemplate{},
		nodes:      map[string]producer{},
		upstream:   map[string]map[string]bool{},
		downstream: map[string]map[string]bool{},
	}
	proto.Merge(g.template, t)
	g.template.Id = Identifier(core.ResourceType_WORKFLOW, id)
	if g.template.GetInterface() == nil {
		g.template.Interface = &core.TypedInterface{}
	}
	if err := checkInterface(field+".interface", g.template.GetInterface()); err != nil {
		return nil, err
	}
	if t.GetFailureNode() != nil {
		return nil, invalid.Field(field+".failure_node", "failure nodes cannot run here yet; remove on_failure")
	}
	g.nodes[StartNode] = producer{name: "the workflow", outputs: g.template.GetInterface().GetInputs()}
	for _, step := range []func() error{g.takeNodes, g.resolveTargets, g.connect, g.checkAcyclic} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *graph) nodeField(id string) string { return g.field + ".nodes[" + id + "]" }

// takeNodes checks the nodes' ids and puts start and end node aside.
func (g *graph) takeNodes() error {
	nodes := g.template.GetNodes()
	if len(nodes) > maxNodes {
		return invalid.Field(g.field+".nodes", "there are %d nodes; %d is the most", len(nodes), maxNodes)
	}
	g.template.Nodes = nil
	seen := map[string]bool{}
	for i, n := range nodes {
		id := n.GetId()
		if err := checkNodeID(fmt.Sprintf("%s.nodes[%d].id", g.field, i), id); err != nil {
			return err
		}
		if seen[id] {
			return invalid.Field(g.nodeField(id)+".id", "two nodes have this id")
		}
		seen[id] = true
		if id != StartNode && id != EndNode {
			g.template.Nodes = append(g.template.Nodes, n)
			continue
		}
		if n.GetTarget() != nil {
			return invalid.Field(g.nodeField(id)+".id", "is reserved; give the node another id")
		}
		if id == EndNode && len(g.template.GetOutputs()) == 0 {
			g.template.Outputs = n.GetInputs()
		}
	}
	if len(g.template.GetNodes()) == 0 {
		return invalid.Field(g.field+".nodes", "a workflow needs at least one node")
	}
	return nil
}

// maxNodeID is the longest id of a node, in bytes. Kubernetes takes labels of
// this length, and Flyte puts ids into them.
const maxNodeID = 63

// checkNodeID refuses ids that could not be part of a path or a label.
func checkNodeID(field, id string) error {
	if id == "" {
		return invalid.Field(field, "is empty")
	}
	if len(id) > maxNodeID {
		return invalid.Field(field, "is %d bytes long; %d is the most", len(id), maxNodeID)
	}
	for i, c := range []byte(id) {
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("-_.", rune(c))) {
			return invalid.Field(field, "%q: use a letter or digit, then letters, digits, hyphens, underscores and dots", id)
		}
	}
	return nil
}

// resolveTargets finds what each node runs, and from it the node's interface.
func (g *graph) resolveTargets() error {
	for _, n := range g.template.GetNodes() {
		p, expanded, err := g.target(n)
		if err != nil {
			return err
		}
		g.nodes[n.GetId()] = p
		g.expanded += expanded
		if g.expanded > maxExpanded {
			return invalid.Field(g.field+".nodes", "with its sub-workflows, the workflow would run more than %d nodes", maxExpanded)
		}
	}
	return nil
}

// target is n with its interface, and how many nodes a run of n starts.
func (g *graph) target(n *core.Node) (producer, int, error) {
	field := g.nodeField(n.GetId())
	if err := checkTries(field+".metadata", n.GetMetadata()); err != nil {
		return producer{}, 0, err
	}
	if len(n.GetOutputAliases()) > 0 {
		return producer{}, 0, invalid.Field(field+".output_aliases", "output aliases cannot run here yet")
	}
	switch t := n.GetTarget().(type) {
	case *core.Node_TaskNode:
		task, err := g.task(field+".task_node.reference_id", t.TaskNode.GetReferenceId())
		if err != nil {
			return producer{}, 0, err
		}
		return newProducer(n, "task", task.GetTemplate().GetId(), task.GetTemplate().GetInterface()), 1, nil
	case *core.Node_WorkflowNode:
		if t.WorkflowNode.GetLaunchplanRef() != nil {
			return producer{}, 0, invalid.Field(field+".workflow_node.launchplan_ref",
				"nodes that launch a launch plan cannot run here yet; use the workflow itself")
		}
		sub, err := g.subWorkflow(field+".workflow_node.sub_workflow_ref", t.WorkflowNode.GetSubWorkflowRef())
		if err != nil {
			return producer{}, 0, err
		}
		template := sub.workflow.GetTemplate()
		return newProducer(n, "workflow", template.GetId(), template.GetInterface()), 1 + sub.expanded, nil
	case *core.Node_BranchNode:
		return producer{}, 0, invalid.Field(field+".branch_node", "branch nodes cannot run here yet")
	case *core.Node_GateNode:
		return producer{}, 0, invalid.Field(field+".gate_node", "gate nodes cannot run here yet")
	case *core.Node_ArrayNode:
		return producer{}, 0, invalid.Field(field+".array_node", "array nodes (map tasks) cannot run here yet")
	default:
		return producer{}, 0, invalid.Field(field, "says neither which task nor which workflow to run")
	}
}

func newProducer(n *core.Node, kind string, id *core.Identifier, i *core.TypedInterface) producer {
	return producer{
		name:    fmt.Sprintf("node %s (%s %s)", n.GetId(), kind, id.GetName()),
		inputs:  i.GetInputs(),
		outputs: i.GetOutputs(),
	}
}

// connect checks every binding and draws the edges, those from the start node
// to nodes that wait for nothing and from nodes that nothing waits for to the
// end node among them.
func (g *graph) connect() error {
	for _, n := range g.template.GetNodes() {
		field := g.nodeField(n.GetId())
		for i, up := range n.GetUpstreamNodeIds() {
			up, err := g.upstreamNode(fmt.Sprintf("%s.upstream_node_ids[%d]", field, i), up)
			if err != nil {
				return err
			}
			g.edge(up, n.GetId())
		}
		p := g.nodes[n.GetId()]
		if err := g.bind(n.GetId(), field+".inputs", p.name, "input", n.GetInputs(), p.inputs); err != nil {
			return err
		}
	}
	outputs := g.template.GetInterface().GetOutputs()
	if err := g.bind(EndNode, g.field+".outputs", "the workflow", "output", g.template.GetOutputs(), outputs); err != nil {
		return err
	}
	for _, n := range g.template.GetNodes() {
		if len(g.upstream[n.GetId()]) == 0 {
			g.edge(StartNode, n.GetId())
		}
		if len(g.downstream[n.GetId()]) == 0 {
			g.edge(n.GetId(), EndNode)
		}
	}
	return nil
}

// upstreamNode is the id of the node that a client calls id, which is StartNode
// where it says nothing.
func (g *graph) upstreamNode(field, id string) (string, error) {
	if id == "" {
		id = StartNode
	}
	if _, known := g.nodes[id]; !known {
		return "", invalid.Field(field, "there is no node %q; did you mean %q?", id,
			invalid.Nearest(id, slices.Sorted(maps.Keys(g.nodes))))
	}
	return id, nil
}

func (g *graph) edge(from, to string) {
	if g.upstream[to] == nil {
		g.upstream[to] = map[string]bool{}
	}
	g.upstream[to][from] = true
	if g.downstream[from] == nil {
		g.downstream[from] = map[string]bool{}
	}
	g.downstream[from][to] = true
}

// checkAcyclic takes away, again and again, the nodes that wait for nothing
// left. What cannot be taken away waits for itself.
func (g *graph) checkAcyclic() error {
	waits := map[string]int{}
	for to, from := range g.upstream {
		waits[to] = len(from)
	}
	ready := []string{StartNode}
	for len(ready) > 0 {
		id := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for to := range g.downstream[id] {
			if waits[to]--; waits[to] == 0 {
				ready = append(ready, to)
				delete(waits, to)
			}
		}
	}
	delete(waits, EndNode) // It waits for the cycle but is no part of it.
	if len(waits) == 0 {
		return nil
	}
	cycle := g.cycle(waits)
	return invalid.Field(g.nodeField(cycle[0]), "nodes wait for each other in a cycle: %s", strings.Join(cycle, " → "))
}

// cycle finds one among nodes that all wait for one another: every one of them
// has one of them upstream, so walking upstream must come back.
func (g *graph) cycle(waiting map[string]int) []string {
	var path []string
	seen := map[string]int{}
	at := slices.Min(slices.Collect(maps.Keys(waiting)))
	for {
		if start, again := seen[at]; again {
			path = append(path[start:], at)
			slices.Reverse(path)
			return rotate(path)
		}
		seen[at] = len(path)
		path = append(path, at)
		for _, up := range slices.Sorted(maps.Keys(g.upstream[at])) {
			if _, waits := waiting[up]; waits {
				at = up
				break
			}
		}
	}
}

// rotate begins a closed path at its least node, so that a cycle always reads the same.
func rotate(path []string) []string {
	ring := path[:len(path)-1]
	i := slices.Index(ring, slices.Min(ring))
	return slices.Concat(ring[i:], ring[:i], ring[i:i+1])
}

// compiled is the workflow as clients and the runner read it.
func (g *graph) compiled() *core.CompiledWorkflow {
	g.template.Nodes = slices.Concat(
		[]*core.Node{{Id: StartNode}, {Id: EndNode, Inputs: g.template.GetOutputs()}},
		g.template.GetNodes())
	return &core.CompiledWorkflow{
		Template: g.template,
		Connections: &core.ConnectionSet{
			Upstream:   idLists(g.upstream),
			Downstream: idLists(g.downstream),
		},
	}
}

func idLists(edges map[string]map[string]bool) map[string]*core.ConnectionSet_IdList {
	lists := make(map[string]*core.ConnectionSet_IdList, len(edges))
	for id, others := range edges {
		lists[id] = &core.ConnectionSet_IdList{Ids: slices.Sorted(maps.Keys(others))}
	}
	return lists
}

// Upstream maps each node of c, start and end node apart, to the nodes it waits
// for: sorted, each once, without the start node.
func Upstream(c *core.CompiledWorkflow) map[string][]string {
	upstream := map[string][]string{}
	for _, n := range c.GetTemplate().GetNodes() {
		if n.GetId() == StartNode || n.GetId() == EndNode {
			continue
		}
		ids := slices.Clone(c.GetConnections().GetUpstream()[n.GetId()].GetIds())
		upstream[n.GetId()] = slices.DeleteFunc(ids, func(id string) bool { return id == StartNode })
	}
	return upstream
}

// checkInterface reports the first variable that has no name or no proper type.
func checkInterface(field string, i *core.TypedInterface) error {
	for _, side := range []struct {
		name string
		vars *core.VariableMap
	}{{"inputs", i.GetInputs()}, {"outputs", i.GetOutputs()}} {
		variables := side.vars.GetVariables()
		for _, name := range slices.Sorted(maps.Keys(variables)) {
			at := fmt.Sprintf("%s.%s.variables[%s]", field, side.name, name)
			if name == "" {
				return invalid.Field(at, "a variable needs a name")
			}
			if err := literal.CheckType(variables[name].GetType()); err != nil {
				return invalid.Field(at+".type", "%v", err)
			}
		}
	}
	return nil
}
