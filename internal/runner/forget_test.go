package runner_test

import (
	"os"
	"path/filepath"
	"testing"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/store"
)

func TestForgetDeletesTheFilesOfThoseExecutionsAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"old", "new"} {
		if err := os.MkdirAll(filepath.Join(dir, "executions/etl/production", name, "n0/0"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r := runner.New(nil, runner.Config{Dir: dir})
	old := store.Execution{Key: ident.Key{Project: "etl", Domain: "production", Name: "old"}}
	r.Forget([]store.Execution{old, old})
	if _, err := os.Stat(filepath.Join(dir, "executions/etl/production/old")); !os.IsNotExist(err) {
		t.Errorf("the old one's: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "executions/etl/production/new/n0/0")); err != nil {
		t.Errorf("the new one's: %v", err)
	}
}
