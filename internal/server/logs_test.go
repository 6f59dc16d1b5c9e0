package server_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/workflow"
)

// write appends to a file in the data directory.
func (a *api) write(t *testing.T, path, content string) {
	t.Helper()
	path = filepath.Join(a.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// piece is a message of a log, without what does not matter here.
func piece(m *tminusv1.ReadLogsResponse) string {
	return strings.Join([]string{m.GetNode(), string(rune('0' + m.GetAttempt())), strings.TrimPrefix(m.GetStream().String(), "STREAM_"), string(m.GetData())}, " ")
}

func readAll(t *testing.T, stream grpc.ServerStreamingClient[tminusv1.ReadLogsResponse]) ([]string, error) {
	t.Helper()
	var pieces []string
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return pieces, nil
		}
		if err != nil {
			return pieces, err
		}
		pieces = append(pieces, piece(m))
	}
}

func TestReadLogs(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.run(t, "one")
	a.write(t, "runs/one/n0/0/stdout", "hello")
	a.write(t, "runs/one/n0/0/stderr", "no umbrella")
	a.write(t, "runs/one/n0/1/stdout", "rain")
	for _, row := range []struct {
		node string
		want []string
	}{
		{"", []string{"n0 0 STDOUT hello", "n0 0 STDERR no umbrella", "n0 1 STDOUT rain"}},
		{"n0", []string{"n0 0 STDOUT hello", "n0 0 STDERR no umbrella", "n0 1 STDOUT rain"}},
		{"n1", nil},
	} {
		stream, err := a.logs.ReadLogs(t.Context(), &tminusv1.ReadLogsRequest{Project: project, Domain: domain, Name: "one", Node: row.node})
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, stream)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("node %q (-want +got):\n%s", row.node, diff)
		}
	}
	stream, err := a.logs.ReadLogs(t.Context(), &tminusv1.ReadLogsRequest{Project: project, Domain: domain, Name: "one", Node: "n9"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, stream); status.Code(err) != codes.NotFound {
		t.Errorf("a node that is not there: %v", err)
	}
}

// A log that is followed shows what is written until the execution has ended.
func TestFollowLogs(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.run(t, "one")
	set := func(attempt int, phase store.Phase) {
		x, err := a.db.Task(t.Context(), key("one"), "n0", attempt)
		if err != nil {
			t.Fatal(err)
		}
		x.Phase = phase
		if err := a.db.PutTask(t.Context(), "", x); err != nil {
			t.Fatal(err)
		}
	}
	set(1, store.Running)
	a.write(t, "runs/one/n0/1/stdout", "first")
	stream, err := a.logs.ReadLogs(t.Context(), &tminusv1.ReadLogsRequest{Project: project, Domain: domain, Name: "one", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	next := func() string {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return piece(m)
	}
	if got := next(); got != "n0 1 STDOUT first" {
		t.Errorf("got %q", got)
	}
	a.write(t, "runs/one/n0/1/stderr", "second")
	if got := next(); got != "n0 1 STDERR second" {
		t.Errorf("got %q", got)
	}
	a.write(t, "runs/one/n0/1/stdout", "third")
	set(1, store.Succeeded)
	a.change(t, "one", func(x *store.Execution) { x.Phase = store.Succeeded })
	rest, err := readAll(t, stream)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"n0 1 STDOUT third"}, rest); diff != "" {
		t.Errorf("the rest (-want +got):\n%s", diff)
	}
}

// polled is the database, and tells when an execution's nodes are looked for.
type polled struct {
	*sqlite.DB
	looked chan struct{}
}

func (p polled) Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error) {
	nodes, err := p.DB.Nodes(ctx, execution, q)
	select {
	case p.looked <- struct{}{}:
	case <-ctx.Done():
	}
	return nodes, err
}

// look waits until nodes are looked for.
func (p polled) look(t *testing.T) {
	t.Helper()
	select {
	case <-p.looked:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody looks for the node")
	}
}

