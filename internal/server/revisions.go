package server

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// ListRevisions lists the changes to a schedule, newest first.
func (s *schedules) ListRevisions(ctx context.Context, r *tminusv1.ListRevisionsRequest) (*tminusv1.ListRevisionsResponse, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	sch, err := s.target(ctx, r)
	if err != nil {
		return nil, err
	}
	policies := map[ident.ID]map[string]string{} // Many revisions share a version.
	list, token, err := page(ctx, q, func(ctx context.Context, q store.Query) ([]store.Revision, error) {
		return s.store.Revisions(ctx, sch.LaunchPlan.Key, q)
	}, func(v store.Revision) (*tminusv1.Revision, error) {
		policy, known := policies[v.LaunchPlan]
		if !known {
			var err error
			if policy, err = s.policy(ctx, v.LaunchPlan); err != nil {
				return nil, err
			}
			policies[v.LaunchPlan] = policy
		}
		return wireRevision(v, policy), nil
	})
	return &tminusv1.ListRevisionsResponse{Revisions: list, Token: token}, err
}

func wireRevision(v store.Revision, policy map[string]string) *tminusv1.Revision {
	expression, timezone := timing(v.Spec)
	return &tminusv1.Revision{
		Number:      int64(v.Number),
		LaunchPlan:  workflow.Identifier(core.ResourceType_LAUNCH_PLAN, v.LaunchPlan),
		Expression:  expression,
		Timezone:    timezone,
		Policy:      policy,
		Active:      v.Active,
		Paused:      v.Paused,
		PausedUntil: instant(v.PausedUntil),
		Action:      v.Action,
		By:          v.By,
		Reason:      v.Why,
		At:          instant(v.At),
		From:        instant(v.From),
	}
}

// RollbackSchedule brings back the version that a revision had active, or that it had none.
func (s *schedules) RollbackSchedule(ctx context.Context, r *tminusv1.RollbackScheduleRequest) (*tminusv1.RollbackScheduleResponse, error) {
	sch, err := s.target(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.GetRevision() < 1 {
		return nil, invalid.Field("revision", "is %d; use a number from the list of revisions", r.GetRevision())
	}
	why := fmt.Sprintf("rollback to revision %d", r.GetRevision())
	if r.GetReason() != "" {
		why += ": " + r.GetReason()
	}
	c, err := s.change(ctx, why)
	if err != nil {
		return nil, err
	}
	revision, err := s.revision(ctx, sch.LaunchPlan.Key, r.GetRevision())
	if err != nil {
		return nil, err
	}
	switch {
	case !revision.Active && !sch.Active: // As it was.
	case !revision.Active:
		err = s.store.Deactivate(ctx, sch.LaunchPlan, c)
	case revision.Paused != "":
		// Bringing it back would take two changes, and slots may come due between them.
		err = status.Errorf(codes.FailedPrecondition, "revision: in %d the schedule is paused (%s); roll back to one in which it is not, or pause it",
			revision.Number, revision.Paused)
	default:
		var plan store.Plan
		if plan, err = s.store.Plan(ctx, revision.LaunchPlan); err != nil {
			return nil, missing(err, store.LaunchPlan, revision.LaunchPlan)
		}
		err = s.activate(ctx, "", plan, c)
	}
	if err != nil {
		return nil, err
	}
	m, err := s.operated(ctx, sch.LaunchPlan.Key)
	return &tminusv1.RollbackScheduleResponse{Schedule: m}, err
}

// revision reads one revision of a schedule.
func (s *Server) revision(ctx context.Context, key ident.Key, number int64) (store.Revision, error) {
	list, err := s.store.Revisions(ctx, key, store.Query{
		Limit: 1, Filters: []store.Filter{{Field: "number", Op: store.Eq, Values: []string{strconv.FormatInt(number, 10)}}},
	})
	switch {
	case err != nil:
		return store.Revision{}, err
	case len(list) == 0:
		return store.Revision{}, notFound("revision: the schedule of %s has no revision %d", key, number)
	}
	return list[0], nil
}
