package cron_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tminus.dev/cron"
)

// The oracle knows nothing of package cron: it reads an expression's text afresh for each wall-clock minute, item by item,
// and finds slots by looking at every minute there is.

type oracle struct {
	dialect cron.Dialect
	fields  []string
	gap     cron.Gap
	repeat  cron.Repeat
}

const (
	oracleMonths   = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
	oracleWeekdays = "SUN MON TUE WED THU FRI SAT"
)

// oracleValue returns the number that a number or a name stands for, or -1.
func oracleValue(text, names string, first int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	if i := slices.Index(strings.Fields(names), strings.ToUpper(text)); i >= 0 {
		return i + first
	}
	return -1
}

// oracleNumber returns the number in a text that must be one.
func oracleNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// oracleItem reports whether v is one of the values that an item counts off between low and high.
func oracleItem(item string, v, low, high int, names string) bool {
	text, stepText, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		step = oracleNumber(stepText)
	}
	from, to := low, high
	if text != "*" && text != "?" {
		start, end, ranged := strings.Cut(text, "-")
		from = oracleValue(start, names, low)
		switch {
		case ranged:
			to = oracleValue(end, names, low)
		case !stepped:
			to = from
		}
	}
	for i := 0; ; i++ {
		if i%step == 0 && from == v {
			return true
		}
		if from == to {
			return false
		}
		if from++; from > high {
			from = low
		}
	}
}

func oracleList(list string, v, low, high int, names string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if oracleItem(item, v, low, high, names) {
			return true
		}
	}
	return false
}

// oracleMonthDay reports whether a date matches AWS's day-of-month.
func oracleMonthDay(list string, date time.Time) bool {
	day := date.Day()
	last := time.Date(date.Year(), date.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	nearest := func(n int) int {
		for distance := range 4 {
			for _, d := range []int{n - distance, n + distance} {
				if weekday := date.AddDate(0, 0, d-day).Weekday(); 1 <= d && d <= last &&
					weekday != time.Saturday && weekday != time.Sunday {
					return d
				}
			}
		}
		panic("four days on end without a working day")
	}
	for item := range strings.SplitSeq(strings.ToUpper(list), ",") {
		match := false
		switch {
		case item == "L":
			match = day == last
		case item == "LW":
			match = day == nearest(last)
		case strings.HasPrefix(item, "L-"):
			n := oracleNumber(item[2:])
			match = day == last-n
		case strings.HasSuffix(item, "W"):
			n := oracleNumber(item[:len(item)-1])
			match = n <= last && day == nearest(n)
		default:
			match = oracleItem(item, day, 1, 31, "")
		}
		if match {
			return true
		}
	}
	return false
}

// oracleWeekday reports whether a date matches AWS's day-of-week.
func oracleWeekday(list string, date time.Time) bool {
	weekday := int(date.Weekday()) + 1
	if text, nth, ok := strings.Cut(list, "#"); ok {
		return weekday == oracleValue(text, oracleWeekdays, 1) && (date.Day()+6)/7 == oracleNumber(nth)
	}
	if strings.EqualFold(list, "L") {
		return weekday == 7
	}
	if text := strings.ToUpper(list); strings.HasSuffix(text, "L") {
		return weekday == oracleValue(text[:len(text)-1], oracleWeekdays, 1) && date.AddDate(0, 0, 7).Month() != date.Month()
	}
	return oracleList(list, weekday, 1, 7, oracleWeekdays)
}

// date reports whether a date matches; its time of day does not count.
func (o oracle) date(date time.Time) bool {
	dom, dow := o.fields[2], o.fields[4]
	if date.Year() < 1970 || !oracleList(o.fields[3], int(date.Month()), 1, 12, oracleMonths) {
		return false
	}
	if o.dialect == cron.AWS {
		return date.Year() <= 2199 && oracleList(o.fields[5], date.Year(), 1970, 2199, "") &&
			(dom == "?" || oracleMonthDay(dom, date)) && (dow == "?" || oracleWeekday(dow, date))
	}
	byDay := oracleList(dom, date.Day(), 1, 31, "")
	byWeekday := oracleList(dow, int(date.Weekday()), 0, 6, oracleWeekdays)
	if star(dom) || star(dow) {
		return byDay && byWeekday
	}
	return byDay || byWeekday
}

// star reports whether a day field of unix cron leaves the decision to the other.
func star(list string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if slices.Contains([]string{"*", "?", "*/1", "?/1"}, item) {
			return true
		}
	}
	return false
}

// clock reports whether a time of day matches.
func (o oracle) clock(hour, minute int) bool {
	return oracleList(o.fields[0], minute, 0, 59, "") && oracleList(o.fields[1], hour, 0, 23, "")
}

