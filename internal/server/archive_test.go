package server_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/admin"
)

func TestArchiveExecution(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	id := a.launch(t, "one")
	a.launch(t, "two")
	for _, state := range []admin.ExecutionState{admin.ExecutionState_EXECUTION_ARCHIVED, admin.ExecutionState_EXECUTION_ACTIVE} {
		if _, err := a.UpdateExecution(t.Context(), &admin.ExecutionUpdateRequest{Id: id, State: state}); err != nil {
			t.Fatal(err)
		}
		got, err := a.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: id})
		if err != nil {
			t.Fatal(err)
		}
		if got.GetClosure().GetStateChangeDetails().GetState() != state {
			t.Errorf("state %s, want %s", got.GetClosure().GetStateChangeDetails().GetState(), state)
		}
		archived, err := a.ListExecutions(t.Context(), filtered("eq(state,1)"))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(archived.GetExecutions()); n != int(state) {
			t.Errorf("%d executions are archived, want %d", n, state)
		}
	}
}

// Archived executions were in lists that did not ask for them.
func TestArchivedExecutionsAreHidden(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	id := a.launch(t, "one")
	a.launch(t, "two")
	if _, err := a.UpdateExecution(t.Context(), &admin.ExecutionUpdateRequest{Id: id, State: admin.ExecutionState_EXECUTION_ARCHIVED}); err != nil {
		t.Fatal(err)
	}
	for filters, want := range map[string][]string{
		"":                             {"two"},
		"eq(phase,QUEUED)":             {"two"},
		"eq(state,EXECUTION_ARCHIVED)": {"one"},
		"eq(execution.state,1)":        {"one"},
		"value_in(state,0;1)":          {"one", "two"},
		"ne(state,1)+contains(name,o)": {"two"},
		"eq(name,one)":                 nil,
		"eq(name,one)+ne(state,EXECUTION_ACTIVE)": {"one"},
	} {
		list, err := a.ListExecutions(t.Context(), filtered(filters))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range list.GetExecutions() {
			got = append(got, x.GetId().GetName())
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("filters %q (-want +got):\n%s", filters, diff)
		}
	}
}

// Archived projects were in the list that nobody had filtered.
func TestArchivedProjectsAreHidden(t *testing.T) {
	t.Parallel()
	a := start(t)
	for id, state := range map[string]admin.Project_ProjectState{
		"gone": admin.Project_ARCHIVED, "made": admin.Project_SYSTEM_GENERATED, "swept": admin.Project_SYSTEM_ARCHIVED,
	} {
		if _, err := a.RegisterProject(t.Context(), &admin.ProjectRegisterRequest{Project: &admin.Project{Id: id, State: state}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		filters string
		want    []string
	}{
		{"", []string{"made", "weather"}},
		{"eq(state,1)", []string{"gone"}},
		{"value_in(state,1;3)", []string{"gone", "swept"}},
		{"ne(name,weather)", []string{"gone", "made", "swept"}},
	} {
		list, err := a.ListProjects(t.Context(), &admin.ProjectListRequest{Filters: row.filters})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range list.GetProjects() {
			got = append(got, p.GetId())
		}
		slices.Sort(got)
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("filters %q (-want +got):\n%s", row.filters, diff)
		}
	}
}
