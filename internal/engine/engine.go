// Package engine fires schedules: it plans the slots that are due into the
// ledger and launches what the ledger holds. Everything that matters is in the
// ledger; the engine can stop at any point and another one goes on from there.
package engine

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Ledger is where schedules, firings and executions are kept; package storetest
// says what each method promises.
type Ledger interface {
	Now(ctx context.Context) (time.Time, error)
	Advance(ctx context.Context, now, since time.Time, limit int) (int, error)
	Due(ctx context.Context, now time.Time, limit int) ([]schedule.Firing, error)
	Settle(ctx context.Context, firings []schedule.Firing) error
	NextDue(ctx context.Context) (slot, attempt time.Time, err error)
	History
}

// History is what the policies look back on.
type History interface {
	Schedule(ctx context.Context, key ident.Key) (schedule.Schedule, error)
	Pause(ctx context.Context, key ident.Key, reason string, now time.Time) error
	Firings(ctx context.Context, q store.Query) ([]schedule.Firing, error)
	Execution(ctx context.Context, key ident.Key) (store.Execution, error)
	Executions(ctx context.Context, q store.Query) ([]store.Execution, error)
	RunningOf(ctx context.Context, plan ident.Key) ([]store.Execution, error)
}

// Launcher starts executions and ends them.
type Launcher interface {
	// Launch answers for each firing, in the same place: nil when the execution
	// is accepted (or was before), an error wrapping schedule.ErrRefused when no
	// retry can help, and any other error when one can.
	Launch(ctx context.Context, firings []schedule.Firing) []error
	// Terminate asks an execution to end; one that has ended is left as it is.
	Terminate(ctx context.Context, execution ident.Key, cause, by string) error
}

// Config tunes an Engine; the zero value is what most want.
type Config struct {
	// Batch is the most schedules or firings that one transaction takes; 0 means 2000.
	Batch int
	// Poll bounds how long the engine sleeps when nothing is due; 0 means a minute.
	Poll time.Duration
	// Log takes what operators should know; nil means none of it.
	Log *slog.Logger
	// Settled is told of firings whose attempt to launch is recorded: launched,
	// skipped, dead, or pending with another attempt. It must not block; nil means nobody is.
	Settled func([]schedule.Firing)
}

// Engine fires the schedules of one ledger.
type Engine struct {
	ledger   Ledger
	launcher Launcher
	cfg      Config
	plan     chan struct{}
	launch   chan struct{}
	since    atomic.Pointer[time.Time]
	waiting  waitingRoom
	health   health
	awake    time.Time // when the planning loop last reached the ledger; its own
}

// New makes an engine; Run starts it.
func New(ledger Ledger, launcher Launcher, cfg Config) *Engine {
	cfg.Batch = cmp.Or(cfg.Batch, 2000)
	cfg.Poll = cmp.Or(cfg.Poll, time.Minute)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		ledger: ledger, launcher: launcher, cfg: cfg,
		plan: make(chan struct{}, 1), launch: make(chan struct{}, 1),
		waiting: waitingRoom{plans: make(map[ident.Key]bool)},
	}
	e.since.Store(&never)
	return e
}

// Wake tells the engine that schedules or firings changed, or that an execution ended. It never blocks.
func (e *Engine) Wake() {
	signal(e.plan)
	signal(e.launch)
}

// Since is the instant from which the engine has been able to fire without a
// break: slots before it were missed. It is beyond every slot until Run has begun.
func (e *Engine) Since() time.Time { return *e.since.Load() }

var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Run fires schedules until ctx ends, and then returns nil after what is in
// flight has been recorded. A database or launcher that fails is tried again;
// it never ends the engine.
func (e *Engine) Run(ctx context.Context) error {
	const planning, launching = "plan due schedules", "launch due firings"
	e.health.note(planning, nil)
	e.health.note(launching, nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		e.loop(ctx, e.plan, planning, e.planDue)
		return nil
	})
	g.Go(func() error {
		e.loop(ctx, e.launch, launching, e.launchDue)
		return nil
	})
	return g.Wait()
}

// outage is how much longer than it wanted to sleep the engine may be unable to
// plan before the slots of that time count as missed. A process that was
// stopped, a machine that slept and a database that failed all show as such a
// gap; a slow disk must not.
const outage = time.Minute

// The pause after a failed pass doubles from the first to the last of these.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// loop calls pass until ctx ends. pass returns when it next has something to do; zero means now.
func (e *Engine) loop(ctx context.Context, wake chan struct{}, operation string, pass func(context.Context) (time.Duration, error)) {
	alarm := time.AfterFunc(e.cfg.Poll, func() { signal(wake) })
	defer alarm.Stop()
	signal(wake)
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		wait, err := pass(ctx)
		e.health.note(operation, err)
		switch {
		case err == nil:
			pause = firstPause
		case ctx.Err() != nil:
			return
		default:
			e.cfg.Log.ErrorContext(ctx, "cannot fire; trying again",
				slog.String("operation", operation), slog.Any("error", err), slog.Duration("pause", pause))
			wait, pause = pause, min(2*pause, lastPause)
		}
		if wait <= 0 {
			// No timer: one that is due at once crashes the race detector now and then in a bubble of synctest (golang/go#78156).
			signal(wake)
			continue
		}
		alarm.Reset(wait)
	}
}

// planDue records the slots that are due and moves their schedules on.
func (e *Engine) planDue(ctx context.Context) (time.Duration, error) {
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	if e.awake.IsZero() || now.Sub(e.awake) > e.cfg.Poll+outage {
		e.since.Store(&now)
	}
	taken, err := e.ledger.Advance(ctx, now, e.Since(), e.cfg.Batch)
	if err != nil {
		return 0, err
	}
	if e.awake, err = e.ledger.Now(ctx); err != nil {
		return 0, err
	}
	if taken > 0 {
		signal(e.launch)
	}
	if taken == e.cfg.Batch {
		return 0, nil // More may be due.
	}
	slot, _, err := e.ledger.NextDue(ctx)
	if err != nil {
		return 0, err
	}
	return e.until(ctx, slot)
}

func (e *Engine) until(ctx context.Context, next time.Time) (time.Duration, error) {
	if next.IsZero() {
		return e.cfg.Poll, nil
	}
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	return min(max(next.Sub(now), 0), e.cfg.Poll), nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
