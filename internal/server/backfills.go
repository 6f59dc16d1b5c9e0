package server

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

const (
	// maxBackfill is how many slots the range of a backfill can have.
	maxBackfill = 1_000_000
	// maxPerMinute is the highest rate of a backfill.
	maxPerMinute = 1_000_000
	// defaultShow is how many of its slots are returned when it is not said, and maxShow the most.
	defaultShow = 10
	maxShow     = 1000
)

// CreateBackfill launches the slots of a range that were not launched.
func (s *schedules) CreateBackfill(ctx context.Context, r *tminusv1.CreateBackfillRequest) (*tminusv1.CreateBackfillResponse, error) {
	sch, err := s.target(ctx, r)
	if err != nil {
		return nil, err
	}
	key := sch.LaunchPlan.Key
	if err := s.openPlace(ctx, "", key.Project, key.Domain); err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	b, err := backlog(r, c)
	if err != nil {
		return nil, err
	}
	b.ScheduleID, b.LaunchPlan = sch.ID, sch.LaunchPlan
	show := min(int(r.GetShow()), maxShow+1)
	switch {
	case show > maxShow:
		return nil, invalid.Field("show", "is %d; %d is the most", r.GetShow(), maxShow)
	case show == 0:
		show = defaultShow
	}
	plan, err := s.backfillPlan(ctx, sch, b, show)
	if err != nil {
		return nil, err
	}
	s.warnClient(ctx)
	answer := &tminusv1.CreateBackfillResponse{Plan: plan}
	if r.GetDryRun() || plan.GetToLaunch() == 0 {
		return answer, nil
	}
	if b, err = s.store.CreateBackfill(ctx, key, b, c); err != nil {
		return nil, err
	}
	s.engine.Wake()
	answer.Backfill, err = s.wireBackfill(ctx, b)
	return answer, err
}

// backlog reads what a request asks for.
func backlog(r *tminusv1.CreateBackfillRequest, c store.Change) (store.Backlog, error) {
	b := store.Backlog{
		Kind: schedule.KindBackfill, NewestFirst: r.GetNewestFirst(), PerMinute: int(r.GetPerMinute()),
		By: c.By, Note: c.Why, CreatedAt: c.At,
	}
	var err error
	if b.First, err = point("first", r.GetFirst(), true); err != nil {
		return b, err
	}
	if b.Last, err = point("last", r.GetLast(), true); err != nil {
		return b, err
	}
	switch {
	case b.Last.Before(b.First):
		return b, invalid.Field("last", "%s is before first, %s", b.Last.Format(time.RFC3339), b.First.Format(time.RFC3339))
	case b.Last.After(c.At):
		return b, invalid.Field("last", "%s is in the future, whose slots the schedule fires itself; end the range now, at %s",
			b.Last.Format(time.RFC3339), c.At.UTC().Format(time.RFC3339))
	case r.GetPerMinute() > maxPerMinute:
		return b, invalid.Field("per_minute", "is %d; %d is the most, and 0 leaves it to the engine", r.GetPerMinute(), maxPerMinute)
	}
	for _, outcome := range r.GetInclude() {
		switch outcome {
		case tminusv1.Outcome_OUTCOME_SKIPPED:
			b.Include = append(b.Include, schedule.Skipped)
		case tminusv1.Outcome_OUTCOME_DEAD:
			b.Include = append(b.Include, schedule.Dead)
		case tminusv1.Outcome_OUTCOME_MISSED: // It is always.
		default:
			return b, invalid.Field("include", "%s: use OUTCOME_SKIPPED or OUTCOME_DEAD; what was launched, or will be, is not launched again", outcome)
		}
	}
	slices.Sort(b.Include)
	b.Include = slices.Compact(b.Include)
	return b, nil
}

