package flyte

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/workflow"
)

// PushConfig says what Push registers. Its zero value means what the active
// launch plans of all projects need.
type PushConfig struct {
	// Project and Domain restrict it; empty means all.
	Project, Domain string
	// All registers every version of everything.
	All bool
	// Image is the container image of tasks that name none; Flyte runs no others. Empty means that these fail.
	Image string
	// Activate activates on Flyte what is active here.
	Activate bool
	// DryRun only looks what is there.
	DryRun bool
}

// PushResult is what became of something that was to be pushed.
type PushResult string

// The results.
const (
	Registered PushResult = "registered"
	There      PushResult = "there"     // Since before, and the same; unless it was a dry run, which does not compare.
	Missing    PushResult = "missing"   // It would be registered: a dry run.
	Activated  PushResult = "activated" // Registered or there, and active on Flyte since.
	Failed     PushResult = "failed"
	Untried    PushResult = "not tried" // Something that it needs failed, or Flyte does not answer.
)

// Pushed is what became of one project, or one version of a task, workflow or launch plan.
type Pushed struct {
	// Kind is project, task, workflow or launch plan.
	Kind string `json:"kind"`
	// ID names it; that of a project is the name.
	ID     string     `json:"id"`
	Result PushResult `json:"result"`
	// Reason says why it failed, or was not tried.
	Reason string `json:"reason,omitempty"`
	// Warnings are what to know of it though it is there.
	Warnings []string `json:"warnings,omitempty"`
}

// Failed says that it is not on Flyte, or not as it should be.
func (p Pushed) Failed() bool { return p.Result == Failed || p.Result == Untried }

// Push registers on a flyteadmin what is registered here: projects that are
// missing, tasks, workflows and launch plans, under the same identifiers and as
// they were sent. What Flyte would refuse for a reason that tminus knows is
// completed or left out, and the warnings say so.
//
// It may be repeated, after whatever failed: what is there stays, and is compared
// by Flyte. The error says that this tminus or Flyte does not answer; then what
// was not come to is Untried.
func Push(ctx context.Context, here, there grpc.ClientConnInterface, cfg PushConfig) ([]Pushed, error) {
	p := &pusher{
		here: service.NewAdminServiceClient(here), specs: tminusv1.NewFlyteServiceClient(here), ledger: tminusv1.NewScheduleServiceClient(here),
		there: service.NewAdminServiceClient(there), cfg: cfg,
		plans: make(map[ident.ID]*pushedPlan), workflows: make(map[ident.ID]*admin.WorkflowSpec), tasks: make(map[ident.ID]*admin.TaskSpec),
		projects: make(map[string]*admin.Project), state: make(map[item]*Pushed),
	}
	if err := p.collect(ctx); err != nil {
		return nil, fmt.Errorf("read what is registered here: %w", err)
	}
	err := p.push(ctx)
	return p.report(), err
}

// item is something that is pushed.
type item struct {
	kind core.ResourceType // UNSPECIFIED is a project, which has the rest of the id empty.
	id   ident.ID
}

func projectItem(id string) item { return item{id: ident.ID{Key: ident.Key{Project: id}}} }

type pushedPlan struct {
	spec   *admin.LaunchPlanSpec
	active bool
}

// pusher is one push. What was collected does not change while it is pushed.
type pusher struct {
	here   service.AdminServiceClient
	specs  tminusv1.FlyteServiceClient
	ledger tminusv1.ScheduleServiceClient
	there  service.AdminServiceClient
	cfg    PushConfig

	plans     map[ident.ID]*pushedPlan
	workflows map[ident.ID]*admin.WorkflowSpec
	tasks     map[ident.ID]*admin.TaskSpec
	projects  map[string]*admin.Project

	mu    sync.Mutex
	state map[item]*Pushed
}

// collect finds what is to be pushed.
func (p *pusher) collect(ctx context.Context) error {
	domains, err := p.here.GetDomains(ctx, &admin.GetDomainRequest{})
	if err != nil {
		return err
	}
	known := make(map[string]*admin.Project)
	err = listed(func(token string) (string, error) {
		page, err := p.here.ListProjects(ctx, &admin.ProjectListRequest{Limit: pageSize, Token: token})
		for _, project := range page.GetProjects() {
			known[project.GetId()] = project
		}
		return page.GetToken(), err
	})
	if err != nil {
		return err
	}
	for id := range known {
		for _, domain := range domains.GetDomains() {
			if err := p.collectPlace(ctx, place{id, domain.GetId()}); err != nil {
				return err
			}
		}
	}
	if !p.cfg.All {
		if err := p.collectOpen(ctx); err != nil {
			return err
		}
	}
	if err := p.collectSpecs(ctx); err != nil {
		return err
	}
	for _, ids := range [][]ident.ID{keysOf(p.plans), keysOf(p.workflows), keysOf(p.tasks)} {
		for _, id := range ids {
			p.projects[id.Project] = cmp.Or(known[id.Project], &admin.Project{Id: id.Project, Name: id.Project})
		}
	}
	return nil
}

