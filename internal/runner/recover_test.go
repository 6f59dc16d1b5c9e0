package runner_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// crashDir is the data directory of a runner that a test starts as a process to kill it.
const crashDir = "RUNNER_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		ctx := context.Background()
		db := must(sqlite.Open(ctx, sqlite.Config{Dir: dir}))
		must(0, runner.New(db, runner.Config{Dir: dir}).Run(ctx))
	}
	os.Exit(m.Run())
}

func TestCrash(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPipe(t)
	again := filepath.Join(t.TempDir(), "again")
	w.register(
		shell("once", "", "n integer", `mkdir `+again+`; echo 21 > /var/outputs/n`),
		// The grandchild outlives its parent, which the kernel ends with tminus.
		retries(1, shell("crash", "n integer", "n integer", `
			if [ $FLYTE_ATTEMPT_NUMBER = 1 ]; then echo $(({{.inputs.n}} * 2)) > /var/outputs/n; exit 0; fi
			exec 3>`+p.path+`
			sh -c 'trap "" TERM; while :; do sleep 300; done' &
			echo up >&3
			sleep 300`)),
		shell("never", "", "", `exec 3>`+p.path+`; echo up >&3; sleep 300`),
		flow("inner", "n integer", "n integer", []*core.Node{call("c", "crash", "n=.n")}, "n=c.n"),
		flow("f", "", "n integer", []*core.Node{call("n0", "once"), sub("n1", "inner", "n=n0.n")}, "n=n1.n"),
		flow("g", "", "", []*core.Node{call("n0", "never")}),
	)
	w.queue("e1", "f", nil)
	w.queue("e2", "g", nil)
	w.close()

	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+w.dir)
	child.Stderr = t.Output()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines(2)
	must(0, child.Process.Kill())
	if err := child.Wait(); err == nil {
		t.Error("it was not killed")
	}

	w.open()
	l := w.run(runner.Config{Grace: 50 * time.Millisecond})
	ended := map[string]store.Execution{}
	for range 2 {
		e := l.next()
		ended[e.Name] = e
	}
	p.closed()
	if e := ended["e1"]; e.Phase != store.Succeeded {
		t.Errorf("e1 ended %s: %s", e.Phase, errorOf(e.Error))
	}
	if diff := cmp.Diff(map[string]any{"n": int64(42)}, outputsOf(ended["e1"].Outputs)); diff != "" {
		t.Error(diff)
	}
	want := []string{"0 RETRYABLE_FAILED interrupted: tminus stopped while it ran", "1 SUCCEEDED"}
	if diff := cmp.Diff(want, w.attempts("e1", "n1-0-c")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"0 SUCCEEDED"}, w.attempts("e1", "n0")); diff != "" {
		t.Error(diff)
	}
	if e := ended["e2"]; e.Phase != store.Failed || errorOf(e.Error) != "Interrupted: node n0: interrupted: tminus stopped while it ran" {
		t.Errorf("e2 ended %s: %s", e.Phase, errorOf(e.Error))
	}
}

