package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// maxAnswer is how much of an answer is read, in bytes; of a bad one, less is shown.
const (
	maxAnswer   = 16 << 10
	shownAnswer = 200
)

// client sends messages by HTTP. It follows no redirects: a message is for the
// one who was configured.
type client struct{ http *http.Client }

func newClient() client {
	return client{&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post sends JSON. Any 2xx is success. What says that this very message cannot be taken is a refusal; all else
// (a wrong address or key too, for those get corrected) is worth a retry.
func (c client) post(ctx context.Context, to string, body []byte, header http.Header) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("make request: not a URL")
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "tminus")
	response, err := c.http.Do(request)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // The text of e begins with the URL.
		}
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return nil
	}
	if err != nil {
		answer = nil
	}
	f := &failure{error: errors.New(response.Status)}
	if text := cut(oneLine(string(answer)), shownAnswer); text != "" {
		f.error = fmt.Errorf("%s: %s", response.Status, text)
	}
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		f.refused = true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.after = retryAfter(response.Header.Get("Retry-After"))
	}
	return f
}

// retryAfter reads the header of that name; 0 means nothing.
func retryAfter(v string) time.Duration {
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(n, 0), int(longestWish/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(time.Until(t), 0)
	}
	return 0
}

func newWebhook(c Config) (*channel, error) {
	to, err := newSecret("alerts.webhook.url", c.Webhook.URL, c.Webhook.URLFile, webURL)
	if err != nil {
		return nil, err
	}
	key, err := newSecret("alerts.webhook.secret", c.Webhook.Secret, c.Webhook.SecretFile, signingKey)
	if err != nil {
		return nil, err
	}
	if !to.given() {
		if key.given() {
			return nil, invalid.Field("alerts.webhook.url", "is empty, but there is a secret; set both or none")
		}
		return nil, nil //nolint:nilnil // No channel.
	}
	client := newClient()
	send := func(ctx context.Context, m store.AlertMessage) error {
		address, err := to.read()
		if err != nil {
			return err
		}
		secret, err := key.read()
		if err != nil {
			return err
		}
		return client.post(ctx, address, m.Body, sign(m, secret, time.Now()))
	}
	return newChannel(channelWebhook, send, to, key), nil
}

// signingKeyPrefix begins a secret whose rest is base64, as standardwebhooks.com has it.
const signingKeyPrefix = "whsec_"

func signingKey(v string) error {
	if encoded, ok := strings.CutPrefix(v, signingKeyPrefix); ok {
		if _, err := base64.StdEncoding.DecodeString(encoded); err != nil {
			return fmt.Errorf("what follows %s is not base64", signingKeyPrefix)
		}
	}
	return nil
}

// sign makes the headers of the Standard Webhooks specification: the message's
// ID, when it is sent and, with a secret, the signature over both and the body.
func sign(m store.AlertMessage, secret string, now time.Time) http.Header {
	seconds := strconv.FormatInt(now.Unix(), 10)
	h := http.Header{}
	h.Set("Webhook-Id", m.ID)
	h.Set("Webhook-Timestamp", seconds)
	if secret == "" {
		return h
	}
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, signingKeyPrefix); ok {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = decoded
		}
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", m.ID, seconds, m.Body)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return h
}

// maxSlackText is where Slack cuts a text, with room to spare, in bytes.
const maxSlackText = 30_000

func newSlack(c Config) (*channel, error) {
	to, err := newSecret("alerts.slack.url", c.Slack.URL, c.Slack.URLFile, webURL)
	if err != nil {
		return nil, err
	}
	text, err := parseText("alerts.slack.text", c.Slack.Text, defaultSlack)
	if err != nil || !to.given() {
		return nil, err
	}
	client := newClient()
	send := func(ctx context.Context, m store.AlertMessage) error {
		address, err := to.read()
		if err != nil {
			return err
		}
		var n Notification
		if err := json.Unmarshal(m.Body, &n); err != nil {
			return refuse("read message: %w", err)
		}
		body, err := json.Marshal(map[string]any{"text": cut(text.render(forSlack(n)), maxSlackText), "unfurl_links": false})
		if err != nil {
			return refuse("write message: %w", err)
		}
		return client.post(ctx, address, body, nil)
	}
	return newChannel(channelSlack, send, to), nil
}

