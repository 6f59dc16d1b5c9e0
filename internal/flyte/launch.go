package flyte

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Executions is the database as a Launcher sees it; package storetest says what
// each method promises.
type Executions interface {
	Elsewhere
	Now(ctx context.Context) (time.Time, error)
	PlansOf(ctx context.Context, ids []ident.ID) (map[ident.ID]store.Plan, error)
	CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error)
	UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error)
}

// Elsewhere keeps what is known of executions on a Flyte.
type Elsewhere interface {
	ClaimElsewhere(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Execution, error)
	SettleElsewhere(ctx context.Context, now time.Time, es []store.Execution) ([]store.Execution, error)
	NextElsewhere(ctx context.Context) (time.Time, error)
	Relaunch(ctx context.Context, now time.Time, x store.Execution, reason string) (schedule.Firing, error)
}

// LauncherConfig tunes a Launcher; its zero value is what most want.
type LauncherConfig struct {
	// Concurrency is the most calls in flight; how many there are up to that follows
	// how fast flyteadmin answers. 0 means 64.
	Concurrency int
	// CallTime bounds one call; 0 means 15 s, as in Flyte's clients.
	CallTime time.Duration
	// Finished is told of each execution that ended, as runner.Config.Finished is; nil means nobody is.
	Finished func(store.Execution)
	// Settled is told of firings that launch again, or are dead, since Flyte could
	// not start what it had accepted. It must not block; nil means nobody is.
	Settled func([]schedule.Firing)
	// Log takes what operators should know; nil means none of it.
	Log *slog.Logger
}

