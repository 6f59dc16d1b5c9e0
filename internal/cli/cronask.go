package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"tminus.dev/cron"
	"tminus.dev/internal/calendar"
	"tminus.dev/internal/schedule"
)

// A cronQuestion is what a cron command is asked, by its flags or by a line of a stream.
type cronQuestion struct {
	Expr      string   `json:"expr"`
	Dialect   string   `json:"dialect"`
	Timezone  string   `json:"timezone"`
	DSTGap    string   `json:"dstGap"`
	DSTRepeat string   `json:"dstRepeat"`
	Anchor    string   `json:"anchor"`
	Or        []string `json:"or"`
	Except    []string `json:"except"`
	Only      []string `json:"only"`
	From      string   `json:"from"`
	To        string   `json:"to"` // a time, or what to convert to
	N         int      `json:"n"`

	now      time.Time
	from     time.Time // From, once it is read
	anchored bool      // a rate counts from there, unless there is an Anchor
	reader   *cronReader
}

// A questionError says that something of a question beside its expression is wrong.
type questionError struct {
	key, flag   string // its name in JSON, and on the command line
	value, hint string
}

// Error is what is wrong in a line of a stream.
func (e *questionError) Error() string { return fmt.Sprintf("%s %q: %s", e.key, e.value, e.hint) }

func (e *questionError) onCommandLine() string {
	if e.flag == "number" {
		return "-n " + e.value + ": " + e.hint
	}
	return fmt.Sprintf("--%s %q: %s", e.flag, e.value, e.hint)
}

// A cronProblem is why there is no answer, for programs.
type cronProblem struct {
	Error string  `json:"error,omitempty"`
	Field string  `json:"field,omitempty"`
	Span  *[2]int `json:"span,omitempty"` // of bytes in the expression
	Line  int     `json:"line,omitempty"` // of the stream, where answers are not one a line
}

func problemOf(err error) cronProblem {
	p := cronProblem{Error: err.Error()}
	if syntax, ok := errors.AsType[*cron.SyntaxError](err); ok {
		p.Field, p.Span = syntax.Field, &[2]int{syntax.Start, syntax.End}
	} else if convert, ok := errors.AsType[*cron.ConvertError](err); ok {
		p.Field = convert.Field
	} else if wrong, ok := errors.AsType[*questionError](err); ok {
		p.Field = wrong.key
	}
	return p
}

// ask reads the question and has it answered.
func (q *cronQuestion) ask(answer func(*cronQuestion, cron.Schedule) (cronAnswer, error)) (cronAnswer, error) {
	s, err := q.schedule()
	if err != nil {
		return cronAnswer{}, err
	}
	return answer(q, s)
}

// schedule reads what is asked about.
func (q *cronQuestion) schedule() (cron.Schedule, error) {
	var none cron.Schedule
	if err := q.readFrom(); err != nil {
		return none, err
	}
	var anchor time.Time
	switch {
	case q.Anchor == "" && q.anchored:
		anchor = q.from
	case q.Anchor != "":
		var err error
		if anchor, err = timeOf("anchor", q.Anchor); err != nil {
			return none, err
		}
	}
	s, err := q.parse(q.Expr)
	if err != nil {
		return none, err
	}
	if q.Timezone != "" {
		zone, err := q.reader.zone(q.Timezone)
		if err != nil {
			return none, err
		}
		s = s.In(zone)
	}
	if q.Or != nil {
		if s, err = q.union(s); err != nil {
			return none, err
		}
	}
	if s, err = q.rules(s); err != nil {
		return none, err
	}
	s = s.WithAnchor(anchor)
	if q.Except == nil && q.Only == nil {
		return s, nil
	}
	return q.without(s)
}

// readFrom reads where to look from, which is now if it is not said.
func (q *cronQuestion) readFrom() (err error) {
	q.from = q.now
	if q.From != "" {
		q.from, err = timeOf("from", q.From)
	}
	return err
}

// parse reads an expression in the dialect that is asked for.
func (q *cronQuestion) parse(expr string) (cron.Schedule, error) {
	switch q.Dialect {
	case "auto", "":
		return cron.Parse(expr)
	case "aws":
		return cron.ParseAWS(expr)
	case "unix":
		return cron.ParseUnix(expr)
	case "rate":
		return cron.ParseRate(expr)
	}
	return cron.Schedule{}, &questionError{"dialect", "dialect", q.Dialect, "use aws, unix, rate or auto"}
}

