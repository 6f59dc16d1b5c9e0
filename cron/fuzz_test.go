package cron_test

import (
	"errors"
	"testing"
	"time"

	"tminus.dev/cron"
)

func seeds(f *testing.F, add func(expr string)) {
	f.Helper()
	for _, expr := range []string{
		"", "cron(0 10 * * ? *)", "cron(0/15 8-17 ? JAN-MAR/2 MON-FRI 2026,2030-2040/3)", "cron(0 22-2 L,L-3,LW,15W * ? *)",
		"cron(0 0 ? * FRI#3 *)", "cron(0 0 ? * 6L *)", "15 10 ? * L *", "rate(5 minutes)", "rate(1 day)", "@every 1h30m", "@daily", "hours",
		"*/15 0 1,15 * MON-FRI", "0 0 13 * FRI", "CRON_TZ=Europe/Berlin 30 2 * * *", "TZ=UTC", "0 0 29 2 *", "0 0 30 2 *", "at(2026-01-01T00:00:00)",
		"*-5 ?/2 +1 * *", "cron(0 1 * * * *)", "at(2024-03-10T02:30:15)", "cron(30 2 ? 3 1#2 *)", "cron(\xff 0 * * ? *)", "1,2,3", "@every\u00a05m",
	} {
		add(expr)
	}
}

// FuzzParse checks that any text is either parsed or refused with an error that points into it.
func FuzzParse(f *testing.F) {
	seeds(f, func(expr string) { f.Add(expr) })
	f.Fuzz(func(t *testing.T, expr string) {
		for _, parse := range []func(string) (cron.Schedule, error){cron.Parse, cron.ParseAWS, cron.ParseUnix, cron.ParseRate} {
			s, err := parse(expr)
			if err == nil {
				if s.Dialect() == 0 {
					t.Errorf("%q is of no dialect", expr)
				}
				continue
			}
			syntax, ok := errors.AsType[*cron.SyntaxError](err)
			if !ok {
				t.Fatalf("%q: the error is a %T", expr, err)
			}
			if syntax.Expr != expr || syntax.Start < 0 || syntax.End < syntax.Start || syntax.End > len(expr) || syntax.Field == "" {
				t.Errorf("%q: bad error %#v", expr, syntax)
			}
			checkMessage(t, syntax)
			if syntax.Suggestion != "" {
				if _, err := parse(syntax.Suggestion); err != nil {
					t.Errorf("%q: the suggestion is wrong: %v", expr, err)
				}
			}
			if s != (cron.Schedule{}) {
				t.Errorf("%q: refused, but the schedule is not zero", expr)
			}
		}
	})
}

// FuzzPrintParse checks that the canonical expression of whatever parses is equal to it, and its own canonical expression.
func FuzzPrintParse(f *testing.F) {
	seeds(f, func(expr string) { f.Add(expr) })
	f.Fuzz(func(t *testing.T, expr string) {
		if s, err := cron.Parse(expr); err == nil {
			checkParsesBack(t, s)
		}
	})
}

// FuzzNextPrev checks that Next, Prev and Match agree with each other, whatever the schedule, the zone and the time.
func FuzzNextPrev(f *testing.F) {
	for i, zone := range []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"} {
		seeds(f, func(expr string) { f.Add(expr, zone, int64(1325203200+i*1e8), uint8(i)) })
	}
	f.Fuzz(func(t *testing.T, expr, zone string, u int64, rules uint8) {
		s, err := cron.Parse(expr)
		if err != nil {
			return
		}
		loc, err := time.LoadLocation(zone)
		if err != nil {
			return
		}
		s = s.In(loc).WithGap(cron.Gap(rules % 3)).WithRepeat(cron.Repeat(rules / 3 % 4)).WithAnchor(time.Unix(u%1e9, 0))
		at := time.Unix(u%1e10, 0)
		next, prev := s.Next(at), s.Prev(at)
		if s.Never() && (!next.IsZero() || !prev.IsZero()) {
			t.Fatalf("%s never fires, but at %s and %s", s, prev, next)
		}
		if !next.IsZero() {
			if !next.After(at) || !s.Match(next) || !s.Next(next.Add(-1)).Equal(next) || !s.Prev(next.Add(1)).Equal(next) {
				t.Errorf("%s in %s: the slot after %s is not %s", s, loc, at, next)
			}
		}
		if !prev.IsZero() {
			if !prev.Before(at) || !s.Match(prev) || !s.Next(prev.Add(-1)).Equal(prev) || !s.Prev(prev.Add(1)).Equal(prev) {
				t.Errorf("%s in %s: the slot before %s is not %s", s, loc, at, prev)
			}
		}
		between, count := next, 1
		if s.Match(at) {
			between, count = at, 2
		}
		if n := s.Count(prev, next); !prev.IsZero() && !next.IsZero() && n != count {
			t.Errorf("%s in %s: Count finds %d from %s to %s, want %d", s, loc, n, prev, next, count)
		}
		if !prev.IsZero() && !s.Next(prev).Equal(between) {
			t.Errorf("%s in %s: after %s comes %s, not %s", s, loc, prev, s.Next(prev), between)
		}
		if between = prev; s.Match(at) {
			between = at
		}
		if !next.IsZero() && !s.Prev(next).Equal(between) {
			t.Errorf("%s in %s: before %s comes %s, not %s", s, loc, next, s.Prev(next), between)
		}
	})
}
