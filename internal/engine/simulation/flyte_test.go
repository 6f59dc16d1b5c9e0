package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// A remote is the Flyte on which the executions of a world run, and its weather.
// All processes reach it through launchers of their own. Its clock never jumps.
type remote struct {
	world *world
	admin *flytetest.Server

	mu      sync.Mutex
	rand    *rand.Rand     // the weather's, which is the actor's
	claims  []letIn        // in the order of time
	refused map[string]int // by execution, the launches that Flyte answered with a refusal
}

// letIn is a claim of a firing whose launcher was then asked to launch it.
type letIn struct {
	claim

	place string
}

func newRemote(w *world) *remote {
	f := &remote{world: w, admin: flytetest.New(), rand: rand.New(rand.NewPCG(w.seed, 3)), refused: map[string]int{}}
	f.admin.Seed(w.seed)
	f.admin.AddProject("default")
	f.admin.Propel(flytetest.Propeller{Queue: time.Second, Start: 3 * time.Second, Run: f.lasts})
	return f
}

// lasts says what becomes of an execution, whose name decides.
func (f *remote) lasts(x *admin.Execution) (time.Duration, core.WorkflowExecution_Phase) {
	h := fnv.New64a()
	fmt.Fprint(h, f.world.seed, x.GetId().GetName())
	n := h.Sum64() >> 20
	phase := core.WorkflowExecution_SUCCEEDED
	if n%3 == 0 {
		phase = core.WorkflowExecution_FAILED
	}
	return time.Duration(n/3%400+1) * time.Second, phase
}

// most is the concurrency policy that a version has on Flyte, which is its
// max_running here; 0 is none.
func most(version string) uint32 {
	if version == "v3" {
		return 2
	}
	return 0
}

// register has a launch plan on Flyte, but for those that are poison, and returns
// what the database keeps of it.
func (f *remote) register(plan store.Plan) store.Plan {
	at := &core.Variable{Type: &core.LiteralType{Type: &core.LiteralType_Simple{Simple: core.SimpleType_DATETIME}}}
	spec := &admin.LaunchPlanSpec{
		WorkflowId:     workflow.Identifier(core.ResourceType_WORKFLOW, plan.Workflow),
		EntityMetadata: &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{KickoffTimeInputArg: "at"}},
	}
	if n := most(plan.Version); n > 0 {
		spec.ConcurrencyPolicy = &admin.ConcurrencyPolicy{Max: int32(n), Behavior: admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP}
	}
	if plan.Name != "poison" {
		f.admin.PutLaunchPlan(workflow.Identifier(core.ResourceType_LAUNCH_PLAN, plan.ID), spec,
			&core.TypedInterface{Inputs: &core.VariableMap{Variables: map[string]*core.Variable{"at": at}}})
	}
	closure := &admin.LaunchPlanClosure{ExpectedInputs: &core.ParameterMap{Parameters: map[string]*core.Parameter{"at": {Var: at}}}}
	plan.Spec, plan.Closure = f.encode(spec), f.encode(closure)
	return plan
}

func (f *remote) encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		f.world.t.Error(err)
	}
	return b
}

// change has the weather change: what was wrong is over, and something else is, or two things.
func (f *remote) change() {
	f.calm()
	r := f.rand
	for range r.IntN(3) {
		a := f.admin
		launching := []string{"CreateExecution", "GetExecution"}
		switch r.IntN(14) {
		case 0:
			f.down(true)
		case 1:
			a.LoseReplies(0.5)
		case 2:
			a.LoseReplies(0.9, "CreateExecution")
		case 3:
			a.FailBefore(0.5, pick(r, nil, launching)...)
		case 4:
			a.BreakHalfway(0.5)
		case 5, 6:
			a.KubernetesDown(true)
		case 7:
			a.KubernetesRate(0.3, 1)
		case 8:
			a.DatabaseDown(true)
		case 9:
			slow := time.Duration(r.IntN(12)) * time.Second
			a.Latency(func(string) time.Duration { return slow })
		case 10:
			a.Work(flytetest.Load{PerSecond: 1, Workers: 1})
		case 11:
			a.Throttle(0.5)
		case 12:
			a.Refuse(status.Error(pick(r, codes.Internal, codes.PermissionDenied), "a bug"), "CreateExecution")
		case 13:
			a.PageBadly(pick(r, flytetest.PageEmpty, flytetest.PageHalf, flytetest.PageShort))
		}
	}
	if r.IntN(4) == 0 { // Somebody ends an execution there.
		all := f.admin.Executions()
		if len(all) > 0 {
			id := all[r.IntN(len(all))].GetId()
			_, err := f.admin.TerminateExecution(f.world.t.Context(), &admin.ExecutionTerminateRequest{Id: id, Cause: "no more"})
			if c := status.Code(err); c != codes.OK && c != codes.FailedPrecondition && c != codes.Internal {
				f.world.t.Errorf("seed %d: end execution: %v", f.world.seed, err)
			}
		}
	}
}

