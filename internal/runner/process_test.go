package runner_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

// stubborn does not end at SIGTERM, has a grandchild that does not either, and
// one that has closed everything but the pipe.
func stubborn(p *pipe) *core.TaskTemplate {
	return shell("stubborn", "", "", `
		trap '' TERM
		exec 3>`+p.path+`
		(while :; do sleep 300; done) &
		sh -c 'trap "" TERM; exec >/dev/null 2>&1; while :; do sleep 300; done' &
		echo up >&3
		while :; do sleep 300; done`)
}

func TestNoProcessSurvives(t *testing.T) {
	t.Parallel()
	t.Run("its timeout", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(timeout(100*time.Millisecond, stubborn(p)))
		w.queue("e1", "stubborn", nil, alone)
		w.run(runner.Config{Grace: 50 * time.Millisecond}).await("e1", store.TimedOut)
		p.closed()
	})
	t.Run("its termination", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(stubborn(p))
		w.queue("e1", "stubborn", nil, alone)
		l := w.run(runner.Config{Grace: 50 * time.Millisecond})
		p.line()
		if err := l.Terminate(t.Context(), key("e1"), "not needed", "ada"); err != nil {
			t.Fatal(err)
		}
		e := l.await("e1", store.Aborted)
		if e.AbortCause != "not needed" || e.AbortedBy != "ada" {
			t.Errorf("%+v", e)
		}
		if diff := cmp.Diff([]string{"0 ABORTED terminated"}, w.attempts("e1", "n0")); diff != "" {
			t.Error(diff)
		}
		p.closed()
	})
	t.Run("the end of its parent", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(shell("t", "", "", `exec 3>`+p.path+`; sleep 300 & sleep 300 & exit 0`))
		w.queue("e1", "t", nil, alone)
		w.run(runner.Config{}).await("e1", store.Succeeded)
		p.closed()
	})
	t.Run("the end of tminus", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(retries(1, stubborn(p)))
		w.queue("e1", "stubborn", nil, alone)
		l := w.run(runner.Config{Grace: 50 * time.Millisecond})
		p.line()
		l.end()
		p.closed()
	})
}

