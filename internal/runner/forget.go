package runner

import (
	"log/slog"
	"os"
	"path/filepath"

	"tminus.dev/internal/store"
)

// Forget deletes the files of executions that are not in the database any more.
// What cannot be deleted is logged and left.
func (r *Runner) Forget(es []store.Execution) {
	for _, e := range es {
		if err := os.RemoveAll(filepath.Join(r.cfg.Dir, executionDir(e.Key))); err != nil {
			r.cfg.Log.Warn("cannot delete the files of an old execution", slog.String("execution", e.String()), slog.Any("error", err))
		}
	}
}
