package cron_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tminus.dev/cron"
)

// When does an expression fire next?
func Example() {
	s, err := cron.Parse("cron(0/30 8-9 ? * MON-FRI *)")
	if err != nil {
		fmt.Println(err)
		return
	}
	t := time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)
	for range 3 {
		t = s.Next(t)
		fmt.Println(t.Format(time.RFC1123))
	}
	// Output:
	// Fri, 02 Jan 2026 09:30:00 UTC
	// Mon, 05 Jan 2026 08:00:00 UTC
	// Mon, 05 Jan 2026 08:30:00 UTC
}

// Which dialect is it, and what is the plain form of it?
func ExampleParse() {
	for _, expr := range []string{
		"0 10 L * ? *",
		"cron(0,15,30,45 10 ? * 2-6 *)",
		"rate(60 minutes)",
		"*/15 22 * * 1-5",
		"CRON_TZ=Asia/Tokyo @daily",
		"weekly",
	} {
		s, err := cron.Parse(expr)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s.Dialect(), s)
	}
	// Output:
	// aws cron(0 10 L * ? *)
	// aws cron(0/15 10 ? * MON-FRI *)
	// rate rate(1 hour)
	// unix */15 22 * * MON-FRI
	// unix CRON_TZ=Asia/Tokyo 0 0 * * *
	// unix 0 0 * * SUN
}

// What is wrong with an expression, and where?
func ExampleSyntaxError() {
	_, err := cron.Parse("cron(0 10 * * MON *)")
	fmt.Println(err)

	if e, ok := errors.AsType[*cron.SyntaxError](err); ok {
		fmt.Printf("%s[%s]%s\n", e.Expr[:e.Start], e.Expr[e.Start:e.End], e.Expr[e.End:])
	}
	// Output:
	// aws expression "cron(0 10 * * MON *)": day-of-month at column 11: found "*", allowed: ? in exactly one of day-of-month and day-of-week; write ? for day-of-month; did you mean "cron(0 10 ? * MON *)"?
	// cron(0 10 [*] * MON *)
}

// When does it fire in a zone, on the days when clocks change?
func ExampleSchedule_In() {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := cron.Parse("cron(30 1,2 ? 3,11 SUN *)")
	if err != nil {
		fmt.Println(err)
		return
	}
	s = s.In(newYork)
	show := func(s cron.Schedule, day time.Time) {
		for slot := range s.Between(day, day.AddDate(0, 0, 1)) {
			fmt.Println(slot.Format(time.RFC822Z))
		}
	}
	spring, autumn := time.Date(2024, 3, 10, 0, 0, 0, 0, newYork), time.Date(2024, 11, 3, 0, 0, 0, 0, newYork)
	fmt.Println("by default:")
	show(s, spring)
	show(s, autumn)
	fmt.Println("with GapNext and RepeatBoth:")
	show(s.WithGap(cron.GapNext), spring)
	show(s.WithRepeat(cron.RepeatBoth), autumn)
	// Output:
	// by default:
	// 10 Mar 24 01:30 -0500
	// 03 Nov 24 01:30 -0400
	// 03 Nov 24 02:30 -0500
	// with GapNext and RepeatBoth:
	// 10 Mar 24 01:30 -0500
	// 10 Mar 24 03:00 -0400
	// 03 Nov 24 01:30 -0400
	// 03 Nov 24 01:30 -0500
	// 03 Nov 24 02:30 -0500
}

// Which slots were missed while nothing could fire?
func ExampleSchedule_Between() {
	s, err := cron.Parse("0 */6 * * *")
	if err != nil {
		fmt.Println(err)
		return
	}
	lastFired := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := time.Date(2026, 1, 1, 18, 0, 0, 0, time.UTC)
	for slot := range s.Between(lastFired, now) {
		fmt.Println(slot.Format(time.Kitchen))
	}
	// Output:
	// 6:00AM
	// 12:00PM
	// 6:00PM
}

// Will it ever fire again?
func ExampleSchedule_Never() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, expr := range []string{"cron(0 0 30 2 ? *)", "cron(0 0 1 1 ? 2020-2025)", "cron(0 0 29 2 ? *)"} {
		s, err := cron.ParseAWS(expr)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(expr, "never:", s.Never(), "never again:", s.Next(now).IsZero())
	}
	// Output:
	// cron(0 0 30 2 ? *) never: true never again: true
	// cron(0 0 1 1 ? 2020-2025) never: false never again: true
	// cron(0 0 29 2 ? *) never: false never again: false
}

// A rate counts from its anchor, such as the time of its activation.
func ExampleSchedule_WithAnchor() {
	s, err := cron.Parse("rate(8 hours)")
	if err != nil {
		fmt.Println(err)
		return
	}
	activated := time.Date(2026, 1, 1, 13, 37, 0, 0, time.UTC)
	s = s.WithAnchor(activated)
	fmt.Println(s.Next(activated))
	fmt.Println(s.Next(time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)))
	// Output:
	// 2026-01-01 21:37:00 +0000 UTC
	// 2026-01-02 13:37:00 +0000 UTC
}

// Was this when it fired last?
func ExampleSchedule_Prev() {
	s, err := cron.ParseUnix("CRON_TZ=Europe/Berlin 0 9 * * MON-FRI")
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 1, 5, 6, 0, 0, 0, time.UTC)
	fmt.Println(s.Prev(now))
	fmt.Println(s.Match(s.Prev(now)), s.Match(now))
	// Output:
	// 2026-01-02 09:00:00 +0100 CET
	// true false
}

