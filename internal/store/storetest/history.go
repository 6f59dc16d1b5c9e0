package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// exerciseHistory does whatever people and engines may do to a launch plan, in
// any order, and then expects the ledger to account for each full minute once,
// as what it was: a minute during which the launch plan was active and not
// paused has a firing of its own, under the version of that minute, or is in a
// backlog that is still open; one that passed during a pause is in the range of
// that pause. Nothing is left to launch from before it last stopped, and a
// launch that took place is recorded, whoever died meanwhile.
func exerciseHistory(t *testing.T, open func(t *testing.T) Store) {
	exerciseHistoryOf(t, open(t), false)
}

// exerciseKeptHistory does so where somebody else keeps time, whose word may
// come late, twice, in any order or not at all.
func exerciseKeptHistory(t *testing.T, open func(t *testing.T) Store) {
	exerciseHistoryOf(t, kept(t, open(t)), true)
}

func exerciseHistoryOf(t *testing.T, s Store, kept bool) {
	t.Helper()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		h := &history{
			ctx: context.WithoutCancel(t.Context()), s: s, name: fmt.Sprint("plan", runs), now: noon, since: noon,
			minutes: make(map[time.Time]string), launched: make(map[string]bool), kept: kept,
		}
		h.run(t)
	})
}

// history is one launch plan, as it should be.
type history struct {
	ctx  context.Context //nolint:containedctx // One run of the property.
	s    Store
	name string
	// kept says that somebody else keeps time.
	kept bool

	now, since time.Time
	session    int64
	version    string // the one that is active, if one is
	paused     bool
	until      time.Time
	stopped    time.Time // when it last stopped
	told       time.Time // minutes holds all up to here
	// minutes says of each minute which version it was to fire, or "paused";
	// minutes that are not there were nobody's.
	minutes map[time.Time]string
	// launched are the executions that were created.
	launched map[string]bool
}

func (h *history) ok(t *rapid.T, err error, but ...error) {
	t.Helper()
	if err == nil || slices.ContainsFunc(but, func(b error) bool { return errors.Is(err, b) }) {
		return
	}
	t.Fatal(err)
}

func (h *history) run(t *rapid.T) {
	versions := []ident.ID{id(h.name, "v1"), id(h.name, "v2")}
	for _, v := range versions {
		h.ok(t, h.s.CreatePlan(h.ctx, planOf(v)))
	}
	h.takeOver(t)
	h.told = h.now
	steps := map[string]func(*rapid.T){
		"advance": func(t *rapid.T) {
			a, err := h.s.Advance(h.ctx, h.session, h.now, 10, rapid.IntRange(0, 2).Draw(t, "claim"))
			h.ok(t, err)
			h.launch(t, a.Launch)
		},
		"claim": func(t *rapid.T) { h.claim(t, limited(3)) },
		"word":  h.word,
		"audit": func(t *rapid.T) {
			_, err := h.s.Audit(h.ctx, h.now, h.coming(t).Add(-time.Duration(rapid.IntRange(3, 20).Draw(t, "behind"))*time.Minute), 10)
			h.ok(t, err)
		},
		"fill": func(t *rapid.T) {
			f, err := h.s.Fill(h.ctx, h.session, h.now, 5, rapid.IntRange(0, 2).Draw(t, "claim"))
			h.ok(t, err)
			h.launch(t, f.Launch)
		},
		"sweep":  h.sweep,
		"crash":  h.takeOver,
		"outage": func(t *rapid.T) { h.since = h.now; awake(t, h.s, h.since) },
		"activate": func(t *rapid.T) {
			v := rapid.SampledFrom(versions).Draw(t, "version")
			h.pass()
			spec := &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll, CatchUpWindow: 1000 * time.Hour}}
			h.ok(t, h.s.Activate(h.ctx, v, spec, ada(h.now)))
			h.version, h.paused = v.Version, false
		},
		"deactivate": func(t *rapid.T) {
			v := rapid.SampledFrom(versions).Draw(t, "version")
			h.pass()
			h.ok(t, h.s.Deactivate(h.ctx, v, ada(h.now)))
			if v.Version == h.version {
				h.version, h.paused, h.stopped = "", false, h.now
			}
		},
		"pause": func(t *rapid.T) {
			until := time.Time{}
			if rapid.Bool().Draw(t, "with an end") {
				until = h.now.Add(rapid.SampledFrom([]time.Duration{0, 30 * time.Second, 90 * time.Second, 5 * time.Minute}).Draw(t, "until"))
			}
			h.pass()
			err := h.s.Pause(h.ctx, key(h.name), "maintenance", until, ada(h.now))
			h.ok(t, err, store.ErrNotFound)
			if err == nil {
				h.paused, h.until, h.stopped = true, until, h.now
			}
		},
		"resume": func(t *rapid.T) {
			h.pass()
			h.ok(t, h.s.Resume(h.ctx, key(h.name), ada(h.now)), store.ErrNotFound)
			h.paused = false
		},
		"skip": func(t *rapid.T) {
			h.ok(t, h.s.Skip(h.ctx, key(h.name), h.coming(t), ada(h.now)), store.ErrNotFound, store.ErrExists)
		},
		"unskip": func(t *rapid.T) {
			h.ok(t, h.s.Unskip(h.ctx, key(h.name), h.coming(t), ada(h.now)), store.ErrNotFound)
		},
		"run now": func(t *rapid.T) {
			_, err := h.s.RunNow(h.ctx, key(h.name), h.now.Truncate(time.Second), ada(h.now))
			h.ok(t, err, store.ErrNotFound, store.ErrExists)
		},
	}
	if h.kept {
		delete(steps, "advance")
	} else {
		delete(steps, "word")
		delete(steps, "audit")
	}
	var names []string
	for name := range steps {
		names = append(names, name)
	}
	slices.Sort(names)
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		h.now = h.now.Add(rapid.SampledFrom([]time.Duration{
			0, time.Microsecond, 29 * time.Second, 30 * time.Second, time.Minute, 3 * time.Minute, 17 * time.Minute,
		}).Draw(t, "later"))
		steps[rapid.SampledFrom(names).Draw(t, "step")](t)
	}
	h.pass()
	for taken := 1; taken > 0; {
		var a store.Advanced
		var err error
		if h.kept {
			a, err = h.s.Audit(h.ctx, h.now, h.now, 10)
		} else {
			a, err = h.s.Advance(h.ctx, h.session, h.now, 10, 0)
		}
		h.ok(t, err)
		taken = a.Schedules
	}
	if h.paused { // The minutes of a pause are recorded when it ends.
		h.ok(t, h.s.Resume(h.ctx, key(h.name), ada(h.now)))
	}
	h.account(t)
	h.sweep(t)
	h.finish(t)
	h.account(t)
	h.settled(t)
	for _, v := range versions { // Nothing of it is due in the next run.
		h.ok(t, h.s.Deactivate(h.ctx, v, ada(h.now)))
	}
}

