package server_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
)

// versions registers the launch plan daily in more versions.
func (a *api) versions(t *testing.T, versions ...string) {
	t.Helper()
	for _, v := range versions {
		if _, err := a.CreateLaunchPlan(t.Context(), with(dailyPlan(), func(r *admin.LaunchPlanCreateRequest) { r.Id.Version = v })); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *api) setState(t *testing.T, id *core.Identifier, state admin.LaunchPlanState) {
	t.Helper()
	if _, err := a.UpdateLaunchPlan(t.Context(), &admin.LaunchPlanUpdateRequest{Id: id, State: state}); err != nil {
		t.Fatal(err)
	}
}

// active lists the active launch plans of the domain as name@version.
func (a *api) active(t *testing.T) []string {
	t.Helper()
	list, err := a.ListActiveLaunchPlans(t.Context(), &admin.ActiveLaunchPlanListRequest{Project: project, Domain: domain})
	if err != nil {
		t.Fatal(err)
	}
	return planNames(list)
}

func planNames(list *admin.LaunchPlanList) []string {
	names := []string{}
	for _, p := range list.GetLaunchPlans() {
		names = append(names, p.GetId().GetName()+"@"+p.GetId().GetVersion())
	}
	return names
}

func TestActivation(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.versions(t, "2")
	// As flytectl sends it, which does not set the resource type.
	unspecified := func(version string) *core.Identifier {
		return with(planID("daily", version), func(id *core.Identifier) { id.ResourceType = core.ResourceType_UNSPECIFIED })
	}
	const on, off = admin.LaunchPlanState_ACTIVE, admin.LaunchPlanState_INACTIVE
	for i, step := range []struct {
		version string
		state   admin.LaunchPlanState
		active  []string
	}{
		{"1", on, []string{"daily@1"}},
		{"1", on, []string{"daily@1"}},
		{"2", on, []string{"daily@2"}},
		{"1", off, []string{"daily@2"}}, // An inactive version: the active one goes on.
		{"2", off, []string{}},
		{"2", off, []string{}},
		{"1", on, []string{"daily@1"}},
	} {
		a.setState(t, unspecified(step.version), step.state)
		if diff := cmp.Diff(step.active, a.active(t)); diff != "" {
			t.Fatalf("after step %d (-want +got):\n%s", i+1, diff)
		}
		if got := a.engine.woken(); got != i+1 {
			t.Errorf("the engine was woken %d times in %d steps", got, i+1)
		}
	}
	p, err := a.GetActiveLaunchPlan(t.Context(), &admin.ActiveLaunchPlanRequest{Id: name("daily")})
	if err != nil {
		t.Fatal(err)
	}
	c := p.GetClosure()
	if c.GetState() != on || p.GetId().GetVersion() != "1" || c.GetUpdatedAt().AsTime().Before(c.GetCreatedAt().AsTime()) {
		t.Errorf("the active version: %v", p)
	}
	if got := c.GetExpectedInputs().GetParameters(); len(got) != 2 || !got["at"].GetRequired() || got["city"].GetDefault() == nil {
		t.Errorf("expected inputs: %v", got)
	}
	a.setState(t, planID("daily", "1"), off)
	if _, err := a.GetActiveLaunchPlan(t.Context(), &admin.ActiveLaunchPlanRequest{Id: name("daily")}); status.Code(err) != codes.NotFound {
		t.Errorf("no active version: %v", err)
	}
}

// An archived project launches nothing more, but what fires in it can be stopped.
func TestActivationInAnArchivedProject(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.versions(t, "2")
	a.setState(t, planID("daily", "1"), admin.LaunchPlanState_ACTIVE)
	if _, err := a.UpdateProject(t.Context(), &admin.Project{Id: project, State: admin.Project_ARCHIVED}); err != nil {
		t.Fatal(err)
	}
	_, err := a.UpdateLaunchPlan(t.Context(), &admin.LaunchPlanUpdateRequest{Id: planID("daily", "2"), State: admin.LaunchPlanState_ACTIVE})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "archived") {
		t.Errorf("activating: %v", err)
	}
	a.setState(t, planID("daily", "1"), admin.LaunchPlanState_INACTIVE)
	if got := a.active(t); len(got) != 0 {
		t.Errorf("active: %v", got)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.versions(t, "2")
	for name, change := range map[string]func(*admin.LaunchPlanSpec){
		"manual":  func(s *admin.LaunchPlanSpec) { s.EntityMetadata = nil },
		"regular": func(s *admin.LaunchPlanSpec) { s.EntityMetadata = rated(5, 0).GetSpec().GetEntityMetadata() },
	} {
		r := with(dailyPlan(), func(r *admin.LaunchPlanCreateRequest) { r.Id.Name = name; change(r.GetSpec()) })
		if _, err := a.CreateLaunchPlan(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	a.setState(t, planID("daily", "2"), admin.LaunchPlanState_ACTIVE)
	for _, row := range []struct {
		filters string
		want    []string
	}{
		{"", []string{"daily@1", "daily@2", "manual@1", "regular@1"}},
		{"eq(state,1)", []string{"daily@2"}},
		{"ne(schedule_type,NONE)", []string{"daily@1", "daily@2", "regular@1"}},
		{"eq(schedule_type,FIXED_RATE)", []string{"regular@1"}},
		{"ne(schedule_type,NONE)+eq(state,0)", []string{"daily@1", "regular@1"}},
		{"value_in(name,manual;regular)", []string{"manual@1", "regular@1"}},
		{"contains(name, ai)", []string{"daily@1", "daily@2"}},
		{"eq(launch_plan.name,daily)+eq(version,1)", []string{"daily@1"}},
		{"gte(updated_at,2026-01-01T00:00:00+02:00)+eq(version,2)", []string{"daily@2"}},
		{"lt(updated_at,2020-01-01T00:00:00Z)", []string{}},
		{"eq(workflow.name,report)+eq(name,manual)", []string{"manual@1"}},
	} {
		got, err := a.ListLaunchPlans(t.Context(), filtered(row.filters))
		if err != nil {
			t.Errorf("%s: %v", row.filters, err)
			continue
		}
		names := planNames(got)
		slices.Sort(names)
		if diff := cmp.Diff(row.want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.filters, diff)
		}
	}
	one, err := a.ListLaunchPlans(t.Context(), list(func(r *admin.ResourceListRequest) { r.Id.Name = "daily" }))
	if err != nil {
		t.Fatal(err)
	}
	if got := planNames(one); len(got) != 2 {
		t.Errorf("versions of daily: %v", got)
	}
}

// Pages hold every record once, in order, and the last has no token.
func TestPages(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("v%02d", i))
	}
	a.versions(t, want...)
	for _, limit := range []uint32{1, 5, 7, 25, 100} {
		for _, direction := range []admin.Sort_Direction{admin.Sort_ASCENDING, admin.Sort_DESCENDING} {
			var got []string
			pages := 0
			for token := ""; pages == 0 || token != ""; pages++ {
				page, err := a.ListLaunchPlans(t.Context(), list(func(r *admin.ResourceListRequest) {
					r.Limit, r.Token, r.Filters = limit, token, "contains(version,v)"
					r.SortBy = &admin.Sort{Key: "created_at", Direction: direction}
				}))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range page.GetLaunchPlans() {
					got = append(got, p.GetId().GetVersion())
				}
				token = page.GetToken()
			}
			if direction == admin.Sort_DESCENDING {
				slices.Reverse(got)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("pages of %d, %s (-want +got):\n%s", limit, direction, diff)
			}
			if most := (25 + int(limit) - 1) / int(limit); pages != most {
				t.Errorf("%d pages of %d", pages, limit)
			}
		}
	}
}

// Clients of gRPC take answers of 4 MiB; a page of large records ends before that.
func TestPagesOfLargeRecords(t *testing.T) {
	t.Parallel()
	a := start(t)
	const tasks = 7
	for i := range tasks {
		r := with(forecastTask(), func(r *admin.TaskCreateRequest) {
			r.Id.Version = strconv.Itoa(i)
			r.GetSpec().GetTemplate().GetContainer().Args = []string{megabyte}
		})
		if _, err := a.CreateTask(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages := map[string]bool{}, 0
	for token := ""; pages == 0 || token != ""; pages++ {
		page, err := a.ListTasks(t.Context(), list(func(r *admin.ResourceListRequest) { r.Token = token }))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range page.GetTasks() {
			seen[task.GetId().GetVersion()] = true
		}
		token = page.GetToken()
	}
	if len(seen) != tasks || pages != 4 {
		t.Errorf("%d of %d tasks on %d pages", len(seen), tasks, pages)
	}
}
