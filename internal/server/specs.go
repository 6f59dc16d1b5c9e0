package server

import (
	"context"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// GetSpec returns what was registered, as it was sent.
func (s *follows) GetSpec(ctx context.Context, r *tminusv1.GetSpecRequest) (*tminusv1.GetSpecResponse, error) {
	kind := r.GetId().GetResourceType()
	id, err := identifier("id", r.GetId(), kind)
	if err != nil {
		return nil, err
	}
	switch kind {
	case core.ResourceType_TASK:
		spec := &admin.TaskSpec{}
		err = s.readSpec(ctx, store.Task, id, spec)
		return &tminusv1.GetSpecResponse{Spec: &tminusv1.GetSpecResponse_Task{Task: spec}}, err
	case core.ResourceType_WORKFLOW:
		spec := &admin.WorkflowSpec{}
		err = s.readSpec(ctx, store.Workflow, id, spec)
		return &tminusv1.GetSpecResponse{Spec: &tminusv1.GetSpecResponse_Workflow{Workflow: spec}}, err
	case core.ResourceType_LAUNCH_PLAN:
		plan, err := s.store.Plan(ctx, id)
		if err != nil {
			return nil, missing(err, store.LaunchPlan, id)
		}
		spec, err := planSpec(plan)
		return &tminusv1.GetSpecResponse{Spec: &tminusv1.GetSpecResponse_LaunchPlan{LaunchPlan: spec}}, err
	default:
		return nil, invalid.Field("id.resource_type", "is %s; use TASK, WORKFLOW or LAUNCH_PLAN", kind)
	}
}

// readSpec reads what was sent of a task or workflow.
func (s *Server) readSpec(ctx context.Context, kind store.Kind, id ident.ID, spec proto.Message) error {
	d, err := s.store.Definition(ctx, kind, id)
	if err != nil {
		return missing(err, kind, id)
	}
	return readStored(noun(kind)+" "+id.String(), d.Spec, spec)
}
