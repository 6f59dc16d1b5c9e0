// Package schedule decides, from values alone, what a schedule does: which
// slots it has, which of them are due, what becomes of the missed ones, and
// what a launch is called. It has no clock and does no I/O.
package schedule

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"sort"
	"strings"
	"sync"
	"time"

	"tminus.dev/cron"
	"tminus.dev/internal/ident"
)

// Spec is what a launch plan says of its schedule.
type Spec struct {
	// Expression is a cron or rate expression as cron.Parse reads it.
	Expression string
	// KickoffInput names the workflow input that takes the slot; empty means none does.
	KickoffInput string
	Policy       Policy
}

// Timetable is a Spec made ready to answer which slots there are.
type Timetable struct {
	slots      cron.Schedule
	all        cron.Schedule // with those that are excluded
	start, end time.Time
}

// Compile parses s. Rates count from anchor, which cron expressions ignore.
// Errors are a *cron.SyntaxError for the expression or an *invalid.Error for an annotation.
func (s Spec) Compile(anchor time.Time) (Timetable, error) {
	slots, err := cron.Parse(s.Expression)
	if err != nil {
		return Timetable{}, err
	}
	p := s.Policy
	if p.Timezone != "" {
		zone, err := location(p.Timezone)
		if err != nil {
			return Timetable{}, annotationError(AnnotationPrefix+"timezone", "%v", err)
		}
		slots = slots.In(zone)
	}
	slots = slots.WithGap(Gaps[p.DSTGap]).WithRepeat(Repeats[p.DSTRepeat]).WithAnchor(anchor)
	var exclude []cron.Schedule
	var calendars []cron.Calendar
	for _, x := range p.Exclude {
		if IsCalendar(x) {
			c, err := p.calendar(x)
			if err != nil {
				return Timetable{}, annotationError(AnnotationPrefix+"exclude", "%v", err)
			}
			calendars = append(calendars, c)
			continue
		}
		excluded, err := cron.Parse(x)
		if err != nil {
			return Timetable{}, annotationError(AnnotationPrefix+"exclude", "%v", err)
		}
		if HasZone(x) {
			return Timetable{}, annotationError(AnnotationPrefix+"exclude", "%q: leave out the zone; an exclusion is read in the schedule's own", x)
		}
		if excluded.Period() != 0 {
			return Timetable{}, annotationError(AnnotationPrefix+"exclude", "%q: use a cron expression, not a rate", x)
		}
		exclude = append(exclude, excluded.In(slots.Location()).WithRepeat(cron.RepeatBoth))
	}
	t := Timetable{all: slots, start: p.StartAt, end: p.EndAt}
	t.slots = slots.Except(exclude...).ExceptOn(calendars...)
	return t, nil
}

// locations holds the time zones that were used, by their names: reading one takes longer than all else that planning does.
var locations sync.Map

func location(name string) (*time.Location, error) {
	if l, ok := locations.Load(name); ok {
		if l, ok := l.(*time.Location); ok {
			return l, nil
		}
	}
	l, err := time.LoadLocation(name)
	if err == nil {
		locations.Store(name, l)
	}
	return l, err
}

// HasZone reports whether a unix expression begins with a time zone of its own.
func HasZone(expression string) bool {
	text := strings.TrimSpace(expression)
	return strings.HasPrefix(text, "CRON_TZ=") || strings.HasPrefix(text, "TZ=")
}

// The rules for changes of clocks by their names, as annotations and command lines have them. A name that is not there
// stands for the default of the expression's dialect.
var (
	Gaps    = map[string]cron.Gap{"skip": cron.GapSkip, "next": cron.GapNext}
	Repeats = map[string]cron.Repeat{"first": cron.RepeatFirst, "second": cron.RepeatSecond, "both": cron.RepeatBoth}
)

// Next is the first slot after t, strictly; the zero time means there is none.
func (tt Timetable) Next(t time.Time) time.Time { return tt.next(tt.slots, t) }

// Prev is the last slot before t, strictly; the zero time means there is none.
func (tt Timetable) Prev(t time.Time) time.Time {
	if !tt.end.IsZero() && t.After(tt.end) {
		t = tt.end.Add(time.Nanosecond) // The end itself may be a slot.
	}
	t = tt.slots.Prev(t)
	if t.Before(tt.start) {
		return time.Time{}
	}
	return t
}

