package alert_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

func TestBadConfigurationNamesTheKeyAndTheFix(t *testing.T) {
	mailing := alert.Email{SMTP: "smtp.example.com:587", From: "tminus@example.com", To: "oncall@example.com"}
	with := func(change func(*alert.Email)) alert.Config {
		e := mailing
		change(&e)
		return alert.Config{Email: e}
	}
	for _, tc := range []struct {
		name    string
		cfg     alert.Config
		key     string
		problem string
	}{
		{"a negative limit", alert.Config{LateAfter: -time.Second}, "alerts.lateAfter", "0 or more"},
		{"a negative reminder", alert.Config{Remind: -1}, "alerts.remind", "0 or more"},
		{"too many listed", alert.Config{MaxListed: 1000}, "alerts.maxListed", "1 to 200"},
		{"a name of two lines", alert.Config{Name: "a\nb"}, "alerts.name", "one line"},
		{"no URL", alert.Config{Webhook: alert.Webhook{URL: "s3cret"}}, "alerts.webhook.url", "https://"},
		{"two URLs", alert.Config{Slack: alert.Slack{URL: "https://example.com", URLFile: "x"}}, "alerts.slack.urlFile", "alerts.slack.url is set as well"},
		{"a file that is not there", alert.Config{Slack: alert.Slack{URLFile: "/no/such/file"}}, "alerts.slack.urlFile", "no such file"},
		{"an empty file", alert.Config{Slack: alert.Slack{URLFile: write(t, " \n")}}, "alerts.slack.urlFile", "is empty"},
		{"a file with no URL", alert.Config{Slack: alert.Slack{URLFile: write(t, "s3cret")}}, "alerts.slack.urlFile", "https://"},
		{"a secret for nothing", alert.Config{Webhook: alert.Webhook{Secret: "x"}}, "alerts.webhook.url", "is empty"},
		{"a bad secret", alert.Config{Webhook: alert.Webhook{URL: "https://example.com", Secret: "whsec_s3cret!"}}, "alerts.webhook.secret", "base64"},
		{"a routing key of another kind", alert.Config{PagerDuty: alert.PagerDuty{RoutingKey: "s3cret"}}, "alerts.pagerduty.routingKey", "32"},
		{"a URL of PagerDuty", alert.Config{PagerDuty: alert.PagerDuty{URL: "events"}}, "alerts.pagerduty.url", "https://"},
		{"mail from nobody", with(func(e *alert.Email) { e.From = "" }), "alerts.email.from", "is empty"},
		{"mail to nobody", with(func(e *alert.Email) { e.To = "" }), "alerts.email.to", "is empty"},
		{"mail by nobody", with(func(e *alert.Email) { e.SMTP = "" }), "alerts.email.smtp", "is empty"},
		{"a mail server without a port", with(func(e *alert.Email) { e.SMTP = "smtp.example.com" }), "alerts.email.smtp", "host:port"},
		{"a mail server with a bad port", with(func(e *alert.Email) { e.SMTP = "smtp.example.com:0" }), "alerts.email.smtp", "1 to 65535"},
		{"a bad sender", with(func(e *alert.Email) { e.From = "tminus" }), "alerts.email.from", "tminus@example.com"},
		{"a bad recipient", with(func(e *alert.Email) { e.To = "a@example.com; b" }), "alerts.email.to", "separated by commas"},
		{"TLS of another kind", with(func(e *alert.Email) { e.TLS = "ssl" }), "alerts.email.tls", "starttls, implicit, none"},
		{"a user without a password", with(func(e *alert.Email) { e.Username = "u" }), "alerts.email.username", "set both or none"},
		{"a password without a user", with(func(e *alert.Email) { e.Password = "s3cret" }), "alerts.email.username", "set both or none"},
		{"a password in the clear", with(func(e *alert.Email) { e.Username, e.Password, e.TLS = "u", "s3cret", "none" }), "alerts.email.tls", "in the clear"},
		{"a template that does not parse", alert.Config{Slack: alert.Slack{Text: "{{.Summary"}}, "alerts.slack.text", "unclosed action"},
		{"a template with an unknown field", alert.Config{PagerDuty: alert.PagerDuty{Summary: "{{.Sumary}}"}}, "alerts.pagerduty.summary", "Sumary"},
		{"a template that fails on recoveries", alert.Config{Email: alert.Email{Body: "{{(index .Began.Alerts 0).What}}"}}, "alerts.email.body", "index out of range"},
		{"a template that says nothing of recoveries", alert.Config{Email: alert.Email{Subject: "{{range .Began.Alerts}}{{.What}}{{end}}"}}, "alerts.email.subject", "empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := alert.New(newMemory(), tc.cfg)
			var e *invalid.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			same(t, "key", e.Field, tc.key)
			if !strings.Contains(e.Problem, tc.problem) || strings.Contains(e.Problem, "s3cret") {
				t.Errorf("got %q, want %q", e.Problem, tc.problem)
			}
		})
	}
}

