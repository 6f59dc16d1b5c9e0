package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
)

func pauseSchedule(a *api) func(in, *tminusv1.PauseScheduleRequest, ...opt) (*tminusv1.PauseScheduleResponse, error) {
	return a.schedules.PauseSchedule
}

func resumeSchedule(a *api) func(in, *tminusv1.ResumeScheduleRequest, ...opt) (*tminusv1.ResumeScheduleResponse, error) {
	return a.schedules.ResumeSchedule
}

func skipSlot(a *api) func(in, *tminusv1.SkipSlotRequest, ...opt) (*tminusv1.SkipSlotResponse, error) {
	return a.schedules.SkipSlot
}

func unskipSlot(a *api) func(in, *tminusv1.UnskipSlotRequest, ...opt) (*tminusv1.UnskipSlotResponse, error) {
	return a.schedules.UnskipSlot
}

func runSchedule(a *api) func(in, *tminusv1.RunScheduleRequest, ...opt) (*tminusv1.RunScheduleResponse, error) {
	return a.schedules.RunSchedule
}

func rollbackSchedule(a *api) func(in, *tminusv1.RollbackScheduleRequest, ...opt) (*tminusv1.RollbackScheduleResponse, error) {
	return a.schedules.RollbackSchedule
}

func listRevisions(a *api) func(in, *tminusv1.ListRevisionsRequest, ...opt) (*tminusv1.ListRevisionsResponse, error) {
	return a.schedules.ListRevisions
}

func redrive(a *api) func(in, *tminusv1.RedriveFiringsRequest, ...opt) (*tminusv1.RedriveFiringsResponse, error) {
	return a.schedules.RedriveFirings
}

func createBackfill(a *api) func(in, *tminusv1.CreateBackfillRequest, ...opt) (*tminusv1.CreateBackfillResponse, error) {
	return a.schedules.CreateBackfill
}

func getBackfill(a *api) func(in, *tminusv1.GetBackfillRequest, ...opt) (*tminusv1.GetBackfillResponse, error) {
	return a.schedules.GetBackfill
}

func cancelBackfill(a *api) func(in, *tminusv1.CancelBackfillRequest, ...opt) (*tminusv1.CancelBackfillResponse, error) {
	return a.schedules.CancelBackfill
}

func previewSchedules(a *api) func(in, *tminusv1.PreviewSchedulesRequest, ...opt) (*tminusv1.PreviewSchedulesResponse, error) {
	return a.schedules.PreviewSchedules
}

func previewHerd(a *api) func(in, *tminusv1.PreviewHerdRequest, ...opt) (*tminusv1.PreviewHerdResponse, error) {
	return a.schedules.PreviewHerd
}

func diffSchedule(a *api) func(in, *tminusv1.DiffScheduleRequest, ...opt) (*tminusv1.DiffScheduleResponse, error) {
	return a.schedules.DiffSchedule
}

