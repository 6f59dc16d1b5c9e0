package flytetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"tminus.dev/gen/flyteidl/service"
)

// A door is one way to reach the server. It is open while the server is up.
type door struct {
	server *Server
	listen func() (net.Listener, error)

	mu    sync.Mutex
	close func() // Nil while the door is shut.
}

// open begins a life of the server behind the door.
func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.close != nil {
		return nil
	}
	lis, err := d.listen()
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.Background())
	g := grpc.NewServer(grpc.UnaryInterceptor(d.server.intercept(life)))
	service.RegisterAdminServiceServer(g, d.server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(lis) //nolint:errcheck // It ends when it is stopped.
	}()
	d.close = func() {
		end()
		g.Stop()
		<-done
	}
	return nil
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.close != nil {
		d.close()
		d.close = nil
	}
}

// Start serves on a port of the loopback interface until the test ends, and returns "127.0.0.1:PORT". There is no TLS.
func (s *Server) Start(tb testing.TB) string {
	tb.Helper()
	address, stop, err := s.Serve(tb.Context())
	if err != nil {
		tb.Fatalf("start flytetest: %v", err)
	}
	tb.Cleanup(stop)
	return address
}

// Serve is Start for those who are no test: it serves until stop is called, however ctx ends.
func (s *Server) Serve(ctx context.Context) (address string, stop func(), err error) {
	address, ctx = "127.0.0.1:0", context.WithoutCancel(ctx)
	d := &door{server: s, listen: func() (net.Listener, error) {
		lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil {
			address = lis.Addr().String() // The same again after Down.
		}
		return lis, err
	}}
	if err := s.enter(d); err != nil { //nolint:contextcheck // What is served does not end with ctx.
		return "", nil, err
	}
	return address, d.shut, nil
}

// Pipe connects to the server without a network, so that time can be fake, until the test ends. Options are added to those of the
// connection: grpc.WithConnectParams, for one, as a connection waits a while before it tries again after Down.
func (s *Server) Pipe(tb testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	var pipe atomic.Pointer[bufconn.Listener]
	d := &door{server: s, listen: func() (net.Listener, error) {
		pipe.Store(bufconn.Listen(1 << 18))
		return pipe.Load(), nil
	}}
	if err := s.enter(d); err != nil {
		tb.Fatalf("start flytetest: %v", err)
	}
	tb.Cleanup(d.shut)
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		if to := pipe.Load(); to != nil && !s.isDown() {
			return to.DialContext(ctx)
		}
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	}
	conn, err := grpc.NewClient("passthrough:///flyteadmin", append([]grpc.DialOption{
		grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()),
	}, options...)...)
	if err != nil {
		tb.Fatalf("connect to flytetest: %v", err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Errorf("close the connection to flytetest: %v", err)
		}
	})
	return conn
}

func (s *Server) enter(d *door) error {
	s.mu.Lock()
	s.doors = append(s.doors, d)
	down := s.faults.down
	s.mu.Unlock()
	if down {
		return nil
	}
	return d.open()
}

// Down stops the server, or starts it again with what it knew. While it is down connections are refused, and what it was doing
// when it went down is lost unless it was committed: those callers get Unavailable. It returns an error if it cannot have its
// port again.
func (s *Server) Down(down bool) error {
	s.mu.Lock()
	s.faults.down = down
	doors := slices.Clone(s.doors)
	s.mu.Unlock()
	var errs []error
	for _, d := range doors {
		if down {
			d.shut()
		} else {
			errs = append(errs, d.open())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("start flytetest again: %w", err)
	}
	return nil
}

func (s *Server) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.down
}
