package server_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/workflow"
)

const (
	project = "weather"
	domain  = "development"
)

// api is a whole server on the real database, with its clients.
type api struct {
	service.AdminServiceClient
	auth      service.AuthMetadataServiceClient
	identity  service.IdentityServiceClient
	data      service.DataProxyServiceClient
	schedules tminusv1.ScheduleServiceClient
	logs      tminusv1.LogServiceClient

	db     *sqlite.DB
	conn   *grpc.ClientConn
	url    string // of the HTTP side
	web    *http.Client
	dir    string // the data directory
	runner *runner
	engine *standIn
	log    *buffer
	stop   func() error // ends the server and returns what Serve did
}

// start boots a server in a directory of its own, with the project weather in it.
func start(tb testing.TB, change ...func(*server.Config)) *api {
	tb.Helper()
	dir := tb.TempDir()
	db, err := sqlite.Open(tb.Context(), sqlite.Config{Dir: filepath.Join(dir, "db")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	a := serve(tb, db, db, dir, change...)
	if err := db.CreateProject(tb.Context(), store.Project{ID: project, Name: project, CreatedAt: time.Now()}); err != nil {
		tb.Fatal(err)
	}
	return a
}

// serve boots a server on s; db is the database below it.
func serve(tb testing.TB, db *sqlite.DB, s server.Store, dir string, change ...func(*server.Config)) *api {
	tb.Helper()
	a := &api{db: db, dir: dir, web: http.DefaultClient, runner: &runner{}, engine: &standIn{}, log: &buffer{}}
	cfg := server.Config{Version: "v1.2.3", Data: dir, Log: slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&cfg)
	}
	grpcListener, httpListener := listen(tb), listen(tb)
	a.url = "http://" + httpListener.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	go func() { done <- server.New(s, a.runner, a.engine, cfg).Serve(ctx, grpcListener, httpListener) }()
	a.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	tb.Cleanup(func() {
		if err := a.stop(); err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	var err error
	a.conn, err = grpc.NewClient(grpcListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = a.conn.Close() })
	a.AdminServiceClient = service.NewAdminServiceClient(a.conn)
	a.auth = service.NewAuthMetadataServiceClient(a.conn)
	a.identity = service.NewIdentityServiceClient(a.conn)
	a.data = service.NewDataProxyServiceClient(a.conn)
	a.schedules = tminusv1.NewScheduleServiceClient(a.conn)
	a.logs = tminusv1.NewLogServiceClient(a.conn)
	return a
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// runner notes what it is told.
type runner struct {
	mu         sync.Mutex
	wakes      int
	terminated []string
	fail       error
}

func (r *runner) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wakes++
}

func (r *runner) Terminate(_ context.Context, execution ident.Key, cause, by string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.terminated = append(r.terminated, strings.Join([]string{execution.String(), cause, by}, "|"))
	return r.fail
}

func (r *runner) woken() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wakes
}

func (r *runner) ended() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.terminated)
}

// standIn is an engine that has fired without a break since it was made, whatever it says of itself.
type standIn struct {
	mu      sync.Mutex
	wakes   int
	problem string
}

func (e *standIn) Problem() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem
}

func (e *standIn) fail(problem string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.problem = problem
}

func (e *standIn) Wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wakes++
}

func (e *standIn) woken() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wakes
}

// alive is the session of an engine that was there all the time until an instant.
func (a *api) alive(tb testing.TB, until time.Time) int64 {
	tb.Helper()
	var beat store.Beat
	for now := time.Now().Add(-time.Second); !now.After(until); now = now.Add(30 * time.Second) {
		var err error
		if beat, err = a.db.Beat(tb.Context(), beat.Session, now, 2*time.Hour); err != nil {
			tb.Fatal(err)
		}
	}
	return beat.Session
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// request makes an HTTP request and returns the status and the body.
func (a *api) request(tb testing.TB, method, path, body string, headers ...string) (int, string, http.Header) {
	tb.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = a.url + path
	}
	r, err := http.NewRequestWithContext(tb.Context(), method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := a.web.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response.StatusCode, string(answer), response.Header
}

// counts is how many records of each kind there are.
func (a *api) counts(tb testing.TB) map[string]int {
	tb.Helper()
	ctx, q := tb.Context(), store.Query{Limit: 1_000_000}
	n := map[string]int{}
	count := func(name string, list func() (int, error)) {
		tb.Helper()
		var err error
		if n[name], err = list(); err != nil {
			tb.Fatal(err)
		}
	}
	count("projects", func() (int, error) { l, err := a.db.Projects(ctx, q); return len(l), err })
	count("tasks", func() (int, error) { l, err := a.db.Definitions(ctx, store.Task, q); return len(l), err })
	count("workflows", func() (int, error) { l, err := a.db.Definitions(ctx, store.Workflow, q); return len(l), err })
	count("plans", func() (int, error) { l, err := a.db.Plans(ctx, q); return len(l), err })
	count("active plans", func() (int, error) {
		l, err := a.db.Plans(ctx, store.Query{Limit: q.Limit, Filters: []store.Filter{{Field: "state", Op: store.Eq, Values: []string{"1"}}}})
		return len(l), err
	})
	count("schedules", func() (int, error) { l, err := a.db.Schedules(ctx, q); return len(l), err })
	count("firings", func() (int, error) { l, err := a.db.Firings(ctx, q); return len(l), err })
	count("executions", func() (int, error) { l, err := a.db.Executions(ctx, q); return len(l), err })
	return n
}

// What the tests register.

func taskID(name, version string) *core.Identifier {
	return &core.Identifier{ResourceType: core.ResourceType_TASK, Project: project, Domain: domain, Name: name, Version: version}
}

func workflowID(name, version string) *core.Identifier {
	return &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: project, Domain: domain, Name: name, Version: version}
}

