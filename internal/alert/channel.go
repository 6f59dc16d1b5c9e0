package alert

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"tminus.dev/internal/store"
)

// The channels, as messages name them.
const (
	channelWebhook   = "webhook"
	channelSlack     = "slack"
	channelPagerDuty = "pagerduty"
	channelEmail     = "email"
)

// channel is one place where people are told.
type channel struct {
	name string
	// secrets are what no error may show.
	secrets []secret
	// send delivers a message. It keeps to its ctx, or ends soon after.
	send func(ctx context.Context, m store.AlertMessage) error
	wake chan struct{}
	// state is how the last attempts went.
	state trouble
}

func newChannel(name string, send func(context.Context, store.AlertMessage) error, secrets ...secret) *channel {
	return &channel{name: name, secrets: secrets, send: send, wake: make(chan struct{}, 1)}
}

// failure is an attempt to send that failed, with what follows from it.
type failure struct {
	error
	// refused says that no retry can help.
	refused bool
	// after is the least time to wait before a retry, as the other side wants it.
	after time.Duration
}

func (f *failure) Unwrap() error { return f.error }

// trouble remembers what goes wrong.
type trouble struct {
	mu    sync.Mutex
	since time.Time
	text  string
	lost  int
}

// note records how an attempt went; "" is well.
func (t *trouble) note(text string, lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text != "" && t.text == "" {
		t.since = time.Now()
	}
	t.text = text
	t.lost += lost
}

// expire forgets what is older than d.
func (t *trouble) expire(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.since) > d {
		t.text = ""
	}
}

// problem is t for people; ok is false when all is well.
func (t *trouble) problem(where string) (p Problem, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text == "" {
		return Problem{}, false
	}
	return Problem{Where: where, Since: t.since, Error: t.text, Lost: t.lost}, true
}

// How messages are sent. An attempt ends before its lease does.
const (
	attemptTimeout = 30 * time.Second
	messageLease   = 90 * time.Second
	settleTimeout  = 5 * time.Second
	// The pause after a failed attempt doubles from the first to the last of these.
	firstPause = time.Second
	lastPause  = 5 * time.Minute
	// longestWish is the longest pause that another side may ask for.
	longestWish = 15 * time.Minute
)

// deliver sends a channel's messages, in order, until ctx ends.
func (a *Alerter) deliver(ctx context.Context, c *channel) {
	failed := 0
	for ctx.Err() == nil {
		claim, err := a.store.ClaimAlertMessage(ctx, c.name, messageLease)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failed++
			a.cfg.Log.ErrorContext(ctx, "cannot read the messages of alerts; trying again",
				slog.String("channel", c.name), slog.Any("error", err))
			sleep(ctx, nil, pause(failed))
			continue
		case claim.Attempt == 0:
			wait := poll
			if claim.Wait > 0 {
				wait = min(wait, claim.Wait)
			}
			sleep(ctx, c.wake, wait)
		default:
			a.attempt(ctx, c, claim)
		}
		failed = 0
	}
}

// attempt sends one message and records how that went. If this process ends
// before that is recorded, the message is sent again, with the same ID.
func (a *Alerter) attempt(ctx context.Context, c *channel, claim store.AlertClaim) {
	began := time.Now()
	sending, cancel := context.WithTimeout(ctx, attemptTimeout)
	err := c.send(sending, claim.Message)
	cancel()
	claim.Left -= time.Since(began)
	r := receipt(claim, err, c.redact, rand.Float64()) //nolint:gosec // Jitter needs no secrecy.
	if err != nil && ctx.Err() != nil {
		// Told to stop: the next to run sends it.
		r.Result, r.After = store.AlertRetry, firstPause
	}
	a.note(ctx, c, claim, r)
	for tries := 1; ; tries++ {
		settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		err := a.store.SettleAlertMessage(settling, r)
		cancel()
		switch {
		case err == nil:
			return
		case errors.Is(err, store.ErrNotFound):
			a.cfg.Log.WarnContext(ctx, "a message about alerts took longer than its lease; it may be sent twice",
				slog.String("channel", c.name), slog.String("message", claim.Message.ID))
			return
		case ctx.Err() != nil || time.Since(began) > messageLease:
			a.cfg.Log.ErrorContext(ctx, "cannot record what became of a message about alerts; it may be sent twice",
				slog.String("channel", c.name), slog.String("message", claim.Message.ID), slog.Any("error", err))
			return
		}
		sleep(ctx, nil, pause(tries))
	}
}

// note tells operators of an attempt.
func (a *Alerter) note(ctx context.Context, c *channel, claim store.AlertClaim, r store.AlertReceipt) {
	attrs := []any{slog.String("channel", c.name), slog.String("message", r.ID), slog.Int("attempt", claim.Attempt)}
	switch r.Result {
	case store.AlertSent:
		c.state.note("", 0)
		a.cfg.Log.DebugContext(ctx, "alerts sent", attrs...)
	case store.AlertRetry:
		if ctx.Err() != nil {
			return
		}
		c.state.note(r.Error, 0)
		a.cfg.Log.WarnContext(ctx, "cannot send alerts; trying again", append(attrs, slog.String("error", r.Error), slog.Duration("pause", r.After))...)
	case store.AlertLost:
		c.state.note(r.Error, 1)
		a.cfg.Log.ErrorContext(ctx, "cannot send alerts; given up", append(attrs, slog.String("error", r.Error))...)
	}
}

// receipt decides what follows from an attempt. jitter is from 0 to 1. A failed
// message is tried until its deadline, the last time when that has come.
func receipt(claim store.AlertClaim, err error, redact func(string) string, jitter float64) store.AlertReceipt {
	r := store.AlertReceipt{ID: claim.Message.ID, Attempt: claim.Attempt, Result: store.AlertSent}
	if err == nil {
		return r
	}
	r.Error = oneLine(redact(err.Error()))
	f := &failure{}
	if errors.As(err, &f) && f.refused || claim.Left <= 0 {
		r.Result = store.AlertLost
		return r
	}
	r.Result = store.AlertRetry
	r.After = time.Duration((0.5 + jitter/2) * float64(pause(claim.Attempt)))
	r.After = min(max(r.After, min(f.after, longestWish)), claim.Left)
	return r
}

// pause is the longest pause after so many failures.
func pause(failures int) time.Duration {
	p := firstPause
	for range failures - 1 {
		if p *= 2; p >= lastPause {
			return lastPause
		}
	}
	return p
}

// redact removes c's secrets from a text, and what of them a peer might repeat.
func (c *channel) redact(s string) string {
	for _, x := range c.secrets {
		value, err := x.read()
		if err != nil {
			continue
		}
		forms := []string{value}
		if u, err := url.Parse(value); err == nil && u.Host != "" {
			forms = append(forms, u.RequestURI(), u.Path, u.RawQuery, u.User.String(), base64.StdEncoding.EncodeToString([]byte(u.User.String())))
			if password, given := u.User.Password(); given {
				forms = append(forms, password)
			}
		}
		for _, f := range forms {
			if len(f) > 1 { // Not "/".
				s = strings.ReplaceAll(s, f, "***")
			}
		}
	}
	return s
}

// readAll reads the secrets that are given, so that a file that is not there is an error at the start.
func (c *channel) readAll() error {
	for _, x := range c.secrets {
		if _, err := x.read(); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for d, for wake or for the end of ctx.
func sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}

func refuse(format string, args ...any) error {
	return &failure{error: fmt.Errorf(format, args...), refused: true}
}
