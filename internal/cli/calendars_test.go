package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCalendars(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	// Days that are yet to come, as DAY in what is printed.
	first := time.Now().UTC().AddDate(0, 0, 2)
	day := func(n int) string { return first.AddDate(0, 0, n).Format(time.DateOnly) }
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := file("one.yaml", fmt.Sprintf("- %s\n", day(0)))
	two := file("two.yaml", fmt.Sprintf("closed:\n  - %s/%s\nopen:\n  - %s\n", day(0), day(1), day(5)))
	ics := file("three.ics", fmt.Sprintf("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:%s\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
		first.Format("20060102")))
	plan := manifestFile(t, hourly("report", "v1", "{cron: 0 12 * * ? *, exclude: [us-holidays, '* * 29 2 ? *']}"))
	from := first.Truncate(24 * time.Hour).Format(time.RFC3339)
	told := func(args ...string) string {
		got := strings.ReplaceAll(w.told(t, args...), dir+"/", "")
		for n := range 6 {
			got = strings.ReplaceAll(got, day(n), fmt.Sprint("DAY", n))
		}
		return got
	}
	if got := told("apply", "-f", plan); !strings.Contains(got, `"us-holidays": there is no such calendar; store it with`) {
		t.Errorf("a calendar that is not there:\n%s", got)
	}
	for _, step := range []struct{ args, want string }{
		{"calendars put us-holidays", "tminus: --file is missing: give an .ics, .yaml or .yml file with the days\n"},
		{"calendars put us-holidays --file " + two, "tminus: two.yaml has 2 calendars; say which, as in two.yaml#closed\n"},
		{"calendars put hourly --file " + one, "tminus: InvalidArgument: name: \"hourly\": is a cron expression; use another name\n"},
		{"calendars show us-holidays", "tminus: NotFound: name: there is no calendar \"us-holidays\"\n"},
		{"calendars put us-holidays --reason new --file " + ics, "us-holidays has 1 day, DAY0; 0 active schedules changed\n"},
		{"apply -f " + plan, "NAME VERSION CHANGE NEXT\nreport v1 created, activated TIME (WHEN)\n"},
		{"calendars put us-holidays --reason longer --file " + two + "#closed", "us-holidays has 2 days, from DAY0 to DAY1; 1 active schedule changed\n"},
		{"calendars put us-holidays --file " + two + "#closed", "us-holidays has 2 days, from DAY0 to DAY1; 0 active schedules changed\n"},
		{"calendars list", "NAME DAYS FIRST LAST CHANGED BY REASON\nus-holidays 2 DAY0 DAY1 TIME (WHEN) USER longer\n"},
		{"calendars show us-holidays", "DAY0\nDAY1\n"},
		{"schedules history report", `REVISION WHEN ACTION VERSION EXPRESSION STATE BY REASON
2 TIME (WHEN) calendar us-holidays v1 cron(0 12 * * ? *) active USER longer
1 TIME (WHEN) activate v1 cron(0 12 * * ? *) active USER -
`},
		{"calendars delete us-holidays", "tminus: FailedPrecondition: calendar us-holidays is excluded by the active schedule of default/development/report; " +
			"activate a version that does not name it, or deactivate it, first\n"},
		{"schedules rollback report 1", "report is as in revision 1: v1 active; next TIME (WHEN)\n"},
	} {
		if diff := cmp.Diff(step.want, told(strings.Fields(step.args)...)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", step.args, diff)
		}
	}
	if got := w.must(t, "schedules", "preview", "report", "-n", "1", "--from", from); !strings.Contains(got, day(2)+"T12:00:00Z") {
		t.Errorf("the first slot after the holidays:\n%s", got)
	}
	w.must(t, "launchplans", "deactivate", "report")
	if got, want := told("calendars", "delete", "us-holidays"), "us-holidays is deleted\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// It cannot be activated again without the calendar.
	if got := told("launchplans", "activate", "report", "--version", "v1"); !strings.Contains(got, "there is no such calendar") {
		t.Errorf("activated without its calendar:\n%s", got)
	}
}