// backfillPlan says what a backfill comes to. It walks through the slots of the
// range and, beside them, through their firings, so that it keeps none.
func (s *Server) backfillPlan(ctx context.Context, sch schedule.Schedule, b store.Backlog, show int) (*tminusv1.BackfillPlan, error) {
	timetable, err := sch.Spec.Compile(sch.Anchor)
	if err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "the schedule of %s cannot be planned: %v", sch.LaunchPlan.Key, err)
	}
	slots := timetable.Count(b.First.Add(-time.Nanosecond), b.Last)
	if slots > maxBackfill {
		return nil, invalid.Field("last", "the range has %d slots; %d is the most, so use several backfills", slots, maxBackfill)
	}
	plan := &tminusv1.BackfillPlan{LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, sch.LaunchPlan), Slots: int64(slots)}
	slot := timetable.Next(b.First.Add(-time.Nanosecond))
	// free takes the slots before the instant to be launched, as far as they are shown.
	free := func(before time.Time) {
		for len(plan.GetNext()) < show && !slot.IsZero() && slot.Before(before) {
			plan.Next = append(plan.Next, instant(slot))
			slot = timetable.Next(slot)
		}
	}
	kept := map[schedule.Outcome]int64{}
	err = s.eachFiring(ctx, sch.LaunchPlan.Key, b.First, b.Last, func(f schedule.Firing) {
		if f.Outcome == schedule.Missed || slices.Contains(b.Include, f.Outcome) || !timetable.Match(f.Slot) {
			return // It is launched, or is none of these slots.
		}
		kept[f.Outcome]++
		free(f.Slot)
		if slot.Equal(f.Slot) {
			slot = timetable.Next(slot)
		}
	})
	if err != nil {
		return nil, err
	}
	free(b.Last.Add(time.Nanosecond))
	plan.ToLaunch = plan.GetSlots()
	for _, outcome := range []schedule.Outcome{schedule.Pending, schedule.Launched, schedule.Skipped, schedule.Dead} {
		if n := kept[outcome]; n > 0 {
			plan.ToLaunch -= n
			plan.Kept = append(plan.Kept, &tminusv1.OutcomeCount{Outcome: wireOutcomes[outcome], Slots: n})
		}
	}
	return plan, nil
}

// eachFiring visits the firings of a schedule from first to last, both inclusive, in the order of their slots.
func (s *Server) eachFiring(ctx context.Context, key ident.Key, first, last time.Time, visit func(schedule.Firing)) error {
	q := store.Query{Project: key.Project, Domain: key.Domain, Name: key.Name, Limit: maxLimit, SortBy: "slot", Ascending: true}
	op, after := store.Gte, first
	for {
		q.Filters = []store.Filter{
			{Field: "slot", Op: op, Values: []string{after.UTC().Format(time.RFC3339Nano)}},
			{Field: "slot", Op: store.Lte, Values: []string{last.UTC().Format(time.RFC3339Nano)}},
		}
		firings, err := s.store.Firings(ctx, q)
		if err != nil {
			return err
		}
		for _, f := range firings {
			visit(f)
			op, after = store.Gt, f.Slot
		}
		if len(firings) < q.Limit {
			return nil
		}
	}
}

// ListBackfills lists backfills and catch-ups, newest first.
func (s *schedules) ListBackfills(ctx context.Context, r *tminusv1.ListBackfillsRequest) (*tminusv1.ListBackfillsResponse, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	q.Project, q.Domain, q.Name = r.GetProject(), r.GetDomain(), r.GetName()
	if err := s.scope(ctx, q); err != nil {
		return nil, err
	}
	if r.GetOpenOnly() {
		q.Filters = append(q.Filters, store.Filter{Field: "ended", Op: store.Eq, Values: []string{""}})
	}
	list, token, err := page(ctx, q, s.store.Backlogs, func(b store.Backlog) (*tminusv1.Backfill, error) { return s.wireBackfill(ctx, b) })
	return &tminusv1.ListBackfillsResponse{Backfills: list, Token: token}, err
}

