package runner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

func TestWorkflowPassesOutputsToInputs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(
		shell("double", "x integer", "y integer", `echo $(({{.inputs.x}} * 2)) > /var/outputs/y`),
		shell("add", "a integer, b integer", "sum integer", `echo $(($(cat /var/inputs/a) + $(cat /var/inputs/b))) > /var/outputs/sum`),
		flow("diamond", "x integer", "sum integer", []*core.Node{
			call("join", "add", "a=left.y", "b=right.y"),
			call("left", "double", "x=.x"),
			call("right", "double", "x=left.y"),
		}, "sum=join.sum"),
	)
	w.queue("e1", "diamond", values(vars("x integer"), map[string]any{"x": 3}))
	e := w.run(runner.Config{}).await("e1", store.Succeeded)

	if diff := cmp.Diff(map[string]any{"sum": int64(18)}, outputsOf(e.Outputs)); diff != "" {
		t.Error(diff)
	}
	want := map[string]store.Phase{"left": store.Succeeded, "right": store.Succeeded, "join": store.Succeeded}
	if diff := cmp.Diff(want, w.nodes("e1")); diff != "" {
		t.Error(diff)
	}
	n, err := w.db.Node(t.Context(), key("e1"), "join")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"a": int64(6), "b": int64(12)}, outputsOf(n.Inputs)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"0 SUCCEEDED"}, w.attempts("e1", "join")); diff != "" {
		t.Error(diff)
	}
}

// Each of two nodes waits for the other to have started, so they pass only side by side.
func TestIndependentNodesRunInParallel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := newPipe(t), newPipe(t)
	meet := func(name, mine, theirs string) *core.TaskTemplate {
		return shell(name, "", "", `exec 3<>`+theirs+`; echo here >&3; read line <> `+mine+`; test "$line" = here`)
	}
	w.register(
		meet("first", a.path, b.path), meet("second", b.path, a.path),
		flow("both", "", "", []*core.Node{call("n0", "first"), call("n1", "second")}),
	)
	w.queue("e1", "both", nil)
	w.run(runner.Config{Parallel: 2}).await("e1", store.Succeeded)
}

// Tasks that run side by side would find each other's lock.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg  runner.Config
		spec *admin.ExecutionSpec
	}{
		"of the runner":    {runner.Config{Parallel: 1}, nil},
		"of the execution": {runner.Config{Parallel: 8}, &admin.ExecutionSpec{MaxParallelism: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			lock := t.TempDir() + "/lock"
			w.register(
				shell("exclusive", "", "", `mkdir `+lock+`; sleep 0.02; rmdir `+lock),
				flow("wide", "", "", []*core.Node{
					call("n0", "exclusive"), call("n1", "exclusive"), call("n2", "exclusive"), call("n3", "exclusive"),
				}),
			)
			w.queue("e1", "wide", nil, spec(test.spec))
			w.run(test.cfg).await("e1", store.Succeeded)
		})
	}
}

func TestSubWorkflows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(
		shell("add1", "x integer", "y integer", `echo $(({{.inputs.x}} + 1)) > /var/outputs/y`),
		flow("inner", "x integer", "y integer", []*core.Node{call("a", "add1", "x=.x"), call("b", "add1", "x=a.y")}, "y=b.y"),
		flow("middle", "x integer", "y integer", []*core.Node{sub("in", "inner", "x=.x"), call("c", "add1", "x=in.y")}, "y=c.y"),
		flow("outer", "x integer", "y integer, x integer", []*core.Node{
			sub("m1", "middle", "x=.x"), sub("m2", "middle", "x=m1.y"),
		}, "y=m2.y", "x=.x"),
	)
	w.queue("e1", "outer", values(vars("x integer"), map[string]any{"x": 0}))
	e := w.run(runner.Config{}).await("e1", store.Succeeded)
	if diff := cmp.Diff(map[string]any{"y": int64(6), "x": int64(0)}, outputsOf(e.Outputs)); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"m1", "m1-0-c", "m1-0-in", "m1-0-in-0-a", "m1-0-in-0-b",
		"m2", "m2-0-c", "m2-0-in", "m2-0-in-0-a", "m2-0-in-0-b",
	}
	if diff := cmp.Diff(want, sortedKeys(w.nodes("e1"))); diff != "" {
		t.Error(diff)
	}
	n, err := w.db.Node(t.Context(), key("e1"), "m2-0-in-0-b")
	if err != nil || n.Parent != "m2-0-in" || n.SpecNode != "b" || n.IsGroup {
		t.Errorf("%+v %v", n, err)
	}
	n, err = w.db.Node(t.Context(), key("e1"), "m2-0-in")
	if err != nil || n.Parent != "m2" || !n.IsGroup || n.Phase != store.Succeeded {
		t.Errorf("%+v %v", n, err)
	}
}

func TestSingleTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("greet", "name string", "greeting string", `printf 'hello %s' "{{.inputs.name}}" > /var/outputs/greeting`))
	w.queue("e1", "greet", values(vars("name string"), map[string]any{"name": "Ada"}), alone)
	e := w.run(runner.Config{}).await("e1", store.Succeeded)
	if diff := cmp.Diff(map[string]any{"greeting": "hello Ada"}, outputsOf(e.Outputs)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]store.Phase{"n0": store.Succeeded}, w.nodes("e1")); diff != "" {
		t.Error(diff)
	}
}

func TestOnFailure(t *testing.T) {
	t.Parallel()
	steps := func(p *pipe) []any {
		return []any{
			shell("fail", "", "", `echo "no such city" >&2; exit 3`),
			// It holds the pipe until the sibling that fails ends it.
			shell("hang", "", "", `exec 3>`+p.path+`; echo up >&3; sleep 300 & wait`),
			shell("read", "", "", `read line < `+p.path+`; exit 3`),
			shell("work", "", "", `:`),
		}
	}
	t.Run("FAIL_IMMEDIATELY aborts the others", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(steps(p)...)
		w.register(flow("f", "", "", []*core.Node{
			call("hangs", "hang"), call("fails", "read"), after(call("never", "work"), "fails"), after(call("neither", "work"), "hangs"),
		}))
		w.queue("e1", "f", nil)
		e := w.run(runner.Config{Parallel: 2}).await("e1", store.Failed)
		if diff := cmp.Diff("NonZeroExit: node fails: exit status 3", errorOf(e.Error)); diff != "" {
			t.Error(diff)
		}
		want := map[string]store.Phase{"hangs": store.Aborted, "fails": store.Failed}
		if diff := cmp.Diff(want, w.nodes("e1")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"0 ABORTED another node failed"}, w.attempts("e1", "hangs")); diff != "" {
			t.Error(diff)
		}
		p.closed()
	})
	t.Run("FAIL_AFTER_EXECUTABLE_NODES_COMPLETE runs what it can", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(steps(p)...)
		f := flow("f", "", "", []*core.Node{
			call("fails", "fail"), after(call("never", "work"), "fails"), call("one", "work"), after(call("two", "work"), "one"),
		})
		f.Metadata.OnFailure = core.WorkflowMetadata_FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
		w.register(f)
		w.queue("e1", "f", nil)
		e := w.run(runner.Config{Parallel: 1}).await("e1", store.Failed)
		if diff := cmp.Diff("NonZeroExit: node fails: exit status 3: no such city", errorOf(e.Error)); diff != "" {
			t.Error(diff)
		}
		want := map[string]store.Phase{"fails": store.Failed, "one": store.Succeeded, "two": store.Succeeded}
		if diff := cmp.Diff(want, w.nodes("e1")); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("in a sub-workflow", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(steps(p)...)
		w.register(
			flow("inner", "", "", []*core.Node{call("fails", "fail")}),
			flow("f", "", "", []*core.Node{sub("n0", "inner")}),
		)
		w.queue("e1", "f", nil)
		e := w.run(runner.Config{}).await("e1", store.Failed)
		if diff := cmp.Diff("NonZeroExit: node n0-0-fails: exit status 3: no such city", errorOf(e.Error)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]store.Phase{"n0": store.Failed, "n0-0-fails": store.Failed}, w.nodes("e1")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSubWorkflowTimeout(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPipe(t)
	slow := sub("n0", "inner")
	slow.Metadata.Timeout = durationpb.New(100 * time.Millisecond)
	w.register(
		retries(5, shell("hang", "", "", `exec 3>`+p.path+`; echo up >&3; sleep 300`)),
		flow("inner", "", "", []*core.Node{call("hangs", "hang")}),
		flow("f", "", "", []*core.Node{slow}),
	)
	w.queue("e1", "f", nil)
	e := w.run(runner.Config{}).await("e1", store.TimedOut)
	want := "TimeoutExpired: node n0: the sub-workflow ran longer than its timeout of 100ms"
	if diff := cmp.Diff(want, errorOf(e.Error)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]store.Phase{"n0": store.TimedOut, "n0-0-hangs": store.Aborted}, w.nodes("e1")); diff != "" {
		t.Error(diff)
	}
	p.closed()
}

func TestManyExecutions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("work", "", "", `:`), flow("f", "", "", []*core.Node{call("n0", "work")}))
	const many = 30
	for i := range many {
		w.queue("e"+string(rune('a'+i%26))+string(rune('a'+i/26)), "f", nil)
	}
	l := w.run(runner.Config{Executions: 4, Parallel: 2})
	for range many {
		if e := l.next(); e.Phase != store.Succeeded {
			t.Errorf("%s: %s", e.Name, errorOf(e.Error))
		}
	}
}

