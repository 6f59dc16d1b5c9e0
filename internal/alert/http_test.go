package alert_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/store"
)

// nightly and hourly are alerts as the documentation shows them.
var (
	nightly = store.Alert{
		AlertID: store.AlertID{Schedule: plan("nightly-report"), Kind: store.AlertLate},
		Slot:    time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC), Lateness: 5*time.Minute + time.Second, Limit: 5 * time.Minute,
		Reason: "unavailable: connection refused", Since: time.Date(2026, 11, 24, 6, 5, 1, 0, time.UTC),
	}
	hourly = store.Alert{
		AlertID: store.AlertID{Schedule: plan("hourly-sync"), Kind: store.AlertMissed},
		Slot:    time.Date(2026, 11, 24, 5, 5, 0, 0, time.UTC), Count: 2, Reason: "down until 2026-11-24T05:40:00Z: catch-up is none within 24h0m0s",
		Since:   time.Date(2026, 11, 24, 5, 40, 0, 0, time.UTC),
		EndedAt: time.Date(2026, 11, 24, 6, 5, 2, 0, time.UTC), EndSlot: time.Date(2026, 11, 24, 6, 5, 0, 0, time.UTC),
		ToldAt: time.Date(2026, 11, 24, 5, 40, 10, 0, time.UTC),
	}
	morning = store.AlertBook{Now: time.Date(2026, 11, 24, 6, 5, 11, 0, time.UTC), Alerts: []store.Alert{nightly, hourly}}
)

const key32 = "0123456789abcdef0123456789abcdef"

// request is what a loopback server took.
type request struct {
	path   string
	header http.Header
	body   []byte
}