// nesting starts a server with executions of the workflow report, of one that
// has it within, and of a task alone. None has begun.
func nesting(t *testing.T) (*api, polled) {
	t.Helper()
	whole := start(t)
	db := polled{whole.db, make(chan struct{})}
	a := serve(t, whole.db, db, whole.dir)
	a.register(t)
	outer := with(reportWorkflow(), func(r *admin.WorkflowCreateRequest) {
		r.Id = workflowID("outer", "1")
		n := r.GetSpec().GetTemplate().GetNodes()[0]
		n.Id = "n-0-a"
		n.Inputs = append(n.Inputs, &core.Binding{Var: "days", Binding: promise(workflow.StartNode, "days")})
		n.Target = &core.Node_WorkflowNode{WorkflowNode: &core.WorkflowNode{
			Reference: &core.WorkflowNode_SubWorkflowRef{SubWorkflowRef: workflowID("report", "1")},
		}}
		r.GetSpec().GetTemplate().GetOutputs()[0].Binding = promise(n.GetId(), "report")
	})
	if _, err := a.CreateWorkflow(t.Context(), outer); err != nil {
		t.Fatal(err)
	}
	plan := with(dailyPlan(), func(r *admin.LaunchPlanCreateRequest) {
		r.Id, r.Spec.WorkflowId = planID("outer", "1"), workflowID("outer", "1")
	})
	if _, err := a.CreateLaunchPlan(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	a.launch(t, "flat")
	for name, of := range map[string]*core.Identifier{"nested": planID("outer", "1"), "single": taskID("forecast", "1")} {
		r := launch(func(r *admin.ExecutionCreateRequest) {
			r.Name, r.Spec.LaunchPlan = name, of
			if name == "single" {
				r.Inputs.Literals["city"] = text("Oslo")
			}
		})
		if _, err := a.CreateExecution(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return a, db
}

func (a *api) followNode(t *testing.T, name, node string) grpc.ServerStreamingClient[tminusv1.ReadLogsResponse] {
	t.Helper()
	r := logsOf(name)
	r.Node, r.Follow = node, true
	stream, err := a.logs.ReadLogs(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// Following a node that had not started yet was answered with NotFound.
func TestFollowANodeThatHasNotStarted(t *testing.T) {
	t.Parallel()
	a, db := nesting(t)
	for _, at := range []struct{ name, node string }{{"flat", "n0"}, {"nested", "n-0-a-0-n0"}, {"single", "n0"}} {
		stream := a.followNode(t, at.name, at.node)
		db.look(t)
		db.look(t) // It has been looked for in vain, and is waited for.
		key := key(at.name)
		if err := a.db.PutNode(t.Context(), "", store.NodeExecution{Execution: key, Node: at.node, SpecNode: "n0", Phase: store.Succeeded, CreatedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		attempt := store.TaskExecution{Execution: key, Node: at.node, Phase: store.Succeeded, Dir: "runs/" + at.name, CreatedAt: time.Now()}
		if err := a.db.PutTask(t.Context(), "", attempt); err != nil {
			t.Fatal(err)
		}
		a.write(t, attempt.Dir+"/stdout", "hello")
		a.change(t, at.name, func(x *store.Execution) { x.Phase = store.Succeeded })
		drained := db.drain()
		got, err := readAll(t, stream)
		drained()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{at.node + " 0 STDOUT hello"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", at.name, diff)
		}
	}
}

// drain lets nodes be looked for unobserved until the function it returns is called.
func (p polled) drain() func() {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-p.looked:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// A node that will never start ends the wait for its log.
func TestFollowANodeThatNeverStarts(t *testing.T) {
	t.Parallel()
	a, db := nesting(t)
	defer db.drain()()
	for _, at := range []struct{ name, node string }{
		{"flat", "n1"},
		{"flat", "n0-0-n0"},
		{"flat", "start-node"},
		{"nested", "n0"},
		{"nested", "n-0-a-0-n1"},
		{"nested", "n-0-n0"},
		{"nested", "n-0-a-0-end-node"},
		{"single", "n1"},
	} {
		if _, err := readAll(t, a.followNode(t, at.name, at.node)); status.Code(err) != codes.NotFound {
			t.Errorf("node %s is not in %s: %v, want NotFound", at.node, at.name, err)
		}
	}
	a.change(t, "flat", func(x *store.Execution) { x.Phase = store.Aborted })
	if _, err := readAll(t, a.followNode(t, "flat", "n0")); status.Code(err) != codes.NotFound {
		t.Errorf("the execution ended without the node: %v, want NotFound", err)
	}
}

// Who follows a log does not keep the server from stopping.
func TestStopWhileALogIsFollowed(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.run(t, "one")
	a.write(t, "runs/one/n0/0/stdout", "hello")
	stream, err := a.logs.ReadLogs(t.Context(), &tminusv1.ReadLogsRequest{Project: project, Domain: domain, Name: "one", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, stream); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}

func TestLogLinks(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.run(t, "one")
	a.write(t, "runs/one/n0/0/stdout", "hello, <b>world</b>")
	x, err := a.GetTaskExecution(t.Context(), &admin.TaskExecutionGetRequest{Id: &core.TaskExecutionIdentifier{
		TaskId: taskID("forecast", "1"), NodeExecutionId: &core.NodeExecutionIdentifier{NodeId: "n0", ExecutionId: executionID("one")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{}
	for _, l := range x.GetClosure().GetLogs() {
		links[l.GetName()] = l.GetUri()
	}
	code, body, header := a.request(t, "GET", links["stdout"], "")
	if code != 200 || body != "hello, <b>world</b>" || header.Get("Content-Type") != "text/plain; charset=utf-8" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("stdout: %d %s %v", code, body, header)
	}
	if code, body, _ := a.request(t, "GET", links["stdout"], "", "Range", "bytes=0-4"); code != 206 || body != "hello" {
		t.Errorf("a part of stdout: %d %s", code, body)
	}
	// A task can put anything in its directory; only what is in the data directory is served.
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(a.dir, "runs/one/n0/0/stderr")); err != nil {
		t.Fatal(err)
	}
	if code, body, _ := a.request(t, "GET", links["stderr"], ""); code != 404 || strings.Contains(body, secret) {
		t.Errorf("a link to elsewhere: %d %s", code, body)
	}
	for _, row := range []struct {
		path string
		code int
	}{
		{"/tminus/v1/logs/weather/development/one/n0/1/stdout", 404}, // Nothing is written yet.
		{"/tminus/v1/logs/weather/development/one/n0/9/stdout", 404},
		{"/tminus/v1/logs/weather/development/one/n9/0/stdout", 404},
		{"/tminus/v1/logs/weather/development/one/n0/0/inputs.pb", 404},
		{"/tminus/v1/logs/weather/development/one/n0/x/stdout", 400},
	} {
		if code, body, _ := a.request(t, "GET", row.path, ""); code != row.code {
			t.Errorf("%s: %d %s, want %d", row.path, code, body, row.code)
		}
	}
	// And over REST, as a stream of JSON.
	code, body, _ = a.request(t, "GET", "/tminus/v1/logs/weather/development/one?node=n1", "")
	if code != 200 || body != "" {
		t.Errorf("the logs of a node without any: %d %s", code, body)
	}
}

func logsOf(name string) *tminusv1.ReadLogsRequest {
	return &tminusv1.ReadLogsRequest{Project: project, Domain: domain, Name: name}
}

// The logs of an attempt are with the replica that ran it; the others say which that is.
func TestLogsOfAnotherReplica(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.run(t, "one")
	first, err := a.db.Task(t.Context(), key("one"), "n0", 0)
	if err != nil {
		t.Fatal(err)
	}
	first.Runner = "web-2"
	if err := a.db.PutTask(t.Context(), "", first); err != nil {
		t.Fatal(err)
	}
	a.write(t, "runs/one/n0/1/stdout", "rain")
	const want = `the logs of attempt 0 of node "n0" are not in the data directory of this replica: runner web-2 ran it`
	for _, follow := range []bool{false, true} {
		r := logsOf("one")
		r.Follow = follow
		stream, err := a.logs.ReadLogs(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, stream)
		if status.Code(err) != codes.NotFound || !strings.Contains(status.Convert(err).Message(), want) {
			t.Errorf("follow %t: %v, want NotFound: %s", follow, err, want)
		}
		if diff := cmp.Diff([]string{"n0 1 STDOUT rain"}, got); diff != "" {
			t.Errorf("follow %t (-want +got):\n%s", follow, diff)
		}
	}
	code, body, _ := a.request(t, "GET", "/tminus/v1/logs/weather/development/one/n0/0/stdout", "")
	if code != 404 || !strings.Contains(body, "runner web-2 ran it") {
		t.Errorf("a link: %d %s", code, body)
	}
}

// Logs of an execution on a Flyte are not here, and the answer says where they are.
func TestLogsOfAnExecutionElsewhere(t *testing.T) {
	t.Parallel()
	a := start(t)
	x := store.Execution{Key: key("far"), Kind: store.LaunchPlan, Phase: store.Running, Runner: store.Elsewhere, CreatedAt: time.Now(), UpdatedAt: time.Now(), LookAt: time.Now()}
	if _, err := a.db.CreateExecutions(t.Context(), []store.Execution{x}); err != nil {
		t.Fatal(err)
	}
	stream, err := a.logs.ReadLogs(t.Context(), &tminusv1.ReadLogsRequest{Project: project, Domain: domain, Name: "far", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, stream); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "runs on a Flyte") {
		t.Errorf("got %v", err)
	}
}
