package cli_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/cli"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// A world is a server on the real database, whose executions run. Its engine is
// the test: slots fire when fire is called. In a living world they fire by themselves.
type world struct {
	endpoint string
	db       *sqlite.DB
	runner   *runner.Runner
}

// standIn is an engine that has been able to fire since long ago.
type standIn struct{}

func (standIn) Wake() {}

func (standIn) Problem() string { return "" }

func newWorld(t *testing.T, change ...func(*server.Config)) *world {
	t.Helper()
	return build(t, func(_ *sqlite.DB, r *runner.Runner) (server.Engine, func(context.Context) error) {
		return standIn{}, r.Run
	}, change...)
}

// newLivingWorld is a world whose engine runs.
func newLivingWorld(t *testing.T) *world {
	t.Helper()
	return build(t, func(db *sqlite.DB, r *runner.Runner) (server.Engine, func(context.Context) error) {
		e := engine.New(db, r, engine.Config{})
		return e, func(ctx context.Context) error {
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { return e.Run(ctx) })
			g.Go(func() error { return r.Run(ctx) })
			return g.Wait()
		}
	})
}

// build boots a server with an engine, and what has to run beside it.
func build(t *testing.T, engine func(*sqlite.DB, *runner.Runner) (server.Engine, func(context.Context) error), change ...func(*server.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.CreateProject(t.Context(), store.Project{ID: "default", Name: "default", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	rpc, web := listen(t), listen(t)
	w := &world{endpoint: rpc.Addr().String(), db: db, runner: runner.New(db, runner.Config{Dir: dir, Drain: time.Second})}
	cfg := server.Config{Version: "v9.9.9", Data: dir}
	for _, f := range change {
		f(&cfg)
	}
	e, beside := engine(db, w.runner)
	s := server.New(db, w.runner, e, cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for _, run := range []func() error{
		func() error { return beside(ctx) },
		func() error { return s.Serve(ctx, rpc, web) },
	} {
		running.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return w
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// claim records the slots up to a time and claims them.
func (w *world) claim(t *testing.T, until time.Time) []schedule.Firing {
	t.Helper()
	var beat store.Beat
	for now := time.Now(); ; now = now.Add(time.Minute) { // An engine was there all the time.
		var err error
		if beat, err = w.db.Beat(t.Context(), beat.Session, now, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		if now.After(until) {
			break
		}
	}
	if _, err := w.db.Advance(t.Context(), 0, until, 1000, 0); err != nil {
		t.Fatal(err)
	}
	claimed, err := w.db.Claim(t.Context(), store.Claim{
		Session: beat.Session, Now: until.Add(time.Hour), // Jitter puts launches off.
		Share: func(projects []string) []int { return slices.Repeat([]int{1000}, len(projects)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return claimed.Launch
}

// fire records the slots up to a time and launches them.
func (w *world) fire(t *testing.T, until time.Time) {
	t.Helper()
	due := w.claim(t, until)
	for i, err := range w.runner.Launch(t.Context(), due) {
		if err != nil {
			t.Fatal(err)
		}
		due[i].Outcome, due[i].SettledAt = schedule.Launched, due[i].Slot.Add(250*time.Millisecond)
	}
	if _, err := w.db.Settle(t.Context(), due); err != nil {
		t.Fatal(err)
	}
}

// A result is what a run of the program came to.
type result struct {
	out, err string
	code     int
}

// run runs tminus on the world's server.
func (w *world) run(t *testing.T, args ...string) result {
	t.Helper()
	return tminus(t, "", append([]string{"--endpoint", w.endpoint}, args...)...)
}

// must is run, which has to succeed, and returns what was printed.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	r := w.run(t, args...)
	if r.code != cli.ExitDone {
		t.Fatalf("tminus %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// tminus runs the program with some standard input.
func tminus(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	root := cli.New("v1.2.3")
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&err)
	code := cli.Run(t.Context(), root)
	return result{out: out.String(), err: err.String(), code: code}
}
