package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
)

var noon = time.Date(2026, 3, 2, 12, 0, 30, 0, time.UTC)

func ada(at time.Time) store.Change { return store.Change{By: "ada", Why: "a test", At: at} }

func plan(name string) ident.ID {
	return ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: name}, Version: "v"}
}

// scheduled stores launch plans that fire every minute.
func scheduled(t *testing.T, db *postgres.DB, n int) {
	t.Helper()
	for i := range n {
		id := plan(fmt.Sprint("n", i))
		if err := db.CreatePlan(t.Context(), store.Plan{ID: id, CreatedAt: noon, UpdatedAt: noon}); err != nil {
			t.Fatal(err)
		}
		if err := db.Activate(t.Context(), id, &schedule.Spec{Expression: "* * * * *"}, ada(noon)); err != nil {
			t.Fatal(err)
		}
	}
}

// refused expects Open to fail with an error that says all the parts, and nothing secret.
func refused(t *testing.T, cfg postgres.Config, parts ...string) {
	t.Helper()
	db, err := postgres.Open(t.Context(), cfg)
	if err == nil {
		db.Close()
		t.Fatal("it was opened")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, and does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "hunter%") {
		t.Errorf("the error has the password: %q", err)
	}
}

func TestErrorsDoNotHaveThePassword(t *testing.T) {
	for name, c := range map[string]struct {
		url  string
		says string
	}{
		"nobody there":        {"postgres://u:hunter2@127.0.0.1:1/d?connect_timeout=1", "d on 127.0.0.1"},
		"another scheme":      {"mysql://u:hunter2@127.0.0.1/d", "postgres://"},
		"no scheme":           {"u:hunter2@127.0.0.1/d", "postgres://"},
		"not escaped":         {"postgres://u:hunter%2@127.0.0.1/d", "percent-encoded"},
		"a slash in it":       {"postgres://u:hunter2/x@127.0.0.1/d", "percent-encoded"},
		"a port of letters":   {"postgres://u:hunter2@127.0.0.1:port/d", "percent-encoded"},
		"as a parameter":      {"postgres://127.0.0.1:1/d?user=u&password=hunter2&connect_timeout=1", "d on 127.0.0.1"},
		"an unknown sslmode":  {"postgres://u:hunter2@127.0.0.1/d?sslmode=no", "sslmode"},
		"an unknown target":   {"postgres://u:hunter2@127.0.0.1/d?target_session_attrs=x", "cannot be read"},
		"a missing root cert": {"postgres://u:hunter2@127.0.0.1/d?sslmode=verify-ca&sslrootcert=/none", "/none"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, postgres.Config{URL: c.url}, c.says) })
	}
}

