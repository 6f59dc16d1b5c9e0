package flyte

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

const (
	// lookMost is how many executions are looked at in one go, listMost how many with one request.
	lookMost = 500
	listMost = 100
	// lookers is how many requests about executions are open at once.
	lookers = 4
	// lookLease is how long nobody else looks at what one does.
	lookLease = 30 * time.Second
	// lookPoll is how often it is looked whether there is something to look at, whoever forgot to say so.
	lookPoll = 5 * time.Second
	// An execution is looked at again after half of its age, within these.
	leastLook = 2 * time.Second
	mostLook  = time.Minute
	// unknownTime is how long after its creation an execution that Flyte does not know is taken for lost.
	unknownTime = 10 * time.Minute
)

// Run follows the executions until ctx ends, and ends those that are to be ended.
// A flyteadmin or a database that fails is tried again.
func (l *Launcher) Run(ctx context.Context) error {
	const first, last = time.Second, 30 * time.Second
	pause := first
	for ctx.Err() == nil {
		wait, err := l.look(ctx)
		switch {
		case err == nil:
			pause = first
		case ctx.Err() != nil:
			return nil //nolint:nilerr // Told to stop.
		default:
			l.cfg.Log.WarnContext(ctx, "cannot follow what executions on Flyte come to; trying again", slog.Any("error", err), slog.Duration("pause", pause))
			wait, pause = pause, min(2*pause, last)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// look follows executions of which it is time to, and says when to look again.
func (l *Launcher) look(ctx context.Context) (wait time.Duration, err error) {
	now, err := l.db.Now(ctx)
	if err != nil {
		return 0, err
	}
	claimed, err := l.db.ClaimElsewhere(ctx, now, lookLease, lookMost)
	if err != nil {
		return 0, err
	}
	type place struct{ project, domain string }
	places := make(map[place][]*store.Execution)
	for i := range claimed {
		x := &claimed[i]
		at := place{x.Project, x.Domain}
		places[at] = append(places[at], x)
	}
	g, calling := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for _, xs := range places {
		for len(xs) > 0 {
			some := xs[:min(len(xs), listMost)]
			xs = xs[len(some):]
			g.Go(func() error { return l.follow(calling, some, now) })
		}
	}
	if err := g.Wait(); err != nil || len(claimed) == lookMost {
		return 0, err
	}
	next, err := l.db.NextElsewhere(ctx)
	if err != nil || next.IsZero() {
		return lookPoll, err
	}
	return min(max(next.Sub(now), 0), lookPoll), nil
}

// follow finds out what became of executions of one project and domain, and records it.
func (l *Launcher) follow(ctx context.Context, xs []*store.Execution, now time.Time) error {
	for _, x := range xs {
		if x.Phase != store.Aborting {
			continue
		}
		l.end(ctx, x)
	}
	seen, err := l.list(ctx, xs)
	if err != nil {
		return err
	}
	settled := make([]store.Execution, 0, len(xs))
	for _, x := range xs {
		there, ok := seen[x.Name]
		if !ok || there.GetClosure().GetPhase() == core.WorkflowExecution_FAILED { // Lists cut what is said of failures.
			if there, err = l.admin.GetExecution(ctx, &admin.WorkflowExecutionGetRequest{Id: executionIDOf(x)}); err != nil && status.Code(err) != codes.NotFound {
				return fmt.Errorf("get execution %s: %w", x, err)
			}
		}
		switch {
		case there == nil:
			lost(x, now)
		case stillborn(there):
			again, err := l.relaunch(ctx, x, there, now)
			if err != nil {
				return err
			}
			if again {
				continue
			}
			observe(x, there, now)
		default:
			observe(x, there, now)
		}
		settled = append(settled, *x)
	}
	ended, err := l.db.SettleElsewhere(ctx, now, settled)
	if err != nil {
		return err
	}
	for _, x := range ended {
		l.cfg.Finished(x)
	}
	return nil
}

// end asks Flyte to end an execution. It is asked again as long as that has not come about.
func (l *Launcher) end(ctx context.Context, x *store.Execution) {
	_, err := l.admin.TerminateExecution(ctx, &admin.ExecutionTerminateRequest{Id: executionIDOf(x), Cause: cmp.Or(x.AbortCause, "ended by tminus")})
	switch status.Code(err) {
	case codes.OK, codes.NotFound, codes.FailedPrecondition: // The latter are said of what is not there, or over.
	default:
		l.cfg.Log.WarnContext(ctx, "cannot end an execution on Flyte; trying again", slog.String("execution", x.String()), slog.Any("error", err))
	}
}

// list reads executions by their names.
func (l *Launcher) list(ctx context.Context, xs []*store.Execution) (map[string]*admin.Execution, error) {
	names := make([]string, len(xs))
	for i, x := range xs {
		names[i] = x.Name
	}
	request := &admin.ResourceListRequest{
		Id:    &admin.NamedEntityIdentifier{Project: xs[0].Project, Domain: xs[0].Domain},
		Limit: uint32(len(xs)), //nolint:gosec // At most listMost.
		// Without a word of the state, archived ones are left out.
		Filters: "value_in(execution_name," + strings.Join(names, ";") + ")+value_in(state,0;1)",
	}
	page, err := l.admin.ListExecutions(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("list executions of %s:%s: %w", xs[0].Project, xs[0].Domain, err)
	}
	seen := make(map[string]*admin.Execution, len(xs))
	for _, x := range page.GetExecutions() {
		seen[x.GetId().GetName()] = x
	}
	return seen, nil
}

func executionIDOf(x *store.Execution) *core.WorkflowExecutionIdentifier {
	return &core.WorkflowExecutionIdentifier{Project: x.Project, Domain: x.Domain, Name: x.Name}
}

// relaunch has the firing of an execution launch again that Flyte accepted and could not start.
func (l *Launcher) relaunch(ctx context.Context, x *store.Execution, there *admin.Execution, now time.Time) (again bool, err error) {
	reason := stillbornReason(there)
	l.pace.hold(reason)
	f, err := l.db.Relaunch(ctx, now, *x, reason)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.cfg.Log.WarnContext(ctx, "launching again", slog.String("launch_plan", f.LaunchPlan.String()), slog.Time("slot", f.Slot), slog.String("reason", reason))
	l.cfg.Settled([]schedule.Firing{f})
	return true, nil
}

// lost is what becomes of an execution that Flyte does not know.
func lost(x *store.Execution, now time.Time) {
	if now.Sub(x.CreatedAt) < unknownTime {
		x.LookAt = now.Add(mostLook)
		return
	}
	failure := &core.ExecutionError{Code: "NotFound", Message: "Flyte does not know this execution any more", Kind: core.ExecutionError_SYSTEM}
	x.Error, _ = proto.Marshal(failure) //nolint:errcheck // Two short texts.
	x.Phase, x.EndedAt, x.LookAt = store.Failed, now, time.Time{}
}

// observe takes over what Flyte says of an execution.
func observe(x *store.Execution, there *admin.Execution, now time.Time) {
	c := there.GetClosure()
	x.Phase = store.Phase(c.GetPhase().String())
	if at := c.GetStartedAt(); at != nil {
		x.StartedAt = at.AsTime()
	}
	if failure := c.GetError(); failure != nil {
		x.Error, _ = proto.Marshal(failure) //nolint:errcheck // It came from the wire.
	}
	if abort := c.GetAbortMetadata(); abort != nil {
		x.AbortCause, x.AbortedBy = abort.GetCause(), abort.GetPrincipal()
	}
	if x.Phase.Terminal() {
		x.EndedAt, x.LookAt = c.GetUpdatedAt().AsTime(), time.Time{}
		return
	}
	x.LookAt = now.Add(min(max(now.Sub(x.CreatedAt)/2, leastLook), mostLook))
}
