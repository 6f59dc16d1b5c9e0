package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/alert"
	"tminus.dev/internal/cli"
	"tminus.dev/internal/config"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/manifest"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
)

func serveCommand(environ []string) *cobra.Command {
	var apply []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run tminus: the API, the engine that fires schedules and the runner of their executions",
		Long: `Run tminus until Ctrl-C: the gRPC and REST APIs, the engine that fires schedules
and the runner that runs their executions on this machine.

Everything it knows is in the data directory and, where database.url is set, in
PostgreSQL; started again on the same ones, it carries on where it stopped.`,
		Args: cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, environ)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, apply, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	settingsFlags(cmd)
	cmd.Flags().StringArrayVar(&apply, "apply", nil, "register and activate this manifest, or the manifests in this directory, once started (repeatable)")
	return cmd
}

// serve runs until ctx ends. Then requests, launches and tasks come to their
// ends side by side, each within its own bound, and the database is closed last.
func serve(ctx context.Context, c *config.Config, apply []string, stdout, stderr io.Writer) (err error) {
	log := newLogger(c.Log, stderr)
	db, listening, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if e := db.Close(); err == nil && e != nil {
			err = e
		}
	}()
	if err := defaultProject(ctx, db); err != nil {
		return err
	}
	grpcListener, err := listen(ctx, c.Server.GRPCAddr)
	if err != nil {
		return fmt.Errorf("server.grpcAddr: %w", err)
	}
	httpListener, err := listen(ctx, c.Server.HTTPAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("server.httpAddr: %w", err), grpcListener.Close())
	}

	c.Alerts.Log = log
	alerter, err := alert.New(db, c.Alerts)
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	watcher := alert.NewWatcher(db, alerter)

	keeper, err := newKeeper(ctx, c, db, log)
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	screen := newScreen(stdout)
	defer screen.close()
	finished := func(x store.Execution) {
		screen.finished(x)
		watcher.Finished(x)
		if err := keeper.engine.Ended(context.WithoutCancel(ctx), x); err != nil {
			log.Error("cannot apply the policies that follow an execution", slog.String("execution", x.String()), slog.Any("error", err))
		}
	}
	settled := func(firings []schedule.Firing) {
		screen.settled(firings)
		watcher.Settled(firings)
	}
	run := runner.New(db, runner.Config{
		Dir: c.Data, Mode: runner.Mode(c.Runner.Mode), Parallel: c.Runner.Parallel, Grace: c.Runner.Grace, Drain: c.Runner.Drain,
		Shared: c.Database.URL != "", Log: log, Finished: finished,
	})
	settings := server.Config{Version: version(), Data: c.Data, Silent: keeper.silence, Log: log, TestAlerts: alerter.Test}
	keeper.serve(&settings)
	where, err := newPlaces(ctx, c, db, run, log, flyte.LauncherConfig{Finished: finished, Settled: settled},
		flyte.FollowerConfig{Express: settings.Express, Changed: func() { keeper.Wake() }})
	if err != nil {
		return errors.Join(err, grpcListener.Close(), httpListener.Close())
	}
	defer func() { err = errors.Join(err, where.close()) }()
	where.serve(&settings)
	keeper.launching = where.problem
	settings.Warnings = func() []string { return slices.Concat(untold(alerter.Problems()), keeper.warnings(), where.warnings()) }
	tuned := shared(c)
	tuned.Rate = engine.Rate{
		PerSecond: c.Launches.PerSecond, Burst: c.Launches.Burst,
		ProjectPerSecond: c.Launches.ProjectPerSecond, ProjectBurst: c.Launches.ProjectBurst,
	}
	tuned.Sweep = engine.Sweep{
		Every: c.Sweep.Every, Firings: c.Retention.Firings, Executions: c.Retention.Executions, Keep: c.Retention.Keep, Pruned: run.Forget,
	}
	tuned.Log, tuned.Paused = log, watcher.Paused
	tuned.Settled, tuned.Heard, keeper.dropped = settled, keeper.heard(), settled
	where.tune(c, &tuned)
	keeper.engine = engine.New(db, where, tuned)
	srv := server.New(db, where, keeper, settings)

	stopped := ctx
	defer context.AfterFunc(stopped, func() { screen.stopping(c.Runner.Drain) })()
	if keeper.fires() {
		// It ends last: what the others do until then is told too.
		watching, stop := context.WithCancel(context.WithoutCancel(ctx))
		var watched errgroup.Group
		watched.Go(func() error { return watcher.Run(watching) })
		defer func() {
			stop()
			err = errors.Join(err, watched.Wait())
		}()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return srv.Serve(ctx, grpcListener, httpListener) })
	g.Go(func() error { return run.Run(ctx) })
	g.Go(func() error { return keeper.run(ctx) })
	g.Go(func() error { return where.run(ctx) })
	g.Go(func() error { return listening(ctx, func() { keeper.Wake(); where.Wake() }) })
	g.Go(func() error {
		screen.started(c.Data, grpcListener.Addr(), httpListener.Addr(), keeper.silence())
		err := applyAll(ctx, grpcListener.Addr(), apply, screen, log)
		if err == nil {
			err = screen.schedules(ctx, db, keeper.silence(), where.follows())
		}
		if stopped.Err() != nil {
			err = nil // Told to stop while it was starting.
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	screen.stopped()
	return nil
}

// untold says what keeps people from being told of alerts.
func untold(problems []alert.Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, fmt.Sprintf("alerts: %s: %s, since %s", p.Where, p.Error, p.Since.UTC().Format(time.RFC3339)))
	}
	return all
}

// defaultProject makes the project that a manifest or command means when it names none.
func defaultProject(ctx context.Context, db database) error {
	spec, err := proto.Marshal(&admin.Project{Id: "default", Name: "default"})
	if err != nil {
		return fmt.Errorf("make project default: %w", err)
	}
	err = db.CreateProject(ctx, store.Project{ID: "default", Name: "default", Spec: spec, CreatedAt: time.Now()})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	return nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; pick another address (port 0 finds a free one)", err)
	}
	return l, nil
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // The configuration takes nothing else.
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// applyAll applies manifests as any client would, over gRPC.
func applyAll(ctx context.Context, address net.Addr, paths []string, screen *screen, log *slog.Logger) error {
	if len(paths) == 0 {
		return nil
	}
	conn, err := grpc.NewClient(address.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	defer conn.Close()
	report, err := manifest.Apply(ctx, conn, paths, manifest.Options{Activate: true})
	if err != nil {
		return err
	}
	screen.applied(paths, report)
	for _, r := range report.Results {
		if r.Err != nil { // It stops nobody else: what is in the database fires.
			log.ErrorContext(ctx, "cannot apply; correct it and run tminus apply", slog.Any("error", r.Err))
		}
	}
	return nil
}

// upcoming is how many schedules are shown at the start.
const upcoming = 20

// schedules shows what is scheduled, the soonest first.
func (s *screen) schedules(ctx context.Context, db database, silence, follows string) error {
	list, err := db.Schedules(ctx, store.Query{
		Filters: []store.Filter{{Field: "active", Op: store.Eq, Values: []string{"true"}}},
		Limit:   upcoming + 1,
	})
	if err != nil {
		return err
	}
	s.scheduled(list, time.Now(), silence, follows)
	return nil
}
