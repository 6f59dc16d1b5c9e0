package cron_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests must not depend on the machine's zones

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tminus.dev/cron"
)

// TestSlotsAgreeWithOracle compares every way to ask for slots with a scan of every minute, around changes of clocks.
func TestSlotsAgreeWithOracle(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		from := d.moment(loc)
		to := from + int64(d.n(1, 48*3600))
		o := d.oracle(time.Unix(from, 0).UTC().Year())
		o.gap = cron.Gap(d.n(int(cron.GapDefault), int(cron.GapNext)))
		o.repeat = cron.Repeat(d.n(int(cron.RepeatDefault), int(cron.RepeatBoth)))
		s, err := cron.Parse(o.expr())
		if err != nil {
			t.Fatal(err)
		}
		s = s.In(loc).WithGap(o.gap).WithRepeat(o.repeat)
		want := o.slots(loc, from, to)
		report := func(what string, got []int64) {
			t.Helper()
			if diff := cmp.Diff(instants(want), instants(got)); diff != "" {
				t.Fatalf("%s of %s in %s, gap %d, repeat %d, between %s and %s (-oracle +cron)\n%s", what, o.expr(), loc,
					o.gap, o.repeat, time.Unix(from, 0).UTC(), time.Unix(to, 0).UTC(), diff)
			}
		}

		var got []int64
		for slot := range s.Between(time.Unix(from, 0), time.Unix(to, 0)) {
			got = append(got, slot.Unix())
		}
		report("Between", got)

		got = nil
		for slot := s.Next(time.Unix(from, 0)); !slot.IsZero() && slot.Unix() <= to; slot = s.Next(slot) {
			got = append(got, slot.Unix())
		}
		report("Next", got)

		got = nil
		for slot := s.Prev(time.Unix(to, 1)); !slot.IsZero() && slot.Unix() > from; slot = s.Prev(slot) {
			got = append(got, slot.Unix())
		}
		slices.Reverse(got)
		report("Prev", got)

		got = nil
		for u := from + 60 - (from%60+60)%60; u <= to; u += 60 {
			if s.Match(time.Unix(u, 0)) {
				got = append(got, u)
			}
		}
		want = slices.DeleteFunc(want, func(u int64) bool { return u%60 != 0 })
		report("Match", got)
	})
}

func oracleLocations(t *testing.T) []*time.Location {
	t.Helper()
	var zones []*time.Location
	for _, name := range oracleZones {
		zones = append(zones, location(t, name))
	}
	return zones
}

func instants(seconds []int64) []string {
	var out []string
	for _, u := range seconds {
		out = append(out, time.Unix(u, 0).UTC().Format(time.RFC3339))
	}
	return out
}

// TestDatesAgreeWithOracle compares years of a schedule that fires at half past noon with a look at every day, as windows
// of a few days say little about rare days. The clocks of no zone repeat noon, but some have
// skipped it, or the whole day.
func TestDatesAgreeWithOracle(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		year := d.n(1968, 2201)
		o := d.oracle(year)
		o.fields[0], o.fields[1] = "30", "12"
		s, err := cron.Parse(o.expr())
		if err != nil {
			t.Fatal(err)
		}
		s = s.In(loc)
		from := time.Date(year, time.Month(d.n(1, 12)), d.n(1, 28), 0, 0, 0, 0, time.UTC)
		to := from.AddDate(d.n(1, 12), 0, 0)
		var want, forward, backward []string
		for day := from.AddDate(0, 0, -2); day.Before(to.AddDate(0, 0, 2)); day = day.AddDate(0, 0, 1) {
			year, month, date := day.Date()
			noon := time.Date(year, month, date, 12, 30, 0, 0, loc)
			if o.date(day) && noon.Day() == date && noon.Hour() == 12 && noon.After(from) && !noon.After(to) {
				want = append(want, day.Format(time.DateOnly))
			}
		}
		for slot := range s.Between(from, to) {
			forward = append(forward, slot.Format(time.DateOnly))
		}
		for slot := s.Prev(to.Add(1)); slot.After(from); slot = s.Prev(slot) {
			backward = append(backward, slot.Format(time.DateOnly))
		}
		slices.Reverse(backward)
		if diff := cmp.Diff(want, forward); diff != "" {
			t.Fatalf("%s in %s (-oracle +Between)\n%s", o.expr(), loc, diff)
		}
		if diff := cmp.Diff(want, backward); diff != "" {
			t.Fatalf("%s in %s (-oracle +Prev)\n%s", o.expr(), loc, diff)
		}
	})
}

