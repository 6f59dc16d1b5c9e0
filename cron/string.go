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
// A combination is described by the expressions it consists of, which is no expression; those within it are between parentheses.
//
// [Parse] makes an equal schedule of it, up to what expressions cannot carry: the anchor, the rules for gaps and repeats,
// and the location of AWS cron and of rate(…). Unix cron and @every carry the location's name in CRON_TZ=, unless it is UTC;
// Parse finds it again if it is that of a zone in the IANA database.
func (s Schedule) String() string {
	text := string(s.append(nil))
	if s.set == nil {
		return text
	}
	if s.set.any != nil {
		members := make([]string, len(s.set.any))
		for i, member := range s.set.any {
			if members[i] = member.String(); member.set != nil {
				members[i] = "(" + members[i] + ")"
			}
		}
		text = strings.Join(members, " or ")
	}
	if s.set.isBoth() {
		text = "(" + text + ")"
	}
	parts := []string{text}
	for _, c := range s.set.only {
		parts = append(parts, " on the dates of ", c.name)
	}
	for _, c := range s.set.without {
		parts = append(parts, " not on the dates of ", c.name)
	}
	for _, x := range s.set.except {
		parts = append(parts, " except (", x.String(), ")")
	}
	return strings.Join(parts, "")
}

func (s *Schedule) append(b []byte) []byte {
	written := s.pattern.flags&writtenEvery != 0
	if s.zone != nil && (s.pattern.dialect == Unix || written) {
		b = append(b, "CRON_TZ="...)
		b = append(b, s.zone.loc.String()...)
		b = append(b, ' ')
	}
	switch s.pattern.dialect {
	case AWS:
		b = append(b, "cron("...)
		b = s.pattern.appendAWS(b)
		b = append(b, ')')
	case At:
		l, _ := s.nextLocal(0)
		b = time.Unix(l, 0).UTC().AppendFormat(b, "at("+atLayout+")")
	case Unix:
		b = s.pattern.appendUnix(b)
	case Rate:
		if written {
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
	return b
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

func (p *pattern) appendAWS(b []byte) []byte {
	b = awsFields[0].append(b, values{p.minutes}, AWS)
	b = append(b, ' ')
	b = awsFields[1].append(b, values{uint64(p.hours)}, AWS)
	b = append(b, ' ')
	nth := p.nth != 0
	monthDays := p.weekdays == allWeekdays
	if monthDays {
		b = p.appendMonthDays(b)
	} else {
		b = append(b, '?')
	}
	b = append(b, ' ')
	b = awsFields[3].append(b, values{uint64(p.months >> 1)}, AWS)
	b = append(b, ' ')
	switch {
	case monthDays:
		b = append(b, '?')
	case nth:
		b = p.appendNth(b)
	default:
		b = awsFields[4].append(b, values{uint64(p.weekdays)}, AWS)
	}
	b = append(b, ' ')
	return awsFields[5].append(b, p.years, AWS)
}

// appendMonthDays writes AWS's day-of-month, with L and W.
func (p *pattern) appendMonthDays(b []byte) []byte {
	start := len(b)
	if p.days != 0 {
		b = awsFields[2].append(b, values{uint64(p.days >> 1)}, AWS)
	}
	for set := p.nearest; set != 0; set &= set - 1 {
		b = strconv.AppendInt(append(b, ','), int64(bits.TrailingZeros32(set)), 10)
		b = append(b, 'W')
	}
	if p.last&lastWeekday != 0 {
		b = append(b, ",LW"...)
	}
	for set := p.beforeLast(); set != 0; set &= set - 1 {
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

// appendNth writes AWS's day-of-week with L or #.
func (p *pattern) appendNth(b []byte) []byte {
	f := &awsFields[4]
	weekday, k := p.nthWeekday()
	b = append(b, f.show(f.min+weekday)...)
	if k == lastOne {
		return append(b, 'L')
	}
	return strconv.AppendInt(append(b, '#'), int64(k), 10)
}

func (p *pattern) appendUnix(b []byte) []byte {
	for i, set := range [len(unixFields)]uint64{
		p.minutes, uint64(p.hours), uint64(p.days >> 1), uint64(p.months >> 1), uint64(p.weekdays),
	} {
		if i > 0 {
			b = append(b, ' ')
		}
		b = unixFields[i].append(b, values{set}, Unix)
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
func (f *field) append(b []byte, s values, d Dialect) []byte {
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
func (s *values) step(first, last, count int) int {
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
