package cron

import "time"

// An era is a stretch of instants [start, end), in Unix seconds, in which a zone keeps one offset.
// Neighbouring eras may have the same offset.
type era struct {
	start, end int64
	offset     int64 // seconds east of UTC
}

const (
	// eternity bounds an era that has no end or no beginning, and is beyond every schedule.
	eternity = 1 << 60
	// reach is more than two clocks of one zone can differ: the format of zone files (RFC 8536) bounds offsets by -25 h
	// and +26 h. A wall-clock time that repeats, does so within reach, and lies within reach of its instant.
	reach = 72 * 60 * 60
)

// eraAt returns the era of loc that contains instant u.
func eraAt(loc *time.Location, u int64) era {
	t := time.Unix(u, 0).In(loc)
	_, offset := t.Zone()
	e := era{start: -eternity, end: eternity, offset: int64(offset)}
	start, end := t.ZoneBounds()
	if !end.IsZero() {
		e.end = end.Unix()
		// Past a zone's table, ZoneBounds counts 365 days to a year, and so may end an era on the day before.
		for e.end <= u {
			e.end += daySeconds
		}
	}
	// There it may also let an era start too early, over the last transitions of the table.
	for !start.IsZero() {
		e.start = start.Unix()
		_, other := start.ZoneBounds()
		if other.IsZero() || other.Unix() <= e.start || other.Unix() > u {
			break
		}
		start = other
	}
	return e
}

// before returns the era that ends where e starts.
func (e era) before(loc *time.Location) era {
	p := eraAt(loc, e.start-1)
	p.end = e.start
	return p
}

// after returns the era that starts where e ends.
func (e era) after(loc *time.Location) era {
	n := eraAt(loc, e.end)
	n.start = e.end
	return n
}

// shows reports whether clocks show local time l at some instant of e.
func (e era) shows(l int64) bool {
	return e.start+e.offset <= l && l < e.end+e.offset
}

// sameZone reports whether two locations are the same zone. A location that was loaded twice has two pointers and
// one name; fixed zones may share a name.
func sameZone(a, b *time.Location) bool {
	if a == b {
		return true
	}
	epoch := time.Unix(0, 0)
	_, x := epoch.In(a).Zone()
	_, y := epoch.In(b).Zone()
	return x == y && a.String() == b.String()
}