// forSlack escapes what is no text of ours: the characters that Slack reads as
// its own, so that a reason cannot call everyone to the channel.
func forSlack(n Notification) Notification {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	n.From, n.Summary = escape(n.From), escape(n.Summary)
	for _, s := range []*Section{&n.Began, &n.Lasting, &n.Ended} {
		for i := range s.Alerts {
			x := &s.Alerts[i]
			for _, field := range []*string{&x.Schedule, &x.Project, &x.Domain, &x.LaunchPlan, &x.What, &x.Reason, &x.EndReason, &x.Look} {
				*field = escape(*field)
			}
		}
	}
	return n
}

// The limits of PagerDuty's Events API v2.
const maxIncidentSummary = 1024

// event is what the Events API v2 takes.
type event struct {
	RoutingKey  string        `json:"routing_key"`
	EventAction string        `json:"event_action"`
	DedupKey    string        `json:"dedup_key"`
	Client      string        `json:"client,omitempty"`
	Payload     *eventPayload `json:"payload,omitempty"`
}

type eventPayload struct {
	Summary       string `json:"summary"`
	Source        string `json:"source"`
	Severity      string `json:"severity"`
	Timestamp     string `json:"timestamp"`
	Component     string `json:"component,omitempty"`
	Group         string `json:"group,omitempty"`
	Class         string `json:"class,omitempty"`
	CustomDetails any    `json:"custom_details"`
}

// severities are PagerDuty's, of the kinds.
var severities = map[store.AlertKind]string{
	store.AlertDead: "critical", store.AlertFailing: "error", store.AlertMissed: "error", store.AlertLate: "warning",
}

func newPagerDuty(c Config) (*channel, error) {
	key, err := newSecret("alerts.pagerduty.routingKey", c.PagerDuty.RoutingKey, c.PagerDuty.RoutingKeyFile, routingKey)
	if err != nil {
		return nil, err
	}
	if err := webURL(c.PagerDuty.URL); err != nil {
		return nil, invalid.Field("alerts.pagerduty.url", "%v", err)
	}
	text, err := parseText("alerts.pagerduty.summary", c.PagerDuty.Summary, defaultIncident)
	if err != nil || !key.given() {
		return nil, err
	}
	source, err := os.Hostname()
	if err != nil {
		source = c.Name
	}
	client := newClient()
	send := func(ctx context.Context, m store.AlertMessage) error {
		routing, err := key.read()
		if err != nil {
			return err
		}
		var i incident
		if err := json.Unmarshal(m.Body, &i); err != nil {
			return refuse("read message: %w", err)
		}
		e := i.event(routing, source, text)
		body, err := json.Marshal(e)
		if err != nil {
			return refuse("write message: %w", err)
		}
		return client.post(ctx, c.PagerDuty.URL, body, nil)
	}
	return newChannel(channelPagerDuty, send, key), nil
}

// event is i as PagerDuty takes it.
func (i incident) event(routing, source string, summary text) event {
	n := i.Notification
	e := event{RoutingKey: routing, EventAction: i.Action, DedupKey: i.DedupKey}
	s := n.Began
	if s.Count == 0 {
		s = n.Lasting
	}
	if i.Action != "trigger" || len(s.Alerts) == 0 {
		return e // A resolution needs no more.
	}
	first := s.Alerts[0] // The gravest.
	e.Client = "tminus"
	e.Payload = &eventPayload{
		Summary: cut(oneLine(summary.render(n)), maxIncidentSummary), Source: source,
		Severity: severities[first.Kind], Timestamp: instant(first.Since), Class: string(first.Kind),
		CustomDetails: first,
	}
	if s.Count == 1 {
		e.Payload.Component, e.Payload.Group = first.Schedule, first.Project+"/"+first.Domain
	} else {
		e.Payload.CustomDetails = s
	}
	return e
}
