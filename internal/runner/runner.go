// Package runner launches executions on this machine: it runs workflows of
// container tasks, each attempt at a task as a process (or in docker or podman),
// and records what becomes of them.
//
// A task meets what it would meet on a Flyte cluster: templates in its command
// (templates.fill), inputs.pb and outputs.pb or error.pb, or, for a raw
// container, a file for each input and output (layout.stage, layout.collect),
// the variables FLYTE_* (environment.identify), retries and timeouts. It has a
// directory of its own; what it writes to stdout and stderr is kept there,
// however much it is. When its first process ends the others of its process
// group are ended too.
//
// The database is the queue and the memory: a runner may stop or be killed at
// any point, and the next one goes on from what is recorded. Nodes that
// succeeded are not run again; an attempt that was cut off counts as failed.
//
// Runners can share a database (Config.Shared). Each has a data directory of its
// own, and with it an identity, which is recorded with what it takes up and
// fences what it records. One that is not heard of for the time of its lease is
// over, and the others take up what it had in progress.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// Mode is where tasks run.
type Mode string

// The modes. Process runs a task's command on this machine, whatever its image;
// the others run it in its image.
const (
	Process Mode = "process"
	Docker  Mode = "docker"
	Podman  Mode = "podman"
)

// Config tunes a Runner.
type Config struct {
	// Dir is the data directory. Attempts live below Dir/executions, in
	// PROJECT/DOMAIN/EXECUTION/NODE/ATTEMPT.
	Dir string
	// Mode is where tasks run; empty means Process.
	Mode Mode
	// Parallel is the most task processes at once, of all executions together;
	// 0 means as many as there are CPUs, and at least 2.
	Parallel int
	// Executions is the most executions in progress at once; the rest stay
	// queued in the database. 0 means four for each of Parallel, and at least 16.
	Executions int
	// Grace is how long a task that is told to end with SIGTERM has before
	// SIGKILL; 0 means 5 s.
	Grace time.Duration
	// Drain is how long running tasks may go on when Run is told to stop; 0 means 10 s.
	Drain time.Duration
	// Shared says that other runners may work on the same database, each with a
	// data directory of its own. Otherwise this is the only one, and whatever is in
	// progress when it starts was left by one before it.
	Shared bool
	// Lease is how long after its last sign of life the executions of a runner are
	// its own, where Shared; then others take them over. When a third of that is
	// left it ends its tasks, which must have ended after Grace. 0 means 30 s, or
	// three times Grace if that is more.
	Lease time.Duration
	// Poll is how often the database is asked for new executions, and for those to
	// be ended, even if nobody calls Wake. 0 means a second where Shared, else 30 s.
	Poll time.Duration
	// Log takes what operators should know; nil means none of it.
	Log *slog.Logger
	// Finished is called once for each execution that ended while this process
	// ran, after the end is stored. It should be quick. A crash between the two
	// loses the call. nil means nobody is told.
	Finished func(store.Execution)
}

func (c Config) withDefaults() Config {
	c.Mode = cmp.Or(c.Mode, Process)
	c.Parallel = cmp.Or(c.Parallel, max(2, runtime.GOMAXPROCS(0)))
	c.Executions = cmp.Or(c.Executions, max(16, 4*c.Parallel))
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	c.Lease = cmp.Or(c.Lease, max(30*time.Second, 3*c.Grace))
	if c.Shared {
		c.Poll = cmp.Or(c.Poll, time.Second)
	}
	c.Poll = cmp.Or(c.Poll, 30*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Finished == nil {
		c.Finished = func(store.Execution) {}
	}
	return c
}

// Store is what a Runner asks of the database; package storetest says what each
// method promises.
type Store interface {
	Executions
	Holdings
	Progress
	Registry
}

// Executions keeps the executions.
type Executions interface {
	CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error)
	Execution(ctx context.Context, key ident.Key) (store.Execution, error)
	UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error)
}

// Holdings keeps who runs what.
type Holdings interface {
	Now(ctx context.Context) (time.Time, error)
	RenewRunner(ctx context.Context, runner string, now time.Time, lease time.Duration) error
	RetireRunner(ctx context.Context, runner string) error
	TakeExecutions(ctx context.Context, runner string, now time.Time, limit int) ([]store.Execution, error)
	HeldExecutions(ctx context.Context, runner string) ([]store.Held, error)
}

// Progress keeps the parts of executions.
type Progress interface {
	PutNode(ctx context.Context, runner string, n store.NodeExecution) error
	PutTask(ctx context.Context, runner string, t store.TaskExecution) error
	Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error)
	Tasks(ctx context.Context, execution ident.Key, node string, q store.Query) ([]store.TaskExecution, error)
}

// Registry keeps what is executed.
type Registry interface {
	Project(ctx context.Context, id string) (store.Project, error)
	Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error)
	Plan(ctx context.Context, id ident.ID) (store.Plan, error)
}

// Runner runs executions of one database.
type Runner struct {
	store Store
	cfg   Config
	id    string // its identity, from when Run has opened the data directory
	wake  chan struct{}
	slots chan struct{} // one element for each task process
	// stopping is closed when no further task may start, gone when what cannot
	// be recorded is left to the next Run.
	stopping, gone chan struct{}
	cleared        chan struct{} // closed when nothing of an earlier process is left

	mu     sync.Mutex
	active map[ident.Key]*holding // the executions in progress
	until  time.Time              // when its lease ends, where it has one
}