// Who operates a schedule in a way that cannot be is told the field and what would be right.
func TestBadOperations(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.activePlan(t, "often", timed("*/5 * * * *"))
	a.activePlan(t, "off", timed("*/5 * * * *"))
	a.setState(t, planID("off", "1"), admin.LaunchPlanState_INACTIVE)
	now := time.Now().UTC().Truncate(5 * time.Minute)
	stamp := func(minutes int) *timestamppb.Timestamp {
		return timestamppb.New(now.Add(time.Duration(minutes) * time.Minute))
	}
	far := &timestamppb.Timestamp{Seconds: 1 << 50}
	long := strings.Repeat("x", 1001)

	pause := func(change func(*tminusv1.PauseScheduleRequest)) *tminusv1.PauseScheduleRequest {
		return with(&tminusv1.PauseScheduleRequest{Project: project, Domain: domain, Name: "often", Reason: "holiday"}, change)
	}
	skip := func(change func(*tminusv1.SkipSlotRequest)) *tminusv1.SkipSlotRequest {
		return with(&tminusv1.SkipSlotRequest{Project: project, Domain: domain, Name: "often"}, change)
	}
	run := func(change func(*tminusv1.RunScheduleRequest)) *tminusv1.RunScheduleRequest {
		return with(&tminusv1.RunScheduleRequest{Project: project, Domain: domain, Name: "often"}, change)
	}
	backfill := func(change func(*tminusv1.CreateBackfillRequest)) *tminusv1.CreateBackfillRequest {
		return with(&tminusv1.CreateBackfillRequest{
			Project: project, Domain: domain, Name: "often", First: stamp(-60), Last: stamp(-5),
		}, change)
	}
	for _, row := range []badInput{
		refused("no name", pauseSchedule, pause(func(r *tminusv1.PauseScheduleRequest) { r.Name = "" }), "name: is empty"),
		refusedWith(codes.NotFound, "no such schedule", pauseSchedule, pause(func(r *tminusv1.PauseScheduleRequest) { r.Name = "nope" }), "nope has no schedule"),
		refusedWith(codes.FailedPrecondition, "an inactive schedule", pauseSchedule, pause(func(r *tminusv1.PauseScheduleRequest) { r.Name = "off" }), "is not active"),
		refused("no reason", pauseSchedule, pause(func(r *tminusv1.PauseScheduleRequest) { r.Reason = "" }), "reason: is empty; say why"),
		refused("a long reason", pauseSchedule, pause(func(r *tminusv1.PauseScheduleRequest) { r.Reason = long }), "reason: is 1001 bytes long; 1000 is the most"),
		refused("a pause that is over", pauseSchedule, pause(func(r *tminusv1.PauseScheduleRequest) { r.Until = stamp(-5) }), "until: "),
		refused("a pause until the end of time", pauseSchedule, pause(func(r *tminusv1.PauseScheduleRequest) { r.Until = far }), "until: is not within the years"),
		refusedWith(codes.FailedPrecondition, "to resume what is inactive", resumeSchedule, &tminusv1.ResumeScheduleRequest{Project: project, Domain: domain, Name: "off"}, "is not active"),
		refused("to skip the past", skipSlot, skip(func(r *tminusv1.SkipSlotRequest) { r.Slot = stamp(-5) }), "slot: "),
		refused("to skip what is no slot", skipSlot, skip(func(r *tminusv1.SkipSlotRequest) { r.Slot = stamp(12) }), "the first one after it is "+now.Add(15*time.Minute).Format(time.RFC3339)),
		refused("to skip half a second", skipSlot, skip(func(r *tminusv1.SkipSlotRequest) {
			r.Slot = stamp(15)
			r.Slot.Nanos = 5e8
		}), "slot: "),
		refused("to unskip nothing", unskipSlot, &tminusv1.UnskipSlotRequest{Project: project, Domain: domain, Name: "often"}, "slot: is missing"),
		refused("to unskip the past", unskipSlot, &tminusv1.UnskipSlotRequest{Project: project, Domain: domain, Name: "often", Slot: stamp(-5)}, "is past"),
		refused("to run a time to come that is no slot", runSchedule, run(func(r *tminusv1.RunScheduleRequest) { r.Slot = stamp(12) }), "slot: "),
		refused("to run a slot before 1970", runSchedule, run(func(r *tminusv1.RunScheduleRequest) { r.Slot = &timestamppb.Timestamp{Seconds: -1} }), "slot: is not within"),
		refused("a rollback to nothing", rollbackSchedule, &tminusv1.RollbackScheduleRequest{Project: project, Domain: domain, Name: "often"}, "revision: is 0"),
		refused("too many revisions", listRevisions, &tminusv1.ListRevisionsRequest{Project: project, Domain: domain, Name: "often", Limit: 1001}, "limit: "),
		refused("too much to redrive", redrive, &tminusv1.RedriveFiringsRequest{Limit: 10_001}, "limit: is 10001; 10000 is the most"),
		refusedWith(codes.NotFound, "a project that is not", redrive, &tminusv1.RedriveFiringsRequest{Project: "sea"}, "project: "),
		refused("a backfill without a beginning", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) { r.First = nil }), "first: is missing"),
		refused("a backfill without an end", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) { r.Last = nil }), "last: is missing"),
		refused("a backfill that ends first", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) { r.Last = stamp(-65) }), "last: "),
		refused("a backfill of the future", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) { r.Last = stamp(65) }), "is in the future, whose slots the schedule fires itself"),
		refused("a backfill of decades", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) {
			r.First = &timestamppb.Timestamp{Seconds: 1}
		}), "1000000 is the most, so use several backfills"),
		refused("a backfill of what was launched", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) {
			r.Include = []tminusv1.Outcome{tminusv1.Outcome_OUTCOME_LAUNCHED}
		}), "include: OUTCOME_LAUNCHED: use OUTCOME_SKIPPED or OUTCOME_DEAD"),
		refused("a backfill at any speed", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) { r.PerMinute = 1e9 }), "per_minute: "),
		refused("a backfill that shows everything", createBackfill, backfill(func(r *tminusv1.CreateBackfillRequest) { r.Show = 1001 }), "show: "),
		refused("backfill 0", getBackfill, &tminusv1.GetBackfillRequest{}, "id: is 0"),
		refused("to cancel backfill 0", cancelBackfill, &tminusv1.CancelBackfillRequest{}, "id: is 0"),
		refused("a preview of everything", previewSchedules, &tminusv1.PreviewSchedulesRequest{Limit: 1001}, "limit: "),
		refused("a preview that ends first", previewSchedules, &tminusv1.PreviewSchedulesRequest{From: stamp(60), Until: stamp(30)}, "until: "),
		refusedWith(codes.NotFound, "a preview of nothing", previewSchedules, &tminusv1.PreviewSchedulesRequest{Project: project, Domain: domain, Name: "nope"}, "has no schedule"),
		refused("a herd over months", previewHerd, &tminusv1.PreviewHerdRequest{Until: timestamppb.New(now.AddDate(0, 3, 0))}, "until: "),
		refused("a herd with too many minutes", previewHerd, &tminusv1.PreviewHerdRequest{Limit: 10_001}, "limit: "),
		refused("a difference from nothing", diffSchedule, &tminusv1.DiffScheduleRequest{Project: project, Domain: domain, Name: "often"}, "version: is missing, and so is spec"),
		refusedWith(codes.NotFound, "a difference from a version that is not", diffSchedule, &tminusv1.DiffScheduleRequest{
			Project: project, Domain: domain, Name: "often", After: &tminusv1.DiffScheduleRequest_Version{Version: "2"},
		}, "is not registered"),
		refused("a difference from what cannot be", diffSchedule, &tminusv1.DiffScheduleRequest{
			Project: project, Domain: domain, Name: "often", After: &tminusv1.DiffScheduleRequest_Spec{Spec: timed("every day").GetSpec()},
		}, "spec.entity_metadata.schedule.cron_schedule.schedule: "),
		refused("too long a difference", diffSchedule, &tminusv1.DiffScheduleRequest{Project: project, Domain: domain, Name: "often", Next: 101}, "next: "),
		{"a principal that is a book", func(ctx context.Context, a *api) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "tminus-principal", strings.Repeat("x", 256))
			_, err := a.UpdateLaunchPlan(ctx, &admin.LaunchPlanUpdateRequest{Id: planID("often", "1"), State: admin.LaunchPlanState_ACTIVE})
			return err
		}, codes.InvalidArgument, "tminus-principal: is 256 bytes long"},
		{"a reason that is a book", func(ctx context.Context, a *api) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "tminus-reason", long)
			_, err := a.UpdateLaunchPlan(ctx, &admin.LaunchPlanUpdateRequest{Id: planID("often", "1"), State: admin.LaunchPlanState_ACTIVE})
			return err
		}, codes.InvalidArgument, "reason: is 1001 bytes long"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.call(t.Context(), a)
			if status.Code(err) != row.code || !strings.Contains(status.Convert(err).Message(), row.want) {
				t.Errorf("%v, want %s with %q", err, row.code, row.want)
			}
		})
	}
	code, body, _ := a.request(t, http.MethodPost, "/tminus/v1/schedules/weather/development/often/pause", `{"reason": "r"}`, "Tminus-Principal", strings.Repeat("x", 256))
	if code != http.StatusBadRequest || !strings.Contains(body, "tminus-principal") {
		t.Errorf("over REST: %d %s", code, body)
	}
}

