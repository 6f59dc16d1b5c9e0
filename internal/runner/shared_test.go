package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

// elsewhere is the same database beside another data directory.
func (w *world) elsewhere() *world {
	w.t.Helper()
	other := *w
	other.dir = must(filepath.EvalSymlinks(w.t.TempDir()))
	return &other
}

// replica is a database as a runner sees it that can be cut off from it.
type replica struct {
	runner.Store
	cut *atomic.Bool
	// ahead is how far the database's clock is ahead, for all that look at it.
	ahead *atomic.Int64
}

func (r replica) reach() error {
	if r.cut.Load() {
		return errDatabase
	}
	return nil
}

func (r replica) Now(ctx context.Context) (time.Time, error) {
	at, err := r.Store.Now(ctx)
	return at.Add(time.Duration(r.ahead.Load())), errors.Join(r.reach(), err)
}

func (r replica) HeldExecutions(ctx context.Context, id string) ([]store.Held, error) {
	if err := r.reach(); err != nil {
		return nil, err
	}
	return r.Store.HeldExecutions(ctx, id)
}

func (r replica) UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error) {
	if err := r.reach(); err != nil {
		return store.Execution{}, err
	}
	return r.Store.UpdateExecution(ctx, key, change)
}

func (r replica) PutNode(ctx context.Context, id string, n store.NodeExecution) error {
	if err := r.reach(); err != nil {
		return err
	}
	return r.Store.PutNode(ctx, id, n)
}

func (r replica) PutTask(ctx context.Context, id string, t store.TaskExecution) error {
	if err := r.reach(); err != nil {
		return err
	}
	return r.Store.PutTask(ctx, id, t)
}

