package server

import (
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// keyed is what the requests about one schedule have in common.
type keyed interface {
	GetProject() string
	GetDomain() string
	GetName() string
}

// target reads the schedule that a request is about.
func (s *Server) target(ctx context.Context, r keyed) (schedule.Schedule, error) {
	key := ident.Key{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()}
	if err := key.Validate(""); err != nil {
		return schedule.Schedule{}, err
	}
	sch, err := s.store.Schedule(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return sch, notFound("launch plan %s has no schedule: none of its versions was activated with one", key)
	}
	return sch, err
}

// activeTarget is target for what only an active schedule can do.
func (s *Server) activeTarget(ctx context.Context, r keyed) (schedule.Schedule, error) {
	sch, err := s.target(ctx, r)
	if err == nil && !sch.Active {
		err = status.Errorf(codes.FailedPrecondition, "launch plan %s is not active, so its schedule does not fire; activate a version first", sch.LaunchPlan.Key)
	}
	return sch, err
}

// point is a timestamp of a request: the zero time if it is unset, which it may not be if it is required.
func point(field string, ts *timestamppb.Timestamp, required bool) (time.Time, error) {
	switch {
	case ts == nil && required:
		return time.Time{}, invalid.Field(field, "is missing; give an RFC 3339 time such as 2026-01-31T09:00:00Z")
	case ts == nil:
		return time.Time{}, nil
	}
	t := ts.AsTime()
	if ts.CheckValid() != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, invalid.Field(field, "is not within the years 1970 to 9999")
	}
	return t, nil
}

// slotOf is point for the field slot, which is a whole second.
func slotOf(ts *timestamppb.Timestamp, required bool) (time.Time, error) {
	t, err := point("slot", ts, required)
	if err == nil && t.Nanosecond() != 0 {
		err = invalid.Field("slot", "%s: slots are whole seconds", t.Format(time.RFC3339Nano))
	}
	return t, err
}

