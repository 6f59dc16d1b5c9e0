package cron_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tminus.dev/cron"
)

// TestEverySecondAroundChanges asks for the slots at every second around each change of clocks from 2000 to 2040, in all zones of
// oracleZones. Each change has other expressions and rules, in turn.
func TestEverySecondAroundChanges(t *testing.T) {
	t.Parallel()
	from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	to := time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC)
	changes := 0
	for _, name := range oracleZones {
		loc := location(t, name)
		for at := from.In(loc); ; {
			_, end := at.ZoneBounds()
			if end.IsZero() || end.After(to) {
				break
			}
			if offsetOf(end) != offsetOf(end.Add(-1)) {
				checkChange(t, loc, end, changes)
				changes++
			}
			at = end.Add(24 * time.Hour) // ZoneBounds may be a day off
		}
	}
	if changes < 2000 {
		t.Errorf("just %d changes were found", changes)
	}
}

func checkChange(t *testing.T, loc *time.Location, change time.Time, n int) {
	t.Helper()
	before := change.Add(-1).In(loc)
	end := change.Add(-time.Second).UTC().Add(time.Duration(offsetOf(before)) * time.Second) // the last wall-clock second before it
	in := end.Add(time.Duration(n%7-3) * 10 * time.Minute)
	exprs := []string{
		"* * * * *", "*/5 * * * *", "30 * * * *", "0 * * * *", "0-59/7 */2 * * *",
		fmt.Sprintf("%d %d * * *", in.Minute(), in.Hour()),
		fmt.Sprintf("%d,%d %d-23 * * *", in.Minute(), (in.Minute()+20)%60, in.Hour()),
	}
	o := oracle{dialect: cron.Unix, fields: strings.Fields(exprs[n%len(exprs)])}
	if n/len(exprs)%2 == 1 {
		o.dialect = cron.AWS
		o.fields[4] = "?"
		o.fields = append(o.fields, fmt.Sprintf("%d-%d", in.Year()-1, in.Year()+1))
	}
	o.gap, o.repeat = cron.Gap(n%3), cron.Repeat(n/3%4)
	s := mustParse(t, o.expr()).In(loc).WithGap(o.gap).WithRepeat(o.repeat)

	first, last := change.Unix()-70*60, change.Unix()+70*60
	slots := o.slots(loc, first-86400-7200, last+86400+7200)
	next := 0 // the first slot after u
	for u := first; u <= last; u++ {
		for slots[next] <= u {
			next++
		}
		at := time.Unix(u, 0)
		prev, match := slots[next-1], slots[next-1] == u
		if match {
			prev = slots[next-2]
		}
		if got := s.Next(at).Unix(); got != slots[next] {
			t.Fatalf("%s in %s, gap %d, repeat %d: Next(%s) is %d, want %d", o.expr(), loc, o.gap, o.repeat, at.In(loc), got, slots[next])
		}
		if got := s.Prev(at).Unix(); got != prev {
			t.Fatalf("%s in %s, gap %d, repeat %d: Prev(%s) is %d, want %d", o.expr(), loc, o.gap, o.repeat, at.In(loc), got, prev)
		}
		if got := s.Match(at); got != match {
			t.Fatalf("%s in %s, gap %d, repeat %d: Match(%s) is %t", o.expr(), loc, o.gap, o.repeat, at.In(loc), got)
		}
	}
}
