package cron_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/cron"
)

// TestClockChanges has, for each kind of change, what the rules make of it. Times are in the zone, with its offset.
// Dates are past, so that no change of law can change them.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	const (
		skip, next          = cron.GapSkip, cron.GapNext
		first, second, both = cron.RepeatFirst, cron.RepeatSecond, cron.RepeatBoth
	)
	for _, test := range []struct {
		name, zone, expr, from string
		gap                    cron.Gap
		repeat                 cron.Repeat
		want                   []string // day, time and offset
	}{
		{
			"AWS skips a slot in a gap", "America/New_York", "cron(30 2 * * ? *)", "2024-03-09 12:00", 0, 0,
			[]string{"11 02:30 -0400", "12 02:30 -0400"},
		},
		{
			"unix skips a slot in a gap", "America/New_York", "30 2 * * *", "2024-03-09 12:00", 0, 0,
			[]string{"11 02:30 -0400", "12 02:30 -0400"},
		},
		{
			"a slot in a gap moves to its end", "America/New_York", "cron(30 2 * * ? *)", "2024-03-09 12:00", next, 0,
			[]string{"10 03:00 -0400", "11 02:30 -0400"},
		},
		{
			"slots in a gap make one, together with the one at its end", "America/New_York", "cron(0/20 2,3 * * ? *)",
			"2024-03-10 06:00", next, 0,
			[]string{"10 03:00 -0400", "10 03:20 -0400", "10 03:40 -0400", "11 02:00 -0400"},
		},
		{
			"the start of a gap is in it, its end is not", "America/New_York", "cron(0 2,3 * * ? *)", "2024-03-10", skip, 0,
			[]string{"10 03:00 -0400", "11 02:00 -0400"},
		},
		{
			"AWS fires a repeated slot the first time", "America/New_York", "cron(30 1 * * ? *)", "2024-11-02 12:00", 0, 0,
			[]string{"03 01:30 -0400", "04 01:30 -0500"},
		},
		{
			"unix fires a repeated slot both times", "America/New_York", "30 1 * * *", "2024-11-02 12:00", 0, 0,
			[]string{"03 01:30 -0400", "03 01:30 -0500", "04 01:30 -0500"},
		},
		{
			"a repeated slot can fire the second time", "America/New_York", "cron(30 1 * * ? *)", "2024-11-02 12:00", 0, second,
			[]string{"03 01:30 -0500", "04 01:30 -0500"},
		},
		{
			"the start of a repeat is in it, its end is not", "America/New_York", "cron(0 1,2 * * ? *)", "2024-11-02 12:00", 0, both,
			[]string{"03 01:00 -0400", "03 01:00 -0500", "03 02:00 -0500", "04 01:00 -0500"},
		},
		{
			"AWS's steps are silent the second time round", "America/New_York", "cron(*/30 * * * ? *)", "2024-11-03 05:00", 0, 0,
			[]string{"03 01:30 -0400", "03 02:00 -0500", "03 02:30 -0500"},
		},
		{
			"AWS's steps can fire through", "America/New_York", "cron(*/30 * * * ? *)", "2024-11-03 05:00", 0, both,
			[]string{"03 01:30 -0400", "03 01:00 -0500", "03 01:30 -0500", "03 02:00 -0500"},
		},
		{
			"steps can wait for the second time", "America/New_York", "*/30 * * * *", "2024-11-03 04:00", 0, second,
			[]string{"03 00:30 -0400", "03 01:00 -0500", "03 01:30 -0500", "03 02:00 -0500"},
		},
		{
			"the second time is found from in between", "America/New_York", "cron(30 1 3 11 ? 2024)", "2024-11-03 05:45", 0, both,
			[]string{"03 01:30 -0500", "never"},
		},
		{
			"in the last year of the schedule", "America/New_York", "cron(30 1 3 11 ? 2024)", "2024-01-01", 0, second,
			[]string{"03 01:30 -0500", "never"},
		},
		{
			"a year whose only slot is in a gap", "America/New_York", "cron(30 2 10 3 ? 2024)", "2024-01-01", 0, 0,
			[]string{"never"},
		},
		{
			"daylight saving of less than nothing", "Europe/Dublin", "30 1 * * *", "2024-10-26 12:00", 0, 0,
			[]string{"27 01:30 +0100", "27 01:30 +0000", "28 01:30 +0000"},
		},
		{
			"a gap of 30 minutes", "Australia/Lord_Howe", "cron(0,15,45 2 * * ? *)", "2024-10-05 12:00", skip, 0,
			[]string{"06 02:45 +1100", "07 02:00 +1100"},
		},
		{
			"a gap of 30 minutes ends in mid-hour", "Australia/Lord_Howe", "cron(0,15,45 2 * * ? *)", "2024-10-05 12:00", next, 0,
			[]string{"06 02:30 +1100", "06 02:45 +1100", "07 02:00 +1100"},
		},
		{
			"a repeat of 30 minutes", "Australia/Lord_Howe", "0/15 1 * * *", "2024-04-06 12:00", 0, 0,
			[]string{
				"07 01:00 +1100", "07 01:15 +1100", "07 01:30 +1100", "07 01:45 +1100", "07 01:30 +1030", "07 01:45 +1030",
				"08 01:00 +1030",
			},
		},
		{
			"a gap of two hours", "Antarctica/Troll", "0 1,2 * * *", "2024-03-30 12:00", next, 0,
			[]string{"31 03:00 +0200", "01 01:00 +0200"},
		},
		{
			"a repeat of two hours", "Antarctica/Troll", "cron(0 * * * ? *)", "2024-10-26 22:30", 0, first,
			[]string{"27 01:00 +0200", "27 02:00 +0200", "27 03:00 +0000"},
		},
		{
			"a gap at midnight loses no day", "America/Sao_Paulo", "0 9 * * *", "2018-11-03 12:30", 0, 0,
			[]string{"04 09:00 -0200", "05 09:00 -0200"},
		},
		{
			"midnight in a gap is skipped", "America/Sao_Paulo", "0 0 * * *", "2018-11-03 12:00", skip, 0,
			[]string{"05 00:00 -0200", "06 00:00 -0200"},
		},
		{
			"midnight in a gap moves to one o'clock", "Asia/Beirut", "@daily", "2024-03-30 12:00", next, 0,
			[]string{"31 01:00 +0300", "01 00:00 +0300"},
		},
		{
			"a Friday that begins in a gap", "Africa/Cairo", "cron(0 0 ? * FRIL *)", "2024-04-25 12:00", next, 0,
			[]string{"26 01:00 +0300", "31 00:00 +0300"},
		},
		{
			"a repeated midnight", "America/Havana", "0 0 * * *", "2024-11-02 12:00", 0, 0,
			[]string{"03 00:00 -0400", "03 00:00 -0500", "04 00:00 -0500"},
		},
		{
			"a repeat that crosses midnight fires each day once", "America/Sao_Paulo", "cron(30 23 * * ? *)", "2018-02-17 12:00", 0, 0,
			[]string{"17 23:30 -0200", "18 23:30 -0300"},
		},
		{
			"a whole day that does not exist", "Pacific/Apia", "cron(0 12 * * ? *)", "2011-12-29", skip, 0,
			[]string{"29 12:00 -1000", "31 12:00 +1400"},
		},
		{
			"a whole day that does not exist, moved", "Pacific/Apia", "cron(0 12 30 12 ? *)", "2011-12-29", next, 0,
			[]string{"31 00:00 +1400", "30 12:00 +1400"},
		},
		{
			"a change of offset that is no daylight saving", "Asia/Pyongyang", "cron(45 23 * * ? *)", "2018-05-04 12:00", next, 0,
			[]string{"05 00:00 +0900", "05 23:45 +0900"},
		},
		{
			"an offset with seconds", "Africa/Monrovia", "@daily", "1972-01-05", next, 0,
			[]string{"05 00:00 -0044", "06 00:00 -0044", "07 00:44 +0000", "08 00:00 +0000"},
		},
		{
			"a rate knows no clocks", "America/New_York", "rate(1 hour)", "2024-03-10 06:00", next, both,
			[]string{"10 03:00 -0400", "10 04:00 -0400"},
		},
		{
			"the first year begins with the zone's clock", "Asia/Tokyo", "cron(0 0 1 1 ? *)", "1960-01-01", 0, 0,
			[]string{"01 00:00 +0900", "01 00:00 +0900"},
		},
		{
			"the last year ends with the zone's clock", "America/Bogota", "cron(0 22 31 12 ? *)", "2199-12-31 23:30", 0, 0,
			[]string{"31 22:00 -0500", "never"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := mustParse(t, test.expr).In(location(t, test.zone)).WithGap(test.gap).WithRepeat(test.repeat)
			from := at(t, test.from)
			got := take(s.Next, from, len(test.want), "02 15:04 -0700")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s in %s after %s (-want +got)\n%s", test.expr, test.zone, test.from, diff)
			}
			checkWayBack(t, s, from, len(test.want))
		})
	}
}

