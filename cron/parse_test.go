package cron_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/cron"
)

func mustParse(tb testing.TB, expr string) cron.Schedule {
	tb.Helper()
	s, err := cron.Parse(expr)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestAcceptedAndCanonical(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ expr, canonical string }{
		// AWS: as its documents have it.
		{"cron(0 10 * * ? *)", "cron(0 10 * * ? *)"},
		{"cron(15 12 ? * * *)", "cron(15 12 * * ? *)"},
		{"cron(0 18 ? * MON-FRI *)", "cron(0 18 ? * MON-FRI *)"},
		{"cron(0 8 1 * ? *)", "cron(0 8 1 * ? *)"},
		{"cron(0/5 8-17 ? * 2-6 *)", "cron(0/5 8-17 ? * MON-FRI *)"},
		{"cron(0 9 ? * 2#1 *)", "cron(0 9 ? * MON#1 *)"},
		{"cron(15 10 ? * 6L 2002-2005)", "cron(15 10 ? * FRIL 2002-2005)"},
		{"cron(* * ? * SAT#3 *)", "cron(* * ? * SAT#3 *)"},
		{"cron(0/5 5 ? JAN 1-5 2022)", "cron(0/5 5 ? JAN SUN-THU 2022)"},
		{"cron(1-31/30 1-1 ? * 1,7 *)", "cron(1,31 1 ? * SUN,SAT *)"},
		// The wrapper and blanks.
		{"0 10 * * ? *", "cron(0 10 * * ? *)"},
		{"  0 10\t*  * ? * ", "cron(0 10 * * ? *)"},
		{"cron( 0 10 * * ? * )", "cron(0 10 * * ? *)"},
		// Values.
		{"cron(08 007 01 02 ? 02026)", "cron(8 7 1 FEB ? 2026)"},
		{"cron(0 0 1 jAn,Feb ? *)", "cron(0 0 1 JAN,FEB ? *)"},
		{"cron(30-30 13-13 ? * 2,4,6 *)", "cron(30 13 ? * MON/2 *)"},
		{"cron(*,5 */5,7 * * ? *)", "cron(* 0,5,7,10,15,20 * * ? *)"},
		{"cron(0 0 1 1 ? 1970,2199)", "cron(0 0 1 JAN ? 1970,2199)"},
		// Steps.
		{"cron(*/15 0/6 * * ? *)", "cron(0/15 0/6 * * ? *)"},
		{"cron(0/60 0/48 * * ? *)", "cron(0 0 * * ? *)"},
		{"cron(*/61 0 * * ? *)", "cron(0 0 * * ? *)"},
		{"cron(0/99999999999999999999999 0 * * ? *)", "cron(0 0 * * ? *)"},
		{"cron(0 8-17/3 * */3 ? 2024/11)", "cron(0 8-17/3 * JAN/3 ? 2024/11)"},
		{"cron(0 0 1/5 * ? 2000-2020/2)", "cron(0 0 1/5 * ? 2000-2020/2)"},
		// Ranges that wrap.
		{"cron(58-2 22-2 * * ? *)", "cron(0-2,58,59 0-2,22,23 * * ? *)"},
		{"cron(0 22-2/2 28-3/2 * ? *)", "cron(0 0,2,22 1,3,28,30 * ? *)"},
		{"cron(0 0 ? NOV-FEB FRI-MON *)", "cron(0 0 ? JAN,FEB,NOV,DEC SUN,MON,FRI,SAT *)"},
		{"cron(0 0 ? * FRI-MON/2 *)", "cron(0 0 ? * SUN,FRI *)"},
		// day-of-month.
		{"cron(0 0 L * ? *)", "cron(0 0 L * ? *)"},
		{"cron(0 0 l-3 * ? *)", "cron(0 0 L-3 * ? *)"},
		{"cron(0 0 L-03,L-30 * ? *)", "cron(0 0 L-3,L-30 * ? *)"},
		{"cron(0 0 lw * ? *)", "cron(0 0 LW * ? *)"},
		{"cron(0 0 15w * ? *)", "cron(0 0 15W * ? *)"},
		{"cron(0 0 L,15 * ? *)", "cron(0 0 15,L * ? *)"},
		{"cron(0 0 15W,1W,1,LW,L-2,31W * ? *)", "cron(0 0 1,1W,15W,31W,LW,L-2 * ? *)"},
		{"cron(0 0 L,* * ? *)", "cron(0 0 * * ? *)"},
		// day-of-week.
		{"cron(0 0 ? * L *)", "cron(0 0 ? * SAT *)"},
		{"cron(0 0 ? * l *)", "cron(0 0 ? * SAT *)"},
		{"cron(0 0 ? * fril *)", "cron(0 0 ? * FRIL *)"},
		{"cron(0 0 ? * 1#5 *)", "cron(0 0 ? * SUN#5 *)"},
		{"cron(0 0 ? * 2/2 *)", "cron(0 0 ? * MON/2 *)"},
		{"cron(0 0 ? * MON-FRI/2 *)", "cron(0 0 ? * MON/2 *)"},
		{"cron(0 0 ? * */2 *)", "cron(0 0 ? * SUN/2 *)"},
		{"cron(0 0 ? * 2,3,4,5,6,7 *)", "cron(0 0 ? * MON-SAT *)"},
		// Never, but well-formed.
		{"cron(0 0 30 2 ? *)", "cron(0 0 30 FEB ? *)"},

		// Rates.
		{"rate(1 minute)", "rate(1 minute)"},
		{"rate(5 minutes)", "rate(5 minutes)"},
		{"rate(1 hour)", "rate(1 hour)"},
		{"rate(60 minutes)", "rate(1 hour)"},
		{"rate(36 hours)", "rate(36 hours)"},
		{"rate(7 days)", "rate(7 days)"},
		{"rate(007 days)", "rate(7 days)"},
		{"rate(106751 days)", "rate(106751 days)"},
		{"@every 5m", "@every 5m"},
		{"@every 1h30m10s", "@every 1h30m10s"},
		{"@every 24h0m0s", "@every 24h"},
		{"CRON_TZ=Asia/Tokyo @every 90m", "CRON_TZ=Asia/Tokyo @every 1h30m"},

		// Unix.
		{"* * * * *", "* * * * *"},
		{"  0 0 * * *  ", "0 0 * * *"},
		{"*/15 0/6 1/5 */3 *", "*/15 */6 */5 */3 *"},
		{"5/15 * * * *", "5/15 * * * *"},
		{"*/90 * * * *", "0 * * * *"},
		{"+5 05 * * *", "5 5 * * *"},
		{"*-5 ?-5/2 * * *", "* */2 * * *"},
		{"0 0 1 jan-MAR/2 *", "0 0 1 JAN,MAR *"},
		{"30 08 ? Jul Sun", "30 8 * JUL SUN"},
		{"0 0 1 * mon-FRI", "0 0 1 * MON-FRI"},
		{"0 0 ? * ?", "0 0 * * *"},
		{"0 0 * * 0-6", "0 0 * * *"},
		{"0 0 1-31 * MON", "0 0 * * *"}, // either of them
		{"0 0 15 * 0-6", "0 0 * * *"},   // either of them
		{"0 0 */1 * MON", "0 0 * * MON"},
		{"0 0 ?,13 * MON", "0 0 * * MON"},
		{"@yearly", "0 0 1 JAN *"},
		{"@annually", "0 0 1 JAN *"},
		{"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * SUN"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
		{"yearly", "0 0 1 JAN *"},
		{"annually", "0 0 1 JAN *"},
		{"years", "0 0 1 JAN *"},
		{"monthly", "0 0 1 * *"},
		{"months", "0 0 1 * *"},
		{"weekly", "0 0 * * SUN"},
		{"weeks", "0 0 * * SUN"},
		{"daily", "0 0 * * *"},
		{" days ", "0 0 * * *"},
		{"hourly", "0 * * * *"},
		{"hours", "0 * * * *"},
		{"CRON_TZ=UTC  5 * * * *", "5 * * * *"},
		{"CRON_TZ= 0 9 * * *", "0 9 * * *"},
		{"TZ=America/New_York 0 9 * * *", "CRON_TZ=America/New_York 0 9 * * *"},
		{" CRON_TZ=Asia/Tokyo @daily", "CRON_TZ=Asia/Tokyo 0 0 * * *"},
		{"CRON_TZ=Asia/Tokyo days", "CRON_TZ=Asia/Tokyo 0 0 * * *"},
	} {
		s, err := cron.Parse(test.expr)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.String(); got != test.canonical {
			t.Errorf("%q comes out as %q, want %q", test.expr, got, test.canonical)
		}
		checkParsesBack(t, s)
	}
}

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
		{"<at(2026-01-01T00:00:00)>", "expression", "fires once"},

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
		{"cron(<60> 8 1 * ? *)", "minutes", "write 0"},
		{"cron(0 <24> 1 * ? *)", "hours", "write 0"},
		{"cron(0 8-<24> 1 * ? *)", "hours", "write 0"},
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
		{"rate(1 <minutes>)", "unit", "rate(1 minute)"},
		{"rate(10 <minute>)", "unit", "rate(10 minutes)"},
		{"rate(10 <minutess>)", "unit", ""},
		{"rate(10 <MINUTES>)", "unit", "rate(10 minutes)"},
		{"rate(10 <seconds>)", "unit", "shortest"},
		{"rate(5 <weeks>)", "unit", "days"},
		{"rate(10 <years>)", "unit", "cron"},
		{"rate(<> 10 minutes )", "value", "no blank"},
		{"rate(10 < minutes>)", "unit", "rate(10 minutes)"},
		{"rate(10 <minutes >)", "unit", "rate(10 minutes)"},
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
		{"@every <-1h>", "duration", "one minute"},
		{"@every <1m0.5s>", "duration", "write 1m0s"},
		{"5 <j> * * *", "hours", ""},
		{"<60> 0 * * *", "minutes", "write 0"},
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
			`allowed: 1-7 or SUN-SAT with * , - /, or one alone with L or #1 to #5, or ?; write MON`,
		"0 22-2 * * *": `unix expression "0 22-2 * * *": hours at column 3: found "22-2", ` +
			`allowed: 0-23 with * ? , - /; a range runs upwards: write 22-23,0-2`,
		"rate(1 minutes)": `rate expression "rate(1 minutes)": unit at column 8: found "minutes", ` +
			`allowed: minute, hour or day; write rate(1 minute)`,
		"1,\n": `expression "1,\n": expression at column 1: found "\"1,\" (1 field)", ` +
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
	_, err := cron.Parse(strings.Repeat("9", 100_000))
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("a long expression makes a message of %d bytes", len(err.Error()))
	}
}

