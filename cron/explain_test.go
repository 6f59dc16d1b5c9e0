package cron_test

import (
	"testing"

	"pgregory.net/rapid"

	"tminus.dev/cron"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ expr, zone, want string }{
		{"* * * * *", "", "Every minute"},
		{"*/5 * * * *", "", "Every 5 minutes"},
		{"*/7 * * * *", "", "Every 7 minutes from minute 0 of every hour"},
		{"0 * * * *", "", "Every hour"},
		{"5 * * * *", "", "At minute 5 of every hour"},
		{"0,30 * * * *", "", "Every 30 minutes"},
		{"15,45 * * * *", "", "At minutes 15 and 45 of every hour"},
		{"5-10 * * * *", "", "At minutes 5 to 10 of every hour"},
		{"0 10 * * *", "", "At 10:00 every day"},
		{"0 9,17 * * *", "", "At 09:00 and 17:00 every day"},
		{"30 8,12,16,20 * * *", "", "At 08:30, 12:30, 16:30 and 20:30 every day"},
		{"0 */2 * * *", "", "Every 2 hours"},
		{"0 1/2 * * *", "", "At minute 0 of the hours 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21 and 23 every day"},
		{"30 */6 * * *", "", "At 00:30, 06:30, 12:30 and 18:30 every day"},
		{"0 */5 * * *", "", "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day"},
		{"* 9 * * *", "", "Every minute from 09:00 to 09:59"},
		{"* 9-17 * * *", "", "Every minute from 09:00 to 17:59"},
		{"* 9-11,14-16 * * *", "", "Every minute from 09:00 to 11:59 and from 14:00 to 16:59"},
		{"* */2 * * *", "", "Every minute of the hours 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20 and 22"},
		{"*/15 9-17 * * MON-FRI", "", "Every 15 minutes from 09:00 to 17:45, Monday to Friday"},
		{"*/30 9 * * *", "", "At 09:00 and 09:30 every day"},
		{"*/20 6 * * *", "", "Every 20 minutes from 06:00 to 06:40"},
		{"0 8-18 * * *", "", "Every hour from 08:00 to 18:00"},
		{"5,35 8-18 * * *", "", "At minutes 5 and 35 of the hours 8 to 18 every day"},
		{"0 9 * * MON", "", "At 09:00 every Monday"},
		{"0 9 * * MON,WED,FRI", "", "At 09:00, Monday, Wednesday and Friday"},
		{"0 9 * * SUN-THU", "", "At 09:00, Sunday to Thursday"},
		{"0 9 * * SAT,SUN", "", "At 09:00, Saturday and Sunday"},
		{"0 9 * * FRI,SAT,SUN,MON", "", "At 09:00, Monday and Friday to Sunday"},
		{"0 9 1 * *", "", "At 09:00 on the 1st of every month"},
		{"0 9 1,15 * *", "", "At 09:00 on the 1st and 15th of every month"},
		{"0 9 1-7 * *", "", "At 09:00 on the 1st to 7th of every month"},
		{"0 9 2,3,22,23,31 * *", "", "At 09:00 on the 2nd, 3rd, 22nd, 23rd and 31st of every month"},
		{"0 9 1 1 *", "", "At 09:00 on the 1st of January"},
		{"0 9 1 JAN,APR,JUL,OCT *", "", "At 09:00 on the 1st of January, April, July and October"},
		{"0 9 * 6-8 *", "", "At 09:00 every day from June to August"},
		{"30 8-18 * * *", "", "Every hour from 08:30 to 18:30"},
		{"0 9 1 * 1-5", "", "At 09:00 on the 1st of every month, and also Monday to Friday"},
		{"0 9 * 1,3-5,8 *", "", "At 09:00 every day in January, March to May and August"},
		{"0 9 2 2 *", "", "At 09:00 on the 2nd of February"},
		{"0 0 ? * *", "", "At 00:00 every day"},
		{"59 23 31 12 *", "", "At 23:59 on the 31st of December"},
		{"*/10 * * 12 *", "", "Every 10 minutes in December"},
		{"0 9 * MAR-MAY MON-FRI", "", "At 09:00, Monday to Friday, from March to May"},
		{"0 0 13 * FRI", "", "At 00:00 on the 13th of every month, and also every Friday"},
		{"0 0 13 6 FRI", "", "At 00:00 on the 13th of June, and also every Friday in June"},
		{"0 0 1,15 * MON-FRI", "", "At 00:00 on the 1st and 15th of every month, and also Monday to Friday"},
		{"0 0 */2 * *", "", "At 00:00 on every 2nd day of every month from the 1st"},
		{"0 0 3/5 6-8 *", "", "At 00:00 on every 5th day of June, July and August from the 3rd"},
		{"0 0 */2 * MON", "", "At 00:00 on every 2nd day of every month from the 1st, and also every Monday"},
		{"0 0 */8 * *", "", "At 00:00 on the 1st, 9th, 17th and 25th of every month"},
		{"0 0 1-9/2 * *", "", "At 00:00 on the 1st, 3rd, 5th, 7th and 9th of every month"},
		{"1/2 * * * *", "", "Every 2 minutes from minute 1 of every hour"},
		{"1/2 8-10 * * *", "", "Every 2 minutes from minute 1 of the hours 8 to 10"},
		{"1-31/2 9 * * *", "", "At minutes 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 of hour 9 every day"},
		{"*/5 8,12,18 * * *", "", "Every 5 minutes of the hours 8, 12 and 18"},
		{"* * * * MON", "", "Every minute, every Monday"},
		{"0 9 1 6-8 *", "", "At 09:00 on the 1st of each month from June to August"},
		{"0 9 1 1,3-5 *", "", "At 09:00 on the 1st of January, March, April and May"},
		{"@yearly", "", "At 00:00 on the 1st of January"},
		{"@hourly", "", "Every hour"},
		{"0 0 30 2 *", "", "Never: there is no such date as 0 0 30 FEB * asks for"},
		{"0 9 * * *", "Europe/Berlin", "At 09:00 every day, Europe/Berlin time"},
		{"cron(30 2 ? 3 SUN#2 2026-2199)", "America/New_York", "Never: clocks in America/New_York skip each time that cron(30 2 ? MAR SUN#2 2026-2199) asks for"},
		{"at(2024-03-10T02:30:00)", "America/New_York", "Never: clocks in America/New_York skip each time that at(2024-03-10T02:30:00) asks for"},
		{"cron(30 2 ? 3 SUN#2 2000-2199)", "America/New_York", "At 02:30 on the second Sunday of March, 2000 to 2199, America/New_York time"},
		{"CRON_TZ=Asia/Tokyo 0 9 * * MON-FRI", "", "At 09:00, Monday to Friday, Asia/Tokyo time"},
		{"cron(0 10 * * ? *)", "", "At 10:00 every day"},
		{"cron(15 10 ? * 6L 2030-2035)", "", "At 10:15 on the last Friday of every month, 2030 to 2035"},
		{"cron(0 10 L * ? *)", "", "At 10:00 on the last day of every month"},
		{"cron(0 10 L-1 * ? *)", "", "At 10:00 on the day before the last day of every month"},
		{"cron(0 10 L-3 * ? *)", "", "At 10:00 on the 3rd day before the last day of every month"},
		{"cron(0 10 15W * ? *)", "", "At 10:00 on the weekday nearest to the 15th of every month"},
		{"cron(0 10 LW * ? *)", "", "At 10:00 on the last weekday of every month"},
		{"cron(0 10 L,15,1W,LW,L-2 * ? *)", "", "At 10:00 on the 15th, the weekday nearest to the 1st, the last weekday, the last day and the 2nd day before the last day of every month"},
		{"cron(0 10 ? * FRI#3 *)", "", "At 10:00 on the third Friday of every month"},
		{"cron(0 10 ? 3,6,9,12 MON#1 *)", "", "At 10:00 on the first Monday of March, June, September and December"},
		{"cron(0 10 ? * 7L 2026)", "", "At 10:00 on the last Saturday of every month in 2026"},
		{"cron(0 10 * * ? 2026,2028)", "", "At 10:00 every day in 2026 and 2028"},
		{"cron(0 10 * * ? 2020-2040/2)", "", "At 10:00 every day, every 2nd year from 2020 to 2040"},
		{"cron(0 10 * * ? 2024/11)", "", "At 10:00 every day, every 11th year from 2024 to 2189"},
		{"cron(0 10 * * ? 2026-2028,2030)", "", "At 10:00 every day in 2026 to 2028 and 2030"},
		{"cron(0/15 8-17 ? JAN-MAR MON-FRI 2026-2030)", "", "Every 15 minutes from 08:00 to 17:45, Monday to Friday, from January to March, 2026 to 2030"},
		{"cron(0 22-2 ? * FRI-MON *)", "", "At 00:00, 01:00, 02:00, 22:00 and 23:00, Monday and Friday to Sunday"},
		{"cron(0 0 31 2 ? *)", "", "Never: there is no such date as cron(0 0 31 FEB ? *) asks for"},
		{"cron(0 9 ? * MON-FRI *)", "America/New_York", "At 09:00, Monday to Friday, America/New_York time"},
		{"rate(1 minute)", "", "Every minute of elapsed time"},
		{"rate(5 minutes)", "", "Every 5 minutes of elapsed time"},
		{"rate(1 hour)", "", "Every hour of elapsed time"},
		{"rate(36 hours)", "", "Every 1 day and 12 hours of elapsed time"},
		{"rate(1 day)", "", "Every day of elapsed time"},
		{"rate(7 days)", "", "Every 7 days of elapsed time"},
		{"@every 1h30m", "", "Every 1 hour and 30 minutes of elapsed time"},
		{"@every 90s", "", "Every 1 minute and 30 seconds of elapsed time"},
		{"@every 25h", "", "Every 1 day and 1 hour of elapsed time"},
		{"at(2031-01-03T10:15:30)", "", "Once, at 10:15:30 on Friday, 3 January 2031"},
		{"at(2031-01-03T10:15:30)", "Asia/Tokyo", "Once, at 10:15:30 on Friday, 3 January 2031, Asia/Tokyo time"},
	} {
		s := mustParse(t, test.expr)
		if test.zone != "" {
			s = s.In(location(t, test.zone))
		}
		if got := s.Explain(); got != test.want {
			t.Errorf("%s: %q, want %q", test.expr, got, test.want)
		}
	}
}

