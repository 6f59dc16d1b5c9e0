package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// standalone is a manifest of launch plans that run here; with pushed it fits a Flyte.
const standalone = `
launchPlan: report
version: v1
schedule: {cron: "* * * * *", kickoffTimeInput: at, catchUp: none}
workflow:
  inputs: {at: datetime}
  nodes:
    - {id: tell, image: busybox, inputs: {at: "${inputs.at}"}, command: [sh, -c, "echo {{.inputs.at}}"]}
---
launchPlan: nightly
version: v1
schedule: {cron: "0 3 ? * MON-FRI *", timezone: Europe/Berlin}
workflow:
  name: report-nightly
  nodes:
    - {id: tell, image: busybox, command: [echo, night]}
`

// grown is a configuration of a tminus with data beside a Flyte.
func grown(t *testing.T, data, admin, more string) string {
	t.Helper()
	return save(t, "tminus.yaml", fmt.Sprintf(`
data: %s
scheduler: {eventScheduler: {scheme: local}, workflowExecutor: {scheme: local}}
admin: {endpoint: "dns:///%s", insecure: true, maxRetries: 0}
%s
`, data, admin, more))
}

// pushed runs push and reads its report.
func pushed(t *testing.T, wantCode int, args ...string) map[string]flyte.Pushed {
	t.Helper()
	code, stdout, stderr := once(t, nil, append([]string{"push", "-o", "json"}, args...)...)
	if code != wantCode {
		t.Fatalf("push %v: exit code %d, want %d\n%s%s", args, code, wantCode, stdout, stderr)
	}
	var report struct{ Pushed []flyte.Pushed }
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v in %s%s", err, stdout, stderr)
	}
	all := make(map[string]flyte.Pushed)
	for _, p := range report.Pushed {
		all[p.Kind+" "+p.ID] = p
	}
	return all
}

func results(all map[string]flyte.Pushed) map[flyte.PushResult]int {
	n := make(map[flyte.PushResult]int)
	for _, p := range all {
		n[p.Result]++
	}
	return n
}

// TestGrowingOutOfOneMachine pushes what a standalone tminus has to a Flyte and
// switches its launcher, amid launches. Each slot launches once, here or there.
func TestGrowingOutOfOneMachine(t *testing.T) {
	f := flytetest.New()
	f.Propel(flytetest.Propeller{Run: flytetest.For(100 * time.Millisecond)})
	address := f.Start(t)
	data := filepath.Join(t.TempDir(), "data")
	p := begin(t, "serve", "--config", grown(t, data, address, ""), "--apply", save(t, "standalone.yaml", standalone))
	endpoint := p.wait(`gRPC (\S+)`)
	p.wait(`activated +report`)
	last := time.Now().UTC().Truncate(time.Minute).Add(-time.Minute)
	first := last.Add(-59 * time.Minute)
	backfill := func(first, last time.Time, more ...string) {
		t.Helper()
		args := []string{"backfill", "create", "report", "--first", first.Format(time.RFC3339), "--last", last.Format(time.RFC3339), "--endpoint", endpoint}
		if code, stdout, stderr := once(t, nil, append(args, more...)...); code != 0 {
			t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
		}
	}
	backfill(first, first.Add(29*time.Minute), "--wait")
	launched := func(endpoint string) map[string]string {
		t.Helper()
		code, stdout, stderr := once(t, nil, "firings", "list", "report", "--limit", "0", "-o", "json", "--outcome", "launched", "--endpoint", endpoint)
		if code != 0 {
			t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
		}
		var list struct {
			Firings []struct{ Slot, Execution string }
		}
		if err := json.Unmarshal([]byte(stdout), &list); err != nil {
			t.Fatal(err)
		}
		slots := make(map[string]string)
		for _, f := range list.Firings {
			if slots[f.Slot] != "" {
				t.Errorf("the slot %s has two firings", f.Slot)
			}
			slots[f.Slot] = f.Execution
		}
		return slots
	}
	fits := grown(t, data, address, "launcher: flyte")
	dry := pushed(t, 0, "--config", fits, "--endpoint", endpoint, "--dry-run")
	if n := results(dry); n[flyte.Missing] != 7 || len(dry) != 7 {
		t.Errorf("a dry run says %v", n)
	}
	report := pushed(t, 0, "--config", fits, "--endpoint", endpoint)
	if n := results(report); n[flyte.Registered] != 7 {
		t.Errorf("push says %v: %v", n, report)
	}
	if w := report["launch plan default/development/nightly@v1"].Warnings; len(w) != 1 || !strings.Contains(w[0], "without its schedule") {
		t.Errorf("of a schedule that Flyte cannot read push says %q", w)
	}
	if again := results(pushed(t, 0, "--config", fits, "--endpoint", endpoint)); again[flyte.There] != 7 {
		t.Errorf("the second time it says %v", again)
	}
	backfill(first.Add(30*time.Minute), last, "--per-minute", "300") // Some of these launch here.
	p.end()

	p = begin(t, "serve", "--config", fits)
	endpoint = p.wait(`gRPC (\S+)`)
	var slots map[string]string
	until(t, "all launches", func() bool {
		slots = launched(endpoint)
		for slot := first; !slot.After(last); slot = slot.Add(time.Minute) {
			if slots[slot.Format(time.RFC3339)] == "" {
				return false
			}
		}
		return true
	})
	there := make(map[string]bool)
	for _, x := range f.Executions() {
		if there[x.GetId().GetName()] {
			t.Errorf("%s was launched twice", x.GetId().GetName())
		}
		there[x.GetId().GetName()] = true
	}
	here := 0
	for slot := first; !slot.After(last); slot = slot.Add(time.Minute) {
		name := slots[slot.Format(time.RFC3339)]
		code, stdout, _ := once(t, nil, "executions", "get", name, "--endpoint", endpoint)
		_, logs, _ := once(t, nil, "executions", "logs", name, "--endpoint", endpoint)
		switch ran := strings.Contains(logs, slot.Format("2006-01-02T15:04")); {
		case code != 0:
			t.Errorf("the slot %s has no execution %s: %s", slot, name, stdout)
		case ran && there[name]:
			t.Errorf("the slot %s ran here and there", slot)
		case !there[name]:
			here++
		}
	}
	if here < 30 || here == 60 {
		t.Errorf("%d of 60 ran here", here)
	}
	if plans := f.Calls()["UpdateLaunchPlan"]; plans != 0 {
		t.Errorf("%d launch plans were activated on Flyte", plans)
	}
	p.end()
}

