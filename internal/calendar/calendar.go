// Package calendar reads named calendars, such as the holidays of an exchange, from files: lists of dates in YAML, and iCalendar.
package calendar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tminus.dev/cron"
)

// Dates are those of the years that expressions can have. A calendar holds maxDates at the most.
const (
	firstYear = 1970
	lastYear  = 2199
	maxDates  = (lastYear - firstYear + 1) * 366
)

// maxFile bounds a file, in bytes.
const maxFile = 16 << 20

// IsFile reports whether a name is that of a file which [Read] reads, by its ending: .yaml, .yml or .ics. What comes after # does not
// count.
func IsFile(name string) bool {
	path, _, _ := strings.Cut(name, "#")
	return parserOf(path) != nil
}

// Find reads one calendar: that of a file, or, named after a #, one of several in it, as in calendars.yaml#nyse.
func Find(name string) (cron.Calendar, error) {
	path, wanted, _ := strings.Cut(name, "#")
	calendars, err := Read(path)
	if err != nil {
		return cron.Calendar{}, err
	}
	var names []string
	for _, c := range calendars {
		if c.Name() == wanted || wanted == "" && len(calendars) == 1 {
			return c, nil
		}
		names = append(names, c.Name())
	}
	if wanted == "" {
		return cron.Calendar{}, fmt.Errorf("%s has %d calendars; say which, as in %s#%s", path, len(calendars), path, names[0])
	}
	return cron.Calendar{}, fmt.Errorf("%s has no calendar %q, but %s", path, wanted, strings.Join(names, ", "))
}

// Read reads the calendars of a file.
//
// An iCalendar file (.ics) is one calendar, named after the file: the dates on which there is an event, in the event's own time zone. A day on
// which an event ends at midnight is not one of them. Events that recur do so until the end of the year 2199, cancelled ones do not count.
//
// A YAML file (.yaml, .yml) is a list of dates, which is one calendar named after the file, or a mapping of names to such lists.
// A date is written 2026-01-31, a range of dates, both ends included, 2026-12-24/2026-12-31.
//
// Errors begin with the path, and name the line or the event. A calendar without dates is an error.
func Read(path string) ([]cron.Calendar, error) {
	parse := parserOf(path)
	if parse == nil {
		return nil, fmt.Errorf("%s: a calendar is a file that ends in .yaml, .yml or .ics", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: has %d bytes, more than the %d that a calendar may have", path, info.Size(), maxFile)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the user says which
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	calendars, err := parse(strings.TrimSuffix(base, filepath.Ext(base)), data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return calendars, nil
}

// A parser reads the calendars in a file, whose name without its ending is given.
type parser func(name string, data []byte) ([]cron.Calendar, error)

func parserOf(path string) parser {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ics":
		return parseICS
	case ".yaml", ".yml":
		return parseYAML
	}
	return nil
}

// dates collects the dates of a calendar.
type dates []time.Time

var errTooMany = errors.New("has more dates than there are from 1970 to 2199")

// add adds the dates from one to another, both included.
func (d *dates) add(from, to time.Time) error {
	for ; !from.After(to); from = from.AddDate(0, 0, 1) {
		if len(*d) == maxDates {
			// Dates may have come twice.
			slices.SortFunc(*d, time.Time.Compare)
			*d = slices.CompactFunc(*d, time.Time.Equal)
			if len(*d) == maxDates {
				return errTooMany
			}
		}
		*d = append(*d, from)
	}
	return nil
}

// parseDate reads a date as layout has it.
func parseDate(layout, text string) (time.Time, error) {
	date, err := time.Parse(layout, text)
	if err != nil {
		return date, fmt.Errorf("%q: use a date such as %s", text, time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC).Format(layout))
	}
	if year := date.Year(); year < firstYear || year > lastYear {
		return date, fmt.Errorf("%q: use a year from %d to %d", text, firstYear, lastYear)
	}
	return date, nil
}
