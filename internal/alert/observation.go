package alert

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf8"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// Event is what happened to a schedule.
type Event int

// The events. What each begins and ends is the table of docs/alerts.md.
const (
	// Launched says that the launch of a slot was accepted, Lateness after the
	// slot. It ends missed and dead alerts of earlier slots, and, unless it was
	// later than the limit, late ones. Launches that are late by design (a
	// backfill, a slot caught up) are not to be observed.
	Launched Event = iota + 1
	// Waiting says that a slot is not launched yet, Lateness after it came due.
	// Observing it again and again is cheap.
	Waiting
	// Missed says that Count slots, Slot the last of them, were missed.
	Missed
	// Died says that the launch of a slot was given up.
	Died
	// Failing says that Count executions failed in a row, the last that of Slot.
	Failing
	// Succeeded says that the execution of a slot succeeded. It ends failing alerts of earlier slots.
	Succeeded
	// Stopped says that the schedule is not to fire any more: deactivated,
	// paused by somebody or removed. It ends every alert; Slot is not looked at.
	// A pause by failures is Failing instead.
	Stopped
)

// Observation is one event. The zero Event is ignored.
type Observation struct {
	// Schedule names the launch plan.
	Schedule ident.Key
	Event    Event
	Slot     time.Time
	// Lateness is how long after Slot a launch was accepted, or how long it has been waiting.
	Lateness time.Duration
	// Limit is how late the schedule's slots may be; 0 means Config.LateAfter.
	Limit time.Duration
	// Count is how many slots were missed, or how many executions failed in a row; 0 means one.
	Count int
	// Reason is one line for people: the last error, why slots were missed. It
	// must hold no secrets. Only its first 500 bytes or so are kept.
	Reason string
	// At is when it happened, by the clock by which slots are due; zero means now.
	At time.Time
}

// kinds lists every kind, the gravest first.
var kinds = []store.AlertKind{store.AlertDead, store.AlertFailing, store.AlertMissed, store.AlertLate}

// verdict is what an observation says of alerts of one kind: trouble, or the
// end of trouble with slots before its own.
type verdict struct {
	kind    store.AlertKind
	trouble bool
	Observation
}

// judge says what an observation means. limit is that of schedules without one of their own; 0 means none.
func judge(o Observation, limit time.Duration) []verdict {
	o.Limit = cmp.Or(o.Limit, limit)
	o.Count = max(o.Count, 1)
	o.Reason = oneLine(o.Reason)
	late := o.Limit > 0 && o.Lateness > o.Limit
	switch o.Event {
	case Launched:
		return []verdict{
			{store.AlertLate, late, o}, {store.AlertMissed, false, o}, {store.AlertDead, false, o},
		}
	case Waiting:
		if late {
			return []verdict{{store.AlertLate, true, o}}
		}
	case Missed:
		return []verdict{{store.AlertMissed, true, o}}
	case Died:
		return []verdict{{store.AlertDead, true, o}}
	case Failing:
		return []verdict{{store.AlertFailing, true, o}}
	case Succeeded:
		return []verdict{{store.AlertFailing, false, o}}
	case Stopped:
		o.Slot = time.Time{}
		all := make([]verdict, len(kinds))
		for i, k := range kinds {
			all[i] = verdict{k, false, o}
		}
		return all
	}
	return nil
}

// id is the alert that v is about.
func (v verdict) id() store.AlertID { return store.AlertID{Schedule: v.Schedule, Kind: v.kind} }

// ends says that v, which is not trouble, ends trouble with a slot.
func (v verdict) ends(slot time.Time) bool { return v.Slot.IsZero() || v.Slot.After(slot) }

// change is what several verdicts in a row mean for one alert: at most one
// trouble, and then at most one end.
type change struct {
	trouble, end *verdict
}

// then is c followed by v.
func (c change) then(v verdict) change {
	switch {
	case !v.trouble:
		if c.end == nil || v.ends(c.end.Slot) {
			c.end = &v
		}
		return c
	case c.trouble != nil && v.Slot.Before(c.trouble.Slot):
		return c
	case c.trouble != nil:
		first := c.trouble
		if v.kind == store.AlertMissed {
			v.Count = addMissed(first.Count, first.Slot, v)
		}
		v.At = first.At // When it began.
		if v.Slot.Equal(first.Slot) {
			v.Lateness = max(v.Lateness, first.Lateness)
		}
	}
	c.trouble = &v
	if c.end != nil && c.end.Slot.IsZero() {
		c.end = nil // Trouble after a stop: the schedule runs again.
	}
	return c
}

// join is c followed by d.
func (c change) join(d change) change {
	if d.trouble != nil {
		c = c.then(*d.trouble)
	}
	if d.end != nil {
		c = c.then(*d.end)
	}
	return c
}

// addMissed is how many slots were missed when v comes on top of before, whose last is slot.
func addMissed(before int, slot time.Time, v verdict) int {
	if v.Slot.After(slot) {
		return before + v.Count
	}
	return max(before, v.Count) // The same again.
}

// amend applies c to an alert, which is the zero Alert where there is none. It
// reports whether there is something to store.
func amend(a store.Alert, id store.AlertID, c change, now time.Time) (store.Alert, bool) {
	changed := false
	if c.trouble != nil {
		a, changed = begin(a, id, *c.trouble, now)
	}
	e := c.end
	switch {
	case e == nil, a.Since.IsZero(), a.Ended(), !e.ends(a.Slot):
		return a, changed
	case e.Event == Stopped && e.At.Before(a.Since):
		return a, changed // Trouble after a stop is not over by it.
	}
	a.EndedAt, a.EndSlot, a.EndReason, a.ChangedAt = e.At, e.Slot, e.Reason, now
	return a, true
}

func begin(a store.Alert, id store.AlertID, v verdict, now time.Time) (store.Alert, bool) {
	switch {
	case a.Since.IsZero():
		a = store.Alert{AlertID: id, Count: 0, Since: v.At, ChangedAt: now}
	case v.Slot.Before(a.Slot), a.Ended() && !v.Slot.After(a.EndSlot):
		return a, false // An old story.
	case v.Slot.Equal(a.Slot) && !a.Ended() && (v.Event == Waiting || v.Lateness <= a.Lateness && v.kind == store.AlertLate):
		return a, false // It still waits; what there is to tell was told.
	}
	// Trouble that comes back before anybody was told of its end has not ended.
	a.EndedAt, a.EndSlot, a.EndReason = time.Time{}, time.Time{}, ""
	switch v.kind {
	case store.AlertMissed:
		v.Count = addMissed(a.Count, a.Slot, v)
	case store.AlertLate:
		a.Lateness, a.Limit = v.Lateness, v.Limit
		v.Count = 0
	case store.AlertDead:
		v.Count = 0
	default: // Failing counts by itself.
	}
	a.Slot, a.Count, a.Reason = v.Slot, v.Count, v.Reason
	return a, true
}

// maxReason bounds a reason, in bytes.
const maxReason = 500

// oneLine makes a reason short, valid and free of control characters.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s[:min(len(s), 4*maxReason)], "�")), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return cut(s, maxReason)
}

// cut shortens s to n bytes at a character, and shows that it did.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