// listen starts a server that answers as told, and the channel of what it takes.
func listen(t *testing.T, answer http.HandlerFunc) (url string, taken <-chan request) {
	t.Helper()
	requests := make(chan request, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests <- request{r.URL.String(), r.Header, body}
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

// about makes the messages about the alerts in b.
func about(t *testing.T, cfg alert.Config, b store.AlertBook) []store.AlertMessage {
	t.Helper()
	messages, err := alert.Messages(cfg, "ID", b)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// attempt sends messages once each.
func attempt(t *testing.T, cfg alert.Config, messages ...store.AlertMessage) []store.AlertReceipt {
	t.Helper()
	a, err := alert.New(newMemory(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var receipts []store.AlertReceipt
	for _, m := range messages {
		receipts = append(receipts, a.Attempt(t.Context(), m))
	}
	return receipts
}

func sent(t *testing.T, receipts []store.AlertReceipt) {
	t.Helper()
	for _, r := range receipts {
		if r.Result != store.AlertSent {
			t.Fatalf("%s: %s: %s", r.ID, r.Result, r.Error)
		}
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// value decodes JSON.
func value(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

// documented is the example of docs/alerts.md that stands after a heading, as it is there.
func documented(t *testing.T, heading string) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(content), heading)
	_, after, opened := strings.Cut(after, "```")
	_, after, _ = strings.Cut(after, "\n") // What kind of block it is.
	block, _, closed := strings.Cut(after, "\n```")
	if !found || !opened || !closed {
		t.Fatalf("docs/alerts.md has no example after %q", heading)
	}
	return block
}

func TestWebhookTakesWhatIsDocumented(t *testing.T) {
	url, taken := listen(t, nil)
	cfg := alert.Config{Webhook: alert.Webhook{URL: url + "/hook?token=x"}}
	sent(t, attempt(t, cfg, about(t, cfg, morning)...))
	r := <-taken
	same(t, "path", r.path, "/hook?token=x")
	same(t, "body", value(t, r.body), value(t, []byte(documented(t, "### The body"))))
	same(t, "content type", r.header.Get("Content-Type"), "application/json")
	same(t, "ID", r.header.Get("webhook-id"), "ID-webhook")
	same(t, "signature", r.header.Get("webhook-signature"), "")
}

func TestWebhookSignatures(t *testing.T) {
	key := []byte("the key itself")
	for _, tc := range []struct {
		name string
		hook alert.Webhook
	}{
		{"a secret", alert.Webhook{Secret: "the key itself"}},
		{"a secret in base64", alert.Webhook{Secret: "whsec_" + base64.StdEncoding.EncodeToString(key)}},
		{"a file", alert.Webhook{SecretFile: write(t, "the key itself\n")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, taken := listen(t, nil)
			cfg := alert.Config{Webhook: tc.hook}
			cfg.Webhook.URLFile = write(t, url+"\n")
			sent(t, attempt(t, cfg, about(t, cfg, morning)...))
			r := <-taken
			mac := hmac.New(sha256.New, key)
			fmt.Fprintf(mac, "%s.%s.%s", r.header.Get("webhook-id"), r.header.Get("webhook-timestamp"), r.body)
			same(t, "signature", r.header.Get("webhook-signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		})
	}
}

func TestTheVectorOfStandardWebhooks(t *testing.T) {
	// From the specification's reference implementations.
	const secret, id, seconds, body, want = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	same(t, "signature", alert.Signature(store.AlertMessage{ID: id, Body: []byte(body)}, secret, time.Unix(seconds, 0)), want)
}

func TestASecretFileIsReadForEveryMessage(t *testing.T) {
	url, taken := listen(t, nil)
	file := write(t, url+"/old")
	cfg := alert.Config{Slack: alert.Slack{URLFile: file}}
	a, err := alert.New(newMemory(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := about(t, cfg, morning)[0]
	a.Attempt(t.Context(), m)
	same(t, "path", (<-taken).path, "/old")
	if err := os.WriteFile(file, []byte(url+"/new"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Attempt(t.Context(), m)
	same(t, "path", (<-taken).path, "/new")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if r := a.Attempt(t.Context(), m); r.Result != store.AlertRetry || !strings.Contains(r.Error, "alerts.slack.urlFile") {
		t.Errorf("without the file: %+v", r)
	}
}

func TestSlackTakesWhatIsDocumented(t *testing.T) {
	url, taken := listen(t, nil)
	cfg := alert.Config{Slack: alert.Slack{URL: url}}
	sent(t, attempt(t, cfg, about(t, cfg, morning)...))
	got, ok := value(t, (<-taken).body).(map[string]any)
	if !ok {
		t.Fatal("no object")
	}
	same(t, "text", strings.TrimSpace(fmt.Sprint(got["text"])), documented(t, "The default text reads"))
	same(t, "unfurl_links", got["unfurl_links"], any(false))
}

func TestSlackReadsNoMarkupInReasons(t *testing.T) {
	url, taken := listen(t, nil)
	cfg := alert.Config{Slack: alert.Slack{URL: url, Text: "{{range .Began.Alerts}}{{.Reason}} <{{.Look}}>{{else}}-{{end}}"}}
	shout := nightly
	shout.Reason = "<!channel> & <@U1>"
	sent(t, attempt(t, cfg, about(t, cfg, store.AlertBook{Now: morning.Now, Alerts: []store.Alert{shout}})...))
	same(t, "body", value(t, (<-taken).body), any(map[string]any{
		"text":         "&lt;!channel&gt; &amp; &lt;@U1&gt; <tminus firings list -p default -d production nightly-report>",
		"unfurl_links": false,
	}))
}

// TestPagerDutyTakesWhatIsDocumented checks against PagerDuty's own schema of
// the Events API v2: which fields there are, which are required, and what they may be.
func TestPagerDutyTakesWhatIsDocumented(t *testing.T) {
	url, taken := listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	cfg := alert.Config{PagerDuty: alert.PagerDuty{URL: url + "/v2/enqueue", RoutingKey: key32}}
	messages := about(t, cfg, morning)
	same(t, "messages", len(messages), 2)
	sent(t, attempt(t, cfg, messages...))
	for i, action := range []string{"trigger", "resolve"} {
		r := <-taken
		same(t, "path", r.path, "/v2/enqueue")
		event, ok := value(t, r.body).(map[string]any)
		if !ok {
			t.Fatal("no object")
		}
		for field := range event {
			if !strings.Contains(" payload routing_key event_action dedup_key client client_url links images ", " "+field+" ") {
				t.Errorf("unknown field %s", field)
			}
		}
		same(t, "routing key", event["routing_key"], any(key32))
		same(t, "action", event["event_action"], any(action))
		same(t, "dedup key", event["dedup_key"], any([]string{"tminus/late/default/production/nightly-report", "tminus/missed/default/production/hourly-sync"}[i]))
		payload, has := event["payload"].(map[string]any)
		if same(t, "has a payload", has, action == "trigger"); !has {
			continue
		}
		if payload["source"] == "" {
			t.Error("no source")
		}
		payload["source"] = "host"
		event["routing_key"] = "***"
		same(t, "event", any(event), value(t, []byte(documented(t, "the event is"))))
	}
}

func TestPagerDutyTakesAStormAsOne(t *testing.T) {
	url, taken := listen(t, nil)
	cfg := alert.Config{MaxListed: 2, PagerDuty: alert.PagerDuty{URL: url, RoutingKeyFile: write(t, key32)}}
	b := store.AlertBook{Now: morning.Now}
	for i := range 100 {
		x := nightly
		x.Schedule.Name = fmt.Sprintf("s%02d", i)
		b.Alerts = append(b.Alerts, x)
	}
	gravest := hourly
	gravest.Kind, gravest.EndedAt, gravest.ToldAt = store.AlertDead, time.Time{}, time.Time{}
	b.Alerts = append(b.Alerts, gravest)
	messages := about(t, cfg, b)
	same(t, "messages", len(messages), 1)
	sent(t, attempt(t, cfg, messages...))
	var event struct {
		DedupKey string `json:"dedup_key"`
		Payload  struct {
			Summary, Severity string
			Details           alert.Section `json:"custom_details"`
		}
	}
	if err := json.Unmarshal((<-taken).body, &event); err != nil {
		t.Fatal(err)
	}
	same(t, "dedup key", event.DedupKey, "tminus/storm/ID")
	same(t, "summary", event.Payload.Summary, "[tminus] alerts: 101 began (1 dead, 100 late)")
	same(t, "severity", event.Payload.Severity, "critical")
	same(t, "count", event.Payload.Details.Count, 101)
	same(t, "listed", len(event.Payload.Details.Alerts), 2)
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		header [2]string
		body   string
		want   store.AlertResult
		after  time.Duration
		text   string
	}{
		{name: "fine", status: 200, want: store.AlertSent},
		{name: "accepted", status: 202, want: store.AlertSent},
		{name: "no content", status: 204, want: store.AlertSent},
		{name: "what it does not understand", status: 400, body: "invalid\n payload", want: store.AlertLost, text: "400 Bad Request: invalid payload"},
		{name: "too large", status: 413, want: store.AlertLost, text: "413"},
		{name: "a wrong key", status: 401, want: store.AlertRetry, after: time.Second, text: "401 Unauthorized"},
		{name: "a wrong address", status: 404, body: "no_service", want: store.AlertRetry, after: time.Second, text: "404 Not Found: no_service"},
		{name: "too many", status: 429, header: [2]string{"Retry-After", "30"}, want: store.AlertRetry, after: 30 * time.Second, text: "429"},
		{name: "too many, for long", status: 429, header: [2]string{"Retry-After", "999999999"}, want: store.AlertRetry, after: 15 * time.Minute, text: "429"},
		{name: "too many, for ever", status: 429, header: [2]string{"Retry-After", "later"}, want: store.AlertRetry, after: time.Second, text: "429"},
		{name: "broken", status: 500, body: strings.Repeat("é", 1000), want: store.AlertRetry, after: time.Second, text: "500 Internal Server Error: éé"},
		{name: "elsewhere", status: 307, header: [2]string{"Location", "http://127.0.0.1:1/"}, want: store.AlertRetry, after: time.Second, text: "307"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, _ := listen(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.header[0] != "" {
					w.Header().Set(tc.header[0], tc.header[1])
				}
				w.WriteHeader(tc.status)
				if _, err := io.WriteString(w, tc.body); err != nil && tc.body != "" {
					t.Error(err)
				}
			})
			cfg := alert.Config{Webhook: alert.Webhook{URL: url}}
			r := attempt(t, cfg, about(t, cfg, morning)[0])[0]
			same(t, "result", r.Result, tc.want)
			same(t, "after", r.After, tc.after)
			if !strings.HasPrefix(r.Error, tc.text) || len(r.Error) > 300 {
				t.Errorf("got error %q, want %q", r.Error, tc.text)
			}
		})
	}
}

func TestErrorsShowNoSecrets(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		body, err := json.Marshal([]string{r.URL.String(), "http://" + r.Host + r.URL.String(), r.URL.RawQuery, r.Header.Get("Authorization")})
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/pager" {
			body = append(body, key32...)
		}
		if _, err := w.Write(body); err != nil {
			t.Error(err)
		}
	}
	answering, _ := listen(t, echo)
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, base := range []string{answering, closed.URL, "http://no-such-host.invalid"} {
		base = strings.Replace(base, "http://", "http://user:hunter2@", 1)
		cfg := alert.Config{
			Webhook:   alert.Webhook{URL: base + "/hidden/path?token=T0K3N"},
			Slack:     alert.Slack{URL: base + "/services/T000/B000/XXXX"},
			PagerDuty: alert.PagerDuty{URL: strings.Replace(base, "user:hunter2@", "", 1) + "/pager", RoutingKey: key32},
		}
		for _, r := range attempt(t, cfg, about(t, cfg, morning)...) {
			if r.Error == "" {
				t.Errorf("%s: no error", r.ID)
			}
			for _, secret := range []string{"hidden", "T0K3N", "T000", "XXXX", "hunter2", "dXNlcjpodW50ZXIy", key32} {
				if strings.Contains(r.Error, secret) {
					t.Errorf("%s at %s shows %s: %s", r.ID, base, secret, r.Error)
				}
			}
		}
	}
}

// TestOneAlertOnAllChannels runs everything on the real clock, over loopback.
func TestOneAlertOnAllChannels(t *testing.T) {
	var failures atomic.Int32
	url, taken := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slack" && failures.Add(1) == 1 {
			w.WriteHeader(http.StatusBadGateway) // The first time.
		}
	})
	server := newMailServer(t)
	cfg := alert.Config{
		LateAfter: time.Minute,
		Webhook:   alert.Webhook{URL: url + "/hook"}, Slack: alert.Slack{URL: url + "/slack"},
		PagerDuty: alert.PagerDuty{URL: url + "/pager", RoutingKey: key32},
		Email:     alert.Email{SMTP: server.address, TLS: "none", From: "tminus@example.com", To: "oncall@example.com"},
	}
	s := newMemory()
	a, err := alert.New(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, a)
	a.Observe(launched(1, time.Hour))
	got := map[string]int{}
	for len(got) < 3 || got["/slack"] < 2 {
		got[(<-taken).path]++
	}
	if m := <-server.taken; !strings.Contains(m.data, "Subject: [tminus] late: default/production/a") {
		t.Errorf("mail: %s", m.data)
	}
	stop()
	if n := s.settled()[store.AlertSent]; n < 3 { // What was under way at the stop may be due again.
		t.Errorf("%d messages are known to be sent", n)
	}
	same(t, "attempts", got, map[string]int{"/hook": 1, "/slack": 2, "/pager": 1})
}

func TestASlowServerIsLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url, taken := listen(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cfg := alert.Config{Webhook: alert.Webhook{URL: url}}
	m := about(t, cfg, morning)[0]
	a, err := alert.New(newMemory(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-taken
		cancel()
	}()
	if r := a.Attempt(ctx, m); r.Result != store.AlertRetry || !strings.Contains(r.Error, "context canceled") {
		t.Errorf("%+v", r)
	}
}
