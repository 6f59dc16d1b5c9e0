package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"tminus.dev/internal/store"
)

// Bounds of HTTP requests. Uploads and logs that are followed set their own deadlines.
const (
	headerTime = 10 * time.Second
	readTime   = time.Minute
	writeTime  = time.Minute
	idleTime   = 2 * time.Minute
	maxHeader  = 64 << 10
	// followTime is how long a log can be followed over HTTP.
	followTime = 24 * time.Hour
)

// newHTTP makes the HTTP server: Flyte's REST paths and tminus's own.
func (s *Server) newHTTP(ctx context.Context, conn *grpc.ClientConn) (*http.Server, error) {
	gateway, err := s.newGateway(ctx, conn)
	if err != nil {
		return nil, err
	}
	rest := s.limitBody(gateway)
	mux := http.NewServeMux()
	for _, prefix := range []string{"/api/", "/tminus/", "/me", "/config/", "/.well-known/"} {
		mux.Handle(prefix, rest)
	}
	mux.HandleFunc("/healthcheck", ok) // flyteadmin's
	mux.HandleFunc("/healthz", ok)
	mux.HandleFunc("/readyz", s.ready)
	mux.HandleFunc("PUT "+uploadPath+"{file...}", s.serveLong(uploadTime, s.uploads.put))
	mux.HandleFunc("GET "+uploadPath+"{file...}", s.serveLong(uploadTime, s.uploads.get))
	mux.HandleFunc("GET "+logPath+"{project}/{domain}/{name}/{node}/{attempt}/{stream}", s.serveLong(uploadTime, s.serveLog))
	mux.HandleFunc("GET "+logPath+"{project}/{domain}/{name}", s.serveLong(followTime, func(w http.ResponseWriter, r *http.Request) error {
		rest.ServeHTTP(w, r)
		return nil
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.writeError(w, r, refuse(http.StatusNotFound, codes.NotFound, "there is nothing at %s", short(r.URL.Path, 200)))
	})
	return &http.Server{
		Handler:           s.rescueHTTP(s.guard(mux)),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}, nil
}

// limitBody refuses bodies that are larger than a request can be.
func (s *Server) limitBody(next http.Handler) http.Handler {
	limited := http.MaxBytesHandler(next, maxRequest)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxRequest {
			s.writeError(w, r, refuse(http.StatusRequestEntityTooLarge, codes.InvalidArgument, "body: is %d bytes long; %d is the most", r.ContentLength, maxRequest))
			return
		}
		limited.ServeHTTP(w, r)
	})
}

// guard refuses what only a web site elsewhere would send through the user's
// browser, be it by pointing a name of its own here: the API asks nobody who
// they are, so being reachable has to be enough for those who are meant to, and
// for nobody else.
func (s *Server) guard(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !isLoopback(hostname(r.Host)) {
			s.writeError(w, r, refuse(http.StatusForbidden, codes.PermissionDenied, "Host: %q is not a name of this server; use localhost", short(r.Host, 100)))
			return
		}
		origin := r.Header.Get("Origin")
		if u, err := url.Parse(origin); origin != "" && (err != nil || u.Host != r.Host) {
			s.writeError(w, r, refuse(http.StatusForbidden, codes.PermissionDenied, "Origin: %q is another site", short(origin, 100)))
			return
		}
		if err := sameOrigin.Check(r); err != nil {
			s.writeError(w, r, refuse(http.StatusForbidden, codes.PermissionDenied, "the request comes from another site"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func isLoopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// rescueHTTP makes a panic the request's error; the process goes on.
func (s *Server) rescueHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.answerPanic(w, r)
		next.ServeHTTP(w, r)
	})
}

func (s *Server) answerPanic(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // It is what panics, not an error that was returned.
		panic(p)
	}
	reference := newReference()
	s.cfg.Log.ErrorContext(r.Context(), "panic", slog.String("method", r.URL.Path), slog.String("reference", reference),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	s.writeError(w, r, internalError(reference))
}

// serveLong serves a request that may take longer than others.
func (s *Server) serveLong(d time.Duration, serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		deadline := time.Now().Add(d)
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.SetReadDeadline(deadline), rc.SetWriteDeadline(deadline)); err != nil {
			s.cfg.Log.DebugContext(r.Context(), "cannot extend a request's deadline", slog.Any("error", err))
		}
		if err := serve(w, r); err != nil {
			s.writeError(w, r, err)
		}
	}
}

// writeError answers with err, in the form that the gateway's errors have.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	var httpStatus int
	switch {
	case errors.As(err, &refused):
		httpStatus = refused.status
		err = status.Error(refused.code, short(refused.problem, maxMessage))
	case errors.Is(err, syscall.ENOSPC):
		httpStatus = http.StatusInsufficientStorage
		err = status.Error(codes.ResourceExhausted, "the server's disk is full")
	default:
		err = s.clientError(r.Context(), r.URL.Path, err)
		httpStatus = runtime.HTTPStatusFromCode(status.Code(err))
	}
	body, e := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(status.Convert(err).Proto())
	if e != nil {
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus)
	if _, err := w.Write(body); err != nil { //nolint:gosec // It is JSON, and no browser is to guess otherwise.
		s.cfg.Log.DebugContext(r.Context(), "client went away", slog.Any("error", err))
	}
}

// ok says that the process is alive.
func ok(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready bool `json:"ready"`
	// Reasons say why it is not ready.
	Reasons []string `json:"reasons"`
	// Warnings say what does not work though it is ready.
	Warnings []string `json:"warnings,omitempty"`
}

// ready says whether the server does all that it is for: answer, from a
// database that works, and fire schedules. Who wants only the first asks /healthz.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	answer := readiness{Reasons: []string{}}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.store.Projects(ctx, store.Query{Limit: 1}); err != nil {
		s.cfg.Log.WarnContext(ctx, "database does not answer", slog.Any("error", err))
		answer.Reasons = append(answer.Reasons, "the database does not answer")
	}
	if reason := s.silence(); reason != "" {
		answer.Reasons = append(answer.Reasons, reason)
	}
	select {
	case <-s.stopping:
		answer.Reasons = append(answer.Reasons, "the server is stopping")
	default:
	}
	answer.Ready = len(answer.Reasons) == 0
	if s.cfg.Warnings != nil {
		answer.Warnings = s.cfg.Warnings()
	}
	code := http.StatusOK
	if !answer.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, answer)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) //nolint:errcheck // The client went away.
}
