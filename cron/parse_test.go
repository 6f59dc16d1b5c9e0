package cron_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tminus.dev/cron"
)

func mustParse(tb interface {
	Helper()
	Fatal(args ...any)
}, expr string,
) cron.Schedule {
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
		{"at(2026-01-31T09:05:07)", "at(2026-01-31T09:05:07)"},
		{"at(1970-01-01T00:00:00)", "at(1970-01-01T00:00:00)"},
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

// TestUTCUnderAnotherPointer: so time.Local is where the machine's zone is UTC.
func TestUTCUnderAnotherPointer(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "0 9 * * *")
	if utc := s.In(time.FixedZone("UTC", 0)); !utc.Equal(s) || utc.Location() != time.UTC || utc.String() != "0 9 * * *" {
		t.Errorf("%s in %s is not in UTC", utc, utc.Location())
	}
	for _, other := range []*time.Location{time.FixedZone("UTC", 3600), time.FixedZone("GMT", 0)} {
		if s.In(other).Equal(s) {
			t.Errorf("%s is UTC", other)
		}
	}
}
