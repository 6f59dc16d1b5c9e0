package cron_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/cron"
)

func at(tb testing.TB, text string) time.Time {
	tb.Helper()
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04", time.DateOnly} {
		if parsed, err := time.Parse(layout, text); err == nil {
			return parsed
		}
	}
	tb.Fatalf("bad time %q", text)
	return time.Time{}
}

// take returns the first slots after a time in order, or the last before it in reverse order, with "never" after the last.
func take(step func(time.Time) time.Time, from time.Time, n int, layout string) []string {
	var out []string
	for range n {
		if from = step(from); from.IsZero() {
			return append(out, "never")
		}
		out = append(out, from.Format(layout))
	}
	return out
}

// checkWayBack checks that Prev returns by the way that Next went.
func checkWayBack(t *testing.T, s cron.Schedule, from time.Time, n int) {
	t.Helper()
	var slots []time.Time
	for slot := s.Next(from); !slot.IsZero() && len(slots) < n; slot = s.Next(slot) {
		slots = append(slots, slot)
	}
	for i := len(slots) - 1; i > 0; i-- {
		if got := s.Prev(slots[i]); !got.Equal(slots[i-1]) {
			t.Errorf("%s in %s: Prev(%s) = %s, but Next(%s) = %s", s, s.Location(), slots[i], got, slots[i-1], slots[i])
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expr, from string
		want       []string
	}{
		{"cron(0 10 * * ? *)", "2026-01-01", []string{"2026-01-01 10:00", "2026-01-02 10:00"}},
		{"cron(0 10 * * ? *)", "2026-01-01 10:00", []string{"2026-01-02 10:00"}},
		{"cron(0 10 * * ? *)", "2026-01-01T09:59:59.999999999Z", []string{"2026-01-01 10:00"}},
		{"cron(0 10 * * ? *)", "2026-01-01T10:00:00.000000001Z", []string{"2026-01-02 10:00"}},
		{"cron(0/15 9 ? NOV SUN 2025)", "2025-11-16 09:07", []string{"2025-11-16 09:15", "2025-11-16 09:30", "2025-11-16 09:45", "2025-11-23 09:00"}},
		{"cron(0/5 8-17 ? * MON-FRI *)", "2026-01-02 17:50", []string{"2026-01-02 17:55", "2026-01-05 08:00"}},
		{"cron(0 22-2/2 * * ? *)", "2026-01-01 01:00", []string{"2026-01-01 02:00", "2026-01-01 22:00", "2026-01-02 00:00", "2026-01-02 02:00"}},
		{"cron(0 0 28-3/2 * ? *)", "2026-02-27", []string{"2026-02-28 00:00", "2026-03-01 00:00", "2026-03-03 00:00", "2026-03-28 00:00", "2026-03-30 00:00"}},
		{"cron(0 0 ? NOV-FEB SUN#1 *)", "2026-01-05", []string{"2026-02-01 00:00", "2026-11-01 00:00", "2026-12-06 00:00"}},
		{"cron(0 0 ? * L *)", "2026-01-01", []string{"2026-01-03 00:00", "2026-01-10 00:00"}},
		{"cron(0 0 L * ? *)", "2024-01-31", []string{"2024-02-29 00:00", "2024-03-31 00:00", "2024-04-30 00:00"}},
		{"cron(0 0 L-3 * ? *)", "2026-02-01", []string{"2026-02-25 00:00", "2026-03-28 00:00"}},
		{"cron(0 0 L-30 * ? *)", "2026-02-01", []string{"2026-03-01 00:00", "2026-05-01 00:00", "2026-07-01 00:00"}},
		{"cron(0 0 L-28 2 ? *)", "2026-02-01", []string{"2028-02-01 00:00", "2032-02-01 00:00"}},
		// The first of August 2026 is a Saturday, and of November a Sunday; so is the 31st of May.
		{"cron(0 0 1W * ? *)", "2026-07-31", []string{"2026-08-03 00:00", "2026-09-01 00:00", "2026-10-01 00:00", "2026-11-02 00:00"}},
		{"cron(0 0 15W * ? *)", "2026-08-01", []string{"2026-08-14 00:00", "2026-09-15 00:00", "2026-10-15 00:00", "2026-11-16 00:00"}},
		{"cron(0 0 31W * ? *)", "2026-04-01", []string{"2026-05-29 00:00", "2026-07-31 00:00", "2026-08-31 00:00", "2026-10-30 00:00"}},
		{"cron(0 0 29W 2 ? *)", "2026-01-01", []string{"2028-02-29 00:00", "2032-02-27 00:00", "2036-02-29 00:00"}},
		{"cron(0 0 LW * ? *)", "2026-01-01", []string{"2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"}},
		{"cron(0 0 1W,2 * ? *)", "2026-07-31", []string{"2026-08-02 00:00", "2026-08-03 00:00", "2026-09-01 00:00"}},
		{"cron(0 0 ? * FRIL *)", "2026-01-01", []string{"2026-01-30 00:00", "2026-02-27 00:00", "2026-03-27 00:00"}},
		{"cron(0 0 ? * FRI#3 *)", "2026-01-01", []string{"2026-01-16 00:00", "2026-02-20 00:00"}},
		{"cron(0 0 ? * MON#5 *)", "2026-01-01", []string{"2026-03-30 00:00", "2026-06-29 00:00", "2026-08-31 00:00"}},
		{"cron(0 0 ? 2 SUN#5 *)", "2026-01-01", []string{"2032-02-29 00:00", "2060-02-29 00:00", "2088-02-29 00:00", "2128-02-29 00:00"}},
		{"cron(0 0 29 2 ? *)", "2095-01-01", []string{"2096-02-29 00:00", "2104-02-29 00:00"}},
		{"cron(0 0 1 1 ? 2027-2028)", "2026-01-01", []string{"2027-01-01 00:00", "2028-01-01 00:00", "never"}},
		{"cron(0 0 1 1 ? 2199)", "2026-01-01", []string{"2199-01-01 00:00", "never"}},
		{"cron(59 23 31 12 ? *)", "2198-12-31", []string{"2198-12-31 23:59", "2199-12-31 23:59", "never"}},
		{"cron(0 0 1 1 ? *)", "0001-01-01", []string{"1970-01-01 00:00", "1971-01-01 00:00"}},
		{"cron(0 0 1 1 ? *)", "9999-12-31", []string{"never"}},
		{"cron(15 10 ? * 6L 2002-2005)", "2026-01-01", []string{"never"}},
		{"cron(0 0 30 2 ? *)", "2026-01-01", []string{"never"}},

		{"0 0 13 * FRI", "2026-01-01", []string{"2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00", "2026-01-16 00:00"}},
		{"0 0 */2 * MON", "2026-01-01", []string{"2026-01-03 00:00", "2026-01-05 00:00", "2026-01-07 00:00"}},
		{"0 0 12-14/2 * MON", "2026-01-11", []string{"2026-01-12 00:00", "2026-01-14 00:00", "2026-01-19 00:00"}},
		{"0 0 * * MON", "2026-01-01", []string{"2026-01-05 00:00", "2026-01-12 00:00"}},
		{"0 0 ? FEB MON/2", "2026-01-01", []string{"2026-02-02 00:00", "2026-02-04 00:00", "2026-02-06 00:00", "2026-02-09 00:00"}},
		{"*/90 5/9 * * *", "2026-01-01", []string{"2026-01-01 05:00", "2026-01-01 14:00", "2026-01-01 23:00"}},
		{"0 0 29 2 *", "2096-03-01", []string{"2104-02-29 00:00"}}, // robfig/cron gives up after five years
		{"0 0 29 2 *", "9996-01-01", []string{"9996-02-29 00:00", "never"}},
		{"0 0 31 4,6,9,11 *", "2026-01-01", []string{"never"}},
		{"@weekly", "2026-01-01", []string{"2026-01-04 00:00", "2026-01-11 00:00"}},

		{"rate(90 minutes)", "1970-01-01", []string{"1970-01-01 01:30", "1970-01-01 03:00"}},
		{"rate(90 minutes)", "0001-01-01", []string{"1970-01-01 01:30", "1970-01-01 03:00"}},
		{"rate(7 days)", "2026-01-01", []string{"2026-01-08 00:00", "2026-01-15 00:00"}},
		{"rate(1 day)", "9999-12-30", []string{"9999-12-31 00:00", "never"}},
		{"rate(106751 days)", "2026-01-01", []string{"2262-04-11 00:00", "2554-07-20 00:00"}},
		{"@every 24h", "2026-01-01 12:00", []string{"2026-01-02 00:00", "2026-01-03 00:00"}},
	} {
		s, from := mustParse(t, test.expr), at(t, test.from)
		got := take(s.Next, from, len(test.want), "2006-01-02 15:04")
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s after %s (-want +got)\n%s", test.expr, test.from, diff)
		}
		checkWayBack(t, s, from, len(test.want))
	}
}

