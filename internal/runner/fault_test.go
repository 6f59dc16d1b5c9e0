package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

// failing is a database of which every second call of each operation succeeds.
type failing struct {
	runner.Store
	mu    sync.Mutex
	calls map[string]int
}

var errDatabase = errors.New("the database is away")

func (f *failing) fails(operation string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[operation]++; f.calls[operation]%2 == 1 {
		return errDatabase
	}
	return nil
}

func (f *failing) UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error) {
	if err := f.fails("update"); err != nil {
		return store.Execution{}, err
	}
	return f.Store.UpdateExecution(ctx, key, change)
}

func (f *failing) HeldExecutions(ctx context.Context, runner string) ([]store.Held, error) {
	held, err := f.Store.HeldExecutions(ctx, runner)
	return held, errors.Join(f.fails("held"), err)
}

// TakeExecutions takes and says that it did not, as a database does whose reply is lost.
func (f *failing) TakeExecutions(ctx context.Context, runner string, now time.Time, most int) ([]store.Execution, error) {
	taken, err := f.Store.TakeExecutions(ctx, runner, now, most)
	return taken, errors.Join(f.fails("take"), err)
}

// PutNode stores and says that it did not, as a database does whose reply is lost.
func (f *failing) PutNode(ctx context.Context, runner string, n store.NodeExecution) error {
	return errors.Join(f.Store.PutNode(ctx, runner, n), f.fails("node"))
}

func (f *failing) PutTask(ctx context.Context, runner string, t store.TaskExecution) error {
	return errors.Join(f.Store.PutTask(ctx, runner, t), f.fails("task"))
}

func (f *failing) Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error) {
	nodes, err := f.Store.Nodes(ctx, execution, q)
	return nodes, errors.Join(f.fails("nodes"), err)
}

func (f *failing) Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error) {
	d, err := f.Store.Definition(ctx, kind, id)
	return d, errors.Join(f.fails("definition"), err)
}

func TestDatabaseThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(
		shell("t", "", "n integer", `echo 5 > /var/outputs/n`),
		flow("f", "", "n integer", []*core.Node{call("n0", "t")}, "n=n0.n"),
	)
	w.queue("e1", "f", nil)
	l := w.runOn(&failing{Store: w.db, calls: map[string]int{}}, runner.Config{})
	l.await("e1", store.Succeeded)
	if got := w.attempts("e1", "n0"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// panicking is a database with a bug that one execution meets.
type panicking struct{ runner.Store }

func (p panicking) Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error) {
	if id.Name == "bug" {
		panic("a bug")
	}
	return p.Store.Definition(ctx, kind, id)
}

func (p panicking) PutTask(ctx context.Context, runner string, t store.TaskExecution) error {
	if t.Task.Name == "bug" {
		panic("another bug")
	}
	return p.Store.PutTask(ctx, runner, t)
}

func TestPanicFailsOneExecution(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(
		shell("work", "", "", `:`), shell("bug", "", "", `:`),
		flow("good", "", "", []*core.Node{call("n0", "work")}),
		flow("bug", "", "", []*core.Node{call("n0", "work")}),
		flow("node", "", "", []*core.Node{call("n0", "bug"), call("n1", "work")}),
	)
	for _, name := range []string{"bug", "node", "good"} {
		w.queue(name, name, nil)
	}
	l := w.runOn(panicking{w.db}, runner.Config{})
	for range 3 {
		switch e := l.next(); e.Name {
		case "good":
			if e.Phase != store.Succeeded {
				t.Errorf("%s: %s", e.Phase, errorOf(e.Error))
			}
		default:
			if got := errorOf(e.Error); e.Phase != store.Failed || !strings.Contains(got, "tminus failed, which is a bug: a") {
				t.Errorf("%s ended %s: %s", e.Name, e.Phase, got)
			}
		}
	}
	for node, phase := range w.nodes("node") {
		if !phase.Terminal() {
			t.Errorf("node %s is left %s", node, phase)
		}
	}
}

// Whenever a termination comes, an execution ends once, and completely.
func TestTerminateAtAnyMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(
		retries(1, shell("work", "", "", `test $FLYTE_ATTEMPT_NUMBER = 1`)),
		flow("inner", "", "", []*core.Node{call("a", "work"), after(call("b", "work"), "a")}),
		flow("f", "", "", []*core.Node{sub("s", "inner"), call("n0", "work"), after(call("n1", "work"), "s")}),
	)
	l := w.run(runner.Config{Executions: 3})
	const many = 9
	var terminated sync.WaitGroup
	for i := range many {
		name := fmt.Sprintf("e%d", i)
		w.queue(name, "f", nil)
		l.Wake()
		terminated.Go(func() {
			// Reading is how much time passes until then.
			for range i * 4 {
				if _, err := w.db.Execution(t.Context(), key(name)); err != nil {
					t.Error(err)
				}
			}
			if err := l.Terminate(t.Context(), key(name), "", ""); err != nil {
				t.Error(err)
			}
		})
	}
	phases := map[string]store.Phase{}
	for range many {
		e := l.next()
		if phases[e.Name] != "" {
			t.Errorf("%s ended %s and %s", e.Name, phases[e.Name], e.Phase)
		}
		phases[e.Name] = e.Phase
	}
	terminated.Wait()
	for name, phase := range phases {
		if phase != store.Aborted && phase != store.Succeeded {
			t.Errorf("%s ended %s", name, phase)
		}
		for node, phase := range w.nodes(name) {
			if !phase.Terminal() {
				t.Errorf("%s: node %s is left %s", name, node, phase)
			}
			for _, a := range w.attempts(name, node) {
				if strings.Contains(a, "RUNNING") {
					t.Errorf("%s: node %s has the attempt %s", name, node, a)
				}
			}
		}
	}
	l.end()
	if len(l.finished) > 0 {
		t.Error("an execution ended twice")
	}
}
