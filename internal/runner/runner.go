// Package runner launches executions on this machine: it runs workflows of
// container tasks, each task as a process (or in docker or podman), and records
// what becomes of them.
//
// What a task sees of Flyte is the same as on a cluster: templates in its
// command, inputs.pb and outputs.pb or, for raw containers, files; the
// environment variables FLYTE_*; attempts, retries and timeouts. See docs of
// the files' subjects: template.go, data.go, environment.go, attempt.go.
//
// The database is the queue and the memory. One runner works on one database;
// it may stop at any point and the next one goes on from what is recorded.
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
	Progress
	Registry
}

// Executions keeps the executions.
type Executions interface {
	CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error)
	Execution(ctx context.Context, key ident.Key) (store.Execution, error)
	UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error)
	OpenExecutions(ctx context.Context, phases []store.Phase, limit int) ([]store.Execution, error)
}

// Progress keeps the parts of executions.
type Progress interface {
	PutNode(ctx context.Context, n store.NodeExecution) error
	PutTask(ctx context.Context, t store.TaskExecution) error
	Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error)
	Tasks(ctx context.Context, execution ident.Key, node string, q store.Query) ([]store.TaskExecution, error)
}

// Registry keeps what is executed.
type Registry interface {
	Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error)
	Plan(ctx context.Context, id ident.ID) (store.Plan, error)
}

// Runner runs the executions of one database.
type Runner struct {
	store Store
	cfg   Config
	wake  chan struct{}
	slots chan struct{} // one element for each task process
	// stopping is closed when no further task may start, gone when what cannot
	// be recorded is left to the next Run.
	stopping, gone chan struct{}

	mu     sync.Mutex
	active map[ident.Key]context.CancelCauseFunc // the executions in progress
}

// New makes a Runner; Run starts it.
func New(s Store, cfg Config) *Runner {
	cfg = cfg.withDefaults()
	return &Runner{
		store: s, cfg: cfg,
		wake:     make(chan struct{}, 1),
		slots:    make(chan struct{}, cfg.Parallel),
		stopping: make(chan struct{}), gone: make(chan struct{}),
		active: make(map[ident.Key]context.CancelCauseFunc),
	}
}

// Why an execution's context ends.
var (
	errTerminated  = errors.New("terminated")
	errInterrupted = errors.New("interrupted: tminus stopped while it ran")
)

// What an execution, or a part of one, comes to besides success and failure.
var (
	// errAborted says that it was ended from outside.
	errAborted = errors.New("aborted")
	// errLeft says that it stays as it is recorded, for the next Run.
	errLeft = errors.New("left for the next run")
)

// The database is asked for new executions this often even if nobody calls Wake.
const poll = 30 * time.Second

// The pause after a failed operation doubles from the first to the last of these.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// recordTime is how long the runner goes on recording what it ended by force
// while a database fails.
const recordTime = 10 * time.Second

// Run takes up what a previous process left, oldest first, and then runs queued
// executions, oldest first, until ctx ends. Then it starts no further task,
// waits up to Config.Drain for those that run, ends the rest and returns nil;
// what is unfinished goes on in the next Run. It can be called once.
//
// A database that fails is tried again; it never ends Run. The errors are those
// of a configuration that cannot work.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("start runner: %w", err)
	}
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)

	var running sync.WaitGroup
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

// check finds what no amount of trying again could cure.
func (r *Runner) check() error {
	dir, err := filepath.Abs(r.cfg.Dir)
	if err != nil || r.cfg.Dir == "" {
		return errors.Join(fmt.Errorf("data directory %q is not usable", r.cfg.Dir), err)
	}
	r.cfg.Dir = dir
	if err := os.MkdirAll(filepath.Join(dir, executionsDir), 0o700); err != nil {
		return err
	}
	switch r.cfg.Mode {
	case Process:
		return nil
	case Docker, Podman:
		if strings.Contains(dir, ":") {
			return fmt.Errorf("data directory %s cannot be mounted into containers because of its colon", dir)
		}
		if _, err := lookPath(string(r.cfg.Mode), os.Getenv("PATH")); err != nil {
			return fmt.Errorf("tasks are to run in %s: %w", r.cfg.Mode, err)
		}
		return nil
	default:
		return fmt.Errorf("unknown mode %q; use process, docker or podman", r.cfg.Mode)
	}
}

// Wake tells Run that new executions are queued. It never blocks.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// loop starts executions until ctx ends. They run under work.
func (r *Runner) loop(ctx, work context.Context, running *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	takes := []func(context.Context, context.Context, *sync.WaitGroup) (done bool, err error){
		r.endLeftovers, r.takeLeftovers, r.takeQueued,
	}
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		var err error
		for done := true; done && err == nil && ctx.Err() == nil; {
			if done, err = takes[0](ctx, work, running); done {
				takes = takes[1:]
			}
		}
		wait := poll
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.cfg.Log.ErrorContext(ctx, "cannot take up executions; trying again",
				slog.Any("error", err), slog.Duration("pause", pause))
			wait, pause = pause, min(2*pause, lastPause)
		default:
			pause = firstPause
		}
		timer.Reset(wait)
	}
}

