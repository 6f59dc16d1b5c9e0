package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// plans are manifests of launch plans with one task, by name and schedule.
func plans(schedules map[string]string) string {
	var docs []string
	for _, name := range slices.Sorted(maps.Keys(schedules)) {
		docs = append(docs, "launchPlan: "+name+"\nversion: v1\nschedule: "+schedules[name]+"\nworkflow: {nodes: [{id: tell, image: busybox, command: [echo, hello]}]}\n")
	}
	return strings.Join(docs, "---\n")
}

func there(name, version string) *core.Identifier {
	return &core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: "default", Domain: "development", Name: name, Version: version}
}

// active has a launch plan active on Flyte.
func active(f *flytetest.Server, id *core.Identifier, s *admin.Schedule) {
	f.PutLaunchPlan(id, &admin.LaunchPlanSpec{EntityMetadata: &admin.LaunchPlanMetadata{Schedule: s}}, nil)
	f.Activate(id)
}

func cronOf(expression string) *admin.Schedule {
	return &admin.Schedule{ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: expression}}}
}

// scheduled is what Flyte's scheduler, or another, launches there.
func scheduled(t *testing.T, f *flytetest.Server, id *core.Identifier, slot time.Time) {
	t.Helper()
	scheduledAs(t, f, executionOf(id, slot), id, slot)
}

