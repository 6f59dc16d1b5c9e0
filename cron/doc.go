// Package cron reads and evaluates schedules: AWS cron and rates, as EventBridge takes them, EventBridge Scheduler's at(…), and unix
// cron, as robfig/cron and so Flyte's native scheduler read it. A [Schedule] is a pure value: it has no clock and starts nothing.
//
// It answers when its slots are: [Schedule.Next], [Schedule.Prev], [Schedule.Between], [Schedule.Match]; how many there are:
// [Schedule.Count], [Schedule.Never]; what it means: [Schedule.Explain]; and what it is in another dialect: [Schedule.Convert].
// [Union], [Schedule.Except], [Schedule.ExceptOn] and [Schedule.OnlyOn] combine schedules and the dates of a [Calendar],
// and [Collide] tells in which minutes many schedules meet.
//
// [Parse] tells the dialects apart by their form; [ParseAWS], [ParseUnix], [ParseRate] and [Every] take just one. What they refuse,
// they refuse with a [SyntaxError], which says where it is wrong, what may stand there, and, if it can, what was meant. [MustParse] is for
// expressions in a program's own text, and in JSON a Schedule is its expression, see [Schedule.MarshalText].
//
// # AWS cron
//
//	cron(minutes hours day-of-month month day-of-week year)
//	cron(0/15 8-17 ? * MON-FRI *)       every quarter of an hour, on working days
//	cron(0 10 L * ? *)                  at 10:00 on the last day of each month
//
// The wrapper may be left out. The fields and what they hold:
//
//	field         values                  besides * , - /
//	minutes       0-59
//	hours         0-23
//	day-of-month  1-31                    ? L W
//	month         1-12 or JAN-DEC
//	day-of-week   1-7 or SUN-SAT          ? L #          1 is Sunday
//	year          1970-2199
//
//	*             every value
//	?             no condition: exactly one of the two day fields has it, and no other field
//	1,15          a list, of any of the items below
//	8-17          a range; past the end of a field it goes on from its start (22-2, FRI-MON, NOV-FEB, 28-3), except for years
//	0/15  */15    a step: from a start to the end of the field; 0/60 is the start alone
//	8-17/3        a step within a range
//	L   L-3       day-of-month: the last day; the third day before it (L-1 to L-30)
//	15W   LW      day-of-month: the weekday, Monday to Friday, nearest to the 15th; the last weekday. They never leave the
//	              month, and 31W has no day in a month without a 31st
//	6L   FRIL     day-of-week: the last Friday of the month. A bare L is 7, Saturday
//	6#3  FRI#3    day-of-week: the third Friday of the month. Like 6L and L, it stands alone in the field
//
// Names, L and W may be in any case; numbers may have leading zeros. A step of 0, an empty item of a list, a missing start (/5) or
// end (5-), a number outside the field, and long names (MONDAY) are refused. AWS's documents are silent on some of this; where AWS has been
// observed, this package does as AWS does.
//
// # Once
//
//	at(2026-01-31T09:00:00)
//
// This fires at one time of the wall clock, to the second, and never again. As in AWS, it has no zone of its own.
//
// # Rates
//
//	rate(5 minutes)    rate(1 hour)    rate(7 days)    @every 1h30m
//
// A rate is elapsed time from an anchor, see [Schedule.WithAnchor]. AWS's form takes exactly that spelling, with
// the singular for 1. @every takes a Go duration of whole seconds, from a minute on.
//
// # Unix cron
//
//	minutes hours day-of-month month day-of-week
//	0 9 * * MON-FRI                      at 9:00 on working days
//	CRON_TZ=Europe/Berlin 30 2 1 * *     at 2:30 in Berlin, on the first of each month
//
// Fields are as above, without years, L, W and #, with these differences: day-of-week is 0-6, 0 is Sunday, and 7 is refused;
// ranges only run upwards; ? is the same as *, in any field. If both day fields are restricted, a day matches by either of them:
// 0 0 13 * FRI fires on each 13th and on each Friday. A field counts as restricted unless an item of it is
// *, ?, or one of these with a step of 1; so */2 and 1-31 are restricted.
//
// For whole expressions there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly, and flytekit's bare names:
// yearly, annually, years; monthly, months; weekly, weeks; daily, days; hourly, hours.
//
// This is what robfig/cron's ParseStandard takes, with the same meaning, except for this. The zone is UTC, not the machine's, if
// none is given. @every counts from its anchor. No slots are lost around
// changes of clocks at midnight, or by other than an hour, and the search does not end after five years.
// And these are refused: an @every of less than a minute, or with a fraction of a second; empty items of lists; a zone
// without an expression; nonsense after *-, which robfig/cron ignores.
//
// # Slots
//
// A slot is an instant, at the full minute of the schedule's wall clock for cron. There is at most one slot at an instant.
// Cron has slots in the years 1970 to 2199 (AWS) or 9999 (unix) of its zone, and all of these years are searched: however far
// off the next slot is, Next finds it, and its zero Time means that there is none. That no date matches, as for the 30th of February, is
// known once an expression is parsed; that the only slot of each year is in a gap of the zone's clocks, once it is set by [Schedule.In].
// Searches do not allocate, and for a single expression the slowest there are take two microseconds. In combinations they take as long as
// there is to be taken away, and have a limit, see [Schedule.Except].
//
// # Zones and changes of clocks
//
// Fields are wall-clock time in the schedule's zone: UTC, or what [Schedule.In] or CRON_TZ= say. Two things can happen to a slot
// when clocks change there, by whatever amount. Its time may fall in a [Gap]: by default the slot is skipped; GapNext moves it to the first
// instant after the gap. Or its time may come twice, a [Repeat]: by default AWS cron fires the first time only, and unix
// cron both times. These rules hold for every slot, also for those of */5.
//
// Dates before 1970 matter to rates with an early anchor only, see [Schedule.WithAnchor].
//
// Zones come from the system's time zone database, as [time.LoadLocation] finds it. A program that is to run where there is none
// imports time/tzdata, which embeds one. Past a zone's last known change, its rule is taken to hold for ever.
package cron