// Count is how many slots there are after from, strictly, up to and including
// to. It does not walk through them, except through what exclusions take.
func (tt Timetable) Count(from, to time.Time) int {
	if from.Before(tt.start) {
		from = tt.start.Add(-time.Nanosecond)
	}
	if !tt.end.IsZero() && to.After(tt.end) {
		to = tt.end
	}
	return tt.slots.Count(from, to)
}

// few is how many slots are walked through from the end to find one of them.
const few = 10

// nth is the n-th slot after from, counted from 1, where all is Count(from, to)
// and n not above it.
func (tt Timetable) nth(from, to time.Time, n, all int) time.Time {
	if all-n < few {
		slot := to.Add(time.Nanosecond)
		for range all - n + 1 {
			slot = tt.Prev(slot)
		}
		return slot
	}
	// Slots are at full seconds. The first by which n have come is the n-th.
	start := from.Unix()
	seconds := sort.Search(int(to.Unix()-start), func(i int) bool {
		return tt.Count(from, time.Unix(start+int64(i), 0)) >= n
	})
	return tt.Prev(time.Unix(start+int64(seconds), 1))
}

// Match reports whether t is a slot.
func (tt Timetable) Match(t time.Time) bool {
	return !t.Before(tt.start) && (tt.end.IsZero() || !t.After(tt.end)) && tt.slots.Match(t)
}

// IsRate says that the expression is one that counts from an instant.
func (s Spec) IsRate() bool {
	e, err := cron.Parse(s.Expression)
	return err == nil && e.Period() > 0
}

// MostOff is how far off its slot word of it may be.
const MostOff = time.Minute

// SlotOf is the slot that word of t is about, whether or not a policy takes it
// away; the zero time means that it is about none. A cron expression comes due at
// some second of its minute. A rate comes due at nearly the same distance from its
// slots each time.
func (tt Timetable) SlotOf(t time.Time) time.Time {
	if period := tt.all.Period(); period > 0 {
		slot := tt.all.Prev(t.Add(period/2 + time.Nanosecond))
		if off := t.Sub(slot).Abs(); slot.IsZero() || off > min(period/4, MostOff) {
			return time.Time{}
		}
		return slot
	}
	if minute := t.Truncate(time.Minute); tt.all.Match(minute) {
		return minute
	}
	if second := t.Truncate(time.Second); tt.all.Match(second) {
		return second
	}
	return time.Time{}
}

// Period is that of a rate; 0 means that it is none.
func (tt Timetable) Period() time.Duration { return tt.all.Period() }

// excludedFrom reports whether there are slots after t, but exclusions take each of them.
func (tt Timetable) excludedFrom(t time.Time) bool {
	return tt.Next(t).IsZero() && !tt.next(tt.all, t).IsZero()
}

func (tt Timetable) next(slots cron.Schedule, t time.Time) time.Time {
	if t.Before(tt.start) {
		t = tt.start.Add(-time.Nanosecond) // The start itself may be a slot.
	}
	t = slots.Next(t)
	if !tt.end.IsZero() && t.After(tt.end) {
		return time.Time{}
	}
	return t
}

// ExecutionName is the name of the execution that launches a version of a
// launch plan for a slot. It equals the name that Flyte's native scheduler
// gives, so the two can run side by side without a double: "f" and the first 19
// hexadecimal digits of a UUID made of an FNV-1 hash and zeros.
func ExecutionName(plan ident.ID, slot time.Time) string { return executionName(plan, slot, 0) }

// executionName is the name after so many others were used up.
func executionName(plan ident.ID, slot time.Time, used int) string {
	h := fnv.New64()
	fmt.Fprintf(h, "%s:%s:%s:%s:%d", plan.Project, plan.Domain, plan.Name, plan.Version, slot.Unix())
	if used > 0 {
		fmt.Fprintf(h, ":%d", used)
	}
	var uuid [16]byte
	binary.LittleEndian.PutUint64(uuid[:], h.Sum64())
	return "f" + hex.EncodeToString(uuid[:])[:19]
}