// TestPrevAfterAClockChange looks back over a change to readings that are later than the present one.
func TestPrevAfterAClockChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		zone, expr, from string
		gap              cron.Gap
		repeat           cron.Repeat
		want             string
	}{
		{"America/New_York", "cron(30 1 3 11 ? 2024)", "2024-11-03T01:10:00-05:00", 0, 0, "2024-11-03T01:30:00-04:00"},
		{"America/New_York", "cron(30 1 3 11 ? *)", "2024-11-03T01:10:00-05:00", 0, 0, "2024-11-03T01:30:00-04:00"},
		{"America/New_York", "cron(30 1 3 11 ? *)", "2024-11-03T01:10:00-05:00", 0, cron.RepeatSecond, "2023-11-03T01:30:00-04:00"},
		{"America/New_York", "cron(30 1 3 11 ? *)", "2024-11-03T02:10:00-05:00", 0, 0, "2024-11-03T01:30:00-04:00"},
		{"America/New_York", "cron(30 1 3 11 ? *)", "2024-11-03T02:10:00-05:00", 0, cron.RepeatBoth, "2024-11-03T01:30:00-05:00"},
		{"America/New_York", "cron(30 2 10 3 ? *)", "2024-12-01T00:00:00-05:00", cron.GapNext, 0, "2024-03-10T03:00:00-04:00"},
		{"America/New_York", "cron(30 2 10 3 ? *)", "2024-12-01T00:00:00-05:00", cron.GapSkip, 0, "2023-03-10T02:30:00-05:00"},
	} {
		s := mustParse(t, test.expr).In(location(t, test.zone)).WithGap(test.gap).WithRepeat(test.repeat)
		if got := s.Prev(at(t, test.from)).Format(time.RFC3339); got != test.want {
			t.Errorf("%s in %s before %s is %s, want %s", test.expr, test.zone, test.from, got, test.want)
		}
	}
}

// TestRobfigLosesDaysAtMidnightGaps is named after robfig/cron's bug: in a zone whose clocks skip midnight, it leaves out days.
func TestRobfigLosesDaysAtMidnightGaps(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "America/Havana", "America/Asuncion", "Asia/Gaza"} {
		s := mustParse(t, "CRON_TZ="+zone+" 0 12 * * *")
		from := time.Date(2009, 12, 31, 12, 0, 0, 0, s.Location())
		for day := 1; day < 20*365; day++ {
			want := time.Date(2009, 12, 31+day, 12, 0, 0, 0, s.Location())
			if from = s.Next(from); !from.Equal(want) {
				t.Fatalf("noon in %s is at %s, want %s", zone, from, want)
			}
		}
	}
}
