package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// adminService is Flyte's AdminService; its methods are in the files of their subjects.
type adminService struct {
	service.UnimplementedAdminServiceServer
	*Server
}

// serialize writes m as the database keeps it. What m holds beyond what tminus
// knows is written as well, and the same message always makes the same bytes.
func serialize(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, invalid.Field("request", "cannot be stored: %v", err)
	}
	return b, nil
}

// readStored reads what serialize wrote.
func readStored(what string, b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("read the stored %s: %w", what, err)
	}
	return nil
}

// noun is what people call a kind of entity.
func noun(kind store.Kind) string {
	switch kind {
	case store.Task:
		return "task"
	case store.Workflow:
		return "workflow"
	default:
		return "launch plan"
	}
}

// CreateTask registers a version of a task.
func (a *adminService) CreateTask(ctx context.Context, r *admin.TaskCreateRequest) (*admin.TaskCreateResponse, error) {
	id, err := identifier("id", r.GetId(), core.ResourceType_TASK)
	if err != nil {
		return nil, err
	}
	template := r.GetSpec().GetTemplate()
	if template == nil {
		return nil, invalid.Field("spec.template", "is missing")
	}
	d := store.Definition{ID: id, Kind: store.Task, Type: template.GetType()}
	err = a.define(ctx, d, r.GetSpec(), func(now time.Time) (proto.Message, error) {
		compiled, err := workflow.CompileTask(id, template)
		return &admin.TaskClosure{CompiledTask: compiled, CreatedAt: timestamppb.New(now)}, err
	})
	if err != nil {
		return nil, err
	}
	return &admin.TaskCreateResponse{}, nil
}

// CreateWorkflow registers a version of a workflow; the tasks and workflows it
// refers to have to be registered.
func (a *adminService) CreateWorkflow(ctx context.Context, r *admin.WorkflowCreateRequest) (*admin.WorkflowCreateResponse, error) {
	id, err := identifier("id", r.GetId(), core.ResourceType_WORKFLOW)
	if err != nil {
		return nil, err
	}
	if r.GetSpec().GetTemplate() == nil {
		return nil, invalid.Field("spec.template", "is missing")
	}
	d := store.Definition{ID: id, Kind: store.Workflow}
	err = a.define(ctx, d, r.GetSpec(), func(now time.Time) (proto.Message, error) {
		compiled, err := workflow.Compile(id, r.GetSpec(), a.lookup(ctx))
		return &admin.WorkflowClosure{CompiledWorkflow: compiled, CreatedAt: timestamppb.New(now)}, err
	})
	if err != nil {
		return nil, err
	}
	return &admin.WorkflowCreateResponse{}, nil
}

// define registers d with its spec. What is registered already is compared
// before anything else is held against the rules, so that sending it again
// says AlreadyExists for as long as it is there.
func (s *Server) define(ctx context.Context, d store.Definition, spec proto.Message, compile func(now time.Time) (proto.Message, error)) error {
	if err := s.openPlace(ctx, "id.", d.Project, d.Domain); err != nil {
		return err
	}
	if err := s.compareDefinition(ctx, d, spec); err != nil {
		return err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	closure, err := compile(now)
	if err != nil {
		return err
	}
	d.CreatedAt = now
	if d.Spec, err = serialize(spec); err != nil {
		return err
	}
	if d.Closure, err = serialize(closure); err != nil {
		return err
	}
	err = s.store.CreateDefinition(ctx, d)
	if errors.Is(err, store.ErrExists) { // Another client was faster.
		if err := s.compareDefinition(ctx, d, spec); err != nil {
			return err
		}
	}
	return err
}

// compareDefinition is nil unless d is registered, and then says whether with the same spec.
func (s *Server) compareDefinition(ctx context.Context, d store.Definition, spec proto.Message) error {
	before, err := s.store.Definition(ctx, d.Kind, d.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return compare(d.Kind, d.ID, before.Spec, spec)
}

// compare is the error of registering something that is registered: it says
// whether the spec is the same, and if not where it differs.
func compare(kind store.Kind, id ident.ID, before []byte, spec proto.Message) error {
	registered := spec.ProtoReflect().New().Interface()
	if err := readStored(noun(kind)+" "+id.String(), before, registered); err != nil {
		return err
	}
	if proto.Equal(registered, spec) {
		return exists("%s %s is registered already, and is the same", noun(kind), id)
	}
	return invalid.Field("spec", "%s %s is registered already with another spec; a version never changes, so use a new one. It differs at %s",
		noun(kind), id, launchplan.Diff(registered, spec))
}

// lookup finds what a workflow refers to.
func (s *Server) lookup(ctx context.Context) lookup {
	return lookup{
		task: func(id ident.ID) (*core.CompiledTask, error) {
			c, err := s.task(ctx, id)
			return c.GetCompiledTask(), err
		},
		workflow: func(id ident.ID) (*core.CompiledWorkflowClosure, error) {
			c, err := s.workflow(ctx, id)
			return c.GetCompiledWorkflow(), err
		},
	}
}

// lookup is a workflow.Lookup within one request.
type lookup struct {
	task     func(ident.ID) (*core.CompiledTask, error)
	workflow func(ident.ID) (*core.CompiledWorkflowClosure, error)
}

// Task implements workflow.Lookup.
func (l lookup) Task(id ident.ID) (*core.CompiledTask, error) { return l.task(id) }

// Workflow implements workflow.Lookup.
func (l lookup) Workflow(id ident.ID) (*core.CompiledWorkflowClosure, error) { return l.workflow(id) }

// task reads a task's closure.
func (s *Server) task(ctx context.Context, id ident.ID) (*admin.TaskClosure, error) {
	closure := &admin.TaskClosure{}
	return closure, s.readClosure(ctx, store.Task, id, closure)
}

// workflow reads a workflow's closure.
func (s *Server) workflow(ctx context.Context, id ident.ID) (*admin.WorkflowClosure, error) {
	closure := &admin.WorkflowClosure{}
	return closure, s.readClosure(ctx, store.Workflow, id, closure)
}

func (s *Server) readClosure(ctx context.Context, kind store.Kind, id ident.ID, closure proto.Message) error {
	d, err := s.store.Definition(ctx, kind, id)
	if err != nil {
		return missing(err, kind, id)
	}
	return readStored(noun(kind)+" "+id.String(), d.Closure, closure)
}

// missing makes store.ErrNotFound say what is not there; other errors stay.
func missing(err error, kind store.Kind, id ident.ID) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%s %s is not registered: %w", noun(kind), id, store.ErrNotFound)
	}
	return err
}