func TestNoChannelIsNoError(t *testing.T) {
	if _, err := alert.New(newMemory(), alert.Config{}); err != nil {
		t.Error(err)
	}
	if err := (alert.Config{Slack: alert.Slack{URLFile: "/no/such/file"}}).Validate(); err != nil {
		t.Errorf("validation reads files: %v", err)
	}
}

func TestTemplatesOfTheConfiguration(t *testing.T) {
	url, taken := listen(t, nil)
	cfg := alert.Config{
		Name:      "prod",
		PagerDuty: alert.PagerDuty{URL: url, RoutingKey: key32, Summary: "{{.From}}\n{{range .Began.Alerts}}{{.LaunchPlan}} {{.Lateness}} > {{.Limit}}, {{instant .Since}}{{else}}-{{end}}"},
	}
	sent(t, attempt(t, cfg, about(t, cfg, store.AlertBook{Now: morning.Now, Alerts: []store.Alert{nightly}})...))
	if body := string((<-taken).body); !strings.Contains(body, `"summary":"prod nightly-report 5m1s \u003e 5m, 2026-11-24T06:05:01Z"`) {
		t.Errorf("body: %s", body)
	}
}

// A template can fail on what no sample has. People are told all the same.
func TestATemplateThatFailsAfterAllKeepsNothingFromPeople(t *testing.T) {
	url, taken := listen(t, nil)
	cfg := alert.Config{Slack: alert.Slack{URL: url, Text: `{{if eq .From "prod"}}{{index .Began.Alerts 9}}{{end}}{{.Summary}}`}, Name: "prod"}
	sent(t, attempt(t, cfg, about(t, cfg, morning)...))
	body := string((<-taken).body)
	for _, want := range []string{"nightly-report", "template alerts.slack.text"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
}

func TestWhatToLookAtIsSafeToPaste(t *testing.T) {
	for name, want := range map[string]string{
		"nightly":         "tminus firings list -p default -d production nightly",
		"a;rm$HOME":       "tminus firings list -p default -d production 'a;rm$HOME'",
		"it's":            `tminus firings list -p default -d production 'it'\''s'`,
		"-v":              "tminus firings list -p default -d production -- -v",
		"flytesnacks.wf1": "tminus firings list -p default -d production flytesnacks.wf1",
	} {
		url, taken := listen(t, nil)
		cfg := alert.Config{PagerDuty: alert.PagerDuty{URL: url, RoutingKey: key32, Summary: "{{range .Began.Alerts}}{{.Look}}{{else}}-{{end}}"}}
		x := nightly
		x.Schedule.Name = name
		sent(t, attempt(t, cfg, about(t, cfg, store.AlertBook{Now: morning.Now, Alerts: []store.Alert{x}})...))
		event, ok := value(t, (<-taken).body).(map[string]any)
		if !ok {
			t.Fatal("no object")
		}
		payload, ok := event["payload"].(map[string]any)
		if !ok {
			t.Fatal("no payload")
		}
		same(t, name, payload["summary"], any(want))
	}
}
