package schedule

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tminus.dev/internal/invalid"
)

// MaxPauseOnFailure bounds pause-on-failure: so many executions are read after each failure.
const MaxPauseOnFailure = 1000

// LeastLateAfter bounds late-after from below: what launches sooner is late for nobody.
const LeastLateAfter = time.Second

// AnnotationPrefix begins every annotation that tminus reads on a launch plan.
const AnnotationPrefix = "tminus.dev/"

// Policy says how a schedule's slots become launches. The zero value is the
// default: UTC, no bounds, no jitter, the latest missed slot of the last day
// caught up, overlap allowed.
type Policy struct {
	// Timezone is an IANA name; empty means UTC, or the zone of the expression's own CRON_TZ=.
	Timezone string `json:"timezone,omitempty"`
	// DSTGap is skip or next, DSTRepeat first, second or both; empty means the expression's dialect decides.
	DSTGap    string `json:"dst_gap,omitempty"`
	DSTRepeat string `json:"dst_repeat,omitempty"`
	// StartAt and EndAt bound the slots, both inclusive; zero means unbounded.
	StartAt time.Time `json:"start_at,omitzero"`
	EndAt   time.Time `json:"end_at,omitzero"`
	// Jitter is the most by which a launch is put off; it stays below the gap to the next slot.
	Jitter time.Duration `json:"jitter,omitempty"`
	// CatchUp says how many missed slots launch late.
	CatchUp CatchUp `json:"catch_up,omitempty"`
	// CatchUpWindow is how old a missed slot may be; zero means DefaultCatchUpWindow.
	CatchUpWindow time.Duration `json:"catch_up_window,omitempty"`
	// CatchUpOrder says which of them launches first; empty means OldestFirst.
	CatchUpOrder Order `json:"catch_up_order,omitempty"`
	// Overlap says what to do while an earlier execution runs; empty means OverlapAllow.
	Overlap Overlap `json:"overlap,omitempty"`
	// Buffer is how many slots OverlapBufferAll lets wait, not counting those
	// behind live ones; zero means DefaultBuffer.
	Buffer int `json:"buffer,omitempty"`
	// MaxRunning is Flyte's concurrency_policy.max: a slot is skipped while as many executions run. Zero means no limit.
	MaxRunning uint32 `json:"max_running,omitempty"`
	// LaunchDeadline is how long a launch is retried; zero means DefaultLaunchDeadline.
	LaunchDeadline time.Duration `json:"launch_deadline,omitempty"`
	// LateAfter is the lateness above which an alert is raised; zero means what the installation has as its default.
	LateAfter time.Duration `json:"late_after,omitempty"`
	// PauseOnFailure is how many failed executions in a row pause the schedule; zero means it is never paused.
	PauseOnFailure int `json:"pause_on_failure,omitempty"`
	// MaxRuns is how many slots fire after an activation; zero means no limit.
	MaxRuns int `json:"max_runs,omitempty"`
	// Exclude holds cron expressions and the names of calendars; a slot that
	// matches one, or that is on a day of one in the schedule's zone, is none.
	Exclude []string `json:"exclude,omitempty"`
	// Calendars are those that Exclude names, with the days they had when the
	// schedule was activated or, later, when one of them was changed: so that
	// which slots there are is a function of the Policy.
	Calendars []Calendar `json:"calendars,omitempty"`
	// Priority orders launches that are due together; higher goes first.
	Priority int `json:"priority,omitempty"`
}

// The defaults of a Policy.
const (
	DefaultCatchUpWindow  = 24 * time.Hour
	DefaultLaunchDeadline = 24 * time.Hour
	DefaultBuffer         = 100
)

// CatchUp says how many of the slots missed while nothing could fire launch
// late; a positive number is the latest so many.
type CatchUp int

// The named catch-up policies.
const (
	CatchUpLatest CatchUp = 0 // the latest alone
	CatchUpNone   CatchUp = -1
	CatchUpAll    CatchUp = -2
)

// limit is how many missed slots launch.
func (c CatchUp) limit() int {
	switch c {
	case CatchUpNone:
		return 0
	case CatchUpLatest:
		return 1
	case CatchUpAll:
		return math.MaxInt
	default:
		return int(c)
	}
}

// String spells c as the annotation does.
func (c CatchUp) String() string {
	switch c {
	case CatchUpNone:
		return "none"
	case CatchUpLatest:
		return "latest"
	case CatchUpAll:
		return "all"
	default:
		return strconv.Itoa(int(c))
	}
}

// Order is the order in which missed slots launch. Those that their overlap
// policy lets wait go by slot whatever it is.
type Order string

// The orders.
const (
	OldestFirst Order = "oldest"
	NewestFirst Order = "newest"
)

// Overlap says what becomes of a slot while an earlier execution of its launch plan runs.
type Overlap string

// The overlap policies. A slot that is launched behind live ones ends nothing:
// where others are replaced, it waits. Cancel and terminate differ on back ends that can ask
// a workflow to end; where they can only end it, they are the same.
const (
	OverlapAllow          Overlap = "allow"
	OverlapSkip           Overlap = "skip"
	OverlapBufferOne      Overlap = "buffer-one"
	OverlapBufferAll      Overlap = "buffer-all"
	OverlapCancelOther    Overlap = "cancel-other"
	OverlapTerminateOther Overlap = "terminate-other"
)

// annotationError says which annotation cannot be used, and why.
func annotationError(key, format string, args ...any) error {
	return invalid.Field("annotation "+key, format, args...)
}

// setting is one annotation: how its value becomes part of a Policy.
type setting struct {
	name string
	set  func(*Policy, string) error
}

