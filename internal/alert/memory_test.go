package alert_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/storetest"
)

// memory is a Store in memory. It keeps what crashes leave: several alerters can share it.
type memory struct {
	mu       sync.Mutex
	alerts   map[store.AlertID]store.Alert
	toldAt   time.Time
	messages []*message
	fail     error // what every method answers, when set
}

type message struct {
	store.AlertMessage
	due      time.Time
	attempts int
	result   store.AlertResult
	err      string
}

var _ alert.Store = (*memory)(nil)

func newMemory() *memory { return &memory{alerts: map[store.AlertID]store.Alert{}} }

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.ExerciseAlerts(t, func(*testing.T) storetest.Alerts { return newMemory() })
}

// now is the clock of a database.
func (m *memory) now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// enter begins a transaction.
func (m *memory) enter(ctx context.Context) (leave func(), err error) {
	m.mu.Lock()
	if err := ctx.Err(); err != nil || m.fail != nil {
		defer m.mu.Unlock()
		if err == nil {
			err = m.fail
		}
		return nil, err
	}
	return m.mu.Unlock, nil
}

func (m *memory) OpenAlerts(ctx context.Context, each func(store.AlertID, time.Time)) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for id, a := range m.alerts {
		if !a.Ended() {
			each(id, a.Slot)
		}
	}
	return nil
}

func (m *memory) AmendAlerts(ctx context.Context, ids []store.AlertID, amend func(time.Time, []store.Alert) []store.Alert) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var found []store.Alert
	for _, id := range ids {
		if a, ok := m.alerts[id]; ok {
			found = append(found, a)
		}
	}
	put := amend(m.now(), found)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, a := range put {
		m.alerts[a.AlertID] = a
	}
	return nil
}

func (m *memory) AnnounceAlerts(ctx context.Context, remind time.Duration, limit int, announce func(store.AlertBook) store.AlertChanges) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	book := store.AlertBook{Now: m.now(), ToldAt: m.toldAt, Groups: map[string]int{}}
	for _, a := range m.alerts {
		if a.ToldAt.IsZero() || a.Ended() || remind > 0 && !a.ToldAt.After(book.Now.Add(-remind)) {
			book.Alerts = append(book.Alerts, a)
		}
	}
	slices.SortFunc(book.Alerts, func(a, b store.Alert) int { return a.ChangedAt.Compare(b.ChangedAt) })
	book.Alerts = book.Alerts[:min(limit, len(book.Alerts))]
	for _, a := range book.Alerts {
		if a.Group != "" {
			book.Groups[a.Group] = 0
		}
	}
	for _, a := range m.alerts {
		if _, named := book.Groups[a.Group]; named {
			book.Groups[a.Group]++
		}
	}
	c := announce(book)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(c.Put)+len(c.Drop)+len(c.Messages) == 0 {
		return nil
	}
	m.toldAt = book.Now
	for _, a := range c.Put {
		m.alerts[a.AlertID] = a
	}
	for _, id := range c.Drop {
		delete(m.alerts, id)
	}
	for _, x := range c.Messages {
		m.messages = append(m.messages, &message{AlertMessage: x, due: book.Now})
	}
	return nil
}

func (m *memory) ClaimAlertMessage(ctx context.Context, channel string, lease time.Duration) (store.AlertClaim, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return store.AlertClaim{}, err
	}
	defer leave()
	for _, x := range m.messages {
		if x.Channel != channel || x.result != "" {
			continue
		}
		now := m.now()
		if x.due.After(now) {
			return store.AlertClaim{Wait: x.due.Sub(now)}, nil
		}
		x.attempts++
		x.due = now.Add(lease)
		return store.AlertClaim{Message: x.AlertMessage, Attempt: x.attempts, Left: x.Deadline.Sub(now)}, nil
	}
	return store.AlertClaim{}, nil
}

func (m *memory) SettleAlertMessage(ctx context.Context, r store.AlertReceipt) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, x := range m.messages {
		if x.ID != r.ID || x.result != "" || x.attempts != r.Attempt {
			continue
		}
		x.err = r.Error
		if x.due = m.now().Add(r.After); r.Result != store.AlertRetry {
			x.result = r.Result
		}
		return nil
	}
	return store.ErrNotFound
}

// open lists the alerts there are, ended ones too.
func (m *memory) open() []store.AlertID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.alerts))
}

// settled counts the messages by what became of them; "" are those that nothing became of yet.
func (m *memory) settled() map[store.AlertResult]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := map[store.AlertResult]int{}
	for _, x := range m.messages {
		n[x.result]++
	}
	return n
}

func (m *memory) failing(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}