// There are more nodes than are taken up at once.
func TestWideWorkflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var nodes []*core.Node
	for i := range 70 {
		nodes = append(nodes, call(fmt.Sprintf("n%d", i), "t"))
	}
	w.register(command("true"), flow("f", "", "", nodes))
	w.queue("e1", "f", nil)
	w.run(runner.Config{Parallel: 2}).await("e1", store.Succeeded)
	if got := w.nodes("e1"); len(got) != len(nodes) {
		t.Errorf("%d of %d nodes ran", len(got), len(nodes))
	}
}

// What is recorded of an execution may be anything; it fails that execution alone.
func TestPoison(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("work", "", "", `:`), flow("good", "", "", []*core.Node{call("n0", "work")}))
	for name, closure := range map[string][]byte{"undecodable": []byte("\xff\xff\xff"), "empty": nil} {
		d := store.Definition{ID: id(name), Kind: store.Workflow, Closure: closure, CreatedAt: time.Now()}
		if err := w.db.CreateDefinition(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	node := func(n *core.Node) []byte {
		t := flow("poison", "", "", []*core.Node{n, call("n1", "absent")})
		edges := map[string]*core.ConnectionSet_IdList{"n0": {Ids: []string{"n1"}}, "n1": {Ids: []string{"n0"}}}
		c := &core.CompiledWorkflow{Template: t, Connections: &core.ConnectionSet{Upstream: edges}}
		if n.GetTarget() != nil {
			t.Nodes, c.Connections = t.GetNodes()[:1], nil
		}
		return must(proto.Marshal(&admin.WorkflowClosure{
			CompiledWorkflow: &core.CompiledWorkflowClosure{Primary: c, SubWorkflows: []*core.CompiledWorkflow{c}},
		}))
	}
	for name, closure := range map[string][]byte{
		"cycle":  node(&core.Node{Id: "n0"}),
		"branch": node(&core.Node{Id: "n0", Target: &core.Node_BranchNode{}}),
		"notask": node(call("n0", "absent")),
		"noflow": node(sub("n0", "absent")),
		"nested": node(sub("n0", "poison")),
	} {
		d := store.Definition{ID: id(name), Kind: store.Workflow, Closure: closure, CreatedAt: time.Now()}
		if err := w.db.CreateDefinition(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"undecodable", "empty", "absent", "good", "cycle", "branch", "notask", "noflow", "nested"} {
		w.queue(name, name, nil)
	}
	w.queue("inputs", "good", nil, func(e *store.Execution) { e.Inputs = []byte("\xff") })
	w.queue("spec", "good", nil, func(e *store.Execution) { e.Spec = []byte("\xff") })
	l := w.run(runner.Config{})
	want := map[string]string{
		"good":        "SUCCEEDED ",
		"undecodable": "FAILED BadSpecificationError: the compiled workflow etl/production/undecodable@v1 is unreadable",
		"empty":       "FAILED BadSpecificationError: the compiled workflow etl/production/empty@v1 is empty",
		"absent":      "FAILED BadSpecificationError: workflow etl/production/absent@v1 is not registered",
		"inputs":      "FAILED BadSpecificationError: the inputs recorded for this execution are unreadable",
		"spec":        "FAILED BadSpecificationError: the spec recorded for this execution is unreadable",
		"cycle":       "FAILED BadSpecificationError: 2 nodes wait for each other",
		"branch":      "FAILED BadSpecificationError: node n0: only nodes of tasks and sub-workflows can run here",
		"notask":      "FAILED BadSpecificationError: node n0: task etl/production/absent@v1 is not in the compiled workflow",
		"noflow":      "FAILED BadSpecificationError: node n0: workflow etl/production/absent@v1 is not in the compiled workflow",
		"nested":      "FAILED BadSpecificationError: node n0-0-n0-0-n0",
	}
	for range want {
		e := l.next()
		got := string(e.Phase) + " " + errorOf(e.Error)
		if !strings.HasPrefix(got, want[e.Name]) {
			t.Errorf("%s: %s", e.Name, got)
		}
	}
}
