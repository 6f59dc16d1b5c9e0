package aws

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"tminus.dev/internal/store"
)

// hands are the messages that were taken and neither deleted nor given back.
type hands struct {
	mu   sync.Mutex
	held map[*held]struct{}
}

func (h *hands) take(batch []*held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = make(map[*held]struct{})
	}
	for _, m := range batch {
		h.held[m] = struct{}{}
	}
}

func (h *hands) drop(batch []*held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range batch {
		delete(h.held, m)
	}
}

func (h *hands) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held) == 0
}

func (h *hands) all() []*held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.held))
}

// since are those that were hidden last before an instant.
func (h *hands) since(before time.Time) (some []*held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.held {
		if m.extended.Before(before) {
			some = append(some, m)
		}
	}
	return some
}

func (h *hands) extended(some []*held, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range some {
		m.extended = now
	}
}

// oldest is when the oldest of them was sent, or now.
func (h *hands) oldest(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.held {
		if m.SentAt.Before(now) {
			now = m.SentAt
		}
	}
	return now
}

// fresh is since when the queue has answered without a break, and nothing old was
// taken from it.
type fresh struct {
	mu          sync.Mutex
	since, last time.Time
}

// answered notes what was taken at now. What was taken before, and comes again,
// was hidden meanwhile, and tells nothing of what waits.
func (f *fresh) answered(now time.Time, batch []*held) (since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stale := slices.ContainsFunc(batch, func(h *held) bool { return h.Receives <= 1 && now.Sub(h.SentAt) > old })
	if stale || now.Sub(f.last) > old || f.since.IsZero() {
		f.since = now
	}
	f.last = now
	return f.since
}

// end notes that the queue did not answer, or that nothing was taken from it.
func (f *fresh) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = time.Time{}
}

// Status is what an executor has seen of its queue.
type Status struct {
	// Waiting and InFlight are how many messages the queue has, and how many of those taken
	// are not deleted, about; both are -1 while that is not known.
	Waiting, InFlight int
	// Oldest is the greatest age at which a message was taken in the last minutes.
	Oldest time.Duration
	// Taken counts messages; Recorded, Known and SetAside what they came to.
	Taken, Recorded, Known, SetAside int64
}

// status keeps a Status.
type status struct {
	mu       sync.Mutex
	now      Status
	measures bool
	oldestAt time.Time
}

// oldestFor is how long the age of a message is remembered.
const oldestFor = 5 * time.Minute

func (s *status) taken(batch []*held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Taken += int64(len(batch))
	now := time.Now()
	if now.Sub(s.oldestAt) > oldestFor {
		s.now.Oldest = 0
	}
	for _, h := range batch {
		if age := now.Sub(h.SentAt); !h.SentAt.IsZero() && age >= s.now.Oldest {
			s.now.Oldest, s.oldestAt = age, now
		}
	}
}

func (s *status) delivered(d store.Delivered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Recorded += int64(d.Recorded)
	s.now.Known += int64(d.Known)
	s.now.SetAside += int64(d.SetAside)
}

func (s *status) measured(attributes map[string]string) {
	number := func(name types.QueueAttributeName) int {
		n, err := strconv.Atoi(attributes[string(name)])
		if err != nil {
			return -1
		}
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measures = true
	s.now.Waiting = number(types.QueueAttributeNameApproximateNumberOfMessages)
	s.now.InFlight = number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
}

// Status tells what was seen of the queue.
func (e *Executor) Status() Status {
	e.status.mu.Lock()
	defer e.status.mu.Unlock()
	s := e.status.now
	if !e.status.measures {
		s.Waiting, s.InFlight = -1, -1
	}
	if time.Since(e.status.oldestAt) > oldestFor {
		s.Oldest = 0
	}
	return s
}
