package server

import (
	"context"
	"errors"
	"unicode/utf8"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// maxDescription bounds what people say of projects and entities, in bytes.
const maxDescription = 4 << 10

// RegisterProject adds a project, with every domain of the server.
func (a *adminService) RegisterProject(ctx context.Context, r *admin.ProjectRegisterRequest) (*admin.ProjectRegisterResponse, error) {
	p := r.GetProject()
	if p == nil {
		return nil, invalid.Field("project", "is missing")
	}
	record, err := projectRecord("project.", p)
	if err != nil {
		return nil, err
	}
	if len(p.GetDomains()) > 0 {
		return nil, invalid.Field("project.domains", "every project has the server's domains; leave them out")
	}
	if record.CreatedAt, err = a.store.Now(ctx); err != nil {
		return nil, err
	}
	err = a.store.CreateProject(ctx, record)
	if errors.Is(err, store.ErrExists) {
		return nil, exists("project.id: project %q is registered already", record.ID)
	}
	if err != nil {
		return nil, err
	}
	return &admin.ProjectRegisterResponse{}, nil
}

// UpdateProject replaces a project's name, description, labels and state. The
// domains are in what clients read and send back; they stay the server's.
func (a *adminService) UpdateProject(ctx context.Context, p *admin.Project) (*admin.ProjectUpdateResponse, error) {
	record, err := projectRecord("", p)
	if err != nil {
		return nil, err
	}
	err = a.store.UpdateProject(ctx, record)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("id: project %q is not registered", record.ID)
	}
	if err != nil {
		return nil, err
	}
	return &admin.ProjectUpdateResponse{}, nil
}

func projectRecord(prefix string, p *admin.Project) (store.Project, error) {
	record := store.Project{ID: p.GetId(), Name: p.GetName(), Description: p.GetDescription(), State: int32(p.GetState())}
	if err := ident.ValidateProject(prefix+"id", record.ID); err != nil {
		return record, err
	}
	if err := checkOrg(prefix, p); err != nil {
		return record, err
	}
	if record.Name == "" {
		record.Name = record.ID
	}
	if err := checkText(prefix+"name", record.Name, 255); err != nil {
		return record, err
	}
	if err := checkText(prefix+"description", record.Description, maxDescription); err != nil {
		return record, err
	}
	if err := checkEnum(prefix+"state", p.GetState()); err != nil {
		return record, err
	}
	var err error
	record.Spec, err = serialize(p)
	return record, err
}

// checkText bounds a text that people read.
func checkText(field, text string, most int) error {
	if len(text) > most {
		return invalid.Field(field, "is %d bytes long; %d is the most", len(text), most)
	}
	if !utf8.ValidString(text) {
		return invalid.Field(field, "is not valid UTF-8")
	}
	return nil
}

// GetProject returns one project.
func (a *adminService) GetProject(ctx context.Context, r *admin.ProjectGetRequest) (*admin.Project, error) {
	if err := ident.ValidateProject("id", r.GetId()); err != nil {
		return nil, err
	}
	if err := checkOrg("", r); err != nil {
		return nil, err
	}
	p, err := a.project(ctx, "id", r.GetId())
	if err != nil {
		return nil, err
	}
	return wireProject(p)
}

// ListProjects returns projects; those that are archived only when there are
// filters. Flyte limits this list only when asked to.
func (a *adminService) ListProjects(ctx context.Context, r *admin.ProjectListRequest) (*admin.Projects, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	if err := checkOrg("", r); err != nil {
		return nil, err
	}
	if r.GetLimit() == 0 {
		q = all(q)
	}
	if len(q.Filters) == 0 {
		for _, archived := range []admin.Project_ProjectState{admin.Project_ARCHIVED, admin.Project_SYSTEM_ARCHIVED} {
			q.Filters = append(q.Filters, store.Filter{Field: "state", Op: store.Ne, Values: []string{archived.String()}})
		}
	}
	projects, token, err := page(ctx, q, a.store.Projects, wireProject)
	if err != nil {
		return nil, err
	}
	return &admin.Projects{Projects: projects, Token: token}, nil
}

// wireProject is p as registered, with what holds now.
func wireProject(p store.Project) (*admin.Project, error) {
	m := &admin.Project{}
	if err := readStored("project "+p.ID, p.Spec, m); err != nil {
		return nil, err
	}
	m.Id, m.Name, m.Description, m.State = p.ID, p.Name, p.Description, admin.Project_ProjectState(p.State)
	m.Domains = wireDomains()
	return m, nil
}

// domains every project has; Flyte's own.
var domains = []string{"development", "staging", "production"}

func wireDomains() []*admin.Domain {
	wire := make([]*admin.Domain, len(domains))
	for i, d := range domains {
		wire[i] = &admin.Domain{Id: d, Name: d}
	}
	return wire
}

// GetDomains returns the domains that every project has.
func (*adminService) GetDomains(context.Context, *admin.GetDomainRequest) (*admin.GetDomainsResponse, error) {
	return &admin.GetDomainsResponse{Domains: wireDomains()}, nil
}
