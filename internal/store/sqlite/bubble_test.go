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
		if err := db.Activate(ctx, plan, &schedule.Spec{Expression: "*/15 * * * *"}, store.Change{At: begin}); err != nil {
			t.Fatal(err)
		}
		// A lease of two slots, and a beat at each: the last is always too long ago for since to stay.
		beat, err := db.Beat(ctx, 0, begin, 30*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		fired := 0
		for time.Since(begin) < 24*time.Hour {
			next, err := db.NextSlot(ctx)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(next))
			now, err := db.Now(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if beat, err = db.Beat(ctx, beat.Session, now, 30*time.Minute); err != nil {
				t.Fatal(err)
			}
			advanced, err := db.Advance(ctx, beat.Session, now, 10, 10)
			if err != nil {
				t.Fatal(err)
			}
			for i := range advanced.Launch {
				f := &advanced.Launch[i]
				f.Outcome, f.SettledAt = schedule.Launched, now
				if late := f.Lateness(); late != 0 {
					t.Errorf("slot %s is %s late", f.Slot, late)
				}
			}
			written, err := db.Settle(ctx, advanced.Launch)
			if err != nil {
				t.Fatal(err)
			}
			fired += written
		}
		if fired != 96 {
			t.Errorf("%d slots fired, want 96", fired)
		}
	})
}
