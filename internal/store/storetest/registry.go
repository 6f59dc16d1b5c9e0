package storetest

import (
	"fmt"
	"sync"
	"testing"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

func exerciseProjects(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	p := store.Project{ID: "flytesnacks", Name: "Snacks", Description: "for a start", Spec: []byte{1, 0, 2}, CreatedAt: noon}
	check(t, s.CreateProject(ctx, p))

	t.Run("read", func(t *testing.T) {
		same(t, "project", must(s.Project(ctx, p.ID))(t), p)
	})
	t.Run("a second of the name", func(t *testing.T) {
		wantError(t, s.CreateProject(ctx, store.Project{ID: p.ID, CreatedAt: noon}), store.ErrExists)
		same(t, "project", must(s.Project(ctx, p.ID))(t), p)
	})
	t.Run("unknown", func(t *testing.T) {
		_, err := s.Project(ctx, "nowhere")
		wantError(t, err, store.ErrNotFound)
		wantError(t, s.UpdateProject(ctx, store.Project{ID: "nowhere"}), store.ErrNotFound)
	})
	t.Run("update", func(t *testing.T) {
		p.Name, p.Description, p.Spec, p.State = "Crisps", "", nil, 1
		changed := p
		changed.CreatedAt = at(100)
		check(t, s.UpdateProject(ctx, changed))
		same(t, "project", must(s.Project(ctx, p.ID))(t), p)
	})
	t.Run("list", func(t *testing.T) {
		later := store.Project{ID: "weather", Name: "Weather", CreatedAt: at(5)}
		check(t, s.CreateProject(ctx, later))
		same(t, "all, newest first", must(s.Projects(ctx, store.Query{Limit: 10}))(t), []store.Project{later, p})
		same(t, "one", must(s.Projects(ctx, store.Query{Project: "weather", Limit: 10}))(t), []store.Project{later})
		archived := []store.Filter{{Field: "state", Op: store.Eq, Values: []string{"1"}}}
		same(t, "archived", must(s.Projects(ctx, store.Query{Filters: archived, Limit: 10}))(t), []store.Project{p})
	})
}

func exerciseNamedEntities(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	register(t, s, id("b", "v1"), id("b", "v2"), id("a", "v1"))
	for _, d := range []store.Definition{
		{ID: id("a", "v1"), Kind: store.Task}, {ID: id("b", "v1"), Kind: store.Workflow}, {ID: id("b", "v2"), Kind: store.Workflow},
	} {
		check(t, s.CreateDefinition(ctx, d))
	}
	entity := func(kind store.Kind, name string) store.NamedEntity {
		return store.NamedEntity{Key: key(name), Kind: kind}
	}

	t.Run("of versions", func(t *testing.T) {
		same(t, "launch plan", must(s.NamedEntity(ctx, store.LaunchPlan, key("a")))(t), entity(store.LaunchPlan, "a"))
		_, err := s.NamedEntity(ctx, store.Workflow, key("a"))
		wantError(t, err, store.ErrNotFound)
		wantError(t, s.UpdateNamedEntity(ctx, entity(store.Workflow, "a")), store.ErrNotFound)
	})
	t.Run("listed once, by name", func(t *testing.T) {
		for kind, want := range map[store.Kind][]store.NamedEntity{
			store.LaunchPlan: {entity(store.LaunchPlan, "a"), entity(store.LaunchPlan, "b")},
			store.Task:       {entity(store.Task, "a")},
			store.Workflow:   {entity(store.Workflow, "b")},
		} {
			same(t, string(kind), must(s.NamedEntities(ctx, kind, store.Query{Project: "flytesnacks", Limit: 10}))(t), want)
		}
		q := store.Query{Project: "flytesnacks", Domain: "development", Limit: 1, Offset: 1}
		same(t, "second page", must(s.NamedEntities(ctx, store.LaunchPlan, q))(t), []store.NamedEntity{entity(store.LaunchPlan, "b")})
	})
	t.Run("update", func(t *testing.T) {
		for _, description := range []string{"first", "second"} {
			e := entity(store.LaunchPlan, "a")
			e.Description, e.State = description, 1
			check(t, s.UpdateNamedEntity(ctx, e))
			same(t, "entity", must(s.NamedEntity(ctx, store.LaunchPlan, key("a")))(t), e)
		}
		same(t, "another kind's", must(s.NamedEntity(ctx, store.Task, key("a")))(t), entity(store.Task, "a"))
		active := []store.Filter{{Field: "state", Op: store.Ne, Values: []string{"1"}}}
		same(t, "not archived", must(s.NamedEntities(ctx, store.LaunchPlan, store.Query{Filters: active, Limit: 10}))(t),
			[]store.NamedEntity{entity(store.LaunchPlan, "b")})
	})
}

func exerciseDefinitions(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	task := store.Definition{
		ID: id("a", "v1"), Kind: store.Task, Type: "container",
		Spec: []byte("spec"), Closure: []byte("closure"), CreatedAt: noon,
	}
	workflow := store.Definition{ID: id("a", "v1"), Kind: store.Workflow, Spec: []byte("spec"), CreatedAt: noon}
	check(t, s.CreateDefinition(ctx, task))
	check(t, s.CreateDefinition(ctx, workflow))

	t.Run("read", func(t *testing.T) {
		same(t, "task", must(s.Definition(ctx, store.Task, task.ID))(t), task)
		same(t, "workflow", must(s.Definition(ctx, store.Workflow, workflow.ID))(t), workflow)
	})
	t.Run("never changes", func(t *testing.T) {
		other := task
		other.Spec = []byte("other")
		wantError(t, s.CreateDefinition(ctx, other), store.ErrExists)
		same(t, "task", must(s.Definition(ctx, store.Task, task.ID))(t), task)
	})
	t.Run("unknown", func(t *testing.T) {
		_, err := s.Definition(ctx, store.Task, id("a", "v2"))
		wantError(t, err, store.ErrNotFound)
	})
	t.Run("list", func(t *testing.T) {
		newer := task
		newer.ID, newer.Type, newer.CreatedAt = id("a", "v2"), "raw-container", at(3)
		check(t, s.CreateDefinition(ctx, newer))
		listed, older := newer, task
		listed.Spec, older.Spec = nil, nil
		same(t, "versions, newest first", must(s.Definitions(ctx, store.Task, of(key("a"))))(t), []store.Definition{listed, older})
		q := of(key("a"))
		q.Filters = []store.Filter{{Field: "type", Op: store.Eq, Values: []string{"container"}}}
		same(t, "of a type", must(s.Definitions(ctx, store.Task, q))(t), []store.Definition{older})
		workflow.Spec = nil
		same(t, "workflows", must(s.Definitions(ctx, store.Workflow, of(key("a"))))(t), []store.Definition{workflow})
	})
}

func exercisePlans(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	plan := store.Plan{
		ID: id("a", "v1"), Workflow: id("w", "v7"), Spec: []byte("spec"), Closure: []byte("closure"),
		Active: true, ScheduleType: store.FixedRate, CreatedAt: noon, UpdatedAt: noon,
	}
	check(t, s.CreatePlan(ctx, plan))
	plan.Active = false

	t.Run("is created inactive", func(t *testing.T) {
		same(t, "plan", must(s.Plan(ctx, plan.ID))(t), plan)
		_, err := s.ActivePlan(ctx, plan.Key)
		wantError(t, err, store.ErrNotFound)
	})
	t.Run("never changes", func(t *testing.T) {
		wantError(t, s.CreatePlan(ctx, store.Plan{ID: plan.ID, CreatedAt: at(9)}), store.ErrExists)
		same(t, "plan", must(s.Plan(ctx, plan.ID))(t), plan)
	})
	t.Run("unknown", func(t *testing.T) {
		_, err := s.Plan(ctx, id("a", "v2"))
		wantError(t, err, store.ErrNotFound)
		wantError(t, s.Activate(ctx, id("a", "v2"), nil, ada(noon)), store.ErrNotFound)
		wantError(t, s.Deactivate(ctx, id("a", "v2"), ada(noon)), store.ErrNotFound)
	})
	t.Run("by IDs", func(t *testing.T) {
		var ids []ident.ID
		want := map[ident.ID]store.Plan{plan.ID: plan}
		for i := range 150 { // More than one statement takes on SQLite.
			another := plan
			another.ID = id(fmt.Sprint("by-id-", i), "v1")
			check(t, s.CreatePlan(ctx, another))
			want[another.ID] = another
			ids = append(ids, another.ID)
		}
		same(t, "plans", must(s.PlansOf(ctx, append(ids, plan.ID, plan.ID, id("a", "v2"), id("none", "v1"))))(t), want)
		same(t, "none", must(s.PlansOf(ctx, nil))(t), map[ident.ID]store.Plan{})
	})
	t.Run("one version is active", func(t *testing.T) {
		second := plan
		second.ID, second.ScheduleType = id("a", "v2"), store.NoSchedule
		check(t, s.CreatePlan(ctx, second))
		check(t, s.Activate(ctx, plan.ID, nil, ada(at(1))))
		check(t, s.Activate(ctx, second.ID, nil, ada(at(2))))
		plan.UpdatedAt, second.UpdatedAt, second.Active = at(2), at(2), true
		same(t, "active", must(s.ActivePlan(ctx, plan.Key))(t), second)
		same(t, "replaced", must(s.Plan(ctx, plan.ID))(t), plan)
		check(t, s.Activate(ctx, second.ID, nil, ada(at(3))))
		same(t, "activated again", must(s.Plan(ctx, second.ID))(t), second)
		for filter, want := range map[[3]string]store.Plan{
			{"state", "eq", "1"}:             second,
			{"launch_plan.state", "eq", "0"}: plan,
			{"schedule_type", "ne", "NONE"}:  plan,
		} {
			q := of(plan.Key)
			q.Filters = []store.Filter{{Field: filter[0], Op: store.Op(filter[1]), Values: filter[2:]}}
			same(t, fmt.Sprint(filter), must(s.Plans(ctx, q))(t), []store.Plan{want})
		}
	})
	t.Run("however many activate at once", func(t *testing.T) {
		const versions = 50
		var ids []ident.ID
		for i := range versions {
			ids = append(ids, id("race", fmt.Sprint("v", i)))
		}
		register(t, s, ids...)
		var all sync.WaitGroup
		for _, i := range ids {
			all.Go(func() {
				if err := s.Activate(ctx, i, spec("* * * * *"), ada(noon)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		active := must(s.ActivePlan(ctx, key("race")))(t)
		q := of(key("race"))
		q.Filters = []store.Filter{{Field: "state", Op: store.Eq, Values: []string{"1"}}}
		same(t, "active versions", must(s.Plans(ctx, q))(t), []store.Plan{active})
		same(t, "the version that fires", must(s.Schedule(ctx, key("race")))(t).LaunchPlan, active.ID)
	})
}