// runnerOf is who has an execution.
func (w *world) runnerOf(name string) string {
	w.t.Helper()
	e, err := w.db.Execution(w.t.Context(), key(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return e.Runner
}

// runners are who ran the attempts at a node.
func (w *world) runners(name, node string) []string {
	w.t.Helper()
	tasks, err := w.db.Tasks(w.t.Context(), key(name), node, store.Query{Limit: 1000, SortBy: "retry_attempt", Ascending: true})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, a := range tasks {
		all = append(all, a.Runner)
	}
	return all
}

// hangs is a task whose first attempt never ends, and whose second does at once.
func hangs(p *pipe) string {
	return `if [ $FLYTE_ATTEMPT_NUMBER = 1 ]; then exit 0; fi; exec 3>` + p.path + `; echo up >&3; sleep 300`
}

func TestRunnersShareAQueue(t *testing.T) {
	t.Parallel()
	a := newWorld(t)
	b := a.elsewhere()
	a.register(shell("work", "", "", `:`))
	want := map[string]int{}
	for i := range 20 {
		name := fmt.Sprintf("e%02d", i)
		a.queue(name, "work", nil, alone)
		want[name] = 1
	}
	first, second := a.run(runner.Config{Shared: true, Parallel: 2}), b.run(runner.Config{Shared: true, Parallel: 2})
	got := map[string]int{}
	for range want {
		select {
		case e := <-first.finished:
			got[e.Name]++
		case e := <-second.finished:
			got[e.Name]++
		case <-time.After(limit):
			t.Fatal("no execution ended")
		}
	}
	first.end()
	second.end()
	if diff := cmp.Diff(want, got); diff != "" || len(first.finished)+len(second.finished) > 0 {
		t.Errorf("how often each ended (-want +got):\n%s", diff)
	}
}

func TestRunnerIsTheSameAfterARestart(t *testing.T) {
	t.Parallel()
	a := newWorld(t)
	a.register(shell("work", "", "", `:`))
	seen := map[string]string{}
	for i, w := range []*world{a, a.elsewhere(), a} {
		name := fmt.Sprint("e", i)
		w.queue(name, "work", nil, alone)
		l := w.run(runner.Config{Shared: i > 0})
		l.await(name, store.Succeeded)
		l.end()
		seen[name] = w.runnerOf(name)
	}
	if seen["e0"] == "" || seen["e0"] != seen["e2"] || seen["e0"] == seen["e1"] {
		t.Errorf("the runners are %v", seen)
	}
}

// A runner that starts takes up what it had, and leaves alone what others have.
func TestRestartBesideOthers(t *testing.T) {
	t.Parallel()
	a := newWorld(t)
	b := a.elsewhere()
	a.register(shell("work", "", "", `:`))
	must(0, os.Mkdir(filepath.Join(a.dir, "executions"), 0o700))
	must(0, os.WriteFile(filepath.Join(a.dir, "executions", ".runner"), []byte("web-1\n"), 0o600))
	for name, has := range map[string]string{"e1": "web-1", "e2": "web-2"} {
		must(0, a.db.RenewRunner(t.Context(), has, time.Now(), time.Minute))
		a.queue(name, "work", nil, alone, func(e *store.Execution) { e.Phase, e.Runner = store.Running, has })
	}
	a.queue("e3", "work", nil, alone)
	l := b.run(runner.Config{Shared: true})
	l.await("e3", store.Succeeded)
	l.end()
	a.run(runner.Config{Shared: true}).await("e1", store.Succeeded)
	for name, want := range map[string]string{"e1": "web-1", "e2": "web-2"} {
		if got := a.runnerOf(name); got != want {
			t.Errorf("%s is %s's, want %s's", name, got, want)
		}
	}
}

// What a runner that stops leaves unfinished goes on elsewhere at once.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	a, p := newWorld(t), newPipe(t)
	b := a.elsewhere()
	a.register(retries(1, shell("work", "", "", hangs(p))))
	a.queue("e1", "work", nil, alone)
	first := a.run(runner.Config{Shared: true})
	p.line()
	second := b.run(runner.Config{Shared: true, Poll: 100 * time.Millisecond})
	first.end()
	second.await("e1", store.Succeeded)
	p.closed()
	if got := a.runners("e1", "n0"); len(got) != 2 || got[0] == got[1] {
		t.Errorf("the attempts were run by %v", got)
	}
}

// A runner that cannot reach the database ends its tasks, others take over what
// it had, and when it is back it records nothing of that.
func TestRunnerIsCutOff(t *testing.T) {
	t.Parallel()
	a, p := newWorld(t), newPipe(t)
	b := a.elsewhere()
	var cut, never atomic.Bool
	var ahead atomic.Int64
	a.register(
		retries(1, shell("hangs", "", "", hangs(p))), shell("work", "", "", `:`),
		flow("f", "", "", []*core.Node{call("n0", "hangs"), after(call("n1", "work"), "n0")}),
	)
	a.queue("e1", "f", nil)
	first := a.runOn(replica{a.db, &cut, &ahead}, runner.Config{Shared: true, Lease: 3 * time.Second})
	p.line()
	cut.Store(true)
	ahead.Store(int64(time.Hour))
	second := b.runOn(replica{b.db, &never, &ahead}, runner.Config{Shared: true})
	second.await("e1", store.Succeeded)
	p.closed()
	second.end()

	cut.Store(false)
	a.queue("e2", "work", nil, alone)
	first.await("e2", store.Succeeded)
	first.end()
	if len(first.finished) > 0 {
		t.Error("an execution ended twice")
	}
	ran := a.runners("e1", "n0")
	want := []string{"0 RETRYABLE_FAILED interrupted: runner " + ran[0] + " stopped while it ran, or was out of reach", "1 SUCCEEDED"}
	if diff := cmp.Diff(want, a.attempts("e1", "n0")); diff != "" {
		t.Error(diff)
	}
	if len(ran) != 2 || ran[0] != a.runnerOf("e2") || ran[1] != a.runnerOf("e1") || ran[0] == ran[1] {
		t.Errorf("the attempts were run by %v", ran)
	}
}

// A runner that was taken for dead, and does not know, cannot record what it did.
func TestRunnerIsLate(t *testing.T) {
	t.Parallel()
	a, p, q := newWorld(t), newPipe(t), newPipe(t)
	b := a.elsewhere()
	end := filepath.Join(t.TempDir(), "end")
	must(0, syscall.Mkfifo(end, 0o600))
	var never atomic.Bool
	var ahead, none atomic.Int64
	a.register(retries(1, shell("work", "", "n integer", `
		if [ $FLYTE_ATTEMPT_NUMBER = 0 ]; then echo up > `+p.path+`; read x < `+end+`; echo 1 > /var/outputs/n; exit 0; fi
		echo up > `+q.path+`; sleep 300`)))
	a.queue("e1", "work", nil, alone)
	// It looks for what is not its own any more once an hour, and renews its lease every hour.
	first := a.runOn(replica{a.db, &never, &none}, runner.Config{
		Shared: true, Poll: time.Hour, Lease: 6 * time.Hour, Drain: limit,
	})
	p.line()
	ahead.Store(int64(24 * time.Hour))
	second := b.runOn(replica{b.db, &never, &ahead}, runner.Config{Shared: true})
	q.line()
	must(0, os.WriteFile(end, []byte("x\n"), 0o600))
	first.end() // It waits for the task, and tries to record the success.
	if err := second.Terminate(t.Context(), key("e1"), "", ""); err != nil {
		t.Fatal(err)
	}
	second.await("e1", store.Aborted)
	attempts := a.attempts("e1", "n0")
	if len(attempts) != 2 || !strings.HasPrefix(attempts[0], "0 RETRYABLE_FAILED interrupted: ") || attempts[1] != "1 ABORTED terminated" {
		t.Errorf("got %v", attempts)
	}
	if len(first.finished) > 0 {
		t.Error("the first runner says that an execution ended")
	}
}

// What somebody else took over is noticed, and its tasks end.
func TestRunnerNoticesATakeover(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPipe(t)
	w.register(shell("work", "", "", hangs(p)))
	w.queue("e1", "work", nil, alone)
	l := w.run(runner.Config{Shared: true})
	p.line()
	_, err := w.db.UpdateExecution(t.Context(), key("e1"), func(e *store.Execution) error {
		e.Runner = "web-2"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	must(0, w.db.RenewRunner(t.Context(), "web-2", time.Now(), time.Minute))
	p.closed()
	l.end()
	if diff := cmp.Diff([]string{"0 RUNNING"}, w.attempts("e1", "n0")); diff != "" || len(l.finished) > 0 {
		t.Errorf("it recorded what is not its own (-want +got):\n%s", diff)
	}
}

func TestTerminateThroughAnotherRunner(t *testing.T) {
	t.Parallel()
	for name, poll := range map[string]time.Duration{"noticed by itself": 0, "when it is woken": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, p := newWorld(t), newPipe(t)
			a.register(shell("work", "", "", hangs(p)))
			a.queue("e1", "work", nil, alone)
			l := a.run(runner.Config{Shared: true, Poll: poll})
			p.line()
			other := runner.New(a.db, runner.Config{Dir: a.elsewhere().dir, Shared: true})
			if err := other.Terminate(t.Context(), key("e1"), "not needed", "ada"); err != nil {
				t.Fatal(err)
			}
			if poll > 0 {
				l.Wake()
			}
			e := l.await("e1", store.Aborted)
			if e.AbortCause != "not needed" || e.AbortedBy != "ada" {
				t.Errorf("%+v", e)
			}
			p.closed()
		})
	}
}

func TestRunnerThatHasNoName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(0, os.Mkdir(filepath.Join(w.dir, "executions"), 0o700))
	must(0, os.WriteFile(filepath.Join(w.dir, "executions", ".runner"), nil, 0o600))
	err := runner.New(w.db, runner.Config{Dir: w.dir}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), ".runner does not hold the name of a runner; remove it") {
		t.Errorf("got %v", err)
	}
}
