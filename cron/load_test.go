package cron_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tminus.dev/cron"
)

// TestCollideAgreesWithBetween compares the herd with going through the slots of each schedule.
func TestCollideAgreesWithBetween(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		start := d.moment(loc)
		from := time.Unix(start, int64(d.n(0, 1)))
		to := from.Add(time.Duration(d.n(0, 4*86400)) * time.Second)
		var schedules []cron.Schedule
		for range d.n(0, 8) {
			o := d.oracle(from.Year())
			s := mustParse(t, o.expr())
			if d.oneIn(6) {
				s = mustParse(t, rapid.SampledFrom([]string{"rate(7 minutes)", "@every 61s", "at(2024-03-10T02:30:15)"}).Draw(t, "other"))
			}
			if !d.oneIn(4) {
				s = s.In(loc)
			}
			s = s.WithGap(cron.Gap(d.n(0, 2))).WithRepeat(cron.Repeat(d.n(0, 3))).WithAnchor(time.Unix(start-int64(d.n(0, 1000)), 0))
			if len(schedules) > 0 && d.oneIn(4) {
				s = s.Except(schedules[0])
			}
			schedules = append(schedules, slices.Repeat([]cron.Schedule{s}, d.n(1, 2))...)
		}
		want := make(map[time.Time]int)
		total := 0
		for _, s := range schedules {
			for slot := range s.Between(from, to) {
				want[slot.UTC().Truncate(time.Minute)]++
				total++
			}
		}
		load, err := cron.Collide(from, to, schedules...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, maps.Collect(load.All())); diff != "" {
			t.Fatalf("%v in (%s, %s] (-Between +Collide)\n%s", schedules, from.UTC(), to.UTC(), diff)
		}
		if load.Total() != total {
			t.Errorf("the total is %d, want %d", load.Total(), total)
		}
		minute, peak := load.Peak()
		if n := load.At(minute); total > 0 && (n != peak || n != slices.Max(slices.Collect(maps.Values(want)))) {
			t.Errorf("the peak is %d at %s, where %d fire", peak, minute, n)
		}
	})
}

func TestCollideBounds(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "* * * * *")
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := cron.Collide(from, from.AddDate(20, 0, 0), s); err == nil {
		t.Error("a window of 20 years is accepted")
	}
	for _, to := range []time.Time{from, from.Add(-time.Hour), from.Add(59 * time.Second)} {
		load, err := cron.Collide(from, to, s)
		if minute, n := load.Peak(); err != nil || n != 0 || !minute.IsZero() || load.Total() != 0 {
			t.Errorf("in (%s, %s] there are %d, at most %d at %s (%v)", from, to, load.Total(), n, minute, err)
		}
	}
	load, err := cron.Collide(from, from.Add(time.Minute), s, s)
	if err != nil {
		t.Fatal(err)
	}
	if got := []int{load.At(from), load.At(from.Add(90 * time.Second)), load.At(from.Add(time.Hour))}; !slices.Equal(got, []int{0, 2, 0}) {
		t.Errorf("at the minutes 0, 1 and 60 there are %v", got)
	}
}

// TestCollideBefore1970 has a zone that is half a minute off, so that minutes before 1970 have no whole numbers.
func TestCollideBefore1970(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "* * * * *").In(time.FixedZone("x", 18030))
	from, to := time.Unix(-600, 0), time.Unix(-65, 0)
	load, err := cron.Collide(from, to, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := load.Total(), s.Count(from, to); got != want || load.At(time.Unix(-90, 0)) != 1 {
		t.Errorf("%d slots, %d of them in the minute of -90; want %d", got, load.At(time.Unix(-90, 0)), want)
	}
}
