package cron

import (
	"encoding/binary"
	"testing"
	"time"
	_ "time/tzdata" // the tests must not depend on the machine's zones
)

// TestZonesAgreeWithPackageTime compares the tables of zones with odd histories with the offsets that package time gives: every
// half a day, at each change and just before it, and up to the last year there is.
func TestZonesAgreeWithPackageTime(t *testing.T) {
	t.Parallel()
	from := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 26*3600
	to := time.Date(2105, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for _, name := range []string{
		"UTC", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul", "America/New_York", "America/Sao_Paulo", "America/Nuuk",
		"America/Caracas", "America/Asuncion", "America/Scoresbysund", "Africa/Casablanca", "Africa/Cairo", "Africa/Monrovia",
		"Asia/Gaza", "Asia/Beirut", "Asia/Pyongyang", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe",
		"Antarctica/Troll", "Antarctica/Casey", "Pacific/Apia", "Pacific/Kwajalein", "Pacific/Chatham", "Asia/Tokyo",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			z := newZone(loc)
			check := func(u int64) {
				t.Helper()
				_, want := time.Unix(u, 0).In(loc).Zone()
				e, end := z.find(u)
				if e.offset != int64(want) || u < e.start || u >= end {
					t.Fatalf("at %s the offset is %d, but find has %+v until %d", time.Unix(u, 0).UTC(), want, e, end)
				}
			}
			for u := from; u < to; u += 12 * 3600 {
				check(u)
			}
			for u := to; u < latest; u += 12*3600 + 977*daySeconds {
				check(u)
			}
			for i, e := range z.eras {
				if i == 0 {
					continue
				}
				if e.offset == z.eras[i-1].offset {
					t.Errorf("there is no change at %s", time.Unix(e.start, 0).UTC())
				}
				for cycle := int64(0); cycle < 15; cycle += 7 {
					if cycle == 0 || e.start > z.ruled && e.start > tableEnd-cycleSeconds {
						check(e.start + cycle*cycleSeconds)
						check(e.start + cycle*cycleSeconds - 1)
					}
				}
			}
		})
	}
}

// TestZonesAreShared checks that schedules of a zone have one table, also if the location was loaded more than once.
func TestZonesAreShared(t *testing.T) {
	t.Parallel()
	load := func() *zone {
		loc, err := time.LoadLocation("America/New_York")
		if err != nil {
			t.Fatal(err)
		}
		return zoneOf(loc)
	}
	z := load()
	if load() != z {
		t.Error("a location that is loaded twice has two tables")
	}
	if named, err := zoneNamed("America/New_York"); err != nil || named != z {
		t.Errorf("CRON_TZ= has a table of its own (%v)", err)
	}
	// A program's own location may have the name of one in the database.
	own := slimZone(t, "<+05>-5", era{start: 0, offset: 4 * 3600}, era{start: 1e9, offset: 5 * 3600})
	if z := zoneOf(own); z.loc != own || z.eras[len(z.eras)-1].offset != 5*3600 {
		t.Error("the table of a program's own location is not its own")
	}
}

