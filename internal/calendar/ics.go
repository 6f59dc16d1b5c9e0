package calendar

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"
	"github.com/teambition/rrule-go"

	"tminus.dev/cron"
)

// A day, in a calendar, has no zone and no changes of clocks.
const day = 24 * time.Hour

// end is the first instant that no recurrence is followed to.
var end = time.Date(lastYear+1, time.January, 1, 0, 0, 0, 0, time.UTC)

func parseICS(name string, data []byte) ([]cron.Calendar, error) {
	if !bytes.HasSuffix(bytes.ToUpper(bytes.TrimSpace(data)), []byte("END:VCALENDAR")) {
		return nil, errors.New("does not end with END:VCALENDAR: it is no iCalendar file, or a part of one")
	}
	file, err := ics.ParseCalendar(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var all dates
	moved := make(map[string][]time.Time) // what events of a UID stand in the place of
	for _, e := range file.Events() {
		if e.HasProperty(ics.ComponentPropertyRecurrenceId) {
			at, err := read(e.GetProperty(ics.ComponentPropertyRecurrenceId))
			if err != nil {
				return nil, eventErr(e, err)
			}
			moved[e.Id()] = append(moved[e.Id()], at.time)
		}
	}
	for _, e := range file.Events() {
		if p := e.GetProperty(ics.ComponentPropertyStatus); p != nil && p.Value == string(ics.ObjectStatusCancelled) {
			continue
		}
		if err := all.addEvent(e, moved[e.Id()]); err != nil {
			return nil, eventErr(e, err)
		}
	}
	if all == nil {
		return nil, errors.New("has no events")
	}
	return []cron.Calendar{cron.NewCalendar(name, all...)}, nil
}

// eventErr says which event it is that cannot be read.
func eventErr(e *ics.VEvent, err error) error {
	name := e.Id()
	if p := e.GetProperty(ics.ComponentPropertySummary); p != nil {
		name = p.Value
	}
	return fmt.Errorf("event %q: %w", name, err)
}

// addEvent adds the dates of an event, without those of its recurrences that others replace.
func (d *dates) addEvent(e *ics.VEvent, replaced []time.Time) error {
	start, err := read(e.GetProperty(ics.ComponentPropertyDtStart))
	if err != nil {
		return err
	}
	length, err := lengthOf(e, start)
	if err != nil {
		return err
	}
	times, err := occurrences(e, start, replaced)
	if err != nil {
		return err
	}
	for _, t := range times {
		from := dateOf(t)
		to := from
		if length > 0 { // what ends at midnight does not touch the day that begins
			to = dateOf(t.Add(length - 1))
		}
		if err := d.add(from, to); err != nil {
			return err
		}
	}
	return nil
}

// occurrences returns when an event begins, each time it does.
func occurrences(e *ics.VEvent, start moment, replaced []time.Time) ([]time.Time, error) {
	if e.HasProperty(ics.ComponentPropertyRecurrenceId) {
		return []time.Time{start.time}, nil
	}
	var set rrule.Set
	switch rules := e.GetProperties(ics.ComponentPropertyRrule); {
	case e.HasProperty(ics.ComponentPropertyExrule):
		return nil, errors.New("has an EXRULE, which nothing writes any more; use EXDATE")
	case len(rules) > 1:
		return nil, errors.New("has more than one RRULE")
	case len(rules) == 1:
		rule, err := recurrence(rules[0].Value, start)
		if err != nil {
			return nil, fmt.Errorf("RRULE %q: %w", rules[0].Value, err)
		}
		set.RRule(rule)
	default:
		set.RDate(start.time)
	}
	for _, p := range e.GetProperties(ics.ComponentPropertyRdate) {
		if err := each(p, set.RDate); err != nil {
			return nil, err
		}
	}
	for _, p := range e.GetProperties(ics.ComponentPropertyExdate) {
		if err := each(p, set.ExDate); err != nil {
			return nil, err
		}
	}
	for _, t := range replaced {
		set.ExDate(t)
	}
	var times []time.Time
	next := set.Iterator()
	for t, ok := next(); ok && t.Before(end); t, ok = next() {
		if len(times) == maxDates {
			return nil, errTooMany
		}
		times = append(times, t)
	}
	return times, nil
}

func recurrence(text string, start moment) (*rrule.RRule, error) {
	option, err := rrule.StrToROptionInLocation(text, start.time.Location())
	if err != nil {
		return nil, err
	}
	if option.Freq > rrule.DAILY || option.Byhour != nil || option.Byminute != nil || option.Bysecond != nil {
		return nil, errors.New("recurs by the time of day, and a calendar has whole days")
	}
	option.Dtstart = start.time
	return rrule.NewRRule(*option)
}

// lengthOf returns how long an event lasts.
func lengthOf(e *ics.VEvent, start moment) (time.Duration, error) {
	length := time.Duration(0)
	switch p := e.GetProperty(ics.ComponentPropertyDtEnd); {
	case p != nil:
		end, err := read(p)
		if err != nil {
			return 0, err
		}
		length = end.time.Sub(start.time)
	case e.HasProperty(ics.ComponentPropertyDuration):
		text := e.GetProperty(ics.ComponentPropertyDuration).Value
		var ok bool
		if length, ok = duration(text); !ok {
			return 0, fmt.Errorf("DURATION %q: use one such as P1D or PT8H", text)
		}
	}
	if length < 0 {
		return 0, errors.New("ends before it begins")
	}
	if start.allDay {
		length = max(length, day)
	}
	return length, nil
}

// A moment is a date, as its midnight in UTC, or a time in its zone.
type moment struct {
	time   time.Time
	allDay bool
}

// read reads the value of a property that is one date or time.
func read(p *ics.IANAProperty) (moment, error) {
	if p == nil {
		return moment{}, errors.New("has no DTSTART")
	}
	return readValue(p, p.Value)
}

func readValue(p *ics.IANAProperty, text string) (moment, error) {
	if len(text) == len("20260131") {
		date, err := parseDate("20060102", text)
		if err != nil {
			return moment{}, fmt.Errorf("%s %w", p.IANAToken, err)
		}
		return moment{date, true}, nil
	}
	zone := time.UTC // also for times that are meant to be local wherever one is
	if names := p.ICalParameters["TZID"]; len(names) == 1 && !strings.HasSuffix(text, "Z") {
		name := strings.TrimPrefix(names[0], "/")
		var err error
		if zone, err = time.LoadLocation(name); err != nil {
			if zone = ics.WindowsTimezoneToIANA(name); zone == nil {
				return moment{}, fmt.Errorf("%s: the time zone %q is not in the IANA database", p.IANAToken, names[0])
			}
		}
	}
	t, err := time.ParseInLocation("20060102T150405", strings.TrimSuffix(text, "Z"), zone)
	if err != nil || t.Year() < firstYear || t.Year() > lastYear {
		return moment{}, fmt.Errorf("%s %q: use a date or a time such as 20260131T090000, in a year from %d to %d", p.IANAToken, text, firstYear, lastYear)
	}
	return moment{t, false}, nil
}

// each calls add with all dates and times of a property; of a period, with its start.
func each(p *ics.IANAProperty, add func(time.Time)) error {
	for text := range strings.SplitSeq(p.Value, ",") {
		text, _, _ = strings.Cut(text, "/")
		at, err := readValue(p, text)
		if err != nil {
			return err
		}
		add(at.time)
	}
	return nil
}

// dateOf returns the date that t shows, as its midnight in UTC.
func dateOf(t time.Time) time.Time {
	year, month, date := t.Date()
	return time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
}

var durationForm = regexp.MustCompile(`^\+?P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?$`)

// duration reads a duration as RFC 5545 has it, such as P1DT12H.
func duration(text string) (length time.Duration, ok bool) {
	parts := durationForm.FindStringSubmatch(text)
	if parts == nil || !slices.ContainsFunc(parts[1:], func(part string) bool { return part != "" }) {
		return 0, false
	}
	for i, unit := range []time.Duration{7 * day, day, time.Hour, time.Minute, time.Second} {
		if part := parts[i+1]; part != "" {
			n, err := strconv.Atoi(part)
			if err != nil {
				return 0, false
			}
			length += time.Duration(n) * unit
		}
	}
	return length, true
}
