// Package alert tells people which schedules are in trouble: late, missed, dead
// or failing, once when it begins and once when it is over, by webhook, Slack,
// PagerDuty and e-mail.
//
// It goes from observations to alerts in the store, from alerts to messages in
// the store, and from messages to their channels; each step is one transaction
// or one attempt, so a crash at any point repeats a step at most:
//
//	Observe ─► memory ─► AmendAlerts ─► AnnounceAlerts ─► ClaimAlertMessage, send, SettleAlertMessage
//
// An observation that a crash takes with it (a second's worth) has to be
// observed again. A message that was sent, but not recorded as such, is sent
// again under the same ID, which every channel can recognize.
package alert

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"tminus.dev/internal/store"
)

// Alerter watches what it is told and tells people. Any number of them, one in
// each replica, share a Store.
type Alerter struct {
	store    Store
	cfg      Config
	channels []*channel
	wake     chan struct{}
	seed     maphash.Seed
	// state is how it went with the store, overflow whether there was room for what was observed.
	state, overflow trouble
	// reread is when lasting is to be read again, notBefore until when it is too early for an announcement; watch's own.
	reread, notBefore time.Time

	mu      sync.Mutex
	pending map[store.AlertID]change
	// lasting has, by hash, the latest slot in trouble of alerts that last.
	lasting map[uint64]time.Time
	// recent and former hold good news for which there was no alert, for the
	// case that another replica was just about to raise it.
	recent, former map[store.AlertID]verdict
	dropped        int
}

// Problem is something that keeps people from being told.
type Problem struct {
	// Where is a channel's name, or "alerts" for what concerns all of them.
	Where string
	// Since is when it was first seen.
	Since time.Time
	// Error is for people, and holds no secrets.
	Error string
	// Lost is how many messages were given up since the start; for Where "alerts", how many observations were dropped.
	Lost int
}

const (
	// poll bounds how long the loops sleep, and how old the knowledge of other replicas' alerts may be.
	poll = 10 * time.Second
	// gather is how long observations wait for others before they are recorded.
	gather = time.Second
	// maxAmend is how many alerts a transaction changes, maxAnnounce of how many it tells:
	// it must not keep a database with one writer from firing.
	maxAmend    = 500
	maxAnnounce = 20_000
	// maxPending bounds the observations in memory, maxRecent the good news that is kept for a while.
	maxPending = 100_000
	maxRecent  = 20_000
)

// New makes an alerter; Run starts it. An error names the key of the
// configuration that is wrong. Without a channel it keeps alerts in the store and tells nobody.
func New(s Store, cfg Config) (*Alerter, error) {
	channels, err := cfg.build()
	if err != nil {
		return nil, err
	}
	for _, c := range channels {
		if err := c.readAll(); err != nil {
			return nil, err
		}
	}
	return newAlerter(s, cfg, channels), nil
}

func newAlerter(s Store, cfg Config, channels []*channel) *Alerter {
	return &Alerter{
		store: s, cfg: cfg.withDefaults(), channels: channels,
		wake: make(chan struct{}, 1), seed: maphash.MakeSeed(),
		pending: map[store.AlertID]change{}, lasting: map[uint64]time.Time{}, recent: map[store.AlertID]verdict{},
	}
}

// Observe takes what happened. It never blocks and does no I/O; with no alerts
// about, good news costs next to nothing. It may be called before Run, and by any goroutine.
func (a *Alerter) Observe(observations ...Observation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range observations {
		if o.At.IsZero() {
			o.At = time.Now()
		}
		o.At, o.Slot = o.At.UTC().Truncate(time.Microsecond), o.Slot.UTC().Truncate(time.Microsecond)
		for _, v := range judge(o, a.cfg.LateAfter) {
			a.take(v)
		}
	}
}