// TestExplanationsDiffer checks that no two schedules with different slots have the same explanation, also if they differ in
// one field only.
func TestExplanationsDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		a, b := d.oracle(2026), d.oracle(2026)
		if d.oneIn(2) {
			b.dialect, b.fields = a.dialect, append([]string(nil), a.fields...)
			other := d.oracle(2026)
			for other.dialect != a.dialect {
				other = d.oracle(2026)
			}
			if i := d.n(0, len(a.fields)-1); (i != 2 && i != 4) || a.dialect == cron.Unix {
				b.fields[i] = other.fields[i]
			} else {
				b.fields[2], b.fields[4] = other.fields[2], other.fields[4]
			}
		}
		x, y := mustParse(t, a.expr()), mustParse(t, b.expr())
		if converted, err := y.Convert(x.Dialect()); err == nil {
			y = converted
		}
		if (x.Explain() == y.Explain()) != (x.String() == y.String()) && x.Dialect() == y.Dialect() {
			t.Fatalf("%s: %q\n%s: %q", x, x.Explain(), y, y.Explain())
		}
	})
}

// TestExplainSets has combinations, and what else no expression says.
func TestExplainSets(t *testing.T) {
	t.Parallel()
	newYork := location(t, "America/New_York")
	holidays := cron.NewCalendar("NYSE")
	nine, hourly := mustParse(t, "cron(0 9 ? * MON-FRI *)"), mustParse(t, "@hourly")
	for want, s := range map[string]cron.Schedule{
		"Never": {},
		"(At 09:00, Monday to Friday; and also: Every hour), but not on the dates of NYSE": cron.Union(nine, hourly).ExceptOn(holidays),
		"At 09:00, Monday to Friday; and also: (Every hour, but not on the dates of NYSE)": cron.Union(nine, hourly.ExceptOn(holidays)),
		"At 09:00, Monday to Friday; except for the minutes of: (Every hour; except for the minutes of: At 09:00, Monday to Friday)": nine.
			Except(hourly.Except(nine)),
		"Every day of elapsed time, but not on the dates of NYSE in America/New_York time": mustParse(t, "rate(1 day)").In(newYork).ExceptOn(holidays),
		"Never: clocks in America/New_York skip each time that at(2024-03-10T02:30:00) asks for": mustParse(t, "at(2024-03-10T02:30:00)").
			In(newYork).OnlyOn(holidays),
		"At 09:00, Monday to Friday, but not on the dates of NYSE":                                           nine.ExceptOn(holidays),
		"At 09:00, Monday to Friday, only on the dates of NYSE":                                              nine.OnlyOn(holidays),
		"At 09:00, Monday to Friday; and also: Every hour of elapsed time":                                   cron.Union(nine, mustParse(t, "rate(1 hour)")),
		"At 09:00, Monday to Friday; except for the minutes of: Every hour":                                  nine.Except(mustParse(t, "@hourly")),
		"Every hour of elapsed time, counted from 2026-01-01 00:00:00 UTC":                                   mustParse(t, "rate(1 hour)").WithAnchor(at(t, "2026-01-01")),
		"At 09:00, Monday to Friday, America/New_York time; times that clocks skip fire right after the gap": nine.In(newYork).WithGap(cron.GapNext),
		"At 09:00, Monday to Friday, America/New_York time; times that come twice fire the second time": nine.In(newYork).
			WithRepeat(cron.RepeatSecond),
		"At 09:00, Monday to Friday, America/New_York time; times that come twice fire both times": nine.In(newYork).
			WithRepeat(cron.RepeatBoth),
		"Every hour, America/New_York time; times that come twice fire the first time": mustParse(t, "@hourly").In(newYork).
			WithRepeat(cron.RepeatFirst),
	} {
		if got := s.Explain(); got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
}

func TestStringsOfSets(t *testing.T) {
	t.Parallel()
	holidays := cron.NewCalendar("NYSE")
	nine, hourly := mustParse(t, "0 9 * * *"), mustParse(t, "@hourly")
	for want, s := range map[string]cron.Schedule{
		"0 9 * * * or 0 * * * *":                               cron.Union(nine, hourly),
		"(0 9 * * * or 0 * * * *) not on the dates of NYSE":    cron.Union(nine, hourly).ExceptOn(holidays),
		"0 9 * * * or (0 * * * * not on the dates of NYSE)":    cron.Union(nine, hourly.ExceptOn(holidays)),
		"0 9 * * * except (0 * * * * on the dates of NYSE)":    nine.Except(hourly.OnlyOn(holidays)),
		"(0 9 * * * or 0 * * * *) except (0 9 * * *)":          cron.Union(nine, hourly).Except(nine),
		"(0 9 * * * except (0 * * * *)) or 0 * * * *":          cron.Union(nine.Except(hourly), hourly),
		"0 9 * * * on the dates of NYSE not on the dates of a": nine.OnlyOn(holidays).ExceptOn(cron.NewCalendar("a")),
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
