package server

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// decided is the slots of the schedules of q after now that have a firing ahead
// of time, by schedule. There are few: somebody asked for each.
func (s *Server) decided(ctx context.Context, q store.Query, now time.Time) (map[int64][]time.Time, error) {
	q = store.Query{Project: q.Project, Domain: q.Domain, Name: q.Name, Limit: maxLimit, Filters: []store.Filter{
		{Field: "slot", Op: store.Gt, Values: []string{now.Format(time.RFC3339Nano)}},
	}}
	slots := map[int64][]time.Time{}
	for {
		firings, err := s.store.Firings(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, f := range firings {
			slots[f.ScheduleID] = append(slots[f.ScheduleID], f.Slot)
		}
		if len(firings) < q.Limit {
			return slots, nil
		}
		q.Offset += q.Limit
	}
}

// upcoming is the next n slots that sch launches by itself; none while it does not fire.
func (s *Server) upcoming(ctx context.Context, sch schedule.Schedule, n int, now time.Time) ([]time.Time, error) {
	key := sch.LaunchPlan.Key
	decided, err := s.decided(ctx, store.Query{Project: key.Project, Domain: key.Domain, Name: key.Name}, now)
	if err != nil {
		return nil, err
	}
	return next(sch, n, now, decided[sch.ID]), nil
}

// next is the next n slots of sch without those that are decided.
func next(sch schedule.Schedule, n int, now time.Time, decided []time.Time) []time.Time {
	coming, err := schedule.Preview(sch, now, time.Time{}, n+len(decided), decided)
	if err != nil {
		return nil // The engine will set Problem.
	}
	var slots []time.Time
	for _, c := range coming {
		if !c.Skipped && len(slots) < n {
			slots = append(slots, c.Slot)
		}
	}
	return slots
}

// window reads the bounds of a preview. From is now at the earliest.
func window(now time.Time, r interface {
	GetFrom() *timestamppb.Timestamp
	GetUntil() *timestamppb.Timestamp
},
) (from, until time.Time, err error) {
	if from, err = point("from", r.GetFrom(), false); err != nil {
		return from, until, err
	}
	if from.Before(now) {
		from = now
	}
	if until, err = point("until", r.GetUntil(), false); err != nil {
		return from, until, err
	}
	if !until.IsZero() && until.Before(from) {
		return from, until, invalid.Field("until", "%s is before %s, where the window begins", until.Format(time.RFC3339), from.UTC().Format(time.RFC3339))
	}
	return from, until, nil
}

// activeOnly restricts a list of schedules to those that may fire.
var activeOnly = store.Filter{Field: "active", Op: store.Eq, Values: []string{"true"}}

// PreviewSchedules lists coming slots in the order of time.
func (s *schedules) PreviewSchedules(ctx context.Context, r *tminusv1.PreviewSchedulesRequest) (*tminusv1.PreviewSchedulesResponse, error) {
	q := store.Query{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName(), Filters: []store.Filter{activeOnly}}
	if err := s.scope(ctx, q); err != nil {
		return nil, err
	}
	limit := defaultLimit
	if n := r.GetLimit(); n > maxLimit {
		return nil, invalid.Field("limit", "is %d; %d is the most", n, maxLimit)
	} else if n > 0 {
		limit = int(n)
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	from, until, err := window(now, r)
	if err != nil {
		return nil, err
	}
	s.warnClient(ctx)
	if s.cfg.Silent() != "" && !r.GetAlthoughSilent() {
		return &tminusv1.PreviewSchedulesResponse{}, nil
	}
	decided, err := s.decided(ctx, q, now)
	if err != nil {
		return nil, err
	}
	p := preview{from: from, until: until, limit: limit, decided: decided}
	if q.Project != "" && q.Domain != "" && q.Name != "" {
		sch, err := s.target(ctx, r)
		if err != nil {
			return nil, err
		}
		p.add(sch)
	} else if err := s.previewAll(ctx, q, &p); err != nil {
		return nil, err
	}
	return &tminusv1.PreviewSchedulesResponse{Coming: p.wire()}, nil
}

// previewAll adds the schedules of q to p, as long as they can have one of its slots.
func (s *Server) previewAll(ctx context.Context, q store.Query, p *preview) error {
	err := s.store.EachSchedule(ctx, q, func(sch schedule.Schedule) error {
		if sch.Paused != "" {
			return nil // Those are below.
		}
		if sch.Next.IsZero() || p.full() && !sch.Next.Before(p.end()) {
			return errEnough
		}
		p.add(sch)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	// Schedules that resume by themselves have no next slot yet.
	q.Filters = append(slices.Clone(q.Filters), store.Filter{Field: "paused", Op: store.Ne, Values: []string{""}})
	return s.store.EachSchedule(ctx, q, func(sch schedule.Schedule) error {
		p.add(sch)
		return nil
	})
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// A preview is the first coming slots of many schedules, as many as its limit.
type preview struct {
	from, until time.Time
	limit       int
	decided     map[int64][]time.Time
	coming      []comingOf // in order
}

type comingOf struct {
	schedule.Coming
	plan ident.ID
}

func (p *preview) full() bool { return len(p.coming) >= p.limit }

// end is the last of its slots.
func (p *preview) end() time.Time { return p.coming[len(p.coming)-1].Slot }

// add adds the slots of s, those that come soon enough. What cannot be planned has none.
func (p *preview) add(s schedule.Schedule) {
	until := p.until
	if p.full() {
		until = p.end().Add(-time.Second)
	}
	coming, err := schedule.Preview(s, p.from, until, p.limit, p.decided[s.ID])
	if err != nil || len(coming) == 0 {
		return
	}
	for _, c := range coming {
		p.coming = append(p.coming, comingOf{c, s.LaunchPlan})
	}
	slices.SortStableFunc(p.coming, func(a, b comingOf) int {
		return cmp.Or(a.Slot.Compare(b.Slot), cmp.Compare(a.plan.Key.String(), b.plan.Key.String()))
	})
	p.coming = p.coming[:min(p.limit, len(p.coming))]
}

func (p *preview) wire() []*tminusv1.Coming {
	list := make([]*tminusv1.Coming, len(p.coming))
	for i, c := range p.coming {
		list[i] = &tminusv1.Coming{
			LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, c.plan),
			Slot:       instant(c.Slot), LaunchAt: instant(c.LaunchAt), Skipped: c.Skipped,
		}
	}
	return list
}

const (
	// herdWindow is how far a herd looks ahead when it is not said.
	herdWindow = 24 * time.Hour
	// defaultMinutes is how many minutes a herd has when it is not said, and maxMinutes the most.
	defaultMinutes = 60
	maxMinutes     = 10_000
)

// PreviewHerd counts the launches per minute.
func (s *schedules) PreviewHerd(ctx context.Context, r *tminusv1.PreviewHerdRequest) (*tminusv1.PreviewHerdResponse, error) {
	q := store.Query{Project: r.GetProject(), Domain: r.GetDomain(), Filters: []store.Filter{activeOnly}}
	if err := s.scope(ctx, q); err != nil {
		return nil, err
	}
	limit := defaultMinutes
	if n := r.GetLimit(); n > maxMinutes {
		return nil, invalid.Field("limit", "is %d; %d is the most", n, maxMinutes)
	} else if n > 0 {
		limit = int(n)
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	from, until, err := window(now, r)
	if err != nil {
		return nil, err
	}
	if until.IsZero() {
		until = from.Add(herdWindow)
	}
	herd, err := schedule.NewHerd(from, until)
	if err != nil {
		return nil, invalid.Field("until", "%s: %v", until.Format(time.RFC3339), err)
	}
	s.warnClient(ctx)
	if s.cfg.Silent() == "" {
		if err := s.addAll(ctx, q, herd, now); err != nil {
			return nil, err
		}
	}
	total, launches := herd.Total()
	m := &tminusv1.PreviewHerdResponse{Schedules: int64(total), Launches: int64(launches), From: instant(from), Until: instant(until)}
	for _, minute := range herd.Busiest(limit) {
		m.Minutes = append(m.Minutes, &tminusv1.HerdMinute{Minute: instant(minute.Minute), Launches: int64(minute.Launches)})
	}
	return m, nil
}

// addAll adds the schedules of q to a herd.
func (s *Server) addAll(ctx context.Context, q store.Query, herd *schedule.Herd, now time.Time) error {
	decided, err := s.decided(ctx, q, now)
	if err != nil {
		return err
	}
	return s.store.EachSchedule(ctx, q, func(sch schedule.Schedule) error {
		herd.Add(sch, decided[sch.ID])
		return ctx.Err()
	})
}

// defaultDiff is how many slots of each side are compared when it is not said.
const defaultDiff = 10

// DiffSchedule compares a schedule with what an activation makes of it.
func (s *schedules) DiffSchedule(ctx context.Context, r *tminusv1.DiffScheduleRequest) (*tminusv1.DiffScheduleResponse, error) {
	key := ident.Key{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()}
	if err := key.Validate(""); err != nil {
		return nil, err
	}
	n := cmp.Or(r.GetNext(), defaultDiff)
	if n > maxNext {
		return nil, invalid.Field("next", "is %d; %d is the most", n, maxNext)
	}
	before, err := s.store.Schedule(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	spec, id, err := s.candidate(ctx, key, r)
	if err != nil {
		return nil, err
	}
	timed, err := launchplan.ScheduleSpec(spec, s.calendars(ctx))
	if err != nil {
		return nil, err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	var after schedule.Schedule
	if timed != nil {
		after = before.Activated(id, *timed, now)
	}
	slots, err := schedule.DiffSlots(before, after, now, int(n))
	if err != nil {
		// The new one was compiled above.
		before.Problem = cmp.Or(before.Problem, err.Error())
		if slots, err = schedule.DiffSlots(before, after, now, int(n)); err != nil {
			return nil, err
		}
	}
	s.warnClient(ctx)
	m := &tminusv1.DiffScheduleResponse{After: wireTiming(after, ours(spec))}
	for _, d := range slots {
		m.Slots = append(m.Slots, &tminusv1.SlotChange{Slot: instant(d.Slot), Before: d.Before, After: d.After})
	}
	var policy map[string]string
	if before.LaunchPlan.Name != "" {
		if policy, err = s.policy(ctx, before.LaunchPlan); err != nil {
			return nil, err
		}
	}
	m.Before = wireTiming(before, policy)
	for _, side := range []struct {
		timing *tminusv1.Timing
		fires  func(*tminusv1.SlotChange) bool
	}{{m.GetBefore(), (*tminusv1.SlotChange).GetBefore}, {m.GetAfter(), (*tminusv1.SlotChange).GetAfter}} {
		if side.timing.GetExpression() != "" && side.timing.GetSilent() == "" && !slices.ContainsFunc(m.GetSlots(), side.fires) {
			side.timing.Silent = "it has no slot any more"
		}
	}
	return m, nil
}

// candidate is the launch plan that would be activated.
func (s *Server) candidate(ctx context.Context, key ident.Key, r *tminusv1.DiffScheduleRequest) (*admin.LaunchPlanSpec, ident.ID, error) {
	id := ident.ID{Key: key, Version: r.GetVersion()}
	switch r.GetAfter().(type) {
	case *tminusv1.DiffScheduleRequest_Spec:
		return r.GetSpec(), id, nil
	case *tminusv1.DiffScheduleRequest_Version:
		if err := id.Validate(""); err != nil {
			return nil, id, err
		}
		plan, err := s.store.Plan(ctx, id)
		if err != nil {
			return nil, id, missing(err, store.LaunchPlan, id)
		}
		spec, err := planSpec(plan)
		return spec, id, err
	default:
		return nil, id, invalid.Field("version", "is missing, and so is spec; give one of the two")
	}
}

func wireTiming(s schedule.Schedule, policy map[string]string) *tminusv1.Timing {
	m := &tminusv1.Timing{Version: s.LaunchPlan.Version, Policy: policy}
	m.Expression, m.Timezone = timing(s.Spec)
	switch {
	case m.GetExpression() == "":
	case !s.Active:
		m.Silent = "it is inactive"
	case s.Problem != "":
		m.Silent = s.Problem
	case s.Paused != "" && s.PausedUntil.IsZero():
		m.Silent = "it is paused: " + s.Paused
	}
	return m
}
