package bench_test

import (
	"testing"
	"time"

	"tminus.dev/bench"
)

// The oracle knows the cases by predicates written for each, and finds slots by looking at every minute of each day that
// matches. It has nothing of package cron.

type date struct {
	year, day int
	month     time.Month
	weekday   time.Weekday
	last      int // the number of days of the month
}

var days = map[string]func(date) bool{
	"every-minute":  func(date) bool { return true },
	"daily-10":      func(date) bool { return true },
	"workdays-5min": func(d date) bool { return d.weekday != time.Saturday && d.weekday != time.Sunday },
	"feb-29":        func(d date) bool { return d.month == time.February && d.day == 29 },
	"last-day":      func(d date) bool { return d.day == d.last },
	"third-friday":  func(d date) bool { return d.weekday == time.Friday && d.day >= 15 && d.day <= 21 },
	"last-friday-years": func(d date) bool {
		return d.weekday == time.Friday && d.day+7 > d.last && d.year >= 2020 && d.year <= 2045
	},
	"nearest-weekday": func(d date) bool {
		switch d.weekday {
		case time.Friday: // the 15th, or the day before it
			return d.day == 15 || d.day == 14
		case time.Monday: // the 15th, or the day after it
			return d.day == 15 || d.day == 16
		case time.Tuesday, time.Wednesday, time.Thursday:
			return d.day == 15
		default:
			return false
		}
	},
}

var clocks = map[string]func(hour, minute int) bool{
	"every-minute":      func(int, int) bool { return true },
	"daily-10":          func(h, m int) bool { return h == 10 && m == 0 },
	"workdays-5min":     func(h, m int) bool { return h >= 9 && h <= 17 && m%5 == 0 },
	"feb-29":            func(h, m int) bool { return h == 0 && m == 0 },
	"last-day":          func(h, m int) bool { return h == 10 && m == 0 },
	"third-friday":      func(h, m int) bool { return h == 10 && m == 0 },
	"last-friday-years": func(h, m int) bool { return h == 10 && m == 15 },
	"nearest-weekday":   func(h, m int) bool { return h == 10 && m == 0 },
}

// slots returns the first slot of a case after t. Libraries differ about a time that the wall clock shows twice: both is the
// answer if it has a slot each time, once if it has one the first time only.
func slots(name string, t time.Time) (both, once time.Time) {
	for u := t.Truncate(time.Minute).Add(time.Minute); ; {
		year, month, day := u.Date()
		last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
		if !days[name](date{year: year, month: month, day: day, weekday: u.Weekday(), last: last}) {
			// No clock in these zones is changed at midnight.
			u = time.Date(year, month, day+1, 0, 0, 0, 0, u.Location())
			continue
		}
		if clocks[name](u.Hour(), u.Minute()) {
			if both.IsZero() {
				both = u
			}
			if before := u.Add(-time.Hour); before.Hour() != u.Hour() { // as it is by an hour that clocks are set back
				return both, u
			}
		}
		u = u.Add(time.Minute)
	}
}

// startsAround returns the benchmark's starts, and instants around each change of clocks in that time.
func startsAround(loc *time.Location) []time.Time {
	starts := bench.Starts(loc)
	end := time.Date(2040, 1, 1, 0, 0, 0, 0, loc)
	for t := time.Date(2020, 1, 1, 0, 0, 0, 0, loc); t.Before(end); {
		_, change := t.ZoneBounds()
		if change.IsZero() {
			break
		}
		for _, before := range []time.Duration{
			31 * 24 * time.Hour, 7 * 24 * time.Hour, 36 * time.Hour, 24 * time.Hour, 17 * time.Hour, 16*time.Hour + time.Second, 3 * time.Hour,
			2 * time.Hour, 61 * time.Minute, time.Hour, 59 * time.Minute, time.Minute, 30 * time.Second, time.Second,
			0, -time.Second, -30 * time.Minute, -time.Hour + time.Second, -time.Hour, -2 * time.Hour,
		} {
			starts = append(starts, change.Add(-before).In(loc))
		}
		t = change
	}
	return starts
}

// TestMistakes holds tminus and its peers against the oracle, and the list of mistakes against what they do.
func TestMistakes(t *testing.T) {
	for _, zone := range bench.Zones {
		for _, c := range bench.Cases {
			t.Run(zone.Name+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				loc := location(t, zone)
				starts := startsAround(loc)
				for _, start := range starts[:256] { // slots themselves, and the second before
					slot, _ := slots(c.Name, start)
					starts = append(starts, slot, slot.Add(-time.Second))
				}
				both, once := make([]time.Time, len(starts)), make([]time.Time, len(starts))
				for i, start := range starts {
					both[i], once[i] = slots(c.Name, start)
				}
				for _, lib := range bench.Libs {
					expr := lib.Expr(c)
					if expr == "" {
						continue
					}
					next, err := lib.Next(expr, loc)
					if err != nil {
						t.Fatalf("%s: %v", lib.Name, err)
					}
					wrong := -1
					for i := 0; i < len(starts) && wrong < 0; i++ {
						if got := next(starts[i]); !got.Equal(both[i]) && !got.Equal(once[i]) {
							wrong = i
						}
					}
					switch listed := !bench.Right(lib.Name, c.Name, zone.Name); {
					case wrong >= 0 && !listed:
						t.Errorf("%s is wrong, and not listed: from %v it finds %v, want %v", lib.Name, starts[wrong], next(starts[wrong]), both[wrong])
					case wrong < 0 && listed:
						t.Errorf("%s is listed, and right from all %d starts", lib.Name, len(starts))
					}
				}
			})
		}
	}
}

func TestTminusMakesNoMistakes(t *testing.T) {
	for _, m := range bench.Mistakes {
		if m.Lib == "tminus" {
			t.Errorf("%+v", m)
		}
	}
}