// until waits until something is so.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within five minutes", what)
		}
	}
}

// TestWhatRunsHereIsNotLaunchedThere: a launch that was made here and not recorded before the switch.
func TestWhatRunsHereIsNotLaunchedThere(t *testing.T) {
	f := flytetest.New()
	f.AddProject("default")
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := defaultProject(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	spec := &admin.LaunchPlanSpec{WorkflowId: &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: "default", Domain: "development", Name: "w", Version: "v1"}}
	b, err := proto.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	id := ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: "report"}, Version: "v1"}
	if err := db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: id, Spec: b, ScheduleType: store.NoSchedule, CreatedAt: time.Now(), UpdatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	f.PutLaunchPlan(&core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: id.Project, Domain: id.Domain, Name: id.Name, Version: id.Version}, spec, nil)
	run := runner.New(db, runner.Config{Dir: t.TempDir()})
	slot := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	firings := []schedule.Firing{{LaunchPlan: id, Slot: slot}, {LaunchPlan: id, Slot: slot.Add(time.Hour)}}
	if errs := run.Launch(t.Context(), firings[:1]); errs[0] != nil {
		t.Fatal(errs[0])
	}
	where := &places{Runner: run, db: db, launches: true, launcher: flyte.NewLauncher(f.Pipe(t), db, flyte.LauncherConfig{})}
	if errs := where.Launch(t.Context(), firings); errs[0] != nil || errs[1] != nil {
		t.Fatal(errs)
	}
	if es := f.Executions(); len(es) != 1 || es[0].GetId().GetName() != firings[1].Execution() {
		t.Errorf("on Flyte there are %v, want %s alone", es, firings[1].Execution())
	}
}