// What a crash can leave in the database, moment by moment.
func TestResume(t *testing.T) {
	t.Parallel()
	five := must(proto.Marshal(values(vars("n integer"), map[string]any{"n": 5})))
	failure := must(proto.Marshal(&core.ExecutionError{Code: "Boom", Message: "it broke"}))
	type state struct {
		nodes []store.NodeExecution
		tasks []store.TaskExecution
	}
	node := func(id string, phase store.Phase) store.NodeExecution {
		n := store.NodeExecution{Execution: key("e1"), Node: id, SpecNode: id, Phase: phase, CreatedAt: time.Now()}
		switch phase {
		case store.Succeeded:
			n.Outputs, n.EndedAt = five, time.Now()
		case store.Failed:
			n.Error, n.EndedAt = failure, time.Now()
		default:
		}
		return n
	}
	task := func(node string, attempt int, phase store.Phase) store.TaskExecution {
		a := store.TaskExecution{Execution: key("e1"), Node: node, Attempt: attempt, Task: id("t"), Phase: phase, CreatedAt: time.Now()}
		switch phase {
		case store.Succeeded:
			a.Outputs = five
		case store.Failed, store.Retryable:
			a.Error = failure
		default:
		}
		return a
	}
	for name, test := range map[string]struct {
		phase    store.Phase
		state    state
		want     store.Phase
		err      string
		nodes    map[string]store.Phase
		attempts []string // of n0
	}{
		"nothing but the claim": {
			phase:    store.Running,
			want:     store.Succeeded,
			nodes:    map[string]store.Phase{"n0": store.Succeeded, "n1": store.Succeeded},
			attempts: []string{"0 SUCCEEDED"},
		},
		"a node that waits": {
			phase:    store.Running,
			state:    state{nodes: []store.NodeExecution{node("n0", store.Queued)}},
			want:     store.Succeeded,
			nodes:    map[string]store.Phase{"n0": store.Succeeded, "n1": store.Succeeded},
			attempts: []string{"0 SUCCEEDED"},
		},
		"a node that succeeded": {
			phase: store.Running,
			state: state{nodes: []store.NodeExecution{node("n0", store.Succeeded)}},
			want:  store.Succeeded,
			nodes: map[string]store.Phase{"n0": store.Succeeded, "n1": store.Succeeded},
		},
		"an attempt that succeeded, and its node does not know": {
			phase:    store.Running,
			state:    state{[]store.NodeExecution{node("n0", store.Running)}, []store.TaskExecution{task("n0", 0, store.Succeeded)}},
			want:     store.Succeeded,
			nodes:    map[string]store.Phase{"n0": store.Succeeded, "n1": store.Succeeded},
			attempts: []string{"0 SUCCEEDED"},
		},
		"an attempt that failed, and its node does not know": {
			phase:    store.Running,
			state:    state{[]store.NodeExecution{node("n0", store.Running)}, []store.TaskExecution{task("n0", 0, store.Failed)}},
			want:     store.Failed,
			err:      "Boom: node n0: it broke",
			nodes:    map[string]store.Phase{"n0": store.Failed},
			attempts: []string{"0 FAILED"},
		},
		"an attempt to be retried": {
			phase:    store.Running,
			state:    state{[]store.NodeExecution{node("n0", store.Running)}, []store.TaskExecution{task("n0", 0, store.Retryable)}},
			want:     store.Succeeded,
			nodes:    map[string]store.Phase{"n0": store.Succeeded, "n1": store.Succeeded},
			attempts: []string{"0 RETRYABLE_FAILED", "1 SUCCEEDED"},
		},
		"an attempt that ran": {
			phase:    store.Running,
			state:    state{[]store.NodeExecution{node("n0", store.Running)}, []store.TaskExecution{task("n0", 0, store.Running)}},
			want:     store.Succeeded,
			nodes:    map[string]store.Phase{"n0": store.Succeeded, "n1": store.Succeeded},
			attempts: []string{"0 RETRYABLE_FAILED interrupted: tminus stopped while it ran", "1 SUCCEEDED"},
		},
		"the last attempt that ran": {
			phase: store.Running,
			state: state{
				[]store.NodeExecution{node("n0", store.Running)},
				[]store.TaskExecution{task("n0", 0, store.Retryable), task("n0", 1, store.Running)},
			},
			want:     store.Failed,
			err:      "RetriesExhausted|Interrupted: node n0: attempt 2 of 2: interrupted: tminus stopped while it ran",
			nodes:    map[string]store.Phase{"n0": store.Failed},
			attempts: []string{"0 RETRYABLE_FAILED", "1 FAILED interrupted: tminus stopped while it ran"},
		},
		"a node that failed beside one that ran": {
			phase: store.Running,
			state: state{
				[]store.NodeExecution{node("n0", store.Running), node("n1", store.Failed)},
				[]store.TaskExecution{task("n0", 0, store.Running)},
			},
			want:     store.Failed,
			err:      "Boom: node n1: it broke",
			nodes:    map[string]store.Phase{"n0": store.Aborted, "n1": store.Failed},
			attempts: []string{"0 ABORTED aborted"},
		},
		"all nodes done": {
			phase: store.Running,
			state: state{nodes: []store.NodeExecution{node("n0", store.Succeeded), node("n1", store.Succeeded)}},
			want:  store.Succeeded,
			nodes: map[string]store.Phase{"n0": store.Succeeded, "n1": store.Succeeded},
		},
		"an execution that was being aborted": {
			phase:    store.Aborting,
			state:    state{[]store.NodeExecution{node("n0", store.Running)}, []store.TaskExecution{task("n0", 0, store.Running)}},
			want:     store.Aborted,
			nodes:    map[string]store.Phase{"n0": store.Aborted},
			attempts: []string{"0 ABORTED aborted"},
		},
		"outputs that are unreadable": {
			phase: store.Running,
			state: state{nodes: []store.NodeExecution{{
				Execution: key("e1"), Node: "n0", Phase: store.Succeeded, Outputs: []byte("\xff"),
				CreatedAt: time.Now(), EndedAt: time.Now(),
			}}},
			want:  store.Failed,
			err:   "OutputsNotReadable: the recorded outputs of node n0 are unreadable",
			nodes: map[string]store.Phase{"n0": store.Succeeded},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.register(
				retries(1, shell("t", "", "n integer", `echo 5 > /var/outputs/n`)),
				flow("f", "", "n integer", []*core.Node{call("n0", "t"), after(call("n1", "t"), "n0")}, "n=n0.n"),
			)
			w.queue("e1", "f", nil, func(e *store.Execution) { e.Phase = test.phase })
			for _, n := range test.state.nodes {
				if err := w.db.PutNode(t.Context(), "", n); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range test.state.tasks {
				if err := w.db.PutTask(t.Context(), "", a); err != nil {
					t.Fatal(err)
				}
			}
			e := w.run(runner.Config{}).next()
			if e.Phase != test.want || !strings.HasPrefix(errorOf(e.Error), test.err) {
				t.Errorf("ended %s: %s; want %s: %s", e.Phase, errorOf(e.Error), test.want, test.err)
			}
			if diff := cmp.Diff(test.nodes, w.nodes("e1")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.attempts, w.attempts("e1", "n0")); diff != "" {
				t.Error(diff)
			}
			if want := map[string]any{"n": int64(5)}; test.want == store.Succeeded && !cmp.Equal(want, outputsOf(e.Outputs)) {
				t.Errorf("got %v", outputsOf(e.Outputs))
			}
		})
	}
}

// More was in progress than the new configuration lets be.
func TestLeftoversBeyondTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(shell("work", "", "", `:`))
	want := map[string]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		w.queue(name, "work", nil, alone, func(e *store.Execution) {
			if name != "b" {
				e.Phase = store.Running
			}
		})
		want[name] = true
	}
	l := w.run(runner.Config{Executions: 2})
	for range len(want) {
		delete(want, l.next().Name)
	}
	if len(want) > 0 {
		t.Errorf("did not end: %v", want)
	}
}