func TestPrev(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expr, from string
		want       []string
	}{
		{"cron(0 10 * * ? *)", "2026-01-02 10:00", []string{"2026-01-01 10:00", "2025-12-31 10:00"}},
		{"cron(0 10 * * ? *)", "2026-01-02T10:00:00.000000001Z", []string{"2026-01-02 10:00"}},
		{"cron(0 0 29 2 ? *)", "2104-02-29", []string{"2096-02-29 00:00", "2092-02-29 00:00"}},
		{"cron(0 0 1 1 ? 2027-2028)", "2199-01-01", []string{"2028-01-01 00:00", "2027-01-01 00:00", "never"}},
		{"cron(0 0 1 1 ? *)", "1971-06-01", []string{"1971-01-01 00:00", "1970-01-01 00:00", "never"}},
		{"cron(59 23 31 12 ? *)", "9999-12-31", []string{"2199-12-31 23:59", "2198-12-31 23:59"}},
		{"cron(0 0 30 2 ? *)", "2026-01-01", []string{"never"}},
		{"0 0 29 2 *", "2104-02-29", []string{"2096-02-29 00:00", "2092-02-29 00:00"}},
		{"0 0 29 2 *", "9999-12-31", []string{"9996-02-29 00:00", "9992-02-29 00:00"}},
		{"0 0 30 2 *", "2026-01-01", []string{"never"}},
		{"@daily", "0001-01-01", []string{"never"}},
		{"rate(1 day)", "1970-01-03 12:00", []string{"1970-01-03 00:00", "1970-01-02 00:00", "never"}},
		{"rate(1 day)", "1970-01-02", []string{"never"}},
	} {
		s := mustParse(t, test.expr)
		got := take(s.Prev, at(t, test.from), len(test.want), "2006-01-02 15:04")
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s before %s (-want +got)\n%s", test.expr, test.from, diff)
		}
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "cron(0 * * * ? *)")
	for _, test := range []struct {
		from, to string
		want     []string
	}{
		{"2026-01-01 00:00", "2026-01-01 02:00", []string{"01:00", "02:00"}},
		{"2026-01-01 00:01", "2026-01-01 02:59", []string{"01:00", "02:00"}},
		{"2026-01-01T00:59:59.9Z", "2026-01-01T01:00:00.1Z", []string{"01:00"}},
		{"2026-01-01 01:00", "2026-01-01 01:00", nil},
		{"2026-01-01 02:00", "2026-01-01 01:00", nil},
		{"2026-01-01 01:01", "2026-01-01 01:59", nil},
	} {
		var got []string
		for slot := range s.Between(at(t, test.from), at(t, test.to)) {
			got = append(got, slot.Format("15:04"))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("between %s and %s (-want +got)\n%s", test.from, test.to, diff)
		}
	}
	for range s.Between(time.Time{}, at(t, "9999-12-31")) { // two million slots, of which one is looked at
		break
	}
	if got := slices.Collect(mustParse(t, "0 0 30 2 *").Between(time.Time{}, at(t, "9999-12-31"))); got != nil {
		t.Errorf("the 30th of February comes on %s", got)
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	for _, test := range []struct {
		schedule cron.Schedule
		at       string
		want     bool
	}{
		{mustParse(t, "cron(0 10 * * ? *)"), "2026-01-01T10:00:00Z", true},
		{mustParse(t, "cron(0 10 * * ? *)"), "2026-01-01T11:00:00+01:00", true},
		{mustParse(t, "cron(0 10 * * ? *)"), "2026-01-01T10:00:01Z", false},
		{mustParse(t, "cron(0 10 * * ? *)"), "2026-01-01T10:00:00.000000001Z", false},
		{mustParse(t, "cron(0 10 * * ? *)"), "2200-01-01T10:00:00Z", false},
		{mustParse(t, "cron(0 10 * * ? *)").In(berlin), "2026-01-01T09:00:00Z", true},
		{mustParse(t, "cron(0 10 * * ? *)").In(berlin), "2026-01-01T10:00:00Z", false},
		{mustParse(t, "0 10 * * *"), "1969-12-31T10:00:00Z", false},
		{mustParse(t, "0 10 * * *"), "9999-12-31T10:00:00Z", true},
		{mustParse(t, "cron(30 2 27 10 ? *)").In(berlin), "2024-10-27T02:30:00+02:00", true},
		{mustParse(t, "cron(30 2 27 10 ? *)").In(berlin), "2024-10-27T02:30:00+01:00", false},
		{mustParse(t, "cron(30 2 31 3 ? *)").In(berlin).WithGap(cron.GapNext), "2024-03-31T03:00:00+02:00", true},
		{mustParse(t, "cron(30 2 31 3 ? *)").In(berlin), "2024-03-31T03:00:00+02:00", false},
		{mustParse(t, "rate(1 hour)"), "2026-01-01T10:00:00Z", true},
		{mustParse(t, "rate(1 hour)"), "2026-01-01T10:00:01Z", false},
		{mustParse(t, "rate(1 hour)"), "1970-01-01T00:00:00Z", false},
		{mustParse(t, "rate(1 hour)").WithAnchor(at(t, "2026-01-01 00:07")), "2026-01-01T10:07:00Z", true},
		{cron.Schedule{}, "2026-01-01T10:00:00Z", false},
	} {
		if got := test.schedule.Match(at(t, test.at)); got != test.want {
			t.Errorf("%s matches %s: %t", test.schedule, test.at, got)
		}
	}
}

