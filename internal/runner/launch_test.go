package runner_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

var slot = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// plan registers a launch plan, of that version, of a workflow whose input "at" is the kickoff time.
func (w *world) plan(name, version, of string) ident.ID {
	w.t.Helper()
	planID := ident.ID{Key: key(name), Version: version}
	spec := &admin.LaunchPlanSpec{
		WorkflowId: workflow.Identifier(core.ResourceType_WORKFLOW, id(of)),
		EntityMetadata: &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{
			KickoffTimeInputArg: "at",
			ScheduleExpression:  &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: "0 6 * * *"}},
		}},
		Envs: &admin.Envs{Values: []*core.KeyValuePair{{Key: "GREETING", Value: "hello"}}},
	}
	v, err := launchplan.Validate(planID, spec, face("at datetime", ""), slot, launchplan.AnyCalendar)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.db.CreatePlan(w.t.Context(), store.Plan{
		ID: planID, Workflow: id(of), Spec: must(proto.Marshal(spec)), Closure: must(proto.Marshal(v.Closure)),
		ScheduleType: store.Cron, CreatedAt: slot, UpdatedAt: slot,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return planID
}

func TestLaunch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(
		shell("t", "at datetime", "", `echo "$GREETING at {{.inputs.at}}"`),
		flow("f", "at datetime", "", []*core.Node{call("n0", "t", "at=.at")}),
	)
	p := w.plan("daily", "v1", "f")
	l := w.run(runner.Config{})

	first := schedule.Firing{LaunchPlan: p, Slot: slot}
	second := schedule.Firing{LaunchPlan: p, Slot: slot.Add(24 * time.Hour)}
	unknown := schedule.Firing{LaunchPlan: id("unknown"), Slot: slot}
	errs := l.Launch(t.Context(), []schedule.Firing{first, unknown, second, first})
	if errs[0] != nil || errs[2] != nil || errs[3] != nil || !errors.Is(errs[1], schedule.ErrRefused) {
		t.Fatal(errs)
	}
	if got := errs[1].Error(); got != "launch refused: launch plan etl/production/unknown@v1 is not registered" {
		t.Error(got)
	}
	ended := map[string]store.Execution{}
	for range 2 {
		e := l.next()
		ended[e.Name] = e
	}
	for _, f := range []schedule.Firing{first, second} {
		e := ended[f.Execution()]
		if e.Phase != store.Succeeded || !e.Slot.Equal(f.Slot) || e.LaunchPlan != p || e.Mode != 1 {
			t.Errorf("%+v", e)
		}
		want := "hello at " + literal.Text(literal.Datetime(f.Slot)) + "\n"
		if diff := cmp.Diff(want, w.read(f.Execution(), "n0", 0, "stdout")); diff != "" {
			t.Error(diff)
		}
	}

	// Again, also after it has ended, is the same.
	for _, err := range l.Launch(t.Context(), []schedule.Firing{first, second}) {
		if err != nil {
			t.Error(err)
		}
	}
	if e, err := w.db.Execution(t.Context(), key(first.Execution())); err != nil || e.Phase != store.Succeeded {
		t.Errorf("%+v %v", e, err)
	}
}

func TestLaunchRefusesTakenNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("t", "at datetime", "", `:`), flow("f", "at datetime", "", []*core.Node{call("n0", "t", "at=.at")}))
	f := schedule.Firing{LaunchPlan: w.plan("daily", "v1", "f"), Slot: slot}
	w.queue(f.Execution(), "another", nil)
	l := runner.New(w.db, runner.Config{Dir: w.dir})
	err := l.Launch(t.Context(), []schedule.Firing{f})[0]
	if !errors.Is(err, schedule.ErrRefused) || !strings.Contains(err.Error(), "is taken by an execution of etl/production/another@v1") {
		t.Error(err)
	}
}

func TestLaunchRefusesLaunchPlansThatCannotLaunch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := store.Plan{ID: id("bad"), Spec: []byte("\xff"), CreatedAt: slot, UpdatedAt: slot}
	if err := w.db.CreatePlan(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	l := runner.New(w.db, runner.Config{Dir: w.dir})
	if err := l.Launch(t.Context(), []schedule.Firing{{LaunchPlan: p.ID, Slot: slot}})[0]; !errors.Is(err, schedule.ErrRefused) {
		t.Error(err)
	}
}

func TestLaunchRefusesArchivedProjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("t", "at datetime", "", `:`), flow("f", "at datetime", "", []*core.Node{call("n0", "t", "at=.at")}))
	f := schedule.Firing{LaunchPlan: w.plan("daily", "v1", "f"), Slot: slot}
	l := runner.New(w.db, runner.Config{Dir: w.dir})
	for state, archived := range map[int32]bool{1: true, 2: false, 3: true} {
		if err := w.db.UpdateProject(t.Context(), store.Project{ID: f.LaunchPlan.Project, State: state}); err != nil {
			t.Fatal(err)
		}
		err := l.Launch(t.Context(), []schedule.Firing{f})[0]
		refused := errors.Is(err, schedule.ErrRefused) && strings.Contains(err.Error(), "project etl is archived")
		if refused != archived || (err != nil) != archived {
			t.Errorf("project in state %d: %v", state, err)
		}
	}
}

// A database that does not answer is no reason to refuse.
func TestLaunchCanBeRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("t", "at datetime", "", `:`), flow("f", "at datetime", "", []*core.Node{call("n0", "t", "at=.at")}))
	f := schedule.Firing{LaunchPlan: w.plan("daily", "v1", "f"), Slot: slot}
	l := runner.New(w.db, runner.Config{Dir: w.dir})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Launch(ctx, []schedule.Firing{f})[0]; err == nil || errors.Is(err, schedule.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if err := l.Launch(t.Context(), []schedule.Firing{f})[0]; err != nil {
		t.Error(err)
	}
}
