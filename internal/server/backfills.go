package server

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

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
	sch, err := s.activeTarget(ctx, r)
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

// backfillPlan says what a backfill comes to. It walks through the firings of the
// range and keeps none but the ranges of skipped slots.
func (s *Server) backfillPlan(ctx context.Context, sch schedule.Schedule, b store.Backlog, show int) (*tminusv1.BackfillPlan, error) {
	timetable, err := sch.Spec.Compile(sch.Anchor)
	if err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "the schedule of %s cannot be planned: %v", sch.LaunchPlan.Key, err)
	}
	slots := timetable.Count(b.First.Add(-time.Nanosecond), b.Last)
	if slots > maxBackfill {
		return nil, invalid.Field("last", "the range has %d slots; %d is the most, so use several backfills", slots, maxBackfill)
	}
	// What is recorded of a pause, when it ends, is that its slots were skipped.
	if sch.Paused != "" && !slices.Contains(b.Include, schedule.Skipped) && timetable.Count(later(b.First.Add(-time.Nanosecond), sch.Cursor), b.Last) > 0 {
		return nil, invalid.Field("last", "%s is within a pause, whose slots are skipped; end the range where it begins, at %s, or include skipped slots",
			b.Last.Format(time.RFC3339), sch.Cursor.UTC().Format(time.RFC3339))
	}
	p := planner{backlog: b, timetable: timetable, show: show, slot: timetable.Next(b.First.Add(-time.Nanosecond)), kept: map[schedule.Outcome]int64{}}
	if !slices.Contains(b.Include, schedule.Skipped) {
		if err := s.eachSkipped(ctx, sch.LaunchPlan.Key, b, p.leave); err != nil {
			return nil, err
		}
	}
	if err := s.eachFiring(ctx, sch.LaunchPlan.Key, b.First, b.Last, p.visit); err != nil {
		return nil, err
	}
	p.free(b.Last.Add(time.Nanosecond))
	plan := &tminusv1.BackfillPlan{
		LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, sch.LaunchPlan),
		Slots:      int64(slots), ToLaunch: int64(slots), Next: p.next,
	}
	for _, outcome := range []schedule.Outcome{schedule.Pending, schedule.Launched, schedule.Skipped, schedule.Dead} {
		if n := p.kept[outcome]; n > 0 {
			plan.ToLaunch -= n
			plan.Kept = append(plan.Kept, &tminusv1.OutcomeCount{Outcome: wireOutcomes[outcome], Slots: n})
		}
	}
	return plan, nil
}

// A planner finds out what a backfill launches. It is told of the ranges of
// skipped slots that are left, and then of all firings in the order of time.
type planner struct {
	backlog   store.Backlog
	timetable schedule.Timetable
	show      int
	slot      time.Time // the first that is not decided upon
	next      []*timestamppb.Timestamp
	skipped   []schedule.Firing
	kept      map[schedule.Outcome]int64
}

// leave keeps a range of skipped slots as it is.
func (p *planner) leave(f schedule.Firing) {
	if f.Slot.Before(p.backlog.First) {
		f.Slot = p.backlog.First
	}
	if f.Last.After(p.backlog.Last) {
		f.Last = p.backlog.Last
	}
	p.skipped = append(p.skipped, f)
	p.kept[schedule.Skipped] += int64(p.timetable.Count(f.Slot.Add(-time.Nanosecond), f.Last))
}

// within is the skipped range that slot is in.
func (p *planner) within(slot time.Time) (f schedule.Firing, ok bool) {
	i := slices.IndexFunc(p.skipped, func(f schedule.Firing) bool { return !slot.Before(f.Slot) && !slot.After(f.Last) })
	if i < 0 {
		return f, false
	}
	return p.skipped[i], true
}

// free takes the slots before an instant to be launched, as far as they are shown.
func (p *planner) free(before time.Time) {
	for len(p.next) < p.show && !p.slot.IsZero() && p.slot.Before(before) {
		if f, ok := p.within(p.slot); ok {
			p.slot = p.timetable.Next(earlier(f.Last, before.Add(-time.Nanosecond)))
			continue
		}
		p.take(p.slot)
	}
}