// take puts v where the next pass finds it, unless it changes nothing.
func (a *Alerter) take(v verdict) {
	id := v.id()
	slot, lasts := a.lasting[maphash.Comparable(a.seed, id)]
	before, waits := a.pending[id]
	switch {
	case v.Event == Waiting && (lasts && !v.Slot.After(slot) || before.trouble != nil && !v.Slot.After(before.trouble.Slot)):
		return // Known.
	case !v.trouble && !waits && !lasts:
		if _, kept := a.recent[id]; kept || len(a.recent) < maxRecent {
			a.recent[id] = v
		}
		return
	case !v.trouble && !waits && !v.ends(slot):
		return
	case !waits && len(a.pending) >= maxPending:
		a.dropped++
		return
	}
	if v.trouble {
		a.forgetStop(id) // It runs again.
	}
	a.pending[id] = before.then(v)
	signal(a.wake)
}

// drop counts what there was no room to observe.
func (a *Alerter) drop(observations int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped += observations
}

// forgetStop drops a stop from the good news that is kept.
func (a *Alerter) forgetStop(id store.AlertID) {
	for _, news := range []map[store.AlertID]verdict{a.former, a.recent} {
		if v, kept := news[id]; kept && v.Event == Stopped {
			delete(news, id)
		}
	}
}

// Problems lists what keeps people from being told, until it works again; observations that were dropped, for an hour.
func (a *Alerter) Problems() []Problem {
	var problems []Problem
	for _, t := range []*trouble{&a.state, &a.overflow} {
		if p, bad := t.problem("alerts"); bad {
			problems = append(problems, p)
		}
	}
	for _, c := range a.channels {
		if p, bad := c.state.problem(c.name); bad {
			problems = append(problems, p)
		}
	}
	return problems
}

// Run works until ctx ends, and then returns nil after what was observed is
// recorded and the attempts under way have ended. Neither a store nor a channel
// that fails ends it.
func (a *Alerter) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, c := range a.channels {
		wg.Go(func() { a.deliver(ctx, c) })
	}
	a.watch(ctx)
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := a.record(last); err != nil {
		a.cfg.Log.ErrorContext(ctx, "cannot record alerts", slog.Any("error", err))
	}
	return nil
}

// watch turns observations into alerts and alerts into messages, until ctx ends.
func (a *Alerter) watch(ctx context.Context) {
	failed := 0
	for ctx.Err() == nil {
		early, err := a.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed++
			a.state.note(fmt.Sprintf("cannot keep alerts: %v", err), 0)
			a.cfg.Log.ErrorContext(ctx, "cannot keep alerts; trying again", slog.Any("error", err), slog.Duration("pause", pause(failed)))
			sleep(ctx, nil, pause(failed))
			continue
		}
		failed = 0
		a.state.note("", 0)
		a.noteDropped(ctx)
		wait := poll
		if early > 0 {
			wait = min(wait, early)
		}
		sleep(ctx, a.wake, wait)
		a.mu.Lock()
		waits := len(a.pending) > 0
		a.mu.Unlock()
		if waits {
			sleep(ctx, nil, gather)
		}
	}
}

// noteDropped tells operators of observations for which there was no room.
func (a *Alerter) noteDropped(ctx context.Context) {
	a.mu.Lock()
	dropped := a.dropped
	a.dropped = 0
	a.mu.Unlock()
	if dropped == 0 {
		a.overflow.expire(time.Hour)
		return
	}
	a.overflow.note("observations came faster than they can be recorded, and some were dropped", dropped)
	a.cfg.Log.ErrorContext(ctx, "observations came faster than they can be recorded", slog.Int("dropped", dropped))
}

// pass does once what there is to do. It says for how long it is too early to
// tell people of what there is to tell; 0 when there is nothing.
func (a *Alerter) pass(ctx context.Context) (early time.Duration, err error) {
	if err := a.refresh(ctx); err != nil {
		return 0, err
	}
	if err := a.record(ctx); err != nil {
		return 0, err
	}
	return a.announce(ctx)
}