// calm ends all faults.
func (f *remote) calm() {
	a := f.admin
	f.down(false)
	a.LoseReplies(0)
	a.FailBefore(0)
	a.BreakHalfway(0)
	a.KubernetesDown(false)
	a.KubernetesRate(0, 0)
	a.DatabaseDown(false)
	a.Latency(nil)
	a.Work(flytetest.Load{})
	a.Throttle(0)
	a.Refuse(nil, "CreateExecution")
	a.PageBadly(flytetest.PageWell)
}

func (f *remote) down(is bool) {
	if err := f.admin.Down(is); err != nil {
		f.world.t.Errorf("seed %d: %v", f.world.seed, err)
	}
}

// launcher is the launcher of a process.
func (f *remote) launcher(p *process) *flyte.Launcher {
	return flyte.NewLauncher(wire{p, f.admin.Pipe(f.world.t)}, p, flyte.LauncherConfig{
		CallTime: 7 * time.Second,
		Finished: func(x store.Execution) {
			if err := p.engine.Ended(context.WithoutCancel(f.world.t.Context()), x); err != nil && !errors.Is(err, errCrashed) {
				f.world.t.Errorf("seed %d: %v", f.world.seed, err)
			}
		},
	})
}

// launch notes who let firings in, and asks for their executions.
func (f *remote) launch(ctx context.Context, p *process, fs []schedule.Firing) []error {
	f.world.mu.Lock()
	f.mu.Lock()
	for _, x := range fs {
		at := place(x.LaunchPlan.Key, x.Slot)
		f.claims = append(f.claims, letIn{f.world.claims[at], at})
	}
	f.mu.Unlock()
	f.world.mu.Unlock()
	return p.launcher.Launch(ctx, fs)
}

// A wire is the connection of a process, which may crash before a call, or after
// it and before it has the answer.
type wire struct {
	process *process
	*grpc.ClientConn
}

// Invoke makes one call.
func (c wire) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	_, err := step(c.process, func() (int, error) { return 0, c.ClientConn.Invoke(ctx, method, request, reply, options...) })
	if errors.Is(err, errCrashed) {
		return status.FromContextError(context.Canceled).Err()
	}
	if r, is := request.(*admin.ExecutionCreateRequest); is && refusal(err) && path.Base(method) == "CreateExecution" {
		f := c.process.world.flyte
		f.mu.Lock()
		f.refused[r.GetName()]++
		f.mu.Unlock()
	}
	return err
}

// refusal says that flyteadmin could be reached, and did not do as it was asked.
func refusal(err error) bool {
	switch status.Code(err) {
	case codes.OK, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.AlreadyExists:
		return false
	case codes.InvalidArgument:
		return !strings.Contains(err.Error(), "connection refused") // By its database.
	default:
		return true
	}
}

// What the launcher asks of the database is a step as well.

func (p *process) CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error) {
	return step(p, func() ([]bool, error) { return p.DB.CreateExecutions(ctx, es) })
}

func (p *process) UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error) {
	return step(p, func() (store.Execution, error) { return p.DB.UpdateExecution(ctx, key, change) })
}

func (p *process) ClaimElsewhere(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Execution, error) {
	return step(p, func() ([]store.Execution, error) { return p.DB.ClaimElsewhere(ctx, now, lease, limit) })
}

func (p *process) SettleElsewhere(ctx context.Context, now time.Time, es []store.Execution) ([]store.Execution, error) {
	return step(p, func() ([]store.Execution, error) { return p.DB.SettleElsewhere(ctx, now, es) })
}

func (p *process) Relaunch(ctx context.Context, now time.Time, x store.Execution, reason string) (schedule.Firing, error) {
	return step(p, func() (schedule.Firing, error) { return p.DB.Relaunch(ctx, now, x, reason) })
}

// rest says whether all that began on Flyte has ended, there and here.
func (f *remote) rest() bool {
	for _, x := range f.admin.Executions() {
		if !store.Phase(x.GetClosure().GetPhase().String()).Terminal() {
			return false
		}
	}
	open, err := f.world.db.NextElsewhere(f.world.t.Context())
	if err != nil {
		f.world.t.Errorf("seed %d: %v", f.world.seed, err)
	}
	return open.IsZero()
}

// stillborn says that flyteadmin took an execution and Kubernetes did not: it is
// FAILED from its beginning, and nothing of it ever ran.
func stillborn(x *admin.Execution) bool {
	c := x.GetClosure()
	return c.GetPhase() == core.WorkflowExecution_FAILED && c.GetStartedAt() == nil && strings.Contains(c.GetError().GetMessage(), "propeller")
}

