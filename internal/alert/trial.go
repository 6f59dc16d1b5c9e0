package alert

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// Test sends a message that says it is a test through every channel,
// past the store, and returns how each took it: an error, which holds no
// secrets, or nil. An incident is opened and resolved.
func (a *Alerter) Test(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	now := time.Now().UTC().Truncate(time.Second)
	trouble := store.Alert{
		AlertID: store.AlertID{Schedule: ident.Key{Project: "tminus", Domain: "test", Name: "test"}, Kind: store.AlertLate},
		Slot:    now.Add(-time.Minute), Lateness: time.Minute, Limit: time.Second, Reason: "this is a test, and nothing is wrong",
		Since: now, EndedAt: now, EndReason: "it was a test", ChangedAt: now,
	}
	r := announcer{name: a.cfg.Name, giveUp: a.cfg.GiveUpAfter, most: a.cfg.MaxListed}
	for _, c := range a.channels {
		r.channels = append(r.channels, c.name)
	}
	changes, _, failed := r.announce(store.AlertBook{Now: now, Alerts: []store.Alert{trouble}}, rand.Text())
	took := make(map[string]error, len(a.channels))
	for _, c := range a.channels {
		took[c.name] = failed
		for _, m := range changes.Messages {
			if m.Channel != c.name || took[c.name] != nil {
				continue
			}
			if err := c.send(ctx, m); err != nil {
				took[c.name] = errors.New(c.redact(err.Error()))
			}
		}
	}
	return took
}
