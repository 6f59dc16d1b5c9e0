package server

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/cron"
	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// schedules shows schedules and the ledger of their slots, and operates them.
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

// planQuery is query for what belongs to launch plans, of those that r names.
func (s *Server) planQuery(ctx context.Context, r interface {
	listRequest
	GetProject() string
	GetDomain() string
	GetName() string
},
) (store.Query, error) {
	q, err := query(r)
	if err != nil {
		return q, err
	}
	q.Project, q.Domain, q.Name = r.GetProject(), r.GetDomain(), r.GetName()
	return q, s.scope(ctx, q)
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
		q.Filters = append(q.Filters, activeOnly)
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	decided, err := s.decided(ctx, q, now)
	if err != nil {
		return nil, err
	}
	s.warnClient(ctx)
	var rules map[int64]store.Rule
	list, token, err := page(ctx, q, func(ctx context.Context, q store.Query) ([]schedule.Schedule, error) {
		some, err := s.store.Schedules(ctx, q)
		if err != nil {
			return nil, err
		}
		ids := make([]int64, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		rules, err = s.store.RulesOf(ctx, ids)
		return some, err
	}, func(sch schedule.Schedule) (*tminusv1.Schedule, error) {
		return s.wireSchedule(ctx, sch, n, now, decided[sch.ID], rules[sch.ID])
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
	sch, err := s.target(ctx, r)
	if err != nil {
		return nil, err
	}
	m, err := s.wireWhole(ctx, sch, n)
	if err != nil {
		return nil, err
	}
	s.warnClient(ctx)
	return &tminusv1.GetScheduleResponse{Schedule: m}, nil
}

// wireWhole is a schedule with all there is to say of a single one.
func (s *Server) wireWhole(ctx context.Context, sch schedule.Schedule, n int) (*tminusv1.Schedule, error) {
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	key := sch.LaunchPlan.Key
	q := store.Query{Project: key.Project, Domain: key.Domain, Name: key.Name}
	decided, err := s.decided(ctx, q, now)
	if err != nil {
		return nil, err
	}
	rules, err := s.store.RulesOf(ctx, []int64{sch.ID})
	if err != nil {
		return nil, err
	}
	m, err := s.wireSchedule(ctx, sch, n, now, decided[sch.ID], rules[sch.ID])
	if err != nil {
		return nil, err
	}
	m.Lateness, err = s.lateness(ctx, q)
	return m, err
}

// wireSchedule is a schedule with its next n slots, without those that are decided.
func (s *Server) wireSchedule(ctx context.Context, sch schedule.Schedule, n int, now time.Time, decided []time.Time, rule store.Rule) (*tminusv1.Schedule, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // Finding slots takes time, and many are asked for.
	}
	if sch.Active && sch.Problem == "" {
		sch.Problem = s.cfg.Silent()
	}
	if sch.Active && sch.Problem == "" && rule.Error != "" {
		sch.Problem = "its rule in AWS is not applied; " + unapplied(sch.Spec) + ": " + rule.Error
	}
	m := &tminusv1.Schedule{
		LaunchPlan:   workflow.Identifier(core.ResourceType_LAUNCH_PLAN, sch.LaunchPlan),
		KickoffInput: sch.Spec.KickoffInput,
		Active:       sch.Active,
		Paused:       sch.Paused,
		PausedUntil:  instant(sch.PausedUntil),
		PausedBy:     sch.PausedBy,
		Problem:      sch.Problem,
		Cursor:       instant(sch.Cursor),
		Revision:     int64(sch.Revision),
		Rule:         wireRule(rule),
	}
	m.Expression, m.Timezone = timing(sch.Spec)
	for _, t := range next(sch, n, now, decided) {
		m.Next = append(m.Next, timestamppb.New(t))
	}
	var err error
	m.Policy, err = s.policy(ctx, sch.LaunchPlan)
	return m, err
}

// timing is the expression of a schedule in its canonical form, and its zone.
func timing(spec schedule.Spec) (expression, timezone string) {
	expression, timezone = spec.Expression, spec.Policy.Timezone
	if parsed, err := cron.Parse(expression); err == nil { // If not, the schedule's problem says so.
		expression = parsed.String()
		timezone = cmp.Or(timezone, parsed.Location().String())
	}
	return expression, timezone
}

// latenesses is how many firings the figures of lateness are of.
const latenesses = 100

// lateness is how late the latest scheduled firings of a schedule were launched; nil before the first.
func (s *Server) lateness(ctx context.Context, q store.Query) (*tminusv1.Lateness, error) {
	q.Limit = latenesses
	q.Filters = []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{string(schedule.Launched)}}}
	firings, err := s.store.Firings(ctx, q)
	if err != nil {
		return nil, err
	}
	var late []time.Duration
	for _, f := range firings {
		if f.Kind == "" || f.Kind == schedule.KindScheduled {
			late = append(late, f.Lateness())
		}
	}
	n := len(late)
	if n == 0 {
		return nil, nil //nolint:nilnil // There is none to speak of.
	}
	m := &tminusv1.Lateness{Last: durationpb.New(late[0]), Firings: uint32(n)} //nolint:gosec // At most latenesses.
	slices.Sort(late)
	m.P50, m.P99 = durationpb.New(late[(n-1)/2]), durationpb.New(late[(99*n+99)/100-1])
	return m, nil
}

// policy is ours of a registered launch plan.
func (s *Server) policy(ctx context.Context, id ident.ID) (map[string]string, error) {
	plan, err := s.store.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	spec, err := planSpec(plan)
	if err != nil {
		return nil, err
	}
	return ours(spec), nil
}

// ours is the annotations of a launch plan that tminus reads, without their prefix.
func ours(spec *admin.LaunchPlanSpec) map[string]string {
	policy := map[string]string{}
	for key, value := range spec.GetAnnotations().GetValues() {
		if name, ours := strings.CutPrefix(key, schedule.AnnotationPrefix); ours {
			policy[name] = value
		}
	}
	return policy
}

// ListFirings lists what became of slots, newest first.
func (s *schedules) ListFirings(ctx context.Context, r *tminusv1.ListFiringsRequest) (*tminusv1.ListFiringsResponse, error) {
	q, err := s.planQuery(ctx, r)
	if err != nil {
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

var wireKinds = map[schedule.Kind]tminusv1.FiringKind{
	"":                     tminusv1.FiringKind_FIRING_KIND_SCHEDULED,
	schedule.KindScheduled: tminusv1.FiringKind_FIRING_KIND_SCHEDULED,
	schedule.KindCatchUp:   tminusv1.FiringKind_FIRING_KIND_CATCH_UP,
	schedule.KindBackfill:  tminusv1.FiringKind_FIRING_KIND_BACKFILL,
	schedule.KindManual:    tminusv1.FiringKind_FIRING_KIND_MANUAL,
}

func wireFiring(f schedule.Firing) (*tminusv1.Firing, error) {
	m := &tminusv1.Firing{
		LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, f.LaunchPlan),
		Slot:       instant(f.Slot),
		LastSlot:   instant(f.Last),
		Count:      int64(f.Count),
		Kind:       wireKinds[f.Kind],
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