// coming is one of the next minutes.
func (h *history) coming(t *rapid.T) time.Time {
	return h.now.Truncate(time.Minute).Add(time.Duration(rapid.IntRange(1, 3).Draw(t, "minutes ahead")) * time.Minute)
}

// word comes that it was some minute, for all that anybody knows.
func (h *history) word(t *rapid.T) {
	var messages []store.Message
	for range rapid.IntRange(1, 6).Draw(t, "messages") {
		slot := h.now.Truncate(time.Minute).Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes ago")) * time.Minute)
		if slot.Before(at(1)) {
			continue
		}
		messages = append(messages, store.Message{
			ID: h.name + slot.String(), LaunchPlan: key(h.name), Time: slot.Add(time.Duration(rapid.IntRange(0, 59).Draw(t, "seconds")) * time.Second),
		})
	}
	_, err := h.s.Deliver(h.ctx, h.now, messages)
	h.ok(t, err)
}

// pass tells the minutes since it was last called.
func (h *history) pass() {
	for slot := h.told.Truncate(time.Minute).Add(time.Minute); !slot.After(h.now); slot = slot.Add(time.Minute) {
		switch {
		case h.version == "":
		case h.paused && (h.until.IsZero() || !slot.After(h.until)):
			h.minutes[slot] = "paused"
		default:
			h.minutes[slot] = h.version
		}
	}
	h.told = h.now
	if h.paused && !h.until.IsZero() && !h.until.After(h.now) {
		h.paused = false
	}
}

// sweep expects nothing to be wrong.
func (h *history) sweep(t *rapid.T) {
	s, err := h.s.Schedule(h.ctx, key(h.name))
	h.ok(t, err, store.ErrNotFound)
	if err != nil {
		return
	}
	swept, err := h.s.Sweep(h.ctx, s.ID-1, noon, h.now, 1)
	h.ok(t, err)
	if len(swept.Repairs) > 0 {
		t.Fatalf("the sweeper finds %v", swept.Repairs)
	}
}

// takeOver begins a session when those before it are over.
func (h *history) takeOver(t *rapid.T) {
	exec(t, h.s, "UPDATE sessions SET expires_at = 0")
	b, err := h.s.Beat(h.ctx, 0, farOff, time.Hour)
	h.ok(t, err)
	h.session = b.Session
	awake(t, h.s, h.since)
}

func (h *history) claim(t *rapid.T, share func([]string) []int) {
	for _, behind := range []bool{false, true} {
		c, err := h.s.Claim(h.ctx, store.Claim{Session: h.session, Now: h.now, Share: share, Behind: behind})
		h.ok(t, err)
		h.launch(t, c.Launch)
	}
}

