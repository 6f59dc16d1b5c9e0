package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// CreateLaunchPlan registers a version of a launch plan, inactive; its schedule is validated here.
func (a *adminService) CreateLaunchPlan(ctx context.Context, r *admin.LaunchPlanCreateRequest) (*admin.LaunchPlanCreateResponse, error) {
	id, err := identifier("id", r.GetId(), core.ResourceType_LAUNCH_PLAN)
	if err != nil {
		return nil, err
	}
	if r.GetSpec() == nil {
		return nil, invalid.Field("spec", "is missing")
	}
	if err := a.unfollowed(); err != nil {
		return nil, err
	}
	if err := a.openPlace(ctx, "id.", id.Project, id.Domain); err != nil {
		return nil, err
	}
	// As with tasks: what is there already is compared first.
	if err := a.comparePlan(ctx, id, r.GetSpec()); err != nil {
		return nil, err
	}
	now, err := a.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	plan, timed, err := a.newPlan(ctx, id, r.GetSpec(), now)
	if err != nil {
		return nil, err
	}
	err = a.store.CreatePlan(ctx, plan)
	if errors.Is(err, store.ErrExists) { // Another client was faster.
		if err := a.comparePlan(ctx, id, r.GetSpec()); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if timed {
		a.warnOfSilence(ctx, id)
	}
	return &admin.LaunchPlanCreateResponse{}, nil
}

// comparePlan is compareDefinition for launch plans.
func (s *Server) comparePlan(ctx context.Context, id ident.ID, spec *admin.LaunchPlanSpec) error {
	before, err := s.store.Plan(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return compare(store.LaunchPlan, id, before.Spec, spec)
}

// newPlan validates a launch plan against its workflow; timed says that it has a schedule.
func (s *Server) newPlan(ctx context.Context, id ident.ID, spec *admin.LaunchPlanSpec, now time.Time) (p store.Plan, timed bool, err error) {
	of, err := identifier("spec.workflow_id", spec.GetWorkflowId(), core.ResourceType_WORKFLOW)
	if err != nil {
		return p, false, err
	}
	valid, err := s.validate(ctx, id, of, spec, now)
	if err != nil {
		return p, false, err
	}
	p = store.Plan{ID: id, Workflow: of, ScheduleType: launchplan.ScheduleType(spec), CreatedAt: now, UpdatedAt: now}
	if p.Spec, err = serialize(spec); err != nil {
		return p, false, err
	}
	p.Closure, err = serialize(valid.Closure)
	return p, valid.Schedule != nil, err
}

// validate holds a launch plan against its workflow.
func (s *Server) validate(ctx context.Context, id, of ident.ID, spec *admin.LaunchPlanSpec, now time.Time) (launchplan.Validated, error) {
	wf, err := s.workflow(ctx, of)
	if errors.Is(err, store.ErrNotFound) {
		return launchplan.Validated{}, notFound("spec.workflow_id: workflow %s is not registered", of)
	}
	if err != nil {
		return launchplan.Validated{}, err
	}
	valid, err := launchplan.Validate(id, spec, wf.GetCompiledWorkflow().GetPrimary().GetTemplate().GetInterface(), now, s.calendars(ctx))
	if err == nil && valid.Schedule != nil {
		err = s.cfg.Express(id.Key, *valid.Schedule)
	}
	return valid, err
}

// warnOfSilence says, to the client and in the log, that a schedule will not fire.
func (s *Server) warnOfSilence(ctx context.Context, id ident.ID) {
	silent := s.cfg.Silent()
	if silent == "" {
		return
	}
	s.warn(ctx, silent)
	s.cfg.Log.WarnContext(ctx, "schedule will not fire", slog.String("launch_plan", id.String()), slog.String("reason", silent))
}

// warnClient says, to the client alone, that no schedule fires.
func (s *Server) warnClient(ctx context.Context) {
	if silent := s.cfg.Silent(); silent != "" {
		s.warn(ctx, silent)
	}
}

// UpdateLaunchPlan activates or deactivates a version, and with it the schedule.
func (a *adminService) UpdateLaunchPlan(ctx context.Context, r *admin.LaunchPlanUpdateRequest) (*admin.LaunchPlanUpdateResponse, error) {
	id, err := identifier("id", r.GetId(), core.ResourceType_LAUNCH_PLAN)
	if err != nil {
		return nil, err
	}
	if err := checkEnum("state", r.GetState()); err != nil {
		return nil, err
	}
	// What is active here of a project that is not followed nobody else could end.
	if r.GetState() == admin.LaunchPlanState_ACTIVE || a.cfg.Follows == nil || a.cfg.Follows.Follows(id.Project) {
		if err := a.unfollowed(); err != nil {
			return nil, err
		}
	}
	plan, err := a.store.Plan(ctx, id)
	if err != nil {
		return nil, missing(err, store.LaunchPlan, id)
	}
	c, err := a.change(ctx, reasonOf(ctx))
	if err != nil {
		return nil, err
	}
	if r.GetState() == admin.LaunchPlanState_ACTIVE {
		err = a.activate(ctx, "id.", plan, c)
	} else {
		err = a.store.Deactivate(ctx, id, c)
	}
	if err != nil {
		return nil, err
	}
	a.engine.Wake()
	if r.GetState() == admin.LaunchPlanState_ACTIVE {
		a.awaitRule(ctx, id.Key)
	}
	return &admin.LaunchPlanUpdateResponse{}, nil
}

// activate makes plan the active version; prefix is where the request names it.
func (s *Server) activate(ctx context.Context, prefix string, plan store.Plan, c store.Change) error {
	if err := s.openPlace(ctx, prefix, plan.Project, plan.Domain); err != nil {
		return err
	}
	spec, err := planSpec(plan)
	if err != nil {
		return err
	}
	timing, err := launchplan.ScheduleSpec(spec, s.calendars(ctx))
	if err != nil {
		return err
	}
	if timing != nil && !plan.Active {
		// What fired when it was registered may have had its last slot since. Of
		// the active version that is no news, and to activate it again changes nothing.
		if _, err := s.validate(ctx, plan.ID, plan.Workflow, spec, c.At); err != nil {
			return err
		}
	}
	if err := s.store.Activate(ctx, plan.ID, timing, c); err != nil {
		return err
	}
	if timing != nil {
		s.warnOfSilence(ctx, plan.ID)
	}
	return nil
}

// planSpec is what was registered.
func planSpec(p store.Plan) (*admin.LaunchPlanSpec, error) {
	spec := &admin.LaunchPlanSpec{}
	return spec, readStored("launch plan "+p.String(), p.Spec, spec)
}

func wirePlan(p store.Plan) (*admin.LaunchPlan, error) {
	spec, err := planSpec(p)
	if err != nil {
		return nil, err
	}
	closure := &admin.LaunchPlanClosure{}
	if err := readStored("launch plan "+p.String(), p.Closure, closure); err != nil {
		return nil, err
	}
	closure.State = admin.LaunchPlanState_INACTIVE
	if p.Active {
		closure.State = admin.LaunchPlanState_ACTIVE
	}
	closure.CreatedAt, closure.UpdatedAt = timestamppb.New(p.CreatedAt), timestamppb.New(p.UpdatedAt)
	return &admin.LaunchPlan{Id: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, p.ID), Spec: spec, Closure: closure}, nil
}

// GetLaunchPlan returns one version of a launch plan.
func (a *adminService) GetLaunchPlan(ctx context.Context, r *admin.ObjectGetRequest) (*admin.LaunchPlan, error) {
	id, err := identifier("id", r.GetId(), core.ResourceType_LAUNCH_PLAN)
	if err != nil {
		return nil, err
	}
	p, err := a.store.Plan(ctx, id)
	if err != nil {
		return nil, missing(err, store.LaunchPlan, id)
	}
	return wirePlan(p)
}

// GetActiveLaunchPlan returns the active version of a launch plan.
func (a *adminService) GetActiveLaunchPlan(ctx context.Context, r *admin.ActiveLaunchPlanRequest) (*admin.LaunchPlan, error) {
	key, err := key("id", r.GetId())
	if err != nil {
		return nil, err
	}
	p, err := a.activePlan(ctx, "id", key)
	if err != nil {
		return nil, err
	}
	return wirePlan(p)
}

func (s *Server) activePlan(ctx context.Context, field string, key ident.Key) (store.Plan, error) {
	p, err := s.store.ActivePlan(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return p, notFound("%s: launch plan %s has no active version", field, key)
	}
	return p, err
}

// ListLaunchPlans returns versions of one launch plan, or of all in a domain.
func (a *adminService) ListLaunchPlans(ctx context.Context, r *admin.ResourceListRequest) (*admin.LaunchPlanList, error) {
	q, err := a.resourceQuery(ctx, r)
	if err != nil {
		return nil, err
	}
	return a.listPlans(ctx, q)
}

// ListActiveLaunchPlans returns the active launch plans of a domain.
func (a *adminService) ListActiveLaunchPlans(ctx context.Context, r *admin.ActiveLaunchPlanListRequest) (*admin.LaunchPlanList, error) {
	if err := checkOrg("", r); err != nil {
		return nil, err
	}
	q, err := a.domainQuery(ctx, "", r.GetProject(), r.GetDomain(), r)
	if err != nil {
		return nil, err
	}
	q.Filters = append(q.Filters, store.Filter{Field: "state", Op: store.Eq, Values: []string{admin.LaunchPlanState_ACTIVE.String()}})
	return a.listPlans(ctx, q)
}

func (a *adminService) listPlans(ctx context.Context, q store.Query) (*admin.LaunchPlanList, error) {
	plans, token, err := page(ctx, q, a.store.Plans, wirePlan)
	if err != nil {
		return nil, err
	}
	return &admin.LaunchPlanList{LaunchPlans: plans, Token: token}, nil
}
