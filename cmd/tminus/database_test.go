package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tminus.dev/internal/store/postgres/postgrestest"
)

// configured is a configuration on a database.
func configured(t *testing.T, url, more string) string {
	t.Helper()
	return save(t, "tminus.yaml", fmt.Sprintf(`
data: %s
database: {url: "%s"%s}
server: {httpAddr: "127.0.0.1:0", grpcAddr: "127.0.0.1:0"}
scheduler: {eventScheduler: {scheme: local}, workflowExecutor: {scheme: local}}
`, filepath.Join(t.TempDir(), "data"), url, more))
}

func TestServeOnPostgreSQL(t *testing.T) {
	url := postgrestest.Shared(t).Empty(t)
	one := begin(t, "serve", "--config", configured(t, url, ""), "--apply", save(t, "adder.yaml", manual))
	endpoint := one.wait(`gRPC (\S+)`)
	one.wait(`activated +adder`)
	if code, stdout, stderr := once(t, nil, "executions", "create", "adder", "--input", "n=41", "--endpoint", endpoint); code != 0 {
		t.Fatalf("create: exit code %d\n%s%s", code, stdout, stderr)
	}
	name := one.wait(`succeeded +adder +(\S+) +in \S+ +n=42`)

	// Another one, with a data directory of its own, knows all of it.
	two := begin(t, "serve", "--config", configured(t, url, ", migrate: false"))
	endpoint = two.wait(`gRPC (\S+)`)
	if code, stdout, _ := once(t, nil, "executions", "get", name, "--endpoint", endpoint); code != 0 || !strings.Contains(stdout, "n = 42") {
		t.Errorf("from the other replica: exit code %d\n%s", code, stdout)
	}
	two.end()
	one.end()
}

func TestMigrate(t *testing.T) {
	for name, file := range map[string]string{
		"SQLite":     configured(t, "", ""),
		"PostgreSQL": configured(t, postgrestest.Shared(t).Empty(t), ""),
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, stderr := once(t, nil, "migrate", "--check", "--config", file); code != 1 {
				t.Errorf("before: exit code %d, %s", code, stderr)
			}
			code, stdout, stderr := once(t, nil, "migrate", "--config", file)
			if code != 0 || !strings.Contains(stdout, "KNOWN") {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			if code, _, stderr := once(t, nil, "migrate", "--check", "--config", file); code != 0 {
				t.Errorf("after: exit code %d, %s", code, stderr)
			}
		})
	}
}

func TestServeLeavesASchemaAlone(t *testing.T) {
	file := configured(t, postgrestest.Shared(t).Empty(t), ", migrate: false")
	code, _, stderr := once(t, nil, "serve", "--config", file)
	if code != 1 || !strings.Contains(stderr, "tminus migrate") || strings.Contains(stderr, "secret") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
