package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/sqlite"
)

// job is one measurement: what a process of its own is told.
type job struct {
	Measurement string
	Schedules   int
	Dir, URL    string
	Window      time.Duration
	// Profile is the file for a profile of what is measured; none if empty.
	Profile string
	// Begin and End are the slots that are watched, the first of them and the
	// instant after the last; zero where the measurement does not wait for any.
	Begin, End time.Time
	// Firings is how many come due between them; 0 is not known before.
	Firings int

	// The schedules, in SQL of their number n.
	expression, policy, cursor, next string
	// awake is when an engine was last there; zero is never.
	awake time.Time
}

// perSchedule is how long preparing one takes, with room to spare.
const perSchedule = 70 * time.Microsecond

// schedule says what the schedules are of this measurement, which is prepared from now on.
func (j *job) schedule(now time.Time) {
	micros := func(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }
	minute := now.Add(5*time.Second + time.Duration(j.Schedules)*perSchedule).Truncate(time.Minute).Add(time.Minute)
	j.cursor, j.next = micros(now), micros(minute)
	at := func(t time.Time) string {
		return fmt.Sprintf("'cron(%d %d * * ? *)'", t.UTC().Minute(), t.UTC().Hour())
	}
	switch j.Measurement {
	case "burst":
		j.Begin, j.End, j.Firings = minute, minute.Add(time.Minute), j.Schedules
		j.expression = at(minute)
	case "steady":
		j.Begin, j.End = minute, minute.Add(2*time.Minute)
		j.Firings = 2 * j.Schedules
		second := "n % 60 * 1000000"
		j.expression = "'rate(1 minute)'"
		j.cursor, j.next = fmt.Sprintf("%s + %s", micros(minute.Add(-time.Minute)), second), fmt.Sprintf("%s + %s", micros(minute), second)
	case "spread":
		j.Begin, j.End = minute, minute.Add(j.Window)
		for m := minute; m.Before(j.End); m = m.Add(time.Minute) {
			j.Firings += (j.Schedules + 60 - cmp.Or(m.Minute(), 60)) / 60 // Those with n % 60 == m, from 1 on.
		}
		j.expression = "'cron(' || CAST(n % 60 AS TEXT) || ' * * * ? *)'"
		first := minute.Truncate(time.Hour)
		j.next = fmt.Sprintf("%s + CASE WHEN n %% 60 < %d THEN n %% 60 + 60 ELSE n %% 60 END * 60000000", micros(first), minute.Minute())
	case "outage":
		j.awake = now.Add(-time.Hour).Truncate(time.Minute)
		j.Begin = j.awake.Add(time.Minute)
		j.cursor, j.next = micros(j.awake), micros(j.Begin)
		j.expression, j.policy = "'cron(* * * * ? *)'", fmt.Sprintf(`{"catch_up":%d}`, schedule.CatchUpAll)
	case "rows":
		last := now.Truncate(time.Minute)
		j.awake = last
		j.expression = "'cron(* * * * ? *)'"
		j.Begin = last
		j.cursor, j.next = micros(last.Add(-time.Minute)), micros(last)
	default: // They are not due while it is measured.
		tomorrow := now.Add(22 * time.Hour).Truncate(time.Minute)
		j.expression, j.next = at(tomorrow), micros(tomorrow)
	}
}

// result is what a measurement found.
type result struct {
	Took, P50, P99        time.Duration
	Firings               int
	CPU, Server           time.Duration
	Peak, Resident        int // KiB
	Ready, Sweep          time.Duration
	Edits                 []edit
	Recorded, Plain, Bare float64 // rows a second
}

// edit is how long one kind of change takes.
type edit struct{ Median, P99 time.Duration }

// ledger is what both databases are.
type ledger interface {
	engine.Ledger
	CreatePlan(ctx context.Context, p store.Plan) error
	Activate(ctx context.Context, id ident.ID, s *schedule.Spec, c store.Change) error
	Deactivate(ctx context.Context, id ident.ID, c store.Change) error
	Close() error
}

// work does a job that start has written, and prints marks and then the result.
func work(ctx context.Context, text string, w io.Writer) (err error) {
	started := time.Now()
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	var profile *os.File
	profiled := false
	if j.Profile != "" {
		if profile, err = os.Create(j.Profile); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, profile.Close())
		}()
	}
	out := json.NewEncoder(w)
	mark := func() error {
		if profile != nil && !profiled {
			profiled = true
			if err := pprof.StartCPUProfile(profile); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(w, marked)
		return err
	}
	db, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var r *result
	switch j.Measurement {
	case "rows":
		r, err = j.rows(ctx, db, mark)
	case "edit":
		r, err = j.edit(ctx, db, mark)
	case "idle":
		r, err = j.idle(ctx, db, started, mark)
	default:
		r, err = j.fire(ctx, db, mark)
	}
	if err != nil {
		return err
	}
	r.Peak = cmp.Or(r.Peak, memory("VmHWM"))
	return out.Encode(r)
}

func (j *job) open(ctx context.Context) (ledger, error) { //nolint:ireturn // It is one or the other.
	if j.URL != "" {
		return postgres.Open(ctx, postgres.Config{URL: j.URL})
	}
	return sqlite.Open(ctx, sqlite.Config{Dir: j.Dir})
}

// engine is an engine as `tminus serve` has it; end ends it.
func (j *job) engine(ctx context.Context, db engine.Ledger, settled func([]schedule.Firing)) (end func() error) {
	cfg := engine.Config{}
	if j.URL != "" {
		cfg = engine.Shared()
	}
	cfg.Settled = settled
	e := engine.New(db, nothing{}, cfg)
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	return func() error {
		stop()
		return <-ended
	}
}