func scheduledAs(t *testing.T, f *flytetest.Server, name string, id *core.Identifier, slot time.Time) {
	t.Helper()
	_, err := service.NewAdminServiceClient(f.Pipe(t)).CreateExecution(t.Context(), &admin.ExecutionCreateRequest{
		Project: id.GetProject(), Domain: id.GetDomain(), Name: name,
		Spec: &admin.ExecutionSpec{LaunchPlan: id, Metadata: &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: timestamppb.New(slot)}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func executionOf(id *core.Identifier, slot time.Time) string {
	return schedule.ExecutionName(ident.ID{Key: ident.Key{Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName()}, Version: id.GetVersion()}, slot)
}

// compareAs runs compare, and sums it up by launch plan: the verdicts, and why.
func compareAs(t *testing.T, code int, args ...string) map[string]string {
	t.Helper()
	got, stdout, stderr := once(t, nil, append([]string{"compare", "-o", "json"}, args...)...)
	if got != code {
		t.Fatalf("compare %v: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	var c flyte.Comparison
	if err := json.Unmarshal([]byte(stdout), &c); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, p := range c.Differences {
		var verdicts []string
		for _, v := range slices.Sorted(maps.Keys(p.Slots)) {
			verdicts = append(verdicts, string(v))
		}
		_, _, name := cut(p.LaunchPlan)
		all[name] = strings.Join(verdicts, " ") + ": " + strings.Join(p.Why, "; ")
	}
	return all
}

func cut(plan string) (project, domain, name string) {
	parts := strings.SplitN(plan, "/", 3)
	return parts[0], parts[1], parts[2]
}

func TestCompareWhatComes(t *testing.T) {
	f := flytetest.New()
	f.AddProject("default")
	address := f.Start(t)
	half := `{cron: "*/30 * * * *"}`
	p := begin(t, "serve", "--config", grown(t, filepath.Join(t.TempDir(), "data"), address, ""), "--apply", save(t, "plans.yaml", plans(map[string]string{
		"same": half, "here": half, "newer": half, "two": half,
		"zoned":    `{cron: "0 3 * * *", timezone: Europe/Berlin}`,
		"holidays": `{cron: "*/30 * * * *", exclude: ["30 * * * ? *"]}`,
		"fixed":    `{rate: 5 minutes}`, "phased": `{rate: 5 minutes}`,
	})))
	endpoint := p.wait(`gRPC (\S+)`)
	p.wait(`activated +zoned`)
	in := []string{"--config", grown(t, t.TempDir(), address, ""), "--endpoint", endpoint, "--within", "24h"}
	for _, name := range []string{"same", "two"} {
		active(f, there(name, "v1"), cronOf("*/30 * * * *"))
	}
	active(f, there("there", "v1"), cronOf("@hourly"))
	active(f, there("newer", "v2"), cronOf("*/30 * * * *"))
	active(f, there("zoned", "v1"), cronOf("0 3 * * *"))
	active(f, there("holidays", "v1"), cronOf("*/30 * * * *"))
	for _, name := range []string{"fixed", "phased"} {
		active(f, there(name, "v1"), &admin.Schedule{ScheduleExpression: &admin.Schedule_Rate{Rate: &admin.FixedRate{Value: 5}}})
	}
	scheduled(t, f, there("phased", "v1"), time.Now().Truncate(5*time.Minute).Add(time.Second))
	want := map[string]string{
		"here":     "here: no version with a schedule is active on Flyte",
		"there":    "there: it has no schedule here",
		"newer":    "differs: version v1 here, v2 on Flyte",
		"zoned":    "here there: zone Europe/Berlin here, UTC on Flyte",
		"fixed":    "uncertain: a rate counts from when each activated it; Flyte does not tell",
		"holidays": "same there: exclude-1 30 * * * ? * here",
		"phased":   "here there: a rate counts from when each activated it",
	}
	got := compareAs(t, 1, in...)
	for name, want := range want {
		if !strings.HasPrefix(got[name], want) {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d launch plans differ, want %d: %v", len(got), len(want), got)
	}
	if code, stdout, _ := once(t, nil, append([]string{"launchplans", "deactivate", "same"}, "--endpoint", endpoint)...); code != 0 {
		t.Fatal(stdout)
	}
	if got := compareAs(t, 1, in...)["same"]; got != "there: it is inactive here" {
		t.Errorf("an inactive one is %q", got)
	}
	if got := compareAs(t, 0, append(in, "-d", "production")...); len(got) != 0 {
		t.Errorf("in another domain there are %v", got)
	}
	p.end()
}

func TestCompareThePast(t *testing.T) {
	f := flytetest.New()
	f.AddProject("default")
	address := f.Start(t)
	p := begin(t, "serve", "--config", grown(t, filepath.Join(t.TempDir(), "data"), address, ""), "--apply", save(t, "plans.yaml", plans(map[string]string{
		"report": `{cron: "* * * * *", catchUp: none}`,
	})))
	endpoint := p.wait(`gRPC (\S+)`)
	p.wait(`activated +report`)
	in := []string{"--config", grown(t, t.TempDir(), address, ""), "--endpoint", endpoint, "--since", "1h"}
	last := time.Now().UTC().Truncate(time.Minute).Add(-2 * time.Minute)
	first := last.Add(-9 * time.Minute)
	if code, stdout, stderr := once(t, nil, "backfill", "create", "report", "--wait", "--first", first.Format(time.RFC3339), "--last", last.Format(time.RFC3339), "--endpoint", endpoint); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	v1, v2 := there("report", "v1"), there("report", "v2")
	active(f, v2, cronOf("* * * * *"))
	active(f, v1, cronOf("* * * * *"))
	for slot := first; !slot.After(last); slot = slot.Add(time.Minute) {
		scheduled(t, f, v1, slot)
	}
	if got := compareAs(t, 0, in...); len(got) != 0 {
		t.Errorf("of the same there are differences: %v", got)
	}
	scheduled(t, f, v2, first)                                        // A double.
	scheduled(t, f, v1, first.Add(-time.Minute))                      // Not here.
	scheduled(t, f, v1, first.Add(-24*time.Hour))                     // Long ago.
	scheduled(t, f, there("report", "v1"), time.Now().Add(time.Hour)) // Not yet.
	f.KubernetesDown(true)
	scheduledAs(t, f, "fstillborn", v1, last) // Beside the one that ran.
	f.KubernetesDown(false)
	if code, stdout, stderr := once(t, nil, "schedules", "run", "report", "--slot", first.Add(-5*time.Minute).Format(time.RFC3339), "--endpoint", endpoint); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	p.wait(`launched +report .*` + executionOf(v1, first.Add(-5*time.Minute)))
	_, stdout, _ := once(t, nil, append([]string{"compare", "-o", "json"}, in...)...)
	var c flyte.Comparison
	if err := json.Unmarshal([]byte(stdout), &c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[flyte.Verdict]int{flyte.Same: 9, flyte.Doubled: 1, flyte.OnlyHere: 1, flyte.OnlyThere: 1}, c.Slots); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, stdout)
	}
	p.end()
}

func TestPrintComparison(t *testing.T) {
	at := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	var out strings.Builder
	tabs := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	printComparison(tabs, flyte.Comparison{
		From: at, Until: at.Add(time.Hour), LaunchPlans: 4000,
		Slots: map[flyte.Verdict]int{flyte.Same: 3990, flyte.OnlyHere: 60, flyte.OnlyThere: 61, flyte.Differs: 1},
		Differences: []flyte.PlanComparison{
			{LaunchPlan: "shop/production/nightly", Slots: map[flyte.Verdict]int{flyte.Differs: 1}, Why: []string{"version v1 here, v2 on Flyte"}, First: []flyte.SlotComparison{
				{Slot: at.Add(30 * time.Minute), Verdict: flyte.Differs, Here: "v1 f01", There: "v2 f02"},
			}},
			{LaunchPlan: "shop/production/report", Slots: map[flyte.Verdict]int{flyte.OnlyHere: 60, flyte.OnlyThere: 60}, First: []flyte.SlotComparison{
				{Slot: at.Add(time.Minute), Verdict: flyte.OnlyHere, Here: "v1 f03"},
				{Slot: at.Add(2 * time.Minute), Verdict: flyte.OnlyThere, There: "v1 f04"},
			}},
			{LaunchPlan: "shop/production/stock", Slots: map[flyte.Verdict]int{flyte.OnlyThere: 1}, Why: []string{"it is inactive here"}, First: []flyte.SlotComparison{
				{Slot: at.Add(3 * time.Minute), Verdict: flyte.OnlyThere, Here: "v1 missed: it was paused", There: "v1 f05"},
			}},
		},
	}, 2)
	if err := tabs.Flush(); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "compare.txt")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", golden, diff)
	}
}

func TestCompareRefuses(t *testing.T) {
	file := save(t, "tminus.yaml", `admin: {endpoint: "127.0.0.1:1", insecure: true, maxRetries: 0}`)
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"both ways", []string{"--within", "1h", "--since", "1h"}, 2, "give one of them"},
		{"no time at all", []string{"--since", "30s"}, 2, "more than a minute"},
		{"a negative time", []string{"--within", "-1h"}, 2, "cannot be negative"},
		{"no zone", []string{"--flyte-timezone", "Mars/Olympus"}, 2, "--flyte-timezone"},
		{"no server", []string{"--endpoint", "127.0.0.1:1"}, 1, "no server at 127.0.0.1:1"},
	} {
		if code, _, stderr := once(t, nil, append([]string{"compare", "--config", file}, tc.args...)...); code != tc.code || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: exit code %d, %s", tc.name, code, stderr)
		}
	}
	if code, _, stderr := once(t, nil, "compare"); code != 1 || !strings.Contains(stderr, "admin.endpoint is empty") {
		t.Errorf("without a Flyte: exit code %d, %s", code, stderr)
	}
}
