package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// TestAlertsAreListedAndChannelsTried asks a whole tminus.
func TestAlertsAreListedAndChannelsTried(t *testing.T) {
	heard := make(chan string, 10)

	people := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		heard <- r.URL.Path
	}))
	t.Cleanup(people.Close)
	data := filepath.Join(t.TempDir(), "data")
	file := save(t, "tminus.yaml", fmt.Sprintf(`
data: %s
scheduler: {eventScheduler: {scheme: local}, workflowExecutor: {scheme: local}}
alerts: {slack: {url: %q}}
`, data, people.URL+"/s3cret"))
	lasting(t, data)

	p := begin(t, "serve", "--config", file)
	endpoint := p.wait(`gRPC (\S+)`)
	if told := <-heard; told != "/s3cret" {
		t.Errorf("people were told at %s", told)
	}
	code, stdout, stderr := once(t, nil, "alerts", "list", "--endpoint", endpoint)
	if code != 0 || !strings.Contains(stdout, "nightly") || !strings.Contains(stdout, "refused") {
		t.Errorf("list: exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = once(t, nil, "alerts", "test", "--endpoint", endpoint)
	if code != 0 || !strings.Contains(stdout, "slack") || !strings.Contains(stdout, "sent") {
		t.Errorf("test: exit code %d\n%s%s", code, stdout, stderr)
	}
	<-heard
	people.Close()
	code, stdout, stderr = once(t, nil, "alerts", "test", "--endpoint", endpoint)
	if code != 1 || !strings.Contains(stdout, "refused") || strings.Contains(stdout+stderr, "s3cret") {
		t.Errorf("test of a channel that is down: exit code %d\n%s%s", code, stdout, stderr)
	}
	p.end()
}

// lasting puts an alert into a data directory that people were not told of yet.
func lasting(t *testing.T, data string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	id := store.AlertID{Schedule: ident.Key{Project: "default", Domain: "development", Name: "nightly"}, Kind: store.AlertDead}
	err = db.AmendAlerts(t.Context(), []store.AlertID{id}, func(now time.Time, _ []store.Alert) []store.Alert {
		at := now.Add(-time.Hour)
		return []store.Alert{{AlertID: id, Slot: at, Reason: "refused: no such workflow", Since: at, ChangedAt: at}}
	})
	if err != nil {
		t.Fatal(err)
	}
}
