// Package engine fires schedules: it plans the slots that are due into the
// ledger and launches what the ledger holds. Everything that matters is in the
// ledger; the engine can stop at any point and another one, in this process or
// on another machine, goes on from there.
package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
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
	Sessions
	Slots
	Launches
	History
	Housekeeping
}

// Sessions tells the engines on one ledger apart.
type Sessions interface {
	Beat(ctx context.Context, session int64, now time.Time, lease time.Duration) (store.Beat, error)
	Leave(ctx context.Context, session int64) error
}

// Slots are planned.
type Slots interface {
	Advance(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Advanced, error)
	NextSlot(ctx context.Context) (time.Time, error)
	Fill(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Filled, error)
	NextStep(ctx context.Context) (time.Time, error)
	Audit(ctx context.Context, now, heard time.Time, limit int) (store.Advanced, error)
}

// Launches are claimed and settled.
type Launches interface {
	Claim(ctx context.Context, c store.Claim) (store.Claimed, error)
	NextAttempt(ctx context.Context, behind bool) (time.Time, error)
	Settle(ctx context.Context, firings []schedule.Firing) (int, error)
}

// History is what the policies look back on.
type History interface {
	Schedule(ctx context.Context, key ident.Key) (schedule.Schedule, error)
	Pause(ctx context.Context, key ident.Key, note string, until time.Time, c store.Change) error
	Executions(ctx context.Context, q store.Query) ([]store.Execution, error)
}

// Launcher starts executions and ends them.
type Launcher interface {
	// Launch answers for each firing, in the same place: nil when the execution
	// is accepted (or was before), an error wrapping schedule.ErrRefused or with a
	// gRPC code that says so when no retry can help, one wrapping schedule.ErrSkipped
	// or schedule.ErrHeld, and any other error when a retry can help.
	Launch(ctx context.Context, firings []schedule.Firing) []error
	// Terminate asks an execution to end; one that has ended is left as it is.
	Terminate(ctx context.Context, execution ident.Key, cause, by string) error
}

// Config tunes an Engine; the zero value is what one process on a database of its own wants.
type Config struct {
	// Batch is the most schedules or firings that one transaction takes; 0 means 2000.
	Batch int
	// Planners is how many batches of schedules are planned at once; 0 means 1: more
	// gain nothing on a database where transactions that write take turns.
	Planners int
	// Poll bounds how long the engine sleeps when nothing is due; 0 means a minute.
	Poll time.Duration
	// Lease is how long the firings that this engine has claimed stay its own when
	// it gives no sign of life; 0 means a minute. Where several replicas share a
	// database it is how long the launches of one that died wait for the others.
	Lease time.Duration
	// LaunchTime bounds one call of the launcher; 0 means 30 s.
	LaunchTime time.Duration
	// Heard is the instant, by the ledger's clock, up to which all word of due
	// slots has come from somebody else who keeps time; zero while that is not
	// known. nil means that the engine keeps time itself.
	Heard func() time.Time
	// Rate shapes launches.
	Rate Rate
	// Room is how many launches it makes sense to ask for at once at present; where
	// that is none, wait is when to look again. Firings that there is no room for
	// stay as they are. nil means that there is room for all.
	Room func() (launches int, wait time.Duration)
	// Find says of firings that were tried whether their executions are there, where
	// the launcher launches elsewhere and the ledger may not know: nil when one is,
	// from then on in the ledger too, store.ErrNotFound when it is not, and any other
	// error when that cannot be told. It is asked before a firing is given up, and
	// before its policy decides. nil means that the ledger knows.
	Find func(ctx context.Context, firings []schedule.Firing) []error
	// Before says that Find looks where was launched before, and is not any more.
	Before bool
	// Sweep says how the ledger is checked and kept small.
	Sweep Sweep
	// Log takes what operators should know; nil means none of it.
	Log *slog.Logger
	// Settled is told of firings whose attempt to launch is recorded: launched,
	// skipped, dead, or pending with another attempt; of ranges of slots that were
	// recorded as missed or skipped; and, as missed, of slots at which schedules were
	// set aside and of those that the sweeper finds without an outcome, though they
	// may launch late. It must not block; nil means nobody is.
	Settled func([]schedule.Firing)
	// Paused is told of the execution whose failure had its schedule paused, and
	// how many had failed in a row. It must not block; nil means nobody is.
	Paused func(x store.Execution, failures int)
}

// Shared is what a replica wants on a database that others share: what one that
// died had claimed is launched by the others soon, what a lost notification did
// not wake them for is seen soon, and while a planner waits for the server
// another has it work.
func Shared() Config {
	return Config{Lease: 2 * time.Second, Poll: time.Second, Planners: 2}
}

func (c Config) withDefaults() Config {
	c.Batch = cmp.Or(c.Batch, 2000)
	c.Planners = cmp.Or(c.Planners, 1)
	c.Poll = cmp.Or(c.Poll, time.Minute)
	c.Lease = cmp.Or(c.Lease, time.Minute)
	c.LaunchTime = cmp.Or(c.LaunchTime, 30*time.Second)
	c.Sweep = c.Sweep.withDefaults()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Room == nil {
		c.Room = func() (int, time.Duration) { return math.MaxInt, 0 }
	}
	if c.Settled == nil {
		c.Settled = func([]schedule.Firing) {}
	}
	if c.Paused == nil {
		c.Paused = func(store.Execution, int) {}
	}
	return c
}

// Engine fires the schedules of one ledger. Any number of them may share one.
type Engine struct {
	ledger   Ledger
	launcher Launcher
	cfg      Config
	session  session
	plans    []chan struct{} // one for each planner
	live     *lane
	behind   *lane
	shaper   *shaper
	health   health
	started  bool // the sweeping loop's own
	roomy    bool // somebody else says how much is launched at once
}

