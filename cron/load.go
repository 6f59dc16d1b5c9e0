package cron

import (
	"errors"
	"iter"
	"math/bits"
	"time"
)

// A Load says how many schedules fire in each minute of a window. [Collide] makes one.
type Load struct {
	start  int64 // the first minute of the window, in minutes from 1970
	counts []uint32
}

// maxLoad is how many minutes a Load can have, some 19 years.
const maxLoad = 10_000_000

// Collide returns how many of the schedules fire in each minute that touches the window after from, up to and including to: the herd
// that comes at nine o'clock. As in [Schedule.Between], from itself is not in the window. A schedule that is given n times counts n times.
//
// Schedules that fire on the same days are added up as times of day first, and equal ones are looked at once, so that
// a million schedules of which many are alike take little more than a thousand. Only combinations, rates, at(…), schedules with GapNext, and the
// hours around a change of clocks are gone through slot by slot.
//
// The error is about a window of more than ten million minutes.
func Collide(from, to time.Time, schedules ...Schedule) (Load, error) {
	u, limit := seconds(from), seconds(to)
	w := Load{start: floorDiv(u+1, minuteSeconds)}
	if limit <= u {
		return w, nil
	}
	n := floorDiv(limit, minuteSeconds) - w.start + 1
	if n > maxLoad {
		return Load{}, errors.New("cron: the window to collide schedules in is longer than ten million minutes (19 years)")
	}
	w.counts = make([]uint32, n)

	times := make(map[Schedule]uint32) // how often each is given
	for _, s := range schedules {
		times[s]++
	}
	days := make(map[Schedule]*[dayMinutes]uint32) // times of day, added up, of those with the same days
	for s, n := range times {
		if s.set != nil || s.period > 0 || s.pattern.dialect == At || s.pattern.gap == GapNext {
			w.addEach(&s, u, limit, n)
			continue
		}
		key := s
		key.pattern.minutes, key.pattern.hours = 1, 1
		clock := days[key]
		if clock == nil {
			clock = new([dayMinutes]uint32)
			days[key] = clock
		}
		for hours := s.pattern.hours; hours != 0; hours &= hours - 1 {
			hour := clock[bits.TrailingZeros32(hours)*hourMinutes:]
			for minutes := s.pattern.minutes; minutes != 0; minutes &= minutes - 1 {
				hour[bits.TrailingZeros64(minutes)] += n
			}
		}
	}
	for key, clock := range days {
		w.addDays(&key, clock, u, limit)
	}
	return w, nil
}

// addEach adds the slots in (u, limit] of a schedule that is given n times, one by one.
func (w *Load) addEach(s *Schedule, u, limit int64, n uint32) {
	for {
		var ok bool
		if u, ok = s.after(u, limit); !ok {
			return
		}
		w.counts[floorDiv(u, minuteSeconds)-w.start] += n
	}
}

// addDays adds, for the days in (u, limit] on which key has slots, the counts for the minutes of a day.
func (w *Load) addDays(key *Schedule, clock *[dayMinutes]uint32, u, limit int64) {
	if key.pattern.flags&never != 0 {
		return
	}
	for u++; u <= limit; {
		e, end, shift := era{start: -eternity}, int64(eternity), int64(0)
		if key.zone != nil {
			e, end = key.zone.find(u)
			shift = key.zone.shift
		}
		stop := min(end, limit+1)
		for day := uint32(max(u+e.offset, 0) / daySeconds); ; day++ {
			var ok bool
			if day, ok = key.pattern.nextDay(day); !ok {
				break
			}
			midnight := int64(day)*daySeconds - e.offset
			if midnight >= stop {
				break
			}
			quiet := midnight >= max(u, e.start+shift) && midnight+daySeconds <= min(stop, end-shift)
			for minute, n := range clock {
				slot := midnight + int64(minute)*minuteSeconds
				if n == 0 || !quiet && (slot < u || slot >= stop || key.repeated(e, end, slot)) {
					continue
				}
				w.counts[floorDiv(slot, minuteSeconds)-w.start] += n
			}
		}
		u = stop
	}
}

func (s *Schedule) repeated(e era, end, slot int64) bool {
	if s.zone == nil {
		return false
	}
	_, _, skip := s.repeats(e, end, slot)
	return skip
}

// All returns the minutes in which something fires, in order and in UTC, and how many schedules do.
func (w Load) All() iter.Seq2[time.Time, int] {
	return func(yield func(time.Time, int) bool) {
		for i, n := range w.counts {
			if n > 0 && !yield(w.minute(i), int(n)) {
				return
			}
		}
	}
}

// At returns how many schedules fire in the minute of t; 0 outside the window.
func (w Load) At(t time.Time) int {
	i := floorDiv(seconds(t), minuteSeconds) - w.start
	if i < 0 || i >= int64(len(w.counts)) {
		return 0
	}
	return int(w.counts[i])
}

// Peak returns the minute in which most schedules fire, the first of several, and how many do. If none
// fires in the window, it is the zero Time.
func (w Load) Peak() (minute time.Time, n int) {
	for i, c := range w.counts {
		if int(c) > n {
			minute, n = w.minute(i), int(c)
		}
	}
	return minute, n
}

// Total returns how many slots there are in the window.
func (w Load) Total() int {
	total := 0
	for _, n := range w.counts {
		total += int(n)
	}
	return total
}

func (w Load) minute(i int) time.Time {
	return time.Unix((w.start+int64(i))*minuteSeconds, 0).UTC()
}
