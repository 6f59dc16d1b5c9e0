package schedule_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/schedule"
)

// TestWordIsAboutSlots lists what there may be word of, at half past twelve, of a
// schedule that was activated at noon.
func TestWordIsAboutSlots(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	berlin := schedule.Policy{Timezone: "Europe/Berlin"}
	for _, c := range []struct {
		name, expression string
		policy           schedule.Policy
		words            []string // of the day
		want             []string // slots, early, or the beginning of a problem
	}{
		{"on the second", "*/5 * * * ? *", schedule.Policy{}, []string{"12:05:00"}, []string{"12:05:00"}},
		{"somewhere in the minute", "*/5 * * * ? *", schedule.Policy{}, []string{"12:05:59"}, []string{"12:05:00"}},
		{"twice", "*/5 * * * ? *", schedule.Policy{}, []string{"12:05:00", "12:05:00", "12:05:30"}, []string{"12:05:00"}},
		{"out of order", "*/5 * * * ? *", schedule.Policy{}, []string{"12:20:00", "12:10:00", "12:05:00"}, []string{"12:20:00", "12:10:00", "12:05:00"}},
		{"in the zone", "0 13 * * ? *", berlin, []string{"12:00:01", "13:00:00"}, []string{"problem the slot 2026-03-02T12:00:00Z came due before", "problem 2026-03-02T13:00:00Z is no slot of 0 13 * * ? *; the next one is 2026-03-03T12:00:00Z"}},
		{"no slot", "*/5 * * * ? *", schedule.Policy{}, []string{"12:06:00"}, []string{"problem 2026-03-02T12:06:00Z is no slot of */5 * * * ? *; the next one is 2026-03-02T12:10:00Z"}},
		{"before the activation", "*/5 * * * ? *", schedule.Policy{}, []string{"11:55:00"}, []string{"problem the slot 2026-03-02T11:55:00Z came due before the schedule was activated"}},
		{"at the activation", "*/5 * * * ? *", schedule.Policy{}, []string{"12:00:00"}, []string{"problem the slot 2026-03-02T12:00:00Z came due before"}},
		{"a little ahead of the clock", "*/5 * * * ? *", schedule.Policy{}, []string{"12:35:00"}, []string{"early"}},
		{"far ahead of the clock", "*/5 * * * ? *", schedule.Policy{}, []string{"12:50:00"}, []string{"problem the slot 2026-03-02T12:50:00Z lies in the future"}},
		{"an excluded slot", "*/5 * * * ? *", schedule.Policy{Exclude: []string{"10 * * * ? *"}}, []string{"12:10:00", "12:15:00"}, []string{"12:15:00"}},
		{"outside of its bounds", "*/5 * * * ? *", schedule.Policy{StartAt: noon.Add(6 * time.Minute), EndAt: noon.Add(12 * time.Minute)}, []string{"12:05:00", "12:10:00", "12:15:00"}, []string{"12:10:00"}},
		{"more than it may run", "*/5 * * * ? *", schedule.Policy{MaxRuns: 2}, []string{"12:05:00", "12:10:00", "12:15:00"}, []string{"12:05:00", "12:10:00"}},
		{"once", "at(2026-03-02T12:07:30)", schedule.Policy{}, []string{"12:07:30"}, []string{"12:07:30"}},

		{"a rate as it was activated", "rate(5 minutes)", schedule.Policy{}, []string{"12:05:02", "12:09:59", "12:15:03"}, []string{"12:05:00", "12:10:00", "12:15:00"}},
		{"a rate that AWS counts from another time", "rate(5 minutes)", schedule.Policy{}, []string{"12:02:10", "12:07:11", "12:12:09"}, []string{"12:02:10", "12:07:10", "12:12:10"}},
		{"the same again", "rate(5 minutes)", schedule.Policy{}, []string{"12:02:10", "12:02:10", "12:07:11", "12:07:11", "12:02:10"}, []string{"12:02:10", "12:07:10"}},
		{"a rate that begins at once", "rate(1 hour)", schedule.Policy{}, []string{"12:00:40"}, []string{"12:00:40"}},
		{"a rate by the minute", "rate(1 minute)", schedule.Policy{}, []string{"12:01:20", "12:02:20", "12:03:21"}, []string{"12:01:20", "12:02:20", "12:03:20"}},
		{"a rate whose count begins anew", "rate(5 minutes)", schedule.Policy{}, []string{"12:05:00", "12:12:30", "12:17:30"}, []string{"12:05:00", "12:12:30", "12:17:30"}},
		{"a rate before the activation", "rate(5 minutes)", schedule.Policy{}, []string{"11:58:00"}, []string{"problem the slot 2026-03-02T11:58:00Z came due before"}},
		{"a rate on an excluded hour", "rate(5 minutes)", schedule.Policy{Exclude: []string{"10-14 12 * * ? *"}}, []string{"12:05:00", "12:10:00", "12:15:00"}, []string{"12:05:00", "12:15:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := schedule.Schedule{Active: true, Spec: schedule.Spec{Expression: c.expression, Policy: c.policy}, Cursor: noon, Anchor: noon}
			in, err := schedule.NewIntake(s, noon.Add(30*time.Minute), noon)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range c.words {
				at, err := time.Parse(time.DateTime, "2026-03-02 "+w)
				if err != nil {
					t.Fatal(err)
				}
				before := len(in.Planned().Firings)
				early, problem := in.Take(at, func(time.Time) bool { return false })
				if early {
					got = append(got, "early")
				}
				if problem != "" {
					got = append(got, "problem "+problem)
				}
				for _, f := range in.Planned().Firings[before:] {
					if f.Outcome == schedule.Pending {
						got = append(got, f.Slot.UTC().Format(time.TimeOnly))
					}
				}
			}
			if !slices.EqualFunc(c.want, got, func(w, g string) bool { return w == g || (strings.HasPrefix(w, "problem") && strings.HasPrefix(g, w)) }) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestWordOfARateMayComeALittleBeforeItsSlot records it at once, to be launched then.
func TestWordOfARateMayComeALittleBeforeItsSlot(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	word := noon.Add(5*time.Minute - 20*time.Second)
	in, err := schedule.NewIntake(schedule.Schedule{Active: true, Spec: schedule.Spec{Expression: "rate(5 minutes)"}, Cursor: noon, Anchor: noon}, word, noon)
	if err != nil {
		t.Fatal(err)
	}
	if early, problem := in.Take(word, func(time.Time) bool { return false }); early || problem != "" {
		t.Errorf("early %t, %q", early, problem)
	}
	if fs := in.Planned().Firings; len(fs) != 1 || !fs[0].Slot.Equal(noon.Add(5*time.Minute)) || !fs[0].AttemptAt.Equal(fs[0].Slot) {
		t.Errorf("got %+v", fs)
	}
	if p := in.Planned(); !p.Cursor.Equal(noon.Add(5*time.Minute)) || !p.Next.Equal(noon.Add(10*time.Minute)) {
		t.Errorf("the cursor is %s, and the next slot %s", p.Cursor, p.Next)
	}
}

// TestWordFromBeforeAnybodyTookItSaysWhenARateComesDue leaves the slot to Audit,
// which otherwise would not know of it.
func TestWordFromBeforeAnybodyTookItSaysWhenARateComesDue(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	word, now := noon.Add(2*time.Minute), noon.Add(3*time.Minute)
	s := schedule.Schedule{Active: true, Spec: schedule.Spec{Expression: "rate(5 minutes)", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}}, Cursor: noon, Anchor: noon}
	in, err := schedule.NewIntake(s, now, now)
	if err != nil {
		t.Fatal(err)
	}
	if early, problem := in.Take(word, func(time.Time) bool { return false }); early || problem != "" {
		t.Errorf("early %t, %q", early, problem)
	}
	p := in.Planned()
	if len(p.Firings) > 0 || !p.Next.Equal(word) {
		t.Errorf("it is not left to be audited: %+v", p)
	}
	s.Anchor, s.Cursor = in.Anchor, p.Cursor
	audited, err := schedule.Audit(s, now, now, schedule.Down(now), nil)
	if err != nil {
		t.Fatal(err)
	}
	if fs := audited.Firings; len(fs) != 1 || !fs[0].Slot.Equal(word) || !audited.Next.Equal(word.Add(5*time.Minute)) {
		t.Errorf("audited to %+v", audited)
	}
}

// TestWordAndAuditDecideEachSlotOnce takes word of most slots, in disorder, and
// audits the rest: each slot is decided once, and nothing else is.
func TestWordAndAuditDecideEachSlotOnce(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 2, 12, 0, 30, 0, time.UTC)
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := schedule.Schedule{Active: true, Cursor: noon, Anchor: noon, Spec: schedule.Spec{Expression: "* * * * ? *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}}}
		decided := map[string]int{}
		var own []time.Time
		apply := func(p schedule.Planned) {
			for _, f := range p.Firings {
				decided[f.Slot.Format(time.TimeOnly)]++
				own = append(own, f.Slot)
			}
			if b := p.Backlog; b != nil {
				for slot := b.First; !slot.After(b.Last); slot = slot.Add(time.Minute) {
					decided[slot.Format(time.TimeOnly)]++
				}
			}
			s.Cursor, s.Runs = p.Cursor, p.Runs
		}
		now := noon
		for range 20 {
			now = now.Add(time.Duration(r.IntN(10)) * time.Minute)
			in, err := schedule.NewIntake(s, now, noon)
			if err != nil {
				t.Fatal(err)
			}
			for range r.IntN(8) {
				word := now.Truncate(time.Minute).Add(-time.Duration(r.IntN(15)) * time.Minute)
				if word.Before(noon) || slices.ContainsFunc(own, word.Equal) {
					continue
				}
				in.Take(word.Add(time.Duration(r.IntN(60))*time.Second), func(time.Time) bool { return true })
			}
			apply(in.Planned())
			var have []time.Time
			for _, slot := range own {
				if slot.After(s.Cursor) {
					have = append(have, slot)
				}
			}
			p, err := schedule.Audit(s, now.Add(-time.Duration(r.IntN(20))*time.Minute), now, "silence", have)
			if err != nil {
				t.Fatal(err)
			}
			apply(p)
		}
		p, err := schedule.Audit(s, now, now, "silence", slices.DeleteFunc(slices.Clone(own), func(slot time.Time) bool { return !slot.After(s.Cursor) }))
		if err != nil {
			t.Fatal(err)
		}
		apply(p)
		want := map[string]int{}
		for slot := noon.Truncate(time.Minute).Add(time.Minute); !slot.After(now); slot = slot.Add(time.Minute) {
			want[slot.Format(time.TimeOnly)] = 1
		}
		if diff := cmp.Diff(want, decided); diff != "" {
			t.Fatalf("seed %d: (-want +got):\n%s", seed, diff)
		}
	}
}
