package server

import (
	"context"
	"errors"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// resourceKind is the kind of entity that a resource type names.
func resourceKind(t core.ResourceType) (store.Kind, error) {
	switch t {
	case core.ResourceType_TASK:
		return store.Task, nil
	case core.ResourceType_WORKFLOW:
		return store.Workflow, nil
	case core.ResourceType_LAUNCH_PLAN:
		return store.LaunchPlan, nil
	default:
		return "", invalid.Field("resource_type", "is %s; use TASK, WORKFLOW or LAUNCH_PLAN", t)
	}
}

func resourceType(kind store.Kind) core.ResourceType {
	switch kind {
	case store.Task:
		return core.ResourceType_TASK
	case store.Workflow:
		return core.ResourceType_WORKFLOW
	default:
		return core.ResourceType_LAUNCH_PLAN
	}
}

func wireNamedEntity(e store.NamedEntity) (*admin.NamedEntity, error) {
	return &admin.NamedEntity{
		ResourceType: resourceType(e.Kind),
		Id:           wireName(e),
		Metadata:     &admin.NamedEntityMetadata{Description: e.Description, State: admin.NamedEntityState(e.State)},
	}, nil
}

func wireName(e store.NamedEntity) *admin.NamedEntityIdentifier {
	return &admin.NamedEntityIdentifier{Project: e.Project, Domain: e.Domain, Name: e.Name}
}

// GetNamedEntity returns what is said of an entity apart from its versions.
func (a *adminService) GetNamedEntity(ctx context.Context, r *admin.NamedEntityGetRequest) (*admin.NamedEntity, error) {
	kind, err := resourceKind(r.GetResourceType())
	if err != nil {
		return nil, err
	}
	key, err := key("id", r.GetId())
	if err != nil {
		return nil, err
	}
	e, err := a.store.NamedEntity(ctx, kind, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("id: no version of %s %s is registered", noun(kind), key)
	}
	if err != nil {
		return nil, err
	}
	return wireNamedEntity(e)
}

// UpdateNamedEntity replaces what is said of an entity.
func (a *adminService) UpdateNamedEntity(ctx context.Context, r *admin.NamedEntityUpdateRequest) (*admin.NamedEntityUpdateResponse, error) {
	kind, err := resourceKind(r.GetResourceType())
	if err != nil {
		return nil, err
	}
	key, err := key("id", r.GetId())
	if err != nil {
		return nil, err
	}
	said := r.GetMetadata()
	if said == nil {
		return nil, invalid.Field("metadata", "is missing")
	}
	if err := checkText("metadata.description", said.GetDescription(), maxDescription); err != nil {
		return nil, err
	}
	if err := checkEnum("metadata.state", said.GetState()); err != nil {
		return nil, err
	}
	err = a.store.UpdateNamedEntity(ctx, store.NamedEntity{
		Key: key, Kind: kind, Description: said.GetDescription(), State: int32(said.GetState()),
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("id: no version of %s %s is registered", noun(kind), key)
	}
	if err != nil {
		return nil, err
	}
	return &admin.NamedEntityUpdateResponse{}, nil
}

// ListNamedEntities returns the entities of a kind in a domain.
func (a *adminService) ListNamedEntities(ctx context.Context, r *admin.NamedEntityListRequest) (*admin.NamedEntityList, error) {
	kind, err := resourceKind(r.GetResourceType())
	if err != nil {
		return nil, err
	}
	if err := checkOrg("", r); err != nil {
		return nil, err
	}
	q, err := a.domainQuery(ctx, "", r.GetProject(), r.GetDomain(), r)
	if err != nil {
		return nil, err
	}
	entities, token, err := page(ctx, q, a.namedEntities(kind), wireNamedEntity)
	if err != nil {
		return nil, err
	}
	return &admin.NamedEntityList{Entities: entities, Token: token}, nil
}

// ListTaskIds returns the names of tasks.
func (a *adminService) ListTaskIds(ctx context.Context, r *admin.NamedEntityIdentifierListRequest) (*admin.NamedEntityIdentifierList, error) { //nolint:revive // The name is the wire's.
	return a.listNames(ctx, store.Task, r)
}

// ListWorkflowIds returns the names of workflows.
func (a *adminService) ListWorkflowIds(ctx context.Context, r *admin.NamedEntityIdentifierListRequest) (*admin.NamedEntityIdentifierList, error) { //nolint:revive // The name is the wire's.
	return a.listNames(ctx, store.Workflow, r)
}

// ListLaunchPlanIds returns the names of launch plans.
func (a *adminService) ListLaunchPlanIds(ctx context.Context, r *admin.NamedEntityIdentifierListRequest) (*admin.NamedEntityIdentifierList, error) { //nolint:revive // The name is the wire's.
	return a.listNames(ctx, store.LaunchPlan, r)
}

func (a *adminService) listNames(ctx context.Context, kind store.Kind, r *admin.NamedEntityIdentifierListRequest) (*admin.NamedEntityIdentifierList, error) {
	if err := checkOrg("", r); err != nil {
		return nil, err
	}
	q, err := a.domainQuery(ctx, "", r.GetProject(), r.GetDomain(), r)
	if err != nil {
		return nil, err
	}
	names, token, err := page(ctx, q, a.namedEntities(kind), func(e store.NamedEntity) (*admin.NamedEntityIdentifier, error) {
		return wireName(e), nil
	})
	if err != nil {
		return nil, err
	}
	return &admin.NamedEntityIdentifierList{Entities: names, Token: token}, nil
}

func (s *Server) namedEntities(kind store.Kind) func(context.Context, store.Query) ([]store.NamedEntity, error) {
	return func(ctx context.Context, q store.Query) ([]store.NamedEntity, error) {
		return s.store.NamedEntities(ctx, kind, q)
	}
}
