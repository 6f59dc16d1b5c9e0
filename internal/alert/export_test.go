package alert

import (
	"context"
	"crypto/tls"
	"time"

	"tminus.dev/internal/store"
)

// Send stands for what sends a channel's messages.
type Send func(ctx context.Context, m store.AlertMessage) error

// NewSending is New with channels of the test's own, by name and in the order of their names.
func NewSending(s Store, cfg Config, names []string, send map[string]Send) *Alerter {
	var channels []*channel
	for _, name := range names {
		channels = append(channels, newChannel(name, send[name]))
	}
	return newAlerter(s, cfg, channels)
}

// NewEmailing is New with e-mail alone, which trusts what the test says.
func NewEmailing(s Store, cfg Config, trust *tls.Config) (*Alerter, error) {
	c, err := newEmailTrusting(cfg.withDefaults(), trust)
	if err != nil {
		return nil, err
	}
	return newAlerter(s, cfg, []*channel{c}), nil
}

// MaxPending is how many observations an Alerter holds.
const MaxPending = maxPending

// Messages are what an alerter with this configuration sends about a book's alerts.
func Messages(cfg Config, id string, b store.AlertBook) ([]store.AlertMessage, error) {
	channels, err := cfg.build()
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	r := announcer{name: cfg.Name, giveUp: cfg.GiveUpAfter, most: cfg.MaxListed}
	for _, c := range channels {
		r.channels = append(r.channels, c.name)
	}
	changes, _, err := r.announce(b, id)
	return changes.Messages, err
}

// Attempt sends m once, and says what would be recorded of that.
func (a *Alerter) Attempt(ctx context.Context, m store.AlertMessage) store.AlertReceipt {
	for _, c := range a.channels {
		if c.name == m.Channel {
			claim := store.AlertClaim{Message: m, Attempt: 1, Left: time.Hour}
			return receipt(claim, c.send(ctx, m), c.redact, 1)
		}
	}
	return store.AlertReceipt{Error: "no such channel"}
}

// Signature is the signature of a webhook's message that is sent at a time.
func Signature(m store.AlertMessage, secret string, now time.Time) string {
	return sign(m, secret, now).Get("Webhook-Signature")
}
