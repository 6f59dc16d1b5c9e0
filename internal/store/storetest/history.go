package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// exerciseHistory does whatever people and the engine may do to a launch plan,
// in any order, and then expects the ledger to hold each full minute during
// which it was active and not paused, once, under the version of that minute,
// and nothing left to launch from before it last stopped.
func exerciseHistory(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	every := &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}}
	checks := 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		fail := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		name := fmt.Sprint("plan", checks)
		versions := []ident.ID{id(name, "v1"), id(name, "v2")}
		for _, v := range versions {
			fail(s.CreatePlan(ctx, planOf(v)))
		}

		var want []string
		now, since := noon, noon // since is the beginning of the time that is not in want yet
		version, paused := "", false
		var stopped time.Time
		pass := func() {
			for slot := since.Truncate(time.Minute).Add(time.Minute); !slot.After(now); slot = slot.Add(time.Minute) {
				if version != "" && !paused {
					want = append(want, slot.Format("15:04 ")+version)
				}
			}
			since = now
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Microsecond, 29 * time.Second, 30 * time.Second, 3 * time.Minute}).Draw(t, "later"))
			v := rapid.SampledFrom(versions).Draw(t, "version")
			switch rapid.SampledFrom([]string{"advance", "launch", "activate", "deactivate", "pause"}).Draw(t, "step") {
			case "advance":
				_, err := s.Advance(ctx, now, noon, 10)
				fail(err)
			case "launch":
				due, err := s.Due(ctx, now, 3)
				fail(err)
				for i := range due {
					due[i].Outcome, due[i].SettledAt = schedule.Launched, now
				}
				fail(s.Settle(ctx, due))
			case "activate":
				pass()
				fail(s.Activate(ctx, v, every, now, noon))
				version, paused = v.Version, false
			case "deactivate":
				pass()
				fail(s.Deactivate(ctx, v, now, noon))
				if v.Version == version {
					version, paused, stopped = "", false, now
				}
			case "pause":
				if version != "" {
					pass()
					fail(s.Pause(ctx, key(name), "maintenance", now))
					paused, stopped = true, now
				}
			}
		}
		pass()
		for taken := 1; taken > 0; {
			var err error
			taken, err = s.Advance(ctx, now, noon, 10)
			fail(err)
		}
		firings, err := s.Firings(ctx, of(key(name)))
		fail(err)
		var got []string
		for _, f := range slices.Backward(firings) {
			unlaunched := schedule.Pending
			if !f.Slot.After(stopped) {
				unlaunched = schedule.Skipped
			}
			if f.Count != 1 || (f.Outcome != unlaunched && f.Outcome != schedule.Launched) {
				t.Fatalf("unexpected firing %+v; it stopped at %s", f, stopped)
			}
			got = append(got, f.Slot.Format("15:04 ")+f.LaunchPlan.Version)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the ledger holds\n%v, and should hold\n%v", got, want)
		}
		fail(s.Deactivate(ctx, versions[0], now, noon))
		fail(s.Deactivate(ctx, versions[1], now, noon))
	})
}