func TestNever(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]bool{
		"cron(0 0 30 2 ? *)":        true,
		"cron(0 0 31 4,6,9,11 ? *)": true,
		"cron(0 0 29 2 ? 2026)":     true,
		"cron(0 0 29 2 ? 2100)":     true,
		"cron(0 0 31W 2,4,6 ? *)":   true,
		"cron(0 0 L-30 2,4,6 ? *)":  true,
		"cron(0 0 L-29 2 ? *)":      true,
		"cron(0 0 ? 2 MON#5 2026)":  true,
		"0 0 30 2 *":                true,
		"0 0 30 2 MON":              false, // Mondays in February
		"cron(0 0 29 2 ? *)":        false,
		"cron(0 0 1 1 ? 1970)":      false, // but never again
		"cron(0 0 31 12 ? 2199)":    false,
		"0 0 29 2 *":                false,
		"rate(106751 days)":         false,
	} {
		s := mustParse(t, expr)
		if got := s.Never(); got != want {
			t.Errorf("%s never fires: %t", expr, got)
		}
		if got := s.In(location(t, "Asia/Tokyo")).Never(); got != want {
			t.Errorf("%s never fires in Tokyo: %t", expr, got)
		}
	}
	inGap := mustParse(t, "cron(30 2 31 3 ? 2024)").In(location(t, "Europe/Berlin"))
	if !inGap.Never() || inGap.WithGap(cron.GapNext).Never() {
		t.Error("a schedule with its only slot in a gap fires with GapNext, and never without")
	}
}