// inProgress are the phases of executions that somebody has taken up.
var inProgress = []store.Phase{store.Running, store.Aborting, store.Failing, store.Succeeding}

// takeLeftovers starts executions that a previous process had in progress, and
// says whether those were all.
func (r *Runner) takeLeftovers(ctx, work context.Context, running *sync.WaitGroup) (bool, error) {
	// At most Executions of these are in progress here, so one more shows whether any is not.
	es, err := r.store.OpenExecutions(ctx, inProgress, r.cfg.Executions+1)
	if err != nil {
		return false, err
	}
	for _, e := range es {
		run, cancel := context.WithCancelCause(work)
		if entered, full := r.enter(e.Key, cancel); entered {
			r.start(run, cancel, e, running)
		} else {
			cancel(nil)
			if full {
				return false, nil
			}
		}
	}
	return true, nil
}

// takeQueued starts as many queued executions as there is room for. There may always be more.
func (r *Runner) takeQueued(ctx, work context.Context, running *sync.WaitGroup) (bool, error) {
	room := r.room()
	if room <= 0 {
		return false, nil
	}
	es, err := r.store.OpenExecutions(ctx, []store.Phase{store.Queued, store.Undefined}, room)
	if err != nil {
		return false, err
	}
	for _, e := range es {
		run, cancel := context.WithCancelCause(work)
		// It is entered before it is claimed, so that Terminate finds it from the claim on.
		if entered, _ := r.enter(e.Key, cancel); !entered {
			cancel(nil)
			continue
		}
		claimed, err := r.claim(ctx, e.Key)
		if err != nil {
			r.leave(e.Key)
			cancel(nil)
			if errors.Is(err, errNotQueued) {
				continue
			}
			return false, err
		}
		r.start(run, cancel, claimed, running)
	}
	return false, nil
}

func (r *Runner) start(ctx context.Context, cancel context.CancelCauseFunc, e store.Execution, running *sync.WaitGroup) {
	running.Go(func() {
		defer cancel(nil)
		r.execute(ctx, e)
	})
}

// room is how many more executions may be in progress.
func (r *Runner) room() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg.Executions - len(r.active)
}

// enter puts an execution among those in progress unless it is there or they are full.
func (r *Runner) enter(key ident.Key, cancel context.CancelCauseFunc) (entered, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.active[key]; known {
		return false, false
	}
	if len(r.active) >= r.cfg.Executions {
		return false, true
	}
	r.active[key] = cancel
	return true, false
}

func (r *Runner) leave(key ident.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, key)
}

var errNotQueued = errors.New("no longer queued")

// claim makes a queued execution a running one.
func (r *Runner) claim(ctx context.Context, key ident.Key) (store.Execution, error) {
	return r.store.UpdateExecution(ctx, key, func(e *store.Execution) error {
		if e.Phase != store.Queued && e.Phase != store.Undefined {
			return errNotQueued
		}
		e.Phase = store.Running
		e.StartedAt = now()
		e.UpdatedAt = e.StartedAt
		return nil
	})
}

var errUnchanged = errors.New("unchanged")

// Terminate ends an execution; cause and by are recorded with it. A queued one
// is ABORTED when Terminate returns. One in progress is ABORTING; it is ABORTED
// as soon as its processes have ended. One that has ended, or is being ended,
// stays as it is. store.ErrNotFound says that there is no such execution.
func (r *Runner) Terminate(ctx context.Context, key ident.Key, cause, by string) error {
	ended, err := r.store.UpdateExecution(ctx, key, func(e *store.Execution) error {
		switch {
		case e.Phase.Terminal(), e.Phase == store.Aborting:
			return errUnchanged
		case e.Phase == store.Queued, e.Phase == store.Undefined:
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
	if cancel, ok := r.active[key]; ok {
		cancel(errTerminated)
	}
	return nil
}

// record repeats write until it succeeds. It gives up with errLeft when the
// process ends first, and with write's error where a repetition cannot help.
func (r *Runner) record(ctx context.Context, operation string, write func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx) // An execution's end is recorded although its context has ended.
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := bounded(ctx, write)
		if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, errUnchanged) {
			return err
		}
		r.cfg.Log.ErrorContext(ctx, "database failed; trying again",
			slog.String("operation", operation), slog.Any("error", err), slog.Duration("pause", pause))
		select {
		case <-time.After(pause):
		case <-r.gone:
			return errLeft
		}
	}
}

// read repeats get until it succeeds, finds nothing, or ctx ends.
func (r *Runner) read(ctx context.Context, operation string, get func(context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := bounded(ctx, get)
		if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrBadQuery) {
			return err
		}
		if ctx.Err() == nil {
			r.cfg.Log.ErrorContext(ctx, "database failed; trying again",
				slog.String("operation", operation), slog.Any("error", err), slog.Duration("pause", pause))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return stopped(ctx)
		}
	}
}

// bounded runs one database operation, which must not hang for ever.
func bounded(ctx context.Context, op func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, lastPause)
	defer cancel()
	return op(ctx)
}

// stopped is what the part of an execution whose context has ended comes to.
func stopped(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return errLeft
	}
	return errAborted
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
