package sqlite_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// TestDayOnAFakeClock fires a schedule for a day as an engine would: it sleeps
// until the next slot, and finds the clock there.
func TestDayOnAFakeClock(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		plan := ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: "n"}, Version: "v"}
		begin, err := db.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.CreatePlan(ctx, store.Plan{ID: plan, CreatedAt: begin, UpdatedAt: begin}); err != nil {
			t.Fatal(err)
		}
		if err := db.Activate(ctx, plan, &schedule.Spec{Expression: "*/15 * * * *"}, begin, begin); err != nil {
			t.Fatal(err)
		}
		fired := 0
		for time.Since(begin) < 24*time.Hour {
			slot, _, err := db.NextDue(ctx)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(slot))
			now, err := db.Now(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Advance(ctx, now, begin, 10); err != nil {
				t.Fatal(err)
			}
			due, err := db.Due(ctx, now, 10)
			if err != nil {
				t.Fatal(err)
			}
			for i := range due {
				due[i].Outcome, due[i].SettledAt = schedule.Launched, now
				if late := due[i].Lateness(); late != 0 {
					t.Errorf("slot %s is %s late", due[i].Slot, late)
				}
			}
			if err := db.Settle(ctx, due); err != nil {
				t.Fatal(err)
			}
			fired += len(due)
		}
		if fired != 96 {
			t.Errorf("%d slots fired, want 96", fired)
		}
	})
}
