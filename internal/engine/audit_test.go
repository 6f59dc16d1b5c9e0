package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// TestWithoutKeepingTimeItself has somebody else keep time, who forgets a slot.
func TestWithoutKeepingTimeItself(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		compare := func(what string, got, want []string) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		if _, err := db.KeepTime(t.Context(), store.KeeperAWS, time.Now()); err != nil {
			t.Fatal(err)
		}
		activate(t, db, "a", "* * * * *", schedule.Policy{})
		activate(t, db, "b", "* * * * *", schedule.Policy{CatchUp: schedule.CatchUpNone})
		to := newTarget()
		var mu sync.Mutex
		var heard time.Time
		var missed []string
		e := engine.New(db, to, engine.Config{
			Heard: func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return heard
			},
			Settled: func(fs []schedule.Firing) {
				for _, f := range fs {
					if f.Outcome == schedule.Missed {
						missed = append(missed, f.LaunchPlan.Name)
					}
				}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		start := time.Now()
		say := func(minute int) {
			at := start.Add(time.Duration(minute) * time.Minute)
			for time.Now().Before(at.Add(3 * time.Second)) {
				if err := db.Attend(t.Context(), time.Now()); err != nil { // As those who can read the queue do.
					t.Fatal(err)
				}
				time.Sleep(min(30*time.Second, time.Until(at.Add(3*time.Second))))
			}
			var messages []store.Message
			for _, name := range []string{"a", "b"} {
				messages = append(messages, store.Message{ID: name + at.String(), LaunchPlan: planID(name).Key, Time: at.Add(2 * time.Second)})
			}
			if _, err := db.Deliver(t.Context(), time.Now(), messages); err != nil {
				t.Fatal(err)
			}
			e.Wake()
			synctest.Wait()
		}
		say(1)
		say(3)
		compare("at 00:03", slices.Sorted(slices.Values(to.calls)), []string{"00:01 a", "00:01 b", "00:03 a", "00:03 b"})
		time.Sleep(2 * time.Minute)
		mu.Lock()
		heard = start.Add(3 * time.Minute)
		mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		compare("once all has been heard", to.calls[4:], []string{"00:02 a"})
		compare("missed", missed, []string{"b"})
		compare("of b", story(firings(t, db, "b")), []string{"00:01 launched", "00:02 missed", "00:03 launched"})
		if p := e.Problem(); p != "" {
			t.Errorf("problem: %s", p)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