func TestTerminate(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPipe(t)
	w.register(
		shell("hang", "", "", `exec 3>`+p.path+`; echo up >&3; sleep 300`),
		shell("work", "", "", `:`),
		flow("f", "", "", []*core.Node{call("n0", "hang"), call("waits", "hang"), after(call("n1", "work"), "n0")}),
		flow("g", "", "", []*core.Node{sub("s", "f")}),
	)
	w.queue("e1", "g", nil)
	w.queue("e2", "f", nil)
	l := w.run(runner.Config{Executions: 1, Parallel: 1})
	p.line()

	// Twice the same, and a queued one.
	for _, name := range []string{"e1", "e1", "e2", "e2"} {
		if err := l.Terminate(t.Context(), key(name), "because of "+name, "ada"); err != nil {
			t.Fatal(err)
		}
	}
	ended := map[string]store.Execution{}
	for range 2 {
		e := l.next()
		ended[e.Name] = e
	}
	for name, e := range ended {
		if e.Phase != store.Aborted || e.AbortCause != "because of "+name || e.AbortedBy != "ada" || e.EndedAt.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	if !ended["e2"].StartedAt.IsZero() {
		t.Error("the queued execution was started")
	}
	want := map[string]store.Phase{"s": store.Aborted, "s-0-n0": store.Aborted, "s-0-waits": store.Aborted}
	if diff := cmp.Diff(want, w.nodes("e1")); diff != "" {
		t.Error(diff)
	}
	p.closed()

	if err := l.Terminate(t.Context(), key("e1"), "again", "grace"); err != nil {
		t.Fatal(err)
	}
	e, err := w.db.Execution(t.Context(), key("e1"))
	if err != nil || e.AbortCause != "because of e1" {
		t.Errorf("an ended execution became %+v %v", e, err)
	}
	if err := l.Terminate(t.Context(), key("none"), "", ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("waits for tasks that run, and starts no more", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(
			shell("slow", "", "n integer", `exec 3>`+p.path+`; echo up >&3; sleep 0.2; echo 5 > /var/outputs/n`),
			shell("double", "n integer", "n integer", `echo $(({{.inputs.n}} * 2)) > /var/outputs/n`),
			flow("f", "", "n integer", []*core.Node{call("n0", "slow"), call("n1", "double", "n=n0.n")}, "n=n1.n"),
		)
		w.queue("e1", "f", nil)
		l := w.run(runner.Config{Drain: limit})
		p.line()
		l.end()
		if got := w.nodes("e1"); got["n0"] != store.Succeeded || got["n1"].Terminal() {
			t.Errorf("got %v", got)
		}
		if got := w.attempts("e1", "n1"); got != nil {
			t.Errorf("n1 was started: %v", got)
		}
		e := w.run(runner.Config{}).await("e1", store.Succeeded)
		if diff := cmp.Diff(map[string]any{"n": int64(10)}, outputsOf(e.Outputs)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"0 SUCCEEDED"}, w.attempts("e1", "n0")); diff != "" {
			t.Errorf("n0 ran again: %s", diff)
		}
	})
	t.Run("interrupts what is left and tries again in the next life", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(
			retries(1, shell("t", "", "", `if [ $FLYTE_ATTEMPT_NUMBER = 0 ]; then exec 3>`+p.path+`; echo up >&3; sleep 300; fi`)),
			flow("f", "", "", []*core.Node{call("n0", "t")}),
		)
		w.queue("e1", "f", nil)
		l := w.run(runner.Config{})
		p.line()
		l.end()
		p.closed()
		interrupted := "0 RETRYABLE_FAILED interrupted: tminus stopped while it ran"
		if diff := cmp.Diff([]string{interrupted}, w.attempts("e1", "n0")); diff != "" {
			t.Error(diff)
		}
		w.run(runner.Config{}).await("e1", store.Succeeded)
		if diff := cmp.Diff([]string{interrupted, "1 SUCCEEDED"}, w.attempts("e1", "n0")); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("fails what has no retries", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(
			shell("t", "", "", `exec 3>`+p.path+`; echo up >&3; sleep 300`),
			flow("f", "", "", []*core.Node{call("n0", "t")}),
		)
		w.queue("e1", "f", nil)
		l := w.run(runner.Config{})
		p.line()
		l.end()
		e := l.await("e1", store.Failed)
		if diff := cmp.Diff("Interrupted: node n0: interrupted: tminus stopped while it ran", errorOf(e.Error)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("leaves what is queued", func(t *testing.T) {
		w, p := newWorld(t), newPipe(t)
		w.register(shell("t", "", "", `exec 3>`+p.path+`; echo up >&3; sleep 300`), shell("work", "", "", `:`))
		w.queue("e1", "t", nil, alone)
		w.queue("e2", "work", nil, alone)
		l := w.run(runner.Config{Executions: 1})
		p.line()
		l.end()
		e, err := w.db.Execution(t.Context(), key("e2"))
		if err != nil || e.Phase != store.Queued {
			t.Errorf("%s %v", e.Phase, err)
		}
	})
}

func TestOneRunnerForADataDirectory(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t), newPipe(t)
	w.register(shell("t", "", "", `exec 3>`+p.path+`; echo up >&3; sleep 300`))
	w.queue("e1", "t", nil, alone)
	l := w.run(runner.Config{})
	p.line()
	err := runner.New(w.db, runner.Config{Dir: w.dir}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another tminus runs tasks in") {
		t.Errorf("got %v", err)
	}
	l.end()
	l.await("e1", store.Failed)
}

func TestRunRefusesWhatCannotWork(t *testing.T) {
	t.Setenv("PATH", "/nowhere")
	for name, test := range map[string]struct {
		cfg  runner.Config
		want string
	}{
		"no directory": {runner.Config{}, `the data directory is not set`},
		"unknown mode": {runner.Config{Dir: t.TempDir(), Mode: "vm"}, `unknown mode "vm"; use process, docker or podman`},
		"no engine":    {runner.Config{Dir: t.TempDir(), Mode: runner.Docker}, `tasks are to run in docker: command "docker" is not in PATH (/nowhere)`},
		"a directory that docker cannot mount": {
			runner.Config{Dir: t.TempDir() + "/a:b", Mode: runner.Podman}, `cannot be mounted`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := runner.New(nil, test.cfg).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
