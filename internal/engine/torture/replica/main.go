// Command replica is one engine on a shared PostgreSQL, to be tortured: it
// launches to files of a directory, as a target that knows executions by their
// names, and writes a line for each launch.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store/postgres"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "replica:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, dir string) error {
	db, err := postgres.Open(ctx, postgres.Config{URL: url, Answer: 5 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	cfg := engine.Shared()
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	eng := engine.New(db, target(dir), cfg)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return db.Listen(ctx, eng.Wake) })
	g.Go(func() error { return eng.Run(ctx) })
	return g.Wait()
}

// target is a directory with a file for each execution.
type target string

func (t target) Launch(_ context.Context, fs []schedule.Firing) []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = t.launch(f)
	}
	return errs
}

// launch makes the file of f's execution, unless it is there, and says when.
func (t target) launch(f schedule.Firing) error {
	text := fmt.Sprintf("%s %d\n", f.LaunchPlan.Name, f.Slot.Unix())
	draft := filepath.Join(string(t), fmt.Sprintf(".%s-%d", f.Execution(), os.Getpid()))
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	defer os.Remove(draft)
	err := os.Link(draft, filepath.Join(string(t), f.Execution())) // All of it or nothing, and only once.
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		_, err = os.Stdout.WriteString(text)
	}
	return err
}

func (target) Terminate(context.Context, ident.Key, string, string) error { return nil }
