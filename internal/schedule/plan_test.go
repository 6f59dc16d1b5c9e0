package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// tell writes a firing as "15:04 pending" or, for a missed run, "15:04..15:10 x7 missed".
func tell(fs []schedule.Firing) []string {
	var lines []string
	for _, f := range fs {
		line := f.Slot.Format("15:04")
		if f.Count > 1 {
			line += fmt.Sprintf("..%s x%d", f.Last.Format("15:04"), f.Count)
		}
		lines = append(lines, line+" "+string(f.Outcome))
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
		{name: "by default the latest missed slot is caught up", cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00..12:00 x2 missed", "13:00 pending"}, next: "14:00"},
		{name: "one missed slot is caught up", cursor: "10:00", now: "11:30", since: "11:30", want: []string{"11:00 pending"}, next: "12:00"},
		{name: "catch-up and live slots in one pass", cursor: "10:00", now: "15:00", since: "13:30", want: []string{"11:00..12:00 x2 missed", "13:00 pending", "14:00 pending", "15:00 pending"}, next: "16:00"},
		{name: "catch-up none", policy: schedule.Policy{CatchUp: schedule.CatchUpNone}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00..13:00 x3 missed"}, next: "14:00"},
		{name: "catch-up all", policy: schedule.Policy{CatchUp: schedule.CatchUpAll}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 pending", "12:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "catch-up of the latest two", policy: schedule.Policy{CatchUp: 2}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 missed", "12:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "catch-up of more than there are", policy: schedule.Policy{CatchUp: 9}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 pending", "12:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "a window bounds catch-up all", policy: schedule.Policy{CatchUp: schedule.CatchUpAll, CatchUpWindow: 90 * time.Minute}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00 missed", "12:00 pending", "13:00 pending"}, next: "14:00"},
		{name: "a window bounds the latest", policy: schedule.Policy{CatchUpWindow: 20 * time.Minute}, cursor: "10:00", now: "13:30", since: "13:30", want: []string{"11:00..13:00 x3 missed"}, next: "14:00"},
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
			for i := range got.Firings {
				got.Firings[i].Slot = got.Firings[i].Slot.UTC()
				got.Firings[i].Last = got.Firings[i].Last.UTC()
			}
			if diff := cmp.Diff(tc.want, tell(got.Firings)); diff != "" {
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
		if diff := cmp.Diff([]string{"23:59 pending"}, tell(p.Firings)); diff != "" {
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

// A long outage is planned in bounded steps, and the steps together say the
// same as if there had been no bound.
func TestPlanIsBounded(t *testing.T) {
	s := schedule.Schedule{
		Spec:   schedule.Spec{Expression: "* * * * ? *", Policy: schedule.Policy{CatchUp: 2500, CatchUpWindow: 100 * 24 * time.Hour}},
		Cursor: at("2026-01-01T00:00:00Z"), Active: true,
	}
	now := s.Cursor.Add(5000 * time.Minute)
	var pending, missed, steps int
	for {
		p, err := schedule.Plan(s, now, now)
		if err != nil {
			t.Fatal(err)
		}
		steps++
		for _, f := range p.Firings {
			switch f.Outcome {
			case schedule.Pending:
				pending++
			case schedule.Missed:
				missed += f.Count
			default:
				t.Fatalf("outcome %s", f.Outcome)
			}
		}
		s.Cursor, s.Next = p.Cursor, p.Next
		if p.Next.After(now) {
			break
		}
	}
	// The slot at now itself is live: it is not before since.
	if pending != 2501 || missed != 2499 || steps != 3 {
		t.Errorf("got %d pending, %d missed in %d steps", pending, missed, steps)
	}
}

// Whatever the policy and the times, each slot after the cursor and up to the
// new one has exactly one firing, and no other instant has.
func TestEverySlotHasOneFiring(t *testing.T) {
	expressions := []string{"* * * * ? *", "*/7 * * * ? *", "0 */5 * * ? *", "30 9 ? * MON-FRI *", "*/3 * * * *", "rate(13 minutes)", "rate(2 hours)"}
	rapid.Check(t, func(t *rapid.T) {
		start := at("2026-03-01T00:00:00Z")
		minutes := func(label string, most int) time.Time {
			return start.Add(time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Minute)
		}
		s := schedule.Schedule{
			LaunchPlan: plan, Active: true, Cursor: start, Anchor: start,
			Spec: schedule.Spec{
				Expression: rapid.SampledFrom(expressions).Draw(t, "expression"),
				Policy: schedule.Policy{
					CatchUp:       schedule.CatchUp(rapid.IntRange(-2, 5).Draw(t, "catch-up")),
					CatchUpWindow: time.Duration(rapid.IntRange(1, 3000).Draw(t, "window")) * time.Minute,
					Jitter:        time.Duration(rapid.IntRange(0, 100).Draw(t, "jitter")) * time.Minute,
				},
			},
		}
		now := minutes("now", 4000)
		since := minutes("since", 4000)
		timetable, err := s.Spec.Compile(s.Anchor)
		if err != nil {
			t.Fatal(err)
		}
		p, err := schedule.Plan(s, now, since)
		if err != nil {
			t.Fatal(err)
		}
		slot := timetable.Next(s.Cursor)
		for _, f := range p.Firings {
			for range f.Count {
				if f.Slot.After(slot) || f.Last.Before(slot) {
					t.Fatalf("firing %+v does not cover the slot %s", f, slot)
				}
				if f.Outcome == schedule.Pending {
					gap := timetable.Next(slot).Sub(slot)
					if late := f.AttemptAt.Sub(slot); late < 0 || late >= gap {
						t.Fatalf("launch at %s, %s after its slot; the next is %s after", f.AttemptAt, late, gap)
					}
				}
				slot = timetable.Next(slot)
			}
		}
		if !p.Next.Equal(slot) {
			t.Fatalf("next is %s, want %s", p.Next, slot)
		}
		if len(p.Firings) < 1000 && !slot.After(now) {
			t.Fatalf("slot %s is due at %s and undecided", slot, now)
		}
	})
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

func TestDecide(t *testing.T) {
	for _, tc := range []struct {
		overlap          schedule.Overlap
		most             uint32
		running, waiting int
		want             schedule.Verdict
	}{
		{"", 0, 5, 5, schedule.Launch},
		{schedule.OverlapAllow, 0, 5, 5, schedule.Launch},
		{schedule.OverlapSkip, 0, 0, 0, schedule.Launch},
		{schedule.OverlapSkip, 0, 1, 0, schedule.Skip},
		{schedule.OverlapSkip, 0, 0, 1, schedule.Launch}, // What waits is a retry, and does not run.
		{schedule.OverlapBufferOne, 0, 0, 0, schedule.Launch},
		{schedule.OverlapBufferOne, 0, 1, 0, schedule.Wait},
		{schedule.OverlapBufferOne, 0, 1, 1, schedule.Skip},
		{schedule.OverlapBufferAll, 0, 0, 0, schedule.Launch},
		{schedule.OverlapBufferAll, 0, 1, 0, schedule.Wait},
		{schedule.OverlapBufferAll, 0, 0, 1, schedule.Wait},
		{schedule.OverlapCancelOther, 0, 0, 0, schedule.Launch},
		{schedule.OverlapCancelOther, 0, 1, 0, schedule.Replace},
		{schedule.OverlapTerminateOther, 0, 2, 0, schedule.Replace},
		{"", 2, 1, 0, schedule.Launch},
		{"", 2, 2, 0, schedule.Skip},
		{schedule.OverlapTerminateOther, 1, 1, 0, schedule.Replace},
	} {
		got, reason := schedule.Decide(schedule.Firing{Overlap: tc.overlap, MaxRunning: tc.most}, tc.running, tc.waiting)
		if got != tc.want || (got == schedule.Skip) != (reason != "") {
			t.Errorf("overlap %q, at most %d, %d running, %d waiting: got %v (%q), want %v",
				tc.overlap, tc.most, tc.running, tc.waiting, got, reason, tc.want)
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
		"tminus.dev/priority": "-3", "example.com/team": "data",
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