// operated is a schedule as it is after a change.
func (s *Server) operated(ctx context.Context, key ident.Key) (*tminusv1.Schedule, error) {
	s.engine.Wake()
	s.warnClient(ctx)
	sch, err := s.store.Schedule(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.wireWhole(ctx, sch, 1)
}

// PauseSchedule stops a schedule.
func (s *schedules) PauseSchedule(ctx context.Context, r *tminusv1.PauseScheduleRequest) (*tminusv1.PauseScheduleResponse, error) {
	sch, err := s.activeTarget(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.GetReason() == "" {
		return nil, invalid.Field("reason", "is empty; say why, for whoever finds the schedule paused")
	}
	until, err := point("until", r.GetUntil(), false)
	if err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	if !until.IsZero() && !until.After(c.At) {
		return nil, invalid.Field("until", "%s is past; leave it out to pause until somebody resumes it", until.Format(time.RFC3339))
	}
	if err := s.store.Pause(ctx, sch.LaunchPlan.Key, r.GetReason(), until, c); err != nil {
		return nil, err
	}
	m, err := s.operated(ctx, sch.LaunchPlan.Key)
	return &tminusv1.PauseScheduleResponse{Schedule: m}, err
}

// ResumeSchedule ends a pause.
func (s *schedules) ResumeSchedule(ctx context.Context, r *tminusv1.ResumeScheduleRequest) (*tminusv1.ResumeScheduleResponse, error) {
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
	if sch.Paused != "" {
		if err := s.store.Resume(ctx, key, c); err != nil {
			return nil, err
		}
	}
	m, err := s.operated(ctx, key)
	return &tminusv1.ResumeScheduleResponse{Schedule: m}, err
}

// SkipSlot records a coming slot as skipped.
func (s *schedules) SkipSlot(ctx context.Context, r *tminusv1.SkipSlotRequest) (*tminusv1.SkipSlotResponse, error) {
	sch, err := s.activeTarget(ctx, r)
	if err != nil {
		return nil, err
	}
	slot, err := slotOf(r.GetSlot(), false)
	if err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	if slot.IsZero() {
		slot, err = s.nextSlot(ctx, sch, c.At)
	} else {
		err = checkComing(sch, slot, c.At)
	}
	if err != nil {
		return nil, err
	}
	if err := s.store.Skip(ctx, sch.LaunchPlan.Key, slot, c); err != nil {
		return nil, s.decidedAlready(ctx, err, sch, slot)
	}
	m, err := s.operated(ctx, sch.LaunchPlan.Key)
	return &tminusv1.SkipSlotResponse{Slot: instant(slot), Schedule: m}, err
}

// nextSlot is the next slot of s that has no firing.
func (s *Server) nextSlot(ctx context.Context, sch schedule.Schedule, now time.Time) (time.Time, error) {
	coming, err := s.upcoming(ctx, whilePaused(sch), 1, now)
	if err != nil {
		return time.Time{}, err
	}
	if len(coming) == 0 {
		return time.Time{}, status.Errorf(codes.FailedPrecondition, "the schedule of %s has no coming slot", sch.LaunchPlan.Key)
	}
	return coming[0], nil
}

// whilePaused is what s would fire if it were not paused, so that slots can be
// skipped that come after the pause.
func whilePaused(s schedule.Schedule) schedule.Schedule {
	s.Paused = ""
	return s
}

// checkComing checks that slot is one that s has still to fire.
func checkComing(s schedule.Schedule, slot, now time.Time) error {
	switch {
	case !slot.After(now):
		return invalid.Field("slot", "%s is past; the list of firings says what became of it", slot.Format(time.RFC3339))
	case !slot.After(s.Cursor):
		return invalid.Field("slot", "%s is decided already; the list of firings says how", slot.Format(time.RFC3339))
	}
	// From the second before, so that the next one is told if it is none.
	coming, err := schedule.Preview(whilePaused(s), slot.Add(-time.Second), time.Time{}, 1, nil)
	switch {
	case err != nil:
		return status.Errorf(codes.FailedPrecondition, "the schedule of %s cannot be planned: %v", s.LaunchPlan.Key, err)
	case len(coming) == 0:
		return invalid.Field("slot", "%s is no slot of %s, which has none from then on", slot.Format(time.RFC3339), s.LaunchPlan.Key)
	case !coming[0].Slot.Equal(slot):
		return invalid.Field("slot", "%s is no slot of %s; the first one after it is %s",
			slot.Format(time.RFC3339), s.LaunchPlan.Key, coming[0].Slot.UTC().Format(time.RFC3339))
	}
	return nil
}

// decidedAlready says of store.ErrExists what became of the slot, and what can be done about it.
func (s *Server) decidedAlready(ctx context.Context, err error, sch schedule.Schedule, slot time.Time) error {
	if !errors.Is(err, store.ErrExists) {
		return err
	}
	key, at := sch.LaunchPlan.Key, slot.UTC().Format(time.RFC3339)
	firings, err := s.store.Firings(ctx, store.Query{
		Project: key.Project, Domain: key.Domain, Name: key.Name, Limit: 1,
		Filters: []store.Filter{{Field: "slot", Op: store.Eq, Values: []string{at}}},
	})
	if err != nil {
		return err
	}
	if len(firings) == 0 { // It was taken back just now.
		return exists("slot: %s of %s had a firing; try again", at, key)
	}
	switch f := firings[0]; {
	case f.Outcome == schedule.Skipped && slot.After(sch.Cursor):
		return exists("slot: %s of %s is to be skipped (%s); unskip it first", at, key, f.Reason)
	case f.Outcome == schedule.Skipped:
		return exists("slot: %s of %s was skipped (%s); a backfill that includes skipped slots launches it", at, key, f.Reason)
	case f.Outcome == schedule.Dead:
		return exists("slot: %s of %s is dead (%s); redrive it", at, key, f.Reason)
	case f.Outcome == schedule.Pending:
		return exists("slot: %s of %s is about to launch as execution %s", at, key, f.Execution())
	default:
		return exists("slot: %s of %s was launched as execution %s", at, key, f.Execution())
	}
}

// UnskipSlot takes a skip back.
func (s *schedules) UnskipSlot(ctx context.Context, r *tminusv1.UnskipSlotRequest) (*tminusv1.UnskipSlotResponse, error) {
	sch, err := s.activeTarget(ctx, r)
	if err != nil {
		return nil, err
	}
	slot, err := slotOf(r.GetSlot(), true)
	if err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	if !slot.After(c.At) {
		return nil, invalid.Field("slot", "%s is past, and what is past does not launch by surprise; run the slot instead", slot.Format(time.RFC3339))
	}
	err = s.store.Unskip(ctx, sch.LaunchPlan.Key, slot, c)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("slot: %s of %s is not skipped", slot.Format(time.RFC3339), sch.LaunchPlan.Key)
	}
	if err != nil {
		return nil, err
	}
	m, err := s.operated(ctx, sch.LaunchPlan.Key)
	return &tminusv1.UnskipSlotResponse{Schedule: m}, err
}

// RunSchedule launches a slot now.
func (s *schedules) RunSchedule(ctx context.Context, r *tminusv1.RunScheduleRequest) (*tminusv1.RunScheduleResponse, error) {
	sch, err := s.activeTarget(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.openPlace(ctx, "", sch.LaunchPlan.Project, sch.LaunchPlan.Domain); err != nil {
		return nil, err
	}
	slot, err := slotOf(r.GetSlot(), false)
	if err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	if slot.IsZero() {
		slot = c.At.UTC().Truncate(time.Second)
	} else if slot.After(c.At) {
		// Others would be firings of slots that never were.
		if err := checkComing(sch, slot, c.At); err != nil {
			return nil, err
		}
	}
	f, err := s.store.RunNow(ctx, sch.LaunchPlan.Key, slot, c)
	if err != nil {
		return nil, s.decidedAlready(ctx, err, sch, slot)
	}
	s.engine.Wake()
	s.warnClient(ctx)
	m, err := wireFiring(f)
	return &tminusv1.RunScheduleResponse{Firing: m}, err
}

const (
	// defaultRedrive is how many firings are redriven at once when it is not said.
	defaultRedrive = 1000
	// maxRedrive is the most; who wants more asks again.
	maxRedrive = 10_000
)

// RedriveFirings makes dead firings pending again.
func (s *schedules) RedriveFirings(ctx context.Context, r *tminusv1.RedriveFiringsRequest) (*tminusv1.RedriveFiringsResponse, error) {
	q := store.RedriveQuery{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()}
	if err := s.scope(ctx, store.Query{Project: q.Project, Domain: q.Domain, Name: q.Name}); err != nil {
		return nil, err
	}
	limit := defaultRedrive
	if n := r.GetLimit(); n > maxRedrive {
		return nil, invalid.Field("limit", "is %d; %d is the most, so ask again for what is left", n, maxRedrive)
	} else if n > 0 {
		limit = int(n)
	}
	var err error
	if q.Slot, err = slotOf(r.GetSlot(), false); err != nil {
		return nil, err
	}
	c, err := s.change(ctx, r.GetReason())
	if err != nil {
		return nil, err
	}
	n, err := s.store.Redrive(ctx, q, limit, c)
	if err != nil {
		return nil, err
	}
	s.engine.Wake()
	s.warnClient(ctx)
	return &tminusv1.RedriveFiringsResponse{Redriven: uint32(min(n, math.MaxInt32))}, nil //nolint:gosec // Bounded in the line.
}
