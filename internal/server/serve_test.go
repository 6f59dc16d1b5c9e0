package server_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	a := start(t)
	v, err := a.GetVersion(t.Context(), &admin.GetVersionRequest{})
	if err != nil || v.GetControlPlaneVersion().GetVersion() != "v1.2.3" {
		t.Errorf("%v, %v", v, err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, service := range []string{"", "flyteadmin", "tminus.v1.ScheduleService"} {
		h, err := healthpb.NewHealthClient(a.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, h, err)
		}
	}
}

func TestReflection(t *testing.T) {
	t.Parallel()
	a := start(t)
	stream, err := reflectionpb.NewServerReflectionClient(a.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"flyteidl.service.AdminService", "tminus.v1.ScheduleService", "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
}

// broken is the database, but for methods that panic.
type broken struct{ *sqlite.DB }

func (broken) Execution(context.Context, ident.Key) (store.Execution, error) { panic("it broke") }

func (broken) Task(context.Context, ident.Key, string, int) (store.TaskExecution, error) {
	panic("a log broke")
}

// A panic ends its call, not the process.
func TestPanic(t *testing.T) {
	t.Parallel()
	whole := start(t)
	a := serve(t, whole.db, broken{whole.db}, whole.dir)
	_, err := a.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: executionID("one")})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "broke") {
		t.Errorf("%v, want Internal without details", err)
	}
	if log := a.log.String(); !strings.Contains(log, "it broke") || !strings.Contains(log, "serve_test.go") {
		t.Errorf("the log has no stack:\n%s", log)
	}
	stream, err := a.logs.ReadLogs(t.Context(), logsOf("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("a stream: %v, want Internal", err)
	}
	code, body, _ := a.request(t, "GET", "/tminus/v1/logs/weather/development/one/n0/0/stdout", "")
	if code != 500 || lookup(t, body, "code") != 13.0 || strings.Contains(body, "broke") {
		t.Errorf("over HTTP: %d %s", code, body)
	}
	if !strings.Contains(a.log.String(), "a log broke") {
		t.Errorf("the panic over HTTP is not in the log:\n%s", a.log)
	}
	if _, err := a.GetDomains(t.Context(), &admin.GetDomainRequest{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// The server stayed ready while its engine could not fire.
func TestReadinessFollowsTheEngine(t *testing.T) {
	t.Parallel()
	const problem = "the engine cannot fire: the disk is full"
	a := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch, err := healthpb.NewHealthClient(a.conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: "tminus.v1.ScheduleService"})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		problem string
		code    int
		health  healthpb.HealthCheckResponse_ServingStatus
	}{
		{"", 200, healthpb.HealthCheckResponse_SERVING},
		{problem, 503, healthpb.HealthCheckResponse_NOT_SERVING},
		{"", 200, healthpb.HealthCheckResponse_SERVING},
	} {
		a.engine.fail(step.problem)
		if code, body, _ := a.request(t, "GET", "/readyz", ""); code != step.code || !strings.Contains(body, step.problem) {
			t.Errorf("problem %q: /readyz: %d %s", step.problem, code, body)
		}
		if h, err := watch.Recv(); err != nil || h.GetStatus() != step.health {
			t.Errorf("problem %q: health %v, %v", step.problem, h, err)
		}
	}
}

// That messages are read, say, comes and goes while the server runs.
func TestSilenceComesAndGoes(t *testing.T) {
	t.Parallel()
	var reason atomic.Pointer[string]
	reason.Store(new(string))
	a := start(t, func(c *server.Config) { c.Silent = func() string { return *reason.Load() } })
	a.register(t)
	a.activePlan(t, "often", timed("* * * * *"))
	for _, now := range []string{"", "nobody reads the queue", ""} {
		reason.Store(&now)
		if got := a.schedule(t, "often", 1); got.GetProblem() != now || (len(got.GetNext()) == 0) != (now != "") {
			t.Errorf("%q: problem %q, next %v", now, got.GetProblem(), got.GetNext())
		}
		status, body, _ := a.request(t, "GET", "/readyz", "")
		if (status == 200) != (now == "") {
			t.Errorf("%q: /readyz is %d, %s", now, status, body)
		}
	}
}

// An engine that does not run is one reason, not two.
func TestSilenceIsReportedOnce(t *testing.T) {
	t.Parallel()
	a := start(t, func(c *server.Config) { c.Silent = func() string { return "nothing will fire: noop" } })
	a.engine.fail("the engine does not run")
	_, body, _ := a.request(t, "GET", "/readyz", "")
	if diff := cmp.Diff([]any{"nothing will fire: noop"}, lookup(t, body, "reasons")); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// A database that is gone is worth trying again, and readiness says so.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	a := start(t)
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	b := serve(t, db, db, a.dir)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = b.GetProject(t.Context(), &admin.ProjectGetRequest{Id: project})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	if code, body, _ := b.request(t, "GET", "/readyz", ""); code != 503 || !strings.Contains(body, "database") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _, _ := b.request(t, "GET", "/healthz", ""); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
}

// Every call is in the log for those who look that closely.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	a := start(t)
	_, err := a.GetProject(t.Context(), &admin.ProjectGetRequest{Id: "nobody"})
	if status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	if code, _, _ := a.request(t, "GET", "/api/v1/domains", ""); code != 200 {
		t.Fatal(code)
	}
	if err := a.stop(); err != nil { // Then everything is written.
		t.Fatal(err)
	}
	for _, want := range []string{
		`level=DEBUG msg=call method=/flyteidl.service.AdminService/GetProject code=NotFound`,
		`level=DEBUG msg=call method=/flyteidl.service.AdminService/GetDomains code=OK`,
	} {
		if !strings.Contains(a.log.String(), want) {
			t.Errorf("no %q in\n%s", want, a.log)
		}
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	_, err := a.ListProjects(ctx, &admin.ProjectListRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
}

// slow is the database, but for one method that waits until it may go on.
type slow struct {
	*sqlite.DB
	began, goOn chan struct{}
}

func (s slow) Project(ctx context.Context, id string) (store.Project, error) {
	close(s.began)
	<-s.goOn
	return s.DB.Project(ctx, id)
}

// A request that has begun when the server is told to stop gets its answer, and a new one does not.
func TestStop(t *testing.T) {
	t.Parallel()
	whole := start(t)
	db := slow{whole.db, make(chan struct{}), make(chan struct{})}
	a := serve(t, whole.db, db, whole.dir)
	answer := make(chan error, 1)
	go func() {
		_, err := a.GetProject(t.Context(), &admin.ProjectGetRequest{Id: project})
		answer <- err
	}()
	<-db.began
	stopped := make(chan error, 1)
	go func() { stopped <- a.stop() }()
	for { // Until the server takes no more connections.
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			break
		}
		_ = response.Body.Close()
	}
	close(db.goOn)
	if err := <-answer; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A listener that fails ends Serve with its error, and the other one with it.
func TestServeFails(t *testing.T) {
	t.Parallel()
	a := start(t)
	grpcListener, httpListener := listen(t), listen(t)
	if err := httpListener.Close(); err != nil {
		t.Fatal(err)
	}
	err := server.New(a.db, a.runner, a.engine, server.Config{Data: a.dir}).Serve(t.Context(), grpcListener, httpListener)
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want net.ErrClosed", err)
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", grpcListener.Addr().String()); err == nil {
		t.Error("the other listener is still open")
	}
}

func TestServeWithoutADirectory(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.write(t, "file", "not a directory")
	err := server.New(a.db, a.runner, a.engine, server.Config{Data: a.dir + "/file"}).Serve(t.Context(), listen(t), listen(t))
	if err == nil || !strings.Contains(err.Error(), "uploads") {
		t.Errorf("%v", err)
	}
}

// An answer of the gRPC side that is larger than its clients take by default still reaches REST.
func TestLargeAnswerOverREST(t *testing.T) {
	t.Parallel()
	a := start(t)
	r := with(forecastTask(), func(r *admin.TaskCreateRequest) {
		r.GetSpec().GetTemplate().GetContainer().Args = []string{strings.Repeat(megabyte, 6)}
	})
	if _, err := a.CreateTask(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if code, body, _ := a.request(t, "GET", "/api/v1/tasks/weather/development/forecast/1", ""); code != 200 || len(body) < 6<<20 {
		t.Errorf("%d, %d bytes", code, len(body))
	}
	if _, err := a.GetTask(t.Context(), &admin.ObjectGetRequest{Id: taskID("forecast", "1")}, grpc.MaxCallRecvMsgSize(20<<20)); err != nil {
		t.Errorf("flytekit takes 20 MiB: %v", err)
	}
}
