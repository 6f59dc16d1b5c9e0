package postgres_test

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
)

// TestReplicasMigrateOnce starts more replicas than a pooler has connections.
func TestReplicasMigrateOnce(t *testing.T) {
	server := postgrestest.Shared(t)
	for name, at := range map[string]string{
		"directly":         server.Empty(t),
		"through a pooler": server.PgBouncer(t)(server.Empty(t)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var g errgroup.Group
			for range 16 {
				g.Go(func() error {
					db, err := postgres.Open(ctx, postgres.Config{URL: at, Connections: 2})
					if err != nil {
						return err
					}
					return db.Close()
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// later are the embedded migrations and those of a later release.
func later(t *testing.T, more map[string]string) fstest.MapFS {
	t.Helper()
	files := make(fstest.MapFS)
	names, err := fs.Glob(postgres.Migrations(), "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(postgres.Migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	for name, statements := range more {
		files["migrations/"+name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + statements)}
	}
	return files
}

// TestOldAndNewReplicasRunSideBySide has a replica at work, and people as well,
// while one of the next release starts and migrates, and beside it after that.
func TestOldAndNewReplicasRunSideBySide(t *testing.T) {
	const schedules = 5
	ctx, url := t.Context(), postgrestest.URL(t)
	old := open(t, url)
	scheduled(t, old, schedules)
	if err := old.Exec(ctx, fmt.Sprintf("UPDATE engine SET since = %d, awake_at = %d", noon.UnixMicro(), noon.AddDate(1, 0, 0).UnixMicro())); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	launches := make(map[string]int)
	launch := func(f schedule.Firing) {
		mu.Lock()
		defer mu.Unlock()
		launches[f.LaunchPlan.Name+f.Slot.Format(" 15:04")]++
	}
	// work goes on for some rounds after the end of a release's start.
	const round, more = 5, 3
	work := func(started <-chan struct{}, do func(minutes int) error) (minutes int, err error) {
		left := more
		for left > 0 {
			select {
			case <-started:
				left--
			default:
			}
			minutes += round
			if err := do(minutes); err != nil {
				return 0, err
			}
		}
		return minutes, nil
	}

	begun, migrated := make(chan struct{}), make(chan struct{})
	var g errgroup.Group
	last := 0
	g.Go(func() (err error) {
		begin := sync.OnceFunc(func() { close(begun) })
		defer begin()
		last, err = work(migrated, func(minutes int) error {
			defer begin()
			return replica(ctx, old, minutes, launch)
		})
		return err
	})
	other := ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: "other"}}
	g.Go(func() error {
		_, err := work(migrated, func(minutes int) error {
			now, id := noon.Add(time.Duration(minutes)*time.Minute), other
			id.Version = fmt.Sprint("v", minutes)
			if err := old.CreatePlan(ctx, store.Plan{ID: id, CreatedAt: now, UpdatedAt: now}); err != nil {
				return err
			}
			for _, change := range []func() error{
				func() error { return old.Activate(ctx, id, &schedule.Spec{Expression: "0 0 1 1 *"}, ada(now)) },
				func() error { return old.Pause(ctx, id.Key, "a note", time.Time{}, ada(now)) },
				func() error { return old.Resume(ctx, id.Key, ada(now)) },
				func() error { return old.Deactivate(ctx, id, ada(now)) },
			} {
				if err := change(); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})

	release := map[string]string{"00900_more.sql": `
		ALTER TABLE firings ADD COLUMN note text NOT NULL DEFAULT '';
		ALTER TABLE schedules ADD COLUMN color text NOT NULL DEFAULT 'blue';
		ALTER TABLE revisions ADD COLUMN color text;
		ALTER TABLE launch_plans ADD COLUMN color text;
		CREATE TABLE colors (name text PRIMARY KEY);
		CREATE INDEX firings_note ON firings (note) WHERE note <> '';`}
	<-begun
	db, err := postgres.OpenMigrated(ctx, postgres.Config{URL: url}, later(t, release))
	close(migrated)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g.Go(func() error { return replica(ctx, db, round, launch) })
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	// An old one that starts anew, as when its machine does, works on, and so does the new one.
	for _, db := range []*postgres.DB{open(t, url), db} {
		last += round
		if err := replica(ctx, db, last, launch); err != nil {
			t.Fatal(err)
		}
	}
	if len(launches) != schedules*last {
		t.Errorf("%d slots were launched, want %d", len(launches), schedules*last)
	}
	for slot, n := range launches {
		if n != 1 {
			t.Errorf("%s was launched %d times", slot, n)
		}
	}

	// The release after that takes away what the old one needs.
	release["00901_less.sql"] = `
		ALTER TABLE schedules DROP COLUMN kickoff_input;
		UPDATE compatibility SET oldest = 900;`
	newest, err := postgres.OpenMigrated(ctx, postgres.Config{URL: url}, later(t, release))
	if err != nil {
		t.Fatal(err)
	}
	defer newest.Close()
	refused(t, postgres.Config{URL: url}, "version 901", "newer tminus")
	delete(release, "00901_less.sql")
	again, err := postgres.OpenMigrated(ctx, postgres.Config{URL: url}, later(t, release))
	if err != nil {
		t.Fatalf("the release before is refused: %v", err)
	}
	again.Close()
}

// TestAReleaseThatKnowsNoKeepersIsRefused starts the release of before AWS could
// keep time, which would do so as well.
func TestAReleaseThatKnowsNoKeepersIsRefused(t *testing.T) {
	ctx, url := t.Context(), postgrestest.URL(t)
	open(t, url)
	before := make(fstest.MapFS)
	for name, file := range later(t, nil) {
		if name < "migrations/00008" {
			before[name] = file
		}
	}
	db, err := postgres.OpenMigrated(ctx, postgres.Config{URL: url}, before)
	if err == nil {
		db.Close()
		t.Fatal("it was opened")
	}
	if !strings.Contains(err.Error(), "newer tminus") {
		t.Error(err)
	}
}