func TestDialects(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]cron.Dialect{
		"cron(0 10 * * ? *)":       cron.AWS,
		"0 10 * * ? *":             cron.AWS,
		"rate(5 minutes)":          cron.Rate,
		"@every 5m":                cron.Rate,
		"0 10 * * *":               cron.Unix,
		"@daily":                   cron.Unix,
		"daily":                    cron.Unix,
		"CRON_TZ=UTC 0 10 * * *":   cron.Unix,
		"TZ=Europe/Berlin @hourly": cron.Unix,
	} {
		s := mustParse(t, expr)
		if s.Dialect() != want {
			t.Errorf("%q is %s, want %s", expr, s.Dialect(), want)
		}
		if (s.Period() > 0) != (want == cron.Rate) {
			t.Errorf("%q has the period %s", expr, s.Period())
		}
	}
	type parser func(string) (cron.Schedule, error)
	for _, test := range []struct {
		name  string
		parse parser
		want  cron.Dialect
		exprs []string
	}{
		{"ParseAWS", cron.ParseAWS, cron.AWS, []string{"0 10 * * *", "rate(5 minutes)", "@daily", "CRON_TZ=UTC 0 10 * * *", ""}},
		{"ParseUnix", cron.ParseUnix, cron.Unix, []string{"0 10 * * ? *", "cron(0 10 * * ? *)", "rate(5 minutes)", ""}},
		{"ParseRate", cron.ParseRate, cron.Rate, []string{"0 10 * * *", "cron(0 10 * * ? *)", "@every 5m", "5 minutes", ""}},
	} {
		for _, expr := range test.exprs {
			_, err := test.parse(expr)
			syntax, ok := errors.AsType[*cron.SyntaxError](err)
			if !ok {
				t.Errorf("%s takes %q: %v", test.name, expr, err)
				continue
			}
			if syntax.Dialect != test.want {
				t.Errorf("%s: the error about %q is of dialect %s", test.name, expr, syntax.Dialect)
			}
		}
	}
	if got := cron.Dialect(0).String(); got != "unknown" {
		t.Errorf("the zero dialect is %q", got)
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		period time.Duration
		want   string // "" is refused
	}{
		{time.Minute, "rate(1 minute)"},
		{90 * time.Minute, "rate(90 minutes)"},
		{48 * time.Hour, "rate(2 days)"},
		{61 * time.Second, "@every 1m1s"},
		{time.Hour + time.Second, "@every 1h0m1s"},
		{1<<63 - 1 - (1<<63-1)%time.Second, "@every 2562047h47m16s"},
		{0, ""},
		{-time.Hour, ""},
		{59 * time.Second, ""},
		{time.Minute + time.Millisecond, ""},
	} {
		s, err := cron.Every(test.period)
		if (err == nil) != (test.want != "") || s.String() != test.want {
			t.Errorf("Every(%s) = %q, %v; want %q", test.period, s, err, test.want)
		}
		if err == nil {
			checkParsesBack(t, s)
			if s.Period() != test.period {
				t.Errorf("Every(%s) has the period %s", test.period, s.Period())
			}
			continue
		}
		if _, ok := errors.AsType[*cron.SyntaxError](err); !ok {
			t.Errorf("Every(%s): the error is a %T", test.period, err)
		}
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	anchor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	daily, rate := mustParse(t, "0 0 * * *"), mustParse(t, "rate(5 minutes)")
	same := [][]cron.Schedule{
		{cron.Schedule{}, cron.Schedule{}.In(time.UTC), cron.Schedule{}.WithGap(cron.GapNext)},
		{daily, mustParse(t, "@daily"), daily.In(nil), daily.WithGap(cron.GapSkip), daily.WithRepeat(cron.RepeatDefault), daily.WithAnchor(anchor)},
		{daily.In(berlin), daily.In(location(t, "Europe/Berlin")), mustParse(t, "CRON_TZ=Europe/Berlin 0 0 * * *")},
		{daily.In(time.FixedZone("CET", 3600))},
		{daily.In(time.FixedZone("CET", 7200))},
		{daily.WithGap(cron.GapNext)},
		{daily.WithRepeat(cron.RepeatFirst)},
		{mustParse(t, "cron(0 0 * * ? *)"), mustParse(t, "cron(0 0 ? * * *)").WithRepeat(cron.RepeatFirst)},
		{mustParse(t, "cron(0/15 * * * ? *)"), mustParse(t, "cron(45,30,15,0 * * * ? *)")},
		{rate, mustParse(t, "@every 5m"), rate.WithAnchor(time.Time{}), rate.WithGap(cron.GapNext), rate.WithRepeat(cron.RepeatSecond)},
		{rate.WithAnchor(anchor), rate.WithAnchor(anchor.Add(time.Millisecond))},
	}
	for i, class := range same {
		for j, other := range same {
			for _, a := range class {
				for _, b := range other {
					if a.Equal(b) != (i == j) {
						t.Errorf("%q equals %q: %t", a, b, i != j)
					}
				}
			}
		}
	}
}

func TestMessagesOfFieldsNameTheDialectsNames(t *testing.T) {
	t.Parallel()
	fields := []string{"minutes", "hours", "day-of-month", "month", "day-of-week", "year"}
	for i, field := range fields {
		expr := slices.Repeat([]string{"*"}, len(fields))
		expr[4], expr[i] = "?", "x"
		if i == 4 {
			expr[2] = "?"
		}
		_, err := cron.ParseAWS(strings.Join(expr, " "))
		if syntax, ok := errors.AsType[*cron.SyntaxError](err); !ok || syntax.Field != field {
			t.Errorf("%q: %v, want an error in %s", expr, err, field)
		}
	}
}