func TestZeroSchedule(t *testing.T) {
	t.Parallel()
	for _, s := range []cron.Schedule{
		{},
		cron.Schedule{}.In(location(t, "Europe/Berlin")).WithGap(cron.GapNext).WithRepeat(cron.RepeatBoth).WithAnchor(time.Now()),
	} {
		if !s.Never() || s.String() != "" || s.Dialect() != 0 || s.Period() != 0 || s.Match(at(t, "2026-01-01")) ||
			!s.Next(at(t, "2026-01-01")).IsZero() || !s.Prev(at(t, "2026-01-01")).IsZero() ||
			slices.Collect(s.Between(time.Time{}, at(t, "9999-12-31"))) != nil {
			t.Errorf("the zero schedule is not silent: %#v", s)
		}
	}
}

func TestExtremeTimes(t *testing.T) {
	t.Parallel()
	past, future := time.Unix(-1<<60, 0), time.Unix(1<<60, 999_999_999)
	for _, expr := range []string{"@daily", "cron(0 0 * * ? *)", "CRON_TZ=Europe/Berlin @daily", "rate(1 minute)"} {
		s := mustParse(t, expr)
		if first := s.Next(past); first.IsZero() || !s.Prev(first).IsZero() {
			t.Errorf("%s: the first slot is %s, the one before that %s", expr, first, s.Prev(first))
		}
		if last := s.Prev(future); last.IsZero() || !s.Next(last).IsZero() {
			t.Errorf("%s: the last slot is %s, the one after that %s", expr, last, s.Next(last))
		}
		if last := s.Prev(future); !s.Match(last) || last.Year() > 9999 {
			t.Errorf("%s: the last slot is %s", expr, last)
		}
		if s.Match(past) || s.Match(future) || !s.Next(future).IsZero() || !s.Prev(past).IsZero() {
			t.Errorf("%s has slots at the ends of time", expr)
		}
		if late := mustParse(t, "rate(1 day)").WithAnchor(future); !late.Never() || !late.Prev(future).IsZero() {
			t.Error("a rate that starts at the end of time fires")
		}
	}
}