func planID(name, version string) *core.Identifier {
	return &core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: project, Domain: domain, Name: name, Version: version}
}

func simple(t core.SimpleType) *core.LiteralType {
	return &core.LiteralType{Type: &core.LiteralType_Simple{Simple: t}}
}

func variables(types map[string]core.SimpleType) *core.VariableMap {
	m := &core.VariableMap{Variables: map[string]*core.Variable{}}
	for name, t := range types {
		m.Variables[name] = &core.Variable{Type: simple(t)}
	}
	return m
}

func text(s string) *core.Literal {
	return primitive(&core.Primitive{Value: &core.Primitive_StringValue{StringValue: s}})
}

func number(n int64) *core.Literal {
	return primitive(&core.Primitive{Value: &core.Primitive_Integer{Integer: n}})
}

func primitive(p *core.Primitive) *core.Literal {
	return &core.Literal{Value: &core.Literal_Scalar{Scalar: &core.Scalar{Value: &core.Scalar_Primitive{Primitive: p}}}}
}

func values(literals map[string]*core.Literal) *core.LiteralMap {
	return &core.LiteralMap{Literals: literals}
}

// forecastTask takes a time and a city and makes a report.
func forecastTask() *admin.TaskCreateRequest {
	return &admin.TaskCreateRequest{Id: taskID("forecast", "1"), Spec: &admin.TaskSpec{Template: &core.TaskTemplate{
		Type: "raw-container",
		Interface: &core.TypedInterface{
			Inputs:  variables(map[string]core.SimpleType{"at": core.SimpleType_DATETIME, "city": core.SimpleType_STRING}),
			Outputs: variables(map[string]core.SimpleType{"report": core.SimpleType_STRING}),
		},
		Target: &core.TaskTemplate_Container{Container: &core.Container{
			Image: "python:3", Command: []string{"python", "-m", "forecast"}, Args: []string{"--city", "{{.inputs.city}}"},
		}},
	}}}
}

func promise(node, variable string) *core.BindingData {
	return &core.BindingData{Value: &core.BindingData_Promise{Promise: &core.OutputReference{NodeId: node, Var: variable}}}
}

// reportWorkflow passes its inputs to the task.
func reportWorkflow() *admin.WorkflowCreateRequest {
	return &admin.WorkflowCreateRequest{Id: workflowID("report", "1"), Spec: &admin.WorkflowSpec{Template: &core.WorkflowTemplate{
		Interface: &core.TypedInterface{
			Inputs: variables(map[string]core.SimpleType{
				"at": core.SimpleType_DATETIME, "city": core.SimpleType_STRING, "days": core.SimpleType_INTEGER,
			}),
			Outputs: variables(map[string]core.SimpleType{"report": core.SimpleType_STRING}),
		},
		Nodes: []*core.Node{{
			Id: "n0",
			Inputs: []*core.Binding{
				{Var: "at", Binding: promise(workflow.StartNode, "at")},
				{Var: "city", Binding: promise(workflow.StartNode, "city")},
			},
			Target: &core.Node_TaskNode{TaskNode: &core.TaskNode{Reference: &core.TaskNode_ReferenceId{ReferenceId: taskID("forecast", "1")}}},
		}},
		Outputs: []*core.Binding{{Var: "report", Binding: promise("n0", "report")}},
	}}}
}

func cronSchedule(expression string) *admin.Schedule {
	return &admin.Schedule{ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: expression}}}
}

// dailyPlan runs the workflow every morning.
func dailyPlan() *admin.LaunchPlanCreateRequest {
	s := cronSchedule("0 6 * * *")
	s.KickoffTimeInputArg = "at"
	return &admin.LaunchPlanCreateRequest{Id: planID("daily", "1"), Spec: &admin.LaunchPlanSpec{
		WorkflowId:     workflowID("report", "1"),
		EntityMetadata: &admin.LaunchPlanMetadata{Schedule: s},
		DefaultInputs: &core.ParameterMap{Parameters: map[string]*core.Parameter{
			"city": {Var: &core.Variable{Type: simple(core.SimpleType_STRING)}, Behavior: &core.Parameter_Default{Default: text("Oslo")}},
		}},
		FixedInputs: values(map[string]*core.Literal{"days": number(3)}),
		Annotations: &admin.Annotations{Values: map[string]string{"tminus.dev/timezone": "Europe/Oslo", "team": "north"}},
	}}
}

// with is a copy of m, changed.
func with[M proto.Message](m M, change func(M)) M {
	m = proto.CloneOf(m)
	change(m)
	return m
}

// register creates the task, the workflow and the launch plan.
func (a *api) register(tb testing.TB) {
	tb.Helper()
	ctx := tb.Context()
	if _, err := a.CreateTask(ctx, forecastTask()); err != nil {
		tb.Fatal(err)
	}
	if _, err := a.CreateWorkflow(ctx, reportWorkflow()); err != nil {
		tb.Fatal(err)
	}
	if _, err := a.CreateLaunchPlan(ctx, dailyPlan()); err != nil {
		tb.Fatal(err)
	}
}

func datetime(s string) *core.Literal {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return literal.Datetime(at)
}

func executionID(name string) *core.WorkflowExecutionIdentifier {
	return &core.WorkflowExecutionIdentifier{Project: project, Domain: domain, Name: name}
}

func name(s string) *admin.NamedEntityIdentifier {
	return &admin.NamedEntityIdentifier{Project: project, Domain: domain, Name: s}
}