// launch launches firings that are claimed, or dies at one of the steps.
func (h *history) launch(t *rapid.T, fs []schedule.Firing) {
	for _, f := range fs {
		h.mayLaunch(t, f)
		end := rapid.SampledFrom([]string{"launched", "launched", "failed", "died before", "died after"}).Draw(t, "launch")
		if end == "launched" || end == "died after" {
			_, err := h.s.CreateExecutions(h.ctx, []store.Execution{executionOf(f, store.Succeeded)})
			h.ok(t, err)
			h.launched[f.Execution()] = true
		}
		switch end {
		case "launched":
			f = launched(f, h.now)
		case "failed":
			f = failed(f, h.now.Add(time.Minute))
		default:
			continue
		}
		n, err := h.s.Settle(h.ctx, []schedule.Firing{f})
		h.ok(t, err)
		if n != 1 {
			t.Fatalf("a firing was not settled: %+v", f)
		}
	}
}

// mayLaunch expects f not to be from before its schedule last stopped, unless it was launched then.
func (h *history) mayLaunch(t *rapid.T, f schedule.Firing) {
	before := f.Kind != schedule.KindManual && !f.Slot.After(h.stopped)
	if (before || f.Stopped != "") && !h.launched[f.Execution()] {
		t.Fatalf("its schedule stopped at %s, and it launches: %+v", h.stopped, f)
	}
}

// firings are those of the launch plan, the earliest first.
func (h *history) firings(t *rapid.T) []schedule.Firing {
	q := of(key(h.name))
	q.SortBy, q.Ascending = "slot", true
	fs, err := h.s.Firings(h.ctx, q)
	h.ok(t, err)
	return fs
}

// account expects each minute to be accounted for once.
func (h *history) account(t *rapid.T) {
	var ranges []schedule.Firing
	own := make(map[time.Time]schedule.Firing)
	for _, f := range h.firings(t) {
		if f.Outcome == schedule.Missed || f.Count > 1 {
			ranges = append(ranges, f)
		} else {
			own[f.Slot] = f
		}
	}
	backlogs, err := h.s.Backlogs(h.ctx, of(key(h.name)))
	h.ok(t, err)
	for slot := at(1); !slot.After(h.now); slot = slot.Add(time.Minute) {
		want := h.minutes[slot]
		f, single := own[slot]
		covers := 0
		for _, r := range ranges {
			if !slot.Before(r.Slot) && !slot.After(r.Last) {
				covers++
			}
		}
		for _, b := range backlogs {
			if b.Ended == "" && slot.After(b.Cursor) && !slot.Before(b.First) && !slot.After(b.Last) {
				covers++
			}
		}
		by := single && f.Kind == schedule.KindManual // Somebody said what becomes of that slot.
		var good bool
		switch {
		case want == "":
			good = covers == 0 && (!single || by)
		case by:
			good = covers <= 1
		case single:
			// Word came of a slot that is later than others of which none did.
			good = (covers == 0 || (h.kept && covers == 1)) && (f.LaunchPlan.Version == want || (want == "paused" && f.Outcome == schedule.Skipped))
		default:
			good = covers == 1
		}
		if !good {
			t.Fatalf("slot %s, which was for %q, has the firing %+v, and %d ranges and backlogs cover it", slot, want, f, covers)
		}
	}
}

// finish has another engine launch all that there is.
func (h *history) finish(t *rapid.T) {
	for recorded := 1; recorded > 0; {
		f, err := h.s.Fill(h.ctx, 0, h.now, 1000, 0)
		h.ok(t, err)
		recorded = f.Recorded
	}
	h.takeOver(t)
	for _, behind := range []bool{false, true} {
		c, err := h.s.Claim(h.ctx, store.Claim{Session: h.session, Now: h.now.Add(time.Hour), Share: everything, Behind: behind})
		h.ok(t, err)
		for i, f := range c.Launch {
			h.mayLaunch(t, f)
			_, err := h.s.CreateExecutions(h.ctx, []store.Execution{executionOf(f, store.Succeeded)})
			h.ok(t, err)
			h.launched[f.Execution()] = true
			c.Launch[i] = launched(f, h.now)
		}
		_, err = h.s.Settle(h.ctx, c.Launch)
		h.ok(t, err)
	}
}

// settled expects nothing to be left, and the ledger to say what was launched.
func (h *history) settled(t *rapid.T) {
	for _, f := range h.firings(t) {
		if f.Outcome == schedule.Pending {
			t.Fatalf("a firing is left: %+v", f)
		}
		if f.Count > 1 {
			continue // Its first slot may have a firing of its own.
		}
		if got := f.Outcome == schedule.Launched; got != h.launched[f.Execution()] {
			t.Fatalf("its execution is there: %t, and the ledger has %+v", !got, f)
		}
	}
}
