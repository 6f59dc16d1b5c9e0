package engine_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// The kill test runs an engine in a process of its own, on a clock that goes
// speed times as fast, and kills it with SIGKILL again and again.
const (
	kills = 200
	speed = 2000 // A second is half an hour.
)

// Variables that make this test binary the process to be killed.
const (
	victimDir   = "ENGINE_TEST_VICTIM_DIR"
	victimEpoch = "ENGINE_TEST_VICTIM_EPOCH"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if err := victim(dir, os.Getenv(victimEpoch)); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fast is a ledger whose clock began at epoch and goes speed times as fast as the machine's.
type fast struct {
	*sqlite.DB
	epoch time.Time
}

func (f fast) now() time.Time { return f.epoch.Add(speed * time.Since(f.epoch)).UTC() }

func (f fast) Now(context.Context) (time.Time, error) { return f.now(), nil }

// keeper is a launcher that keeps executions in the database, under their names.
type keeper struct{ *sqlite.DB }

func (k keeper) Launch(ctx context.Context, fs []schedule.Firing) []error {
	xs := make([]store.Execution, len(fs))
	for i, f := range fs {
		xs[i] = store.Execution{
			Key:        ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain, Name: f.Execution()},
			LaunchPlan: f.LaunchPlan, Kind: store.LaunchPlan, Phase: store.Succeeded, Slot: f.Slot,
			CreatedAt: f.Slot, UpdatedAt: f.Slot,
		}
	}
	_, err := k.CreateExecutions(ctx, xs)
	errs := make([]error, len(fs))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (keeper) Terminate(context.Context, ident.Key, string, string) error { return nil }

// victim fires schedules until it is killed, or told to stop by SIGTERM.
func victim(dir, epoch string) error {
	micros, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	ledger := fast{db, time.UnixMicro(micros)}
	e := engine.New(ledger, keeper{db}, engine.Config{
		Poll:  2 * time.Millisecond, // The clock is not the machine's: look often.
		Lease: 10 * time.Minute,     // 300 ms of the machine's, which a busy one may need to give a sign of life.
		Settled: func(fs []schedule.Firing) {
			if slices.ContainsFunc(fs, func(f schedule.Firing) bool { return f.Outcome == schedule.Launched }) {
				fmt.Println("launched")
			}
		},
	})
	if err := e.Run(ctx); err != nil {
		return err
	}
	return db.Close()
}

// backlog says which slots of a launch plan are still to be recorded, since the
// last process was told to stop while it caught up.
func backlog(t *testing.T, db *sqlite.DB, name string, spec schedule.Spec) (owed func(slot time.Time) bool) {
	t.Helper()
	key := planID(name).Key
	s, err := db.Schedule(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	open, err := db.Backlogs(t.Context(), store.Query{
		Project: key.Project, Domain: key.Domain, Name: key.Name, Limit: 1000,
		Filters: []store.Filter{{Field: "ended", Op: store.Eq, Values: []string{""}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	type span struct{ first, last time.Time }
	var left []span
	for _, b := range open {
		if spec.Policy.CatchUp != schedule.CatchUpAll {
			t.Errorf("%s: %s is a backlog under %s", name, b.First, spec.Policy.CatchUp)
		}
		rest := schedule.Backlog{First: b.First, Last: b.Last, Cursor: b.Cursor, NewestFirst: b.NewestFirst, Kind: b.Kind}
		first, last, _, err := rest.Left(s)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, span{first, last})
	}
	return func(slot time.Time) bool {
		return slices.ContainsFunc(left, func(s span) bool { return !slot.Before(s.first) && !slot.After(s.last) })
	}
}

func TestKilledAtRandomMomentsEverySlotIsInTheLedgerOnce(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	epoch := time.Now().Truncate(time.Second)
	// Years: on a busy machine, what is late by the default limits at this speed
	// would only have had to wait for half a minute.
	window := 10 * 365 * 24 * time.Hour
	plans := map[string]schedule.Policy{
		"all": {CatchUp: schedule.CatchUpAll}, "latest": {}, "none": {CatchUp: schedule.CatchUpNone}, "three": {CatchUp: 3},
	}
	expressions := []string{"* * * * ? *", "*/7 * * * ? *", "3/5 * * * *", "rate(11 minutes)", "0 */2 * * ? *"}
	specs := map[string]schedule.Spec{}
	for policy, p := range plans {
		p.CatchUpWindow, p.LaunchDeadline = window, window
		for i, expression := range expressions {
			name := fmt.Sprint(policy, i)
			specs[name] = schedule.Spec{Expression: expression, Policy: p}
			id := planID(name)
			if err := db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: epoch, UpdatedAt: epoch}); err != nil {
				t.Fatal(err)
			}
			spec := specs[name]
			if err := db.Activate(t.Context(), id, &spec, store.Change{At: epoch}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	for i := range kills + 1 {
		last := i == kills
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victimDir+"="+dir, victimEpoch+"="+strconv.FormatInt(epoch.UnixMicro(), 10))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// One life in four ends at a random moment from its start, perhaps before
		// the database is open; the others a random while after they first launched.
		kill := func(within time.Duration) {
			time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() }) //nolint:errcheck // It may be dead.
		}
		early := i%4 == 0 && !last
		if early {
			kill(60 * time.Millisecond)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil && !early {
			t.Fatalf("life %d: it never launched anything: %v", i, err)
		}
		switch {
		case last:
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		case !early:
			kill(20 * time.Millisecond)
		}
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); (err == nil) != last {
			t.Fatalf("life %d ended with %v", i, err)
		}
	}

	db = open(t, dir)
	defer db.Close()
	launched, pending := 0, 0
	for name, spec := range specs {
		s, err := db.Schedule(t.Context(), planID(name).Key)
		if err != nil {
			t.Fatal(err)
		}
		timetable, err := spec.Compile(epoch)
		if err != nil {
			t.Fatal(err)
		}
		owed := backlog(t, db, name, spec)
		slot := timetable.Next(epoch)
		for _, f := range firings(t, db, name) {
			for owed(slot) {
				slot = timetable.Next(slot)
			}
			if !f.Slot.Equal(slot) {
				t.Fatalf("%s: the ledger has %s where %s is due", name, f.Slot, slot)
			}
			for range f.Count {
				slot = timetable.Next(slot)
			}
			switch f.Outcome {
			case schedule.Launched:
				launched++
				if _, err := db.Execution(t.Context(), ident.Key{Project: "default", Domain: "development", Name: f.Execution()}); err != nil {
					t.Fatalf("%s: %s is recorded as launched: %v", name, f.Slot, err)
				}
			case schedule.Missed:
				if spec.Policy.CatchUp == schedule.CatchUpAll {
					t.Fatalf("%s: %s is missed", name, f.Slot)
				}
			case schedule.Pending: // The last process was told to stop before it recorded the launch.
				pending++
			default:
				t.Fatalf("%s: %s is %s: %s", name, f.Slot, f.Outcome, f.Reason)
			}
		}
		for owed(slot) {
			slot = timetable.Next(slot)
		}
		if !slot.After(s.Cursor) {
			t.Errorf("%s: the cursor is at %s, and %s has no firing", name, s.Cursor, slot)
		}
	}
	executions, err := db.Executions(t.Context(), store.Query{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(executions); n < launched || n > launched+pending {
		t.Errorf("%d executions for %d launched slots and %d pending ones", n, launched, pending)
	}
	if launched < kills/2 {
		t.Errorf("only %d launches", launched)
	}
	t.Logf("%d kills over %s of the schedules' time; %d launches", kills, speed*time.Since(epoch).Round(time.Second), launched)
}
