package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/cron"
	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// schedules shows schedules and the ledger of their slots.
type schedules struct {
	tminusv1.UnimplementedScheduleServiceServer
	*Server
}

// maxNext is how many next slots of a schedule can be asked for.
const maxNext = 100

func nextCount(n uint32) (int, error) {
	if n > maxNext {
		return 0, invalid.Field("next", "is %d; %d is the most", n, maxNext)
	}
	return int(max(n, 1)), nil
}

// scope checks the parts of a key that restrict a list; each may be empty.
func (s *Server) scope(ctx context.Context, q store.Query) error {
	if q.Project != "" {
		if err := ident.ValidateProject("project", q.Project); err != nil {
			return err
		}
		if _, err := s.project(ctx, "project", q.Project); err != nil {
			return err
		}
	}
	if q.Domain != "" && !slices.Contains(domains, q.Domain) {
		return notFound("domain: there is no domain %q; the domains are %s", short(q.Domain, 60), strings.Join(domains, ", "))
	}
	if q.Name != "" {
		return (ident.Key{Project: "p", Domain: "d", Name: q.Name}).Validate("")
	}
	return nil
}

// ListSchedules lists schedules, the one that fires next first.
func (s *schedules) ListSchedules(ctx context.Context, r *tminusv1.ListSchedulesRequest) (*tminusv1.ListSchedulesResponse, error) {
	n, err := nextCount(r.GetNext())
	if err != nil {
		return nil, err
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	q.Project, q.Domain = r.GetProject(), r.GetDomain()
	if err := s.scope(ctx, q); err != nil {
		return nil, err
	}
	if r.GetActiveOnly() {
		q.Filters = append(q.Filters, store.Filter{Field: "active", Op: store.Eq, Values: []string{"true"}})
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	s.warnClient(ctx)
	list, token, err := page(ctx, q, s.store.Schedules, func(sch schedule.Schedule) (*tminusv1.Schedule, error) {
		return s.wireSchedule(ctx, sch, n, now)
	})
	if err != nil {
		return nil, err
	}
	return &tminusv1.ListSchedulesResponse{Schedules: list, Token: token}, nil
}

// GetSchedule shows the schedule of one launch plan.
func (s *schedules) GetSchedule(ctx context.Context, r *tminusv1.GetScheduleRequest) (*tminusv1.GetScheduleResponse, error) {
	n, err := nextCount(r.GetNext())
	if err != nil {
		return nil, err
	}
	key := ident.Key{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()}
	if err := key.Validate(""); err != nil {
		return nil, err
	}
	sch, err := s.store.Schedule(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("launch plan %s has no schedule: none of its versions was activated with one", key)
	}
	if err != nil {
		return nil, err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	m, err := s.wireSchedule(ctx, sch, n, now)
	if err != nil {
		return nil, err
	}
	s.warnClient(ctx)
	return &tminusv1.GetScheduleResponse{Schedule: m}, nil
}

func (s *Server) wireSchedule(ctx context.Context, sch schedule.Schedule, n int, now time.Time) (*tminusv1.Schedule, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // Finding slots takes time, and many are asked for.
	}
	if sch.Active && sch.Problem == "" {
		sch.Problem = s.cfg.SilentReason
	}
	m := &tminusv1.Schedule{
		LaunchPlan:   workflow.Identifier(core.ResourceType_LAUNCH_PLAN, sch.LaunchPlan),
		Expression:   sch.Spec.Expression,
		Timezone:     sch.Spec.Policy.Timezone,
		KickoffInput: sch.Spec.KickoffInput,
		Active:       sch.Active,
		Paused:       sch.Paused,
		Problem:      sch.Problem,
		Cursor:       instant(sch.Cursor),
	}
	if parsed, err := cron.Parse(sch.Spec.Expression); err == nil { // If not, Problem says so.
		m.Expression = parsed.String()
		if m.GetTimezone() == "" {
			m.Timezone = parsed.Location().String()
		}
	}
	for _, t := range upcoming(sch, n, now) {
		m.Next = append(m.Next, timestamppb.New(t))
	}
	var err error
	m.Policy, err = s.policy(ctx, sch.LaunchPlan)
	return m, err
}

// policy is the annotations of a launch plan that tminus reads, without their prefix.
func (s *Server) policy(ctx context.Context, id ident.ID) (map[string]string, error) {
	plan, err := s.store.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	spec, err := planSpec(plan)
	if err != nil {
		return nil, err
	}
	policy := map[string]string{}
	for key, value := range spec.GetAnnotations().GetValues() {
		if name, ours := strings.CutPrefix(key, schedule.AnnotationPrefix); ours {
			policy[name] = value
		}
	}
	return policy, nil
}

// upcoming is the next n slots that sch fires at; none while it does not fire.
func upcoming(sch schedule.Schedule, n int, now time.Time) []time.Time {
	if !sch.Active || sch.Paused != "" || sch.Problem != "" {
		return nil
	}
	if most := sch.Spec.Policy.MaxRuns; most > 0 {
		n = min(n, most-sch.Runs)
	}
	timetable, err := sch.Spec.Compile(sch.Anchor)
	if err != nil {
		return nil // The engine will set Problem.
	}
	after := now
	if sch.Cursor.After(now) {
		after = sch.Cursor
	}
	var slots []time.Time
	for len(slots) < n {
		if after = timetable.Next(after); after.IsZero() {
			break
		}
		slots = append(slots, after)
	}
	return slots
}

// ListFirings lists what became of slots, newest first.
func (s *schedules) ListFirings(ctx context.Context, r *tminusv1.ListFiringsRequest) (*tminusv1.ListFiringsResponse, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	q.Project, q.Domain, q.Name = r.GetProject(), r.GetDomain(), r.GetName()
	if err := s.scope(ctx, q); err != nil {
		return nil, err
	}
	firings, token, err := page(ctx, q, s.store.Firings, wireFiring)
	if err != nil {
		return nil, err
	}
	return &tminusv1.ListFiringsResponse{Firings: firings, Token: token}, nil
}

var wireOutcomes = map[schedule.Outcome]tminusv1.Outcome{
	schedule.Pending:  tminusv1.Outcome_OUTCOME_PENDING,
	schedule.Launched: tminusv1.Outcome_OUTCOME_LAUNCHED,
	schedule.Skipped:  tminusv1.Outcome_OUTCOME_SKIPPED,
	schedule.Missed:   tminusv1.Outcome_OUTCOME_MISSED,
	schedule.Dead:     tminusv1.Outcome_OUTCOME_DEAD,
}

func wireFiring(f schedule.Firing) (*tminusv1.Firing, error) {
	m := &tminusv1.Firing{
		LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, f.LaunchPlan),
		Slot:       instant(f.Slot),
		LastSlot:   instant(f.Last),
		Count:      int64(f.Count),
		Outcome:    wireOutcomes[f.Outcome],
		Reason:     f.Reason,
		Attempts:   int32(min(f.Attempts, 1<<30)), //nolint:gosec // Bounded in the line.
		RecordedAt: instant(f.RecordedAt),
		SettledAt:  instant(f.SettledAt),
	}
	switch f.Outcome {
	case schedule.Pending:
		m.AttemptAt, m.Execution = instant(f.AttemptAt), f.Execution()
	case schedule.Launched:
		m.Lateness, m.Execution = durationpb.New(f.Lateness()), f.Execution()
	case schedule.Skipped, schedule.Missed, schedule.Dead:
	}
	return m, nil
}
