package cron_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tminus.dev/cron"
)

// schedule draws a schedule of any dialect, with any rules.
func (d dice) schedule(loc *time.Location, near int64) cron.Schedule {
	s := mustParse(d, d.oracle(time.Unix(near, 0).UTC().Year()).expr())
	if d.oneIn(6) {
		s = mustParse(d, rapid.SampledFrom([]string{"rate(7 minutes)", "@every 61s", "@every 26h"}).Draw(d.T, "rate"))
	}
	if !d.oneIn(5) {
		s = s.In(loc)
	}
	return s.WithGap(cron.Gap(d.n(0, 2))).WithRepeat(cron.Repeat(d.n(0, 3))).WithAnchor(time.Unix(near-int64(d.n(0, 4000)), 0))
}

// TestCountAgreesWithBetween compares closed forms with going through the slots, in windows of minutes, and of days with a part of a
// window in front.
func TestCountAgreesWithBetween(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		start := d.moment(loc)
		if d.oneIn(8) {
			start += rapid.Int64Range(0, 200e9).Draw(t, "far")
		}
		s := d.schedule(loc, start)
		from := time.Unix(start, int64(d.n(0, 1)))
		to := from.Add(time.Duration(d.n(-60, 6*86400)) * time.Second)
		between := from.Add(time.Duration(d.n(0, 3*86400)) * time.Second)
		if want, got := len(slices.Collect(s.Between(from, to))), s.Count(from, to); got != want {
			t.Fatalf("%s in %s: Count(%s, %s) = %d, want %d", s, s.Location(), from.UTC(), to.UTC(), got, want)
		}
		if between.Before(to) && s.Count(from, to) != s.Count(from, between)+s.Count(between, to) {
			t.Fatalf("%s in %s: Count does not add up from %s by %s to %s", s, s.Location(), from.UTC(), between.UTC(), to.UTC())
		}
	})
}

// TestCountOfYears does the same for windows of up to centuries, with schedules that fire rarely.
func TestCountOfYears(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		years := rapid.SampledFrom([]int{3, 30, 300, 900}).Draw(t, "years")
		from := time.Date(d.n(1960, 2250), time.Month(d.n(1, 12)), d.n(1, 31), d.n(0, 23), 0, 0, 0, loc)
		o := d.oracle(from.Year())
		o.fields[0], o.fields[1] = "30", "2"
		if years > 30 {
			o.fields[3] = "3"
		}
		s := mustParse(t, o.expr()).In(loc).WithGap(cron.Gap(d.n(0, 2))).WithRepeat(cron.Repeat(d.n(0, 3)))
		to := from.AddDate(years, d.n(-5, 5), d.n(-20, 20))
		if want, got := len(slices.Collect(s.Between(from, to))), s.Count(from, to); got != want {
			t.Fatalf("%s in %s: Count(%s, %s) = %d, want %d", s, loc, from.UTC(), to.UTC(), got, want)
		}
	})
}

