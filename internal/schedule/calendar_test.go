package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/schedule"
)

// dated is a calendar of dates such as 2026-12-25.
func dated(t *testing.T, name string, dates ...string) schedule.Calendar {
	t.Helper()
	times := make([]time.Time, len(dates))
	for i, text := range dates {
		var err error
		if times[i], err = time.Parse(time.DateOnly, text); err != nil {
			t.Fatal(err)
		}
	}
	c, err := schedule.NewCalendar(name, times)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCalendarsExcludeDaysOfTheSchedulesZone(t *testing.T) {
	for _, test := range []struct {
		name, expression, zone string
		exclude                []string
		want                   string // the first three slots of 2026-12-24T00:00:00Z on
	}{
		{"a day in UTC", "0 9 * * *", "", []string{"eve"}, "25T09 26T09 27T09"},
		{"two calendars", "0 9 * * *", "", []string{"eve", "boxing"}, "25T09 27T09 28T09"},
		{"a calendar and an expression", "0 9 * * *", "", []string{"* * 25 12 *", "boxing"}, "24T09 27T09 28T09"},
		{"a day that begins the evening before in UTC", "0 3 * * *", "Asia/Tokyo", []string{"boxing"}, "24T18 26T18 27T18"},
		{"a day that ends the morning after in UTC", "0 22 * * *", "America/New_York", []string{"eve"}, "24T03 26T03 27T03"},
		{"a rate", "rate(12 hours)", "", []string{"eve", "boxing"}, "25T00 25T12 27T00"},
		{"an expression that looks like a name", "0 9 * * *", "", []string{"yearly"}, "24T09 25T09 26T09"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := schedule.Spec{Expression: test.expression, Policy: schedule.Policy{
				Timezone: test.zone, Exclude: test.exclude,
				Calendars: []schedule.Calendar{dated(t, "boxing", "2026-12-26"), dated(t, "eve", "2026-12-24")},
			}}
			timetable, err := spec.Compile(at("2026-12-20T00:00:00Z"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for slot := at("2026-12-24T00:00:00Z"); len(got) < 3; {
				slot = timetable.Next(slot)
				got = append(got, slot.UTC().Format("02T15"))
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestNewCalendar(t *testing.T) {
	day := at("2026-12-25T00:00:00Z")
	c, err := schedule.NewCalendar("x", []time.Time{day, day.AddDate(0, 0, -1), day})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Time{day.AddDate(0, 0, -1), day}, c.Dates()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	many := make([]time.Time, schedule.MaxCalendarDays+1)
	for i := range many {
		many[i] = at("1970-01-01T00:00:00Z").AddDate(0, 0, i)
	}
	for _, test := range []struct {
		name  string
		dates []time.Time
		want  string
	}{
		{"", []time.Time{day}, `name: "": use up to 63 letters`},
		{"us holidays", []time.Time{day}, `name: "us holidays": use up to 63 letters`},
		{"1st", []time.Time{day}, `name: "1st": use up to 63 letters`},
		{"hourly", []time.Time{day}, `name: "hourly": is a cron expression; use another name`},
		{"x", nil, "dates: is empty"},
		{"x", []time.Time{at("1969-12-31T00:00:00Z")}, "dates: 1969-12-31: use a year from 1970 to 2199"},
		{"x", many, "dates: has 10001 dates; 10000 are the most"},
	} {
		if _, err := schedule.NewCalendar(test.name, test.dates); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.name, err, test.want)
		}
	}
}
