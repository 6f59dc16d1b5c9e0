package flyte_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/schedule"
)

// TestABurstTakesAsLongAsFlyteNeeds has 5,000 slots come due at once before a
// flyteadmin that serves 200 a second, goes on working for callers that have gone, and
// is slower the more ask at once.
func TestABurstTakesAsLongAsFlyteNeeds(t *testing.T) {
	t.Parallel()
	for _, load := range []flytetest.Load{
		{PerSecond: 200},
		{PerSecond: 200, Workers: 2},
		{PerSecond: 200, Workers: 8, Crowded: 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, engine.Rate{})
			w.admin.Work(load)
			w.activate("0 1 * * *", schedule.Policy{}, names(5000)...)
			time.Sleep(time.Hour)
			took := w.until(40*time.Second, "launched", func() bool { return len(w.firings(schedule.Launched)) == 5000 })
			t.Logf("%+v: %s, at most %d in flight, %v", load, took, w.admin.MostInFlight(), w.admin.Calls())
			if took > 28*time.Second {
				t.Errorf("%+v took %s", load, took)
			}
			w.once(w.firings(schedule.Launched))
			for _, f := range w.firings(schedule.Launched) {
				if f.Attempts > 0 {
					t.Fatalf("an attempt was used up: %+v", f)
				}
			}
		})
	}
}