// TestSetsAgreeWithTheirParts compares sets with what sets are: operations on the slots of the parts, one by one.
func TestSetsAgreeWithTheirParts(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	nuuk := location(t, "America/Nuuk")
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		start := d.moment(loc)
		if d.oneIn(4) { // there, a gap ends with the day
			loc, start = nuuk, time.Date(2024, 3, 31, 1, 0, 0, 0, time.UTC).Unix()-int64(d.n(0, 30*3600))
		}
		from, to := time.Unix(start, 0), time.Unix(start+int64(d.n(0, 4*86400)), 0)
		slots := func(s cron.Schedule) []time.Time { return slices.Collect(s.Between(from, to)) }
		date := func(t time.Time) string { return t.In(loc).Format(time.DateOnly) }
		calendar := func(name string) (cron.Calendar, map[string]bool) {
			var dates []time.Time
			in := make(map[string]bool)
			for range d.n(0, 4) {
				day := from.In(loc).AddDate(0, 0, d.n(-2, 6))
				dates = append(dates, day)
				in[date(day)] = true
			}
			return cron.NewCalendar(name, dates...), in
		}

		a, b, c := d.schedule(loc, start).In(loc), d.schedule(loc, start), d.schedule(loc, start)
		if d.oneIn(2) { // days on which c has every time that a has are passed over at once
			o := d.oracle(from.Year())
			o.fields[0], o.fields[1] = d.pick("*", "*", "*/30"), d.pick("*", "*", "*/2")
			if d.oneIn(2) {
				weekday := strings.Fields(oracleWeekdays)[from.In(loc).AddDate(0, 0, d.n(0, 3)).Weekday()]
				o = oracle{fields: []string{o.fields[0], o.fields[1], "*", "*", weekday}, dialect: cron.Unix}
				a = mustParse(t, d.pick("0 * * * *", "cron(0/20 * * * ? *)")).In(loc)
			}
			gap, repeat := cron.Gap(d.n(0, 2)), cron.Repeat(d.n(0, 3))
			a, c = a.WithGap(gap).WithRepeat(repeat), mustParse(t, o.expr()).In(loc).WithGap(gap).WithRepeat(repeat)
		}
		holidays, isHoliday := calendar("holidays")
		trading, isTrading := calendar("trading")
		s := cron.Union(a, b)
		want := append(slots(a), slots(b)...)
		if d.oneIn(2) {
			s, want = a, slots(a)
		}
		s = s.In(loc)
		if s.Dialect() == 0 { // In moved b as well
			want = append(slots(a), slots(b.In(loc))...)
		}
		keep := func(ok func(time.Time) bool) {
			want = slices.DeleteFunc(want, func(t time.Time) bool { return !ok(t) })
		}
		if d.oneIn(2) {
			s = s.Except(c)
			keep(func(t time.Time) bool {
				minute := time.Unix(t.Unix()-(t.Unix()%60+60)%60, 0)
				return c.Count(minute.Add(-1), minute.Add(time.Minute-1)) == 0
			})
		}
		if d.oneIn(2) {
			s = s.ExceptOn(holidays)
			keep(func(t time.Time) bool { return !isHoliday[date(t)] })
		}
		if d.oneIn(3) {
			s = s.OnlyOn(trading, holidays)
			keep(func(t time.Time) bool { return isTrading[date(t)] || isHoliday[date(t)] })
		}
		if d.oneIn(4) {
			s = s.OnlyOn(trading)
			keep(func(t time.Time) bool { return isTrading[date(t)] })
		}
		slices.SortFunc(want, time.Time.Compare)
		if want = slices.CompactFunc(want, time.Time.Equal); len(want) == 0 {
			want = nil
		}

		fail := func(what string, got []time.Time) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s of %v, %v, %v in %s (-parts +set)\n%s", what, a, b, c, loc, diff)
			}
		}
		fail("Between", slots(s))
		if n := s.Count(from, to); n != len(want) {
			t.Fatalf("Count of %v, %v, %v in %s is %d, want %d", a, b, c, loc, n, len(want))
		}
		var got []time.Time
		for slot := s.Prev(to.Add(1)); !slot.IsZero() && slot.After(from); slot = s.Prev(slot) {
			got = append(got, slot)
		}
		slices.Reverse(got)
		fail("Prev", got)
		for _, slot := range want {
			if !s.Match(slot) || s.Match(slot.Add(1)) {
				t.Fatalf("%s does not match", slot)
			}
		}
	})
}

func TestSets(t *testing.T) {
	t.Parallel()
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	from := day(2026, 1, 1)
	daily, minutely := mustParse(t, "0 9 * * *"), mustParse(t, "* * * * *")
	far := cron.NewCalendar("far", day(2190, 5, 1), day(1990, 5, 1))
	for _, test := range []struct {
		name       string
		s          cron.Schedule
		next, prev string
	}{
		{"nothing", cron.Union(), "", ""},
		{"a union of nothing", cron.Union(cron.Schedule{}, cron.Schedule{}), "", ""},
		{"nothing taken away", daily.Except().ExceptOn(), "2026-01-01 09:00", "2025-12-31 09:00"},
		{"on the dates of no calendar", daily.OnlyOn(), "", ""},
		{"on the dates of an empty calendar", daily.OnlyOn(cron.Calendar{}), "", ""},
		{"all taken away", daily.Except(minutely), "", ""},
		{"each minute taken away", minutely.Except(minutely), "", ""},
		{"all but a minute a year", minutely.Except(mustParse(t, "* 0-22 * * *"), mustParse(t, "* * 1-30 * *"), mustParse(t, "* * 31 1-11 *"),
			mustParse(t, "0-58 * * * *")), "2026-12-31 23:59", "2025-12-31 23:59"},
		{"years taken away", minutely.Except(mustParse(t, "cron(* * * * ? 2020-2029)")), "2030-01-01 00:00", "2019-12-31 23:59"},
		{
			"years taken away from a rate", mustParse(t, "rate(1 minute)").Except(mustParse(t, "cron(* * * * ? 1970-1975)")),
			"2026-01-01 00:01", "2025-12-31 23:59",
		},
		{
			"all years but one taken away from a rate",
			mustParse(t, "rate(1 minute)").In(location(t, "Asia/Tokyo")).Except(mustParse(t, "cron(* * * * ? 1970-2027,2029-2199)"),
				mustParse(t, "* * * * *").OnlyOn(cron.NewCalendar("", day(2028, 1, 1)))),
			"2028-01-02 00:00", "",
		},
		{"only far dates", minutely.OnlyOn(far), "2190-05-01 00:00", "1990-05-01 23:59"},
		{"only far dates in a zone", minutely.In(location(t, "America/New_York")).OnlyOn(far), "2190-05-01 04:00", "1990-05-02 03:59"},
		{"what is excluded from an exclusion", daily.Except(minutely.Except(mustParse(t, "0 9 * * FRI"))), "2026-01-02 09:00", "2025-12-26 09:00"},
		{"a rate at odd seconds", mustParse(t, "rate(1 hour)").WithAnchor(from.Add(37 * time.Second)).Except(mustParse(t, "* 0-4 * * *")), "2026-01-01 05:00", ""},
	} {
		show := func(t time.Time) string {
			if t.IsZero() {
				return ""
			}
			return t.UTC().Format("2006-01-02 15:04")
		}
		if next, prev := show(test.s.Next(from)), show(test.s.Prev(from)); next != test.next || prev != test.prev {
			t.Errorf("%s: next %q, want %q; prev %q, want %q", test.name, next, test.next, prev, test.prev)
		}
		if never := test.next == "" && test.prev == ""; test.s.Never() != never {
			t.Errorf("%s: never is %t", test.name, test.s.Never())
		}
	}
	holidays := cron.NewCalendar("holidays", from)
	if a, b := daily.ExceptOn(holidays), mustParse(t, "0 9 * * ?").ExceptOn(cron.NewCalendar("holidays", from, from)); !a.Equal(b) || a.Equal(daily) {
		t.Error("equal sets are not equal, or others are")
	}
}

