package cron

import (
	"testing"
	"time"
	"unsafe"
)

func TestScheduleIsSmall(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(Schedule{}); size > 96 {
		t.Errorf("a schedule takes %d bytes", size)
	}
}

func TestQuestionsDoNotAllocate(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 3, 7, 0, 0, 0, 0, newYork)
	to := from.AddDate(1, 0, 0)
	for _, expr := range []string{
		"cron(30 2 L-3,15W,LW * ? *)", "cron(0/15 8-17 ? JAN-MAR MON#2 2026-2030)", "cron(30 2 ? 3 1#2 *)", "*/7 1-3 13 * FRI",
		"CRON_TZ=America/New_York 0 0 29 2 *", "@every 90s", "rate(5 minutes)", "at(2026-03-08T02:30:15)", "@daily",
	} {
		if n := testing.AllocsPerRun(20, func() {
			s, err := Parse(expr)
			if err != nil {
				t.Error(err)
			}
			s = s.In(newYork).WithGap(GapNext).WithRepeat(RepeatSecond).WithAnchor(from)
			s.Match(s.Next(from))
			s.Prev(to)
			s.Count(from, to)
		}); n > 0 {
			t.Errorf("%s: %v allocations", expr, n)
		}
	}
}

// TestRuled checks from which year on the rule is known to hold that a zone has today.
func TestRuled(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"America/New_York": 2007, "Europe/Berlin": 1996, "Australia/Lord_Howe": 2008, "Africa/Casablanca": 2088, "Asia/Kolkata": 1970, "America/Sao_Paulo": 2020,
	} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Unix(newZone(loc).ruled, 0).UTC().Year(); got != want {
			t.Errorf("%s is ruled from %d on, want %d", name, got, want)
		}
	}
}

// TestLost is about expressions whose only slot of each year is in a gap, which searches need not find out by looking at each year.
func TestLost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expr, zone string
		gap        Gap
		last       string // the last slot there is, or "" if there is one after the year 2100
	}{
		{"cron(30 2 ? 3 1#2 *)", "America/New_York", GapSkip, "2006-03-12T02:30:00-05:00"},
		{"cron(*/5 2 ? MAR SUN#2 *)", "America/New_York", GapSkip, "2006-03-12T02:55:00-05:00"},
		{"cron(30 2 ? 3 1#2 *)", "America/New_York", GapNext, ""},
		{"cron(30 2-3 ? 3 1#2 *)", "America/New_York", GapSkip, ""},
		{"cron(30 2 ? 3 2#2 *)", "America/New_York", GapSkip, ""},
		{"cron(30 2 ? 3 1#2 *)", "UTC", GapSkip, ""},
		{"cron(30 2 ? 3,5 1#2 *)", "America/New_York", GapSkip, ""},
		{"cron(15 2 ? 3 1L *)", "Europe/Berlin", GapSkip, "1980-03-30T02:15:00+01:00"},
		{"cron(15 2 ? 10 1#1 *)", "Australia/Lord_Howe", GapSkip, "2007-10-07T02:15:00+10:30"},
		{"cron(45 2 ? 10 1#1 *)", "Australia/Lord_Howe", GapSkip, ""},
		{"cron(30 2 ? 3 1#2 2027-2099)", "America/New_York", GapSkip, "none"},
	} {
		loc, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseAWS(test.expr)
		if err != nil {
			t.Fatal(err)
		}
		s = s.In(loc).WithGap(test.gap)
		far := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
		next, prev := s.Next(far), s.Prev(far)
		if next.IsZero() == (test.last == "") || (s.pattern.flags&lost != 0) != (test.last != "") {
			t.Errorf("%s in %s: after 2100 there is %s", test.expr, test.zone, next)
		}
		switch {
		case test.last == "none":
			if !prev.IsZero() || !s.Never() {
				t.Errorf("%s in %s: there is a slot at %s", test.expr, test.zone, prev)
			}
		case test.last != "":
			if got := prev.Format(time.RFC3339); got != test.last {
				t.Errorf("%s in %s: the last slot is at %s, want %s", test.expr, test.zone, got, test.last)
			}
			if again := s.Next(prev.Add(-1)); !again.Equal(prev) {
				t.Errorf("%s in %s: Next finds %s, Prev %s", test.expr, test.zone, again, prev)
			}
			if s.Never() {
				t.Errorf("%s in %s fired once, but is said never to", test.expr, test.zone)
			}
		}
	}
}
