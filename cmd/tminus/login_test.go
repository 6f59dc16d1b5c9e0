package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tminus.dev/internal/cli"
)

func TestLoginSaysWhyItCannot(t *testing.T) {
	flytectl := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(flytectl, []byte("admin: {endpoint: \"dns:///127.0.0.1:1\", insecure: true, authType: Pkce, maxRetries: 0}\nlogger: {level: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		environ []string
		want    []string
	}{
		{"no flyteadmin", nil, []string{"admin.endpoint is empty", "--config"}},
		{"nothing for people", []string{"TMINUS_ADMIN_ENDPOINT=dns:///127.0.0.1:1"}, []string{"admin.authType", "is ClientSecret", "Pkce or DeviceFlow"}},
		{"a flyteadmin that is down", []string{"TMINUS_ADMIN_CONFIG_FILE=" + flytectl}, []string{"cannot ask flyteadmin how to get a token", "connection refused"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("XDG_CONFIG_HOME", home)
			var stdout, stderr strings.Builder
			if code := run(t.Context(), []string{"login"}, tc.environ, strings.NewReader(""), &stdout, &stderr); code != cli.ExitFailed {
				t.Errorf("exit code %d", code)
			}
			for _, want := range tc.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("got %q, want %q in it", stderr.String(), want)
				}
			}
		})
	}
}
