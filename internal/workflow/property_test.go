package workflow

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
)

// Any graph whose nodes wait only for earlier ones compiles, whatever the order
// they are sent in, and the edges are those drawn; one edge back is refused.
func TestCompileRandomGraphs(t *testing.T) {
	r := standard(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "nodes")
		name := func(i int) string { return fmt.Sprintf("n%d", i) }
		want := map[string][]string{}
		nodes := make([]*core.Node, n)
		reach := make([]map[int]bool, n) // The oracle: what each node waits for, over any number of steps.
		for i := range nodes {
			nodes[i], want[name(i)], reach[i] = run(name(i), "noop"), []string{}, map[int]bool{}
			for j := range i {
				if rapid.IntRange(0, 3).Draw(t, "edge") == 0 {
					nodes[i].UpstreamNodeIds = append(nodes[i].UpstreamNodeIds, name(j))
					want[name(i)] = append(want[name(i)], name(j))
					reach[i][j] = true
					maps.Copy(reach[i], reach[j])
				}
			}
			slices.Sort(want[name(i)])
		}
		shuffled := slices.Clone(nodes)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)).Shuffle(n, func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		s := spec(template("main", nil, nil, shuffled...))
		c, err := Compile(id("main"), s, r)
		if err != nil {
			t.Fatalf("an acyclic graph is refused: %v", err)
		}
		if diff := cmp.Diff(want, Upstream(c.GetPrimary())); diff != "" {
			t.Fatalf("the edges differ:\n%s", diff)
		}
		if again, err := Compile(id("main"), s, r); err != nil || !proto.Equal(c, again) {
			t.Fatalf("compiled again, it differs: %v", err)
		}

		last := rapid.IntRange(0, n-1).Draw(t, "back from")
		waitsFor := append(slices.Collect(maps.Keys(reach[last])), last)
		slices.Sort(waitsFor)
		first := rapid.SampledFrom(waitsFor).Draw(t, "back to")
		nodes[first].UpstreamNodeIds = append(nodes[first].UpstreamNodeIds, name(last))
		_, err = Compile(id("main"), s, r)
		var bad *invalid.Error
		if !errors.As(err, &bad) || !strings.Contains(bad.Problem, "cycle") {
			t.Fatalf("a cycle from %d back to %d: %v", last, first, err)
		}
		checkCycle(t, bad.Problem, nodes)
	})
}

// checkCycle checks that problem ends with a way around a cycle that exists.
func checkCycle(t *rapid.T, problem string, nodes []*core.Node) {
	_, written, _ := strings.Cut(problem, ": ")
	path := strings.Split(written, " → ")
	if len(path) < 2 || path[0] != path[len(path)-1] {
		t.Fatalf("%q is no way around", written)
	}
	for i, from := range path[:len(path)-1] {
		to := slices.IndexFunc(nodes, func(n *core.Node) bool { return n.GetId() == path[i+1] })
		if to < 0 || !slices.Contains(nodes[to].GetUpstreamNodeIds(), from) {
			t.Fatalf("%q holds the step %s → %s, which is no edge", written, from, path[i+1])
		}
	}
}

// The largest workflow compiles in no time worth speaking of.
func TestCompileLarge(t *testing.T) {
	nodes := make([]*core.Node, maxNodes)
	for i := range nodes {
		nodes[i] = run(fmt.Sprint("n", i), "noop")
		if i > 0 {
			nodes[i].UpstreamNodeIds = []string{fmt.Sprint("n", i-1)}
		}
	}
	start := time.Now()
	if _, err := Compile(id("main"), spec(template("main", nil, nil, nodes...)), standard(t)); err != nil {
		t.Error(err)
	}
	nodes[0].UpstreamNodeIds = []string{fmt.Sprint("n", maxNodes-1)}
	if _, err := Compile(id("main"), spec(template("main", nil, nil, nodes...)), standard(t)); err == nil {
		t.Error("a cycle of 10,000 nodes compiles")
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Unions tried within unions would take 4^15 comparisons.
func TestCompileStopsAtBindingBombs(t *testing.T) {
	typ := variables(t, "x", "string").GetVariables()["x"].GetType()
	data := number(1)
	for range 15 {
		variant := &core.LiteralType{Type: &core.LiteralType_CollectionType{CollectionType: typ}}
		typ = &core.LiteralType{Type: &core.LiteralType_UnionType{UnionType: &core.UnionType{
			Variants: []*core.LiteralType{variant, variant, variant, variant},
		}}}
		data = listOf(data)
	}
	g := &graph{resolver: newResolver(brokenLookup{}), nodes: map[string]producer{}}
	err := g.checkBinding("n0", "inputs[x]", data, typ, 0)
	if err == nil || g.steps < maxBindingSteps || g.steps > maxBindingSteps+100 {
		t.Errorf("%v after %d steps", err, g.steps)
	}
}

func FuzzCompile(f *testing.F) {
	var sent admin.WorkflowSpec
	b, err := os.ReadFile("testdata/workflow.txtpb")
	if err != nil {
		f.Fatal(err)
	}
	if err := prototext.Unmarshal(b, &sent); err != nil {
		f.Fatal(err)
	}
	task := &core.CompiledTask{Template: &core.TaskTemplate{}}
	for _, m := range []proto.Message{
		&sent,
		spec(template("main", nil, nil, run("n0", "add", bind("a", listOf(promise("", "x", "y", 0)))), after(hold("n1", "s"), "n0")),
			template("s", nil, nil, run("n0", "noop"))),
	} {
		wire, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var s admin.WorkflowSpec
		if proto.Unmarshal(wire, &s) != nil {
			return
		}
		c, err := Compile(id("main"), &s, everything{task})
		if err != nil {
			if _, ours := errors.AsType[*invalid.Error](err); !ours {
				t.Errorf("no *invalid.Error: %v", err)
			}
			return
		}
		again, err := Compile(id("main"), spec(c.GetPrimary().GetTemplate(), subTemplates(c)...), everything{task})
		if err != nil || !proto.Equal(c, again) {
			t.Errorf("what compiled does not compile again: %v", err)
		}
	})
}

func subTemplates(c *core.CompiledWorkflowClosure) []*core.WorkflowTemplate {
	var templates []*core.WorkflowTemplate
	for _, s := range c.GetSubWorkflows() {
		templates = append(templates, s.GetTemplate())
	}
	return templates
}

// everything has a task of every name and no workflow.
type everything struct{ task *core.CompiledTask }

func (e everything) Task(id ident.ID) (*core.CompiledTask, error) {
	t := proto.CloneOf(e.task)
	t.Template.Id = Identifier(core.ResourceType_TASK, id)
	return t, nil
}

func (everything) Workflow(id ident.ID) (*core.CompiledWorkflowClosure, error) {
	return registry{}.Workflow(id)
}
