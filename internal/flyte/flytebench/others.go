package main

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/service"
)

// bare creates the executions as fast as so many callers can.
func (j *job) bare(ctx context.Context, conn *counted) (*result, error) {
	client := service.NewAdminServiceClient(conn)
	wait(ctx, j.Due)
	before := cpu()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(j.Callers)
	for i := range j.Plans {
		g.Go(func() error {
			_, err := client.CreateExecution(ctx, request(i, j.Due))
			return err
		})
	}
	err := g.Wait()
	return &result{Took: time.Since(j.Due), CPU: cpu() - before}, err
}

// What Flyte's own scheduler does with a slot whose call fails (at v1.16.8).
const (
	// tries is how often Flyte's client calls in a row, and pause is between them
	// (flyteidl/clients/go/admin/client.go, and the defaults of what it uses).
	tries = 4
	pause = 50 * time.Millisecond
	// Then the scheduler does that again, this often, after a pause that doubles
	// from the first on (flyteadmin/scheduler/executor/executor_impl.go: 3000, which is nanoseconds).
	rounds     = 30
	firstPause = 3000 * time.Nanosecond
)

// fixed begins with so many slots in a second, each on its own, however many calls
// are open by then, as Flyte's own scheduler does (flyteadmin/scheduler/core/gocron_scheduler.go).
func (j *job) fixed(ctx context.Context, conn *counted) *result {
	client := service.NewAdminServiceClient(conn)
	limit := rate.NewLimiter(rate.Inf, 0)
	if j.PerSecond > 0 {
		limit = rate.NewLimiter(rate.Limit(j.PerSecond), j.Callers)
	}
	wait(ctx, j.Due)
	before := cpu()
	var slots sync.WaitGroup
	for i := range j.Plans {
		slots.Go(func() {
			if limit.Wait(ctx) == nil {
				j.insist(ctx, client, i)
			}
		})
	}
	slots.Wait()
	return &result{Took: time.Since(j.Due), CPU: cpu() - before}
}

// insist calls until there is an execution, or nobody tries any more.
func (j *job) insist(ctx context.Context, client service.AdminServiceClient, i int) {
	again := firstPause
	for range rounds {
		for range tries {
			calling, cancel := context.WithTimeout(ctx, callTime)
			_, err := client.CreateExecution(calling, request(i, j.Due))
			cancel()
			switch status.Code(err) {
			case codes.OK, codes.AlreadyExists:
				return
			default:
			}
			if ctx.Err() != nil {
				return
			}
			wait(ctx, time.Now().Add(pause))
		}
		wait(ctx, time.Now().Add(again))
		again *= 2
	}
}
