package schedule_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tminus.dev/internal/schedule"
)

// foresee writes a preview as "11:00", with what is put off as "11:00+90s" and what is skipped in brackets.
func foresee(list []schedule.Coming) []string {
	var lines []string
	for _, c := range list {
		line := c.Slot.UTC().Format("15:04")
		if d := c.LaunchAt.Sub(c.Slot); d > 0 {
			line += "+" + d.String()
		}
		if c.Skipped {
			line = "(" + line + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestPreview(t *testing.T) {
	day := func(clock string) time.Time { return at("2026-01-01T" + clock + ":00Z") }
	hourly := schedule.Schedule{
		LaunchPlan: plan, Spec: schedule.Spec{Expression: "0 * * * ? *"}, Active: true, Cursor: day("10:00"), Anchor: day("10:00"),
	}
	policy := func(p schedule.Policy) func(*schedule.Schedule) {
		return func(s *schedule.Schedule) { s.Spec.Policy = p }
	}
	for _, tc := range []struct {
		name        string
		change      func(*schedule.Schedule)
		from, until string // of 2026-01-01
		decided     []string
		want        []string // of three
	}{
		{name: "the next slots", from: "10:30", want: []string{"11:00", "12:00", "13:00"}},
		{name: "from is exclusive", from: "11:00", want: []string{"12:00", "13:00", "14:00"}},
		{name: "until is inclusive", from: "10:30", until: "12:00", want: []string{"11:00", "12:00"}},
		{name: "what is decided is not to come", change: func(s *schedule.Schedule) { s.Cursor = day("12:00") }, from: "10:30", want: []string{"13:00", "14:00", "15:00"}},
		{name: "a skipped slot stays in its place", from: "10:30", decided: []string{"12:00"}, want: []string{"11:00", "(12:00)", "13:00"}},
		{name: "an inactive schedule", change: func(s *schedule.Schedule) { s.Active = false }, from: "10:30"},
		{name: "a schedule with a problem", change: func(s *schedule.Schedule) { s.Problem = "its zone is gone" }, from: "10:30"},
		{name: "a paused schedule", change: func(s *schedule.Schedule) { s.Paused = "holiday" }, from: "10:30"},
		{name: "a schedule that is paused until noon", change: func(s *schedule.Schedule) {
			s.Paused, s.PausedUntil = "holiday", day("12:00")
		}, from: "10:30", want: []string{"13:00", "14:00", "15:00"}},
		{name: "max-runs", change: policy(schedule.Policy{MaxRuns: 2}), from: "10:30", want: []string{"11:00", "12:00"}},
		{name: "max-runs counts what fired before", change: func(s *schedule.Schedule) {
			s.Spec.Policy.MaxRuns, s.Runs = 2, 1
		}, from: "10:30", want: []string{"11:00"}},
		{name: "max-runs is used up", change: func(s *schedule.Schedule) { s.Spec.Policy.MaxRuns, s.Runs = 2, 3 }, from: "10:30"},
		{name: "max-runs does not count what is skipped", change: policy(schedule.Policy{MaxRuns: 1}), from: "10:30", decided: []string{"11:00"}, want: []string{"(11:00)", "12:00"}},
		{name: "bounds", change: policy(schedule.Policy{StartAt: day("12:00"), EndAt: day("13:00")}), from: "10:30", want: []string{"12:00", "13:00"}},
		{name: "exclusions", change: policy(schedule.Policy{Exclude: []string{"* 12 * * ? *"}}), from: "10:30", want: []string{"11:00", "13:00", "14:00"}},
		{name: "a rate counts from its anchor", change: func(s *schedule.Schedule) { s.Spec.Expression = "rate(45 minutes)" }, from: "11:00", want: []string{"11:30", "12:15", "13:00"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := hourly
			if tc.change != nil {
				tc.change(&s)
			}
			var until time.Time
			if tc.until != "" {
				until = day(tc.until)
			}
			var decided []time.Time
			for _, clock := range tc.decided {
				decided = append(decided, day(clock))
			}
			got, err := schedule.Preview(s, day(tc.from), until, 3, decided)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, foresee(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	broken := hourly
	broken.Spec.Expression = "every day"
	if _, err := schedule.Preview(broken, day("10:30"), time.Time{}, 3, nil); err == nil {
		t.Error("what cannot be planned has a preview")
	}
}

// anySchedule draws an active schedule around start.
func anySchedule(t *rapid.T, start time.Time) schedule.Schedule {
	minutes := func(label string, least, most int) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(t, label)) * time.Minute
	}
	s := schedule.Schedule{
		ID: 1, LaunchPlan: plan, Active: true, Cursor: start.Add(minutes("cursor", -300, 60)), Anchor: start.Add(minutes("anchor", -300, 0)),
		Spec: schedule.Spec{
			Expression: rapid.SampledFrom([]string{
				"* * * * ? *", "*/7 * * * ? *", "0 */5 * * ? *", "30 9 ? * MON-FRI *", "*/3 * * * *", "0 0 29 2 *",
				"0 * * * ? 2020", "rate(13 minutes)", "rate(2 hours)", "CRON_TZ=Asia/Kolkata 15 */2 * * *",
			}).Draw(t, "expression"),
			Policy: schedule.Policy{
				MaxRuns: rapid.SampledFrom([]int{0, 0, 3, 40}).Draw(t, "max-runs"),
				Jitter:  rapid.SampledFrom([]time.Duration{0, 0, time.Minute, 3 * time.Hour}).Draw(t, "jitter"),
				Exclude: rapid.SampledFrom([][]string{nil, nil, {"* 12 * * ? *"}}).Draw(t, "exclude"),
			},
		},
		Runs: rapid.IntRange(0, 4).Draw(t, "runs"),
	}
	switch rapid.IntRange(0, 9).Draw(t, "state") {
	case 0:
		s.Active = false
	case 1:
		s.Paused = "holiday"
	case 2:
		s.Paused, s.PausedUntil = "holiday", start.Add(minutes("until", -60, 600))
	case 3:
		s.Spec.Policy.StartAt = start.Add(minutes("start", -60, 600))
	case 4:
		s.Spec.Policy.EndAt = start.Add(minutes("end", -60, 600))
	}
	return s
}

// What a preview says is what planning then does.
func TestPreviewSaysWhatPlanDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := at("2026-03-01T00:00:00Z")
		s := anySchedule(t, start)
		s.Paused, s.PausedUntil = "", time.Time{}
		until := s.Cursor.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "minutes")) * time.Minute)
		var want []schedule.Coming
		if s.Active {
			planned, err := schedule.Plan(s, until, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range planned.Firings {
				want = append(want, schedule.Coming{Slot: f.Slot, LaunchAt: f.AttemptAt})
			}
		}
		got, err := schedule.Preview(s, s.Cursor.Add(-time.Hour), until, 1000, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-planned +preview):\n%s", diff)
		}
	})
}

