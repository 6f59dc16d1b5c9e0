package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tminus.dev/cron"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// A cloud keeps the time of schedules in place of tminus, as AWS does: it holds
// rules, and puts a message into a queue when one comes due, mostly. Its clock
// never jumps, and it knows no policies.
type cloud struct {
	world *world

	mu    sync.Mutex
	rand  *rand.Rand
	rules map[ident.Key]cron.Schedule
	old   []leftover
	queue []*message
	sent  int
	place int // where rules are put; those that are elsewhere are put anew
	// Until these instants it refuses to change rules, and nobody can read its queue.
	refuses, unread time.Time
}

// leftover is a rule that was replaced, or taken out, and sends for a while all the same.
type leftover struct {
	plan  ident.Key
	rule  cron.Schedule
	until time.Time
}

// message is one in the queue, and when it can be taken from it.
type message struct {
	store.Message
	visible time.Time
}

// run applies what the ledger says, and sends what comes due, until the simulation has ended.
func (c *cloud) run(done <-chan struct{}) {
	last := time.Now()
	for {
		select {
		case <-done:
			return
		case <-time.After(5 * time.Second):
		}
		c.mu.Lock()
		now := time.Now()
		c.send(last, now)
		last = now
		c.mu.Unlock()
		c.reconcile()
	}
}

// reconcile makes rules what the ledger wants, or dies between any two steps.
func (c *cloud) reconcile() {
	w := c.world
	claimed, err := w.db.ClaimRules(w.t.Context(), w.now(), 30*time.Second, 3)
	if err != nil {
		w.t.Errorf("seed %d: %v", w.seed, err)
	}
	c.mu.Lock()
	settled := claimed[:0]
	for _, r := range claimed {
		if c.rand.IntN(20) == 0 {
			break // Died.
		}
		r.Tried, r.DueAt, r.Error = true, time.Time{}, ""
		if time.Now().Before(c.refuses) {
			r.Error, r.DueAt = "no", w.now().Add(time.Minute)
		} else if err := c.apply(&r); err != nil {
			w.t.Errorf("seed %d: %v", w.seed, err)
			continue
		}
		if c.rand.IntN(20) == 0 {
			break // Died before it could say so.
		}
		settled = append(settled, r)
	}
	c.mu.Unlock()
	if err := w.db.SettleRules(w.t.Context(), w.now(), settled); err != nil {
		w.t.Errorf("seed %d: %v", w.seed, err)
	}
}

// apply puts a rule, or takes it out. What is replaced by another expression, or by
// the same elsewhere, is counted anew, and otherwise only now and then.
func (c *cloud) apply(r *store.Rule) error {
	key := r.LaunchPlan.Key
	before, there := c.rules[key]
	delete(c.rules, key)
	held := r.Held
	r.Held = ""
	if r.Active && !r.Paused {
		s, err := cron.Parse(r.Spec.Expression)
		if err != nil {
			return err
		}
		if zone := r.Spec.Policy.Timezone; zone != "" {
			location, err := time.LoadLocation(zone)
			if err != nil {
				return err
			}
			s = s.In(location)
		}
		r.Held = fmt.Sprint("it, at ", c.place)
		c.rules[key] = s.WithAnchor(time.Now())
		if there && held == r.Held && before.String() == s.String() && c.rand.IntN(4) > 0 {
			c.rules[key] = before
			return nil
		}
	}
	if there && c.rand.IntN(3) == 0 {
		c.old = append(c.old, leftover{key, before, time.Now().Add(time.Duration(c.rand.IntN(90)) * time.Second)})
	}
	return nil
}

// move has rules put elsewhere from now on, as another prefix does.
func (c *cloud) move() {
	c.mu.Lock()
	c.place++
	c.mu.Unlock()
	if _, err := c.world.db.RenewRules(c.world.t.Context(), c.world.now(), nil); err != nil {
		c.world.t.Errorf("seed %d: %v", c.world.seed, err)
	}
}

// fail has it refuse to change rules, and nobody read its queue, for a while.
func (c *cloud) fail(refuses, unread time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses, c.unread = time.Now().Add(refuses), time.Now().Add(unread)
}

// send puts messages into the queue about what came due after one time and up to another.
func (c *cloud) send(from, to time.Time) {
	keys := make([]ident.Key, 0, len(c.rules))
	for k := range c.rules {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b ident.Key) int { return cmpKeys(a, b) })
	for _, k := range keys {
		c.sendRule(k, c.rules[k], from, to)
	}
	c.old = slices.DeleteFunc(c.old, func(l leftover) bool { return l.until.Before(from) })
	for _, l := range c.old {
		c.sendRule(l.plan, l.rule, from, to)
	}
}

func (c *cloud) sendRule(k ident.Key, rule cron.Schedule, from, to time.Time) {
	for slot := range rule.Between(from, to) {
		if c.rand.IntN(40) == 0 {
			continue // Lost.
		}
		c.sent++
		delay := time.Duration(c.rand.IntN(50)) * time.Second
		if c.rand.IntN(30) == 0 {
			delay = time.Duration(c.rand.IntN(30)) * time.Minute
		}
		m := store.Message{ID: fmt.Sprint("m", c.sent), Body: []byte("{}"), SentAt: slot, LaunchPlan: k, Time: slot}
		c.queue = append(c.queue, &message{m, to.Add(delay)})
		if c.rand.IntN(10) == 0 {
			c.queue = append(c.queue, &message{m, to.Add(2 * delay)})
		}
	}
}

func cmpKeys(a, b ident.Key) int {
	if a.String() < b.String() {
		return -1
	}
	return 1
}

// visibility is how long a message that was taken stays hidden.
const visibility = time.Minute

// take takes messages from the queue, if that can be read.
func (c *cloud) take() (taken []*message, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.unread) {
		return nil, false
	}
	for _, m := range c.queue {
		if len(taken) < 10 && !m.visible.After(time.Now()) {
			m.visible = time.Now().Add(visibility)
			m.Receives++
			taken = append(taken, m)
		}
	}
	return taken, true
}

func (c *cloud) delete(some []*message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = slices.DeleteFunc(c.queue, func(m *message) bool { return slices.Contains(some, m) })
}

// grace is how long after an empty queue words of slots are still to be expected.
const grace = 5 * time.Minute

// tellEvery is how often the ledger is told that messages can be taken.
const tellEvery = 10 * time.Second

// read takes messages to the ledger until p is gone.
func (p *process) read() {
	c := p.world.cloud
	var told time.Time
	for !p.dead.Load() {
		before := p.world.now()
		taken, ok := c.take()
		if !ok {
			time.Sleep(2 * time.Second)
			continue
		}
		if time.Since(told) >= tellEvery {
			if _, err := step(p, func() (int, error) { return 0, p.Attend(p.world.t.Context(), p.world.now()) }); err != nil {
				return
			}
			told = time.Now()
		}
		if len(taken) == 0 {
			p.heard.Store(before.Add(-grace).UnixMicro())
			time.Sleep(2 * time.Second)
			continue
		}
		messages := make([]store.Message, len(taken))
		for i, m := range taken {
			messages[i] = m.Message
		}
		d, err := step(p, func() (store.Delivered, error) { return p.Deliver(p.world.t.Context(), p.world.now(), messages) })
		if err != nil {
			return // It crashed: the messages are there again some time.
		}
		p.engine.Wake()
		for _, i := range slices.Backward(d.Early) {
			taken = slices.Delete(taken, i, i+1)
		}
		c.delete(taken)
	}
}
