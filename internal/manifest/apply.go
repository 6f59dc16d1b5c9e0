package manifest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/workflow"
)

// Options say how to apply manifests.
type Options struct {
	// Project, Domain and Version are for what does not say its own. Empty
	// means default, development and a hash of the content.
	Project, Domain, Version string
	// Activate activates the launch plans of packages that have a schedule.
	// YAML manifests say themselves what is active.
	Activate bool
	// DryRun changes nothing; the Report says what would have changed.
	DryRun bool
	// Slots is how many of the next slots to report of each active launch plan, at most 100.
	Slots int
	// Diff reports, in a dry run, what each schedule would change from and to, with so many
	// of the next slots of both, at most 100; 0 means that it does not.
	Diff int
	// Stdin is what the path Stdin reads; nil means that there is nothing.
	Stdin io.Reader
	// HTTP uploads files; nil means http.DefaultClient.
	HTTP *http.Client
}

// Apply registers what paths name, files, directories or Stdin, on the server
// at the other end of conn, and activates it. Definitions come before launch
// plans, whatever the order of the documents, and the failure of one document
// does not keep the others. Applying the same again changes nothing.
//
// The error says that nothing was applied because there is no server, or that
// ctx ended; everything else is in the Report.
func Apply(ctx context.Context, conn grpc.ClientConnInterface, paths []string, o Options) (Report, error) {
	o.Project, o.Domain = cmp.Or(o.Project, "default"), cmp.Or(o.Domain, "development")
	if o.Stdin == nil {
		o.Stdin = http.NoBody
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	a := applier{
		Options:   o,
		admin:     service.NewAdminServiceClient(conn),
		data:      service.NewDataProxyServiceClient(conn),
		schedules: tminusv1.NewScheduleServiceClient(conn),
	}
	if _, err := a.admin.GetVersion(ctx, &admin.GetVersionRequest{}); status.Code(err) == codes.Unavailable {
		return Report{}, clientError(err)
	}
	now := time.Now()
	manifests := load(paths, func(project, domain, name string, digest []byte) (*service.CreateUploadLocationResponse, error) {
		return a.data.CreateUploadLocation(ctx, &service.CreateUploadLocationRequest{
			Project: project, Domain: domain, Filename: name, ContentMd5: digest, AddContentMd5Metadata: true,
		})
	}, o)
	manifests.resolve(func(id ident.ID) (*core.TypedInterface, error) { return a.workflowInterface(ctx, id) })

	results := make([][]Result, len(manifests.units))
	for i, u := range manifests.units {
		results[i] = u.results()
		a.define(ctx, u, results[i])
	}
	report := Report{DryRun: o.DryRun}
	for i, u := range manifests.units {
		for j := range results[i] {
			r := &results[i][j]
			if r.Err == nil && j < len(u.plans) {
				r.Err = a.launchPlan(ctx, u, u.plans[j], r, now)
			}
		}
		report.Results = append(report.Results, results[i]...)
	}
	return report, ctx.Err()
}

// results are empty results for the launch plans of u, or for u as a whole.
func (u *unit) results() []Result {
	var results []Result
	for _, p := range u.plans {
		results = append(results, Result{Position: u.Position, Entity: entityOf(p.GetId())})
	}
	if len(results) == 0 {
		r := Result{Position: u.Position}
		if messages := u.messages(); len(messages) > 0 {
			r.Entity = entityOf(messages[len(messages)-1].GetId())
		}
		results = append(results, r)
	}
	for i := range results {
		results[i].Err = u.err
	}
	return results
}

func entityOf(id *core.Identifier) Entity {
	return Entity{
		Kind:    kindWord(id.GetResourceType()),
		Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName(), Version: id.GetVersion(),
	}
}

type applier struct {
	Options
	admin     service.AdminServiceClient
	data      service.DataProxyServiceClient
	schedules tminusv1.ScheduleServiceClient
}

// workflowInterface reads the interface of a registered workflow.
func (a *applier) workflowInterface(ctx context.Context, id ident.ID) (*core.TypedInterface, error) {
	w, err := a.admin.GetWorkflow(ctx, &admin.ObjectGetRequest{Id: workflow.Identifier(core.ResourceType_WORKFLOW, id)})
	if err != nil {
		return nil, clientError(err)
	}
	return w.GetClosure().GetCompiledWorkflow().GetPrimary().GetTemplate().GetInterface(), nil
}

// define uploads the files of u and registers its tasks and workflows.
func (a *applier) define(ctx context.Context, u *unit, results []Result) {
	if u.err != nil {
		return
	}
	var others []Entity
	err := a.upload(ctx, u)
	for _, t := range u.tasks {
		if err != nil {
			break
		}
		var change Change
		change, err = a.task(ctx, t)
		err = u.refused(t.GetId(), err)
		e := entityOf(t.GetId())
		e.Registration = change
		others = append(others, e)
	}
	for _, w := range u.workflows {
		if err != nil {
			break
		}
		var change Change
		change, err = a.workflow(ctx, w)
		err = u.refused(w.GetId(), err)
		e := entityOf(w.GetId())
		e.Registration = change
		others = append(others, e)
	}
	for i := range results {
		results[i].Err = err
	}
	// What is in a package belongs to all of its launch plans; it is told with the first.
	results[0].Others = others
	if len(u.plans) == 0 && len(others) > 0 && err == nil {
		last := len(others) - 1
		results[0].Entity, results[0].Others = others[last], others[:last]
	}
}

// upload sends the files of u.
func (a *applier) upload(ctx context.Context, u *unit) error {
	if a.DryRun {
		return nil
	}
	for _, file := range u.uploads {
		if err := file.put(ctx, a.HTTP); err != nil {
			return err
		}
	}
	return nil
}

// registered turns the answer to a create request into what it means.
func registered(err error) (Change, error) {
	if status.Code(err) == codes.AlreadyExists {
		return Unchanged, nil
	}
	if err != nil {
		return "", err
	}
	return Created, nil
}

// compared is what creating want would come to, given what is registered under its identifier.
func compared(want, have proto.Message, err error) (Change, error) {
	if status.Code(err) == codes.NotFound {
		return Created, nil
	}
	if err != nil {
		return "", err
	}
	if difference := launchplan.Diff(have, want); difference != "" {
		return "", status.Errorf(codes.InvalidArgument, "this version is registered with another content (%s); change the version, or leave it out", difference)
	}
	return Unchanged, nil
}

func (a *applier) task(ctx context.Context, t *admin.TaskCreateRequest) (Change, error) {
	if !a.DryRun {
		_, err := a.admin.CreateTask(ctx, t)
		return registered(err)
	}
	have, err := a.admin.GetTask(ctx, &admin.ObjectGetRequest{Id: t.GetId()})
	want, compileErr := workflow.CompileTask(workflow.ID(t.GetId()), t.GetSpec().GetTemplate())
	if compileErr != nil {
		return "", compileErr
	}
	return compared(want, have.GetClosure().GetCompiledTask(), err)
}

func (a *applier) workflow(ctx context.Context, w *admin.WorkflowCreateRequest) (Change, error) {
	if !a.DryRun {
		_, err := a.admin.CreateWorkflow(ctx, w)
		return registered(err)
	}
	have, err := a.admin.GetWorkflow(ctx, &admin.ObjectGetRequest{Id: w.GetId()})
	if err != nil {
		return compared(nil, nil, err)
	}
	compiled := have.GetClosure().GetCompiledWorkflow()
	tasks := localTasks{}
	for _, t := range compiled.GetTasks() {
		tasks[workflow.ID(t.GetTemplate().GetId())] = t
	}
	want, err := workflow.Compile(workflow.ID(w.GetId()), w.GetSpec(), tasks)
	return compared(want, compiled, err)
}

// launchPlan registers a launch plan and brings it to the state that is asked for.
func (a *applier) launchPlan(ctx context.Context, u *unit, p plan, r *Result, now time.Time) error {
	var err error
	if r.Registration, err = a.create(ctx, p, r); err != nil {
		return u.refused(p.GetId(), err)
	}
	if err := a.activate(ctx, p, r); err != nil {
		return clientError(err)
	}
	if err := a.describe(ctx, p, r); err != nil {
		return clientError(err)
	}
	if r.Active && a.Slots > 0 {
		r.Next, err = a.next(ctx, p, r, now)
	}
	if err == nil && a.DryRun && a.Diff > 0 && (r.Activation == Activated || r.Activation == Deactivated) {
		err = a.diff(ctx, p, r)
	}
	return clientError(err)
}

// diff compares the schedule in force with the one that would be.
func (a *applier) diff(ctx context.Context, p plan, r *Result) error {
	after := p.GetSpec()
	if r.Activation == Deactivated {
		after = &admin.LaunchPlanSpec{} // Nothing fires.
	}
	diff, err := a.schedules.DiffSchedule(ctx, &tminusv1.DiffScheduleRequest{
		Project: r.Project, Domain: r.Domain, Name: r.Name, Next: uint32(a.Diff), //nolint:gosec // At most 100.
		After: &tminusv1.DiffScheduleRequest_Spec{Spec: after},
	})
	if status.Code(err) == codes.Unimplemented {
		return nil // A Flyte that is not tminus does not know it.
	}
	if diff.GetBefore().GetExpression() != "" || diff.GetAfter().GetExpression() != "" {
		r.Diff = diff
	}
	return err
}

func (a *applier) create(ctx context.Context, p plan, r *Result) (Change, error) {
	if a.DryRun {
		have, err := a.admin.GetLaunchPlan(ctx, &admin.ObjectGetRequest{Id: p.GetId()})
		return compared(p.GetSpec(), have.GetSpec(), err)
	}
	var header metadata.MD
	_, err := a.admin.CreateLaunchPlan(ctx, p.LaunchPlanCreateRequest, grpc.Header(&header))
	r.warned(header)
	return registered(err)
}

// warned keeps what the server said beside its answer, once.
func (r *Result) warned(header metadata.MD) {
	for _, warning := range header.Get("tminus-warning") {
		if !slices.Contains(r.Warnings, warning) {
			r.Warnings = append(r.Warnings, warning)
		}
	}
}

// activate brings the launch plan to the state that is asked for. Only the
// version of the manifest is ever deactivated, other than by activating it.
func (a *applier) activate(ctx context.Context, p plan, r *Result) error {
	id := p.GetId()
	active, err := a.admin.GetActiveLaunchPlan(ctx, &admin.ActiveLaunchPlanRequest{Id: &admin.NamedEntityIdentifier{
		Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName(),
	}})
	if err != nil && status.Code(err) != codes.NotFound {
		return err
	}
	current := active.GetId().GetVersion()
	r.Active = err == nil && current == id.GetVersion()
	if !r.Active {
		r.Was = current
	}
	state := admin.LaunchPlanState_ACTIVE
	switch {
	case p.activation == leave:
		return nil
	case (p.activation == activate) == r.Active:
		r.Activation = Unchanged
		return nil
	case p.activation == activate:
		r.Activation, r.Active = Activated, true
	default:
		r.Activation, r.Active, state = Deactivated, false, admin.LaunchPlanState_INACTIVE
	}
	if a.DryRun {
		return nil
	}
	var header metadata.MD
	_, err = a.admin.UpdateLaunchPlan(ctx, &admin.LaunchPlanUpdateRequest{Id: id, State: state}, grpc.Header(&header))
	r.warned(header)
	return err
}

// describe sets the description of the launch plan's name.
func (a *applier) describe(ctx context.Context, p plan, r *Result) error {
	if p.description == "" {
		return nil
	}
	id := &admin.NamedEntityIdentifier{Project: p.GetId().GetProject(), Domain: p.GetId().GetDomain(), Name: p.GetId().GetName()}
	have, err := a.admin.GetNamedEntity(ctx, &admin.NamedEntityGetRequest{ResourceType: core.ResourceType_LAUNCH_PLAN, Id: id})
	if err != nil && status.Code(err) != codes.NotFound {
		return err
	}
	r.Description = Updated
	if have.GetMetadata().GetDescription() == p.description {
		r.Description = Unchanged
		return nil
	}
	if a.DryRun {
		return nil
	}
	_, err = a.admin.UpdateNamedEntity(ctx, &admin.NamedEntityUpdateRequest{
		ResourceType: core.ResourceType_LAUNCH_PLAN, Id: id,
		Metadata: &admin.NamedEntityMetadata{Description: p.description, State: have.GetMetadata().GetState()},
	})
	return err
}

// next are the launch plan's next slots: what the server says of an active one,
// because its rate counts from the activation, and otherwise what will be.
func (a *applier) next(ctx context.Context, p plan, r *Result, now time.Time) ([]time.Time, error) {
	spec, err := launchplan.ScheduleSpec(p.GetSpec(), a.calendars(ctx))
	if spec == nil || err != nil {
		return nil, err
	}
	if !a.DryRun || r.Activation == Unchanged {
		have, err := a.schedules.GetSchedule(ctx, &tminusv1.GetScheduleRequest{
			Project: r.Project, Domain: r.Domain, Name: r.Name, Next: uint32(a.Slots), //nolint:gosec // At most 100.
		})
		if err == nil {
			return times(have.GetSchedule().GetNext()), nil
		}
		if status.Code(err) != codes.Unimplemented { // A Flyte that is not tminus does not know it.
			return nil, err
		}
	}
	timetable, err := spec.Compile(now)
	if err != nil {
		return nil, fmt.Errorf("compile schedule: %w", err)
	}
	var slots []time.Time
	for slot := timetable.Next(now); !slot.IsZero() && len(slots) < a.Slots; slot = timetable.Next(slot) {
		slots = append(slots, slot.UTC())
	}
	if len(slots) == 0 && (r.Registration == Created || r.Activation == Activated) {
		return nil, fmt.Errorf("%s has no slot any more", spec.Expression)
	}
	return slots, nil
}

// calendars finds the calendars that the server has.
func (a *applier) calendars(ctx context.Context) launchplan.Calendars {
	return func(name string) (schedule.Calendar, error) {
		answer, err := a.schedules.GetCalendar(ctx, &tminusv1.GetCalendarRequest{Name: name})
		switch status.Code(err) {
		case codes.OK:
		case codes.Unimplemented: // A Flyte that is not tminus reads no such annotations.
			return launchplan.AnyCalendar(name)
		case codes.NotFound:
			return schedule.Calendar{}, schedule.NoCalendar(name)
		default:
			return schedule.Calendar{}, err
		}
		dates := make([]time.Time, len(answer.GetCalendar().GetDates()))
		for i, text := range answer.GetCalendar().GetDates() {
			if dates[i], err = time.Parse(time.DateOnly, text); err != nil {
				return schedule.Calendar{}, fmt.Errorf("read calendar %s: %w", name, err)
			}
		}
		return schedule.NewCalendar(name, dates)
	}
}

func times(stamps []*timestamppb.Timestamp) []time.Time {
	list := make([]time.Time, len(stamps))
	for i, s := range stamps {
		list[i] = s.AsTime()
	}
	return list
}