func keysOf[V any](m map[ident.ID]V) []ident.ID {
	ids := make([]ident.ID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ident.ID) int { return cmp.Compare(a.String(), b.String()) })
	return ids
}

// includes says that what is in a place is to be pushed.
func (p *pusher) includes(at place) bool {
	return (p.cfg.Project == "" || p.cfg.Project == at.project) && (p.cfg.Domain == "" || p.cfg.Domain == at.domain)
}

// collectPlace finds the launch plans of a place, or everything.
func (p *pusher) collectPlace(ctx context.Context, at place) error {
	if !p.includes(at) {
		return nil
	}
	add := func(plans []*admin.LaunchPlan) {
		for _, plan := range plans {
			p.plans[workflow.ID(plan.GetId())] = &pushedPlan{plan.GetSpec(), plan.GetClosure().GetState() == admin.LaunchPlanState_ACTIVE}
		}
	}
	if !p.cfg.All {
		return listed(func(token string) (string, error) {
			page, err := p.here.ListActiveLaunchPlans(ctx, &admin.ActiveLaunchPlanListRequest{Project: at.project, Domain: at.domain, Limit: pageSize, Token: token})
			add(page.GetLaunchPlans())
			return page.GetToken(), err
		})
	}
	request := &admin.ResourceListRequest{Id: &admin.NamedEntityIdentifier{Project: at.project, Domain: at.domain}, Limit: pageSize}
	for _, list := range []func() (string, error){
		func() (string, error) {
			page, err := p.here.ListLaunchPlans(ctx, request)
			add(page.GetLaunchPlans())
			return page.GetToken(), err
		},
		func() (string, error) {
			page, err := p.here.ListWorkflows(ctx, request)
			for _, w := range page.GetWorkflows() {
				p.workflows[workflow.ID(w.GetId())] = nil
			}
			return page.GetToken(), err
		},
		func() (string, error) {
			page, err := p.here.ListTasks(ctx, request)
			for _, t := range page.GetTasks() {
				p.tasks[workflow.ID(t.GetId())] = nil
			}
			return page.GetToken(), err
		},
	} {
		err := listed(func(token string) (string, error) {
			request.Token = token
			return list()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// collectOpen finds versions that are not active and are to launch all the same:
// slots that came due before the version changed, and ranges of slots.
func (p *pusher) collectOpen(ctx context.Context) error {
	add := func(id *core.Identifier) {
		if at := (place{id.GetProject(), id.GetDomain()}); p.includes(at) && p.plans[workflow.ID(id)] == nil {
			p.plans[workflow.ID(id)] = &pushedPlan{}
		}
	}
	err := listed(func(token string) (string, error) {
		page, err := p.ledger.ListFirings(ctx, &tminusv1.ListFiringsRequest{Filters: "eq(outcome,pending)", Limit: pageSize, Token: token})
		for _, f := range page.GetFirings() {
			add(f.GetLaunchPlan())
		}
		return page.GetToken(), err
	})
	if err != nil {
		return err
	}
	return listed(func(token string) (string, error) {
		page, err := p.ledger.ListBackfills(ctx, &tminusv1.ListBackfillsRequest{OpenOnly: true, Limit: pageSize, Token: token})
		for _, b := range page.GetBackfills() {
			add(b.GetLaunchPlan())
		}
		return page.GetToken(), err
	})
}

// collectSpecs reads what was sent of launch plans, of the workflows that they
// launch, and of the tasks that those run.
func (p *pusher) collectSpecs(ctx context.Context) error {
	for id, plan := range p.plans {
		if plan.spec == nil {
			answer, err := p.spec(ctx, core.ResourceType_LAUNCH_PLAN, id)
			if err != nil {
				return err
			}
			plan.spec = answer.GetLaunchPlan()
		}
		p.workflows[workflow.ID(plan.spec.GetWorkflowId())] = nil
	}
	var mu sync.Mutex
	err := each(ctx, keysOf(p.workflows), func(ctx context.Context, id ident.ID) error {
		spec, err := p.whole(ctx, id)
		mu.Lock()
		defer mu.Unlock()
		p.workflows[id] = spec
		for _, task := range tasksOf(spec) {
			p.tasks[task] = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, keysOf(p.tasks), func(ctx context.Context, id ident.ID) error {
		answer, err := p.spec(ctx, core.ResourceType_TASK, id)
		mu.Lock()
		defer mu.Unlock()
		p.tasks[id] = answer.GetTask()
		return err
	})
}

func (p *pusher) spec(ctx context.Context, kind core.ResourceType, id ident.ID) (*tminusv1.GetSpecResponse, error) {
	return p.specs.GetSpec(ctx, &tminusv1.GetSpecRequest{Id: workflow.Identifier(kind, id)})
}

// whole is a workflow with all sub-workflows that it reaches. Flyte looks for
// them nowhere else, tminus among what is registered as well.
func (p *pusher) whole(ctx context.Context, id ident.ID) (*admin.WorkflowSpec, error) {
	answer, err := p.spec(ctx, core.ResourceType_WORKFLOW, id)
	if err != nil {
		return nil, err
	}
	spec := answer.GetWorkflow()
	has := map[ident.ID]bool{id: true}
	for _, sub := range spec.GetSubWorkflows() {
		has[workflow.ID(sub.GetId())] = true
	}
	for next := append([]*core.WorkflowTemplate{spec.GetTemplate()}, spec.GetSubWorkflows()...); len(next) > 0; next = next[1:] {
		for _, node := range next[0].GetNodes() {
			ref := node.GetWorkflowNode().GetSubWorkflowRef()
			if ref == nil || has[workflow.ID(ref)] {
				continue
			}
			answer, err := p.spec(ctx, core.ResourceType_WORKFLOW, workflow.ID(ref))
			if err != nil {
				return nil, err
			}
			template := answer.GetWorkflow().GetTemplate()
			template.Id = workflow.Identifier(core.ResourceType_WORKFLOW, workflow.ID(ref))
			for _, sub := range append(answer.GetWorkflow().GetSubWorkflows(), template) {
				if sid := workflow.ID(sub.GetId()); !has[sid] {
					has[sid] = true
					spec.SubWorkflows = append(spec.SubWorkflows, sub)
					next = append(next, sub)
				}
			}
		}
	}
	return spec, nil
}

// tasksOf are the tasks that a workflow and its sub-workflows run.
func tasksOf(spec *admin.WorkflowSpec) []ident.ID {
	var ids []ident.ID
	for _, template := range append([]*core.WorkflowTemplate{spec.GetTemplate()}, spec.GetSubWorkflows()...) {
		for _, node := range template.GetNodes() {
			if ref := node.GetTaskNode().GetReferenceId(); ref != nil {
				ids = append(ids, workflow.ID(ref))
			}
		}
	}
	return ids
}

// push registers what was collected, what others need first.
func (p *pusher) push(ctx context.Context) error {
	p.plan()
	for _, id := range slices.Sorted(maps.Keys(p.projects)) {
		if err := p.pushProject(ctx, p.projects[id]); err != nil {
			return err
		}
	}
	if err := each(ctx, keysOf(p.tasks), p.pushTask); err != nil {
		return err
	}
	if err := each(ctx, keysOf(p.workflows), p.pushWorkflow); err != nil {
		return err
	}
	if err := each(ctx, keysOf(p.plans), p.pushPlan); err != nil {
		return err
	}
	return p.fired(ctx)
}

// plan has all that is to be pushed in the report, as not tried yet.
func (p *pusher) plan() {
	note := func(it item, kind, id string) {
		p.state[it] = &Pushed{Kind: kind, ID: id, Result: Untried, Reason: errOut.Error()}
	}
	for id := range p.projects {
		note(projectItem(id), "project", id)
	}
	for id := range p.tasks {
		note(item{core.ResourceType_TASK, id}, "task", id.String())
	}
	for id := range p.workflows {
		note(item{core.ResourceType_WORKFLOW, id}, "workflow", id.String())
	}
	for id := range p.plans {
		note(item{core.ResourceType_LAUNCH_PLAN, id}, "launch plan", id.String())
	}
}

// report lists what was pushed, in the order in which it was.
func (p *pusher) report() []Pushed {
	items := make([]item, 0, len(p.state))
	for it := range p.state {
		items = append(items, it)
	}
	rank := map[core.ResourceType]int{core.ResourceType_TASK: 1, core.ResourceType_WORKFLOW: 2, core.ResourceType_LAUNCH_PLAN: 3}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(rank[a.kind], rank[b.kind]), cmp.Compare(a.id.String(), b.id.String()))
	})
	all := make([]Pushed, len(items))
	for i, it := range items {
		all[i] = *p.state[it]
	}
	return all
}

// settle records what became of something. The error, which ends the push, says that Flyte does not answer.
func (p *pusher) settle(it item, result PushResult, err error, warnings ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state[it]
	switch {
	case status.Code(err) == codes.Canceled: // Since another call was not answered, or somebody ended the push.
		return err
	case err == nil:
		s.Result, s.Reason, s.Warnings = result, "", append(s.Warnings, warnings...)
		return nil
	case undelivered(err):
		s.Result, s.Reason = Failed, explain(err)
		return fmt.Errorf("%w: %s %s: %s", errOut, s.Kind, s.ID, explain(err))
	default:
		s.Result, s.Reason = Failed, advise(s.Kind, err)
		return nil
	}
}

// advise says what to do about what Flyte refused.
func advise(kind string, err error) string {
	if status.Code(err) == codes.InvalidArgument && strings.Contains(err.Error(), "different structure already exists") {
		advice := "Flyte has another " + kind + " under this version, and a version never changes: register it here under a new one, activate that, and push again"
		if kind == "task" {
			advice += "; or push with the --image of before"
		}
		return advice
	}
	return explain(err)
}

// needs says which of what something needs is not on Flyte.
func (p *pusher) needs(items ...item) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, it := range items {
		if s := p.state[it]; s != nil && s.Failed() {
			return fmt.Errorf("the %s %s is not on Flyte", s.Kind, s.ID)
		}
	}
	return nil
}

// refuse records that something is not pushed, for a reason of our own.
func (p *pusher) refuse(it item, result PushResult, why error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state[it].Result, p.state[it].Reason = result, why.Error()
	return nil
}

var (
	errArchived = errors.New("the project is archived on Flyte")
	errNoImage  = errors.New("it names no container image, and Flyte runs tasks in nothing else; name one where the task is defined, or for all such tasks with --image")
)

func (p *pusher) pushProject(ctx context.Context, project *admin.Project) error {
	it := projectItem(project.GetId())
	there, err := p.there.GetProject(ctx, &admin.ProjectGetRequest{Id: project.GetId()})
	switch {
	case err == nil && there.GetState() == admin.Project_ARCHIVED:
		return p.refuse(it, Failed, errArchived)
	case err == nil:
		return p.settle(it, There, nil)
	case status.Code(err) != codes.NotFound:
		return p.settle(it, Failed, err)
	case p.cfg.DryRun:
		return p.settle(it, Missing, nil)
	}
	_, err = p.there.RegisterProject(ctx, &admin.ProjectRegisterRequest{Project: &admin.Project{
		Id: project.GetId(), Name: cmp.Or(project.GetName(), project.GetId()), Description: project.GetDescription(), Labels: project.GetLabels(),
	}})
	return p.settle(it, Registered, err)
}

// create pushes one version. get looks whether it is there, create registers it.
func (p *pusher) create(it item, get, create func() error, warnings []string) error {
	if p.cfg.DryRun {
		err := get()
		if status.Code(err) == codes.NotFound {
			return p.settle(it, Missing, nil, warnings...)
		}
		return p.settle(it, There, err, warnings...)
	}
	err := create()
	if status.Code(err) == codes.AlreadyExists {
		return p.settle(it, There, nil, warnings...)
	}
	return p.settle(it, Registered, err, warnings...)
}

func (p *pusher) pushTask(ctx context.Context, id ident.ID) error {
	it := item{core.ResourceType_TASK, id}
	if err := p.needs(projectItem(id.Project)); err != nil {
		return p.refuse(it, Untried, err)
	}
	spec, warnings, err := runnable(p.tasks[id], p.cfg.Image)
	if err != nil {
		return p.refuse(it, Failed, err)
	}
	wire := workflow.Identifier(core.ResourceType_TASK, id)
	return p.create(it, func() error {
		_, err := p.there.GetTask(ctx, &admin.ObjectGetRequest{Id: wire})
		return err
	}, func() error {
		_, err := p.there.CreateTask(ctx, &admin.TaskCreateRequest{Id: wire, Spec: spec})
		return err
	}, warnings)
}

// runtimeVersion is the version of the runtime of tasks that name none, which
// Flyte refuses (task_validator.go). It never changes, so that a task stays the same.
const runtimeVersion = "1"

// runnable is a task as Flyte takes it, and what may keep it from running there.
func runnable(spec *admin.TaskSpec, image string) (_ *admin.TaskSpec, warnings []string, err error) {
	template := spec.GetTemplate()
	container := template.GetContainer()
	runtime := template.GetMetadata().GetRuntime()
	named := container.GetImage()
	if container != nil && named == "" {
		if image == "" {
			return nil, nil, errNoImage
		}
		spec = proto.CloneOf(spec)
		spec.Template.GetContainer().Image, named = image, image
	}
	if runtime != nil && runtime.GetVersion() == "" {
		spec = proto.CloneOf(spec)
		spec.Template.Metadata.Runtime.Version = runtimeVersion
	}
	if runtime.GetFlavor() == "tminus" {
		warnings = append(warnings, "its command ran on this machine; on Flyte it runs in the image "+named+", which has to hold what it needs")
	}
	if file := localFile(container); file != "" {
		warnings = append(warnings, "it reads "+file+" of this machine, which a cluster does not have; register it there with the client it came from")
	}
	return spec, warnings, nil
}

// localFile is an address of this machine in what a container is told.
func localFile(c *core.Container) string {
	words := slices.Concat(c.GetCommand(), c.GetArgs())
	for _, e := range c.GetEnv() {
		words = append(words, e.GetValue())
	}
	for _, word := range words {
		if i := strings.Index(word, "file://"); i >= 0 {
			return strings.Fields(word[i:])[0]
		}
	}
	return ""
}

func (p *pusher) pushWorkflow(ctx context.Context, id ident.ID) error {
	it, spec := item{core.ResourceType_WORKFLOW, id}, p.workflows[id]
	needed := []item{projectItem(id.Project)}
	for _, task := range tasksOf(spec) {
		needed = append(needed, item{core.ResourceType_TASK, task})
	}
	if err := p.needs(needed...); err != nil {
		return p.refuse(it, Untried, err)
	}
	wire := workflow.Identifier(core.ResourceType_WORKFLOW, id)
	return p.create(it, func() error {
		_, err := p.there.GetWorkflow(ctx, &admin.ObjectGetRequest{Id: wire})
		return err
	}, func() error {
		_, err := p.there.CreateWorkflow(ctx, &admin.WorkflowCreateRequest{Id: wire, Spec: spec})
		return err
	}, nil)
}

func (p *pusher) pushPlan(ctx context.Context, id ident.ID) error {
	it, plan := item{core.ResourceType_LAUNCH_PLAN, id}, p.plans[id]
	if err := p.needs(projectItem(id.Project), item{core.ResourceType_WORKFLOW, workflow.ID(plan.spec.GetWorkflowId())}); err != nil {
		return p.refuse(it, Untried, err)
	}
	spec, warnings := plan.spec, []string(nil)
	if s := spec.GetEntityMetadata().GetSchedule(); proto.Size(s) > 0 {
		if _, err := native(s); err != nil {
			spec = proto.CloneOf(spec)
			spec.EntityMetadata.Schedule = nil
			warnings = append(warnings, fmt.Sprintf("it is there without its schedule, which Flyte cannot read (%v): tminus has to keep its time, with source: local", err))
		}
	}
	wire := workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id)
	err := p.create(it, func() error {
		_, err := p.there.GetLaunchPlan(ctx, &admin.ObjectGetRequest{Id: wire})
		return err
	}, func() error {
		_, err := p.there.CreateLaunchPlan(ctx, &admin.LaunchPlanCreateRequest{Id: wire, Spec: spec})
		return err
	}, warnings)
	if err != nil || !plan.active || !p.cfg.Activate || p.cfg.DryRun || p.needs(it) != nil {
		return err
	}
	_, err = p.there.UpdateLaunchPlan(ctx, &admin.LaunchPlanUpdateRequest{Id: wire, State: admin.LaunchPlanState_ACTIVE})
	return p.settle(it, Activated, err)
}

// fired warns of launch plans that a scheduler on Flyte fires as well, if one runs there.
func (p *pusher) fired(ctx context.Context) error {
	names := make(map[ident.Key]item)
	places := make(map[place]bool)
	for id := range p.plans {
		names[id.Key] = item{core.ResourceType_LAUNCH_PLAN, id}
		places[place{id.Project, id.Domain}] = true
	}
	for id, plan := range p.plans {
		if plan.active { // Of several versions that one is meant.
			names[id.Key] = item{core.ResourceType_LAUNCH_PLAN, id}
		}
	}
	for at := range places {
		if s := p.state[projectItem(at.project)]; s.Result == Missing || s.Failed() {
			continue
		}
		err := scheduled(ctx, p.there, at, func(plan *admin.LaunchPlan) {
			id := workflow.ID(plan.GetId())
			if it, ours := names[id.Key]; ours {
				s := p.state[it]
				s.Warnings = append(s.Warnings, "version "+id.Version+" is active on Flyte: a scheduler that runs there fires it too")
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