// TestRatesAgreeWithCounting compares rates with counting from the anchor.
func TestRatesAgreeWithCounting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		period := time.Duration(d.n(60, 7*86400)) * time.Second
		s, err := cron.Every(period)
		if err != nil {
			t.Fatal(err)
		}
		anchor := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "anchor"), 0).UTC()
		s = s.WithAnchor(anchor)
		var want []time.Time
		for k := range 20 {
			want = append(want, anchor.Add(time.Duration(k+1)*period))
		}
		got := slices.Collect(s.Between(anchor, want[len(want)-1]))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("every %s from %s (-counted +Between)\n%s", period, anchor, diff)
		}
		got = nil
		for slot := s.Prev(want[len(want)-1].Add(1)); !slot.IsZero(); slot = s.Prev(slot) {
			got = append(got, slot)
		}
		slices.Reverse(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("every %s from %s (-counted +Prev)\n%s", period, anchor, diff)
		}
	})
}

// TestStringParsesBack checks that a canonical expression means what the one it was made of does, and is its own.
func TestStringParsesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := dice{t}.oracle(2026)
		s, err := cron.Parse(o.expr())
		if err != nil {
			t.Fatal(err)
		}
		checkParsesBack(t, s)
	})
}

func checkParsesBack(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, s cron.Schedule,
) {
	t.Helper()
	text := s.String()
	again, err := cron.Parse(text)
	if err != nil {
		t.Fatalf("canonical expression: %v", err)
	}
	if !again.Equal(s) {
		t.Fatalf("%q parses to %#v, not %#v", text, again, s)
	}
	if again.String() != text {
		t.Fatalf("%q comes out as %q", text, again)
	}
}

// TestYearsSearchedInVain checks expressions whose years are mostly those without a slot against the same ones of every year.
func TestYearsSearchedInVain(t *testing.T) {
	t.Parallel()
	var zones []*time.Location
	for _, name := range []string{
		"UTC", "America/New_York", "Europe/Berlin", "Pacific/Chatham", "Asia/Gaza", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Beirut",
	} {
		zones = append(zones, location(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		gap, repeat := cron.Gap(d.n(0, 2)), cron.Repeat(d.n(0, 3))
		days := d.pick("? 2 1#5", "29 2 ?", "? 2,3 1#5", "? 3 1#2", "? 3 1L", "? 2,9 1#5", "? 9 1#4", "? 3 7L", "LW,29 2 ?", "? 3,10 1#5")
		clock := d.pick("30 2", "0 0", "15 3", "*/15 2", "45 2", "59 23")
		every := mustParse(t, clock+" "+days+" *").In(loc).WithGap(gap).WithRepeat(repeat)
		has := make(map[int]bool) // a few of the years that have slots, and most of the others
		for slot := range every.Between(time.Unix(0, 0), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)) {
			has[slot.Year()] = true
		}
		var years []string
		in := make(map[int]bool)
		for year := 1970; year < 2200; year++ {
			if d.oneIn(8) != has[year] {
				continue
			}
			years = append(years, strconv.Itoa(year))
			in[year] = true
		}
		if years == nil {
			return
		}
		s := mustParse(t, clock+" "+days+" "+strings.Join(years, ",")).In(loc).WithGap(gap).WithRepeat(repeat)
		from := time.Unix(rapid.Int64Range(0, 7e9).Draw(t, "from"), 0)
		for name, step := range map[string][2]func(time.Time) time.Time{"Next": {s.Next, every.Next}, "Prev": {s.Prev, every.Prev}} {
			want := step[1](from)
			for !want.IsZero() && !in[want.Year()] {
				want = step[1](want)
			}
			if got := step[0](from); !got.Equal(want) {
				t.Fatalf("%s: %s of %s is %s, want %s", s, name, from.UTC(), got, want)
			}
		}
	})
}
