package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/workflow"
)

// limit is how long a test waits for anything.
const limit = time.Minute

// world is a database and the data directory beside it.
type world struct {
	t   *testing.T
	dir string
	db  *sqlite.DB
	// close closes db, once.
	close func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: must(filepath.EvalSymlinks(t.TempDir()))}
	w.open()
	if err := w.db.CreateProject(t.Context(), store.Project{ID: key("").Project, CreatedAt: slot}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open() {
	w.t.Helper()
	db, err := sqlite.Open(w.t.Context(), sqlite.Config{Dir: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}
	w.db = db
	w.close = sync.OnceFunc(func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(w.close)
}

// must is v, unless there is an error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func id(name string) ident.ID {
	return ident.ID{Key: key(name), Version: "v1"}
}

func key(name string) ident.Key { return ident.Key{Project: "etl", Domain: "production", Name: name} }

// vars reads variables: "city string, days list<integer>".
func vars(s string) *core.VariableMap {
	m := &core.VariableMap{Variables: map[string]*core.Variable{}}
	for v := range strings.SplitSeq(s, ", ") {
		if name, t, ok := strings.Cut(v, " "); ok {
			m.Variables[name] = &core.Variable{Type: must(literal.ParseType(t))}
		}
	}
	return m
}

func face(in, out string) *core.TypedInterface {
	return &core.TypedInterface{Inputs: vars(in), Outputs: vars(out)}
}

// values makes a literal map of pairs of a name and a value of the type that face gives it.
func values(v *core.VariableMap, in map[string]any) *core.LiteralMap {
	m := &core.LiteralMap{Literals: map[string]*core.Literal{}}
	for name, value := range in {
		m.Literals[name] = must(literal.FromValue(v.GetVariables()[name].GetType(), value))
	}
	return m
}

// shell is a raw container that runs a script of sh.
func shell(name, in, out, script string) *core.TaskTemplate {
	return &core.TaskTemplate{
		Id: workflow.Identifier(core.ResourceType_TASK, id(name)), Type: "raw-container", Interface: face(in, out),
		Metadata: &core.TaskMetadata{},
		Target: &core.TaskTemplate_Container{Container: &core.Container{
			Image: "example.com/shell", Command: []string{"/bin/sh", "-ec"}, Args: []string{script},
			DataConfig: &core.DataLoadingConfig{Enabled: true, InputPath: "/var/inputs", OutputPath: "/var/outputs"},
		}},
	}
}

// plain makes a task that writes outputs.pb itself, or none.
func plain(t *core.TaskTemplate) *core.TaskTemplate {
	t.Type = "python-task"
	t.GetContainer().DataConfig = nil
	return t
}

func retries(n uint32, t *core.TaskTemplate) *core.TaskTemplate {
	t.Metadata.Retries = &core.RetryStrategy{Retries: n}
	return t
}

func timeout(d time.Duration, t *core.TaskTemplate) *core.TaskTemplate {
	t.Metadata.Timeout = durationpb.New(d)
	return t
}

// call is a node that runs task; bindings are "input=node.output" or "input=.workflowinput".
func call(node, task string, bindings ...string) *core.Node {
	n := &core.Node{Id: node, Metadata: &core.NodeMetadata{}, Target: &core.Node_TaskNode{TaskNode: &core.TaskNode{
		Reference: &core.TaskNode_ReferenceId{ReferenceId: workflow.Identifier(core.ResourceType_TASK, id(task))},
	}}}
	for _, b := range bindings {
		n.Inputs = append(n.Inputs, bind(b))
	}
	return n
}

// sub is a node that runs a workflow.
func sub(node, name string, bindings ...string) *core.Node {
	n := call(node, name, bindings...)
	n.Target = &core.Node_WorkflowNode{WorkflowNode: &core.WorkflowNode{
		Reference: &core.WorkflowNode_SubWorkflowRef{SubWorkflowRef: workflow.Identifier(core.ResourceType_WORKFLOW, id(name))},
	}}
	return n
}

func after(n *core.Node, nodes ...string) *core.Node {
	n.UpstreamNodeIds = nodes
	return n
}

func bind(s string) *core.Binding {
	name, from, _ := strings.Cut(s, "=")
	return &core.Binding{Var: name, Binding: promise(from)}
}

func promise(from string, path ...any) *core.BindingData {
	node, variable, _ := strings.Cut(from, ".")
	if node == "" {
		node = workflow.StartNode
	}
	p := &core.OutputReference{NodeId: node, Var: variable}
	for _, step := range path {
		a := &core.PromiseAttribute{}
		switch step := step.(type) {
		case int:
			a.Value = &core.PromiseAttribute_IntValue{IntValue: int32(step)}
		case string:
			a.Value = &core.PromiseAttribute_StringValue{StringValue: step}
		}
		p.AttrPath = append(p.AttrPath, a)
	}
	return &core.BindingData{Value: &core.BindingData_Promise{Promise: p}}
}

// flow is a workflow; outputs are bindings as in call.
func flow(name, in, out string, nodes []*core.Node, outputs ...string) *core.WorkflowTemplate {
	w := &core.WorkflowTemplate{
		Id: workflow.Identifier(core.ResourceType_WORKFLOW, id(name)), Interface: face(in, out), Nodes: nodes,
		Metadata: &core.WorkflowMetadata{},
	}
	for _, o := range outputs {
		w.Outputs = append(w.Outputs, bind(o))
	}
	return w
}

// lookup finds what the world has registered.
type lookup struct{ *world }

func (l lookup) Task(id ident.ID) (*core.CompiledTask, error) {
	d, err := l.db.Definition(l.t.Context(), store.Task, id)
	var c admin.TaskClosure
	return must(&c, errors.Join(err, proto.Unmarshal(d.Closure, &c))).GetCompiledTask(), nil
}

func (l lookup) Workflow(id ident.ID) (*core.CompiledWorkflowClosure, error) {
	d, err := l.db.Definition(l.t.Context(), store.Workflow, id)
	var c admin.WorkflowClosure
	return must(&c, errors.Join(err, proto.Unmarshal(d.Closure, &c))).GetCompiledWorkflow(), nil
}

// register compiles and stores tasks and workflows, as the server does.
func (w *world) register(entities ...any) {
	w.t.Helper()
	for _, e := range entities {
		d := store.Definition{CreatedAt: time.Now()}
		switch e := e.(type) {
		case *core.TaskTemplate:
			d.Kind, d.ID, d.Type = store.Task, workflow.ID(e.GetId()), e.GetType()
			compiled, err := workflow.CompileTask(d.ID, e)
			if err != nil {
				w.t.Fatal(err)
			}
			d.Closure = must(proto.Marshal(&admin.TaskClosure{CompiledTask: compiled}))
		case *core.WorkflowTemplate:
			d.Kind, d.ID = store.Workflow, workflow.ID(e.GetId())
			compiled, err := workflow.Compile(d.ID, &admin.WorkflowSpec{Template: e}, lookup{w})
			if err != nil {
				w.t.Fatal(err)
			}
			d.Closure = must(proto.Marshal(&admin.WorkflowClosure{CompiledWorkflow: compiled}))
		}
		if err := w.db.CreateDefinition(w.t.Context(), d); err != nil {
			w.t.Fatal(err)
		}
	}
}

// queue queues an execution of a workflow, or of a task alone.
func (w *world) queue(name, of string, inputs *core.LiteralMap, change ...func(*store.Execution)) {
	w.t.Helper()
	e := store.Execution{
		Key: key(name), Kind: store.LaunchPlan, LaunchPlan: id(of), Workflow: id(of),
		Inputs: must(proto.Marshal(inputs)), Phase: store.Queued, CreatedAt: time.Now(),
	}
	for _, c := range change {
		c(&e)
	}
	created, err := w.db.CreateExecutions(w.t.Context(), []store.Execution{e})
	if err != nil || !created[0] {
		w.t.Fatal(created, err)
	}
}

func alone(e *store.Execution) { e.Kind, e.Workflow = store.Task, ident.ID{} }

func spec(s *admin.ExecutionSpec) func(*store.Execution) {
	return func(e *store.Execution) { e.Spec = must(proto.Marshal(s)) }
}

// life is a runner from its start to its end.
type life struct {
	*runner.Runner
	world    *world
	finished chan store.Execution
	stop     context.CancelFunc
	done     chan error
}

// run starts a runner on the world. It is stopped at the end of the test.
func (w *world) run(cfg runner.Config) *life {
	w.t.Helper()
	return w.runOn(w.db, cfg)
}

// runOn starts a runner that sees the database through s.
func (w *world) runOn(s runner.Store, cfg runner.Config) *life {
	w.t.Helper()
	l := &life{world: w, finished: make(chan store.Execution, 1000), done: make(chan error, 1)}
	cfg.Dir = w.dir
	cfg.Finished = func(e store.Execution) { l.finished <- e }
	if cfg.Drain == 0 {
		cfg.Drain = time.Millisecond
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second // Far more than any test has to wait.
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(w.t.Output(), nil))
	}
	l.Runner = runner.New(s, cfg)
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	l.stop = stop
	go func() { l.done <- l.Run(ctx) }()
	w.t.Cleanup(l.end)
	return l
}

// end stops the runner and waits for its end.
func (l *life) end() {
	l.stop()
	select {
	case err := <-l.done:
		if err != nil {
			l.world.t.Error(err)
		}
		l.done <- nil
	case <-time.After(limit):
		l.world.t.Fatal("the runner does not stop")
	}
}

// next is the next execution that ended.
func (l *life) next() store.Execution {
	l.world.t.Helper()
	select {
	case e := <-l.finished:
		return e
	case <-time.After(limit):
		l.world.t.Fatal("no execution ended")
		return store.Execution{}
	}
}

// await waits for an execution, which ends with phase.
func (l *life) await(name string, phase store.Phase) store.Execution {
	l.world.t.Helper()
	e := l.next()
	if e.Name != name || e.Phase != phase {
		l.world.t.Fatalf("%s ended %s: %s; want %s %s", e.Name, e.Phase, errorOf(e.Error), name, phase)
	}
	stored, err := l.world.db.Execution(l.world.t.Context(), e.Key)
	if err != nil || stored.Phase != phase || stored.EndedAt.IsZero() {
		l.world.t.Fatalf("stored as %s, ended at %v: %v", stored.Phase, stored.EndedAt, err)
	}
	return stored
}

func errorOf(b []byte) string {
	var e core.ExecutionError
	must(0, proto.Unmarshal(b, &e))
	if e.GetCode() == "" {
		return ""
	}
	return e.GetCode() + ": " + e.GetMessage()
}

func outputsOf(b []byte) map[string]any {
	var m core.LiteralMap
	must(0, proto.Unmarshal(b, &m))
	out := map[string]any{}
	for name, l := range m.GetLiterals() {
		out[name] = literal.ToValue(l)
	}
	return out
}

// nodes are the phases of an execution's nodes.
func (w *world) nodes(name string) map[string]store.Phase {
	w.t.Helper()
	nodes, err := w.db.Nodes(w.t.Context(), key(name), store.Query{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	phases := map[string]store.Phase{}
	for _, n := range nodes {
		phases[n.Node] = n.Phase
		if n.Phase.Terminal() == n.EndedAt.IsZero() {
			w.t.Errorf("node %s is %s and ended at %v", n.Node, n.Phase, n.EndedAt)
		}
	}
	return phases
}

// attempts are the phases of the attempts of a node, with their reasons.
func (w *world) attempts(name, node string) []string {
	w.t.Helper()
	tasks, err := w.db.Tasks(w.t.Context(), key(name), node, store.Query{Limit: 1000, SortBy: "retry_attempt", Ascending: true})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, a := range tasks {
		all = append(all, strings.TrimSuffix(fmt.Sprintf("%d %s %s", a.Attempt, a.Phase, a.Reason), " "))
	}
	return all
}

// read is a file of an attempt.
func (w *world) read(name, node string, attempt int, file string) string {
	w.t.Helper()
	task, err := w.db.Task(w.t.Context(), key(name), node, attempt)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(w.dir, task.Dir, file))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// pipe is a named pipe by which tasks tell a test what they do.
type pipe struct {
	t    *testing.T
	path string
	file *os.File
}

func newPipe(t *testing.T) *pipe {
	t.Helper()
	p := &pipe{t: t, path: filepath.Join(t.TempDir(), "pipe")}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Without O_NONBLOCK it would wait here for the first writer.
	f, err := os.OpenFile(p.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	p.file = f
	return p
}

// line waits for a line, of one write, from a task.
func (p *pipe) line() string {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	b := make([]byte, 4096)
	for {
		must(0, p.file.SetReadDeadline(deadline))
		n, err := p.file.Read(b)
		if n > 0 {
			return strings.TrimSpace(string(b[:n]))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(deadline) {
			continue // Nobody has it open for writing yet.
		}
		p.t.Fatalf("no task wrote to the pipe: %v", err)
	}
}

// closed waits until no process has the pipe open: all that inherited it are dead.
func (p *pipe) closed() {
	p.t.Helper()
	must(0, p.file.SetReadDeadline(time.Now().Add(limit)))
	b := make([]byte, 4096)
	for {
		n, err := p.file.Read(b)
		if n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // End of file.
		}
		if err != nil {
			p.t.Fatal("a process survives")
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// lines waits for n lines.
func (p *pipe) lines(n int) {
	p.t.Helper()
	for n > 0 {
		n -= len(strings.Fields(p.line()))
	}
}
