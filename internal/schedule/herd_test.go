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

// A herd is what the previews of its schedules come to.
func TestHerdAgreesWithPreviews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := at("2026-03-01T00:00:00Z")
		from := start.Add(time.Duration(rapid.IntRange(-90, 90).Draw(t, "from")) * time.Second)
		until := from.Add(time.Duration(rapid.IntRange(-10, 800*60).Draw(t, "seconds")) * time.Second)
		herd, err := schedule.NewHerd(from, until)
		if err != nil {
			t.Fatal(err)
		}
		want := map[time.Time]int{}
		firing, total := 0, 0
		for range rapid.IntRange(0, 8).Draw(t, "schedules") {
			s := anySchedule(t, start)
			list, err := schedule.Preview(s, from, until, 10_000, nil)
			if err != nil {
				t.Fatal(err)
			}
			var decided []time.Time
			if len(list) > 0 && rapid.Bool().Draw(t, "skip") {
				decided = []time.Time{list[rapid.IntRange(0, len(list)-1).Draw(t, "skipped")].Slot}
				if list, err = schedule.Preview(s, from, until, 10_000, decided); err != nil {
					t.Fatal(err)
				}
			}
			herd.Add(s, decided)
			list = slices.DeleteFunc(list, func(c schedule.Coming) bool { return c.Skipped || c.LaunchAt.After(until) })
			for _, c := range list {
				want[c.LaunchAt.UTC().Truncate(time.Minute)]++
			}
			if total += len(list); len(list) > 0 {
				firing++
			}
		}
		got := map[time.Time]int{}
		minutes := herd.Busiest(10_000)
		for _, m := range minutes {
			got[m.Minute] = m.Launches
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-previews +herd):\n%s", diff)
		}
		if !slices.IsSortedFunc(minutes, func(a, b schedule.HerdMinute) int {
			if a.Launches != b.Launches {
				return b.Launches - a.Launches
			}
			return a.Minute.Compare(b.Minute)
		}) {
			t.Errorf("not the busiest first: %v", minutes)
		}
		if schedules, launches := herd.Total(); schedules != firing || launches != total {
			t.Errorf("%d schedules and %d launches, want %d and %d", schedules, launches, firing, total)
		}
	})
}

func TestHerdIsBounded(t *testing.T) {
	from := at("2026-03-01T00:00:00Z")
	if _, err := schedule.NewHerd(from, from.Add(schedule.MaxHerd+1)); err == nil {
		t.Error("the window is too long, and nobody says so")
	}
	herd, err := schedule.NewHerd(from, from.Add(schedule.MaxHerd))
	if err != nil {
		t.Fatal(err)
	}
	// More than are added up at once, and an outlier.
	for range 10_000 {
		herd.Add(schedule.Schedule{Active: true, Spec: schedule.Spec{Expression: "0 9 * * ? *"}}, nil)
	}
	herd.Add(schedule.Schedule{Active: true, Spec: schedule.Spec{Expression: "0 0 1 4 ? *"}}, nil)
	herd.Add(schedule.Schedule{Active: true, Spec: schedule.Spec{Expression: "every day"}}, nil)
	want := []schedule.HerdMinute{{at("2026-03-01T09:00:00Z"), 10_000}, {at("2026-03-02T09:00:00Z"), 10_000}}
	if diff := cmp.Diff(want, herd.Busiest(2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if schedules, launches := herd.Total(); schedules != 10_001 || launches != 310_001 {
		t.Errorf("%d schedules, %d launches", schedules, launches)
	}
}

// A million schedules over an hour: what the cost of one is.
func BenchmarkHerd(b *testing.B) {
	from := at("2026-03-01T08:30:00Z")
	for _, zone := range []string{"", "Europe/Berlin"} {
		for name, policy := range map[string]schedule.Policy{"plain": {Timezone: zone}, "jitter": {Timezone: zone, Jitter: 5 * time.Minute}} {
			b.Run(name+zone, func(b *testing.B) {
				herd, err := schedule.NewHerd(from, from.Add(time.Hour))
				if err != nil {
					b.Fatal(err)
				}
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					herd.Add(schedule.Schedule{Active: true, Cursor: from, Spec: schedule.Spec{
						Expression: fmt.Sprintf("%d %d * * ? *", i%60, i%24), Policy: policy,
					}}, nil)
					i++
				}
				herd.Busiest(1)
			})
		}
	}
}
