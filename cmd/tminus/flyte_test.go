package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/flyte/flytetest"
)

// onFlyte is a Flyte with a launch plan that fires each minute.
func onFlyte(t *testing.T) (f *flytetest.Server, endpoint string, plan *core.Identifier) {
	t.Helper()
	f = flytetest.New()
	f.AddProject("shop")
	f.Propel(flytetest.Propeller{Run: flytetest.For(100 * time.Millisecond)})
	plan = &core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: "shop", Domain: "production", Name: "report", Version: "v1"}
	at := &core.Variable{Type: &core.LiteralType{Type: &core.LiteralType_Simple{Simple: core.SimpleType_DATETIME}}}
	f.PutLaunchPlan(plan, &admin.LaunchPlanSpec{
		WorkflowId: &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: "shop", Domain: "production", Name: "report", Version: "v1"},
		EntityMetadata: &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{
			ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: "0 3 * * *"}}, KickoffTimeInputArg: "at",
		}},
	}, &core.TypedInterface{Inputs: &core.VariableMap{Variables: map[string]*core.Variable{"at": at}}})
	f.Activate(plan)
	return f, f.Start(t), plan
}

// TestServeBesideAFlyte follows its launch plan, launches there, and follows the execution.
func TestServeBesideAFlyte(t *testing.T) {
	f, admin, plan := onFlyte(t)
	config := save(t, "tminus.yaml", fmt.Sprintf(`
data: %s
scheduler: {eventScheduler: {scheme: local}, workflowExecutor: {scheme: local}}
admin: {endpoint: "dns:///%s", insecure: true}
launcher: flyte
source: flyte
flyte: {followEvery: 200ms, listEvery: 1s}
`, filepath.Join(t.TempDir(), "data"), admin))
	p := begin(t, "serve", "--config", config)
	endpoint := p.wait(`gRPC (\S+)`)
	in := []string{"-p", "shop", "-d", "production", "--endpoint", endpoint}
	until := func(what, text string, args ...string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for {
			code, stdout, stderr := once(t, nil, append(args, in...)...)
			if code == 0 && strings.Contains(stdout, text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("not %s: exit code %d\n%s%s", what, code, stdout, stderr)
			}
		}
	}
	until("followed", "0 3 * * *", "schedules", "list")
	if code, stdout, stderr := once(t, nil, append([]string{"schedules", "run", "report"}, in...)...); code != 0 {
		t.Fatalf("run: exit code %d\n%s%s", code, stdout, stderr)
	}
	p.wait(`launched +shop/production/report`)
	p.wait(`succeeded +shop/production/report`)
	if es := f.Executions(); len(es) != 1 || es[0].GetSpec().GetAnnotations().GetValues()["tminus.dev/kind"] != "manual" {
		t.Errorf("on Flyte there are %v", es)
	}
	until("said", "1", "flyte", "status")
	for _, args := range [][]string{{"executions", "create", "report", "--input", "at=2026-01-01T00:00:00Z"}, {"launchplans", "deactivate", "report"}} {
		if code, _, stderr := once(t, nil, append(args, in...)...); code != 1 || !strings.Contains(stderr, "Flyte at dns:///"+admin) {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	f.Deactivate(plan)
	until("deactivated", "inactive", "schedules", "get", "report")
	p.end()
}

// TestServeBesideAFlyteWithoutItsProject is started again without a project that it followed. People end what is active of that.
func TestServeBesideAFlyteWithoutItsProject(t *testing.T) {
	f, admin, _ := onFlyte(t)
	f.AddProject("other")
	data := filepath.Join(t.TempDir(), "data")
	var in []string
	serve := func(projects string) *process {
		p := begin(t, "serve", "--config", save(t, "tminus.yaml", fmt.Sprintf(`
data: %s
scheduler: {eventScheduler: {scheme: local}, workflowExecutor: {scheme: local}}
admin: {endpoint: "dns:///%s", insecure: true}
launcher: flyte
source: flyte
flyte: {followEvery: 200ms, listEvery: 1s, projects: %s}
`, data, admin, projects)))
		in = []string{"-p", "shop", "-d", "production", "--endpoint", p.wait(`gRPC (\S+)`)}
		p.wait("Following the launch plans of the Flyte at dns:///" + admin)
		return p
	}
	until := func(what, text string, args ...string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for {
			code, stdout, stderr := once(t, nil, append(args, in...)...)
			if code == 0 && strings.Contains(stdout, text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("not %s: exit code %d\n%s%s", what, code, stdout, stderr)
			}
		}
	}
	p := serve("[shop]")
	until("followed", "0 3 * * *", "schedules", "list")
	p.end()
	p = serve("[other]")
	until("held", "shop/production/report@v1", "flyte", "status")
	until("said", "dns:///"+admin, "flyte", "status")
	if code, _, stderr := once(t, nil, append([]string{"launchplans", "deactivate", "report"}, in...)...); code != 0 {
		t.Errorf("deactivate: exit code %d, %s", code, stderr)
	}
	until("deactivated", "inactive", "schedules", "get", "report")
	if code, _, stderr := once(t, nil, append([]string{"launchplans", "activate", "report"}, in...)...); code != 1 || !strings.Contains(stderr, "Flyte at dns:///"+admin) {
		t.Errorf("activate: exit code %d, %s", code, stderr)
	}
	p.end()
}