// settings lists every annotation that tminus knows.
var settings = []setting{
	{"timezone", func(p *Policy, v string) (err error) { p.Timezone, err = zone(v); return err }},
	{"dst-gap", func(p *Policy, v string) (err error) { p.DSTGap, err = oneOf(v, "skip", "next"); return err }},
	{"dst-repeat", func(p *Policy, v string) (err error) {
		p.DSTRepeat, err = oneOf(v, "first", "second", "both")
		return err
	}},
	{"start-at", func(p *Policy, v string) (err error) { p.StartAt, err = instant(v); return err }},
	{"end-at", func(p *Policy, v string) (err error) { p.EndAt, err = instant(v); return err }},
	{"jitter", func(p *Policy, v string) (err error) { p.Jitter, err = duration(v, 0); return err }},
	{"catch-up", func(p *Policy, v string) (err error) { p.CatchUp, err = catchUp(v); return err }},
	{"catch-up-window", func(p *Policy, v string) (err error) { p.CatchUpWindow, err = duration(v, time.Second); return err }},
	{"catch-up-order", func(p *Policy, v string) (err error) {
		p.CatchUpOrder, err = oneOf(Order(v), OldestFirst, NewestFirst)
		return err
	}},
	{"overlap", func(p *Policy, v string) (err error) {
		p.Overlap, err = oneOf(Overlap(v), OverlapAllow, OverlapSkip, OverlapBufferOne, OverlapBufferAll,
			OverlapCancelOther, OverlapTerminateOther)
		return err
	}},
	{"buffer", func(p *Policy, v string) (err error) { p.Buffer, err = number(v, 1); return err }},
	{"launch-deadline", func(p *Policy, v string) (err error) { p.LaunchDeadline, err = duration(v, time.Second); return err }},
	{"late-after", func(p *Policy, v string) (err error) { p.LateAfter, err = duration(v, LeastLateAfter); return err }},
	{"pause-on-failure", func(p *Policy, v string) (err error) {
		if p.PauseOnFailure, err = number(v, 1); p.PauseOnFailure > MaxPauseOnFailure {
			err = fmt.Errorf("%q: %d is the most", v, MaxPauseOnFailure)
		}
		return err
	}},
	{"max-runs", func(p *Policy, v string) (err error) { p.MaxRuns, err = number(v, 1); return err }},
	{"exclude", func(p *Policy, v string) error { p.Exclude = append(p.Exclude, v); return nil }},
	{"priority", func(p *Policy, v string) (err error) { p.Priority, err = number(v, math.MinInt32); return err }},
}

// ParsePolicy reads the annotations of a launch plan that begin with
// AnnotationPrefix and leaves the others alone. Its error is an *invalid.Error.
func ParsePolicy(annotations map[string]string) (Policy, error) {
	var p Policy
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ours := strings.CutPrefix(key, AnnotationPrefix)
		if !ours {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == settingName(name) })
		if i < 0 {
			return Policy{}, annotationError(key, "unknown; the nearest known one is %s%s", AnnotationPrefix, invalid.Nearest(name, settingNames()))
		}
		if err := settings[i].set(&p, annotations[key]); err != nil {
			return Policy{}, annotationError(key, "%v", err)
		}
	}
	if !p.EndAt.IsZero() && p.EndAt.Before(p.StartAt) {
		return Policy{}, annotationError(AnnotationPrefix+"end-at", "lies before %sstart-at", AnnotationPrefix)
	}
	return p, nil
}

// settingName drops the number that makes exclude repeatable (exclude-1, exclude-2…).
func settingName(name string) string {
	if suffix, ok := strings.CutPrefix(name, "exclude-"); ok {
		if _, err := strconv.ParseUint(suffix, 10, 16); err == nil {
			return "exclude"
		}
	}
	return name
}

func zone(v string) (string, error) {
	if v == "" || v == "Local" {
		return "", fmt.Errorf("%q: use an IANA time zone name such as Europe/Berlin, or UTC", v)
	}
	if _, err := time.LoadLocation(v); err != nil {
		return "", fmt.Errorf("%q is no known IANA time zone; use a name such as Europe/Berlin, or UTC", v)
	}
	return v, nil
}

func oneOf[T ~string](v T, allowed ...T) (T, error) { //nolint:ireturn // T is a string.
	if slices.Contains(allowed, v) {
		return v, nil
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return "", fmt.Errorf("%q: use one of %s", string(v), strings.Join(names, ", "))
}

// latestInstant keeps bounds where every clock and database can represent them.
var latestInstant = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

func instant(v string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || t.Year() < 1970 || t.After(latestInstant) {
		return time.Time{}, fmt.Errorf("%q: use an RFC 3339 time such as 2026-01-31T09:00:00Z", v)
	}
	return t.UTC(), nil
}

func duration(v string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, fmt.Errorf("%q: use a duration such as 90s, 30m or 24h", v)
	}
	if d < least {
		return 0, fmt.Errorf("%q: %s is the least", v, least)
	}
	return d, nil
}

func number(v string, least int) (int, error) {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || int(n) < least {
		return 0, fmt.Errorf("%q: use a whole number of at least %d", v, least)
	}
	return int(n), nil
}

func catchUp(v string) (CatchUp, error) {
	switch v {
	case "none":
		return CatchUpNone, nil
	case "latest":
		return CatchUpLatest, nil
	case "all":
		return CatchUpAll, nil
	}
	n, err := number(v, 0)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q: use none, latest, all or how many of the latest slots to launch", v)
	case n == 0:
		return CatchUpNone, nil
	case n == 1:
		return CatchUpLatest, nil
	}
	return CatchUp(n), nil
}

func settingNames() []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}
