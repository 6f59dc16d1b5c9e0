package cron

import (
	"encoding/binary"
	"testing"
	"time"
	_ "time/tzdata" // the tests must not depend on the machine's zones
)

// TestErasAgreeWithOffsets walks the eras of zones with odd histories in both directions, and checks each against
// the offset that package time gives within it and at its edges.
func TestErasAgreeWithOffsets(t *testing.T) {
	t.Parallel()
	offset := func(loc *time.Location, u int64) int64 {
		_, o := time.Unix(u, 0).In(loc).Zone()
		return int64(o)
	}
	from := time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	to := time.Date(2105, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for _, name := range []string{
		"UTC", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul", "America/New_York", "America/Sao_Paulo", "America/Nuuk",
		"America/Caracas", "America/Asuncion", "America/Scoresbysund", "Africa/Casablanca", "Africa/Cairo", "Africa/Monrovia",
		"Asia/Gaza", "Asia/Beirut", "Asia/Pyongyang", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe",
		"Antarctica/Troll", "Antarctica/Casey", "Pacific/Apia", "Pacific/Kwajalein", "Pacific/Chatham",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			var forward []int64
			for e := eraAt(loc, from); e.start < to; e = e.after(loc) {
				if at := eraAt(loc, e.end-1); e.end < eternity && (at.offset != e.offset || at.end != e.end) {
					t.Fatalf("the last second of %+v is in %+v", e, at)
				}
				for u := max(e.start, from); u < min(e.end, to); u += 12 * 3600 {
					if got := offset(loc, u); got != e.offset {
						t.Fatalf("offset at %s is %d, but its era is %+v", time.Unix(u, 0).UTC(), got, e)
					}
					if at := eraAt(loc, u); at != e && (at.offset != e.offset || at.start > u || at.end <= u) {
						t.Fatalf("era at %s is %+v, want %+v", time.Unix(u, 0).UTC(), at, e)
					}
				}
				if e.end < to && offset(loc, e.end) != offset(loc, e.end-1) {
					forward = append(forward, e.end)
				}
			}
			for e := eraAt(loc, to); e.start > from; e = e.before(loc) {
				if offset(loc, e.start) == offset(loc, e.start-1) {
					continue
				}
				if len(forward) == 0 || forward[len(forward)-1] != e.start {
					t.Fatalf("backwards, there is a transition at %s that forwards has not", time.Unix(e.start, 0).UTC())
				}
				forward = forward[:len(forward)-1]
			}
			if len(forward) > 0 && forward[len(forward)-1] > from {
				t.Fatalf("backwards, the transition at %s is missed", time.Unix(forward[len(forward)-1], 0).UTC())
			}
		})
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
	if got := eraAt(loc, change.Unix()+3600).start; got != change.Unix() {
		t.Errorf("the era from %s starts at %s", change, time.Unix(got, 0).UTC())
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
	for n := range int64(500 * 366) {
		year, month, date := civil(n)
		if y, m, d := day.Date(); year != y || month != int(m) || date != d {
			t.Fatalf("civil(%d) = %d-%d-%d, want %s", n, year, month, date, day.Format(time.DateOnly))
		}
		if got := dayNumber(year, month, date); got != n {
			t.Fatalf("dayNumber(%d, %d, %d) = %d, want %d", year, month, date, got, n)
		}
		if last := day.AddDate(0, 0, 1-date).AddDate(0, 1, -1).Day(); daysIn(year, month) != last {
			t.Fatalf("daysIn(%d, %d) = %d, want %d", year, month, daysIn(year, month), last)
		}
		day = day.AddDate(0, 0, 1)
	}
}
