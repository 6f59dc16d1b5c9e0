package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// A world is one database, the engines on it, and where executions run.
type world struct {
	t      *testing.T
	rand   *rand.Rand // the actor's alone
	seed   uint64
	db     *sqlite.DB
	ticks  atomic.Int64
	offset atomic.Int64 // by how much the database's clock is off the simulated one
	target *target
	cloud  *cloud  // nil where tminus keeps time itself
	flyte  *remote // nil where executions run at the target

	mu      sync.Mutex
	engines []*process
	jumps   []time.Time      // of the clock, on the simulated one
	claims  map[string]claim // the last of each slot
	running sync.WaitGroup
}

// now is what the database's clock says.
func (w *world) now() time.Time {
	return time.Now().Add(time.Duration(w.offset.Load())).UTC().Truncate(time.Microsecond)
}

// jump sets the database's clock ahead or back.
func (w *world) jump(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset.Add(int64(by))
	w.jumps = append(w.jumps, time.Now())
}

// jumped says whether the clock jumped between two instants.
func (w *world) jumped(from, to time.Time) bool {
	return slices.ContainsFunc(w.jumps, func(t time.Time) bool { return !t.Before(from) && !t.After(to) })
}

// tick is the next number in the order of events.
func (w *world) tick() int64 { return w.ticks.Add(1) }

// A claim is when a firing was let in: between two ticks.
type claim struct {
	before, after int64
	at            time.Time
}

