package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// fullExecution has something in every field.
func fullExecution() store.Execution {
	return store.Execution{
		Key: key("f0"), LaunchPlan: id("plan", "v1"), Kind: store.LaunchPlan, Workflow: id("workflow", "v2"),
		Spec: []byte("spec"), Inputs: []byte("inputs"), Outputs: []byte("outputs"), Phase: store.Failed, Error: []byte("error"),
		AbortCause: "cause", AbortedBy: "somebody", Mode: 1, Slot: at(1), Principal: "principal", Runner: "web-1", Archived: true,
		CreatedAt: at(2), UpdatedAt: at(3), StartedAt: at(4), EndedAt: at(5), LookAt: at(6),
	}
}

// created stores executions that must not be there yet.
func created(t *testing.T, s Store, es ...store.Execution) {
	t.Helper()
	if slices.Contains(must(s.CreateExecutions(t.Context(), es))(t), false) {
		t.Fatalf("one of the executions was there: %v", executionNames(es))
	}
}

func executionNames(es []store.Execution) []string {
	var names []string
	for _, e := range es {
		names = append(names, e.Name)
	}
	return names
}

func exerciseExecutions(t *testing.T, open func(t *testing.T) Store) {
	t.Run("come back as they were stored", func(t *testing.T) {
		s := open(t)
		full := fullExecution()
		bare := store.Execution{Key: key("f1"), LaunchPlan: id("task", "v1"), Kind: store.Task, Phase: store.Queued, CreatedAt: noon, UpdatedAt: noon}
		created(t, s, full, bare)
		same(t, "full", must(s.Execution(t.Context(), full.Key))(t), full)
		same(t, "bare", must(s.Execution(t.Context(), bare.Key))(t), bare)
		same(t, "listed", must(s.Executions(t.Context(), store.Query{Project: full.Project, Limit: 5}))(t), []store.Execution{full, bare})
		_, err := s.Execution(t.Context(), key("f2"))
		wantError(t, err, store.ErrNotFound)
	})

	t.Run("are created once", func(t *testing.T) {
		s := open(t)
		first := fullExecution()
		created(t, s, first)
		again, fresh := first, first
		again.Principal, fresh.Name = "somebody else", "f1"
		same(t, "created", must(s.CreateExecutions(t.Context(), []store.Execution{again, fresh, fresh}))(t), []bool{false, true, false})
		same(t, "the first", must(s.Execution(t.Context(), first.Key))(t), first)
		same(t, "of none", must(s.CreateExecutions(t.Context(), nil))(t), []bool{})
	})

	t.Run("change", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		want := fullExecution()
		created(t, s, store.Execution{Key: want.Key, Phase: store.Queued})
		got := must(s.UpdateExecution(ctx, want.Key, func(e *store.Execution) error {
			*e = want
			return nil
		}))(t)
		same(t, "answer", got, want)
		same(t, "stored", must(s.Execution(ctx, want.Key))(t), want)

		refusal := errors.New("it has ended")
		_, err := s.UpdateExecution(ctx, want.Key, func(e *store.Execution) error {
			e.Principal = "somebody else"
			return refusal
		})
		if err != refusal { //nolint:errorlint // The contract is that it comes back as it is.
			t.Errorf("got error %v, want %v itself", err, refusal)
		}
		if _, err := s.UpdateExecution(ctx, want.Key, func(e *store.Execution) error {
			e.Name = "f9"
			return nil
		}); err == nil {
			t.Error("the key was changed")
		}
		same(t, "after refusals", must(s.Execution(ctx, want.Key))(t), want)
		_, err = s.UpdateExecution(ctx, key("f1"), func(*store.Execution) error { return nil })
		wantError(t, err, store.ErrNotFound)
	})

	t.Run("change one after the other", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		const writers = 20
		created(t, s, store.Execution{Key: key("f0"), Phase: store.Running})
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				if _, err := s.UpdateExecution(ctx, key("f0"), func(e *store.Execution) error {
					e.Mode++
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		same(t, "sum", must(s.Execution(ctx, key("f0")))(t).Mode, int32(writers))
	})

	t.Run("are open until they end", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan, other := id("plan", "v1"), id("other", "v1")
		for i, e := range []store.Execution{
			{LaunchPlan: other, Phase: store.Running},
			{LaunchPlan: plan, Phase: store.Queued},
			{LaunchPlan: plan, Phase: store.Succeeded},
			{LaunchPlan: ident.ID{Key: plan.Key, Version: "v2"}, Phase: store.Running},
			{LaunchPlan: plan, Kind: store.Task, Phase: store.Aborting},
		} {
			e.Key, e.CreatedAt = key(fmt.Sprint("f", i)), at(-i) // So that the last is the oldest.
			if e.Kind == "" {
				e.Kind = store.LaunchPlan
			}
			created(t, s, e)
		}
		running := func() []string { return executionNames(must(s.RunningOf(ctx, plan.Key))(t)) }
		same(t, "running", running(), []string{"f3", "f1"})
		for _, phase := range []store.Phase{store.Failed, store.Running, store.Aborted} {
			must(s.UpdateExecution(ctx, key("f3"), func(e *store.Execution) error {
				e.Phase = phase
				return nil
			}))(t)
			want := []string{"f3", "f1"}
			if phase.Terminal() {
				want = []string{"f1"}
			}
			same(t, "running with one "+string(phase), running(), want)
		}
	})
}

