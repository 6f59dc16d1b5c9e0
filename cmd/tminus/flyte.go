package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"tminus.dev/internal/config"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
)

// places are where executions run: on this machine and, where there is one, on a
// Flyte, which then takes all that is launched from now on.
type places struct {
	*runner.Runner
	db       database
	conn     *grpc.ClientConn // nil without a Flyte
	launcher *flyte.Launcher  // nil without a Flyte
	launches bool             // on the Flyte; otherwise it only follows what it launched before
	follower *flyte.Follower  // nil where launch plans are registered here
	endpoint string
}

// newPlaces connects to the Flyte of the configuration. finished and settled are
// told of what becomes of executions there, changed of schedules that changed.
func newPlaces(ctx context.Context, c *config.Config, db database, run *runner.Runner, log *slog.Logger, l flyte.LauncherConfig, f flyte.FollowerConfig) (*places, error) {
	p := &places{Runner: run, db: db, endpoint: c.Admin.Endpoint, launches: c.Launcher == config.OnFlyte}
	if c.Admin.Endpoint == "" {
		open, err := db.NextElsewhere(ctx)
		if err == nil && !open.IsZero() {
			log.WarnContext(ctx, "executions of before run on a Flyte, and nobody follows them; leave admin.endpoint as it was until they have ended")
		}
		return p, err
	}
	once := c.Admin
	once.MaxRetries = 0 // What is asked for again, and when, is decided by those who know how much there is to do.
	conn, err := flyte.Dial(ctx, once, log)
	if err != nil {
		return nil, err
	}
	p.conn = conn
	l.Concurrency, l.CallTime, l.Log = c.Flyte.Concurrency, c.Admin.PerRetryTimeout, log
	p.launcher = flyte.NewLauncher(conn, db, l)
	if c.Source == config.OnFlyte {
		f.Every, f.All, f.Projects, f.Log = c.Flyte.FollowEvery, c.Flyte.ListEvery, c.Flyte.Projects, log
		p.follower = flyte.NewFollower(conn, db, f)
	}
	return p, nil
}

// Launch starts executions where they run. What was launched here before, by a
// tminus that did not come to record it, is not launched on a Flyte as well.
func (p *places) Launch(ctx context.Context, firings []schedule.Firing) []error {
	if !p.launches {
		return p.Runner.Launch(ctx, firings)
	}
	errs := make([]error, len(firings))
	var left []schedule.Firing
	var of []int // the firings of left
	for i, f := range firings {
		x, err := p.db.Execution(ctx, ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain, Name: f.Execution()})
		switch {
		case err == nil && x.Runner != store.Elsewhere && x.Launches(f.LaunchPlan.Key, f.Slot):
		case err != nil && !errors.Is(err, store.ErrNotFound):
			errs[i] = err
		default:
			left, of = append(left, f), append(of, i)
		}
	}
	for n, err := range p.launcher.Launch(ctx, left) {
		errs[of[n]] = err
	}
	return errs
}

// Terminate ends an execution where it runs: those of before run here to their end.
func (p *places) Terminate(ctx context.Context, key ident.Key, cause, by string) error {
	if p.launcher != nil {
		x, err := p.db.Execution(ctx, key)
		if err != nil {
			return err
		}
		if x.Runner == store.Elsewhere {
			return p.launcher.Terminate(ctx, key, cause, by)
		}
	}
	return p.Runner.Terminate(ctx, key, cause, by)
}

// Wake tells those who run executions that there is something to do.
func (p *places) Wake() {
	p.Runner.Wake()
	if p.launcher != nil {
		p.launcher.Wake()
	}
}

// tune has the engine launch as fast as Flyte takes it.
func (p *places) tune(c *config.Config, e *engine.Config) {
	if p.launcher == nil {
		return
	}
	e.Find, e.Before = p.launcher.Find, !p.launches
	if !p.launches {
		return
	}
	e.Room = p.launcher.Room
	if p.follower != nil {
		e.Room = p.follower.Room(p.launcher.Room)
	}
	if limit := c.Scheduler.WorkflowExecutor.Local.AdminRateLimit; e.Rate.PerSecond == 0 && limit.TPS > 0 {
		// The engine takes a while's worth at once, which the launcher asks for at this rate.
		e.Rate.PerSecond, e.Rate.Burst = limit.TPS, max(limit.Burst, int(2*limit.TPS))
		p.launcher.Limit(limit.TPS, limit.Burst)
	}
}

// serve gives the API what it needs to know of a Flyte.
func (p *places) serve(c *server.Config) {
	if p.launches {
		c.LaunchesOn = p.endpoint
	}
	if p.follower != nil {
		c.Follows = followed{p.follower}
	}
}

// follows is where the Flyte is whose launch plans fire here, if there is one.
func (p *places) follows() string {
	if p.follower == nil {
		return ""
	}
	return p.endpoint
}

// followed is a follower as the API sees it.
type followed struct{ *flyte.Follower }

func (f followed) Following() server.Following { return server.Following(f.Follower.Following()) }

// problem says why nothing launches at present.
func (p *places) problem() string {
	if !p.launches {
		return ""
	}
	if why := p.launcher.Problem(); why != "" {
		return "launches are held back: " + why
	}
	if p.follower != nil && !p.follower.Ready() {
		return "launches wait until the launch plans on Flyte are listed for the first time" + because(p.follower.Following().Problem)
	}
	return ""
}

// because is the rest of a sentence that may have a reason.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// warnings says what of a Flyte does not work that leaves schedules firing.
func (p *places) warnings() (all []string) {
	if p.follower == nil {
		return nil
	}
	f := p.follower.Following()
	if f.Problem != "" {
		last := "never"
		if !f.Asked.IsZero() {
			last = "at " + f.Asked.UTC().Format(time.RFC3339)
		}
		all = append(all, fmt.Sprintf("launch plans are not followed, or not all, and were last asked for %s: %s", last, f.Problem))
	}
	if n := len(f.Held); n > 0 {
		all = append(all, fmt.Sprintf("%d launch plans are active here and gone from Flyte, or not followed any more, %s for one; they stay until tminus flyte confirm", n, f.Held[0]))
	}
	if f.Omitted > 0 {
		all = append(all, fmt.Sprintf("Flyte left %d active launch plans out of its list; they stay active", f.Omitted))
	}
	for id, why := range f.Refused {
		all = append(all, fmt.Sprintf("%d launch plans of Flyte cannot fire, %s for one: %s; look at them with tminus flyte status", len(f.Refused), id, why))
		break
	}
	return all
}

// run follows what is on a Flyte until ctx ends.
func (p *places) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if p.launcher != nil {
		g.Go(func() error { return p.launcher.Run(ctx) })
	}
	if p.follower != nil {
		g.Go(func() error { return p.follower.Run(ctx) })
	}
	return g.Wait()
}

func (p *places) close() error {
	if p.conn == nil {
		return nil
	}
	return p.conn.Close()
}