// union adds the slots of other expressions.
func (q *cronQuestion) union(s cron.Schedule) (cron.Schedule, error) {
	all := []cron.Schedule{s}
	for _, expr := range q.Or {
		other, err := q.parse(expr)
		if err != nil {
			return s, err
		}
		if q.Timezone != "" || !schedule.HasZone(expr) {
			other = other.In(s.Location())
		}
		all = append(all, other)
	}
	return cron.Union(all...), nil
}

// rules sets what becomes of slots when clocks change.
func (q *cronQuestion) rules(s cron.Schedule) (cron.Schedule, error) {
	gap, known := schedule.Gaps[q.DSTGap]
	if !known && q.DSTGap != "" {
		return s, &questionError{"dstGap", "dst-gap", q.DSTGap, "use skip or next"}
	}
	repeat, known := schedule.Repeats[q.DSTRepeat]
	if !known && q.DSTRepeat != "" {
		return s, &questionError{"dstRepeat", "dst-repeat", q.DSTRepeat, "use first, second or both"}
	}
	return s.WithGap(gap).WithRepeat(repeat), nil
}

// without leaves out what is excluded.
func (q *cronQuestion) without(s cron.Schedule) (cron.Schedule, error) {
	for _, text := range q.Except {
		if calendar.IsFile(text) {
			c, err := q.reader.calendar("except", text)
			if err != nil {
				return s, err
			}
			s = s.ExceptOn(c)
			continue
		}
		other, err := cron.Parse(text)
		if err != nil {
			return s, err
		}
		if q.Timezone != "" || !schedule.HasZone(text) {
			other = other.In(s.Location())
		}
		// A time that comes twice is left out both times, whichever of them fires.
		s = s.Except(other.WithRepeat(cron.RepeatBoth))
	}
	for _, text := range q.Only {
		if !calendar.IsFile(text) {
			return s, &questionError{"only", "only", text, "use a file of dates that ends in .yaml, .yml or .ics"}
		}
		c, err := q.reader.calendar("only", text)
		if err != nil {
			return s, err
		}
		s = s.OnlyOn(c)
	}
	return s, nil
}

// times are the slots that step finds, one after the other.
func (q *cronQuestion) times(step func(time.Time) time.Time) (cronAnswer, error) {
	if err := q.checkNumber(); err != nil {
		return cronAnswer{}, err
	}
	times := make([]string, 0, min(q.N, 16))
	for t := step(q.from); !t.IsZero() && len(times) < q.N; t = step(t) {
		times = append(times, t.Format(time.RFC3339))
	}
	return cronAnswer{Times: times}, nil
}

func (q *cronQuestion) checkNumber() error {
	if q.N < 1 || q.N > maxSlots {
		return q.numberErr(fmt.Sprintf("use a number from 1 to %d", maxSlots))
	}
	return nil
}

func (q *cronQuestion) numberErr(hint string) error {
	return &questionError{"n", "number", strconv.Itoa(q.N), hint}
}

// window is the time between From and To.
func (q *cronQuestion) window() (from, to time.Time, err error) {
	if q.To == "" {
		return from, to, &questionError{"to", "to", "", "say until when, as in 2026-01-31T09:00:00Z"}
	}
	if to, err = timeOf("to", q.To); err != nil {
		return from, to, err
	}
	if to.Before(q.from) {
		return from, to, &questionError{"to", "to", q.To, "is before " + q.from.Format(time.RFC3339) + ", where the window begins"}
	}
	return q.from, to, nil
}

// timeOf reads a time that is asked about.
func timeOf(name, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, &questionError{name, name, text, "use an RFC 3339 time such as 2026-01-31T09:00:00Z"}
	}
	return t, nil
}

// A cronReader keeps what the questions of a stream have in common.
type cronReader struct {
	zones     map[string]*time.Location
	calendars map[string]cron.Calendar
}

func newCronReader() *cronReader {
	return &cronReader{zones: make(map[string]*time.Location), calendars: make(map[string]cron.Calendar)}
}

func (r *cronReader) zone(name string) (*time.Location, error) {
	if zone := r.zones[name]; zone != nil {
		return zone, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, &questionError{"timezone", "timezone", name, "use an IANA name such as Europe/Berlin, or UTC"}
	}
	r.zones[name] = zone
	return zone, nil
}

func (r *cronReader) calendar(key, file string) (cron.Calendar, error) {
	if c, ok := r.calendars[file]; ok {
		return c, nil
	}
	c, err := calendar.Find(file)
	if err != nil {
		return c, &questionError{key, key, file, err.Error()}
	}
	r.calendars[file] = c
	return c, nil
}
