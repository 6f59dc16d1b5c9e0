package calendar_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/cron"
	"tminus.dev/internal/calendar"
)

// write writes a file, with the line ends that iCalendar has, and returns its path.
func write(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if strings.HasSuffix(name, ".ics") {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// show writes calendars as a line each: the name and the dates.
func show(calendars []cron.Calendar) string {
	var b strings.Builder
	for _, c := range calendars {
		b.WriteString(c.Name() + ":")
		for date := range c.Dates() {
			b.WriteString(" " + date.Format(time.DateOnly))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// event is an iCalendar file with one event of the given lines.
func event(lines string) string {
	return "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\nBEGIN:VEVENT\nUID:1\nSUMMARY:Holiday\n" + lines + "\nEND:VEVENT\nEND:VCALENDAR\n"
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ about, file, text, want string }{
		{"a list", "nyse.yaml", "- 2026-12-25\n- 2026-01-01 # New Year\n- '2026-12-25'\n", "nyse: 2026-01-01 2026-12-25\n"},
		{"names", "all.yml", "nyse: [2026-01-01]\nlse:\n  - 2026-12-25\n", "nyse: 2026-01-01\nlse: 2026-12-25\n"},
		{"a range", "shutdown.yaml", "- 2026-12-30/2027-01-02\n", "shutdown: 2026-12-30 2026-12-31 2027-01-01 2027-01-02\n"},
		{"one list under two names", "x.yaml", "a: &x [2026-01-01]\nb: *x\n", "a: 2026-01-01\nb: 2026-01-01\n"},
		{"a leap day", "x.yaml", "- 2028-02-28/2028-03-01\n", "x: 2028-02-28 2028-02-29 2028-03-01\n"},

		{"all day", "x.ics", event("DTSTART;VALUE=DATE:20260101"), "x: 2026-01-01\n"},
		{"all day, with an end", "x.ics", event("DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20260102"), "x: 2026-01-01\n"},
		{"two days", "x.ics", event("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261226"), "x: 2026-12-24 2026-12-25\n"},
		{"all day, ends where it begins", "x.ics", event("DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20260101"), "x: 2026-01-01\n"},
		{"days by their number", "x.ics", event("DTSTART;VALUE=DATE:20261224\nDURATION:P3D"), "x: 2026-12-24 2026-12-25 2026-12-26\n"},
		{"a week", "x.ics", event("DTSTART;VALUE=DATE:20260101\nDURATION:P1W"), "x: 2026-01-01 2026-01-02 2026-01-03 2026-01-04 2026-01-05 2026-01-06 2026-01-07\n"},
		{"hours", "x.ics", event("DTSTART:20260101T090000Z\nDTEND:20260101T170000Z"), "x: 2026-01-01\n"},
		{"over midnight", "x.ics", event("DTSTART:20260101T220000Z\nDURATION:PT4H"), "x: 2026-01-01 2026-01-02\n"},
		{"until midnight", "x.ics", event("DTSTART:20260101T220000Z\nDTEND:20260102T000000Z"), "x: 2026-01-01\n"},
		{"an instant", "x.ics", event("DTSTART:20260101T000000"), "x: 2026-01-01\n"},
		{"the date of the event's zone", "x.ics", event("DTSTART;TZID=Asia/Tokyo:20260101T080000\nDTEND;TZID=Asia/Tokyo:20260101T090000"), "x: 2026-01-01\n"},
		{"an end in another zone", "x.ics", event("DTSTART;TZID=America/New_York:20260101T200000\nDTEND:20260102T040000Z"), "x: 2026-01-01\n"},
		{"a zone as Windows has it", "x.ics", event("DTSTART;TZID=W. Europe Standard Time:20260101T080000"), "x: 2026-01-01\n"},

		{"every year", "x.ics", event("DTSTART;VALUE=DATE:20260704\nRRULE:FREQ=YEARLY;COUNT=3"), "x: 2026-07-04 2027-07-04 2028-07-04\n"},
		{
			"the last Monday of May", "x.ics", event("DTSTART;VALUE=DATE:20260525\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO;UNTIL=20281231"),
			"x: 2026-05-25 2027-05-31 2028-05-29\n",
		},
		{"two days a year", "x.ics", event("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261226\nRRULE:FREQ=YEARLY;COUNT=2"), "x: 2026-12-24 2026-12-25 2027-12-24 2027-12-25\n"},
		{"but not then", "x.ics", event("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE;VALUE=DATE:20260102,20260103"), "x: 2026-01-01 2026-01-04\n"},
		{"and then", "x.ics", event("DTSTART;VALUE=DATE:20260101\nRDATE;VALUE=DATE:20260301,20260201"), "x: 2026-01-01 2026-02-01 2026-03-01\n"},
		{
			"an end in UTC, in a zone behind it", "x.ics",
			event("DTSTART;TZID=America/New_York:20260101T220000\nRRULE:FREQ=DAILY;UNTIL=20260103T030000Z"), "x: 2026-01-01 2026-01-02\n",
		},
		{
			"in the evening, through a change of clocks", "x.ics",
			event("DTSTART;TZID=America/New_York:20260307T233000\nDURATION:PT15M\nRRULE:FREQ=DAILY;COUNT=3"), "x: 2026-03-07 2026-03-08 2026-03-09\n",
		},
		{
			"one moved, one cancelled", "x.ics",
			"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;COUNT=3\nEND:VEVENT\n" +
				"BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;VALUE=DATE:20260102\nDTSTART;VALUE=DATE:20260109\nEND:VEVENT\n" +
				"BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;VALUE=DATE:20260103\nSTATUS:CANCELLED\nDTSTART;VALUE=DATE:20260103\nEND:VEVENT\n" +
				"BEGIN:VEVENT\nUID:2\nSTATUS:CANCELLED\nDTSTART;VALUE=DATE:20260701\nEND:VEVENT\nEND:VCALENDAR\n",
			"x: 2026-01-01 2026-01-09\n",
		},
		{"long lines are folded", "x.ics", event("DTSTART;VALUE=DATE:202\n 60101"), "x: 2026-01-01\n"},
	} {
		t.Run(test.about, func(t *testing.T) {
			t.Parallel()
			calendars, err := calendar.Read(write(t, test.file, test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, show(calendars)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestForEver follows what recurs without an end for as long as expressions have years.
func TestForEver(t *testing.T) {
	t.Parallel()
	c, err := calendar.Find(write(t, "x.ics", event("DTSTART;VALUE=DATE:20260704\nRRULE:FREQ=YEARLY")))
	if err != nil {
		t.Fatal(err)
	}
	if last := time.Date(2199, 7, 4, 0, 0, 0, 0, time.UTC); c.Len() != 2199-2026+1 || !c.Contains(last) {
		t.Errorf("there are %d dates", c.Len())
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ file, text, want string }{
		{"x.txt", "", ": a calendar is a file that ends in .yaml, .yml or .ics"},
		{"x.yaml", "", ": has no calendar: write a list of dates, or names with such lists"},
		{"x.yaml", "2026-01-01", ": has no calendar: write a list of dates, or names with such lists"},
		{"x.yaml", "{}", ": has no calendar: write a list of dates, or names with such lists"},
		{"x.yaml", "[]", ": line 1: x has no dates"},
		{"x.yaml", "nyse:\n  - 2026-01-01\nlse:\n", ": line 3: lse: write a list of dates, each on a line that begins with -"},
		{"x.yaml", "nyse: [2026-01-01]\nnyse: [2026-01-02]\n", ": line 2: the calendar nyse is there twice"},
		{"x.yaml", "- 2026-01-01\n- 2026-02-30\n", ": line 2: x: \"2026-02-30\": use a date such as 2026-01-31; a range of them is written 2026-12-24/2026-12-31"},
		{"x.yaml", "- 01/02/2026\n", ": line 1: x: \"01\": use a date such as 2026-01-31"},
		{"x.yaml", "- 2026-01-02/2026-01-01\n", ": line 1: x: \"2026-01-02/2026-01-01\" ends before it begins"},
		{"x.yaml", "- 1969-12-31\n", ": line 1: x: \"1969-12-31\": use a year from 1970 to 2199"},
		{"x.yaml", "- {date: 2026-01-01}\n", ": line 1: x: use a date such as 2026-01-31"},
		{"x.yaml", "- *x\n", ": go-yaml load error in composer at L1.C3: unknown anchor 'x' referenced"},
		{"x.ics", "", ": does not end with END:VCALENDAR: it is no iCalendar file, or a part of one"},
		{"x.ics", "BEGIN:VCALENDAR\nEND:VCALENDAR\n", ": has no events"},
		{"x.ics", event("SEQUENCE:1"), `: event "Holiday": has no DTSTART`},
		{"x.ics", event("DTSTART:2026-01-01"), `: event "Holiday": DTSTART "2026-01-01": use a date or a time such as 20260131T090000, in a year from 1970 to 2199`},
		{"x.ics", event("DTSTART:20260230"), `: event "Holiday": DTSTART "20260230": use a date such as 20260131`},
		{"x.ics", event("DTSTART;TZID=Mars/Base:20260101T000000"), `: event "Holiday": DTSTART: the time zone "Mars/Base" is not in the IANA database`},
		{"x.ics", event("DTSTART:20260102\nDTEND:20260101"), `: event "Holiday": ends before it begins`},
		{"x.ics", event("DTSTART:20260102\nDURATION:PT"), `: event "Holiday": DURATION "PT": use one such as P1D or PT8H`},
		{"x.ics", event("DTSTART:20260102\nRRULE:FREQ=HOURLY"), `: event "Holiday": RRULE "FREQ=HOURLY": recurs by the time of day, and a calendar has whole days`},
		{"x.ics", event("DTSTART:20260102\nRRULE:FREQ=NEVER"), `: event "Holiday": RRULE "FREQ=NEVER": `},
		{"x.ics", event("DTSTART:20260102\nRRULE:FREQ=DAILY\nRRULE:FREQ=YEARLY"), `: event "Holiday": has more than one RRULE`},
		{"x.ics", event("DTSTART:20260102\nEXRULE:FREQ=DAILY"), `: event "Holiday": has an EXRULE`},
		{"x.ics", event("DTSTART:20260102\nRDATE:x"), `: event "Holiday": RDATE "x": `},
	} {
		path := write(t, test.file, test.text)
		_, err := calendar.Read(path)
		if err == nil || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.text, err, test.want)
		}
	}
	if _, err := calendar.Read("nowhere.ics"); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	path := write(t, "x.yaml", "nyse: [2026-01-01]\nlse: [2026-12-25]\n")
	one := write(t, "one.yaml", "- 2026-01-01\n")
	for _, test := range []struct{ name, want string }{
		{path + "#nyse", "nyse: 2026-01-01\n"},
		{path + "#lse", "lse: 2026-12-25\n"},
		{one, "one: 2026-01-01\n"},
		{one + "#one", "one: 2026-01-01\n"},
		{path, path + " has 2 calendars; say which, as in " + path + "#nyse"},
		{path + "#tse", path + ` has no calendar "tse", but nyse, lse`},
	} {
		if !calendar.IsFile(test.name) {
			t.Errorf("%s is no file", test.name)
		}
		c, err := calendar.Find(test.name)
		got := show([]cron.Calendar{c})
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	for _, name := range []string{"0 10 * * ? *", "nyse", "rate(5 minutes)", "x.yaml/y"} {
		if calendar.IsFile(name) {
			t.Errorf("%s is a file", name)
		}
	}
}

// FuzzRead checks that whatever is in a file is read in bounded time or refused.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		event("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE;VALUE=DATE:20260102,20260103"),
		event("DTSTART;TZID=America/New_York:20260307T233000\nDURATION:PT15M\nRRULE:FREQ=WEEKLY;BYDAY=MO"),
		"- 2026-01-01\n", "a: [2026-12-24/2027-01-02]\n", "a: &x [2026-01-01]\nb: *x\n",
	} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"x.yaml", "x.ics"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			calendars, err := calendar.Read(path)
			for _, c := range calendars {
				if err == nil && c.Len() == 0 {
					t.Errorf("the calendar %q has no dates", c.Name())
				}
			}
		}
	})
}
