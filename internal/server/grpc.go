package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

const (
	// maxRequest bounds one request, in bytes: a workflow with everything it refers to fits many times over.
	maxRequest = 16 << 20
	// requestTime bounds one call that does not stream.
	requestTime = 30 * time.Second
	// maxStreams bounds the calls under way on one connection.
	maxStreams = 250
)

func (s *Server) grpcOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(maxStreams),
		// flytekit pings every 30 s, with or without calls; a client that pings
		// sooner than it may is disconnected, so be generous.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		// And ping in return, so that a client that is gone does not hold a stream.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.ForceServerCodecV2(strictCodec{encoding.GetCodecV2(grpcproto.Name)}),
		grpc.UnaryInterceptor(s.interceptUnary),
		grpc.StreamInterceptor(s.interceptStream),
		grpc.UnknownServiceHandler(unknownMethod),
	}
}

// dialInside connects to the gRPC server through l, within the process.
func dialInside(l *bufconn.Listener) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:inside",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect the gateway: %w", err)
	}
	return conn, nil
}

// interceptUnary goes around every call that does not stream: it bounds its
// time, survives its panics, and makes its error one for clients.
func (s *Server) interceptUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	begin := time.Now()
	defer func() { s.logAccess(ctx, info.FullMethod, begin, err) }()
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	defer s.rescue(ctx, info.FullMethod, &err)
	resp, err = handler(ctx, req)
	if err != nil {
		return nil, s.clientError(ctx, info.FullMethod, err)
	}
	return resp, nil
}

// interceptStream is interceptUnary for calls that stream, which take as long as they take.
func (s *Server) interceptStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	ctx := stream.Context()
	begin := time.Now()
	defer func() { s.logAccess(ctx, info.FullMethod, begin, err) }()
	defer s.rescue(ctx, info.FullMethod, &err)
	if err := handler(srv, strictStream{stream}); err != nil {
		return s.clientError(ctx, info.FullMethod, err)
	}
	return nil
}

// rescue makes a panic the call's error; the process goes on.
func (s *Server) rescue(ctx context.Context, method string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	reference := newReference()
	s.cfg.Log.ErrorContext(ctx, "panic", slog.String("method", method), slog.String("reference", reference),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	*err = internalError(reference)
}

// newReference is a word by which a client's error is found in the log.
func newReference() string { return strings.ToLower(rand.Text()[:10]) }

func (s *Server) logAccess(ctx context.Context, method string, begin time.Time, err error) {
	if !s.cfg.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	if forwarded := metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"); len(forwarded) > 0 {
		from = strings.Join(forwarded, ", ") // The gateway's word for its client.
	}
	s.cfg.Log.DebugContext(ctx, "call", slog.String("method", method), slog.String("code", status.Code(err).String()),
		slog.Duration("took", time.Since(begin)), slog.String("from", from))
}

// unknownMethod answers every call to a method that tminus does not declare.
func unknownMethod(_ any, stream grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		method = "this method"
	}
	return status.Errorf(codes.Unimplemented, "%s is not part of what tminus serves", strings.TrimPrefix(method, "/"))
}

// grpc-go answers Internal to a request that is no valid protobuf, as if it
// were the server's fault, and has sent that before any interceptor runs. So
// requests are read into an envelope, which the codec below knows and which
// keeps the error for later.
type envelope struct {
	message any
	err     error
}

// open is what became of reading the request.
func (e *envelope) open() error {
	if e.err != nil {
		return status.Errorf(codes.InvalidArgument, "request: is not a valid message: %v", e.err)
	}
	return nil
}

// strictCodec is gRPC's own codec for protobuf, for envelopes too.
type strictCodec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c strictCodec) Unmarshal(data mem.BufferSlice, v any) error {
	e, ok := v.(*envelope)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	e.err = c.CodecV2.Unmarshal(data, e.message)
	return nil
}

// strictRegistrar registers services whose requests are read into envelopes.
type strictRegistrar struct{ grpc.ServiceRegistrar }

// RegisterService implements grpc.ServiceRegistrar.
func (r strictRegistrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	strict := *desc
	strict.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		handler := m.Handler
		m.Handler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			return handler(srv, ctx, func(v any) error {
				e := &envelope{message: v}
				if err := decode(e); err != nil {
					return err
				}
				return e.open()
			}, interceptor)
		}
		strict.Methods[i] = m
	}
	r.ServiceRegistrar.RegisterService(&strict, impl)
}

// strictStream does for streams what strictRegistrar does for other calls.
type strictStream struct{ grpc.ServerStream }

// RecvMsg implements grpc.ServerStream.
func (s strictStream) RecvMsg(m any) error {
	e := &envelope{message: m}
	if err := s.ServerStream.RecvMsg(e); err != nil {
		return err
	}
	return e.open()
}

// warn says something with the answer that its client should see, though the
// call succeeds: in the metadata tminus-warning, which REST has as a header.
func (s *Server) warn(ctx context.Context, text string) {
	printable := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if err := grpc.SetHeader(ctx, metadata.Pairs("tminus-warning", printable)); err != nil {
		s.cfg.Log.WarnContext(ctx, "cannot warn the client", slog.String("warning", text), slog.Any("error", err))
	}
}
