package flytetest

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
)

// A plan is a row of the table launch_plans.
type plan struct {
	rowTimes
	key

	spec       *admin.LaunchPlanSpec // Its default inputs are all expected ones.
	sent       *admin.LaunchPlanSpec // As it was registered.
	closure    *admin.LaunchPlanClosure
	state      admin.LaunchPlanState
	workflowID int64
}

func (p *plan) message() *admin.LaunchPlan {
	closure := proto.CloneOf(p.closure)
	closure.State, closure.CreatedAt, closure.UpdatedAt = p.state, stamp(p.created), stamp(p.updated)
	return &admin.LaunchPlan{Id: p.identifier(core.ResourceType_LAUNCH_PLAN), Spec: proto.CloneOf(p.spec), Closure: closure}
}

// column answers for the columns of pkg/repositories/models/launch_plan.go.
func (p *plan) column(name string) any {
	switch name {
	case "project":
		return p.project
	case "domain":
		return p.domain
	case "name":
		return p.name
	case "version":
		return p.version
	case "workflow_id":
		return p.workflowID
	case "state":
		return int64(p.state)
	case "schedule_type":
		return scheduleType(p.spec)
	case "launch_condition_type":
		if scheduleType(p.spec) == "NONE" {
			return nil
		}
		return "SCHED"
	default:
		return p.rowTimes.column(name)
	}
}

// scheduleType is the column schedule_type (pkg/repositories/transformers/launch_plan.go). A schedule whose oneof is not set is NONE.
func scheduleType(spec *admin.LaunchPlanSpec) string {
	schedule := spec.GetEntityMetadata().GetSchedule()
	switch {
	case schedule.GetCronExpression() != "" || schedule.GetCronSchedule() != nil:
		return "CRON"
	case schedule.GetRate() != nil:
		return "RATE"
	default:
		return "NONE"
	}
}

// putPlan inserts a launch plan, or replaces it.
func (s *Server) putPlan(id *core.Identifier, spec *admin.LaunchPlanSpec, expected *core.ParameterMap, wf *core.TypedInterface) {
	k, now := keyOf(id), time.Now()
	p := &plan{
		rowTimes: rowTimes{id: s.plans.nextID(), created: now, updated: now},
		key:      k, spec: proto.CloneOf(spec), sent: proto.CloneOf(spec),
		closure: &admin.LaunchPlanClosure{ExpectedInputs: proto.CloneOf(expected), ExpectedOutputs: proto.CloneOf(wf.GetOutputs())},
	}
	if w, ok := s.workflows.get(keyOf(spec.GetWorkflowId())); ok {
		p.workflowID = w.id
	}
	p.spec.DefaultInputs = proto.CloneOf(expected)
	if old := s.active[k.unversioned()]; old != nil && old.key == k {
		delete(s.active, k.unversioned())
	}
	s.plans.put(k, p)
}

// activate makes a version the active one. Neither version's updated_at moves
// (pkg/repositories/gormimpl/launch_plan_repo.go, SetActive).
func (s *Server) activate(p *plan) {
	if old := s.active[p.unversioned()]; old != nil {
		old.state = admin.LaunchPlanState_INACTIVE
		s.plans.touch(old.key)
	}
	p.state = admin.LaunchPlanState_ACTIVE
	s.active[p.unversioned()] = p
	s.plans.touch(p.key)
}

// deactivate makes a version inactive, if it is not, and moves its updated_at.
func (s *Server) deactivate(p *plan) {
	if s.active[p.unversioned()] == p {
		delete(s.active, p.unversioned())
	}
	p.state, p.updated = admin.LaunchPlanState_INACTIVE, time.Now()
	s.plans.touch(p.key)
}

// GetLaunchPlan shows one version. An id without a resource type is one of a launch plan
// (pkg/rpc/adminservice/launch_plan.go).
func (s *Server) GetLaunchPlan(_ context.Context, req *admin.ObjectGetRequest) (*admin.LaunchPlan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.plan(req.GetId())
	if err != nil {
		return nil, err
	}
	return p.message(), nil
}

