package cron_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tminus.dev/cron"
)

func TestConvert(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expr string
		to   cron.Dialect
		want string // or, after !, the field and a part of the reason
	}{
		{"0 10 * * *", cron.AWS, "cron(0 10 * * ? *)"},
		{"*/5 9-17 * * MON-FRI", cron.AWS, "cron(0/5 9-17 ? * MON-FRI *)"},
		{"0 0 * * 0", cron.AWS, "cron(0 0 ? * SUN *)"},
		{"0 0 1,15 * *", cron.AWS, "cron(0 0 1,15 * ? *)"},
		{"0 0 1-31 * MON", cron.AWS, "cron(0 0 * * ? *)"},
		{"@yearly", cron.AWS, "cron(0 0 1 JAN ? *)"},
		{"0 0 13 * FRI", cron.AWS, "!day-of-week: use two schedules: cron(0 0 13 * ? *) and cron(0 0 ? * FRI *)"},
		{"CRON_TZ=Asia/Tokyo 0 9 * * *", cron.AWS, "cron(0 9 * * ? *)"},
		{"cron(0 10 * * ? *)", cron.Unix, "0 10 * * *"},
		{"cron(0/15 8-17 ? * 2-6 *)", cron.Unix, "*/15 8-17 * * MON-FRI"},
		{"cron(0 22-2 1-7 FEB ? *)", cron.Unix, "0 0-2,22,23 1-7 FEB *"},
		{"cron(0 0 L * ? *)", cron.Unix, "!day-of-month: no L"},
		{"cron(0 0 15W * ? *)", cron.Unix, "!day-of-month: no W"},
		{"cron(0 0 ? * 6#3 *)", cron.Unix, "!day-of-week: no #"},
		{"cron(0 0 ? * 6L *)", cron.Unix, "!day-of-week: no #"},
		{"cron(0 0 1 1 ? 2026)", cron.Unix, "!year: every year"},
		{"rate(5 minutes)", cron.Unix, "@every 5m"},
		{"rate(1 day)", cron.Rate, "rate(1 day)"},
		{"@every 90m", cron.Rate, "rate(90 minutes)"},
		{"@every 1h", cron.AWS, "rate(1 hour)"},
		{"@every 90s", cron.AWS, "!duration: whole minutes"},
		{"@every 90s", cron.Unix, "@every 1m30s"},
		{"0 10 * * *", cron.Rate, "!expression: wall clock"},
		{"cron(0 10 * * ? *)", cron.At, "!expression: fires once"},
		{"rate(5 minutes)", cron.At, "!expression: fires once"},
		{"at(2026-01-31T09:00:00)", cron.AWS, "cron(0 9 31 JAN ? 2026)"},
		{"at(2026-01-31T09:00:30)", cron.AWS, "!time: full minutes"},
		{"at(2026-01-31T09:00:00)", cron.Unix, "!expression: fires once"},
		{"at(2026-01-31T09:00:00)", cron.At, "at(2026-01-31T09:00:00)"},
		{"cron(0 10 * * ? *)", cron.AWS, "cron(0 10 * * ? *)"},
	} {
		s, err := mustParse(t, test.expr).Convert(test.to)
		got := s.String()
		if field, reason, refused := strings.Cut(test.want, ": "); refused && field[0] == '!' {
			e, ok := errors.AsType[*cron.ConvertError](err)
			if !ok || e.Field != field[1:] || !strings.Contains(e.Reason, reason) || !strings.Contains(err.Error(), e.Reason) {
				t.Errorf("%s to %s: %q, error %v; want %s", test.expr, test.to, got, err, test.want)
			}
		} else if err != nil || got != test.want {
			t.Errorf("%s to %s: %q, error %v; want %q", test.expr, test.to, got, err, test.want)
		}
	}
}

// TestConvertedFiresAlike checks that a converted schedule has the same slots, in any zone and with any rules, and comes back as it was.
func TestConvertedFiresAlike(t *testing.T) {
	t.Parallel()
	zones := oracleLocations(t)
	rapid.Check(t, func(t *rapid.T) {
		d := dice{t}
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		start := min(d.moment(loc), 7e9) // in 2191, before AWS's years end
		s := d.schedule(loc, start)
		if x := d.schedule(loc, start); x.Dialect() == s.Dialect() && d.oneIn(2) {
			s = s.Except(x)
		}
		from := time.Unix(start, 0)
		to := from.Add(72 * time.Hour)
		for _, dialect := range []cron.Dialect{cron.AWS, cron.Unix} {
			converted, err := s.Convert(dialect)
			if err != nil || s.Dialect() == cron.Rate { // which AWS cron has under the same name
				continue
			}
			if diff := cmp.Diff(slices.Collect(s.Between(from, to)), slices.Collect(converted.Between(from, to))); diff != "" {
				t.Fatalf("%s and %s differ (-%s +%s)\n%s", s, converted, s.Dialect(), dialect, diff)
			}
			if again, err := converted.Convert(s.Dialect()); err != nil || !again.Equal(s) {
				t.Fatalf("%s comes back from %s as %s (%v)", s, converted, again, err)
			}
		}
	})
}

// TestConvertedOnceIsCron checks that at(…) as AWS cron is what is parsed from it, and fires when at(…) does.
func TestConvertedOnceIsCron(t *testing.T) {
	t.Parallel()
	newYork := location(t, "America/New_York")
	for _, expr := range []string{"at(2026-01-31T09:00:00)", "at(2024-03-10T02:30:00)", "at(2024-11-03T01:30:00)", "at(2024-02-29T00:00:00)"} {
		once := mustParse(t, expr).In(newYork)
		s, err := once.Convert(cron.AWS)
		if err != nil {
			t.Fatal(err)
		}
		if !mustParse(t, s.String()).In(newYork).Equal(s) {
			t.Errorf("%s is not what it says: %s", expr, s)
		}
		if from := time.Unix(0, 0); !s.Next(from).Equal(once.Next(from)) || s.Never() != once.Never() {
			t.Errorf("%s is %s, which fires at %s and not at %s", expr, s, s.Next(from), once.Next(from))
		}
	}
}
