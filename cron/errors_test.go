package cron_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/cron"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	// The span that is at fault stands between angle brackets, which no expression has.
	for _, test := range []struct{ expr, field, hint string }{
		// The form.
		{"<>", "expression", ""},
		{"  <>", "expression", ""},
		{"<xyz>", "expression", ""},
		{"<* * * *>", "expression", ""},
		{"<0 0 12 * * ? *>", "expression", "drop the seconds"},
		{"cron(<>)", "expression", ""},
		{"cron(<INVALID>)", "expression", ""},
		{"cron(<0 10 * * *>)", "expression", "five fields are unix"},
		{"cron(<0 10 * * ?>)", "expression", "add the year"},
		{"cron(<0 0 10 * * ? *>)", "expression", "drop the seconds"},
		{"<cron(0 10 * * ? *>", "expression", "close the parenthesis"},
		{"< cron(0 10 * * ? *)>", "expression", "without blanks"},
		{"<cron(0 10 * * ? *) >", "expression", "without blanks"},
		{"<cron (0 10 * * ? *)>", "expression", "without blanks"},
		{"<CRON(0 10 * * ? *)>", "expression", "lower case"},
		{"at(<2021-12-31>)", "time", "add the time"},
		{"at(<2026-01-01T00:00>)", "time", "add the seconds"},
		{"at(<2026-01-01T00:00:00Z>)", "time", "leave out the zone"},
		{"at(<2026-01-01T00:00:00+01:00>)", "time", "leave out the zone"},
		{"at(<2026-02-30T00:00:00>)", "time", "day out of range"},
		{"at(<2026-01-01T00:00:00.5>)", "time", ""},
		{"at(<1969>-12-31T00:00:00)", "time", ""},
		{"at(<2200>-01-01T00:00:00)", "time", ""},
		{"at(< 2026-01-01T00:00:00>)", "time", "without blanks"},
		{"< at(2026-01-01T00:00:00)>", "expression", "without blanks"},
		{"<AT(2026-01-01T00:00:00)>", "expression", "lower case"},
		{"<at(2026-01-01T00:00:00>", "expression", "close the parenthesis"},

		// AWS: which day field.
		{"cron(0 1 * * <*> *)", "day-of-week", "write ? for day-of-week"},
		{"cron(0 1 <*> * MON *)", "day-of-month", "write ? for day-of-month"},
		{"cron(0 1 15 * <*> *)", "day-of-week", "write ? for day-of-week"},
		{"cron(0 1 15 * <MON> *)", "day-of-week", "two schedules"},
		{"cron(0 1 ? * <?> *)", "day-of-week", "write *"},
		{"cron(0 <?> * * ? *)", "hours", "? stands alone"},
		{"cron(0 0 12 * * <?>)", "year", "no seconds"},
		{"cron(0 0 12 <?> * MON)", "month", "no seconds"},
		{"cron(<1?> 0 * * ? *)", "minutes", "? stands alone"},
		{"cron(0 0 ? * <MON?> *)", "day-of-week", "? stands alone"},
		{"cron(0 0 <?>/2 * MON *)", "day-of-month", "? stands alone"},
		{"cron(0 0 <?>,2 * MON *)", "day-of-month", "? stands alone"},
		// AWS: values.
		{"cron(<71> 8 1 * ? *)", "minutes", ""},
		{"cron(<60> 8 1 * ? *)", "minutes", "write 0, or 59 for the end of the hour"},
		{"cron(0 <24> 1 * ? *)", "hours", "write 0, or 23 for the end of the day"},
		{"cron(0 8-<24> 1 * ? *)", "hours", "write 0, or 23 for the end of the day"},
		{"cron(0 <dummy> ? * MON-FRI *)", "hours", ""},
		{"cron(7 20 * * <NOT> *)", "day-of-week", ""},
		{"cron(0 0 <0> * ? *)", "day-of-month", ""},
		{"cron(0 0 <32> * ? *)", "day-of-month", ""},
		{"cron(0 0 1 <0> ? *)", "month", ""},
		{"cron(0 0 1 <13> ? *)", "month", ""},
		{"cron(0 0 1 <January> ? *)", "month", "write JAN"},
		{"cron(0 0 ? * <0> *)", "day-of-week", "Sunday is 1"},
		{"cron(0 0 ? * <8> *)", "day-of-week", ""},
		{"cron(0 0 ? * <Monday> *)", "day-of-week", "write MON"},
		{"cron(0 0 ? * <Mo> *)", "day-of-week", ""},
		{"cron(0 0 1 1 ? <1969>)", "year", ""},
		{"cron(0 0 1 1 ? <2200>)", "year", ""},
		{"cron(0 0 1 1 ? <2199-1970>)", "year", "upwards"},
		{"cron(0 <+5> * * ? *)", "hours", ""},
		{"cron(0 <99999999999999999999> * * ? *)", "hours", ""},
		// AWS: items.
		{"cron(</5> 0 * * ? *)", "minutes", "write */5"},
		{"cron(</> 0 * * ? *)", "minutes", "step"},
		{"cron(<5/> 0 * * ? *)", "minutes", "step"},
		{"cron(1/<2/3> 0 * * ? *)", "minutes", ""},
		{"cron(1/<x> 0 * * ? *)", "minutes", ""},
		{"cron(1/<-1> 0 * * ? *)", "minutes", ""},
		{"cron(1/<0> 0 * * ? *)", "minutes", "leave the step out"},
		{"cron(1,<> 0 * * ? *)", "minutes", "empty"},
		{"cron(<>,1 0 * * ? *)", "minutes", "empty"},
		{"cron(1,<>,2 0 * * ? *)", "minutes", "empty"},
		{"cron(<*>-30 0 * * ? *)", "minutes", "* stands alone"},
		{"cron(1-<*> 0 * * ? *)", "minutes", "* stands alone"},
		{"cron(<>-5 0 * * ? *)", "minutes", "two ends"},
		{"cron(1-<> 0 * * ? *)", "minutes", "two ends"},
		{"cron(1-<2-3> 0 * * ? *)", "minutes", "two ends"},
		// AWS: L, W and #.
		{"cron(0 0 <L-0> * ? *)", "day-of-month", "write L"},
		{"cron(0 0 <L-31> * ? *)", "day-of-month", ""},
		{"cron(0 0 <L-> * ? *)", "day-of-month", ""},
		{"cron(0 0 <WL> * ? *)", "day-of-month", "write LW"},
		{"cron(0 0 <L-3W> * ? *)", "day-of-month", "W does not go with L-n"},
		{"cron(0 0 <W> * ? *)", "day-of-month", "15W"},
		{"cron(0 0 <0W> * ? *)", "day-of-month", ""},
		{"cron(0 0 <32W> * ? *)", "day-of-month", ""},
		{"cron(0 0 <1-15W> * ? *)", "day-of-month", "not a range"},
		{"cron(0 0 <3L> * ? *)", "day-of-month", "3L in day-of-week"},
		{"cron(0 0 <15L> * ? *)", "day-of-month", "L-15"},
		{"cron(0 0 <15W/2> * ? *)", "day-of-month", ""},
		{"cron(0 0 <L/2> * ? *)", "day-of-month", ""},
		{"cron(0 0 1,<L-3W> * ? *)", "day-of-month", ""},
		{"cron(0 0 <2#1> * ? *)", "day-of-month", ""},
		{"cron(<L> 0 * * ? *)", "minutes", ""},
		{"cron(0 0 1 <L> ? *)", "month", ""},
		{"cron(0 0 ? * <L-2> *)", "day-of-week", "belongs in day-of-month"},
		{"cron(0 0 ? * MON,<5L> *)", "day-of-week", "stand alone"},
		{"cron(0 0 ? * <2L>,6L *)", "day-of-week", "stand alone"},
		{"cron(0 0 ? * MON,<L> *)", "day-of-week", "stand alone"},
		{"cron(0 0 ? * 2#<0> *)", "day-of-week", "FRI#3"},
		{"cron(0 0 ? * 2#<6> *)", "day-of-week", "FRI#3"},
		{"cron(0 0 ? * 2#<> *)", "day-of-week", "FRI#3"},
		{"cron(0 0 ? * 2#<1#1> *)", "day-of-week", "FRI#3"},
		{"cron(0 0 ? * <8>#1 *)", "day-of-week", ""},
		{"cron(0 0 ? * <>#1 *)", "day-of-week", ""},
		{"cron(0 0 ? * <8>L *)", "day-of-week", ""},
		{"cron(0 0 ? * <3#1>,6#3 *)", "day-of-week", "stand alone"},
		{"cron(0 0 ? * <MON#1>,FRI *)", "day-of-week", "stand alone"},
		{"cron(0 0 ? * <MONW> *)", "day-of-week", "belongs in day-of-month"},
		{"cron(0 0 ? * <2-L> *)", "day-of-week", "not a range"},
		{"cron(0 0 ? * <MON-FRIL> *)", "day-of-week", "not a range"},
		{"cron(0 0 ? * <MON-FRI#2> *)", "day-of-week", "not a range"},

		// Rates.
		{"rate(<>)", "value", "one blank"},
		{"rate(10<>)", "unit", "one blank"},
		{"rate(<5minutes>)", "value", "one blank"},
		{"rate(<foo> minutes)", "value", ""},
		{"rate(<five> minutes)", "value", ""},
		{"rate(<0> minutes)", "value", "rate(1 minute)"},
		{"rate(<-10> minutes)", "value", ""},
		{"rate(<1.5> hours)", "value", ""},
		{"rate(1 <minutes>)", "unit", "1 takes the singular"},
		{"rate(10 <minute>)", "unit", "only 1 takes"},
		{"rate(10 <minutess>)", "unit", ""},
		{"rate(10 <MINUTES>)", "unit", "in lower case"},
		{"rate(10 <seconds>)", "unit", "shortest"},
		{"rate(5 <weeks>)", "unit", "35 days"},
		{"rate(10 <years>)", "unit", "cron"},
		{"rate(<> 10 minutes )", "value", "no blank"},
		{"rate(10 < minutes>)", "unit", "in lower case"},
		{"rate(10 <minutes >)", "unit", "in lower case"},
		{"< rate(10 minutes)>", "expression", "without blanks"},
		{"<rate(10 minutes) >", "expression", "without blanks"},
		{"<RATE(10 minutes)>", "expression", "lower case"},
		{"<rate(10 minutes>", "expression", "close the parenthesis"},
		{"rate(<106752> days)", "value", ""},
		{"rate(<99999999999999999999> minutes)", "value", ""},

		// Unix.
		{"<CRON_TZ=UTC>", "time zone", "write the expression"},
		{"<TZ=UTC>", "time zone", "write the expression"},
		{"CRON_TZ=<Mars/Base> 0 0 * * *", "time zone", "Europe/Berlin"},
		{"TZ=<../etc/passwd> 0 0 * * *", "time zone", ""},
		{"CRON_TZ=UTC <0 10 * * ? *>", "expression", "six fields are AWS"},
		{"CRON_TZ=UTC <TZ=UTC 0 0 * * *>", "expression", ""},
		{"CRON_TZ=UTC <rate(5 minutes)>", "expression", ""},
		{"<@reboot>", "expression", ""},
		{"<@HOURLY>", "expression", "write @hourly"},
		{"<@days>", "expression", ""},
		{"<@every>", "expression", ""},
		{"<@every5m>", "expression", ""},
		{"@every <x>", "duration", ""},
		{"@every <1d>", "duration", ""},
		{"@every <59s>", "duration", "one minute"},
		{"@every <500ms>", "duration", "one minute"},
		{"@every <0s>", "duration", "one minute"},
		{"CRON_TZ=Asia/Tokyo @every <1s>", "duration", "one minute"},
		{"@every <-1h>", "duration", "one minute"},
		{"@every <1m0.5s>", "duration", "write 1m0s"},
		{"5 <j> * * *", "hours", ""},
		{"<60> 0 * * *", "minutes", "write 0, or 59 for the end of the hour"},
		{"<70>/5 * * * *", "minutes", ""},
		{"1/<2/3> * * * *", "minutes", ""},
		{"5-<*>/2 * * * *", "minutes", "* stands alone"},
		{"*/<0> * * * *", "minutes", "leave the step out"},
		{"<>, 0 * * *", "minutes", "empty"},
		{"0 0 1,<>,5 * *", "day-of-month", "empty"},
		{"0 <22-2> * * *", "hours", "22-23,0-2"},
		{"0 0 <28-3> * *", "day-of-month", "28-31,1-3"},
		{"0 0 * * <FRI-MON>", "day-of-week", "FRI-SAT,SUN-MON"},
		{"0 0 * * <7>", "day-of-week", "Sunday is 0"},
		{"0 0 * * 5-<7>", "day-of-week", "Sunday is 0"},
		{"0 0 <L> * *", "day-of-month", "AWS cron only"},
		{"0 0 <15W> * *", "day-of-month", "AWS cron only"},
		{"0 0 * * <5L>", "day-of-week", "AWS cron only"},
		{"0 0 * * <MON#1>", "day-of-week", "AWS cron only"},
		{"0 0 1 <January> *", "month", "write JAN"},
		{"1-<2-3> * * * *", "minutes", "two ends"},
		{"0 0 * * <wednesday>", "day-of-week", "write WED"},
	} {
		before, rest, _ := strings.Cut(test.expr, "<")
		found, after, _ := strings.Cut(rest, ">")
		expr := before + found + after
		s, err := cron.Parse(expr)
		if err == nil {
			t.Errorf("%q is accepted, as %s", expr, s)
			continue
		}
		syntax, ok := errors.AsType[*cron.SyntaxError](err)
		if !ok {
			t.Errorf("%q: the error is a %T", expr, err)
			continue
		}
		if syntax.Expr != expr || syntax.Field != test.field || syntax.Start != len(before) ||
			syntax.End != len(before)+len(found) {
			marked := expr[:syntax.Start] + "<" + expr[syntax.Start:syntax.End] + ">" + expr[syntax.End:]
			t.Errorf("%q: the error is in %s, at %q; want %s, at %q", expr, syntax.Field, marked, test.field, test.expr)
		}
		if !strings.Contains(syntax.Hint, test.hint) {
			t.Errorf("%q: hint %q does not say %q", expr, syntax.Hint, test.hint)
		}
		checkMessage(t, syntax)
		if s != (cron.Schedule{}) {
			t.Errorf("%q: refused, but the schedule is not zero", expr)
		}
	}
}

