package schedule

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"tminus.dev/cron"
)

// MaxHerd is the longest window that a Herd can look at.
const MaxHerd = 31 * 24 * time.Hour

// herdBatch is how many schedules are added up at once; they are what a Herd keeps in memory beside its minutes.
const herdBatch = 4096

// A Herd counts the launches of many schedules in each minute of a window: what
// comes at nine o'clock. Schedules are added one by one and not kept, so that
// there can be any number of them.
type Herd struct {
	from, until time.Time
	start       time.Time // the first minute
	counts      []uint32
	batch       []cron.Schedule
	schedules   int
}

// HerdMinute is a minute and how many launches are planned in it.
type HerdMinute struct {
	Minute   time.Time
	Launches int
}

// NewHerd makes a Herd for the launches of slots after from that are planned up
// to and including until. The error is about a window longer than [MaxHerd].
func NewHerd(from, until time.Time) (*Herd, error) {
	if until.Sub(from) > MaxHerd {
		return nil, errors.New("the window is longer than 31 days")
	}
	h := &Herd{from: from.UTC(), until: until.UTC()}
	h.start = h.from.Truncate(time.Minute)
	if until.After(from) {
		h.counts = make([]uint32, int(h.until.Sub(h.start)/time.Minute)+1)
	}
	return h, nil
}

// Add counts what s launches in the window; decided is as in [Preview]. A
// schedule that does not fire, or cannot be planned, launches nothing.
func (h *Herd) Add(s Schedule, decided []time.Time) {
	c, err := s.course(h.from)
	if err != nil {
		return
	}
	if first := c.timetable.Next(c.after); first.IsZero() || first.After(h.until) || c.runs == 0 {
		return
	}
	if h.plain(c) && len(decided) == 0 {
		h.schedules++
		h.batch = append(h.batch, c.timetable.slots)
		if len(h.batch) == herdBatch {
			h.settle()
		}
		return
	}
	launches := false
	for coming := range c.all(h.until, decided) {
		if coming.Skipped || coming.LaunchAt.After(h.until) {
			continue
		}
		h.counts[coming.LaunchAt.Sub(h.start)/time.Minute]++
		launches = true
	}
	if launches {
		h.schedules++
	}
}

// plain reports whether c launches at just the slots of its expression, all through the window.
func (h *Herd) plain(c course) bool {
	t := c.timetable
	return c.schedule.Spec.Policy.Jitter == 0 && c.runs == math.MaxInt && !c.after.After(h.from) &&
		!t.start.After(h.from) && (t.end.IsZero() || !t.end.Before(h.until))
}

// settle adds up the schedules of the batch.
func (h *Herd) settle() {
	if len(h.batch) == 0 {
		return
	}
	load, err := cron.Collide(h.from, h.until, h.batch...)
	if err != nil {
		return // The window is not too long, which is all that can be wrong.
	}
	for minute, n := range load.All() {
		h.counts[minute.Sub(h.start)/time.Minute] += uint32(n) //nolint:gosec // A batch is small.
	}
	h.batch = h.batch[:0]
}

// Busiest is the minutes with a launch, the busiest first and of equal ones the
// earlier, n at most.
func (h *Herd) Busiest(n int) []HerdMinute {
	h.settle()
	var minutes []HerdMinute
	for i, launches := range h.counts {
		if launches > 0 {
			minutes = append(minutes, HerdMinute{h.start.Add(time.Duration(i) * time.Minute), int(launches)})
		}
	}
	slices.SortStableFunc(minutes, func(a, b HerdMinute) int { return cmp.Compare(b.Launches, a.Launches) })
	return minutes[:min(n, len(minutes))]
}

// Total is how many schedules launch anything in the window, and how much they launch.
func (h *Herd) Total() (schedules, launches int) {
	h.settle()
	for _, n := range h.counts {
		launches += int(n)
	}
	return h.schedules, launches
}