func (c LauncherConfig) withDefaults() LauncherConfig {
	if c.Concurrency == 0 {
		c.Concurrency = 64
	}
	if c.CallTime == 0 {
		c.CallTime = 15 * time.Second
	}
	if c.Finished == nil {
		c.Finished = func(store.Execution) {}
	}
	if c.Settled == nil {
		c.Settled = func([]schedule.Firing) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Launcher creates executions on a flyteadmin, and follows what becomes of them.
// What it launched is in the database as well, with store.Elsewhere as its Runner.
type Launcher struct {
	admin service.AdminServiceClient
	db    Executions
	cfg   LauncherConfig
	pace  *pace
	limit *rate.Limiter // nil means none
	wake  chan struct{} // Run has something to do
}

// NewLauncher makes a launcher over a connection to a flyteadmin. The connection should
// not repeat calls by itself.
func NewLauncher(conn grpc.ClientConnInterface, db Executions, cfg LauncherConfig) *Launcher {
	cfg = cfg.withDefaults()
	return &Launcher{admin: service.NewAdminServiceClient(conn), db: db, cfg: cfg, pace: newPace(cfg.Concurrency), wake: make(chan struct{}, 1)}
}

// Limit bounds how many launches a second Flyte is asked for, and how many at once; a
// burst of 0 means 1. It is to be called before the first launch.
func (l *Launcher) Limit(perSecond float64, burst int) {
	l.limit = rate.NewLimiter(rate.Limit(perSecond), max(1, burst))
}

// enter waits until a launch may be asked for. An error wraps schedule.ErrHeld.
func (l *Launcher) enter(ctx context.Context, behind bool) error {
	if l.limit != nil {
		if err := l.limit.Wait(ctx); err != nil {
			return fmt.Errorf("%w: %w", schedule.ErrHeld, err)
		}
	}
	return l.pace.enter(ctx, behind)
}

// Room is how many launches make sense at present; see engine.Config.
func (l *Launcher) Room() (launches int, wait time.Duration) { return l.pace.room() }

// Problem says why launches are held back; empty means that they are not.
func (l *Launcher) Problem() string { return l.pace.why() }

// Wake has Run look whether there is something to do. It never blocks.
func (l *Launcher) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Launch creates the executions of firings. For each the answer is in the same
// place: nil when its execution is there, from now on or since before; an error
// that wraps schedule.ErrRefused when no retry can help, schedule.ErrSkipped when
// the launch plan's concurrency policy on Flyte left it out, schedule.ErrHeld while
// flyteadmin cannot be reached; and any other error when a retry can help.
func (l *Launcher) Launch(ctx context.Context, firings []schedule.Firing) []error {
	errs := make([]error, len(firings))
	begun := time.Now()
	now, err := l.db.Now(ctx)
	if err != nil {
		return all(errs, err)
	}
	plans, err := l.plans(ctx, firings)
	if err != nil {
		return all(errs, err)
	}
	made := make([]*store.Execution, len(firings))
	var calls sync.WaitGroup
	for i, f := range firings {
		plan, there := plans[f.LaunchPlan]
		if !there {
			errs[i] = unregistered(f.LaunchPlan)
			continue
		}
		x, request, err := launchplan.NewElsewhere(plan, f, now)
		if err != nil {
			errs[i] = fmt.Errorf("%w: launch plan %s: %w", schedule.ErrRefused, f.LaunchPlan, err)
			continue
		}
		if err := l.enter(ctx, f.Behind); err != nil {
			all(errs[i:], err)
			break
		}
		calls.Go(func() {
			if errs[i] = l.create(ctx, request); errs[i] == nil {
				made[i] = &x
			}
		})
	}
	calls.Wait()
	l.record(ctx, begun, made, errs)
	return errs
}

// Find says of firings that were tried whether their executions are on Flyte, as
// engine.Config.Find wants it.
func (l *Launcher) Find(ctx context.Context, firings []schedule.Firing) []error {
	errs := make([]error, len(firings))
	begun := time.Now()
	now, err := l.db.Now(ctx)
	if err != nil {
		return all(errs, err)
	}
	plans, err := l.plans(ctx, firings)
	if err != nil {
		return all(errs, err)
	}
	made := make([]*store.Execution, len(firings))
	var asking errgroup.Group
	asking.SetLimit(lookers)
	for i, f := range firings {
		plan, known := plans[f.LaunchPlan]
		if !known {
			errs[i] = store.ErrNotFound // It was never asked for.
			continue
		}
		asking.Go(func() error {
			made[i], errs[i] = l.find(ctx, plan, f, now)
			return nil
		})
	}
	_ = asking.Wait() //nolint:errcheck // Each has its own.
	l.record(ctx, begun, made, errs)
	return errs
}

// find is the execution of a firing if it is on Flyte.
func (l *Launcher) find(ctx context.Context, plan store.Plan, f schedule.Firing, now time.Time) (*store.Execution, error) {
	x, request, err := launchplan.NewElsewhere(plan, f, now)
	if err != nil {
		return nil, store.ErrNotFound // It was never asked for.
	}
	if err := l.pace.enter(ctx, f.Behind); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.CallTime)
	defer cancel()
	there, err := l.admin.GetExecution(ctx, &admin.WorkflowExecutionGetRequest{Id: executionID(request)})
	if undelivered(err) {
		l.pace.fail(explain(err))
	} else {
		l.pace.leave(time.Time{}, false)
	}
	switch {
	case status.Code(err) == codes.NotFound, err == nil && isSame(there, request) != nil:
		return nil, store.ErrNotFound
	case err != nil:
		return nil, errors.New(explain(err))
	default:
		return &x, nil
	}
}

func all(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// plans are the launch plans of firings, those that are there.
func (l *Launcher) plans(ctx context.Context, firings []schedule.Firing) (map[ident.ID]store.Plan, error) {
	ids := make([]ident.ID, 0, len(firings))
	asked := make(map[ident.ID]bool, len(firings))
	for i := range firings {
		if id := firings[i].LaunchPlan; !asked[id] {
			asked[id] = true
			ids = append(ids, id)
		}
	}
	return l.db.PlansOf(ctx, ids)
}

func unregistered(id ident.ID) error {
	return fmt.Errorf("%w: launch plan %s is not registered", schedule.ErrRefused, id)
}

const (
	// firstLook is how soon it is looked what became of an execution: Flyte may have
	// accepted what it could not start.
	firstLook = time.Second
	// recordTime bounds the recording of what was launched while ctx ended.
	recordTime = 5 * time.Second
)

// record keeps what was launched, so that policies know what runs. What it
// cannot keep is launched again, which comes to nothing on Flyte.
func (l *Launcher) record(ctx context.Context, begun time.Time, made []*store.Execution, errs []error) {
	var es []store.Execution
	for _, x := range made {
		if x != nil {
			x.LookAt = x.CreatedAt.Add(time.Since(begun) + firstLook) // By the database's clock.
			es = append(es, *x)
		}
	}
	if len(es) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if _, err := l.db.CreateExecutions(ctx, es); err != nil {
		for i, x := range made {
			if x != nil {
				errs[i] = fmt.Errorf("%w: record what was launched: %w", schedule.ErrHeld, err)
			}
		}
	}
	l.Wake()
}

// create asks for an execution, for which the caller has entered.
func (l *Launcher) create(ctx context.Context, r *admin.ExecutionCreateRequest) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.CallTime)
	defer cancel()
	_, err := l.admin.CreateExecution(ctx, r)
	lost := undelivered(err)
	if status.Code(err) == codes.AlreadyExists {
		lost, err = l.same(ctx, r, err)
	}
	switch {
	case lost:
		l.pace.fail(explain(err))
		return fmt.Errorf("%w: %s", schedule.ErrHeld, explain(err))
	case err != nil:
		l.pace.leave(began, false)
		return fmt.Errorf("create execution %s: %w", r.GetName(), err)
	}
	if l.pace.doubts() {
		x, err := l.admin.GetExecution(ctx, &admin.WorkflowExecutionGetRequest{Id: executionID(r)})
		switch {
		case err != nil:
			l.pace.fail(explain(err))
			return nil
		case stillborn(x):
			l.pace.fail(stillbornReason(x)) // Run has its firing launch again.
			return nil
		}
	}
	l.pace.leave(began, true)
	return nil
}