func (s *Server) plan(id *core.Identifier) (*plan, error) {
	if id.GetResourceType() == core.ResourceType_UNSPECIFIED && id != nil {
		id = keyOf(id).identifier(core.ResourceType_LAUNCH_PLAN)
	}
	if err := checkIdentifier(id, core.ResourceType_LAUNCH_PLAN); err != nil {
		return nil, err
	}
	p, ok := s.plans.get(keyOf(id))
	if !ok {
		return nil, noEntity("LAUNCH_PLAN", keyOf(id).identifier(core.ResourceType_UNSPECIFIED))
	}
	return p, nil
}

// GetActiveLaunchPlan shows the active version of a launch plan, and is NotFound without one.
func (s *Server) GetActiveLaunchPlan(_ context.Context, req *admin.ActiveLaunchPlanRequest) (*admin.LaunchPlan, error) {
	id := req.GetId()
	switch {
	case id.GetProject() == "":
		return nil, missing("project")
	case id.GetDomain() == "":
		return nil, missing("domain")
	case id.GetName() == "":
		return nil, missing("name")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.active[key{id.GetProject(), id.GetDomain(), id.GetName(), ""}]
	if p == nil {
		return nil, status.Errorf(codes.NotFound, "No active launch plan could be found: %s:%s:%s", id.GetProject(), id.GetDomain(), id.GetName())
	}
	return p.message(), nil
}

// UpdateLaunchPlan activates a version, or deactivates it.
func (s *Server) UpdateLaunchPlan(_ context.Context, req *admin.LaunchPlanUpdateRequest) (*admin.LaunchPlanUpdateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.plan(req.GetId())
	if err != nil {
		return nil, err
	}
	switch req.GetState() {
	case admin.LaunchPlanState_ACTIVE:
		s.activate(p)
	case admin.LaunchPlanState_INACTIVE:
		s.deactivate(p)
	default:
		return nil, invalidf("Unrecognized launch plan state %v for update for launch plan [%v]", req.GetState(), req.GetId())
	}
	return &admin.LaunchPlanUpdateResponse{}, nil
}

// ListActiveLaunchPlans lists the active versions of a project and domain, both required, as is a limit. It takes no filters.
func (s *Server) ListActiveLaunchPlans(_ context.Context, req *admin.ActiveLaunchPlanListRequest) (*admin.LaunchPlanList, error) {
	err := checkList(&admin.ResourceListRequest{
		Id: &admin.NamedEntityIdentifier{Project: req.GetProject(), Domain: req.GetDomain()}, Limit: req.GetLimit(),
	})
	if err != nil {
		return nil, err
	}
	q, err := newQuery(planEntity, "", req.GetSortBy(), req.GetToken(), req.GetLimit(), "ListActiveLaunchPlans")
	if err != nil {
		return nil, err
	}
	return s.listPlans(q, func(p *plan) bool {
		return p.state == admin.LaunchPlanState_ACTIVE && p.project == req.GetProject() && p.domain == req.GetDomain()
	})
}

// ListLaunchPlans lists the versions of a project and domain, both required, as is a limit; and of one name, if it is given.
func (s *Server) ListLaunchPlans(_ context.Context, req *admin.ResourceListRequest) (*admin.LaunchPlanList, error) {
	if err := checkList(req); err != nil {
		return nil, err
	}
	q, err := newQuery(planEntity, req.GetFilters(), req.GetSortBy(), req.GetToken(), req.GetLimit(), "ListLaunchPlans")
	if err != nil {
		return nil, err
	}
	in := req.GetId()
	return s.listPlans(q, func(p *plan) bool {
		return p.project == in.GetProject() && p.domain == in.GetDomain() && (in.GetName() == "" || p.name == in.GetName())
	})
}

func (s *Server) listPlans(q query, keep func(*plan) bool) (*admin.LaunchPlanList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, token, err := find(s.faults.pageOf(q.method), q, s.plans.all(), keep, s.planColumn)
	if err != nil {
		return nil, err
	}
	out := &admin.LaunchPlanList{Token: token}
	for _, p := range rows {
		out.LaunchPlans = append(out.LaunchPlans, p.message())
	}
	return out, nil
}

func (s *Server) planColumn(p *plan, of entity, name string) any {
	if of == planEntity {
		return p.column(name)
	}
	if w, ok := s.workflows.get(keyOf(p.spec.GetWorkflowId())); ok && of == workflowEntity {
		return w.column(name)
	}
	return nil
}

// ListLaunchPlanIds lists the names of the launch plans of a project and domain (launch_plan_manager.go).
func (s *Server) ListLaunchPlanIds( //nolint:revive // Flyte's name.
	_ context.Context, req *admin.NamedEntityIdentifierListRequest,
) (*admin.NamedEntityIdentifierList, error) {
	if req.GetLimit() == 0 {
		return nil, invalidf("missing and/or invalid parameters: limit")
	}
	if req.GetProject() == "" && req.GetDomain() == "" {
		return nil, invalidf("missing and/or invalid parameters: filters")
	}
	q, err := newQuery(planEntity, "", req.GetSortBy(), req.GetToken(), req.GetLimit(), "ListLaunchPlanIds")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[key]bool{}
	rows, token, err := find(s.faults.pageOf(q.method), q, s.plans.all(), func(p *plan) bool {
		k := p.unversioned()
		if seen[k] || req.GetProject() != "" && p.project != req.GetProject() || req.GetDomain() != "" && p.domain != req.GetDomain() {
			return false
		}
		seen[k] = true
		return true
	}, s.planColumn)
	if err != nil {
		return nil, err
	}
	out := &admin.NamedEntityIdentifierList{Token: token}
	for _, p := range rows {
		out.Entities = append(out.Entities, &admin.NamedEntityIdentifier{Project: p.project, Domain: p.domain, Name: p.name})
	}
	return out, nil
}

// checkIdentifier checks an id, whose resource type has to be right (pkg/manager/impl/validation/validation.go).
func checkIdentifier(id *core.Identifier, want core.ResourceType) error {
	if id == nil {
		return missing("id")
	}
	if id.GetResourceType() != want {
		return invalidf("unexpected resource type %s for identifier [%v], expected %s instead",
			strings.ToLower(id.GetResourceType().String()), id, strings.ToLower(want.String()))
	}
	return checkFields(id)
}

func checkFields(id *core.Identifier) error {
	switch {
	case id == nil:
		return missing("id")
	case id.GetProject() == "":
		return missing("project")
	case id.GetDomain() == "":
		return missing("domain")
	case id.GetName() == "":
		return missing("name")
	case id.GetVersion() == "":
		return missing("version")
	}
	return nil
}

func checkList(req *admin.ResourceListRequest) error {
	switch {
	case req.GetId() == nil:
		return missing("id")
	case req.GetId().GetProject() == "":
		return missing("project")
	case req.GetId().GetDomain() == "":
		return missing("domain")
	case req.GetLimit() == 0:
		return invalidf("invalid value for limit")
	}
	return nil
}

var (
	labelName  = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
)

// maxLabels is how many labels there may be (pkg/manager/impl/validation/project_validator.go).
const maxLabels = 16

// checkLabels checks that Kubernetes would take the labels (pkg/manager/impl/validation/validation.go).
func checkLabels(labels *admin.Labels) error {
	if len(labels.GetValues()) > maxLabels {
		return invalidf("labels map cannot exceed %d entries", maxLabels)
	}
	for k, v := range labels.GetValues() {
		if !labelName.MatchString(k) {
			return invalidf("invalid label key [%s]", k)
		}
		if !labelValue.MatchString(v) {
			return invalidf("invalid label value [%s]", v)
		}
	}
	return nil
}

// A project is a row of the table projects.
type project struct {
	rowTimes

	id, name, description string
	state                 admin.Project_ProjectState
}

func (p *project) column(name string) any {
	switch name {
	case "identifier":
		return p.id
	case "name":
		return p.name
	case "description":
		return p.description
	case "state":
		return int64(p.state)
	default:
		return p.rowTimes.column(name)
	}
}

func (s *Server) projectMessage(p *project) *admin.Project {
	return &admin.Project{Id: p.id, Name: p.name, Description: p.description, State: p.state, Domains: s.domainMessages()}
}

func (s *Server) domainMessages() []*admin.Domain {
	out := make([]*admin.Domain, len(s.domains))
	for i, d := range s.domains {
		out[i] = &admin.Domain{Id: d, Name: d}
	}
	return out
}

// checkProject checks that something may be registered or launched there
// (pkg/manager/impl/validation/project_validator.go).
func (s *Server) checkProject(id, domain string) error {
	p, ok := s.projects.get(id)
	switch {
	case !ok:
		return invalidf("failed to validate that project [%s] and domain [%s] are registered, err: [project [%s] not found]", id, domain, id)
	case p.state != admin.Project_ACTIVE:
		return inactiveProject(id)
	case !slices.Contains(s.domains, domain):
		return invalidf("domain [%s] is unrecognized by system", domain)
	}
	return nil
}

// RegisterProject registers a project (pkg/manager/impl/project_manager.go).
func (s *Server) RegisterProject(_ context.Context, req *admin.ProjectRegisterRequest) (*admin.ProjectRegisterResponse, error) {
	switch p := req.GetProject(); {
	case p == nil:
		return nil, missing("project")
	case p.GetName() == "":
		return nil, missing("project_name")
	case p.GetId() == "":
		return nil, missing("project_id")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := req.GetProject().GetId()
	if _, ok := s.projects.get(id); ok {
		return nil, taken("projects_pkey")
	}
	now := time.Now()
	s.projects.put(id, &project{
		rowTimes: rowTimes{id: s.projects.nextID(), created: now, updated: now},
		id:       id, name: req.GetProject().GetName(), description: req.GetProject().GetDescription(),
	})
	return &admin.ProjectRegisterResponse{}, nil
}

// GetProject shows one project.
func (s *Server) GetProject(_ context.Context, req *admin.ProjectGetRequest) (*admin.Project, error) {
	if req.GetId() == "" {
		return nil, missing("project_id")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.projects.get(req.GetId())
	if !ok {
		return nil, status.Errorf(codes.NotFound, "project [%s] not found", req.GetId())
	}
	return s.projectMessage(p), nil
}

// ListProjects lists the projects by identifier, unless another order is asked for. Without filters it leaves out archived ones. It is the
// one list that needs no limit (pkg/manager/impl/project_manager.go, pkg/repositories/gormimpl/project_repo.go).
func (s *Server) ListProjects(_ context.Context, req *admin.ProjectListRequest) (*admin.Projects, error) {
	sort := req.GetSortBy()
	if sort == nil {
		sort = &admin.Sort{Key: "identifier", Direction: admin.Sort_ASCENDING}
	}
	q, err := newQuery(projectEntity, req.GetFilters(), sort, req.GetToken(), req.GetLimit(), "ListProjects")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, token, err := find(s.faults.pageOf(q.method), q, s.projects.all(),
		func(p *project) bool { return len(q.conditions) > 0 || p.state != admin.Project_ARCHIVED },
		func(p *project, _ entity, name string) any { return p.column(name) })
	if err != nil {
		return nil, err
	}
	out := &admin.Projects{Token: token}
	for _, p := range rows {
		out.Projects = append(out.Projects, s.projectMessage(p))
	}
	return out, nil
}

// GetDomains lists the domains, which all projects have.
func (s *Server) GetDomains(context.Context, *admin.GetDomainRequest) (*admin.GetDomainsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &admin.GetDomainsResponse{Domains: s.domainMessages()}, nil
}

// GetVersion says what this server is like.
func (s *Server) GetVersion(context.Context, *admin.GetVersionRequest) (*admin.GetVersionResponse, error) {
	return &admin.GetVersionResponse{ControlPlaneVersion: &admin.Version{Version: "v1.16.8"}}, nil
}