// TestPush pushes to a Flyte that has other things already, or bad days.
func TestPush(t *testing.T) {
	const more = `
launchPlan: bare
version: v1
workflow:
  nodes:
    - {id: tell, command: [echo, hello]}
`
	data := filepath.Join(t.TempDir(), "data")
	p := begin(t, "serve", "--config", grown(t, data, "127.0.0.1:1", ""), "--apply", save(t, "a.yaml", standalone), "--apply", save(t, "b.yaml", more))
	endpoint := p.wait(`gRPC (\S+)`)
	p.wait(`activated +bare`)
	plan := &core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: "default", Domain: "development", Name: "report", Version: "v1"}
	for _, tc := range []struct {
		name   string
		before func(f *flytetest.Server)
		args   []string
		code   int
		want   map[string]string // by kind and id, the result and what is said
	}{
		{"a task without an image", nil, nil, 1, map[string]string{
			"project default":                           "registered",
			"task default/development/bare.tell@v1":     "failed it names no container image",
			"workflow default/development/bare@v1":      "not tried the task default/development/bare.tell@v1 is not on Flyte",
			"launch plan default/development/bare@v1":   "not tried the workflow",
			"task default/development/report.tell@v1":   "registered in the image busybox",
			"launch plan default/development/report@v1": "registered",
		}},
		{"an image for those", nil, []string{"--image", "alpine"}, 0, map[string]string{
			"task default/development/bare.tell@v1":   "registered in the image alpine",
			"launch plan default/development/bare@v1": "registered",
		}},
		{"activated", nil, []string{"--image", "alpine", "--activate"}, 0, map[string]string{
			"launch plan default/development/report@v1": "activated version v1 is active on Flyte",
		}},
		{"a version that is another there", func(f *flytetest.Server) {
			f.PutLaunchPlan(plan, &admin.LaunchPlanSpec{WorkflowId: &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: "default", Domain: "development", Name: "other", Version: "v1"}}, nil)
		}, []string{"--image", "alpine"}, 1, map[string]string{
			"project default": "there",
			"launch plan default/development/report@v1": "failed another launch plan under this version",
		}},
		{"a version that is active there", func(f *flytetest.Server) {
			other := proto.CloneOf(plan)
			other.Version = "v0"
			f.PutLaunchPlan(other, &admin.LaunchPlanSpec{EntityMetadata: &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{
				ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: "0 3 * * *"}},
			}}}, nil)
			f.Activate(other)
		}, []string{"--image", "alpine"}, 0, map[string]string{
			"launch plan default/development/report@v1": "registered version v0 is active on Flyte",
		}},
		{"an archived project", func(f *flytetest.Server) {
			f.AddProject("default")
			f.ArchiveProject("default")
		}, nil, 1, map[string]string{
			"project default":                         "failed archived",
			"task default/development/report.tell@v1": "not tried the project default is not on Flyte",
		}},
		{"another domain", nil, []string{"-d", "production"}, 0, map[string]string{}},
		{"a Flyte that goes away", func(f *flytetest.Server) {
			f.AddProject("default")
			f.Refuse(status.Error(codes.Unavailable, "gone"), "CreateWorkflow")
		}, []string{"--image", "alpine"}, 1, map[string]string{
			"task default/development/report.tell@v1":   "registered",
			"launch plan default/development/report@v1": "not tried no answer from Flyte",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := flytetest.New()
			if tc.before != nil {
				tc.before(f)
			}
			got := pushed(t, tc.code, append([]string{"--config", grown(t, data, f.Start(t), ""), "--endpoint", endpoint}, tc.args...)...)
			for what, want := range tc.want {
				p := got[what]
				said := string(p.Result) + " " + p.Reason + " " + strings.Join(p.Warnings, " ")
				result, words, _ := strings.Cut(want, " ")
				if strings.HasPrefix(want, "not tried") {
					result, words = "not tried", strings.TrimPrefix(want, "not tried ")
				}
				if string(p.Result) != result || !strings.Contains(said, words) {
					t.Errorf("%s: %q, want %q", what, said, want)
				}
			}
			if len(tc.want) == 0 && len(got) > 0 {
				t.Errorf("got %v, want nothing", got)
			}
		})
	}
	t.Run("everything", func(t *testing.T) {
		nest(t, endpoint)
		f := flytetest.New()
		got := pushed(t, 0, "--config", grown(t, data, f.Start(t), ""), "--endpoint", endpoint, "--all", "--image", "alpine")
		if len(got) != 11 {
			t.Errorf("%d are pushed: %v", len(got), got)
		}
		if sent := f.SentWorkflow(workflowID("outer")); len(sent.GetSubWorkflows()) != 1 || sent.GetSubWorkflows()[0].GetId().GetName() != "report" {
			t.Errorf("the workflow that runs another came as %v", sent)
		}
	})
	for _, tc := range []struct {
		name, config, want string
	}{
		{"no Flyte", save(t, "none.yaml", "data: "+data), "admin.endpoint is empty"},
		{"a Flyte that is followed", grown(t, data, "127.0.0.1:1", "launcher: flyte\nsource: flyte"), "source is flyte"},
		{"a Flyte that is down", grown(t, data, "127.0.0.1:1", ""), "no answer from Flyte"},
	} {
		if code, _, stderr := once(t, nil, "push", "--config", tc.config, "--endpoint", endpoint); code != 1 || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: exit code %d, %s", tc.name, code, stderr)
		}
	}
	p.end()
}