// undelivered says that a call did not get to what it is about, or that nobody
// knows whether it did.
func undelivered(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.Unauthenticated:
		return true
	case codes.Unimplemented: // What answers is no flyteadmin, but a proxy that has none behind it.
		return true
	case codes.Internal: // What the other calls answer then.
		m := status.Convert(err).Message()
		return strings.HasPrefix(m, "unexpected error type for") || strings.HasPrefix(m, "failed to connect to")
	case codes.InvalidArgument:
		// So flyteadmin answers while its database is down: it cannot look up the
		// project (project_validator.go). It says "not found" of one that is not there.
		m := status.Convert(err).Message()
		return strings.HasPrefix(m, "failed to validate that project") && !strings.Contains(m, "not found")
	default:
		return false
	}
}

// explain is an answer for people.
func explain(err error) string {
	s := status.Convert(err)
	return fmt.Sprintf("Flyte: %s: %s", s.Code(), s.Message())
}

// crowded is how flyteadmin says that a launch plan's concurrency_policy left a
// launch out. The code is that of an execution that is there (execution_manager.go).
const crowded = "concurrency limit ("

// same finds out whether the execution that was asked for is there, which was
// refused with an answer; lost says that nobody can tell.
func (l *Launcher) same(ctx context.Context, r *admin.ExecutionCreateRequest, answer error) (lost bool, err error) {
	there, err := l.admin.GetExecution(ctx, &admin.WorkflowExecutionGetRequest{Id: executionID(r)})
	switch {
	case status.Code(err) == codes.NotFound && strings.Contains(strings.ToLower(status.Convert(answer).Message()), crowded):
		return false, fmt.Errorf("%w by Flyte: %s", schedule.ErrSkipped, status.Convert(answer).Message())
	case status.Code(err) == codes.NotFound:
		return false, answer
	case err != nil:
		return true, err
	}
	return false, isSame(there, r)
}

// isSame says why an execution is not that which is asked for.
func isSame(there *admin.Execution, r *admin.ExecutionCreateRequest) error {
	want, got := r.GetSpec(), there.GetSpec()
	if a, b := want.GetLaunchPlan(), got.GetLaunchPlan(); a.GetProject() != b.GetProject() || a.GetDomain() != b.GetDomain() || a.GetName() != b.GetName() {
		return fmt.Errorf("%w: the name %s is taken on Flyte by an execution of %s", schedule.ErrRefused, r.GetName(), b)
	}
	if at := got.GetMetadata().GetScheduledAt(); at != nil && !at.AsTime().Equal(want.GetMetadata().GetScheduledAt().AsTime()) {
		return fmt.Errorf("%w: the name %s is taken on Flyte by the execution of the slot %s", schedule.ErrRefused, r.GetName(), at.AsTime().Format(time.RFC3339))
	}
	return nil
}

func executionID(r *admin.ExecutionCreateRequest) *core.WorkflowExecutionIdentifier {
	return &core.WorkflowExecutionIdentifier{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()}
}

// stillborn says that an execution was accepted, and never given to Kubernetes:
// it has failed from its beginning (flyteadmin, CreateExecutionModel).
func stillborn(x *admin.Execution) bool {
	c := x.GetClosure()
	return c.GetPhase() == core.WorkflowExecution_FAILED && c.GetStartedAt() == nil && c.GetUpdatedAt().AsTime().Equal(c.GetCreatedAt().AsTime())
}

func stillbornReason(x *admin.Execution) string {
	return "Flyte accepted the execution " + x.GetId().GetName() + " and could not start it: " + x.GetClosure().GetError().GetMessage()
}

var errEnded = errors.New("it has ended")

// Terminate has an execution ended: Run asks Flyte to. One that has ended is left as it is.
func (l *Launcher) Terminate(ctx context.Context, key ident.Key, cause, by string) error {
	now, err := l.db.Now(ctx)
	if err != nil {
		return err
	}
	_, err = l.db.UpdateExecution(ctx, key, func(x *store.Execution) error {
		if x.Phase.Terminal() || x.Phase == store.Aborting {
			return errEnded
		}
		x.Phase, x.AbortCause, x.AbortedBy, x.UpdatedAt, x.LookAt = store.Aborting, cause, by, now, now
		return nil
	})
	if errors.Is(err, errEnded) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("terminate execution %s: %w", key, err)
	}
	l.Wake()
	return nil
}