// New makes an engine; Run starts it.
func New(ledger Ledger, launcher Launcher, cfg Config) *Engine {
	roomy := cfg.Room != nil
	cfg = cfg.withDefaults()
	e := &Engine{
		roomy:  roomy,
		ledger: ledger, launcher: launcher, cfg: cfg,
		session: session{wake: make(chan struct{}, 1)},
		live:    newLane(false, cfg.Batch),
		behind:  newLane(true, min(cfg.Batch, mostBehind)),
		shaper:  newShaper(cfg.Rate),
	}
	if cfg.Heard != nil {
		cfg.Planners = 1 // What there is no word of is rare.
	}
	for range cfg.Planners {
		e.plans = append(e.plans, make(chan struct{}, 1))
	}
	return e
}

// Wake tells the engine that schedules or firings changed, or that an execution ended. It never blocks.
func (e *Engine) Wake() {
	for _, planner := range e.plans {
		signal(planner)
	}
	signal(e.live.wake)
	signal(e.behind.wake)
}

// What the loops do, for people.
const (
	beating    = "keep its place among the replicas"
	planning   = "plan due schedules"
	auditing   = "look for slots of which there was no word"
	launching  = "launch due firings"
	catchingUp = "launch catch-up and backfills"
	sweeping   = "check the ledger"
)

// Run fires schedules until ctx ends, and then returns nil after what is in
// flight has been recorded. A database or launcher that fails is tried again;
// it never ends the engine.
func (e *Engine) Run(ctx context.Context) error {
	type loop struct {
		operation string
		wake      chan struct{}
		pass      func(context.Context) (time.Duration, error)
	}
	loops := []loop{
		{beating, e.session.wake, e.beat},
		{launching, e.live.wake, func(ctx context.Context) (time.Duration, error) { return e.launchDue(ctx, e.live) }},
		{catchingUp, e.behind.wake, func(ctx context.Context) (time.Duration, error) { return e.launchDue(ctx, e.behind) }},
		{sweeping, make(chan struct{}, 1), e.sweep},
	}
	for i, wake := range e.plans {
		operation := planning
		if i > 0 {
			operation = fmt.Sprintf("%s (%d)", planning, i+1)
		}
		plan := e.planDue
		if e.cfg.Heard != nil {
			operation, plan = auditing, e.audit
		}
		loops = append(loops, loop{operation, wake, plan})
	}
	for _, l := range loops {
		e.health.note(l.operation, nil, 0)
	}
	g, running := errgroup.WithContext(ctx)
	for _, l := range loops {
		g.Go(func() error {
			e.loop(running, l.wake, l.operation, l.pass)
			return nil
		})
	}
	err := g.Wait()
	e.leave(context.WithoutCancel(ctx))
	return err
}

// The pause after a failed pass doubles from the first to the last of these. The
// last is short: a database that is back must not wait for tminus.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
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
		e.health.note(operation, err, wait)
		switch {
		case err == nil:
			pause = firstPause
		case ctx.Err() != nil:
			return
		default:
			e.cfg.Log.ErrorContext(ctx, "cannot fire; trying again",
				slog.String("operation", operation), slog.Any("error", err), slog.Duration("pause", pause))
			// Whatever wakes it meanwhile, it waits: each failure may have a part in waking the others.
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			wait, pause = 0, min(2*pause, lastPause)
		}
		if wait <= 0 {
			// No timer: one that is due at once crashes the race detector now and then in a bubble of synctest (golang/go#78156).
			signal(wake)
			continue
		}
		alarm.Reset(wait)
	}
}

// planDue records the slots that are due and moves their schedules on. What it
// recorded and is due goes straight to the launching loop, already claimed, as
// long as that has nothing else to do.
func (e *Engine) planDue(ctx context.Context) (time.Duration, error) {
	session := e.session.id.Load()
	if session == 0 {
		return e.cfg.Poll, nil // The first beat wakes this loop.
	}
	claim := 0
	if !e.shaper.limits() && e.live.free(ctx) {
		room, _ := e.cfg.Room()
		claim = min(e.cfg.Batch, room)
	}
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	advanced, err := e.ledger.Advance(ctx, session, now, e.cfg.Batch, claim)
	if err != nil {
		e.doubt(session) // It may have claimed firings all the same.
		return 0, err
	}
	e.live.hand(ctx, advanced.Launch)
	if len(advanced.Dropped) > 0 {
		e.cfg.Settled(advanced.Dropped)
	}
	if advanced.Schedules > 0 {
		signal(e.live.wake)
		signal(e.behind.wake)
	}
	if advanced.Schedules >= e.cfg.Batch {
		return 0, nil // More may be due.
	}
	next, err := e.ledger.NextSlot(ctx)
	if err != nil {
		return 0, err
	}
	return e.until(ctx, next)
}

// auditEvery is how often slots are looked for of which there was no word.
const auditEvery = 5 * time.Second

// audit decides slots of which there was no word from whoever keeps time.
func (e *Engine) audit(ctx context.Context) (time.Duration, error) {
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	audited, err := e.ledger.Audit(ctx, now, e.cfg.Heard(), e.cfg.Batch)
	if err != nil {
		return 0, err
	}
	if len(audited.Dropped) > 0 {
		e.cfg.Settled(audited.Dropped)
	}
	if audited.Schedules > 0 {
		signal(e.live.wake)
		signal(e.behind.wake)
	}
	if audited.Schedules >= e.cfg.Batch {
		return 0, nil // There may be more.
	}
	return min(auditEvery, e.cfg.Poll), nil
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