// What does it mean?
func ExampleSchedule_Explain() {
	for _, expr := range []string{"cron(15 10 ? * 6L 2030-2035)", "*/15 9-17 * * MON-FRI", "0 0 13 * FRI"} {
		s, err := cron.Parse(expr)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s.Explain())
	}
	// Output:
	// At 10:15 on the last Friday of every month, 2030 to 2035
	// Every 15 minutes from 09:00 to 17:45, Monday to Friday
	// At 00:00 on the 13th of every month, and also every Friday
}

// What is it in AWS's dialect?
func ExampleSchedule_Convert() {
	for _, expr := range []string{"*/15 9-17 * * MON-FRI", "@every 90m", "0 0 13 * FRI"} {
		s, err := cron.ParseUnix(expr)
		if err != nil {
			fmt.Println(err)
			continue
		}
		s, err = s.Convert(cron.AWS)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(s)
	}
	// Output:
	// cron(0/15 9-17 ? * MON-FRI *)
	// rate(90 minutes)
	// unix expression "0 0 13 * FRI" has no equivalent in the dialect aws: day-of-week: unix cron fires on days that match either day field, and AWS cron has just one of them; use two schedules: cron(0 0 13 * ? *) and cron(0 0 ? * FRI *)
}

// How often does it fire in a year?
func ExampleSchedule_Count() {
	s, err := cron.Parse("cron(0 9 LW * ? *)")
	if err != nil {
		fmt.Println(err)
		return
	}
	year := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(s.Count(year, year.AddDate(1, 0, 0)), s.Count(year, year.AddDate(100, 0, 0)))
	// Output:
	// 12 1200
}

// At two times that no single expression has.
func ExampleUnion() {
	morning, err := cron.Parse("30 9 * * MON-FRI")
	if err != nil {
		fmt.Println(err)
		return
	}
	evening, err := cron.Parse("0 16 * * MON-FRI")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := cron.Union(morning, evening)
	friday := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for slot := range s.Between(friday, friday.AddDate(0, 0, 3)) {
		fmt.Println(slot.Format(time.RFC822))
	}
	// Output:
	// 02 Jan 26 09:30 UTC
	// 02 Jan 26 16:00 UTC
}

// Every hour, but not while the backup runs.
func ExampleSchedule_Except() {
	s, err := cron.Parse("0 * * * *")
	if err != nil {
		fmt.Println(err)
		return
	}
	backup, err := cron.Parse("* 1-4 * * *")
	if err != nil {
		fmt.Println(err)
		return
	}
	s = s.Except(backup)
	midnight := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(s.Next(midnight), s.Count(midnight, midnight.AddDate(0, 0, 1)))
	// Output:
	// 2026-01-01 05:00:00 +0000 UTC 20
}

// On weekdays at nine, but not on the exchange's holidays.
func ExampleSchedule_ExceptOn() {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := cron.Parse("cron(0 9 ? * MON-FRI *)")
	if err != nil {
		fmt.Println(err)
		return
	}
	holidays := cron.NewCalendar("NYSE",
		time.Date(2026, 11, 26, 0, 0, 0, 0, newYork), // Thanksgiving
		time.Date(2026, 12, 25, 0, 0, 0, 0, newYork), // Christmas
	)
	s = s.In(newYork).ExceptOn(holidays)
	fmt.Println(s.Explain())
	for slot := range s.Between(time.Date(2026, 11, 25, 0, 0, 0, 0, newYork), time.Date(2026, 11, 28, 0, 0, 0, 0, newYork)) {
		fmt.Println(slot.Format(time.RFC1123))
	}
	// Output:
	// At 09:00, Monday to Friday, America/New_York time, but not on the dates of NYSE
	// Wed, 25 Nov 2026 09:00:00 EST
	// Fri, 27 Nov 2026 09:00:00 EST
}

// On some dates only.
func ExampleSchedule_OnlyOn() {
	s, err := cron.Parse("0 18 * * *")
	if err != nil {
		fmt.Println(err)
		return
	}
	s = s.OnlyOn(cron.NewCalendar("releases", time.Date(2026, 3, 17, 0, 0, 0, 0, time.UTC), time.Date(2026, 9, 15, 0, 0, 0, 0, time.UTC)))
	fmt.Println(s.Next(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)))
	// Output:
	// 2026-09-15 18:00:00 +0000 UTC
}

// When do most of them fire?
func ExampleCollide() {
	var schedules []cron.Schedule
	for _, expr := range []string{"0 9 * * *", "*/15 * * * *", "cron(0 9 ? * MON-FRI *)", "rate(1 hour)"} {
		s, err := cron.Parse(expr)
		if err != nil {
			fmt.Println(err)
			return
		}
		schedules = append(schedules, s)
	}
	friday := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	load, err := cron.Collide(friday, friday.AddDate(0, 0, 1), schedules...)
	if err != nil {
		fmt.Println(err)
		return
	}
	minute, n := load.Peak()
	fmt.Println(n, "of", load.Total(), "at", minute.Format(time.Kitchen))
	// Output:
	// 4 of 122 at 9:00AM
}

// Expressions that are part of the program.
func ExampleMustParse() {
	nightly := cron.MustParse("0 3 * * *")
	fmt.Println(nightly.Next(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)))
	// Output:
	// 2026-01-02 03:00:00 +0000 UTC
}

// A schedule in a configuration.
func ExampleSchedule_UnmarshalText() {
	var job struct {
		Name string
		When cron.Schedule
	}
	if err := json.Unmarshal([]byte(`{"Name": "report", "When": "0 9 * * 1-5"}`), &job); err != nil {
		fmt.Println(err)
		return
	}
	text, err := json.Marshal(job)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.When.Explain())
	fmt.Println(string(text))
	// Output:
	// At 09:00, Monday to Friday
	// {"Name":"report","When":"0 9 * * MON-FRI"}
}