// The slots of two schedules are compared as if both had been written down for long enough.
func TestDiffSlotsAgreesWithPreviews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := at("2026-03-01T00:00:00Z")
		before := anySchedule(t, start)
		after := before
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0: // None.
		case 1:
			after.Spec.Policy.MaxRuns = 5
		default:
			after = anySchedule(t, start)
		}
		n := rapid.IntRange(1, 12).Draw(t, "n")
		const long = 3000
		slots := func(s schedule.Schedule) []time.Time {
			list, err := schedule.Preview(s, start, time.Time{}, long, nil)
			if err != nil {
				t.Fatal(err)
			}
			var slots []time.Time
			for _, c := range list {
				slots = append(slots, c.Slot.UTC())
			}
			return slots
		}
		b, a := slots(before), slots(after)
		shown := slices.Concat(b[:min(n, len(b))], a[:min(n, len(a))])
		slices.SortFunc(shown, time.Time.Compare)
		shown = slices.Compact(shown)
		got, err := schedule.DiffSlots(before, after, start, n)
		if err != nil {
			t.Fatal(err)
		}
		var times []time.Time
		for _, d := range got {
			times = append(times, d.Slot)
			for _, side := range []struct {
				has  bool
				list []time.Time
			}{{d.Before, b}, {d.After, a}} {
				if len(side.list) == long && d.Slot.After(side.list[long-1]) {
					continue // Not written down for long enough.
				}
				if side.has != slices.Contains(side.list, d.Slot) {
					t.Fatalf("%v is wrong about %v", d, side.list)
				}
			}
		}
		if diff := cmp.Diff(shown, times); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestActivated(t *testing.T) {
	now := at("2026-03-01T12:00:00Z")
	old := schedule.Schedule{
		ID: 7, LaunchPlan: plan, Spec: schedule.Spec{Expression: "rate(45 minutes)"}, Active: true, Revision: 3, Runs: 4,
		Cursor: at("2026-03-01T11:45:00Z"), Anchor: at("2026-02-01T00:00:00Z"),
	}
	newer := plan
	newer.Version = "v2"
	change := func(f func(*schedule.Schedule)) schedule.Schedule {
		s := old
		f(&s)
		return s
	}
	for _, tc := range []struct {
		name  string
		old   schedule.Schedule
		to    string
		spec  string
		want  string // the first slot
		runs  int
		since time.Time
	}{
		{name: "another version with the same rate keeps the phase", old: old, to: "v2", spec: "rate(45 minutes)", want: "12:45"},
		{name: "another rate begins now", old: old, to: "v2", spec: "rate(50 minutes)", want: "12:50"},
		{name: "an inactive schedule begins now", old: change(func(s *schedule.Schedule) { s.Active = false }), to: "v1", spec: "rate(45 minutes)", want: "12:45"},
		{name: "the first schedule begins now", to: "v1", spec: "rate(50 minutes)", want: "12:50"},
		{name: "the same version is resumed", old: change(func(s *schedule.Schedule) { s.Paused = "holiday" }), to: "v1", spec: "rate(45 minutes)", want: "12:45", runs: 4},
		{name: "no slot is decided twice", old: change(func(s *schedule.Schedule) { s.Cursor = at("2026-03-01T13:30:00Z") }), to: "v2", spec: "rate(45 minutes)", want: "14:15"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := plan
			id.Version = tc.to
			got := tc.old.Activated(id, schedule.Spec{Expression: tc.spec}, now)
			list, err := schedule.Preview(got, now, time.Time{}, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if first := fmt.Sprint(foresee(list)); first != "["+tc.want+"]" || got.Runs != tc.runs || got.LaunchPlan != id || got.ID != tc.old.ID {
				t.Errorf("first slot %s, want %s: %+v", first, tc.want, got)
			}
		})
	}
}
