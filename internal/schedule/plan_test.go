package schedule_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

var plan = ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: "report"}, Version: "v1"}

// tell writes a firing as "15:04 pending", or "15:04 catch-up" for one that is
// caught up, a missed run as "15:04..15:10 x7 missed", and then the backlog.
func tell(p schedule.Planned) []string {
	var lines []string
	for _, f := range p.Firings {
		line, what := f.Slot.UTC().Format("15:04"), string(f.Outcome)
		if f.Count > 1 {
			line += fmt.Sprintf("..%s x%d", f.Last.UTC().Format("15:04"), f.Count)
		}
		if f.Outcome == schedule.Pending && f.Kind != schedule.KindScheduled {
			what = string(f.Kind)
		}
		lines = append(lines, line+" "+what)
	}
	if b := p.Backlog; b != nil {
		lines = append(lines, fmt.Sprintf("%s..%s %s backlog", b.First.UTC().Format("15:04"), b.Last.UTC().Format("15:04"), b.Kind))
	}
	return lines
}

func TestPlan(t *testing.T) {
	const hourly = "0 * * * ? *"
	for _, tc := range []struct {
		name               string
		expression         string // default: every hour
		policy             schedule.Policy
		anchor             string // default: 10:00
		cursor, now, since string // of 2026-01-01
		runs               int
		want               []string
		next               string
	}{
		{name: "nothing is due", cursor: "10:00", now: "10:59", since: "00:00", next: "11:00"},
		{name: "a slot is due at its very second", cursor: "10:00", now: "11:00", since: "00:00", want: []string{"11:00 pending"}, next: "12:00"},
		{name: "while awake, every slot launches however late", cursor: "10:00", now: "13:30", since: "00:00", want: []string{"11:00 pending", "12:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "by default the latest missed slot is caught up", cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00..12:00 x2 missed", "13:00 catch-up"}, next: "14:00"},
		{name: "one missed slot is caught up", cursor: "10:00", now: "11:30", since: "11:30", want: []string{"11:00 catch-up"}, next: "12:00"},
		{name: "catch-up and live slots in one pass", cursor: "10:00", now: "15:00", since: "13:30", want: []string{"11:00..12:00 x2 missed", "13:00 catch-up", "14:00 pending", "15:00 pending"}, next: "16:00"},
		{name: "catch-up none", policy: schedule.Policy{CatchUp: schedule.CatchUpNone}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00..13:00 x3 missed"}, next: "14:00"},
		{name: "catch-up all", policy: schedule.Policy{CatchUp: schedule.CatchUpAll}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 catch-up", "12:00 catch-up", "13:00 catch-up"}, next: "14:00"},
		{name: "catch-up of the latest two", policy: schedule.Policy{CatchUp: 2}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 missed", "12:00 catch-up", "13:00 catch-up"}, next: "14:00"},
		{name: "catch-up of more than there are", policy: schedule.Policy{CatchUp: 9}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 catch-up", "12:00 catch-up", "13:00 catch-up"}, next: "14:00"},
		{name: "a window bounds catch-up all", policy: schedule.Policy{CatchUp: schedule.CatchUpAll, CatchUpWindow: 90 * time.Minute}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 missed", "12:00 catch-up", "13:00 catch-up"}, next: "14:00"},
		{name: "a window bounds the latest", policy: schedule.Policy{CatchUpWindow: 20 * time.Minute}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00..13:00 x3 missed"}, next: "14:00"},
		{name: "the newest may be caught up first", policy: schedule.Policy{CatchUp: 2, CatchUpOrder: schedule.NewestFirst}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 missed", "13:00 catch-up", "12:00 catch-up"}, next: "14:00"},
		{name: "ten missed slots are recorded at once", expression: "*/10 * * * *", policy: schedule.Policy{CatchUp: 10}, cursor: "10:00", now: "11:59", since: "11:51", want: []string{"10:10 missed", "10:20 catch-up", "10:30 catch-up", "10:40 catch-up", "10:50 catch-up", "11:00 catch-up", "11:10 catch-up", "11:20 catch-up", "11:30 catch-up", "11:40 catch-up", "11:50 catch-up"}, next: "12:00"},
		{name: "more missed slots are a backlog", expression: "*/10 * * * *", policy: schedule.Policy{CatchUp: 11}, cursor: "10:00", now: "12:09", since: "11:55", want: []string{"12:00 pending", "10:10..11:50 catch-up backlog"}, next: "12:10"},
		{name: "what a backlog leaves out is one missed run", expression: "* * * * *", policy: schedule.Policy{CatchUp: 60}, cursor: "10:00", now: "12:00", since: "12:00", want: []string{"10:01..10:59 x59 missed", "12:00 pending", "11:00..11:59 catch-up backlog"}, next: "12:01"},
		{name: "max runs cuts a catch-up", policy: schedule.Policy{CatchUp: 2, MaxRuns: 1}, cursor: "10:00", now: "15:30", since: "13:30", want: []string{"11:00 missed", "12:00 catch-up"}, next: ""},
		{name: "max runs cuts a backlog", expression: "* * * * *", policy: schedule.Policy{CatchUp: schedule.CatchUpAll, MaxRuns: 25}, cursor: "10:00", now: "12:00", since: "12:00", runs: 5, want: []string{"10:01..10:20 catch-up backlog"}, next: ""},
		{name: "max runs counts catch-up and live slots", policy: schedule.Policy{MaxRuns: 2}, cursor: "10:00", now: "15:30", since: "13:30", want: []string{"11:00..12:00 x2 missed", "13:00 catch-up", "14:00 pending"}, next: ""},
		{name: "a schedule that has ended misses nothing", policy: schedule.Policy{MaxRuns: 2}, cursor: "10:00", now: "13:30", since: "13:30", runs: 2, next: ""},
		{name: "what comes after the end is not missed", policy: schedule.Policy{CatchUp: schedule.CatchUpNone, EndAt: at("2026-01-01T12:00:00Z")}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00..12:00 x2 missed"}, next: ""},
		{name: "max runs ends the schedule", policy: schedule.Policy{MaxRuns: 2}, cursor: "10:00", now: "13:30", since: "00:00", want: []string{"11:00 pending", "12:00 pending"}, next: ""},
		{name: "max runs counts what fired before", policy: schedule.Policy{MaxRuns: 2}, cursor: "10:00", now: "13:30", since: "00:00", runs: 1, want: []string{"11:00 pending"}, next: ""},
		{name: "start is inclusive", policy: schedule.Policy{StartAt: at("2026-01-01T12:00:00Z")}, cursor: "10:00", now: "13:30", since: "00:00", want: []string{"12:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "end is inclusive", policy: schedule.Policy{EndAt: at("2026-01-01T12:00:00Z")}, cursor: "10:00", now: "13:30", since: "00:00", want: []string{"11:00 pending", "12:00 pending"}, next: ""},
		{name: "an excluded slot is none", policy: schedule.Policy{Exclude: []string{"* 12 * * ? *"}}, cursor: "10:00", now: "13:30", since: "00:00", want: []string{"11:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "a fractional start is not rounded down", policy: schedule.Policy{StartAt: at("2026-01-01T12:00:00.5Z")}, cursor: "10:00", now: "13:30", since: "00:00", want: []string{"13:00 pending"}, next: "14:00"},
		{name: "an exclusion takes slots of a rate at odd seconds", expression: "rate(60 minutes)", anchor: "2026-01-01T10:00:37Z", policy: schedule.Policy{Exclude: []string{"* 12 * * ? *"}}, cursor: "10:30", now: "13:30", since: "00:00", want: []string{"11:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "a rate counts from its anchor", expression: "rate(40 minutes)", cursor: "10:00", now: "11:30", since: "00:00", want: []string{"10:40 pending", "11:20 pending"}, next: "12:00"},
		{name: "a unix expression with its own zone", expression: "CRON_TZ=Asia/Kolkata 0 * * * *", cursor: "10:00", now: "11:00", since: "00:00", want: []string{"10:30 pending"}, next: "11:30"},
		{name: "a zone of the policy", policy: schedule.Policy{Timezone: "Asia/Kolkata"}, cursor: "10:00", now: "11:00", since: "00:00", want: []string{"10:30 pending"}, next: "11:30"},
		{name: "a year that has passed", expression: "0 * * * ? 2020", cursor: "10:00", now: "11:00", since: "00:00", next: ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			day := func(clock string) time.Time { return at("2026-01-01T" + clock + ":00Z") }
			expression := tc.expression
			if expression == "" {
				expression = hourly
			}
			anchor := day("10:00")
			if tc.anchor != "" {
				anchor = at(tc.anchor)
			}
			got, err := schedule.Plan(schedule.Schedule{
				ID: 7, LaunchPlan: plan, Spec: schedule.Spec{Expression: expression, Policy: tc.policy},
				Active: true, Cursor: day(tc.cursor), Anchor: anchor, Runs: tc.runs,
			}, day(tc.now), day(tc.since))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, tell(got)); diff != "" {
				t.Errorf("firings (-want +got):\n%s", diff)
			}
			next := ""
			if !got.Next.IsZero() {
				next = got.Next.UTC().Format("15:04")
			}
			if next != tc.next {
				t.Errorf("next: got %q, want %q", next, tc.next)
			}
		})
	}
}

func TestPlanOfABrokenScheduleIsAnError(t *testing.T) {
	_, err := schedule.Plan(schedule.Schedule{Spec: schedule.Spec{Expression: "every day"}}, time.Now(), time.Now())
	if err == nil {
		t.Error("planned")
	}
}

func TestCompileRefusesExclusionsThatAreNone(t *testing.T) {
	for _, exclusion := range []string{"", "christmas", "rate(5 minutes)", "@every 1h", "CRON_TZ=UTC 0 12 * * *", " CRON_TZ=UTC 0 12 * * *", "TZ=UTC 0 12 * * *", "* * 25 12 * *"} {
		spec := schedule.Spec{Expression: "0 * * * ? *", Policy: schedule.Policy{Exclude: []string{exclusion}}}
		if _, err := spec.Compile(time.Time{}); err == nil || !strings.Contains(err.Error(), "tminus.dev/exclude") {
			t.Errorf("%q: got %v", exclusion, err)
		}
	}
}

func TestPlanSaysWhenExclusionsTakeEverySlot(t *testing.T) {
	s := schedule.Schedule{
		Active: true, Cursor: at("2026-12-31T23:58:00Z"),
		Spec: schedule.Spec{Expression: "* * * * ? *", Policy: schedule.Policy{Exclude: []string{"* * * * ? 2027-2029"}}},
	}
	plan := func() schedule.Planned {
		p, err := schedule.Plan(s, at("2027-01-01T00:00:00Z"), s.Cursor)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"23:59 pending"}, tell(p)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return p
	}
	if p := plan(); !p.Next.Equal(at("2030-01-01T00:00:00Z")) || p.Problem != "" {
		t.Errorf("three years are excluded: next %s, problem %q", p.Next, p.Problem)
	}
	s.Spec.Policy.Exclude = []string{"* * * * ? 2027-2199"}
	if p := plan(); !p.Next.IsZero() || !strings.Contains(p.Problem, "exclusions take each") {
		t.Errorf("all that is left is excluded: next %s, problem %q", p.Next, p.Problem)
	}
}

func TestFiringsSayHowTheyLaunch(t *testing.T) {
	now := at("2026-01-01T13:30:00Z")
	s := schedule.Schedule{
		ID: 7, LaunchPlan: plan, Active: true, Cursor: at("2026-01-01T10:00:00Z"),
		Spec: schedule.Spec{Expression: "0 * * * ? *", Policy: schedule.Policy{
			CatchUp: 2, CatchUpOrder: schedule.NewestFirst, LaunchDeadline: time.Hour,
			Overlap: schedule.OverlapBufferAll, Buffer: 3, MaxRunning: 4, Priority: 5,
		}},
	}
	got, err := schedule.Plan(s, now, at("2026-01-01T12:30:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	firing := func(slot string, change func(*schedule.Firing)) schedule.Firing {
		f := schedule.Firing{
			ScheduleID: 7, LaunchPlan: plan, Kind: schedule.KindCatchUp, Slot: at(slot), Last: at(slot), Count: 1,
			Outcome: schedule.Pending, Behind: true, AttemptAt: now, Deadline: now.Add(time.Hour),
			Overlap: schedule.OverlapBufferAll, Buffer: 3, MaxRunning: 4, Priority: 5, RecordedAt: now,
		}
		change(&f)
		return f
	}
	want := []schedule.Firing{
		firing("2026-01-01T12:00:00Z", func(*schedule.Firing) {}),
		firing("2026-01-01T11:00:00Z", func(f *schedule.Firing) { f.AttemptAt = now.Add(time.Microsecond) }),
		firing("2026-01-01T13:00:00Z", func(f *schedule.Firing) {
			f.Kind, f.Behind, f.AttemptAt = schedule.KindScheduled, false, f.Slot
		}),
	}
	if diff := cmp.Diff(want, got.Firings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	s.Spec.Policy.CatchUp = schedule.CatchUpNone
	if got, err = schedule.Plan(s, now, now); err != nil {
		t.Fatal(err)
	}
	want = []schedule.Firing{{
		ScheduleID: 7, LaunchPlan: plan, Kind: schedule.KindScheduled,
		Slot: at("2026-01-01T11:00:00Z"), Last: at("2026-01-01T13:00:00Z"), Count: 3, Outcome: schedule.Missed,
		Reason:     "down until 2026-01-01T13:30:00Z: catch-up is none within 24h0m0s",
		RecordedAt: now, SettledAt: now,
	}}
	if diff := cmp.Diff(want, got.Firings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A live slot that jitter puts off has its deadline from then on.
func TestDeadlineIsCountedFromTheAttempt(t *testing.T) {
	slot := at("2026-01-01T11:00:00Z")
	p, err := schedule.Plan(schedule.Schedule{
		LaunchPlan: plan, Active: true, Cursor: slot.Add(-time.Hour),
		Spec: schedule.Spec{Expression: "0 * * * ? *", Policy: schedule.Policy{Jitter: 50 * time.Minute}},
	}, slot, slot.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	f := p.Firings[0]
	if !f.AttemptAt.After(slot) || !f.Deadline.Equal(f.AttemptAt.Add(schedule.DefaultLaunchDeadline)) {
		t.Errorf("attempt at %s, deadline %s", f.AttemptAt, f.Deadline)
	}
}

// naive decides the slots of a schedule by walking through all of them.
func naive(timetable schedule.Timetable, s schedule.Schedule, now, since time.Time) (dropped, kept, live []time.Time) {
	policy := s.Spec.Policy
	var missed []time.Time
	for slot := timetable.Next(s.Cursor); !slot.IsZero() && !slot.After(now); slot = timetable.Next(slot) {
		if slot.Before(since) {
			missed = append(missed, slot)
		} else {
			live = append(live, slot)
		}
	}
	limit := map[schedule.CatchUp]int{schedule.CatchUpNone: 0, schedule.CatchUpLatest: 1, schedule.CatchUpAll: len(missed)}
	for i, slot := range missed {
		most, named := limit[policy.CatchUp]
		if !named {
			most = int(policy.CatchUp)
		}
		if len(missed)-i > most || slot.Before(now.Add(-policy.CatchUpWindow)) {
			dropped = append(dropped, slot)
		} else {
			kept = append(kept, slot)
		}
	}
	if policy.MaxRuns > 0 {
		left := policy.MaxRuns - s.Runs
		if left <= 0 {
			return nil, nil, nil
		}
		kept = kept[:min(len(kept), left)]
		live = live[:min(len(live), left-len(kept))]
	}
	return dropped, kept, live
}

func drawSchedule(t *rapid.T, start time.Time) schedule.Schedule {
	minutes := func(label string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Minute
	}
	s := schedule.Schedule{
		LaunchPlan: plan, Active: true, Cursor: start, Anchor: start,
		Runs: rapid.IntRange(0, 3).Draw(t, "runs"),
		Spec: schedule.Spec{
			Expression: rapid.SampledFrom([]string{
				"* * * * ? *", "*/7 * * * ? *", "0 */5 * * ? *", "30 9 ? * MON-FRI *", "*/3 * * * *", "rate(13 minutes)", "rate(2 hours)",
				"at(2026-03-29T04:00:00)", "0 0 1 1 ? 2020",
			}).Draw(t, "expression"),
			Policy: schedule.Policy{
				Timezone:      rapid.SampledFrom([]string{"UTC", "Europe/Berlin"}).Draw(t, "zone"),
				CatchUp:       schedule.CatchUp(rapid.OneOf(rapid.IntRange(-2, 30), rapid.IntRange(30, 3000)).Draw(t, "catch-up")),
				CatchUpWindow: minutes("window", 5000) + time.Minute,
				CatchUpOrder:  rapid.SampledFrom([]schedule.Order{"", schedule.OldestFirst, schedule.NewestFirst}).Draw(t, "order"),
				Jitter:        minutes("jitter", 100),
			},
		},
	}
	if rapid.Bool().Draw(t, "bounded") {
		s.Spec.Policy.StartAt = start.Add(minutes("start", 2000))
		s.Spec.Policy.EndAt = start.Add(minutes("end", 5000))
	}
	if rapid.Bool().Draw(t, "excluded") {
		s.Spec.Policy.Exclude = []string{"* 2-4 * * ? *"}
	}
	if rapid.Bool().Draw(t, "ends") {
		s.Spec.Policy.MaxRuns = rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(1, 3000)).Draw(t, "max-runs")
	}
	return s
}

// Whatever the policy and the times, each slot after the cursor and up to the
// new one is in exactly one firing, missed run or backlog, and no other instant is.
func TestEverySlotIsDecidedOnce(t *testing.T) {
	// The clocks of Berlin change on the second day.
	start := at("2026-03-28T00:00:00Z")
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchedule(t, start)
		now := start.Add(time.Duration(rapid.IntRange(0, 4000*60).Draw(t, "now")) * time.Second)
		since := start.Add(time.Duration(rapid.IntRange(0, 4000*60).Draw(t, "since")) * time.Second)
		timetable, err := s.Spec.Compile(s.Anchor)
		if err != nil {
			t.Fatal(err)
		}
		dropped, kept, live := naive(timetable, s, now, since)
		p, err := schedule.Plan(s, now, since)
		if err != nil {
			t.Fatal(err)
		}

		var gotKept, gotLive []time.Time
		for i, f := range p.Firings {
			switch {
			case f.Outcome == schedule.Missed:
				if i > 0 || len(dropped) == 0 || !f.Slot.Equal(dropped[0]) || !f.Last.Equal(dropped[len(dropped)-1]) || f.Count != len(dropped) {
					t.Fatalf("missed %s..%s, %d slots; want %v", f.Slot, f.Last, f.Count, dropped)
				}
				dropped = nil
			case f.Kind == schedule.KindCatchUp:
				gotKept = append(gotKept, f.Slot)
			default:
				gotLive = append(gotLive, f.Slot)
				if next := timetable.Next(f.Slot); !next.IsZero() {
					if late := f.AttemptAt.Sub(f.Slot); late < 0 || late >= next.Sub(f.Slot) {
						t.Fatalf("launch at %s, %s after its slot; the next is at %s", f.AttemptAt, late, next)
					}
				}
			}
		}
		if len(dropped) > 0 {
			t.Fatalf("%v are in no missed run", dropped)
		}
		if p.Backlog != nil {
			if len(gotKept) > 0 || len(kept) <= 10 {
				t.Fatalf("backlog %+v of %d slots", p.Backlog, len(kept))
			}
			gotKept = drain(t, s, *p.Backlog, len(kept))
		}
		if s.Spec.Policy.CatchUpOrder == schedule.NewestFirst {
			slices.Reverse(gotKept)
		}
		if diff := cmp.Diff(kept, gotKept, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("caught up (-want +got):\n%s", diff)
		}
		if len(p.Firings) > 1000 {
			t.Fatalf("%d firings at once", len(p.Firings))
		} else if len(p.Firings) == 1000 {
			live = live[:len(gotLive)]
		}
		if diff := cmp.Diff(live, gotLive, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("live (-want +got):\n%s", diff)
		}

		if runs := s.Runs + len(kept) + len(live); p.Runs != runs {
			t.Fatalf("%d runs, want %d", p.Runs, runs)
		}
		next := timetable.Next(p.Cursor)
		if most := s.Spec.Policy.MaxRuns; most > 0 && p.Runs >= most {
			next = time.Time{}
		}
		if !p.Next.Equal(next) {
			t.Fatalf("next is %s, want %s", p.Next, next)
		}
		if len(p.Firings) < 1000 && !next.IsZero() && !next.After(now) {
			t.Fatalf("slot %s is due at %s and undecided", next, now)
		}
	})
}

// drain fills b in steps and returns the slots in the order in which they launch.
func drain(t *rapid.T, s schedule.Schedule, b schedule.Backlog, want int) []time.Time {
	now := at("2026-06-01T00:00:00Z")
	var slots []time.Time
	for done := false; !done; {
		first, last, left, err := b.Left(s)
		if err != nil {
			t.Fatal(err)
		}
		if left != want-len(slots) {
			t.Fatalf("%d are left after %d of %d", left, len(slots), want)
		}
		most := rapid.IntRange(1, 500).Draw(t, "most")
		var fs []schedule.Firing
		if fs, b, done, err = b.Fill(s, now, most); err != nil {
			t.Fatal(err)
		}
		if len(fs) != min(most, left) {
			t.Fatalf("%d firings, want %d of %d", len(fs), most, left)
		}
		head := first
		if b.NewestFirst {
			head = last
		}
		if !fs[0].Slot.Equal(head) {
			t.Fatalf("%s is next, want %s", fs[0].Slot, head)
		}
		for i, f := range fs {
			if !f.Behind || f.Kind != b.Kind || !f.AttemptAt.Equal(now.Add(time.Duration(i)*time.Microsecond)) {
				t.Fatalf("firing %d is %+v", i, f)
			}
			slots = append(slots, f.Slot)
		}
	}
	if _, _, left, err := b.Left(s); left != 0 || err != nil {
		t.Fatalf("done, and %d are left (%v)", left, err)
	}
	return slots
}

// A backfill may begin and end between slots, or hold none.
func TestBacklogBoundsAreInclusive(t *testing.T) {
	s := schedule.Schedule{LaunchPlan: plan, Spec: schedule.Spec{Expression: "0 * * * ? *"}}
	day := func(clock string) time.Time { return at("2026-01-01T" + clock + ":00Z") }
	for _, tc := range []struct {
		first, last, cursor string
		newest              bool
		most                int
		want                []string
		done                bool
	}{
		{first: "10:00", last: "12:00", most: 9, want: []string{"10:00 backfill", "11:00 backfill", "12:00 backfill"}, done: true},
		{first: "10:01", last: "12:59", most: 9, want: []string{"11:00 backfill", "12:00 backfill"}, done: true},
		{first: "10:00", last: "12:00", newest: true, most: 9, want: []string{"12:00 backfill", "11:00 backfill", "10:00 backfill"}, done: true},
		{first: "10:00", last: "12:00", newest: true, cursor: "12:00", most: 1, want: []string{"11:00 backfill"}},
		{first: "10:00", last: "12:00", cursor: "10:00", most: 2, want: []string{"11:00 backfill", "12:00 backfill"}, done: true},
		{first: "10:00", last: "12:00", most: 0},
		{first: "10:01", last: "10:59", most: 9, done: true},
		{first: "10:01", last: "10:59", newest: true, most: 9, done: true},
		{first: "12:00", last: "10:00", most: 9, done: true},
		{first: "10:00", last: "12:00", cursor: "12:00", most: 9, done: true},
		{first: "10:00", last: "12:00", cursor: "10:00", newest: true, most: 9, done: true},
	} {
		b := schedule.Backlog{First: day(tc.first), Last: day(tc.last), NewestFirst: tc.newest, Kind: schedule.KindBackfill}
		if tc.cursor != "" {
			b.Cursor = day(tc.cursor)
		}
		firings, _, done, err := b.Fill(s, day("18:00"), tc.most)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, tell(schedule.Planned{Firings: firings})); diff != "" || done != tc.done {
			t.Errorf("%+v: done %t (-want +got):\n%s", tc, done, diff)
		}
	}
}

func TestBacklogOfABrokenScheduleIsAnError(t *testing.T) {
	var s schedule.Schedule
	b := schedule.Backlog{First: time.Now(), Last: time.Now()}
	if _, _, done, err := b.Fill(s, time.Now(), 1); err == nil || done {
		t.Errorf("filled: done %t, %v", done, err)
	}
	if _, _, _, err := b.Left(s); err == nil {
		t.Error("counted")
	}
}

// After a month down, a schedule is planned as fast as any other day.
func BenchmarkPlan(b *testing.B) {
	now := at("2026-04-15T12:00:30Z")
	for _, bm := range []struct {
		name   string
		down   time.Duration
		policy schedule.Policy
	}{
		{"on time", 0, schedule.Policy{}},
		{"month down, latest", 30 * 24 * time.Hour, schedule.Policy{}},
		{"month down, none", 30 * 24 * time.Hour, schedule.Policy{CatchUp: schedule.CatchUpNone}},
		{"month down, 1000", 30 * 24 * time.Hour, schedule.Policy{CatchUp: 1000}},
		{"month down, all", 30 * 24 * time.Hour, schedule.Policy{CatchUp: schedule.CatchUpAll, CatchUpWindow: 60 * 24 * time.Hour}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			bm.policy.Timezone = "Europe/Berlin"
			s := schedule.Schedule{
				LaunchPlan: plan, Active: true, Cursor: now.Add(-bm.down).Truncate(time.Minute).Add(-time.Minute),
				Spec: schedule.Spec{Expression: "* * * * ? *", Policy: bm.policy},
			}
			since := now
			if bm.down == 0 {
				since = s.Cursor
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := schedule.Plan(s, now, since); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The names are Flyte's own (they were made by its native scheduler's algorithm).
func TestExecutionNameIsThatOfTheNativeScheduler(t *testing.T) {
	nightly := ident.ID{Key: ident.Key{Project: "flytesnacks", Domain: "development", Name: "nightly-report"}, Version: "v1"}
	tiny := ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: "n"}, Version: "1"}
	train := ident.ID{Key: ident.Key{Project: "forecast", Domain: "production", Name: "app.workflows.train"}, Version: "9f2c1e7"}
	for _, tc := range []struct {
		plan       ident.ID
		slot, want string
	}{
		{nightly, "2026-01-01T00:00:00Z", "fba86f06fca01ce07000"},
		{tiny, "2026-01-01T00:00:00Z", "f9c59e9b51cf50647000"},
		{train, "2026-01-01T00:00:00Z", "ff5d3a087029734e3000"},
		{nightly, "2026-03-29T01:30:00Z", "f5f000e80386acb0e000"},
		{tiny, "2026-03-29T01:30:00Z", "f49a87f541d0c3b97000"},
		{train, "2026-03-29T01:30:00Z", "f049a69aa1c03a0ad000"},
	} {
		if got := schedule.ExecutionName(tc.plan, at(tc.slot)); got != tc.want {
			t.Errorf("%s at %s: got %s, want %s", tc.plan, tc.slot, got, tc.want)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	got, err := schedule.ParsePolicy(map[string]string{
		"tminus.dev/timezone": "Europe/Berlin", "tminus.dev/dst-gap": "next", "tminus.dev/dst-repeat": "both",
		"tminus.dev/start-at": "2026-01-01T01:00:00+01:00", "tminus.dev/end-at": "2027-01-01T00:00:00Z",
		"tminus.dev/jitter": "30s", "tminus.dev/catch-up": "3", "tminus.dev/catch-up-window": "6h",
		"tminus.dev/overlap": "buffer-one", "tminus.dev/launch-deadline": "1h", "tminus.dev/pause-on-failure": "5",
		"tminus.dev/max-runs": "10", "tminus.dev/exclude": "* * 25 12 ? *", "tminus.dev/exclude-1": "* * 1 1 ? *",
		"tminus.dev/priority": "-3", "tminus.dev/catch-up-order": "newest", "tminus.dev/buffer": "20", "tminus.dev/late-after": "5m", "example.com/team": "data",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := schedule.Policy{
		Timezone: "Europe/Berlin", DSTGap: "next", DSTRepeat: "both",
		StartAt: at("2026-01-01T00:00:00Z"), EndAt: at("2027-01-01T00:00:00Z"),
		Jitter: 30 * time.Second, CatchUp: 3, CatchUpWindow: 6 * time.Hour,
		Overlap: schedule.OverlapBufferOne, LaunchDeadline: time.Hour, PauseOnFailure: 5, MaxRuns: 10,
		Exclude: []string{"* * 25 12 ? *", "* * 1 1 ? *"}, Priority: -3,
		CatchUpOrder: schedule.NewestFirst, Buffer: 20, LateAfter: 5 * time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParsePolicyNamesTheAnnotation(t *testing.T) {
	for _, tc := range []struct{ key, value, want string }{
		{"timezon", "UTC", "nearest known one is tminus.dev/timezone"},
		{"timezone", "Mars/Olympus", "no known IANA"},
		{"timezone", "", "IANA"},
		{"timezone", "Local", "IANA"},
		{"dst-gap", "jump", "skip, next"},
		{"dst-repeat", "thrice", "first, second, both"},
		{"start-at", "tomorrow", "RFC 3339"},
		{"end-at", "2026-13-01T00:00:00Z", "RFC 3339"},
		{"jitter", "-1s", "0s is the least"},
		{"jitter", "1 minute", "duration"},
		{"catch-up", "some", "none, latest, all"},
		{"catch-up", "-1", "none, latest, all"},
		{"catch-up-window", "0s", "1s is the least"},
		{"catch-up-order", "random", "oldest, newest"},
		{"buffer", "0", "at least 1"},
		{"late-after", "0s", "1s is the least"},
		{"overlap", "maybe", "buffer-all"},
		{"launch-deadline", "forever", "duration"},
		{"pause-on-failure", "0", "at least 1"},
		{"pause-on-failure", "1001", "1000 is the most"},
		{"max-runs", "1.5", "whole number"},
		{"priority", "high", "whole number"},
		{"exclude-x", "* * 1 1 ? *", "unknown"},
		{"", "x", "unknown"},
	} {
		_, err := schedule.ParsePolicy(map[string]string{schedule.AnnotationPrefix + tc.key: tc.value})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), schedule.AnnotationPrefix+tc.key) {
			t.Errorf("%s=%q: got %v, want %q in it", tc.key, tc.value, err, tc.want)
		}
	}
}