// GetBackfill shows one backfill.
func (s *schedules) GetBackfill(ctx context.Context, r *tminusv1.GetBackfillRequest) (*tminusv1.GetBackfillResponse, error) {
	if err := checkBackfill(r.GetId()); err != nil {
		return nil, err
	}
	list, err := s.store.Backlogs(ctx, store.Query{
		Limit: 1, Filters: []store.Filter{{Field: "id", Op: store.Eq, Values: []string{strconv.FormatInt(r.GetId(), 10)}}},
	})
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, noBackfill(r.GetId())
	}
	m, err := s.wireBackfill(ctx, list[0])
	return &tminusv1.GetBackfillResponse{Backfill: m}, err
}

// CancelBackfill ends a backfill.
func (s *schedules) CancelBackfill(ctx context.Context, r *tminusv1.CancelBackfillRequest) (*tminusv1.CancelBackfillResponse, error) {
	if err := checkBackfill(r.GetId()); err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	b, err := s.store.CancelBacklog(ctx, r.GetId(), c)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noBackfill(r.GetId())
	}
	if err != nil {
		return nil, err
	}
	s.engine.Wake()
	m, err := s.wireBackfill(ctx, b)
	return &tminusv1.CancelBackfillResponse{Backfill: m}, err
}

func checkBackfill(id int64) error {
	if id < 1 {
		return invalid.Field("id", "is %d; use the number of a backfill, from 1 on", id)
	}
	return nil
}

func noBackfill(id int64) error { return notFound("id: there is no backfill %d", id) }

func (s *Server) wireBackfill(ctx context.Context, b store.Backlog) (*tminusv1.Backfill, error) {
	m := &tminusv1.Backfill{
		Id:          b.ID,
		LaunchPlan:  workflow.Identifier(core.ResourceType_LAUNCH_PLAN, b.LaunchPlan),
		Kind:        tminusv1.FiringKind_FIRING_KIND_BACKFILL,
		First:       instant(b.First),
		Last:        instant(b.Last),
		NewestFirst: b.NewestFirst,
		PerMinute:   uint32(max(0, min(b.PerMinute, maxPerMinute))),
		By:          b.By,
		Reason:      b.Note,
		CreatedAt:   instant(b.CreatedAt),
		EndedAt:     instant(b.EndedAt),
		Done:        b.Ended == store.BacklogDone,
		Recorded:    int64(b.Recorded),
		Launched:    int64(b.Launched),
		Failed:      int64(b.Failed),
	}
	if b.Kind == schedule.KindCatchUp {
		m.Kind = tminusv1.FiringKind_FIRING_KIND_CATCH_UP
	}
	if !m.GetDone() {
		m.Cancelled = b.Ended
	}
	for _, outcome := range b.Include {
		m.Include = append(m.Include, wireOutcomes[outcome])
	}
	timetable, err := s.timetableOf(ctx, b.LaunchPlan)
	if err != nil {
		return nil, err
	}
	before := b.First.Add(-time.Nanosecond)
	slots := timetable.Count(before, b.Last)
	left := slots
	switch {
	case m.GetDone():
		left = 0
	case b.Cursor.IsZero():
	case b.NewestFirst:
		left = timetable.Count(before, b.Cursor.Add(-time.Nanosecond))
	default:
		left = timetable.Count(b.Cursor, b.Last)
	}
	m.Slots, m.SlotsLeft = int64(slots), int64(left)
	return m, nil
}

// timetableOf is the slots of a version of a launch plan; none if it has no
// schedule, or one that cannot be read any more.
func (s *Server) timetableOf(ctx context.Context, id ident.ID) (schedule.Timetable, error) {
	none := schedule.Timetable{}
	plan, err := s.store.Plan(ctx, id)
	if err != nil {
		return none, err
	}
	spec, err := planSpec(plan)
	if err != nil {
		return none, err
	}
	timed, err := launchplan.ScheduleSpec(spec)
	if err != nil || timed == nil {
		return none, nil //nolint:nilerr // The schedule's problem says why.
	}
	sch, err := s.store.Schedule(ctx, id.Key)
	if err != nil {
		return none, err
	}
	timetable, err := timed.Compile(sch.Anchor)
	if err != nil {
		return none, nil //nolint:nilerr // Likewise.
	}
	return timetable, nil
}