// New makes a Runner; Run starts it.
func New(s Store, cfg Config) *Runner {
	cfg = cfg.withDefaults()
	return &Runner{
		store: s, cfg: cfg,
		wake:     make(chan struct{}, 1),
		slots:    make(chan struct{}, cfg.Parallel),
		stopping: make(chan struct{}), gone: make(chan struct{}),
		cleared: make(chan struct{}),
		active:  make(map[ident.Key]*holding),
	}
}

// Why an execution's context ends.
var (
	errTerminated  = errors.New("terminated")
	errInterrupted = errors.New("interrupted: tminus stopped while it ran")
	errLost        = errors.New("another runner may have taken it over")
)

// What an execution, or a part of one, comes to besides success and failure.
var (
	// errAborted says that it was ended from outside.
	errAborted = errors.New("aborted")
	// errLeft says that it stays as it is recorded, for the next Run or another runner.
	errLeft = errors.New("left as it is recorded")
)

// recordTime is how long the runner goes on recording what it ended by force
// while a database fails.
const recordTime = 10 * time.Second

// Run takes up what a previous process left, oldest first, and then runs queued
// executions, oldest first, until ctx ends. Then it starts no further task,
// waits up to Config.Drain for those that run, ends the rest and returns nil;
// what is unfinished goes on in the next Run or, where Shared, in another runner
// at once. It can be called once.
//
// A database that fails is tried again; it never ends Run. The errors are those
// of a configuration that cannot work.
func (r *Runner) Run(ctx context.Context) (err error) {
	release, err := r.open()
	if err != nil {
		return fmt.Errorf("start runner: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)

	var running, keeping sync.WaitGroup
	kept, retire := context.WithCancel(context.WithoutCancel(ctx))
	defer keeping.Wait()
	defer retire()
	if r.cfg.Shared {
		keeping.Go(func() { r.keep(kept) })
	}
	r.loop(ctx, work, &running)
	close(r.stopping)

	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	drained := time.NewTimer(r.cfg.Drain)
	defer drained.Stop()
	select {
	case <-done:
	case <-drained.C:
	}
	end(errInterrupted)
	abandon := time.AfterFunc(r.cfg.Grace+recordTime, func() { close(r.gone) })
	defer abandon.Stop()
	<-done
	return nil
}

// open takes the data directory and finds what no amount of trying again could cure.
func (r *Runner) open() (release func() error, err error) {
	if r.cfg.Dir == "" {
		return nil, errors.New("the data directory is not set")
	}
	root := filepath.Join(r.cfg.Dir, executionsDir)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	// Its name must be the same in the next life, however it is found then.
	if root, err = filepath.Abs(root); err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, err
	}
	r.cfg.Dir = filepath.Dir(root)
	switch r.cfg.Mode {
	case Process:
	case Docker, Podman:
		if strings.Contains(r.cfg.Dir, ":") {
			return nil, fmt.Errorf("data directory %s cannot be mounted into containers because of its colon", r.cfg.Dir)
		}
		if _, err := lookPath(string(r.cfg.Mode), os.Getenv("PATH")); err != nil {
			return nil, fmt.Errorf("tasks are to run in %s: %w", r.cfg.Mode, err)
		}
	default:
		return nil, fmt.Errorf("unknown mode %q; use process, docker or podman", r.cfg.Mode)
	}
	if release, err = lock(root); err != nil {
		return nil, err
	}
	if r.id, err = identity(root); err != nil {
		return nil, errors.Join(fmt.Errorf("find out which runner this is: %w", err), release())
	}
	return release, nil
}

// Wake tells Run that new executions are queued. It never blocks.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

var errUnchanged = errors.New("unchanged")

// Terminate ends an execution; cause and by are recorded with it. A queued one
// is ABORTED when Terminate returns. One in progress is ABORTING, on whichever
// runner; it is ABORTED as soon as its processes have ended. One that has ended, or is being ended,
// stays as it is. store.ErrNotFound says that there is no such execution.
func (r *Runner) Terminate(ctx context.Context, key ident.Key, cause, by string) error {
	ended, err := r.store.UpdateExecution(ctx, key, func(e *store.Execution) error {
		switch {
		case e.Phase.Terminal(), e.Phase == store.Aborting:
			return errUnchanged
		case queued(e.Phase):
			e.Phase = store.Aborted
			e.EndedAt = now()
		default:
			e.Phase = store.Aborting
		}
		e.AbortCause, e.AbortedBy, e.UpdatedAt = cause, by, now()
		return nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("terminate execution %s: %w", key, err)
	}
	if err == nil && ended.Phase == store.Aborted {
		r.cfg.Finished(ended)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.active[key]; ok {
		h.cancel(errTerminated)
	}
	return nil
}

// stopped is what the part of an execution whose context has ended comes to.
func stopped(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errInterrupted) || errors.Is(cause, errLost) {
		return errLeft
	}
	return errAborted
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