// claimed notes that firings were let in after the tick before.
func (w *world) claimed(before int64, fs []schedule.Firing) {
	c := claim{before, w.tick(), time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range fs {
		w.claims[place(f.LaunchPlan.Key, f.Slot)] = c
	}
}

// errCrashed is what every call answers after the process has crashed.
var errCrashed = errors.New("crashed")

// A process is an engine that can crash: at one of its steps, before the step
// has had its effect, or after it and before the engine learns of that.
type process struct {
	*sqlite.DB
	world    *world
	engine   *engine.Engine
	launcher *flyte.Launcher // nil without a Flyte
	cancel   context.CancelFunc
	done     chan struct{}

	mu    sync.Mutex
	steps int // until it crashes
	after bool
	dead  atomic.Bool
	heard atomic.Int64 // up to when all word has come, in microseconds
}

// step runs one step of p.
func step[T any](p *process, do func() (T, error)) (result T, err error) {
	p.mu.Lock()
	p.steps--
	crashes := p.steps == 0
	p.mu.Unlock()
	if p.dead.Load() {
		return result, errCrashed
	}
	if !crashes {
		return do()
	}
	if p.after {
		_, _ = do() //nolint:errcheck // Nobody learns of it.
	}
	p.dead.Store(true)
	p.cancel()
	return result, errCrashed
}

func (p *process) Now(context.Context) (time.Time, error) { return p.world.now(), nil }

func (p *process) Beat(ctx context.Context, session int64, now time.Time, lease time.Duration) (store.Beat, error) {
	return step(p, func() (store.Beat, error) { return p.DB.Beat(ctx, session, now, lease) })
}

func (p *process) Leave(ctx context.Context, session int64) error {
	_, err := step(p, func() (int, error) { return 0, p.DB.Leave(ctx, session) })
	return err
}

func (p *process) Advance(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Advanced, error) {
	return step(p, func() (store.Advanced, error) {
		before := p.world.tick()
		a, err := p.DB.Advance(ctx, session, now, limit, claim)
		p.world.claimed(before, a.Launch)
		return a, err
	})
}

func (p *process) Audit(ctx context.Context, now, heard time.Time, limit int) (store.Advanced, error) {
	return step(p, func() (store.Advanced, error) { return p.DB.Audit(ctx, now, heard, limit) })
}

func (p *process) Fill(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Filled, error) {
	return step(p, func() (store.Filled, error) {
		before := p.world.tick()
		filled, err := p.DB.Fill(ctx, session, now, limit, claim)
		p.world.claimed(before, filled.Launch)
		return filled, err
	})
}

func (p *process) Claim(ctx context.Context, c store.Claim) (store.Claimed, error) {
	return step(p, func() (store.Claimed, error) {
		before := p.world.tick()
		claimed, err := p.DB.Claim(ctx, c)
		p.world.claimed(before, claimed.Launch)
		return claimed, err
	})
}

func (p *process) Settle(ctx context.Context, fs []schedule.Firing) (int, error) {
	return step(p, func() (int, error) { return p.DB.Settle(ctx, fs) })
}

func (p *process) Pause(ctx context.Context, key ident.Key, note string, until time.Time, c store.Change) error {
	_, err := step(p, func() (int, error) { return 0, p.DB.Pause(ctx, key, note, until, c) })
	return err
}

func (p *process) Sweep(ctx context.Context, after int64, since, now time.Time, limit int) (store.Swept, error) {
	swept, err := p.DB.Sweep(ctx, after, since, now, limit)
	for _, r := range swept.Repairs {
		if strings.HasSuffix(r.Found, "launched all the same") { // Its engine crashed, and the clock had jumped.
			continue
		}
		p.world.t.Errorf("seed %d: the sweeper had to repair %s: %s", p.world.seed, r.LaunchPlan, r.Found)
	}
	return swept, err
}

func (p *process) Launch(ctx context.Context, fs []schedule.Firing) []error {
	if p.launcher != nil {
		return p.world.flyte.launch(ctx, p, fs)
	}
	errs := make([]error, len(fs))
	for i, f := range fs {
		_, errs[i] = step(p, func() (int, error) { return 0, p.world.target.launch(ctx, f) })
	}
	return errs
}

func (p *process) Terminate(ctx context.Context, x ident.Key, cause, by string) error {
	if p.launcher != nil {
		return p.launcher.Terminate(ctx, x, cause, by)
	}
	_, err := step(p, func() (int, error) { return 0, p.world.target.end(ctx, x, store.Aborted) })
	return err
}

// start begins another engine, which crashes after so many steps; 0 means it does not.
func (w *world) start(steps int, after bool) {
	p := &process{DB: w.db, world: w, steps: steps, after: after, done: make(chan struct{})}
	cfg := engine.Config{Lease: 20 * time.Second, Batch: 50, Planners: 2, LaunchTime: launchTime, Sweep: engine.Sweep{Every: 10 * time.Minute}}
	if w.cloud != nil {
		cfg.Heard = func() time.Time { return time.UnixMicro(p.heard.Load()) }
	}
	if w.flyte != nil {
		p.launcher = w.flyte.launcher(p)
		cfg.Room, cfg.Find = p.launcher.Room, p.launcher.Find
	}
	p.engine = engine.New(p, p, cfg)
	ctx, cancel := context.WithCancel(w.t.Context())
	p.cancel = cancel
	w.mu.Lock()
	w.engines = append(w.engines, p)
	w.mu.Unlock()
	if w.cloud != nil {
		w.running.Go(p.read)
	}
	if w.flyte != nil {
		w.running.Go(func() {
			if err := p.launcher.Run(ctx); err != nil {
				w.t.Errorf("seed %d: a launcher ended with %v", w.seed, err)
			}
		})
	}
	go func() {
		defer close(p.done)
		if err := p.engine.Run(ctx); err != nil {
			w.t.Errorf("seed %d: an engine ended with %v", w.seed, err)
		}
		p.dead.Store(true)
	}()
}

// alive are the engines that run.
func (w *world) alive() []*process {
	w.mu.Lock()
	defer w.mu.Unlock()
	var alive []*process
	for _, p := range w.engines {
		if !p.dead.Load() {
			alive = append(alive, p)
		}
	}
	return alive
}

// stop ends p in good order.
func (p *process) stop() {
	p.cancel()
	<-p.done
}

// A launch is one that the target accepted.
type launch struct {
	firing schedule.Firing // as it was asked for
	claim  claim           // that let it in
	begun  time.Time       // of the simulated clock
	ended  int64           // the tick; zero while it runs
	over   time.Time       // on Flyte; zero at the target
}

// outlasts says whether l had not ended when another was let in.
func (l *launch) outlasts(c claim) bool {
	if !l.over.IsZero() {
		return l.over.After(c.at)
	}
	return l.ended > c.after
}

func (l *launch) endedAlready() int64 {
	if l == nil {
		return 0
	}
	return l.ended
}

// A target is where executions run. It knows them by name, and keeps them
// whatever becomes of the engines.
type target struct {
	world *world

	mu       sync.Mutex
	rand     *rand.Rand
	mood     mood
	launches map[ident.Key]*launch
}

// mood is how the target behaves for a while.
type mood struct {
	fails    float64 // of launches, before they are accepted
	forgets  float64 // of replies, after a launch was accepted
	slowness time.Duration
}

var errLost = errors.New("connection reset by peer")

// launch starts the execution of f, or answers as targets do on a bad day.
func (g *target) launch(ctx context.Context, f schedule.Firing) error {
	g.mu.Lock()
	m := g.mood
	fails, forgets := g.rand.Float64() < m.fails, g.rand.Float64() < m.forgets
	wait := time.Duration(0)
	if m.slowness > 0 {
		wait = time.Duration(g.rand.Int64N(int64(m.slowness)))
	}
	lasts := time.Duration(g.rand.IntN(400)+1) * time.Second
	phase := store.Succeeded
	if g.rand.IntN(3) == 0 {
		phase = store.Failed
	}
	g.mu.Unlock()
	if wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	if fails {
		return errLost
	}
	if f.LaunchPlan.Name == "poison" {
		return fmt.Errorf("%w: no such workflow", schedule.ErrRefused)
	}
	key := ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain, Name: f.Execution()}
	if err := ctx.Err(); err != nil {
		return err
	}
	g.world.mu.Lock()
	c := g.world.claims[place(f.LaunchPlan.Key, f.Slot)]
	g.world.mu.Unlock()
	now := g.world.now()
	created, err := g.world.db.CreateExecutions(context.WithoutCancel(ctx), []store.Execution{{
		Key: key, Kind: store.LaunchPlan, LaunchPlan: f.LaunchPlan, Workflow: f.LaunchPlan,
		Phase: store.Running, Mode: 1, Slot: f.Slot, CreatedAt: now, UpdatedAt: now, StartedAt: now,
	}})
	if err != nil {
		return err
	}
	if created[0] {
		g.mu.Lock()
		g.launches[key] = &launch{firing: f, claim: c, begun: time.Now(), ended: g.launches[key].endedAlready()}
		g.mu.Unlock()
		g.world.running.Go(func() {
			time.Sleep(lasts)
			if err := g.end(context.WithoutCancel(g.world.t.Context()), key, phase); err != nil {
				g.world.t.Errorf("seed %d: end execution: %v", g.world.seed, err)
			}
		})
	}
	if forgets {
		return errLost
	}
	return nil
}

var errEnded = errors.New("has ended")

// end ends an execution, and tells the engines as far as there are any.
func (g *target) end(ctx context.Context, key ident.Key, phase store.Phase) error {
	tick := g.world.tick()
	x, err := g.world.db.UpdateExecution(ctx, key, func(x *store.Execution) error {
		if x.Phase.Terminal() {
			return errEnded
		}
		x.Phase, x.EndedAt, x.UpdatedAt = phase, g.world.now(), g.world.now()
		return nil
	})
	if errors.Is(err, errEnded) {
		return nil
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	if l := g.launches[key]; l != nil {
		l.ended = tick
	} else {
		g.launches[key] = &launch{ended: tick} // It ended before its launch was noted.
	}
	g.mu.Unlock()
	if alive := g.world.alive(); len(alive) > 0 {
		if err := alive[0].engine.Ended(ctx, x); err != nil && !errors.Is(err, errCrashed) {
			return err
		}
	}
	return nil
}

func (g *target) be(m mood) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mood = m
}
