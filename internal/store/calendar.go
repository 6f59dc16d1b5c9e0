package store

import (
	"fmt"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// Calendar is a calendar as it was changed last.
type Calendar struct {
	schedule.Calendar
	// By and Why are those of the Change, and UpdatedAt is its time.
	By, Why   string
	UpdatedAt time.Time
}

// CalendarInUseError says that a calendar cannot go, since an active schedule excludes its days.
type CalendarInUseError struct {
	Calendar string
	// By is such a schedule; there may be others.
	By ident.Key
}

// Error names the schedule.
func (e *CalendarInUseError) Error() string {
	return fmt.Sprintf("calendar %s is excluded by the schedule of %s", e.Calendar, e.By)
}
