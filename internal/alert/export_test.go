package alert

import (
	"context"
	"crypto/tls"

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
