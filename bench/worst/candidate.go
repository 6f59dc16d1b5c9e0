package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tminus.dev/cron"
)

// A candidate is an expression, where and how it is evaluated, and from when on.
type candidate struct {
	aws    bool
	fields [5]string // up to day-of-week
	years  years     // AWS's
	zone   int       // in zones
	gap    cron.Gap
	repeat cron.Repeat
	start  int64
}

const (
	minutes = iota
	hours
	monthDay
	month
	weekDay
)

// bounds are the values of each field; weekdays are moved by one for unix.
var bounds = [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {1, 7}}

const (
	firstYear = 1970
	lastYear  = 2199
)

// years are the years that do not match.
type years [lastYear - firstYear + 1]bool

// String returns the years that match, as AWS's field has them.
func (y years) String() string {
	if y == (years{}) {
		return "*"
	}
	var items []string
	for from := 0; from < len(y); from++ {
		if y[from] {
			continue
		}
		to := from
		for to+1 < len(y) && !y[to+1] {
			to++
		}
		item := strconv.Itoa(firstYear + from)
		if to > from {
			item += "-" + strconv.Itoa(firstYear+to)
		}
		items = append(items, item)
		from = to
	}
	return strings.Join(items, ",")
}

func (c candidate) expr() string {
	text := strings.Join(c.fields[:], " ")
	if c.aws {
		text += " " + c.years.String()
	}
	return text
}

// candidate returns a random one.
func (s *search) candidate() candidate {
	c := candidate{aws: s.random.IntN(4) > 0}
	for part := range c.fields {
		c.fields[part] = s.field(c.aws, part)
	}
	if c.aws {
		c.fields[monthDay+2*s.random.IntN(2)] = "?"
	}
	if s.random.IntN(2) == 0 {
		c = s.otherYears(c)
	}
	c.zone = s.random.IntN(len(zones))
	c.gap, c.repeat = cron.Gap(s.random.IntN(3)), cron.Repeat(s.random.IntN(4)) //nolint:gosec // As small as they seem.
	c.start = s.instant(c)
	return c
}

// field returns a random field: everything, or a list.
func (s *search) field(aws bool, part int) string {
	if s.random.IntN(4) == 0 {
		return "*"
	}
	items := []string{s.item(aws, part)}
	for s.random.IntN(2) == 0 {
		items = append(items, s.item(aws, part))
	}
	return strings.Join(items, ",")
}

// item returns a random item of a list.
func (s *search) item(aws bool, part int) string {
	low, high := bounds[part][0], bounds[part][1]
	if part == weekDay && !aws {
		low, high = low-1, high-1
	}
	value := func() int { return low + s.random.IntN(high-low+1) }
	switch special := s.random.IntN(2) == 0; {
	case aws && special && part == monthDay:
		return []string{"L", "LW", fmt.Sprint("L-", s.random.IntN(30)+1), fmt.Sprint(value(), "W")}[s.random.IntN(4)]
	case aws && special && part == weekDay:
		return []string{fmt.Sprint(value(), "L"), fmt.Sprint(value(), "#", s.random.IntN(5)+1)}[s.random.IntN(2)]
	case part == monthDay && special, part == month && special: // where the calendar is uneven
		return []string{"29", "30", "31", "2", "3", "10"}[s.random.IntN(3)+3*(part-monthDay)]
	}
	switch s.random.IntN(4) {
	case 0:
		a, b := value(), value()
		return fmt.Sprint(min(a, b), "-", max(a, b))
	case 1:
		return fmt.Sprint(value(), "/", s.random.IntN(high)+1)
	default:
		return strconv.Itoa(value())
	}
}

// instant returns a random start: mostly in AWS's years, often about to be at a change of clocks.
func (s *search) instant(c candidate) int64 {
	const aws, all = (lastYear - firstYear + 1) * 365 * 86400, (9999 - firstYear + 1) * 365 * 86400
	u := s.random.Int64N(aws)
	if !c.aws && s.random.IntN(4) == 0 {
		u = s.random.Int64N(all)
	}
	if s.random.IntN(2) == 0 {
		if _, change := time.Unix(u, 0).In(s.locations[c.zone]).ZoneBounds(); !change.IsZero() {
			u = change.Unix() - s.random.Int64N(3*86400)
		}
	}
	return u
}

// changed returns a candidate with one thing changed. The schedule is that of the candidate, or of one much like it.
func (s *search) changed(c candidate, schedule cron.Schedule) candidate {
	switch s.random.IntN(11) {
	case 0:
		c.zone = s.random.IntN(len(zones))
	case 1:
		c.gap = cron.Gap(s.random.IntN(3)) //nolint:gosec // As small as it seems.
	case 2:
		c.repeat = cron.Repeat(s.random.IntN(4)) //nolint:gosec // As small as it seems.
	case 3:
		c.start = s.instant(c)
	case 4: // A search is longest from a slot on.
		if before := schedule.Prev(schedule.Next(time.Unix(c.start, 0))); !before.IsZero() {
			c.start = before.Unix()
		}
	case 5: // It goes on if what it found does not match any more.
		if next := schedule.Next(time.Unix(c.start, 0)); c.aws && !next.IsZero() && next.Year() >= firstYear && next.Year() <= lastYear {
			c.years[next.Year()-firstYear] = true
		}
	case 6:
		if c.aws {
			c = s.otherYears(c)
		}
	case 7:
		part := s.random.IntN(len(c.fields))
		if c.fields[part] != "?" {
			c.fields[part] = s.field(c.aws, part)
		}
	case 8:
		part := s.random.IntN(len(c.fields))
		if c.fields[part] != "?" {
			c.fields[part] += "," + s.item(c.aws, part)
		}
	case 9:
		part := s.random.IntN(len(c.fields))
		if items := strings.Split(c.fields[part], ","); len(items) > 1 {
			n := s.random.IntN(len(items))
			c.fields[part] = strings.Join(slices.Delete(items, n, n+1), ",")
		}
	case 10:
		if c.aws {
			c = s.atChange(c)
		}
	}
	return c
}

// atChange returns a candidate that meets a change of clocks, and likely those of other years: at random it would not.
func (s *search) atChange(c candidate) candidate {
	loc := s.locations[c.zone]
	_, change := time.Unix(s.instant(c), 0).In(loc).ZoneBounds()
	if change.IsZero() {
		return c
	}
	_, before := change.Add(-time.Second).In(loc).Zone()
	wall := change.UTC().Add(time.Duration(before) * time.Second)
	k := fmt.Sprint("#", (wall.Day()+6)/7)
	if wall.AddDate(0, 0, 7).Month() != wall.Month() && s.random.IntN(2) == 0 {
		k = "L"
	}
	c.fields = [5]string{
		strconv.Itoa(wall.Minute()), strconv.Itoa(wall.Hour()), "?", strconv.Itoa(int(wall.Month())), fmt.Sprint(int(wall.Weekday())+1, k),
	}
	return c
}

// otherYears returns a candidate for which a random stretch of years matches, or does not match: all of it, or each second or fourth.
func (s *search) otherYears(c candidate) candidate {
	from := s.random.IntN(len(c.years))
	to := min(from+1+s.random.IntN(len(c.years)), len(c.years))
	out, step := s.random.IntN(2) == 0, []int{1, 1, 2, 4}[s.random.IntN(4)]
	for n := from; n < to; n += step {
		c.years[n] = out
	}
	return c
}
