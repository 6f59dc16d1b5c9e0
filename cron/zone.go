package cron

import (
	"reflect"
	"slices"
	"sync"
	"time"
)

// A zone is a location with its changes of clocks in a table, so that finding the offset at an instant takes a few
// nanoseconds. It does not change once it is made.
//
// The table ends with the year before tableYear. From then on, clocks change by a rule that depends on the kind of the year only, if at all, so that
// they change as they did cycleYears before; no zone of the IANA database has other changes after 2087.
type zone struct {
	loc   *time.Location
	eras  []era    // in order; the first reaches back to eternity
	index []uint16 // index[n] is the era at the start of the n-th stretch of 1<<stretch seconds from tableStart on
	shift int64    // how much the offsets differ at most, in seconds
	// ruled is the instant from which on all clocks change by a rule that depends on the kind of the year only.
	ruled int64
}

// An era is a stretch of instants in which a zone keeps one offset, up to the start of the next era,
// which has another offset.
type era struct {
	start  int64 // Unix seconds
	offset int64 // seconds east of UTC
}

const (
	// eternity bounds an era that has no end or no beginning, and is beyond every schedule.
	eternity = 1 << 60

	tableStart = -7 * daySeconds // 1970 begins earlier in zones east of UTC
	tableYear  = 2100 + cycleYears
	tableEnd   = 16725225600 // tableYear begins, in UTC
	stretch    = 23          // 97 days
)

// locations holds the zones of the IANA database that were used, by their names.
var locations sync.Map

// zoneOf returns the zone of a location. It is nil for UTC, also for a copy of it under the same name, such as time.Local is where TZ=UTC.
func zoneOf(loc *time.Location) *zone {
	if loc == nil || loc == time.UTC {
		return nil
	}
	name := loc.String()
	if z, ok := locations.Load(name); ok {
		if z, ok := z.(*zone); ok && sameLocation(z.loc, loc) {
			return z
		}
	}
	z := newZone(loc)
	switch {
	case len(z.eras) == 1 && name == "UTC" && z.eras[0].offset == 0:
		return nil
	case z.index == nil:
		return z
	}
	// Just what the database has is kept: programs can make any number of locations of their own.
	if known, err := time.LoadLocation(name); err == nil && sameLocation(known, loc) {
		locations.Store(name, z)
	}
	return z
}

// zoneNamed returns a zone of the IANA database.
func zoneNamed(name string) (*zone, error) {
	if z, ok := locations.Load(name); ok && name != "Local" { // which programs may set
		if z, ok := z.(*zone); ok {
			return z, nil
		}
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	return zoneOf(loc), nil
}

// sameLocation reports whether two locations were read from the same data.
func sameLocation(a, b *time.Location) bool { return a == b || reflect.DeepEqual(a, b) }

// same reports whether two zones have the same name and clocks.
func (z *zone) same(o *zone) bool {
	if z == o || z == nil || o == nil {
		return z == o
	}
	return z.loc.String() == o.loc.String() && slices.Equal(z.eras, o.eras)
}

func newZone(loc *time.Location) *zone {
	z := &zone{loc: loc}
	var low, high int64
	for u := int64(tableStart); u < tableEnd+366*daySeconds; { // when the last era ends is to be known, too
		offset, end := offsetAt(loc, u)
		if n := len(z.eras); n == 0 {
			z.eras = append(z.eras, era{-eternity, offset})
			low, high = offset, offset
		} else if z.eras[n-1].offset != offset {
			z.eras = append(z.eras, era{u, offset})
			low, high = min(low, offset), max(high, offset)
		}
		u = end
	}
	z.eras = slices.Clone(z.eras) // without room for more
	z.shift = high - low
	if len(z.eras) == 1 {
		return z
	}
	z.index = make([]uint16, (tableEnd-tableStart)>>stretch+1)
	n := 0
	for i := range z.index {
		for n+1 < len(z.eras) && z.eras[n+1].start <= tableStart+int64(i)<<stretch {
			n++
		}
		z.index[i] = uint16(n)
	}
	z.ruled = z.findRuled()
	return z
}

// offsetAt returns the offset at an instant, and until when it holds at least.
func offsetAt(loc *time.Location, u int64) (offset, end int64) {
	t := time.Unix(u, 0).In(loc)
	_, seconds := t.Zone()
	_, bound := t.ZoneBounds()
	if bound.IsZero() {
		return int64(seconds), eternity
	}
	end = bound.Unix()
	// Past a zone's table, ZoneBounds counts 365 days to a year, and so may end an era on the day before.
	for end <= u {
		end += daySeconds
	}
	return int64(seconds), end
}

// findRuled returns the start of the first year from which on the years of a kind have the same changes of clocks.
func (z *zone) findRuled() int64 {
	var kinds [yearTypes][]era
	var seen [yearTypes]bool
	n := len(z.eras)
	for z.eras[n-1].start >= tableEnd {
		n--
	}
	for year := uint32(tableYear - 1); year >= firstYear; year-- {
		start := int64(dayNumber(year, 1, 1)) * daySeconds
		last := n
		for n > 0 && z.eras[n-1].start >= start {
			n--
		}
		changes := slices.Clone(z.eras[n:last])
		for i := range changes {
			changes[i].start -= start
		}
		kind := yearType(year)
		if seen[kind] && !slices.Equal(kinds[kind], changes) {
			return int64(dayNumber(year+1, 1, 1)) * daySeconds
		}
		kinds[kind], seen[kind] = changes, true
	}
	return 0
}

// find returns the era of z at an instant, and when it ends.
func (z *zone) find(u int64) (e era, end int64) {
	if z.index == nil {
		return z.eras[0], eternity
	}
	if u >= tableEnd {
		cycles := (u-tableEnd)/cycleSeconds + 1
		e, end = z.find(u - cycles*cycleSeconds)
		if end == eternity {
			return e, end
		}
		return era{e.start + cycles*cycleSeconds, e.offset}, end + cycles*cycleSeconds
	}
	n := int(z.index[max(u-tableStart, 0)>>stretch])
	for n+1 < len(z.eras) && z.eras[n+1].start <= u {
		n++
	}
	if n+1 < len(z.eras) {
		return z.eras[n], z.eras[n+1].start
	}
	return z.eras[n], eternity
}
