package cron

import (
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// String returns the canonical expression: cron(…), rate(…), five fields, or @every. Equal sets of values come out
// the same, however they were written: names for months and weekdays, ranges for runs, steps where they are regular.
// The zero Schedule has none, and returns "".
//
// [Parse] makes an equal schedule of it, up to what expressions cannot carry: the anchor, the rules for gaps and repeats,
// and the location of AWS cron and of rate(…). Unix cron and @every carry the location's name in CRON_TZ=, unless it is UTC.
func (s Schedule) String() string {
	var b []byte
	if s.loc != nil && (s.dialect == Unix || s.every) {
		b = append(b, "CRON_TZ="...)
		b = append(b, s.loc.String()...)
		b = append(b, ' ')
	}
	switch s.dialect {
	case AWS:
		b = append(b, "cron("...)
		b = s.cal.appendAWS(b)
		b = append(b, ')')
	case Unix:
		b = s.cal.appendUnix(b)
	case Rate:
		if s.every {
			b = append(b, "@every "...)
			b = append(b, shorten(s.Period())...)
			break
		}
		b = append(b, "rate("...)
		for i := len(units) - 1; i >= 0; i-- {
			u := &units[i]
			if n := s.Period() / u.length; s.Period()%u.length == 0 {
				b = strconv.AppendInt(b, int64(n), 10)
				b = append(b, ' ')
				if n == 1 {
					b = append(b, u.one...)
				} else {
					b = append(b, u.many...)
				}
				break
			}
		}
		b = append(b, ')')
	}
	return string(b)
}

// shorten writes a duration without trailing zeros: 1h, not 1h0m0s.
func shorten(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (c *calendar) appendAWS(b []byte) []byte {
	b = awsFields[0].append(b, set{c.minutes}, AWS)
	b = append(b, ' ')
	b = awsFields[1].append(b, set{uint64(c.hours)}, AWS)
	b = append(b, ' ')
	nth := c.nth != [6]uint8{}
	monthDays := c.weekdays == allWeekdays && !nth
	if monthDays {
		b = c.appendMonthDays(b)
	} else {
		b = append(b, '?')
	}
	b = append(b, ' ')
	b = awsFields[3].append(b, set{uint64(c.months >> 1)}, AWS)
	b = append(b, ' ')
	switch {
	case monthDays:
		b = append(b, '?')
	case nth:
		b = c.appendNth(b)
	default:
		b = awsFields[4].append(b, set{uint64(c.weekdays)}, AWS)
	}
	b = append(b, ' ')
	return awsFields[5].append(b, c.years, AWS)
}

// appendMonthDays writes AWS's day-of-month, with L and W.
func (c *calendar) appendMonthDays(b []byte) []byte {
	start := len(b)
	if c.days != 0 {
		b = awsFields[2].append(b, set{uint64(c.days >> 1)}, AWS)
	}
	for set := c.nearest; set != 0; set &= set - 1 {
		b = strconv.AppendInt(append(b, ','), int64(bits.TrailingZeros32(set)), 10)
		b = append(b, 'W')
	}
	if c.lastWeekday {
		b = append(b, ",LW"...)
	}
	for set := c.last; set != 0; set &= set - 1 {
		b = append(b, ",L"...)
		if n := bits.TrailingZeros32(set); n > 0 {
			b = strconv.AppendInt(append(b, '-'), int64(n), 10)
		}
	}
	if b[start] == ',' {
		b = append(b[:start], b[start+1:]...)
	}
	return b
}

// appendNth writes AWS's day-of-week with L or #, which stand alone.
func (c *calendar) appendNth(b []byte) []byte {
	for k, weekdays := range c.nth {
		if weekdays == 0 {
			continue
		}
		f := &awsFields[4]
		b = append(b, f.show(f.min+bits.TrailingZeros8(weekdays))...)
		if k == 0 {
			b = append(b, 'L')
		} else {
			b = strconv.AppendInt(append(b, '#'), int64(k), 10)
		}
	}
	return b
}

func (c *calendar) appendUnix(b []byte) []byte {
	for i, values := range [len(unixFields)]uint64{
		c.minutes, uint64(c.hours), uint64(c.days >> 1), uint64(c.months >> 1), uint64(c.weekdays),
	} {
		if i > 0 {
			b = append(b, ' ')
		}
		b = unixFields[i].append(b, set{values}, Unix)
	}
	return b
}

// show returns a value as its name, or as a number in a field without names.
func (f *field) show(v int) string {
	if f.names == "" {
		return strconv.Itoa(v)
	}
	return f.names[(v-f.min)*3 : (v-f.min)*3+3]
}

// append writes a set that is not empty: as a star, a step, or a list of values and ranges.
func (f *field) append(b []byte, s set, d Dialect) []byte {
	size := f.max - f.min + 1
	count := 0
	for _, w := range s {
		count += bits.OnesCount64(w)
	}
	if count == size {
		return append(b, '*')
	}
	first, last := f.min, f.min
	for !s.has(first - f.min) {
		first++
	}
	for v := first; v <= f.max; v++ {
		if s.has(v - f.min) {
			last = v
		}
	}
	if step := s.step(first-f.min, last-f.min, count); step > 1 {
		switch {
		case last+step <= f.max:
			b = append(b, f.show(first)+"-"+f.show(last)...)
		case first == f.min && d == Unix:
			b = append(b, '*')
		default:
			b = append(b, f.show(first)...)
		}
		return strconv.AppendInt(append(b, '/'), int64(step), 10)
	}
	for v := first; v <= last; v++ {
		if !s.has(v - f.min) {
			continue
		}
		if v > first {
			b = append(b, ',')
		}
		b = append(b, f.show(v)...)
		end := v
		for end < last && s.has(end+1-f.min) {
			end++
		}
		if end-v > 1 { // a range of two is a list
			b = append(b, '-')
			b = append(b, f.show(end)...)
			v = end
		}
	}
	return b
}

// step returns the distance between the values of s if there are three or more of them at equal distances, or else 0.
func (s *set) step(first, last, count int) int {
	if count < 3 || (last-first)%(count-1) != 0 {
		return 0
	}
	step := (last - first) / (count - 1)
	for v := first; v <= last; v += step {
		if !s.has(v) {
			return 0
		}
	}
	return step
}