// told writes coming slots as "name +5m", from midnight on.
func told(midnight time.Time, coming []*tminusv1.Coming) []string {
	var lines []string
	for _, c := range coming {
		line := fmt.Sprintf("%s %s", c.GetLaunchPlan().GetName(), c.GetSlot().AsTime().Sub(midnight))
		if c.GetSkipped() {
			line += " skipped"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestPreviewSchedules(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	ctx := t.Context()
	a.activePlan(t, "hourly", with(timed("0 * * * *"), func(r *admin.LaunchPlanCreateRequest) { r.Spec.Annotations = nil }))
	a.activePlan(t, "half", with(timed("30 * * * *"), func(r *admin.LaunchPlanCreateRequest) { r.Spec.Annotations = nil }))
	a.activePlan(t, "late", annotated("tminus.dev/jitter", "5m"))
	a.activePlan(t, "off", timed("* * * * *"))
	a.setState(t, planID("off", "1"), admin.LaunchPlanState_INACTIVE)
	midnight := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 2)
	from := timestamppb.New(midnight)
	for _, row := range []struct {
		name    string
		request *tminusv1.PreviewSchedulesRequest
		want    []string
	}{
		{"all", &tminusv1.PreviewSchedulesRequest{From: from, Limit: 3}, []string{"half 30m0s", "hourly 1h0m0s", "half 1h30m0s"}},
		{"one", &tminusv1.PreviewSchedulesRequest{Project: project, Domain: domain, Name: "hourly", From: from, Limit: 2}, []string{"hourly 1h0m0s", "hourly 2h0m0s"}},
		{"until", &tminusv1.PreviewSchedulesRequest{From: from, Until: timestamppb.New(midnight.Add(time.Hour))}, []string{"half 30m0s", "hourly 1h0m0s"}},
		{"another project", &tminusv1.PreviewSchedulesRequest{Project: project, Domain: "staging", From: from}, nil},
		{"an inactive one", &tminusv1.PreviewSchedulesRequest{Project: project, Domain: domain, Name: "off", From: from}, nil},
	} {
		r, err := a.schedules.PreviewSchedules(ctx, row.request)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.want, told(midnight, r.GetComing())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
	r, err := a.schedules.PreviewSchedules(ctx, &tminusv1.PreviewSchedulesRequest{Project: project, Domain: domain, Name: "late", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.GetComing()[0]; !c.GetLaunchAt().AsTime().After(c.GetSlot().AsTime()) {
		t.Errorf("jitter is not in %v", c)
	}
}

func TestPreviewHerd(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	utc := func(r *admin.LaunchPlanCreateRequest) { r.Spec.Annotations = nil }
	for i := range 3 {
		a.activePlan(t, fmt.Sprintf("nine-%d", i), with(timed("0 9 * * *"), utc))
	}
	a.activePlan(t, "hourly", with(timed("0 * * * *"), utc))
	midnight := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 2)
	herd, err := a.schedules.PreviewHerd(t.Context(), &tminusv1.PreviewHerdRequest{From: timestamppb.New(midnight), Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range herd.GetMinutes() {
		got = append(got, fmt.Sprintf("%s %d", m.GetMinute().AsTime().Format("15:04"), m.GetLaunches()))
	}
	if diff := cmp.Diff([]string{"09:00 4", "01:00 1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if herd.GetSchedules() != 4 || herd.GetLaunches() != 27 || herd.GetUntil().AsTime().Sub(midnight) != 24*time.Hour {
		t.Errorf("got %v", herd)
	}
}

func TestNothingComesWhileNothingFires(t *testing.T) {
	t.Parallel()
	a := start(t, func(c *server.Config) { c.Silent = func() string { return "nothing will fire: the scheme is noop" } })
	a.register(t)
	a.activePlan(t, "often", timed("* * * * *"))
	var header metadata.MD
	coming, err := a.schedules.PreviewSchedules(t.Context(), &tminusv1.PreviewSchedulesRequest{}, grpc.Header(&header))
	if err != nil || len(coming.GetComing()) != 0 || len(header.Get("tminus-warning")) != 1 {
		t.Errorf("preview %v, %v, %v", coming, header, err)
	}
	if would, err := a.schedules.PreviewSchedules(t.Context(), &tminusv1.PreviewSchedulesRequest{AlthoughSilent: true}); err != nil || len(would.GetComing()) == 0 {
		t.Errorf("what would come is %v, %v", would, err)
	}
	header = nil
	herd, err := a.schedules.PreviewHerd(t.Context(), &tminusv1.PreviewHerdRequest{}, grpc.Header(&header))
	if err != nil || herd.GetLaunches() != 0 || len(header.Get("tminus-warning")) != 1 {
		t.Errorf("herd %v, %v, %v", herd, header, err)
	}
}

func TestDiffSchedule(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	daily := func(hour int) *admin.LaunchPlanCreateRequest {
		return with(timed(fmt.Sprintf("0 %d * * *", hour)), func(r *admin.LaunchPlanCreateRequest) { r.Spec.Annotations = nil })
	}
	a.activePlan(t, "report", daily(6))
	newer := with(daily(18), func(r *admin.LaunchPlanCreateRequest) { r.Id = planID("report", "2") })
	if _, err := a.CreateLaunchPlan(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	diff := func(r *tminusv1.DiffScheduleRequest) (*tminusv1.DiffScheduleResponse, string) {
		t.Helper()
		r.Project, r.Domain = project, domain
		m, err := a.schedules.DiffSchedule(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		marks := map[string]bool{}
		for _, s := range m.GetSlots() {
			mark := " "
			switch {
			case !s.GetAfter():
				mark = "-"
			case !s.GetBefore():
				mark = "+"
			}
			marks[mark+s.GetSlot().AsTime().Format("15:04")] = true
		}
		return m, fmt.Sprint(len(m.GetSlots()), marks)
	}
	m, got := diff(&tminusv1.DiffScheduleRequest{Name: "report", After: &tminusv1.DiffScheduleRequest_Version{Version: "2"}, Next: 3})
	if got != "6 map[+18:00:true -06:00:true]" || m.GetBefore().GetVersion() != "1" || m.GetAfter().GetVersion() != "2" || m.GetAfter().GetExpression() != "0 18 * * *" {
		t.Errorf("%s: %v", got, m)
	}
	if _, got := diff(&tminusv1.DiffScheduleRequest{Name: "report", After: &tminusv1.DiffScheduleRequest_Version{Version: "1"}}); got != "10 map[ 06:00:true]" {
		t.Errorf("the active version: %s", got)
	}
	m, got = diff(&tminusv1.DiffScheduleRequest{Name: "report", After: &tminusv1.DiffScheduleRequest_Spec{Spec: &admin.LaunchPlanSpec{}}, Next: 1})
	if got != "1 map[-06:00:true]" || m.GetAfter().GetExpression() != "" {
		t.Errorf("without a schedule: %s: %v", got, m)
	}
	m, got = diff(&tminusv1.DiffScheduleRequest{Name: "new", After: &tminusv1.DiffScheduleRequest_Spec{Spec: daily(7).GetSpec()}, Next: 2})
	if got != "2 map[+07:00:true]" || m.GetBefore().GetExpression() != "" {
		t.Errorf("a new launch plan: %s: %v", got, m)
	}
	a.setState(t, planID("report", "1"), admin.LaunchPlanState_INACTIVE)
	m, got = diff(&tminusv1.DiffScheduleRequest{Name: "report", After: &tminusv1.DiffScheduleRequest_Spec{Spec: timed("0 6 1 1 *").GetSpec()}, Next: 1})
	if !strings.HasPrefix(got, "1 map[+") || m.GetBefore().GetSilent() != "it is inactive" {
		t.Errorf("an inactive launch plan: %s: %v", got, m)
	}
}

func TestBackfillSaysWhatItWouldDo(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := t.Context()
	a.register(t)
	a.activePlan(t, "often", timed("*/5 * * * *"))
	// Slots of the last hours, as if the schedule had been active then.
	base := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	request := &tminusv1.CreateBackfillRequest{
		Project: project, Domain: domain, Name: "often", DryRun: true, Show: 2,
		First: timestamppb.New(base), Last: timestamppb.New(base.Add(time.Hour)),
	}
	got, err := a.schedules.CreateBackfill(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	p := got.GetPlan()
	if p.GetSlots() != 13 || p.GetToLaunch() != 13 || len(p.GetKept()) != 0 || got.GetBackfill() != nil {
		t.Errorf("a range without firings: %v", got)
	}
	if len(p.GetNext()) != 2 || !p.GetNext()[0].AsTime().Equal(base) || !p.GetNext()[1].AsTime().Equal(base.Add(5*time.Minute)) {
		t.Errorf("both ends are inclusive, and two slots are shown: %v", p.GetNext())
	}
	request.First, request.Last = timestamppb.New(base.Add(time.Second)), timestamppb.New(base.Add(time.Second))
	if got, err = a.schedules.CreateBackfill(ctx, with(request, func(r *tminusv1.CreateBackfillRequest) { r.DryRun = false })); err != nil || got.GetPlan().GetSlots() != 0 || got.GetBackfill() != nil {
		t.Errorf("a range without slots: %v, %v", got, err)
	}
}

// The figures of lateness are of scheduled firings.
func TestLateness(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := t.Context()
	a.register(t)
	a.activePlan(t, "often", timed("* * * * *"))
	if got := a.schedule(t, "often", 1).GetLateness(); got != nil {
		t.Errorf("nothing was launched, and yet %v", got)
	}
	now := time.Now().Add(11 * time.Minute)
	advanced, err := a.db.Advance(ctx, a.alive(t, now), now, 10, 10)
	if err != nil || len(advanced.Launch) != 10 {
		t.Fatalf("%d firings are due, %v", len(advanced.Launch), err)
	}
	for i := range advanced.Launch {
		f := &advanced.Launch[i]
		f.Outcome, f.SettledAt = schedule.Launched, f.Slot.Add(time.Duration(i+1)*time.Second)
	}
	if _, err := a.db.Settle(ctx, advanced.Launch); err != nil {
		t.Fatal(err)
	}
	got := a.schedule(t, "often", 1).GetLateness()
	if got.GetLast().AsDuration() != 10*time.Second || got.GetP50().AsDuration() != 5*time.Second || got.GetP99().AsDuration() != 10*time.Second || got.GetFirings() != 10 {
		t.Errorf("got %v", got)
	}
}