func TestSchema(t *testing.T) {
	ctx, server := t.Context(), postgrestest.Shared(t)
	there, err := postgres.Versions(ctx, postgres.Config{URL: server.URL(t)})
	if err != nil {
		t.Fatal(err)
	}
	known := there.Known
	t.Run("newer", func(t *testing.T) {
		url := server.URL(t)
		db := open(t, url)
		if err := db.Exec(ctx, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`); err != nil {
			t.Fatal(err)
		}
		open(t, url) // It takes nothing away that is known.
		if v, err := postgres.Versions(ctx, postgres.Config{URL: url}); err != nil || v.Check(true) != nil || v.Database != 99 {
			t.Errorf("versions are %+v, %v", v, err)
		}
		if err := db.Exec(ctx, `UPDATE compatibility SET oldest = 99`); err != nil {
			t.Fatal(err)
		}
		refused(t, postgres.Config{URL: url}, "version 99", fmt.Sprint("up to ", known), "newer tminus")
	})
	t.Run("older, to be kept", func(t *testing.T) {
		url := server.Empty(t)
		refused(t, postgres.Config{URL: url, KeepSchema: true}, "version 0", fmt.Sprint("needs version ", known), "tminus migrate")
		v, err := postgres.Versions(ctx, postgres.Config{URL: url})
		if err != nil || v.Database != 0 || v.Known != known {
			t.Errorf("versions are %+v, %v", v, err)
		}
	})
	t.Run("a migration that fails", func(t *testing.T) {
		url := server.Empty(t)
		first, err := fs.ReadFile(postgres.Migrations(), "migrations/00001_initial.sql")
		if err != nil {
			t.Fatal(err)
		}
		broken, err := postgres.OpenMigrated(ctx, postgres.Config{URL: url}, fstest.MapFS{
			"migrations/00001_initial.sql": {Data: first},
			"migrations/00002_broken.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE half_done (id int);\nDROP TABLE there_is_none;\n")},
		})
		if err == nil {
			broken.Close()
			t.Fatal("it went through")
		}
		if !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "there_is_none") {
			t.Errorf("the error is %q", err)
		}
		if v, err := postgres.Versions(ctx, postgres.Config{URL: url}); err != nil || v.Database != 1 {
			t.Errorf("versions are %+v, %v", v, err)
		}
		if err := open(t, url).Exec(ctx, "SELECT * FROM half_done"); err == nil {
			t.Error("half of the migration stayed")
		}
	})
}

// TestTwoReplicas has two of them plan and launch the same schedules.
func TestTwoReplicas(t *testing.T) {
	const schedules, minutes = 20, 15
	url := postgrestest.URL(t)
	a, b := open(t, url), open(t, url)
	scheduled(t, a, schedules)
	// No slot is missed, whoever of the two is ahead.
	if err := a.Exec(t.Context(), fmt.Sprintf("UPDATE engine SET since = %d, awake_at = %d", noon.UnixMicro(), noon.AddDate(1, 0, 0).UnixMicro())); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	launches := make(map[string]int)
	var all sync.WaitGroup
	for _, db := range []*postgres.DB{a, b} {
		all.Go(func() {
			if err := replica(t.Context(), db, minutes, func(f schedule.Firing) {
				mu.Lock()
				defer mu.Unlock()
				launches[f.LaunchPlan.Name+f.Slot.Format(" 15:04")]++
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(launches) != schedules*minutes {
		t.Errorf("%d slots were launched, want %d", len(launches), schedules*minutes)
	}
	for slot, n := range launches {
		if n != 1 {
			t.Errorf("%s was launched %d times", slot, n)
		}
	}
}

// replica plans and launches so many minutes.
func replica(ctx context.Context, db *postgres.DB, minutes int, launch func(schedule.Firing)) error {
	beat, err := db.Beat(ctx, 0, noon.AddDate(1, 0, 0), time.Hour)
	if err != nil {
		return err
	}
	for m := range minutes {
		now := noon.Add(time.Duration(m+1) * time.Minute)
		for {
			advanced, err := db.Advance(ctx, beat.Session, now, 3, 2)
			if err != nil {
				return err
			}
			claimed, err := db.Claim(ctx, store.Claim{Session: beat.Session, Now: now, Share: func([]string) []int { return []int{5} }})
			if err != nil {
				return err
			}
			mine := append(advanced.Launch, claimed.Launch...)
			for i := range mine {
				launch(mine[i])
				mine[i].Outcome, mine[i].SettledAt = schedule.Launched, now
			}
			switch n, err := db.Settle(ctx, mine); {
			case err != nil:
				return err
			case n != len(mine):
				return fmt.Errorf("settled %d of %d", n, len(mine))
			}
			if len(mine) == 0 && !claimed.More && advanced.Schedules == 0 {
				break
			}
		}
	}
	return nil
}

func TestActivationsTakeTurns(t *testing.T) {
	ctx, url := t.Context(), postgrestest.URL(t)
	a, b := open(t, url), open(t, url)
	const versions = 16
	id := func(i int) ident.ID { return ident.ID{Key: plan("a").Key, Version: fmt.Sprint("v", i)} }
	for i := range versions {
		if err := a.CreatePlan(ctx, store.Plan{ID: id(i), CreatedAt: noon, UpdatedAt: noon}); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for i := range versions {
		db := []*postgres.DB{a, b}[i%2]
		all.Go(func() {
			if err := db.Activate(ctx, id(i), &schedule.Spec{Expression: "* * * * *"}, ada(noon)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	active, err := a.ActivePlan(ctx, plan("a").Key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Schedule(ctx, plan("a").Key)
	if err != nil {
		t.Fatal(err)
	}
	if s.LaunchPlan != active.ID || s.Revision != versions {
		t.Errorf("%s is active, and the schedule is that of %s at revision %d", active.ID, s.LaunchPlan, s.Revision)
	}
}

// TestDeadlocksAreTriedAgain has executions created in opposite orders.
func TestDeadlocksAreTriedAgain(t *testing.T) {
	ctx, url := t.Context(), postgrestest.URL(t)
	const rounds, executions = 10, 200
	var all sync.WaitGroup
	for _, backward := range []bool{false, true} {
		db := open(t, url)
		all.Go(func() {
			for r := range rounds {
				es := make([]store.Execution, executions)
				for i := range es {
					n := i
					if backward {
						n = executions - 1 - i
					}
					es[i] = store.Execution{Key: ident.Key{Project: "p", Domain: "d", Name: fmt.Sprintf("x%d-%d", r, n)}, Phase: store.Running, CreatedAt: noon, UpdatedAt: noon}
				}
				if _, err := db.CreateExecutions(ctx, es); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// TestTextsThatPostgreSQLRefuses come back with a mark in place of what it cannot keep.
func TestTextsThatPostgreSQLRefuses(t *testing.T) {
	ctx, db := t.Context(), open(t, postgrestest.URL(t))
	x := store.Execution{Key: plan("x").Key, Phase: store.Failed, AbortCause: "a\x00b\xffc", CreatedAt: noon, UpdatedAt: noon}
	if _, err := db.CreateExecutions(ctx, []store.Execution{x}); err != nil {
		t.Fatal(err)
	}
	got, err := db.UpdateExecution(ctx, x.Key, func(e *store.Execution) error { e.AbortedBy = "d\x00"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got, err = db.Execution(ctx, x.Key); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a\uFFFDb\uFFFDc", "d\uFFFD"}, []string{got.AbortCause, got.AbortedBy}); diff != "" {
		t.Errorf("texts differ (-want +got):\n%s", diff)
	}
}

// eventually calls f until it succeeds.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// busy fills the pool with connections, so that all of them have to be found out.
func busy(t *testing.T, db *postgres.DB) {
	t.Helper()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var n int
			if err := db.Pool().QueryRowContext(t.Context(), "SELECT 1 FROM pg_sleep(0.05)").Scan(&n); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestKilledConnectionsAreReplaced(t *testing.T) {
	ctx, server := t.Context(), postgrestest.Shared(t)
	db := open(t, server.URL(t))
	scheduled(t, db, 1)
	for range 5 {
		busy(t, db)
		server.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tminus' AND datname LIKE 'test%'`)
		if _, err := db.Schedule(ctx, plan("n0").Key); err != nil {
			t.Error(err)
		}
		if err := db.Pause(ctx, plan("n0").Key, "a note", time.Time{}, ada(noon)); err != nil {
			t.Error(err)
		}
	}
}

func TestARestartedServerIsFoundAgain(t *testing.T) {
	server := postgrestest.Start(t, nil)
	url := server.URL(t)
	for name, mode := range map[string]postgrestest.Mode{"fast": postgrestest.Fast, "immediate": postgrestest.Immediate} {
		t.Run(name, func(t *testing.T) {
			db := open(t, url)
			id := plan(name)
			if err := db.CreatePlan(t.Context(), store.Plan{ID: id, CreatedAt: noon, UpdatedAt: noon}); err != nil {
				t.Fatal(err)
			}
			busy(t, db)
			server.Stop(t, mode)
			if _, err := db.Now(t.Context()); err == nil {
				t.Error("a server that is stopped tells the time")
			}
			server.Resume(t)
			if _, err := db.Plan(t.Context(), id); err != nil { // At once: it was on disk, and the pool has nothing stale to offer.
				t.Error(err)
			}
			if err := db.Activate(t.Context(), id, nil, ada(noon)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAServerThatOnlyReadsIsLeft has the server a connection was made to become
// one that takes no writes, as after a failover.
func TestAServerThatOnlyReadsIsLeft(t *testing.T) {
	ctx, server := t.Context(), postgrestest.Start(t, nil)
	db := open(t, server.URL(t))
	busy(t, db)
	server.Exec(t, "ALTER SYSTEM SET default_transaction_read_only = on")
	server.Exec(t, "SELECT pg_reload_conf()")
	eventually(t, func() error {
		if err := db.CreateProject(ctx, store.Project{ID: "p", CreatedAt: noon}); err == nil || errors.Is(err, store.ErrExists) {
			return errors.New("it still takes writes")
		}
		return nil
	})
	server.Exec(t, "ALTER SYSTEM RESET default_transaction_read_only")
	server.Exec(t, "SELECT pg_reload_conf()")
	eventually(t, func() error {
		if err := db.CreateProject(ctx, store.Project{ID: "q", CreatedAt: noon}); !errors.Is(err, store.ErrExists) {
			return err
		}
		return nil
	})
}

func TestAStatementThatTakesTooLongFails(t *testing.T) {
	ctx, url := t.Context(), postgrestest.URL(t)
	db, err := postgres.Open(ctx, postgres.Config{URL: url, Answer: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	scheduled(t, db, 1)
	// Somebody else has the launch plan's schedule locked.
	other := open(t, url)
	tx, err := other.Pool().BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := tx.ExecContext(ctx, "SELECT * FROM schedules FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	err = db.Pause(ctx, plan("n0").Key, "a note", time.Time{}, ada(noon))
	if err == nil || !strings.Contains(err.Error(), "statement timeout") {
		t.Errorf("the error is %v", err)
	}
	if err := db.Exec(ctx, "SELECT pg_sleep(60)"); err == nil || !strings.Contains(err.Error(), "no answer within") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

func TestListenWakes(t *testing.T) {
	ctx, server := t.Context(), postgrestest.Shared(t)
	url := server.URL(t)
	db, other := open(t, url), open(t, url)
	scheduled(t, other, 1)
	woken := make(chan struct{}, 100)
	end, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- db.Listen(end, func() { woken <- struct{}{} }) }()
	wakes := func(why string) {
		t.Helper()
		select {
		case <-woken:
		case <-time.After(30 * time.Second):
			t.Fatalf("it was not woken %s", why)
		}
	}
	wakes("once it listens")
	key := plan("n0").Key
	for _, c := range []struct {
		why    string
		change func() error
	}{
		{"by a pause", func() error { return other.Pause(ctx, key, "a note", time.Time{}, ada(noon)) }},
		{"by the end of a pause", func() error { return other.Resume(ctx, key, ada(noon)) }},
		{"by a manual run", func() error { _, err := other.RunNow(ctx, key, noon.Add(time.Second), ada(noon)); return err }},
		{"by a deactivation", func() error { return other.Deactivate(ctx, plan("n0"), ada(noon)) }},
		{"by an activation", func() error {
			return other.Activate(ctx, plan("n0"), &schedule.Spec{Expression: "* * * * *"}, ada(noon))
		}},
		{"by a backfill", func() error {
			_, err := other.CreateBackfill(ctx, key, store.Backlog{First: noon.Add(-time.Hour), Last: noon}, ada(noon))
			return err
		}},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		wakes(c.why)
	}
	server.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN tminus'`)
	wakes("after it had lost its connection")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestAllOnADatabaseAgreeOnWhoKeepsTime refuses one that fires by another clock than those who are there.
func TestAllOnADatabaseAgreeOnWhoKeepsTime(t *testing.T) {
	t.Parallel()
	db := open(t, postgrestest.URL(t))
	now := time.Now()
	b, err := db.Beat(t.Context(), 0, now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.KeepTime(t.Context(), store.KeeperLocal, now); err != nil {
		t.Errorf("the same as theirs: %v", err)
	}
	if _, err := db.KeepTime(t.Context(), store.KeeperAWS, now); !errors.Is(err, store.ErrKept) {
		t.Errorf("another than theirs: %v", err)
	}
	if _, err := db.KeepTime(t.Context(), store.KeeperAWS, now.Add(2*time.Minute)); err != nil {
		t.Errorf("when they are gone: %v", err)
	}
	if err := db.Leave(t.Context(), b.Session); err != nil {
		t.Fatal(err)
	}
	if _, err := db.KeepTime(t.Context(), store.KeeperLocal, now); err != nil {
		t.Errorf("when they have left: %v", err)
	}
}

// TestNobodyWhoChangesRulesWaitsInTurn has pauses that end, in the order in which they do, while rules
// are settled and renewed in other orders.
func TestNobodyWhoChangesRulesWaitsInTurn(t *testing.T) {
	server := postgrestest.Start(t, nil)
	db := open(t, server.URL(t))
	const plans, rounds = 40, 5
	if _, err := db.KeepTime(t.Context(), store.KeeperAWS, noon); err != nil {
		t.Fatal(err)
	}
	scheduled(t, db, plans)
	at := noon
	for range rounds {
		at = at.Add(time.Minute)
		for i := range plans {
			end := at.Add(time.Duration(7*i%plans+1) * time.Second)
			if err := db.Pause(t.Context(), plan(fmt.Sprint("n", i)).Key, "a while", end, ada(at)); err != nil {
				t.Fatal(err)
			}
		}
		claimed, err := db.ClaimRules(t.Context(), at, time.Hour, plans)
		if err != nil || len(claimed) != plans {
			t.Fatalf("%d rules are claimed: %v", len(claimed), err)
		}
		for i := range claimed {
			claimed[i].Held, claimed[i].DueAt = "yes", time.Time{}
		}
		at = at.Add(plans * time.Second)
		resumed := make(chan error, 1)
		go func() {
			_, err := db.Audit(t.Context(), at, noon, plans)
			resumed <- err
		}()
		for some := range slices.Chunk(claimed, plans/4) {
			slices.Reverse(some)
			if err := db.SettleRules(t.Context(), at, some); err != nil {
				t.Error(err)
			}
			if _, err := db.RenewRules(t.Context(), at, nil); err != nil {
				t.Error(err)
			}
		}
		if err := <-resumed; err != nil {
			t.Error(err)
		}
	}
	if log := server.Log(); strings.Contains(log, "deadlock detected") {
		t.Error("they have waited for each other")
	}
}

// TestWhatIsActivatedWhileAWSTakesOverHasARule has an activation meet the change of who keeps time.
func TestWhatIsActivatedWhileAWSTakesOverHasARule(t *testing.T) {
	t.Parallel()
	db := open(t, postgrestest.URL(t))
	id := plan("a")
	if err := db.CreatePlan(t.Context(), store.Plan{ID: id, CreatedAt: noon, UpdatedAt: noon}); err != nil {
		t.Fatal(err)
	}
	over, err := db.Pool().BeginTx(t.Context(), nil) // As KeepTime does it, but that it takes its time.
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"SELECT keeper FROM engine FOR UPDATE", "UPDATE engine SET keeper = 'aws'"} {
		if _, err := over.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	activated := make(chan error, 1)
	go func() { activated <- db.Activate(t.Context(), id, &schedule.Spec{Expression: "* * * * *"}, ada(noon)) }()
	eventually(t, func() error {
		var waiting int
		err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"+
			" AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())").Scan(&waiting)
		if err == nil && waiting == 0 {
			err = errors.New("the activation does not wait for who keeps time")
		}
		return err
	})
	if err := over.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-activated; err != nil {
		t.Fatal(err)
	}
	if r, err := db.Rule(t.Context(), id.Key); err != nil || !r.Active {
		t.Errorf("its rule is %+v (%v)", r, err)
	}
}