// exerciseRunners has runners take executions, one minute apart.
func exerciseRunners(t *testing.T, open func(t *testing.T) Store) {
	const lease = time.Minute
	queued := func(t *testing.T, s Store, names ...string) {
		t.Helper()
		for i, name := range names {
			created(t, s, store.Execution{Key: key(name), Phase: store.Queued, CreatedAt: at(i - 100)})
		}
	}
	take := func(t *testing.T, s Store, runner string, now time.Time, limit int) []string {
		t.Helper()
		return executionNames(must(s.TakeExecutions(t.Context(), runner, now, limit))(t))
	}
	held := func(t *testing.T, s Store, runner string) []string {
		t.Helper()
		var names []string
		for _, h := range must(s.HeldExecutions(t.Context(), runner))(t) {
			names = append(names, h.Name+" "+string(h.Phase))
		}
		return names
	}
	set := func(t *testing.T, s Store, name string, phase store.Phase) {
		t.Helper()
		must(s.UpdateExecution(t.Context(), key(name), func(e *store.Execution) error { e.Phase = phase; return nil }))(t)
	}

	t.Run("take what is queued, oldest first", func(t *testing.T) {
		s := open(t)
		queued(t, s, "a", "b", "c", "d")
		set(t, s, "a", store.Aborted)
		check(t, s.RenewRunner(t.Context(), "web-1", at(1), lease))
		same(t, "taken", take(t, s, "web-1", at(1), 2), []string{"b", "c"})
		same(t, "taken by another", take(t, s, "web-2", at(1), 2), []string{"d"})
		e := must(s.Execution(t.Context(), key("b")))(t)
		same(t, "stored", e, store.Execution{Key: key("b"), Phase: store.Running, Runner: "web-1", CreatedAt: at(-99), UpdatedAt: at(1), StartedAt: at(1)})
		same(t, "held", held(t, s, "web-1"), []string{"b RUNNING", "c RUNNING"})
		set(t, s, "b", store.Aborting)
		set(t, s, "c", store.Succeeded)
		same(t, "held, when one has ended", held(t, s, "web-1"), []string{"b ABORTING"})
	})

	t.Run("take over from those that are over", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		queued(t, s, "a", "b", "c", "d")
		check(t, s.RenewRunner(ctx, "web-1", at(0), lease))
		check(t, s.RenewRunner(ctx, "web-2", at(0), lease))
		same(t, "first", take(t, s, "web-1", at(0), 2), []string{"a", "b"})
		same(t, "second", take(t, s, "web-2", at(0), 1), []string{"c"})
		set(t, s, "b", store.Aborting)
		check(t, s.RenewRunner(ctx, "web-2", at(0).Add(lease/2), lease))
		same(t, "within the lease", take(t, s, "web-3", at(1).Add(-1), 0), []string(nil))
		same(t, "of one that is over, before what is queued", take(t, s, "web-3", at(1), 10), []string{"a", "b", "d"})
		same(t, "the phase stays", held(t, s, "web-3"), []string{"a RUNNING", "b ABORTING", "d RUNNING"})
		same(t, "what is left to it", held(t, s, "web-1"), []string(nil))
		same(t, "of one that renewed", held(t, s, "web-2"), []string{"c RUNNING"})
		check(t, s.RenewRunner(ctx, "web-1", at(2), lease))
		same(t, "by one that is back, of one that was never there", take(t, s, "web-1", at(2), 1), []string{"a"})
	})

	t.Run("leave what is their own as it is", func(t *testing.T) {
		s := open(t)
		queued(t, s, "a")
		same(t, "taken", take(t, s, "web-1", at(0), 10), []string{"a"})
		same(t, "taken again", take(t, s, "web-1", at(9), 10), []string(nil))
	})

	t.Run("retire", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		queued(t, s, "a")
		check(t, s.RenewRunner(ctx, "web-1", at(0), lease))
		same(t, "taken", take(t, s, "web-1", at(0), 1), []string{"a"})
		check(t, s.RetireRunner(ctx, "web-1"))
		check(t, s.RetireRunner(ctx, "web-1"))
		same(t, "taken over at once", take(t, s, "web-2", at(0), 1), []string{"a"})
	})

	t.Run("are over when the clock was set back", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		queued(t, s, "a")
		check(t, s.RenewRunner(ctx, "web-1", at(600_000), lease))
		same(t, "taken", take(t, s, "web-1", at(600_000), 1), []string{"a"})
		check(t, s.RenewRunner(ctx, "web-2", at(0), lease))
		same(t, "taken over", take(t, s, "web-2", at(0), 1), []string{"a"})
	})

	t.Run("never take the same", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		const runners, each = 5, 8
		var names []string
		for i := range runners * each {
			names = append(names, fmt.Sprintf("f%02d", i))
		}
		queued(t, s, names...)
		var mu sync.Mutex
		var all []string
		var done sync.WaitGroup
		for r := range runners {
			runner := fmt.Sprint("web-", r)
			check(t, s.RenewRunner(ctx, runner, at(0), lease))
			done.Go(func() {
				for range each {
					es, err := s.TakeExecutions(ctx, runner, at(0), 3)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					all = append(all, executionNames(es)...)
					mu.Unlock()
				}
			})
		}
		done.Wait()
		all = append(all, take(t, s, "web-0", at(0), len(names))...) // What somebody else held locked each time.
		slices.Sort(all)
		same(t, "taken", all, names)
	})
}