// TestExceptKeepsWhatMovesIntoADay: the hours of Saturday that clocks skip move to Sunday, of which just that instant is taken away.
func TestExceptKeepsWhatMovesIntoADay(t *testing.T) {
	t.Parallel()
	nuuk := location(t, "America/Nuuk")
	s := mustParse(t, "cron(0 * * * ? *)").In(nuuk).WithGap(cron.GapNext)
	s = s.Except(mustParse(t, "cron(0 * ? * SAT *)").In(nuuk).WithGap(cron.GapNext))
	noon := time.Date(2024, 3, 30, 12, 0, 0, 0, time.UTC)
	if got := s.Next(noon).Format(time.RFC3339); got != "2024-03-31T01:00:00-01:00" {
		t.Errorf("the next slot is %s", got)
	}
}

func TestExceptIsAboutCalendarMinutes(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "* * * * *").Except(mustParse(t, "at(2026-02-01T09:00:37)"))
	nine := time.Date(2026, 2, 1, 9, 0, 0, 0, time.UTC)
	if s.Match(nine) || !s.Match(nine.Add(time.Minute)) || !s.Match(nine.Add(-time.Minute)) {
		t.Error("not just 9:00 is taken away")
	}
}

func TestSetsFindTheFirstSlotOfMany(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "rate(1 minute)").Except(mustParse(t, "cron(* * * * ? 1970-1975)"))
	if got := s.Next(time.Time{}).Format(time.RFC3339); s.Never() || got != "1976-01-01T00:00:00Z" {
		t.Errorf("never is %t, the first slot %s", s.Never(), got)
	}
}

func TestExceptKeepsItsZoneAndRules(t *testing.T) {
	t.Parallel()
	tokyo := location(t, "Asia/Tokyo")
	s := mustParse(t, "0 * * * *").Except(mustParse(t, "0 9 * * *")).In(tokyo)
	nine := time.Date(2026, 2, 1, 9, 0, 0, 0, time.UTC)
	if s.Match(nine) || !s.Match(nine.In(tokyo).Add(-9*time.Hour)) {
		t.Error("an excluded schedule moved to another zone")
	}
}

func TestNothingIsNoCombination(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "0 9 * * *")
	if !s.Except().Equal(s) || !s.ExceptOn().Equal(s) || s.OnlyOn().Equal(s) {
		t.Error("nothing taken away is a combination, or no calendar is all dates")
	}
}

func TestCalendarsHaveTheYears1To9999(t *testing.T) {
	t.Parallel()
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	c := cron.NewCalendar("years", year(-5000), year(0), year(1), year(9999), year(10000))
	if c.Len() != 2 || c.Contains(year(-200)) || c.Contains(year(-5000)) || !c.Contains(year(1)) || !c.Contains(year(9999)) || c.Contains(year(12000)) {
		t.Errorf("%d dates, or others", c.Len())
	}
	tokyo := location(t, "Asia/Tokyo") // where it is the year 1 while it is not yet in UTC
	if early := time.Date(1, 1, 1, 0, 0, 0, 0, tokyo); !c.Contains(early) {
		t.Errorf("%s is not in the calendar", early)
	}
}