// accepted are the executions that began on Flyte, by launch plan and slot, and
// proves all that can be told of the others. An execution that is stillborn did
// nothing, so that it is no second launch: the next has another name, and the
// first stays what it is. Nothing else is excused: what began belongs to a firing
// that is launched, whoever crashed and whatever was lost.
func (f *remote) accepted(fail func(string, ...any)) map[string][]*launch {
	w := f.world
	firings, err := w.db.Firings(w.t.Context(), store.Query{Limit: 100_000})
	if err != nil {
		fail("%v", err)
	}
	bySlot := map[string]schedule.Firing{}
	for _, x := range firings {
		if x.Count == 1 && x.Outcome != schedule.Missed {
			bySlot[place(x.LaunchPlan.Key, x.Slot)] = x
		}
	}
	kept, err := w.db.Executions(w.t.Context(), store.Query{Limit: 100_000})
	if err != nil {
		fail("%v", err)
	}
	here := map[ident.Key]store.Execution{}
	for _, x := range kept {
		here[x.Key] = x
	}
	accepted := map[string][]*launch{}
	tried := map[string]int{}
	for _, x := range f.admin.Executions() {
		plan, slot := x.GetSpec().GetLaunchPlan(), x.GetSpec().GetMetadata().GetScheduledAt().AsTime()
		id := x.GetId()
		key := ident.Key{Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName()}
		at := place(ident.Key{Project: plan.GetProject(), Domain: plan.GetDomain(), Name: plan.GetName()}, slot)
		firing, is := bySlot[at]
		switch {
		case !is:
			fail("execution %s of slot %s belongs to no firing", key.Name, at)
			continue
		case plan.GetVersion() != firing.LaunchPlan.Version:
			fail("slot %s of %s was launched as %s", at, firing.LaunchPlan, plan)
		}
		own, kept := here[key]
		delete(here, key)
		if stillborn(x) {
			if !usedUp(firing, key.Name) {
				fail("slot %s (%d relaunches) never had the name %s", at, firing.Relaunches, key.Name)
			}
			tried[at]++
			if kept && !own.Phase.Terminal() {
				fail("execution %s of slot %s never began, and is %s", key.Name, at, own.Phase)
			}
			continue
		}
		if key.Name != firing.Execution() {
			fail("execution %s began for slot %s, whose firing says %s (%s, %d relaunches)", key.Name, at, firing.Execution(), firing.Outcome, firing.Relaunches)
		}
		c := x.GetClosure()
		switch phase := store.Phase(c.GetPhase().String()); {
		case !kept:
			fail("execution %s of slot %s is not in the database", key.Name, at)
		case own.Phase != phase || !own.EndedAt.Equal(c.GetUpdatedAt().AsTime().Truncate(time.Microsecond)):
			fail("execution %s of slot %s is %s since %s on Flyte, and %s since %s here", key.Name, at, phase, c.GetUpdatedAt().AsTime(), own.Phase, own.EndedAt)
		}
		accepted[at] = append(accepted[at], &launch{
			firing: firing, claim: f.claimed(at, c.GetCreatedAt().AsTime()),
			begun: c.GetCreatedAt().AsTime(), over: c.GetUpdatedAt().AsTime(), ended: 1,
		})
	}
	for key, x := range here {
		fail("execution %s of %s (%s) is not on Flyte", key.Name, x.LaunchPlan, x.Phase)
	}
	for at, x := range bySlot {
		f.checkAttempts(at, x, tried[at], fail)
	}
	return accepted
}

// usedUp says whether a firing has, or had, a name.
func usedUp(f schedule.Firing, name string) bool {
	for ; f.Relaunches >= 0; f.Relaunches-- {
		if f.Execution() == name {
			return true
		}
	}
	return false
}

// checkAttempts proves that attempts were used up by refusals and by executions
// that could not be started alone.
func (f *remote) checkAttempts(at string, x schedule.Firing, stillborn int, fail func(string, ...any)) {
	if x.Relaunches > stillborn {
		fail("slot %s was relaunched %d times, and %d of its executions could not start", at, x.Relaunches, stillborn)
	}
	refused := 0
	for n := range x.Relaunches + 1 {
		was := x
		was.Relaunches = n
		refused += f.refused[was.Execution()]
	}
	if x.Attempts > refused+stillborn {
		fail("slot %s has used up %d attempts, of which %d were refused and %d could not start (%s: %s)", at, x.Attempts, refused, stillborn, x.Outcome, x.Reason)
	}
}

// claimed is the claim under which the execution of a slot was begun at a time.
func (f *remote) claimed(at string, begun time.Time) (last claim) {
	for _, c := range f.claims {
		if c.place == at && !c.at.After(begun) {
			last = c.claim
		}
	}
	return last
}