func exerciseParts(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	e, other := fullExecution(), fullExecution()
	e.Runner, other.Runner = "", ""
	other.Name = "f1"
	created(t, s, e, other)
	node := store.NodeExecution{
		Execution: e.Key, Node: "n0-0-n1", SpecNode: "n1", Parent: "n0", IsGroup: true, Phase: store.Running,
		Inputs: []byte("inputs"), Outputs: []byte("outputs"), Error: []byte("error"),
		CreatedAt: at(1), UpdatedAt: at(2), StartedAt: at(3), EndedAt: at(4),
	}
	task := store.TaskExecution{
		Execution: e.Key, Node: node.Node, Attempt: 2, Task: id("task", "v1"), TaskType: "container", Phase: store.Retryable,
		Reason: "exit code 1", Inputs: []byte("inputs"), Outputs: []byte("outputs"), Error: []byte("error"), Runner: "web-1", Dir: "runs/f0/n1/2",
		CreatedAt: at(1), UpdatedAt: at(2), StartedAt: at(3), EndedAt: at(4),
	}

	t.Run("come back as they were stored", func(t *testing.T) {
		check(t, s.PutNode(ctx, "", node))
		check(t, s.PutTask(ctx, "", task))
		same(t, "node", must(s.Node(ctx, e.Key, node.Node))(t), node)
		same(t, "task", must(s.Task(ctx, e.Key, task.Node, task.Attempt))(t), task)
	})
	t.Run("are replaced", func(t *testing.T) {
		node = store.NodeExecution{Execution: e.Key, Node: node.Node, Phase: store.Succeeded, CreatedAt: at(9), UpdatedAt: at(9)}
		task = store.TaskExecution{Execution: e.Key, Node: task.Node, Attempt: task.Attempt, Phase: store.Succeeded, CreatedAt: at(9), UpdatedAt: at(9)}
		check(t, s.PutNode(ctx, "", node))
		check(t, s.PutTask(ctx, "", task))
		same(t, "nodes", must(s.Nodes(ctx, e.Key, store.Query{Limit: 10}))(t), []store.NodeExecution{node})
		same(t, "tasks", must(s.Tasks(ctx, e.Key, task.Node, store.Query{Limit: 10}))(t), []store.TaskExecution{task})
	})
	t.Run("are listed by execution and node", func(t *testing.T) {
		first := store.TaskExecution{Execution: e.Key, Node: task.Node, Attempt: 0, Phase: store.Failed, CreatedAt: at(8), UpdatedAt: at(8)}
		elsewhere, later := first, node
		elsewhere.Node = "n7"
		later.Node, later.CreatedAt = "n8", at(10)
		check(t, s.PutTask(ctx, "", first))
		check(t, s.PutTask(ctx, "", elsewhere))
		check(t, s.PutNode(ctx, "", later))
		check(t, s.PutNode(ctx, "", store.NodeExecution{Execution: other.Key, Node: node.Node, Phase: store.Queued}))
		same(t, "nodes, newest first", must(s.Nodes(ctx, e.Key, store.Query{Limit: 10}))(t), []store.NodeExecution{later, node})
		q := store.Query{Limit: 10, SortBy: "retry_attempt", Ascending: true}
		same(t, "tasks by attempt", must(s.Tasks(ctx, e.Key, task.Node, q))(t), []store.TaskExecution{first, task})
		q.Filters = []store.Filter{{Field: "task_execution.phase", Op: store.Eq, Values: []string{"FAILED"}}}
		same(t, "failed tasks", must(s.Tasks(ctx, e.Key, task.Node, q))(t), []store.TaskExecution{first})
	})
	t.Run("need their execution to be the runner's", func(t *testing.T) {
		taken := fullExecution()
		taken.Name = "f2"
		created(t, s, taken)
		n := store.NodeExecution{Execution: taken.Key, Node: "n0", Phase: store.Running, CreatedAt: at(1), UpdatedAt: at(1)}
		a := store.TaskExecution{Execution: taken.Key, Node: "n0", Phase: store.Running, CreatedAt: at(1), UpdatedAt: at(1)}
		check(t, s.PutNode(ctx, taken.Runner, n))
		check(t, s.PutTask(ctx, taken.Runner, a))
		for _, other := range []string{"", "web-2"} {
			changed, again := n, a
			changed.Phase, again.Phase = store.Succeeded, store.Succeeded
			wantError(t, s.PutNode(ctx, other, changed), store.ErrTaken)
			wantError(t, s.PutTask(ctx, other, again), store.ErrTaken)
		}
		same(t, "node", must(s.Node(ctx, taken.Key, "n0"))(t), n)
		same(t, "task", must(s.Task(ctx, taken.Key, "n0", 0))(t), a)
	})
	t.Run("need their execution", func(t *testing.T) {
		wantError(t, s.PutNode(ctx, "", store.NodeExecution{Execution: key("none"), Node: "n0"}), store.ErrNotFound)
		wantError(t, s.PutTask(ctx, "", store.TaskExecution{Execution: key("none"), Node: "n0"}), store.ErrNotFound)
		_, err := s.Node(ctx, e.Key, "n99")
		wantError(t, err, store.ErrNotFound)
		_, err = s.Task(ctx, e.Key, node.Node, 99)
		wantError(t, err, store.ErrNotFound)
	})
}