func TestAnchor(t *testing.T) {
	t.Parallel()
	anchor := at(t, "2026-01-01T00:00:07.5Z")
	s := mustParse(t, "rate(1 hour)").WithAnchor(anchor).In(location(t, "Asia/Tokyo"))
	want := []string{"2026-01-01T10:00:07+09:00", "2026-01-01T11:00:07+09:00"}
	for _, from := range []string{"2020-01-01", "2026-01-01", "2026-01-01T00:00:07Z", "2026-01-01T01:00:06.999Z"} {
		if diff := cmp.Diff(want, take(s.Next, at(t, from), 2, time.RFC3339)); diff != "" {
			t.Errorf("after %s (-want +got)\n%s", from, diff)
		}
	}
	if got := s.Prev(at(t, "2026-01-01T01:00:07Z")); !got.IsZero() {
		t.Errorf("before its first slot, the rate fires at %s", got)
	}
}

// TestLocation checks that what comes out is in the schedule's zone, whatever zone goes in.
func TestLocation(t *testing.T) {
	t.Parallel()
	tokyo := location(t, "Asia/Tokyo")
	now := at(t, "2026-01-01").In(location(t, "Europe/Berlin"))
	for _, expr := range []string{"@hourly", "cron(0 * * * ? *)", "rate(1 hour)"} {
		s := mustParse(t, expr)
		if s.Location() != time.UTC || s.Next(now).Location() != time.UTC || s.Prev(now).Location() != time.UTC {
			t.Errorf("%s is not in UTC", expr)
		}
		s = s.In(tokyo)
		if s.Location() != tokyo || s.Next(now).Location() != tokyo || s.Prev(now).Location() != tokyo {
			t.Errorf("%s is not in Tokyo", expr)
		}
	}
	if got := mustParse(t, "TZ=Asia/Tokyo @daily").Location().String(); got != "Asia/Tokyo" {
		t.Errorf("TZ=Asia/Tokyo sets the location %s", got)
	}
}

func TestNoAllocations(t *testing.T) {
	now := at(t, "2026-03-07 12:01")
	berlin := location(t, "Europe/Berlin")
	for _, expr := range []string{"cron(0/5 8-17 ? * MON-FRI *)", "cron(0 0 L-3,15W * ? *)", "0 0 29 2 *", "rate(5 minutes)"} {
		for _, loc := range []*time.Location{time.UTC, berlin} {
			s := mustParse(t, expr).In(loc).WithGap(cron.GapNext)
			found := true
			if n := testing.AllocsPerRun(100, func() {
				found = found && !s.Match(now) && !s.Next(now).IsZero() && !s.Prev(now).IsZero()
			}); n > 0 || !found {
				t.Errorf("%s in %s allocates %v times", expr, loc, n)
			}
		}
	}
}

// TestNextPassesTheEndOfFarZones: where clocks are far behind UTC, the last slots of the year 9999 are beyond that year in UTC.
func TestNextPassesTheEndOfFarZones(t *testing.T) {
	t.Parallel()
	for _, hours := range []int{-26, -49, 26, 49} {
		s := mustParse(t, "0 23 * * *").In(time.FixedZone("x", hours*3600))
		last := s.Prev(time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC))
		if got := last.Format("2006-01-02 15:04"); got != "9999-12-31 23:00" {
			t.Errorf("%d hours from UTC, the last slot is %s", hours, got)
		}
		if next, match := s.Next(last), s.Match(last); !next.IsZero() || !match {
			t.Errorf("%d hours from UTC, %s comes after %s, which matches: %t", hours, next, last, match)
		}
	}
}
