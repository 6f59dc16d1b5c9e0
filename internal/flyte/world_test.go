package flyte_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/workflow"
)

// world is a tminus whose executions run on a Flyte, in a bubble of
// testing/synctest, whose clock begins at midnight.
type world struct {
	*testing.T
	db       *sqlite.DB
	admin    *flytetest.Server
	launcher *flyte.Launcher
	engine   *engine.Engine
	stop     func()

	forgetful forgetful

	mu       sync.Mutex
	finished []store.Execution
}

// forgetful is a database that can fail to keep what was launched.
type forgetful struct {
	*sqlite.DB
	fails atomic.Bool
}

func (f *forgetful) CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error) {
	if f.fails.Load() {
		return nil, errors.New("the disk is full")
	}
	return f.DB.CreateExecutions(ctx, es)
}

func newWorld(t *testing.T, rate engine.Rate) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, db: db, admin: flytetest.New()}
	w.admin.AddProject("shop")
	w.forgetful.DB = db
	w.launcher = flyte.NewLauncher(w.admin.Pipe(t), &w.forgetful, flyte.LauncherConfig{Finished: func(x store.Execution) {
		w.mu.Lock()
		w.finished = append(w.finished, x)
		w.mu.Unlock()
		if err := w.engine.Ended(context.WithoutCancel(t.Context()), x); err != nil {
			t.Error(err)
		}
	}})
	w.engine = engine.New(db, w.launcher, engine.Config{Room: w.launcher.Room, Find: w.launcher.Find, Rate: rate, Lease: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.engine.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := w.launcher.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

func planID(name string) ident.ID {
	return ident.ID{Key: ident.Key{Project: "shop", Domain: "production", Name: name}, Version: "v1"}
}

// activate has launch plans here and on Flyte, and makes them active here.
func (w *world) activate(expression string, policy schedule.Policy, names ...string) {
	w.Helper()
	at := &core.Variable{Type: &core.LiteralType{Type: &core.LiteralType_Simple{Simple: core.SimpleType_DATETIME}}}
	spec := &admin.LaunchPlanSpec{
		WorkflowId:     &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: "shop", Domain: "production", Name: "report", Version: "v1"},
		EntityMetadata: &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{KickoffTimeInputArg: "at"}},
		Annotations:    &admin.Annotations{Values: map[string]string{"team": "sales"}},
	}
	closure := &admin.LaunchPlanClosure{ExpectedInputs: &core.ParameterMap{Parameters: map[string]*core.Parameter{"at": {Var: at}}}}
	now := time.Now()
	var all []store.Activation
	for _, name := range names {
		id := planID(name)
		w.admin.PutLaunchPlan(workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id), spec,
			&core.TypedInterface{Inputs: &core.VariableMap{Variables: map[string]*core.Variable{"at": at}}})
		all = append(all, store.Activation{
			Plan:     store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, Spec: encode(w.T, spec), Closure: encode(w.T, closure), CreatedAt: now, UpdatedAt: now},
			Schedule: &schedule.Spec{Expression: expression, KickoffInput: "at", Policy: policy},
		})
	}
	if err := w.db.ActivateAll(w.Context(), all, store.Change{At: now}); err != nil {
		w.Fatal(err)
	}
	w.engine.Wake()
}

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// until lets time pass until something is so, and says how long that took.
func (w *world) until(most time.Duration, what string, is func() bool) time.Duration {
	w.Helper()
	begin := time.Now()
	for !is() {
		if time.Since(begin) > most {
			w.Fatalf("not %s within %s; launches are held back as %q", what, most, w.launcher.Problem())
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(begin)
}

// firings are those with an outcome.
func (w *world) firings(outcome schedule.Outcome) []schedule.Firing {
	w.Helper()
	fs, err := w.db.Firings(w.Context(), store.Query{Limit: 100000, Filters: []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{string(outcome)}}}})
	if err != nil {
		w.Fatal(err)
	}
	return fs
}

// client is a connection to Flyte that is not tminus's.
func (w *world) client() service.AdminServiceClient {
	w.Helper()
	return service.NewAdminServiceClient(w.admin.Pipe(w.T))
}

// request is what Flyte's own scheduler asks for.
func (w *world) request(name string, slot time.Time) *admin.ExecutionCreateRequest {
	id := planID(name)
	at := &core.Literal{Value: &core.Literal_Scalar{Scalar: &core.Scalar{Value: &core.Scalar_Primitive{
		Primitive: &core.Primitive{Value: &core.Primitive_Datetime{Datetime: timestamppb.New(slot)}},
	}}}}
	return &admin.ExecutionCreateRequest{
		Project: id.Project, Domain: id.Domain, Name: schedule.ExecutionName(id, slot),
		Spec: &admin.ExecutionSpec{
			LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id),
			Metadata:   &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: timestamppb.New(slot)},
		},
		Inputs: &core.LiteralMap{Literals: map[string]*core.Literal{"at": at}},
	}
}

// names are many names.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("plan-", i)
	}
	return all
}

// once fails the test unless the executions on Flyte are those of the firings, each once.
func (w *world) once(fs []schedule.Firing) {
	w.Helper()
	var want, got []string
	for _, f := range fs {
		want = append(want, f.LaunchPlan.Name+" "+f.Execution())
	}
	for _, x := range w.admin.Executions() {
		got = append(got, x.GetSpec().GetLaunchPlan().GetName()+" "+x.GetId().GetName())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		w.Errorf("%d executions for %d firings", len(got), len(want))
	}
}
