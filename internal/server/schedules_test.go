package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/admin"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// schedule reads a schedule with its next n slots.
func (a *api) schedule(t *testing.T, name string, n uint32) *tminusv1.Schedule {
	t.Helper()
	r, err := a.schedules.GetSchedule(t.Context(), &tminusv1.GetScheduleRequest{Project: project, Domain: domain, Name: name, Next: n})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetSchedule()
}

// activePlan registers and activates a launch plan of that name.
func (a *api) activePlan(t *testing.T, name string, r *admin.LaunchPlanCreateRequest) {
	t.Helper()
	r = with(r, func(r *admin.LaunchPlanCreateRequest) { r.Id = planID(name, "1") })
	if _, err := a.CreateLaunchPlan(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	a.setState(t, planID(name, "1"), admin.LaunchPlanState_ACTIVE)
}

func TestGetSchedule(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.setState(t, planID("daily", "1"), admin.LaunchPlanState_ACTIVE)
	got := a.schedule(t, "daily", 3)
	want := &tminusv1.Schedule{
		LaunchPlan: planID("daily", "1"), Expression: "0 6 * * *", Timezone: "Europe/Oslo", KickoffInput: "at",
		Policy: map[string]string{"timezone": "Europe/Oslo"}, Active: true, Revision: 1, Cursor: got.GetCursor(), Next: got.GetNext(),
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("schedule (-want +got):\n%s", diff)
	}
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetNext()) != 3 {
		t.Fatalf("%d next slots", len(got.GetNext()))
	}
	before := time.Now()
	for _, next := range got.GetNext() {
		at := next.AsTime().In(oslo)
		if at.Hour() != 6 || at.Minute() != 0 || !at.After(before) || at.Sub(before) > 26*time.Hour {
			t.Errorf("slot %s after %s", at, before)
		}
		before = at
	}

	a.setState(t, planID("daily", "1"), admin.LaunchPlanState_INACTIVE)
	if got := a.schedule(t, "daily", 3); got.GetActive() || len(got.GetNext()) != 0 {
		t.Errorf("inactive: %v", got)
	}
	_, err = a.schedules.GetSchedule(t.Context(), &tminusv1.GetScheduleRequest{Project: project, Domain: domain, Name: "weekly"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("no schedule: %v", err)
	}
}

func TestNextSlots(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	for _, row := range []struct {
		name string
		plan *admin.LaunchPlanCreateRequest
		want int // of the ten asked for
	}{
		{"unbounded", annotated(), 10},
		{"max-runs", annotated("tminus.dev/max-runs", "4"), 4},
		{"bounds", annotated("tminus.dev/start-at", "2190-01-01T00:00:00Z", "tminus.dev/end-at", "2190-01-03T00:00:00Z"), 2},
		{"rate", rated(5, admin.FixedRateUnit_MINUTE), 10},
		{"aws", awsTimed("0 6 L 2 ? *"), 10},
	} {
		a.activePlan(t, row.name, row.plan)
		if got := a.schedule(t, row.name, 10); len(got.GetNext()) != row.want {
			t.Errorf("%s: %d next slots, want %d", row.name, len(got.GetNext()), row.want)
		}
		if got := a.schedule(t, row.name, 0); len(got.GetNext()) != 1 {
			t.Errorf("%s: %d next slots when it is not said how many", row.name, len(got.GetNext()))
		}
	}
	key := ident.Key{Project: project, Domain: domain, Name: "unbounded"}
	if err := a.db.Pause(t.Context(), key, "3 executions in a row failed", time.Time{}, store.Change{At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got := a.schedule(t, "unbounded", 10); got.GetPaused() == "" || len(got.GetNext()) != 0 {
		t.Errorf("paused: %v", got)
	}
}

func TestListSchedules(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.activePlan(t, "yearly", timed("0 6 1 1 *"))
	a.activePlan(t, "often", timed("* * * * *"))
	a.activePlan(t, "off", timed("*/2 * * * *"))
	a.setState(t, planID("off", "1"), admin.LaunchPlanState_INACTIVE)
	for _, row := range []struct {
		request *tminusv1.ListSchedulesRequest
		want    []string
	}{
		{&tminusv1.ListSchedulesRequest{}, []string{"often", "yearly", "off"}},
		{&tminusv1.ListSchedulesRequest{ActiveOnly: true, Next: 5}, []string{"often", "yearly"}},
		{&tminusv1.ListSchedulesRequest{Project: project, Domain: domain, Limit: 1}, []string{"often"}},
		{&tminusv1.ListSchedulesRequest{Project: project, Domain: domain, Limit: 1, Token: "1"}, []string{"yearly"}},
		{&tminusv1.ListSchedulesRequest{Domain: "staging"}, nil},
	} {
		list, err := a.schedules.ListSchedules(t.Context(), row.request)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range list.GetSchedules() {
			got = append(got, s.GetLaunchPlan().GetName())
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", row.request, diff)
		}
	}
}

func TestListFirings(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := t.Context()
	a.register(t)
	a.activePlan(t, "often", timed("*/5 * * * *"))
	now := time.Now().Add(17 * time.Minute)
	session := a.alive(t, now)
	advanced, err := a.db.Advance(ctx, session, now, 10, 10)
	due := advanced.Launch
	if err != nil || len(due) != 3 && len(due) != 4 {
		t.Fatalf("%d firings are due, %v", len(due), err)
	}
	launched, skipped, pending := due[0], due[1], due[2]
	launched.Outcome, launched.SettledAt = schedule.Launched, launched.Slot.Add(2*time.Second)
	skipped.Outcome, skipped.SettledAt, skipped.Reason = schedule.Skipped, now, "an earlier one runs"
	if _, err := a.db.Settle(ctx, []schedule.Firing{launched, skipped}); err != nil {
		t.Fatal(err)
	}
	all, err := a.schedules.ListFirings(ctx, &tminusv1.ListFiringsRequest{Project: project, Domain: domain, Name: "often"})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.GetFirings()) != len(due) || all.GetToken() != "" {
		t.Errorf("%d firings, token %q", len(all.GetFirings()), all.GetToken())
	}
	if first, last := all.GetFirings()[0], all.GetFirings()[len(due)-1]; !first.GetSlot().AsTime().After(last.GetSlot().AsTime()) {
		t.Errorf("not the newest first: %v before %v", first, last)
	}
	for outcome, f := range map[string]schedule.Firing{"launched": launched, "skipped": skipped, "pending": pending} {
		list, err := a.schedules.ListFirings(ctx, &tminusv1.ListFiringsRequest{Filters: "eq(outcome," + outcome + ")"})
		if err != nil {
			t.Fatal(err)
		}
		got := list.GetFirings()[len(list.GetFirings())-1]
		want := &tminusv1.Firing{
			LaunchPlan: planID("often", "1"), Slot: got.GetSlot(), LastSlot: got.GetSlot(), Count: 1,
			Kind: tminusv1.FiringKind_FIRING_KIND_SCHEDULED, Outcome: got.GetOutcome(), Reason: f.Reason, RecordedAt: got.GetRecordedAt(), SettledAt: got.GetSettledAt(),
		}
		switch outcome {
		case "launched":
			want.Lateness, want.Execution = durationpb.New(2*time.Second), schedule.ExecutionName(f.LaunchPlan, f.Slot)
		case "pending":
			want.AttemptAt, want.Execution = got.GetAttemptAt(), schedule.ExecutionName(f.LaunchPlan, f.Slot)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", outcome, diff)
		}
		if !got.GetSlot().AsTime().Equal(f.Slot) || got.GetOutcome() == tminusv1.Outcome_OUTCOME_UNSPECIFIED {
			t.Errorf("%s: %v", outcome, got)
		}
	}
}

// Schedules showed next slots though nothing fired.
func TestSilentSchedulesHaveNoNextSlots(t *testing.T) {
	t.Parallel()
	const reason = "nothing will fire: the scheme is noop"
	a := start(t, func(c *server.Config) { c.Silent = func() string { return reason } })
	a.register(t)
	a.activePlan(t, "on", timed("* * * * *"))
	a.activePlan(t, "off", timed("* * * * *"))
	a.setState(t, planID("off", "1"), admin.LaunchPlanState_INACTIVE)
	problems := map[string]string{"on": reason, "off": ""}
	check := func(s *tminusv1.Schedule) {
		t.Helper()
		if want := problems[s.GetLaunchPlan().GetName()]; s.GetProblem() != want || len(s.GetNext()) != 0 {
			t.Errorf("%s: problem %q, want %q; next %v, want none", s.GetLaunchPlan().GetName(), s.GetProblem(), want, s.GetNext())
		}
	}
	warned := func(header metadata.MD) {
		t.Helper()
		if diff := cmp.Diff([]string{reason}, header.Get("tminus-warning")); diff != "" {
			t.Errorf("tminus-warning (-want +got):\n%s", diff)
		}
	}
	var header metadata.MD
	list, err := a.schedules.ListSchedules(t.Context(), &tminusv1.ListSchedulesRequest{Next: 3}, grpc.Header(&header))
	if err != nil {
		t.Fatal(err)
	}
	warned(header)
	if len(list.GetSchedules()) != len(problems) {
		t.Errorf("%d schedules", len(list.GetSchedules()))
	}
	for _, s := range list.GetSchedules() {
		check(s)
	}
	for name := range problems {
		header = nil
		got, err := a.schedules.GetSchedule(t.Context(), &tminusv1.GetScheduleRequest{Project: project, Domain: domain, Name: name, Next: 3}, grpc.Header(&header))
		if err != nil {
			t.Fatal(err)
		}
		warned(header)
		check(got.GetSchedule())
	}
}

// poisoned is the database, but for a zone that has vanished from every schedule.
type poisoned struct{ *sqlite.DB }

const vanished = "unknown time zone Europe/Atlantis"

func (p poisoned) Schedule(ctx context.Context, key ident.Key) (schedule.Schedule, error) {
	s, err := p.DB.Schedule(ctx, key)
	s.Problem = vanished
	return s, err
}

// An active schedule's own problem says more than that nothing fires.
func TestSilenceDoesNotHideAProblem(t *testing.T) {
	t.Parallel()
	whole := start(t)
	a := serve(t, whole.db, poisoned{whole.db}, whole.dir, func(c *server.Config) { c.Silent = func() string { return "nothing will fire: noop" } })
	a.register(t)
	a.activePlan(t, "often", timed("* * * * *"))
	if got := a.schedule(t, "often", 3); got.GetProblem() != vanished || len(got.GetNext()) != 0 {
		t.Errorf("problem %q, next %v", got.GetProblem(), got.GetNext())
	}
}