// slots returns the slots in (from, to], Unix seconds, which are to be some days apart at most.
func (o oracle) slots(loc *time.Location, from, to int64) []int64 {
	const margin = 50 * 3600
	dates := map[int]bool{}
	clocks := map[int]bool{}
	match := func(wall time.Time) bool { // wall has the clock's reading as UTC
		day := wall.YearDay() + 1000*wall.Year()
		if _, ok := dates[day]; !ok {
			dates[day] = o.date(wall)
		}
		clock := wall.Hour()*60 + wall.Minute()
		if _, ok := clocks[clock]; !ok {
			clocks[clock] = o.clock(wall.Hour(), wall.Minute())
		}
		return dates[day] && clocks[clock]
	}
	reading := func(u int64) time.Time {
		return time.Unix(u+int64(offsetOf(time.Unix(u, 0).In(loc))), 0).UTC()
	}

	start := (from - margin) / 60 * 60
	step := int64(60)
	if reading(start).Second() != 0 || reading(to+margin).Second() != 0 {
		step = 30 // Monrovia's clocks were 44 minutes and 30 seconds behind until 1972
	}
	var found []int64
	shown := map[int64][]int64{} // by reading, the instants that show a slot
	last := reading(start - step).Unix()
	for u := start; u <= to+margin; u += step {
		wall := reading(u)
		for gap := last + step; gap < wall.Unix(); gap += step {
			if o.gap == cron.GapNext && gap%60 == 0 && match(time.Unix(gap, 0).UTC()) {
				found = append(found, u)
			}
		}
		last = wall.Unix()
		if wall.Second() == 0 && match(wall) {
			shown[last] = append(shown[last], u)
		}
	}
	repeat := o.repeat
	if repeat == cron.RepeatDefault {
		repeat = map[cron.Dialect]cron.Repeat{cron.AWS: cron.RepeatFirst, cron.Unix: cron.RepeatBoth}[o.dialect]
	}
	for _, instants := range shown {
		switch repeat {
		case cron.RepeatFirst:
			instants = instants[:1]
		case cron.RepeatSecond:
			instants = instants[len(instants)-1:]
		case cron.RepeatDefault, cron.RepeatBoth:
		}
		found = append(found, instants...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	return slices.DeleteFunc(found, func(u int64) bool { return u <= from || u > to })
}

// Random expressions.

// A dice draws values from rapid.
type dice struct{ *rapid.T }

func (d dice) n(low, high int) int           { return rapid.IntRange(low, high).Draw(d.T, "n") }
func (d dice) oneIn(n int) bool              { return d.n(1, n) == 1 }
func (d dice) pick(choices ...string) string { return rapid.SampledFrom(choices).Draw(d.T, "choice") }

func (d dice) value(low, high int, names string) string {
	v := d.n(low, high)
	switch {
	case names != "" && d.oneIn(2):
		name := strings.Fields(names)[v-low]
		if d.oneIn(3) {
			name = strings.ToLower(name)
		}
		return name
	case d.oneIn(8):
		return "0" + strconv.Itoa(v)
	}
	return strconv.Itoa(v)
}

func (d dice) item(dialect cron.Dialect, low, high int, names string) string {
	item := "*"
	switch d.n(0, 4) {
	case 0:
	case 1, 2:
		item = d.value(low, high, names)
	default:
		start, end := d.value(low, high, names), d.value(low, high, names)
		wraps := dialect == cron.AWS && low < 1970
		if !wraps && oracleValue(start, names, low) > oracleValue(end, names, low) {
			start, end = end, start
		}
		item = start + "-" + end
	}
	if dialect == cron.Unix && item == "*" && d.oneIn(4) {
		item = "?"
	}
	if d.oneIn(3) {
		item += "/" + strconv.Itoa(d.n(1, (high-low)+2))
	}
	return item
}

func (d dice) list(dialect cron.Dialect, low, high int, names string) string {
	return d.join(func() string { return d.item(dialect, low, high, names) })
}

// join returns a list of one or more items.
func (d dice) join(item func() string) string {
	items := []string{item()}
	for d.oneIn(3) {
		items = append(items, item())
	}
	return strings.Join(items, ",")
}

// starOr returns a star with a chance of one in n, or else a list.
func (d dice) starOr(n int, list func() string) string {
	if d.oneIn(n) {
		return "*"
	}
	return list()
}

func (d dice) monthDays() string {
	return d.join(func() string {
		switch d.n(0, 5) {
		case 0:
			return d.pick("L", "l")
		case 1:
			return "L-" + strconv.Itoa(d.n(1, 30))
		case 2:
			return d.pick("LW", "lw")
		case 3:
			return strconv.Itoa(d.n(1, 31)) + d.pick("W", "w")
		}
		return d.item(cron.AWS, 1, 31, "")
	})
}

func (d dice) weekdays() string {
	switch d.n(0, 5) {
	case 0:
		return d.pick("L", "l")
	case 1:
		return d.value(1, 7, oracleWeekdays) + d.pick("L", "l")
	case 2:
		return d.value(1, 7, oracleWeekdays) + "#" + strconv.Itoa(d.n(1, 5))
	}
	return d.list(cron.AWS, 1, 7, oracleWeekdays)
}

// oracle draws an expression with its fields, as the oracle reads it. Months are often a star, and so on, as most random
// expressions would hardly ever fire.
func (d dice) oracle(year int) oracle {
	o := oracle{dialect: cron.AWS}
	if d.oneIn(2) {
		o.dialect = cron.Unix
	}
	minutes := d.starOr(4, func() string { return d.list(o.dialect, 0, 59, "") })
	hours := d.starOr(2, func() string { return d.list(o.dialect, 0, 23, "") })
	months := d.starOr(2, func() string { return d.list(o.dialect, 1, 12, oracleMonths) })
	if o.dialect == cron.Unix {
		o.fields = []string{
			minutes, hours, d.starOr(2, func() string { return d.list(o.dialect, 1, 31, "") }), months,
			d.starOr(2, func() string { return d.list(o.dialect, 0, 6, oracleWeekdays) }),
		}
		return o
	}
	dom, dow := d.starOr(3, d.monthDays), "?"
	if d.oneIn(2) {
		dom, dow = "?", d.starOr(3, d.weekdays)
	}
	years := d.starOr(2, func() string { return d.list(cron.AWS, min(max(1970, year-1), 2198), max(min(2199, year+1), 1971), "") })
	if years == "*" && d.oneIn(3) {
		years = d.list(cron.AWS, 1970, 2199, "")
	}
	o.fields = []string{minutes, hours, dom, months, dow, years}
	return o
}

func (o oracle) expr() string {
	if o.dialect == cron.AWS {
		return "cron(" + strings.Join(o.fields, " ") + ")"
	}
	return strings.Join(o.fields, " ")
}

// oracleZones have, together, every kind of transition there is: of 30 minutes, 15, 45, 2 hours, a day; at midnight;
// in Ramadan; with an offset in seconds; with less than no daylight saving.
var oracleZones = []string{
	"UTC", "Europe/Berlin", "Europe/Dublin", "Europe/London", "Europe/Lisbon", "Europe/Istanbul", "Europe/Moscow",
	"Europe/Chisinau", "America/New_York", "America/Sao_Paulo", "America/Nuuk", "America/Scoresbysund", "America/Caracas",
	"America/Asuncion", "America/Havana", "America/Santiago", "America/St_Johns", "America/Metlakatla", "America/Ciudad_Juarez",
	"Africa/Casablanca", "Africa/Cairo", "Africa/Monrovia", "Africa/Juba", "Africa/Windhoek", "Africa/Sao_Tome", "Asia/Gaza",
	"Asia/Beirut", "Asia/Damascus", "Asia/Amman", "Asia/Tehran", "Asia/Pyongyang", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Singapore",
	"Asia/Manila", "Asia/Tokyo", "Australia/Lord_Howe", "Australia/Sydney", "Australia/Eucla", "Antarctica/Troll",
	"Antarctica/Casey", "Antarctica/Vostok", "Pacific/Apia", "Pacific/Kwajalein", "Pacific/Kiritimati", "Pacific/Chatham",
	"Pacific/Norfolk", "Pacific/Easter", "Pacific/Fakaofo", "Atlantic/Azores",
}

func location(tb testing.TB, name string) *time.Location {
	tb.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return loc
}

// moment draws an instant, mostly within two days of a change of the clocks in loc.
func (d dice) moment(loc *time.Location) int64 {
	first := time.Date(1969, 12, 30, 0, 0, 0, 0, time.UTC).Unix()
	last := time.Date(2200, 1, 3, 0, 0, 0, 0, time.UTC).Unix()
	recent := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	if !d.oneIn(4) {
		last = recent
	}
	u := rapid.Int64Range(first, last).Draw(d.T, "moment")
	if d.oneIn(4) {
		return u
	}
	for t := time.Unix(u, 0).In(loc); ; {
		_, end := t.ZoneBounds()
		if end.IsZero() || end.Unix() > last {
			return u
		}
		if _, before := t.Zone(); before != offsetOf(end) {
			return end.Unix() + int64(d.n(-48*3600, 24*3600))
		}
		t = end.Add(24 * time.Hour)
	}
}

func offsetOf(t time.Time) int {
	_, offset := t.Zone()
	return offset
}