// GetTask returns one version of a task.
func (a *adminService) GetTask(ctx context.Context, r *admin.ObjectGetRequest) (*admin.Task, error) {
	id, err := identifier("id", r.GetId(), core.ResourceType_TASK)
	if err != nil {
		return nil, err
	}
	closure, err := a.task(ctx, id)
	if err != nil {
		return nil, err
	}
	return &admin.Task{Id: workflow.Identifier(core.ResourceType_TASK, id), Closure: closure}, nil
}

// GetWorkflow returns one version of a workflow.
func (a *adminService) GetWorkflow(ctx context.Context, r *admin.ObjectGetRequest) (*admin.Workflow, error) {
	id, err := identifier("id", r.GetId(), core.ResourceType_WORKFLOW)
	if err != nil {
		return nil, err
	}
	closure, err := a.workflow(ctx, id)
	if err != nil {
		return nil, err
	}
	return &admin.Workflow{Id: workflow.Identifier(core.ResourceType_WORKFLOW, id), Closure: closure}, nil
}

// ListTasks returns versions of one task, or of all in a domain.
func (a *adminService) ListTasks(ctx context.Context, r *admin.ResourceListRequest) (*admin.TaskList, error) {
	q, err := a.resourceQuery(ctx, r)
	if err != nil {
		return nil, err
	}
	tasks, token, err := page(ctx, q, a.definitions(store.Task), wireTask)
	if err != nil {
		return nil, err
	}
	return &admin.TaskList{Tasks: tasks, Token: token}, nil
}

// ListWorkflows returns versions of one workflow, or of all in a domain.
func (a *adminService) ListWorkflows(ctx context.Context, r *admin.ResourceListRequest) (*admin.WorkflowList, error) {
	q, err := a.resourceQuery(ctx, r)
	if err != nil {
		return nil, err
	}
	workflows, token, err := page(ctx, q, a.definitions(store.Workflow), wireWorkflow)
	if err != nil {
		return nil, err
	}
	return &admin.WorkflowList{Workflows: workflows, Token: token}, nil
}

func (s *Server) definitions(kind store.Kind) func(context.Context, store.Query) ([]store.Definition, error) {
	return func(ctx context.Context, q store.Query) ([]store.Definition, error) {
		return s.store.Definitions(ctx, kind, q)
	}
}

func wireTask(d store.Definition) (*admin.Task, error) {
	m := &admin.Task{Id: workflow.Identifier(core.ResourceType_TASK, d.ID), Closure: &admin.TaskClosure{}}
	return m, readStored("task "+d.String(), d.Closure, m.GetClosure())
}

func wireWorkflow(d store.Definition) (*admin.Workflow, error) {
	m := &admin.Workflow{Id: workflow.Identifier(core.ResourceType_WORKFLOW, d.ID), Closure: &admin.WorkflowClosure{}}
	return m, readStored("workflow "+d.String(), d.Closure, m.GetClosure())
}

// resourceQuery reads a request for versions, or executions, of one name or of a whole domain.
func (s *Server) resourceQuery(ctx context.Context, r *admin.ResourceListRequest) (store.Query, error) {
	id := r.GetId()
	if id == nil {
		return store.Query{}, invalid.Field("id", "is missing; give a project and a domain")
	}
	if err := checkOrg("id.", id); err != nil {
		return store.Query{}, err
	}
	q, err := s.domainQuery(ctx, "id.", id.GetProject(), id.GetDomain(), r)
	if err != nil {
		return q, err
	}
	if q.Name = id.GetName(); q.Name != "" {
		err = ident.Key{Project: q.Project, Domain: q.Domain, Name: q.Name}.Validate("id.")
	}
	return q, err
}

// domainQuery reads a request for a list in one domain of a project.
func (s *Server) domainQuery(ctx context.Context, prefix, project, domain string, r listRequest) (store.Query, error) {
	q, err := query(r)
	if err != nil {
		return q, err
	}
	q.Project, q.Domain = project, domain
	_, err = s.place(ctx, prefix, project, domain)
	return q, err
}