// lossy launches here, and loses some of the answers.
type lossy struct{ *places }

func (l lossy) Launch(ctx context.Context, firings []schedule.Firing) []error {
	errs := l.places.Launch(ctx, firings)
	for i := range errs {
		if firings[i].Slot.Minute() == 5 && i%3 == 0 {
			errs[i] = errors.New("the answer was lost")
		}
	}
	return errs
}

// TestSwitchAmidLiveSlots: the launcher changes just as slots come due, of which
// some were launched here and are not recorded.
func TestSwitchAmidLiveSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const plans, minutes = 30, 10
		db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := defaultProject(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		f := flytetest.New()
		f.AddProject("default")
		for i := range plans {
			id := ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: fmt.Sprint("report-", i)}, Version: "v1"}
			f.PutLaunchPlan(&core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: id.Project, Domain: id.Domain, Name: id.Name, Version: id.Version}, &admin.LaunchPlanSpec{}, nil)
			if err := db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: time.Now(), UpdatedAt: time.Now()}); err != nil {
				t.Fatal(err)
			}
			if err := db.Activate(t.Context(), id, &schedule.Spec{Expression: "* * * * *"}, store.Change{At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		run := runner.New(db, runner.Config{Dir: t.TempDir()})
		serve := func(l engine.Launcher, d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if err := engine.New(db, l, engine.Config{}).Run(ctx); err != nil {
				t.Error(err)
			}
		}
		serve(lossy{&places{Runner: run, db: db}}, minutes/2*time.Minute+100*time.Millisecond)
		pending, err := db.Firings(t.Context(), store.Query{Limit: plans, Filters: []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{string(schedule.Pending)}}}})
		if err != nil || len(pending) == 0 {
			t.Errorf("no launch was left unrecorded: %v", err)
		}
		serve(&places{Runner: run, db: db, launches: true, launcher: flyte.NewLauncher(f.Pipe(t), db, flyte.LauncherConfig{})}, minutes/2*time.Minute+30*time.Second)

		there := make(map[string]bool)
		for _, x := range f.Executions() {
			there[x.GetId().GetName()] = true
		}
		firings, err := db.Firings(t.Context(), store.Query{Limit: 10 * plans * minutes})
		if err != nil {
			t.Fatal(err)
		}
		slots := make(map[string]bool)
		for _, f := range firings {
			x, err := db.Execution(t.Context(), ident.Key{Project: "default", Domain: "development", Name: f.Execution()})
			if err != nil || f.Outcome != schedule.Launched {
				t.Fatalf("%s of %s is %s %s: %v", f.Slot, f.LaunchPlan, f.Outcome, f.Reason, err)
			}
			if here := x.Runner != store.Elsewhere; here == there[x.Name] || here != (f.Slot.Minute() <= minutes/2) {
				t.Errorf("%s of %s: here %v, there %v", f.Slot, f.LaunchPlan, here, there[x.Name])
			}
			slots[f.LaunchPlan.Name+f.Slot.String()] = true
		}
		if len(slots) != plans*minutes || len(there) != plans*minutes/2 {
			t.Errorf("%d slots launched, %d of them there, want %d and %d", len(slots), len(there), plans*minutes, plans*minutes/2)
		}
	})
}

func workflowID(name string) *core.Identifier {
	return &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: "default", Domain: "development", Name: name, Version: "v1"}
}

// nest registers a workflow that runs another one, which it does not bring along.
func nest(t *testing.T, endpoint string) {
	t.Helper()
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	at := &core.Variable{Type: &core.LiteralType{Type: &core.LiteralType_Simple{Simple: core.SimpleType_DATETIME}}}
	_, err = service.NewAdminServiceClient(conn).CreateWorkflow(t.Context(), &admin.WorkflowCreateRequest{Id: workflowID("outer"), Spec: &admin.WorkflowSpec{Template: &core.WorkflowTemplate{
		Id:        workflowID("outer"),
		Interface: &core.TypedInterface{Inputs: &core.VariableMap{Variables: map[string]*core.Variable{"at": at}}},
		Nodes: []*core.Node{{
			Id: "inner",
			Inputs: []*core.Binding{{Var: "at", Binding: &core.BindingData{Value: &core.BindingData_Promise{
				Promise: &core.OutputReference{NodeId: "start-node", Var: "at"},
			}}}},
			Target: &core.Node_WorkflowNode{WorkflowNode: &core.WorkflowNode{Reference: &core.WorkflowNode_SubWorkflowRef{SubWorkflowRef: workflowID("report")}}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
}