// exerciseQueries asks for what cannot be answered, and for pages.
func exerciseQueries(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	var all []string
	for i := range 23 {
		e := store.Execution{Key: key(fmt.Sprintf("f%02d", i)), Kind: store.LaunchPlan, Phase: store.Queued, CreatedAt: at(i / 5), UpdatedAt: noon}
		if i%3 == 0 {
			e.EndedAt = at(i % 2)
		}
		created(t, s, e)
		all = append(all, e.Name)
	}

	t.Run("pages do not overlap", func(t *testing.T) {
		for _, sort := range []string{"", "created_at", "phase", "ended_at", "updated_at", "name"} {
			for _, ascending := range []bool{false, true} {
				var got []string
				for offset := 0; ; offset += 4 {
					page := must(s.Executions(ctx, store.Query{SortBy: sort, Ascending: ascending, Limit: 4, Offset: offset}))(t)
					got = append(got, executionNames(page)...)
					if len(page) < 4 {
						break
					}
				}
				slices.Sort(got)
				same(t, fmt.Sprintf("all the pages by %q", sort), got, all)
			}
		}
	})
	t.Run("what has not ended sorts last", func(t *testing.T) {
		for _, ascending := range []bool{false, true} {
			got := must(s.Executions(ctx, store.Query{SortBy: "ended_at", Ascending: ascending, Limit: 100}))(t)
			open := slices.IndexFunc(got, func(e store.Execution) bool { return e.EndedAt.IsZero() })
			same(t, "how many ended", open, 8)
			if slices.ContainsFunc(got[open:], func(e store.Execution) bool { return !e.EndedAt.IsZero() }) {
				t.Error("one that ended comes after one that did not")
			}
			if order := got[0].EndedAt.Compare(got[open-1].EndedAt); (order < 0) != ascending {
				t.Errorf("the first ended at %s, the last at %s", got[0].EndedAt, got[open-1].EndedAt)
			}
		}
	})

	for _, c := range []struct {
		name, wants string
		q           store.Query
	}{
		{"no limit", "limit", store.Query{}},
		{"negative offset", "offset", store.Query{Limit: 1, Offset: -1}},
		{"unknown field", `"nome"`, filtered("nome", store.Eq, "x")},
		{"unknown field, and the known ones", "phase", filtered("nome", store.Eq, "x")},
		{"SQL for a field", `"1=1; --"`, filtered(`1=1; --`, store.Eq, "x")},
		{"another's field", "executions", filtered("retry_attempt", store.Eq, "1")},
		{"unknown sort", `"nome"`, store.Query{Limit: 1, SortBy: "nome"}},
		{"SQL for a sort", `"name; DROP`, store.Query{Limit: 1, SortBy: "name; DROP TABLE executions"}},
		{"unknown comparison", `"like"`, filtered("name", "like", "x")},
		{"no value", "name", filtered("name", store.Eq)},
		{"two values", "name", filtered("name", store.Eq, "a", "b")},
		{"in no values", "name", filtered("name", store.ValueIn)},
		{"bad time", "RFC 3339", filtered("created_at", store.Gte, "yesterday")},
		{"bad duration", "90s", filtered("duration", store.Gte, "long")},
		{"bad phase", "SUCCEEDED", filtered("phase", store.Eq, "DONE")},
		{"phase that is greater", "phase", filtered("phase", store.Gt, "QUEUED")},
		{"time that contains", "created_at", filtered("created_at", store.Contains, "2026")},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			_, err := s.Executions(ctx, c.q)
			wantError(t, err, store.ErrBadQuery)
			if err != nil && !strings.Contains(err.Error(), c.wants) {
				t.Errorf("the error is %q, and does not say %q", err, c.wants)
			}
		})
	}
}

func filtered(field string, op store.Op, values ...string) store.Query {
	return store.Query{Limit: 1000, Filters: []store.Filter{{Field: field, Op: op, Values: values}}}
}
