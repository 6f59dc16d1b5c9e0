// Package server answers Flyte's clients: AdminService and its neighbours over
// gRPC and, through the gateway, REST; and tminus's own services beside them.
//
// Nobody is asked who they are, so it belongs on a loopback address.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"

	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// Runner runs the executions that the server stores.
type Runner interface {
	// Wake tells it that an execution was stored; it never blocks.
	Wake()
	// Terminate asks an execution to end; one that has ended is left as it is.
	Terminate(ctx context.Context, execution ident.Key, cause, by string) error
}

// Engine fires the schedules that the server activates.
type Engine interface {
	// Wake tells it that schedules changed; it never blocks.
	Wake()
	// Problem says why it cannot fire at present, and is empty when it can.
	Problem() string
}

// Config tunes a Server. Data has to be set.
type Config struct {
	// Version is what GetVersion answers.
	Version string
	// Data is the data directory. Uploads are kept in its folder uploads, and
	// attempts' logs are found through store.TaskExecution.Dir relative to it.
	Data string
	// Silent says why no schedule fires, because no engine runs, or nobody takes
	// what another sends; empty, or nil, means that they do. It is said with every
	// registration and activation of a schedule and with schedules that are read, and
	// makes the server not ready.
	Silent func() string
	// Express says what those who keep time elsewhere cannot do of a launch plan's schedule, as
	// an *invalid.Error; nil means that they can do everything.
	Express func(plan ident.Key, spec schedule.Spec) error
	// Decode reads a message of those; nil means that there are none.
	Decode func(body []byte) (plan ident.Key, at time.Time, err error)
	// Rules is what they hold; nil means nothing.
	Rules Rules
	// LaunchesOn is the address of the flyteadmin on which executions are created;
	// empty means that they run here. Then nobody creates any through this server.
	LaunchesOn string
	// Follows is the Flyte whose launch plans are active here; nil means that they
	// are registered here, and that nobody else's are.
	Follows Follows
	// Warnings says what does not work that leaves schedules firing, such as a
	// channel for alerts; nil means that nothing does.
	Warnings func() []string
	// TestAlerts sends a test message through every channel for alerts, and says
	// by channel how it went; nil means that there is none.
	TestAlerts func(ctx context.Context) map[string]error
	// Log takes what operators should know; nil means none of it.
	Log *slog.Logger
}

// Server serves the API. Serve can be called once.
type Server struct {
	store    Store
	runner   Runner
	engine   Engine
	cfg      Config
	base     string        // the URL of the HTTP side, without a slash at its end
	data     *os.Root      // the data directory, opened by Serve
	uploads  *uploads      // opened by Serve
	stopping chan struct{} // closed when Serve begins to stop
}

// New makes a Server; Serve starts it.
func New(s Store, r Runner, e Engine, cfg Config) *Server {
	if cfg.Silent == nil {
		cfg.Silent = func() string { return "" }
	}
	if cfg.Express == nil {
		cfg.Express = func(ident.Key, schedule.Spec) error { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{store: s, runner: r, engine: e, cfg: cfg, stopping: make(chan struct{})}
}

// stopTime is how long requests in flight have to end when the server stops.
const stopTime = 10 * time.Second

// Serve serves gRPC on one listener and HTTP on the other until ctx ends, lets
// the requests in flight end, and returns nil. It closes both listeners.
func (s *Server) Serve(ctx context.Context, grpcListener, httpListener net.Listener) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("serve: %w", err)
		}
	}()
	defer grpcListener.Close() // Most often they are closed by then.
	defer httpListener.Close()
	s.base = "http://" + httpListener.Addr().String()
	if s.uploads, err = openUploads(s.cfg.Data); err != nil {
		return err
	}
	defer s.uploads.close()
	if s.data, err = os.OpenRoot(s.cfg.Data); err != nil {
		return err
	}
	defer s.data.Close()

	rpc, healthServer := s.newGRPC()
	// The gateway calls the gRPC server as any client would, inside the
	// process, so that REST and gRPC go through the same interceptors.
	inside := bufconn.Listen(1 << 20)
	conn, err := dialInside(inside)
	if err != nil {
		return err
	}
	defer conn.Close()
	web, err := s.newHTTP(ctx, conn)
	if err != nil {
		return err
	}
	if silent := s.cfg.Silent(); silent != "" {
		s.cfg.Log.WarnContext(ctx, "no schedule fires", slog.String("reason", silent))
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ended(rpc.Serve(grpcListener)) })
	g.Go(func() error { return ended(rpc.Serve(inside)) })
	g.Go(func() error { return ended(web.Serve(httpListener)) })
	g.Go(func() error {
		s.watchEngine(ctx, healthServer)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		close(s.stopping)
		healthServer.Shutdown()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if err := web.Shutdown(stop); err != nil {
			s.cfg.Log.WarnContext(ctx, "requests cut off", slog.Any("error", errors.Join(err, web.Close())))
		}
		stopGRPC(stop, rpc)
		return nil
	})
	return g.Wait()
}

// stopGRPC lets calls in flight end until ctx does, and then cuts them off.
func stopGRPC(ctx context.Context, rpc *grpc.Server) {
	graceful := make(chan struct{})
	go func() {
		rpc.GracefulStop()
		close(graceful)
	}()
	select {
	case <-graceful:
	case <-ctx.Done():
		rpc.Stop()
		<-graceful
	}
}

// ended is nil for the errors with which a server says that it was stopped.
func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// newGRPC makes the gRPC server with all its services.
func (s *Server) newGRPC() (*grpc.Server, *health.Server) {
	rpc := grpc.NewServer(s.grpcOptions()...)
	strict := strictRegistrar{rpc}
	service.RegisterAdminServiceServer(strict, &adminService{Server: s})
	service.RegisterAuthMetadataServiceServer(strict, &authMetadata{})
	service.RegisterIdentityServiceServer(strict, &identity{})
	service.RegisterDataProxyServiceServer(strict, &dataProxy{Server: s})
	tminusv1.RegisterScheduleServiceServer(strict, &schedules{Server: s})
	tminusv1.RegisterLogServiceServer(strict, &logs{Server: s})
	tminusv1.RegisterAlertServiceServer(strict, &alerts{Server: s})
	tminusv1.RegisterKeeperServiceServer(strict, &keepers{Server: s})
	tminusv1.RegisterFlyteServiceServer(strict, &follows{Server: s})

	// "flyteadmin" is the name that Flyte's own server answers to.
	h := health.NewServer()
	h.SetServingStatus("flyteadmin", healthpb.HealthCheckResponse_SERVING)
	s.setFiring(h)
	healthpb.RegisterHealthServer(strict, h)
	reflection.Register(rpc)
	return rpc, h
}

// silence says why no schedule fires at present, or "" when they do. An engine
// that does not run has nothing to add to the reason for that.
func (s *Server) silence() string {
	return cmp.Or(s.cfg.Silent(), s.engine.Problem())
}

// healthPoll is how often the health of the schedules is looked at.
const healthPoll = time.Second

// watchEngine keeps the health of the schedules what the engine says, until ctx ends.
func (s *Server) watchEngine(ctx context.Context, h *health.Server) {
	ticker := time.NewTicker(healthPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.setFiring(h)
		}
	}
}

func (s *Server) setFiring(h *health.Server) {
	firing := healthpb.HealthCheckResponse_SERVING
	if s.silence() != "" {
		firing = healthpb.HealthCheckResponse_NOT_SERVING
	}
	h.SetServingStatus(tminusv1.ScheduleService_ServiceDesc.ServiceName, firing)
}