func checkMessage(t *testing.T, e *cron.SyntaxError) {
	t.Helper()
	message := e.Error()
	if strings.ContainsAny(message, "\n\r") || e.Allowed == "" {
		t.Errorf("%q: message %q", e.Expr, message)
	}
	for _, part := range []string{e.Field, e.Allowed, e.Hint} {
		if !strings.Contains(message, part) {
			t.Errorf("%q: message %q does not say %q", e.Expr, message, part)
		}
	}
}

func TestErrorMessage(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"cron(0 8 ? * MONDAY *)": `aws expression "cron(0 8 ? * MONDAY *)": day-of-week at column 14: found "MONDAY", ` +
			`allowed: 1-7 or SUN-SAT with * , - /, or one alone with L or #1 to #5, or ?; write MON; did you mean "cron(0 8 ? * MON *)"?`,
		"0 22-2 * * *": `unix expression "0 22-2 * * *": hours at column 3: found "22-2", ` +
			`allowed: 0-23 with * ? , - /; a range runs upwards: write 22-23,0-2; did you mean "0 22-23,0-2 * * *"?`,
		"rate(1 minutes)": `rate expression "rate(1 minutes)": unit at column 8: found "minutes", ` +
			`allowed: minute, hour or day; 1 takes the singular; did you mean "rate(1 minute)"?`,
		"1,\n": `expression "1,\n": expression at column 1: found "1,", ` +
			`allowed: 5 fields (minutes hours day-of-month month day-of-week) of unix cron, or ` +
			`6 fields (minutes hours day-of-month month day-of-week year) of AWS cron, or rate(…)`,
		"": `expression "": expression at column 1: found nothing, ` +
			`allowed: 5 fields (minutes hours day-of-month month day-of-week) of unix cron, or ` +
			`6 fields (minutes hours day-of-month month day-of-week year) of AWS cron, or rate(…)`,
	} {
		_, err := cron.Parse(expr)
		if err == nil {
			t.Errorf("%q is accepted", expr)
			continue
		}
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%q (-want +got)\n%s", expr, diff)
		}
	}
	long := strings.Repeat("0", 100_000)
	for _, expr := range []string{
		long, long + "5-1 * * * *", "/" + long + "5 * * * *", "cron(0 0 " + long + "3L * ? *)", "rate(" + long + "5 weeks)",
		"* * * * " + long + "9", "@" + long, "CRON_TZ=" + long + " * * * * *", "at(" + long + ")",
	} {
		if _, err := cron.Parse(expr); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%.20q… makes a message of %d bytes", expr, len(err.Error()))
		}
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		parse      func(string) (cron.Schedule, error)
		expr, want string
	}{
		{cron.ParseAWS, "0 10 * * *", "0 10 * * ? *"},
		{cron.ParseAWS, "0 10 * * MON-FRI", "0 10 ? * MON-FRI *"},
		{cron.ParseAWS, "cron(0 10 1 * *)", "cron(0 10 1 * ? *)"},
		{cron.ParseAWS, "cron(0 10 * * ?)", "cron(0 10 * * ? *)"},
		{cron.Parse, "cron(0 10 * * MON *)", "cron(0 10 ? * MON *)"},
		{cron.Parse, "0 10 * * * *", "0 10 * * ? *"},
		{cron.Parse, "0 10 ? * ? *", "0 10 * * ? *"},
		{cron.Parse, "0 0 10 * * ? *", "0 10 * * ? *"},
		{cron.Parse, "CRON(0 10 * * ? *) ", "cron(0 10 * * ? *)"},
		{cron.Parse, "cron(0 10 * * ? *", "cron(0 10 * * ? *)"},
		{cron.Parse, "cron(0 8 ? * monday *)", "cron(0 8 ? * MON *)"},
		{cron.Parse, "cron(0 8 ? * 0 *)", "cron(0 8 ? * 1 *)"},
		{cron.ParseUnix, "0 10 * * ? *", "0 10 * * ?"},
		{cron.ParseUnix, "0 24 * * *", "0 0 * * *"},
		{cron.ParseUnix, "0 8 * * 1-5,7", "0 8 * * 1-5,0"},
		{cron.ParseUnix, "0 22-2 * * FRI", "0 22-23,0-2 * * FRI"},
		{cron.Parse, "rate(1 minutes)", "rate(1 minute)"},
		{cron.Parse, "rate(5 minute)", "rate(5 minutes)"},
		{cron.Parse, " Rate( 10 MINUTES )", "rate(10 minutes)"},
		{cron.Parse, "at(2026-01-31T09:00:00Z)", "at(2026-01-31T09:00:00)"},
		{cron.Parse, "at(2026-01-31t09:00)", "at(2026-01-31T09:00:00)"},
		{cron.Parse, "at(2026-01-31)", "at(2026-01-31T00:00:00)"},
		{cron.Parse, "at(2026-01-31 09:00:00)", "at(2026-01-31T09:00:00)"},
		{cron.Parse, "rate(2 weeks)", "rate(14 days)"},
		{cron.Parse, "@Daily", "@daily"},
		{cron.Parse, "CRON_TZ=Asia/Tokyo @Every 5m", "CRON_TZ=Asia/Tokyo @every 5m"},
		{cron.Parse, "/5 * * * *", "*/5 * * * *"},
		{cron.Parse, "cron(0 /6 * * ? *)", "cron(0 */6 * * ? *)"},
		// The ends of ranges.
		{cron.Parse, "0-60 * * * *", "0-59 * * * *"},
		{cron.Parse, "0-60/5 * * * *", "0-59/5 * * * *"},
		{cron.Parse, "0 0-24 * * *", "0 0-23 * * *"},
		{cron.Parse, "cron(0 8-24 * * ? *)", "cron(0 8-23 * * ? *)"},
		{cron.Parse, "0 9 * * 0-7", "0 9 * * 0-6"},
		{cron.Parse, "0 9 * * 1-7", "0 9 * * 1-6,0"},
		{cron.Parse, "cron(0 9 ? * 0-4 *)", "cron(0 9 ? * 1-5 *)"},
		{cron.Parse, "cron(0 9 ? * 0-6 *)", "cron(0 9 ? * 1-7 *)"},
		{cron.Parse, "cron(0 9 ? * 0,6 *)", "cron(0 9 ? * 1,7 *)"},
		{cron.Parse, "cron(0 9 ? * MON,0 *)", "cron(0 9 ? * MON,1 *)"},
		{cron.Parse, "cron(0 9 ? * 0-FRI *)", ""},
		{cron.Parse, "cron(0 9 ? * MON,0,6 *)", ""},
		{cron.Parse, "cron(0 9 ? * 0/2 *)", ""},
		{cron.Parse, "0 9 * * 1-7/2", ""},
		{cron.Parse, "60/5 * * * *", ""},
		{cron.Parse, "60-70 * * * *", ""},
		{cron.Parse, "0 22-2/2 * * *", ""},
		// Long names.
		{cron.Parse, "0 9 1 Sept *", "0 9 1 SEP *"},
		{cron.Parse, "0 9 * * THURS", "0 9 * * THU"},
		{cron.Parse, "0 9 1 MARCH-MAY *", "0 9 1 MAR-MAY *"},
		{cron.Parse, "0 9 1 MARKET *", ""},
		{cron.Parse, "0 9 * * MON–FRI", ""},
		{cron.Parse, "0 9 * * MON..FRI", ""},
		{cron.Parse, "cron(0 9 ? * FRIL-3 *)", ""},
		// What only AWS cron has.
		{cron.Parse, "0 9 * * FRI#3", "cron(0 9 ? * FRI#3 *)"},
		{cron.Parse, "0 9 * * 5#3", "cron(0 9 ? * FRI#3 *)"},
		{cron.Parse, "0 9 * * 0L", "cron(0 9 ? * SUNL *)"},
		{cron.Parse, "0 9 L * *", "cron(0 9 L * ? *)"},
		{cron.Parse, "0 9 15W * ?", "cron(0 9 15W * ? *)"},
		{cron.ParseUnix, "0 9 L * *", ""},
		{cron.Parse, "0 9 * * L", ""},
		{cron.Parse, "0 9 L * FRI", ""},
		// Five fields for AWS cron: weekdays have other numbers there.
		{cron.ParseAWS, "0 10 * * 1-5", ""},
		{cron.ParseAWS, "cron(0 10 ? * 2-6)", "cron(0 10 ? * 2-6 *)"},
		// Seconds first, or no question mark.
		{cron.Parse, "0 */5 * * * *", "*/5 * * * *"},
		{cron.Parse, "0 0 9 * * *", "0 9 * * *"},
		{cron.Parse, "0 0 9 * * MON-FRI", "0 9 * * MON-FRI"},
		{cron.Parse, "0 30 9 * * *", "30 9 * * *"},
		{cron.Parse, "0 * * * * *", "* * * * *"},
		{cron.Parse, "0 10 * * * MON", "10 * * * MON"},
		{cron.ParseAWS, "0 */5 * * * *", "*/5 * * * ? *"},
		{cron.Parse, "0 10 * * MON *", "0 10 ? * MON *"},
		{cron.Parse, "0 10 1 * * 2026", "0 10 1 * ? 2026"},
		{cron.Parse, "0 0 12 * * ?", "0 12 * * ? *"},
		{cron.Parse, "0 0 12 ? * MON", "0 12 ? * MON *"},
		{cron.ParseUnix, "0 10 * * ? 2026", ""},
		{cron.Parse, "*/10 * * * * *", ""},
		{cron.Parse, "*/10 0 10 * * ? *", ""},
		// What cannot be guessed.
		{cron.Parse, "cron(0 10 1 * MON *)", ""},
		{cron.Parse, "cron(71 8 1 * ? *)", ""},
		{cron.Parse, "every day", ""},
		{cron.Parse, "", ""},
	} {
		_, err := test.parse(test.expr)
		syntax, ok := errors.AsType[*cron.SyntaxError](err)
		if !ok {
			t.Errorf("%q: error %v", test.expr, err)
			continue
		}
		if syntax.Suggestion != test.want {
			t.Errorf("%q: the suggestion is %q, want %q", test.expr, syntax.Suggestion, test.want)
		}
	}
}