// fire watches an engine launch the firings between Begin and End.
func (j *job) fire(ctx context.Context, db ledger, mark func() error) (r *result, err error) {
	if j.Measurement == "outage" { // It ends now.
		j.End = time.Now().Truncate(time.Minute).Add(time.Second)
		j.Firings = j.Schedules * int(j.End.Sub(j.Begin)/time.Minute)
	}
	left, done := j.Firings, make(chan struct{})
	var mu sync.Mutex
	settled := func(fs []schedule.Firing) {
		mu.Lock()
		defer mu.Unlock()
		for i := range fs {
			if f := &fs[i]; f.Outcome == schedule.Launched && !f.Slot.Before(j.Begin) && f.Slot.Before(j.End) {
				if left--; left == 0 {
					close(done)
				}
			}
		}
	}
	first, cpuBefore := j.Begin, cpu()
	if j.Measurement == "outage" {
		first = time.Now()
		if err := mark(); err != nil {
			return nil, err
		}
	}
	end := j.engine(ctx, db, settled)
	defer func() { err = errors.Join(err, end()) }()
	if j.Measurement != "outage" {
		<-time.After(time.Until(j.Begin))
		if err := mark(); err != nil {
			return nil, err
		}
		cpuBefore = cpu()
	}
	<-done
	return &result{Firings: j.Firings, Took: time.Since(first), CPU: cpu() - cpuBefore}, nil
}

// nothing is a launcher that accepts everything and does nothing.
type nothing struct{}

func (nothing) Launch(_ context.Context, fs []schedule.Firing) []error { return make([]error, len(fs)) }

func (nothing) Terminate(context.Context, ident.Key, string, string) error { return nil }

// planned tells when the engine first knows what it has to do.
type planned struct {
	engine.Ledger

	ready chan struct{}
	once  atomic.Bool
}

func (p *planned) Advance(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Advanced, error) {
	a, err := p.Ledger.Advance(ctx, session, now, limit, claim)
	if err == nil && p.once.CompareAndSwap(false, true) {
		close(p.ready)
	}
	return a, err
}

// idleFor is how long an idle engine is watched.
const idleFor = time.Minute

// idle watches an engine that has nothing to do, and then has it check every schedule once.
func (j *job) idle(ctx context.Context, db ledger, started time.Time, mark func() error) (r *result, err error) {
	p := &planned{Ledger: db, ready: make(chan struct{})}
	end := j.engine(ctx, p, nil)
	defer func() { err = errors.Join(err, end()) }()
	<-p.ready
	r = &result{Ready: time.Since(started), Resident: memory("VmRSS")}
	if err := mark(); err != nil {
		return nil, err
	}
	before, from := cpu(), time.Now()
	<-time.After(idleFor)
	r.CPU, r.Took = cpu()-before, time.Since(from)
	if err := mark(); err != nil {
		return nil, err
	}
	begun := time.Now()
	for after, more := int64(0), true; more; more = after > 0 {
		now, err := db.Now(ctx)
		if err != nil {
			return nil, err
		}
		swept, err := db.Sweep(ctx, after, now.Add(-2*time.Hour), now, 500)
		if err != nil {
			return nil, err
		}
		after = swept.Last
	}
	r.Sweep = time.Since(begun)
	return r, nil
}

// edit adds, changes and removes schedules, one at a time.
func (j *job) edit(ctx context.Context, db ledger, mark func() error) (r *result, err error) {
	if err := mark(); err != nil {
		return nil, err
	}
	r = &result{}
	const edits = 300
	plan := func(i int, version string) ident.ID {
		return ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: fmt.Sprint("new-", i)}, Version: version}
	}
	change := func() store.Change { return store.Change{At: time.Now(), By: "enginebench"} }
	activate := func(id ident.ID, expression string) error {
		p := store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: time.Now(), UpdatedAt: time.Now()}
		if err := db.CreatePlan(ctx, p); err != nil {
			return err
		}
		return db.Activate(ctx, id, &schedule.Spec{Expression: expression}, change())
	}
	for _, one := range []func(i int) error{
		func(i int) error { return activate(plan(i, "v1"), fmt.Sprintf("cron(%d 10 * * ? *)", i%60)) },
		func(i int) error { return activate(plan(i, "v2"), fmt.Sprintf("cron(%d 11 * * ? *)", i%60)) },
		func(i int) error { return db.Deactivate(ctx, plan(i, "v2"), change()) },
	} {
		took := make([]time.Duration, edits)
		for i := range took {
			begun := time.Now()
			if err := one(i); err != nil {
				return nil, err
			}
			took[i] = time.Since(begun)
		}
		slices.Sort(took)
		r.Edits = append(r.Edits, edit{took[edits/2], took[edits*99/100]})
	}
	return r, nil
}

// rows records a slot of each schedule without launching it.
func (j *job) rows(ctx context.Context, db ledger, mark func() error) (r *result, err error) {
	if err := mark(); err != nil {
		return nil, err
	}
	now := j.Begin.Add(time.Second)
	beat, err := db.Beat(ctx, 0, now, time.Hour)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for range streams(j.URL != "") {
		g.Go(func() error {
			for n := batch; n == batch; {
				a, err := db.Advance(ctx, beat.Session, now, batch, batch)
				if err != nil {
					return err
				}
				n = a.Schedules
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r = &result{Took: time.Since(begun)}
	r.Recorded = float64(j.Schedules) / r.Took.Seconds()
	return r, nil
}

// streams is how many batches an engine records at once.
func streams(server bool) int {
	if server {
		return engine.Shared().Planners
	}
	return 1
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is a field of /proc/self/status, in KiB; 0 where there is none.
func memory(field string) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				return 0
			}
			return kb
		}
	}
	return 0
}
