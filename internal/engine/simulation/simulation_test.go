// Package simulation runs the whole engine against the real database on a
// simulated clock, which they keep or somebody else keeps: random schedules and policies, engines that crash at any of
// their steps, a launcher that fails, forgets and hangs, a clock that jumps, and
// people who change things meanwhile. In a quarter of the worlds the launcher is
// that of a remote Flyte, over gRPC and package flytetest with its bad days.
// Afterwards a checker that shares nothing with the engine reads the ledger and
// the launcher's log, or what there is on Flyte, and proves the invariants. A seed
// decides all that is decided here, so that a run which fails can be looked at
// again: make simulate SEED=n. What it does not decide is which goroutine goes first
// of those that are ready at the same instant: of engines on one database, and of
// the many of a gRPC connection. A world with a Flyte may therefore take
// another course in each run, and what is proved holds for all of them.
package simulation_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"tminus.dev/cron"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

var (
	seeds = flag.Int("seeds", 40, "how many seeds to run")
	first = flag.Uint64("seed", 1, "the first seed")
)

func TestEverySlotOnceWhateverHappens(t *testing.T) {
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			for i := part; i < *seeds; i += parts {
				seed := *first + uint64(i)
				dir := scratch(t)
				synctest.Test(t, func(t *testing.T) { simulate(t, dir, seed) })
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				if t.Failed() {
					t.Fatalf("again with: make simulate SEED=%d", seed)
				}
			}
		})
	}
}

// scratch is a directory in memory where there is such a thing: thousands of
// databases need not reach the disk.
func scratch(t *testing.T) string {
	t.Helper()
	parent := ""
	if _, err := os.Stat("/dev/shm"); err == nil {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "tminus-simulation") //nolint:usetesting // It is on disk.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// simulate runs one seed.
func simulate(t *testing.T, dir string, seed uint64) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	w := &world{t: t, rand: r, seed: seed, db: db, claims: map[string]claim{}}
	w.target = &target{world: w, rand: rand.New(rand.NewPCG(seed, 1)), launches: map[ident.Key]*launch{}}
	ended := make(chan struct{})
	if seed%3 == 0 {
		w.cloud = &cloud{world: w, rand: rand.New(rand.NewPCG(seed, 2)), rules: map[ident.Key]cron.Schedule{}}
		if _, err := db.KeepTime(t.Context(), store.KeeperAWS, time.Now()); err != nil {
			t.Fatal(err)
		}
		w.running.Go(func() { w.cloud.run(ended) })
	}
	if seed%4 == 1 {
		w.flyte = newRemote(w)
	}
	a := &actor{world: w, plans: []string{"a", "b", "c", "poison"}}
	a.register()
	for range 1 + r.IntN(3) {
		w.start(a.fuse())
	}
	end := time.Now().Add(time.Duration(20+r.IntN(60)) * time.Minute)
	for time.Now().Before(end) {
		time.Sleep(time.Duration(r.IntN(120_000)+1) * time.Millisecond)
		a.act()
	}
	a.calm()
	close(ended)
	for _, p := range w.alive() {
		p.stop()
	}
	w.running.Wait()
	if !t.Failed() {
		check(w)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// An actor does what people and the weather do.
type actor struct {
	*world
	plans []string
}

func (a *actor) id(name string, version int) ident.ID {
	return ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: name}, Version: fmt.Sprint("v", version)}
}

func (a *actor) plan() ident.ID { return a.id(a.plans[a.rand.IntN(len(a.plans))], 1+a.rand.IntN(3)) }

func (a *actor) must(err error, fine ...error) {
	a.t.Helper()
	for _, f := range fine {
		if errors.Is(err, f) {
			return
		}
	}
	if err != nil {
		a.t.Errorf("seed %d: %v", a.seed, err)
	}
}

// holidays is a calendar that some schedules exclude.
const holidays = "holidays"

// declare makes today a holiday, in most zones, or no day of these.
func (a *actor) declare() {
	day := a.now().AddDate(0, pick(a.rand, 0, 3), 0)
	calendar, err := schedule.NewCalendar(holidays, []time.Time{day})
	a.must(err)
	_, err = a.db.PutCalendar(a.t.Context(), calendar, a.change())
	a.must(err)
}

func (a *actor) register() {
	a.declare()
	for _, name := range a.plans {
		for v := 1; v <= 3; v++ {
			id := a.id(name, v)
			plan := store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: a.now(), UpdatedAt: a.now()}
			if a.flyte != nil {
				plan = a.flyte.register(plan)
			}
			a.must(a.db.CreatePlan(a.t.Context(), plan))
		}
		a.activate(a.id(name, 1))
	}
}

func (a *actor) activate(id ident.ID) {
	spec := a.spec()
	if a.flyte != nil {
		spec.Policy.MaxRunning = most(id.Version)
	}
	a.must(a.db.Activate(a.t.Context(), id, &spec, a.change()))
}

func (a *actor) change() store.Change {
	return store.Change{By: "actor", Why: "simulation", At: a.now()}
}