// slimZone returns a zone from a file as zic -b slim writes them: the table ends with the last transition that the rule
// in the footer does not tell. Before the first of the transitions, the offset is that of the first.
func slimZone(t *testing.T, rule string, transitions ...era) *time.Location {
	t.Helper()
	header := func(transitions, types int) []byte {
		h := append([]byte("TZif2"), make([]byte, 15)...)
		for _, n := range []int{0, 0, 0, transitions, types, 4} {
			h = binary.BigEndian.AppendUint32(h, uint32(n))
		}
		return h
	}
	file := append(header(0, 1), make([]byte, 6+4)...) // version 1, for programs from before 2006
	file = append(file, header(len(transitions), len(transitions))...)
	for _, e := range transitions {
		file = binary.BigEndian.AppendUint64(file, uint64(e.start))
	}
	for i := range transitions {
		file = append(file, byte(i))
	}
	for _, e := range transitions {
		file = append(binary.BigEndian.AppendUint32(file, uint32(e.offset)), 0, 0)
	}
	file = append(file, "XXX\x00\n"+rule+"\n"...)
	loc, err := time.LoadLocationFromTZData("slim", file)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestSlimZoneFiles is about zones like America/Ciudad_Juarez, America/Metlakatla and America/Indiana/Winamac, which broke
// with a habit in the middle of a year. From slim files, ZoneBounds has the era after that begin before its time.
func TestSlimZoneFiles(t *testing.T) {
	t.Parallel()
	// In 2022, Ciudad Juárez set clocks back from UTC-6 to UTC-7 on November 30, at midnight. From then on it has the
	// rule of the United States, by which clocks had changed on November 6.
	change := time.Date(2022, 11, 30, 6, 0, 0, 0, time.UTC)
	loc := slimZone(t, "MST7MDT,M3.2.0,M11.1.0", era{start: 1667116800, offset: -6 * 3600}, era{start: change.Unix(), offset: -7 * 3600})
	if e, _ := newZone(loc).find(change.Unix() + 3600); e.start != change.Unix() {
		t.Errorf("the era from %s starts at %s", change, time.Unix(e.start, 0).UTC())
	}
	s, err := Parse("cron(30 23 * * ? *)")
	if err != nil {
		t.Fatal(err)
	}
	s = s.In(loc)
	for _, want := range []time.Time{
		time.Date(2022, 11, 30, 5, 30, 0, 0, time.UTC), // the first half past eleven that night
		time.Date(2022, 12, 1, 6, 30, 0, 0, time.UTC),
	} {
		if got := s.Next(want.Add(-20 * time.Hour)); !got.Equal(want) {
			t.Errorf("Next finds %s, want %s", got.UTC(), want)
		}
		if got := s.Prev(want.Add(20 * time.Hour)); !got.Equal(want) {
			t.Errorf("Prev finds %s, want %s", got.UTC(), want)
		}
	}
}

// TestRuleFarAhead is about times that only the rule at the end of a zone's file tells.
func TestRuleFarAhead(t *testing.T) {
	t.Parallel()
	loc := slimZone(t, "CET-1CEST,M3.5.0,M10.5.0/3", era{start: 323830800, offset: 3600})
	for _, test := range []struct{ expr, from, want string }{
		{"30 2 * * *", "2196-03-26T12:00:00Z", "2196-03-27T03:00:00+02:00"},
		{"30 2 * * *", "2196-10-29T12:00:00Z", "2196-10-30T02:30:00+02:00"},
		{"30 2 * * *", "2196-10-30T00:30:00Z", "2196-10-30T02:30:00+01:00"},
		// The year 2196 has 366 days, which ZoneBounds does not know.
		{"0 12 31 12 *", "2195-12-31T11:00:00Z", "2196-12-31T12:00:00+01:00"},
		{"0 0 1 1 *", "2196-12-31T12:00:00Z", "2197-01-01T00:00:00+01:00"},
		{"0 12 1 7 *", "2196-12-31T12:00:00Z", "2197-07-01T12:00:00+02:00"},
	} {
		s, err := Parse(test.expr)
		if err != nil {
			t.Fatal(err)
		}
		s = s.In(loc).WithGap(GapNext)
		from, err := time.Parse(time.RFC3339, test.from)
		if err != nil {
			t.Fatal(err)
		}
		next := s.Next(from)
		if got := next.Format(time.RFC3339); got != test.want {
			t.Errorf("%s after %s is at %s, want %s", test.expr, test.from, got, test.want)
		}
		if prev := s.Prev(next); prev.After(from) || !s.Next(prev).Equal(next) && !s.Match(from) {
			t.Errorf("%s: before %s comes %s", test.expr, next, prev)
		}
	}
}

func TestCivilDates(t *testing.T) {
	t.Parallel()
	day := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range uint32(lastDay + 1) {
		year, month, date := civil(n)
		if y, m, d := day.Date(); int(year) != y || int(month) != int(m) || int(date) != d {
			t.Fatalf("civil(%d) = %d-%d-%d, want %s", n, year, month, date, day.Format(time.DateOnly))
		}
		if got := dayNumber(year, month, date); got != n {
			t.Fatalf("dayNumber(%d, %d, %d) = %d, want %d", year, month, date, got, n)
		}
		if got := weekdayOf(n); int(got) != int(day.Weekday()) {
			t.Fatalf("weekdayOf(%d) = %d, want %s", n, got, day.Weekday())
		}
		next := day.AddDate(0, 0, 1)
		if last := daysIn(year, month) == date; last != (next.Day() == 1) {
			t.Fatalf("daysIn(%d, %d) = %d", year, month, daysIn(year, month))
		}
		day = next
	}
	if year, month, date := civil(lastDayAWS); year != lastYearAWS || month != 12 || date != 31 {
		t.Errorf("lastDayAWS is %d-%d-%d", year, month, date)
	}
	if year, month, date := civil(lastDay); year != lastYear || month != 12 || date != 31 {
		t.Errorf("lastDay is %d-%d-%d", year, month, date)
	}
}