// refresh reads which alerts last, now and then: other replicas raise and end them too.
func (a *Alerter) refresh(ctx context.Context) error {
	began := time.Now()
	if began.Before(a.reread) {
		return nil
	}
	lasting := map[uint64]time.Time{}
	err := a.store.OpenAlerts(ctx, func(id store.AlertID, slot time.Time) {
		lasting[maphash.Comparable(a.seed, id)] = slot
	})
	if err != nil {
		return fmt.Errorf("read alerts: %w", err)
	}
	// However many there are, reading them takes a small part of the time.
	a.reread = time.Now().Add(max(poll, 20*time.Since(began)))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lasting = lasting
	for _, news := range []map[store.AlertID]verdict{a.former, a.recent} {
		for id, v := range news {
			if slot, lasts := lasting[maphash.Comparable(a.seed, id)]; lasts && v.ends(slot) {
				a.pending[id] = a.pending[id].then(v)
			}
		}
	}
	a.former, a.recent = a.recent, map[store.AlertID]verdict{}
	return nil
}

// record turns what was observed into alerts in the store.
func (a *Alerter) record(ctx context.Context) error {
	a.mu.Lock()
	batch := a.pending
	a.pending = map[store.AlertID]change{}
	a.mu.Unlock()
	for ids := range slices.Chunk(slices.Collect(maps.Keys(batch)), maxAmend) {
		var put []store.Alert
		err := a.store.AmendAlerts(ctx, ids, func(now time.Time, found []store.Alert) []store.Alert {
			put = amendAll(ids, found, batch, now)
			return put
		})
		if err != nil {
			a.putBack(batch)
			return fmt.Errorf("record alerts: %w", err)
		}
		a.mu.Lock()
		for _, x := range put {
			if h := maphash.Comparable(a.seed, x.AlertID); x.Ended() {
				delete(a.lasting, h)
			} else {
				a.lasting[h] = x.Slot
			}
		}
		a.mu.Unlock()
		for _, id := range ids {
			delete(batch, id)
		}
	}
	return nil
}

// amendAll applies the changes of a batch to those of its alerts that there are, and makes those that there are not.
func amendAll(ids []store.AlertID, found []store.Alert, batch map[store.AlertID]change, now time.Time) []store.Alert {
	known := make(map[store.AlertID]store.Alert, len(found))
	for _, x := range found {
		known[x.AlertID] = x
	}
	var put []store.Alert
	for _, id := range ids {
		if x, changed := amend(known[id], id, batch[id], now); changed {
			put = append(put, x)
		}
	}
	return put
}

// putBack keeps what could not be recorded for the next pass, before what came since.
func (a *Alerter) putBack(batch map[store.AlertID]change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, later := range a.pending {
		batch[id] = batch[id].join(later)
	}
	a.pending = batch
}

// announce makes messages of what people should be told, unless it is too early.
func (a *Alerter) announce(ctx context.Context) (early time.Duration, err error) {
	if early := time.Until(a.notBefore); early > 0 {
		return early, nil // What came since does not make it any earlier.
	}
	r := announcer{
		name: a.cfg.Name, wait: a.cfg.GroupWait, interval: a.cfg.GroupInterval,
		giveUp: a.cfg.GiveUpAfter, most: a.cfg.MaxListed,
	}
	for _, c := range a.channels {
		r.channels = append(r.channels, c.name)
	}
	id := rand.Text()
	var changes store.AlertChanges
	var failed error
	err = a.store.AnnounceAlerts(ctx, a.cfg.Remind, maxAnnounce, func(b store.AlertBook) store.AlertChanges {
		if changes, early, failed = r.announce(b, id); failed != nil {
			return store.AlertChanges{}
		}
		return changes
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("announce alerts: %w", err)
	}
	if told := len(changes.Put) + len(changes.Drop); told > 0 {
		a.cfg.Log.WarnContext(ctx, "alerts announced", slog.String("notification", id),
			slog.Int("lasting", len(changes.Put)), slog.Int("over", len(changes.Drop)), slog.Int("messages", len(changes.Messages)))
		if told == maxAnnounce {
			early = a.cfg.GroupInterval
		}
	}
	if len(changes.Messages) > 0 {
		for _, c := range a.channels {
			signal(c.wake)
		}
	}
	a.notBefore = time.Now().Add(early)
	return early, nil
}

// signal wakes whoever waits on c, now or next. It never blocks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