// fuse says at which step an engine crashes.
func (a *actor) fuse() (steps int, after bool) {
	if a.rand.IntN(4) == 0 {
		return 0, false
	}
	return 1 + a.rand.IntN(300), a.rand.IntN(2) == 0
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func (a *actor) spec() schedule.Spec {
	r := a.rand
	p := schedule.Policy{
		CatchUp:        pick(r, schedule.CatchUpLatest, schedule.CatchUpNone, schedule.CatchUpAll, 2, 15),
		CatchUpWindow:  pick(r, 0, 10*time.Minute, time.Hour),
		CatchUpOrder:   pick(r, schedule.OldestFirst, schedule.NewestFirst),
		Overlap:        pick(r, "", "", schedule.OverlapSkip, schedule.OverlapBufferOne, schedule.OverlapBufferAll, schedule.OverlapCancelOther, schedule.OverlapTerminateOther),
		MaxRunning:     pick(r, uint32(0), 0, 0, 1, 2),
		Buffer:         pick(r, 0, 0, 2),
		Jitter:         pick(r, 0, 0, 20*time.Second, 5*time.Minute),
		LaunchDeadline: pick(r, 0, time.Minute, 20*time.Minute),
		PauseOnFailure: pick(r, 0, 0, 0, 2),
		Priority:       pick(r, 0, 0, 5, -5),
		Timezone:       pick(r, "", "", "Europe/Berlin", "Asia/Kolkata"),
	}
	if r.IntN(8) == 0 {
		p.Exclude = []string{"10-20 * * * ? *"}
	}
	if r.IntN(6) == 0 {
		p.Exclude = append(p.Exclude, holidays)
	}
	return schedule.Spec{Expression: pick(r, "* * * * ? *", "*/2 * * * *", "*/5 * * * ? *", "rate(3 minutes)", "7 * * * *", "0/7 * * * ? *"), Policy: p}
}

// act does one thing.
func (a *actor) act() {
	ctx, r := a.t.Context(), a.rand
	id := a.plan()
	minutes := func(n int) time.Duration { return time.Duration(r.IntN(n)+1) * time.Minute }
	slot := a.now().Add(minutes(10)).Truncate(time.Minute)
	things := 23
	if a.cloud != nil {
		things = 26
	}
	switch r.IntN(things) {
	case 0, 1, 2:
		a.activate(id)
	case 3:
		a.must(a.db.Deactivate(ctx, id, a.change()))
	case 4:
		a.must(a.db.Pause(ctx, id.Key, "maintenance", pick(r, time.Time{}, a.now().Add(minutes(8))), a.change()), store.ErrNotFound)
	case 5, 6:
		a.must(a.db.Resume(ctx, id.Key, a.change()), store.ErrNotFound)
	case 7:
		a.must(a.db.Skip(ctx, id.Key, slot, a.change()), store.ErrNotFound, store.ErrExists)
	case 8:
		a.must(a.db.Unskip(ctx, id.Key, slot, a.change()), store.ErrNotFound)
	case 9:
		_, err := a.db.RunNow(ctx, id.Key, pick(r, a.now().Truncate(time.Second), slot.Add(-10*time.Minute)), a.change())
		a.must(err, store.ErrNotFound, store.ErrExists)
	case 10:
		_, err := a.db.CreateBackfill(ctx, id.Key, store.Backlog{
			First: slot.Add(-20 * time.Minute), Last: slot.Add(-11 * time.Minute), NewestFirst: r.IntN(2) == 0, PerMinute: pick(r, 0, 3),
			Include: pick(r, nil, []schedule.Outcome{schedule.Dead, schedule.Skipped}),
		}, a.change())
		a.must(err, store.ErrNotFound)
	case 11:
		_, err := a.db.CancelBacklog(ctx, int64(1+r.IntN(4)), a.change())
		a.must(err, store.ErrNotFound)
	case 12:
		_, err := a.db.Redrive(ctx, store.RedriveQuery{Project: "default"}, 100, a.change())
		a.must(err)
	case 13, 14:
		a.start(a.fuse())
	case 15:
		if alive := a.alive(); len(alive) > 0 {
			alive[r.IntN(len(alive))].stop()
		}
	case 16: // Everybody is gone for a while.
		for _, p := range a.alive() {
			p.stop()
		}
		time.Sleep(minutes(15))
		a.start(a.fuse())
	case 17:
		a.jump(time.Duration(pick(r, 1, -1)*r.IntN(30*60)) * time.Second)
	case 18:
		a.weather(mood{fails: 1})
	case 19:
		a.weather(mood{forgets: 0.5, fails: 0.2})
	case 20:
		a.weather(mood{slowness: 30 * time.Second, fails: 0.1})
	case 21:
		a.weather(mood{})
	case 22:
		a.declare()
	case 23:
		a.cloud.move()
	case 24:
		a.cloud.fail(minutes(30), 0)
	case 25:
		a.cloud.fail(0, minutes(30))
	}
	for _, p := range a.alive() {
		p.engine.Wake()
	}
}

// weather has executions fare otherwise from now on, wherever they run.
func (a *actor) weather(m mood) {
	if a.flyte != nil {
		a.flyte.change()
		return
	}
	a.target.be(m)
}

// calm lets everything that is owed come to its end.
func (a *actor) calm() {
	a.target.be(mood{})
	if a.flyte != nil {
		a.flyte.calm()
	}
	if a.cloud != nil {
		a.cloud.fail(0, 0)
	}
	for _, name := range a.plans {
		for v := 1; v <= 3; v++ {
			a.must(a.db.Deactivate(a.t.Context(), a.id(name, v), a.change()))
		}
	}
	for _, p := range a.alive() {
		p.stop()
	}
	a.start(0, false)
	for range 100 {
		time.Sleep(10 * time.Minute)
		pending, err := a.db.Firings(a.t.Context(), store.Query{
			Filters: []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{"pending"}}}, Limit: 10,
		})
		a.must(err)
		open, err := a.db.Backlogs(a.t.Context(), store.Query{Filters: []store.Filter{{Field: "ended", Op: store.Eq, Values: []string{""}}}, Limit: 10})
		a.must(err)
		if len(pending) == 0 && len(open) == 0 && (a.flyte == nil || a.flyte.rest()) {
			return
		}
	}
	a.t.Errorf("seed %d: it never comes to rest", a.seed)
}