func (p *planner) take(slot time.Time) {
	if len(p.next) < p.show {
		p.next = append(p.next, instant(slot))
		p.slot = p.timetable.Next(slot)
	}
}

// visit counts a firing of a slot's own.
func (p *planner) visit(f schedule.Firing) {
	if f.Count > 1 || f.Outcome == schedule.Missed || !p.timetable.Match(f.Slot) {
		return // It stands for slots without one, or is none of these slots.
	}
	p.free(f.Slot)
	if _, ok := p.within(f.Slot); ok {
		p.kept[schedule.Skipped]--
	}
	if slices.Contains(p.backlog.Include, f.Outcome) {
		p.take(f.Slot)
		return
	}
	p.kept[f.Outcome]++
	if p.slot.Equal(f.Slot) {
		p.slot = p.timetable.Next(f.Slot)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// eachSkipped visits the ranges of skipped slots that reach into a backfill.
func (s *Server) eachSkipped(ctx context.Context, key ident.Key, b store.Backlog, visit func(schedule.Firing)) error {
	return s.eachOf(ctx, key, func(after string) []store.Filter {
		return []store.Filter{
			{Field: "outcome", Op: store.Eq, Values: []string{string(schedule.Skipped)}},
			{Field: "last", Op: store.Gte, Values: []string{b.First.UTC().Format(time.RFC3339Nano)}},
			{Field: "slot", Op: store.Lte, Values: []string{b.Last.Add(afterSlot).UTC().Format(time.RFC3339Nano)}},
			{Field: "slot", Op: store.Gt, Values: []string{after}},
		}
	}, time.Unix(0, 0), visit)
}

// eachFiring visits the firings of a schedule from first to last, both inclusive, in the order of their slots.
func (s *Server) eachFiring(ctx context.Context, key ident.Key, first, last time.Time, visit func(schedule.Firing)) error {
	return s.eachOf(ctx, key, func(after string) []store.Filter {
		return []store.Filter{
			{Field: "slot", Op: store.Gt, Values: []string{after}},
			{Field: "slot", Op: store.Lte, Values: []string{last.UTC().Format(time.RFC3339Nano)}},
		}
	}, first.Add(-afterSlot), visit)
}

// afterSlot is less than there is between two slots, and more than ranges are kept behind their first.
const afterSlot = time.Millisecond

// eachOf visits the firings of a schedule that meet filters, a page at a time.
func (s *Server) eachOf(ctx context.Context, key ident.Key, filters func(after string) []store.Filter, after time.Time, visit func(schedule.Firing)) error {
	q := store.Query{Project: key.Project, Domain: key.Domain, Name: key.Name, Limit: maxLimit, SortBy: "slot", Ascending: true}
	for {
		q.Filters = filters(after.UTC().Format(time.RFC3339Nano))
		firings, err := s.store.Firings(ctx, q)
		if err != nil {
			return err
		}
		for _, f := range firings {
			visit(f)
			after = f.Slot
		}
		if len(firings) < q.Limit {
			return nil
		}
	}
}

// ListBackfills lists backfills and catch-ups, newest first.
func (s *schedules) ListBackfills(ctx context.Context, r *tminusv1.ListBackfillsRequest) (*tminusv1.ListBackfillsResponse, error) {
	q, err := s.planQuery(ctx, r)
	if err != nil {
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
	m, err := s.backfill(ctx, r.GetId())
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
	_, err = s.store.CancelBacklog(ctx, r.GetId(), c)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noBackfill(r.GetId())
	}
	if err != nil {
		return nil, err
	}
	s.engine.Wake()
	m, err := s.backfill(ctx, r.GetId()) // With what it has launched.
	return &tminusv1.CancelBackfillResponse{Backfill: m}, err
}

// backfill reads one backfill.
func (s *Server) backfill(ctx context.Context, id int64) (*tminusv1.Backfill, error) {
	list, err := s.store.Backlogs(ctx, store.Query{
		Limit: 1, Filters: []store.Filter{{Field: "id", Op: store.Eq, Values: []string{strconv.FormatInt(id, 10)}}},
	})
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, noBackfill(id)
	}
	return s.wireBackfill(ctx, list[0])
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
	timed, err := launchplan.ScheduleSpec(spec, s.calendars(ctx))
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
