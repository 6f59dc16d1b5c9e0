package flytetest

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"path"
	"slices"
	"strconv"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
)

// faults are the knobs, and what is counted.
type faults struct {
	seed       uint64
	latency    func(method string) time.Duration
	load       *load
	throttle   *rate.Limiter
	lose, fail share
	halfway    share
	page       Page
	paged      []string // The lists that page has to do with; none are all.
	tokens     []string
	refusals   map[string]error
	noDatabase bool
	kubernetes struct {
		down    bool
		refuses []string // names of launch plans
		rate    *rate.Limiter
	}

	down     bool
	calls    map[string]int
	inFlight int
	most     int
	attempts map[uint64]uint64 // By the hash of a request, how often it came.
}

func newFaults() faults {
	return faults{calls: map[string]int{}, attempts: map[uint64]uint64{}, refusals: map[string]error{}}
}

// Seed decides which calls the knobs with a probability hit. A call's fate is a function of the seed, the request and how often that
// request came before, so that it does not depend on what runs beside it.
func (s *Server) Seed(seed uint64) { s.turn(func(f *faults) { f.seed = seed }) }

// Latency makes every call take that long before anything else becomes of it. Nil is none.
func (s *Server) Latency(of func(method string) time.Duration) {
	s.turn(func(f *faults) { f.latency = of })
}

// Throttle answers ResourceExhausted to more than perSecond calls a second, with a burst of as many. 0 never does. flyteadmin
// has no such limit of its own; what stands before one may.
func (s *Server) Throttle(perSecond float64) {
	s.turn(func(f *faults) { f.throttle = limiter(perSecond, max(1, int(perSecond))) })
}

// LoseReplies lets a share of the calls, from 0 to 1, succeed and lose the reply: the caller gets Unavailable, as from a connection
// that broke, or every other time nothing until its own deadline. It has to do with the methods given, or with all.
func (s *Server) LoseReplies(of float64, methods ...string) {
	s.turn(func(f *faults) { f.lose = newShare(of, methods) })
}

// FailBefore answers Unavailable to a share of the calls, from 0 to 1, of which nothing comes. It has to do with the methods given, or with all.
func (s *Server) FailBefore(of float64, methods ...string) {
	s.turn(func(f *faults) { f.fail = newShare(of, methods) })
}

// BreakHalfway lets a share of the calls of CreateExecution, from 0 to 1, break where flyteadmin's transaction does not hold: the rows of
// labels and tags are there, the execution is not. The caller gets Unavailable. To try again is AlreadyExists, if the spec has labels
// or tags, though there is no execution (pkg/repositories/gormimpl/execution_repo.go).
func (s *Server) BreakHalfway(of float64) {
	s.turn(func(f *faults) { f.halfway = newShare(of, nil) })
}

// Refuse answers err, which is to have a status, to every call of the methods: Unimplemented as a server that is older than they are, or
// PermissionDenied. Nil ends it.
func (s *Server) Refuse(err error, methods ...string) {
	s.turn(func(f *faults) {
		for _, m := range methods {
			f.refusals[m] = err
		}
	})
}

// PageBadly makes lists come in pages as the mode says: those of the methods given, or all.
func (s *Server) PageBadly(mode Page, methods ...string) {
	s.turn(func(f *faults) { f.page, f.paged = mode, slices.Clone(methods) })
}

// pageOf is how a method's lists come in pages.
func (f *faults) pageOf(method string) Page {
	if len(f.paged) > 0 && !slices.Contains(f.paged, method) {
		return PageWell
	}
	return f.page
}

// A share is the calls that a knob with a probability hits.
type share struct {
	of      float64
	methods []string
}

func newShare(of float64, methods []string) share { return share{of, slices.Clone(methods)} }

// hits decides about the nth attempt at a request.
func (s share) hits(method string, seed, attempt, n uint64, question byte) bool {
	return (len(s.methods) == 0 || slices.Contains(s.methods, method)) && chance(seed, attempt, n, question) < s.of
}

// RequireToken answers Unauthenticated to calls without one of the tokens in their metadata: "authorization: Bearer TOKEN"
// (auth/token.go). No tokens require none. Calling it again with another token is how one expires.
func (s *Server) RequireToken(tokens ...string) {
	s.turn(func(f *faults) { f.tokens = slices.Clone(tokens) })
}

// DatabaseDown takes flyteadmin's database away. What it answers then is not Unavailable. CreateExecution, CreateTask and CreateWorkflow
// cannot look up the project, and answer InvalidArgument whatever the reason
// (pkg/manager/impl/validation/project_validator.go); the message has the reason, which is "not found" for a project that is
// not there. The others answer Internal, as for every error that is not PostgreSQL's own; those are Unknown
// (pkg/repositories/errors/postgres.go). The domains are configuration, and there.
func (s *Server) DatabaseDown(down bool) { s.turn(func(f *faults) { f.noDatabase = down }) }

// withoutDatabase is what a request is answered while the database is down, and nil for those that do without.
func withoutDatabase(req any) error {
	const reason = "unexpected error type for: failed to connect to `user=flyteadmin database=flyteadmin`: dial error: connect: connection refused"
	var project, domain string
	switch r := req.(type) {
	case *admin.GetDomainRequest, *admin.GetVersionRequest:
		return nil
	case *admin.ExecutionCreateRequest:
		project, domain = r.GetProject(), r.GetDomain()
	case *admin.TaskCreateRequest:
		project, domain = r.GetId().GetProject(), r.GetId().GetDomain()
	case *admin.WorkflowCreateRequest:
		project, domain = r.GetId().GetProject(), r.GetId().GetDomain()
	default:
		return status.Error(codes.Internal, reason)
	}
	return invalidf("failed to validate that project [%s] and domain [%s] are registered, err: [%s]", project, domain, reason)
}

// KubernetesDown makes Kubernetes refuse what flyteadmin creates and deletes there. CreateExecution answers OK nevertheless, with
// an execution that is FAILED; TerminateExecution answers Internal, with one that is ABORTING
// (pkg/manager/impl/execution_manager.go, pkg/workflowengine/impl/k8s_executor.go).
func (s *Server) KubernetesDown(down bool) { s.turn(func(f *faults) { f.kubernetes.down = down }) }

// KubernetesRefuses makes Kubernetes refuse what flyteadmin creates there for launch plans of these names, as it does where an object is
// too large or a quota is used up: that is answered as in KubernetesDown.
func (s *Server) KubernetesRefuses(launchPlans ...string) {
	s.turn(func(f *faults) { f.kubernetes.refuses = slices.Clone(launchPlans) })
}

// KubernetesRate limits what flyteadmin creates in Kubernetes, as its client does: 100 a second with a burst of 25 unless it is
// configured otherwise (pkg/config/config.go, kubeClientConfig). More wait. A call whose deadline would pass before its
// turn does not: client-go's limiter refuses at once, which is to flyteadmin what it is when Kubernetes is down, so that
// the execution is FAILED and the call OK. 0 is no limit.
func (s *Server) KubernetesRate(perSecond float64, burst int) {
	s.turn(func(f *faults) { f.kubernetes.rate = limiter(perSecond, burst) })
}

// Work limits what the server can do at a time. The zero Load has no limits. Calls that are being worked at stay under the
// load they came under.
func (s *Server) Work(l Load) {
	s.turn(func(f *faults) { f.load = newLoad(l) })
}

func (s *Server) turn(knob func(*faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	knob(&s.faults)
}

func limiter(perSecond float64, burst int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

// A fate is what becomes of one call.
type fate struct {
	refuse     error // At once.
	latency    time.Duration
	load       *load
	fail, lose bool
	noDatabase bool
	silent     bool // A lost reply is waited for until the caller's deadline.
}

// intercept is what stands before every method, for as long as the life of a server lasts.
func (s *Server) intercept(life context.Context) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		method := path.Base(info.FullMethod)
		f := s.begin(ctx, method, req)
		defer s.turn(func(f *faults) { f.inFlight-- })
		if f.refuse != nil {
			return nil, f.refuse
		}
		pause(life, f.latency)
		if f.load != nil {
			f.load.serve(ctx, life, method)
		}
		switch {
		case life.Err() != nil:
			return nil, status.Error(codes.Unavailable, "the server has stopped")
		case ctx.Err() != nil:
			return nil, status.FromContextError(ctx.Err()).Err() // The work was for nothing.
		case f.fail:
			return nil, status.Error(codes.Unavailable, "the connection broke before the call")
		}
		if f.noDatabase {
			if err := withoutDatabase(req); err != nil {
				return nil, err
			}
		}
		reply, err := handler(ctx, req)
		if err != nil || !f.lose {
			return reply, err
		}
		if f.silent {
			select {
			case <-ctx.Done():
			case <-life.Done():
			}
		}
		return nil, status.Error(codes.Unavailable, "the connection broke before the reply")
	}
}

// begin counts a call and decides what becomes of it.
func (s *Server) begin(ctx context.Context, method string, req any) fate {
	attempt := hash(method, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.faults
	f.calls[method]++
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	n := f.attempts[attempt]
	f.attempts[attempt]++
	out := fate{
		load:       f.load,
		fail:       f.fail.hits(method, f.seed, attempt, n, 'f'),
		lose:       f.lose.hits(method, f.seed, attempt, n, 'l'),
		noDatabase: f.noDatabase,
		silent:     chance(f.seed, attempt, n, 's') < 0.5,
	}
	if f.latency != nil {
		out.latency = f.latency(method)
	}
	switch {
	case f.refusals[method] != nil:
		out.refuse = f.refusals[method]
	case !authorized(ctx, f.tokens):
		out.refuse = status.Error(codes.Unauthenticated, "token parse error: access token is expired or missing")
	case f.throttle != nil && !f.throttle.Allow():
		out.refuse = status.Error(codes.ResourceExhausted, "too many requests")
	}
	return out
}

func authorized(ctx context.Context, tokens []string) bool {
	if len(tokens) == 0 {
		return true
	}
	for _, sent := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		if slices.ContainsFunc(tokens, func(t string) bool { return sent == "Bearer "+t }) {
			return true
		}
	}
	return false
}

// hash tells requests apart.
func hash(method string, req any) uint64 {
	h := fnv.New64a()
	h.Write([]byte(method))
	if m, ok := req.(proto.Message); ok {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err == nil {
			h.Write(b)
		}
	}
	return h.Sum64()
}

// breaks says whether the call that is being worked at breaks halfway.
func (f *faults) breaks(method string, req any) bool {
	attempt := hash(method, req)
	return f.halfway.hits(method, f.seed, attempt, f.attempts[attempt], 'h')
}

// chance is a number from 0 to 1, without 1, for one question about the nth attempt at something.
func chance(seed, attempt, n uint64, question byte) float64 {
	var b []byte
	for _, v := range []uint64{seed, attempt, n, uint64(question)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	h := fnv.New64a()
	h.Write(b)
	x := h.Sum64()
	x ^= x >> 33 // FNV alone is poor in the high bits.
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return math.Float64frombits(1023<<52|x>>12) - 1
}

// pause waits, unless the server ends. It does not ask whether the caller is still there.
func pause(life context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-life.Done():
	}
}

// A Page is how a list comes in pages.
type Page int

const (
	// PageWell is flyteadmin's way: full pages, of which each has a token.
	PageWell Page = iota
	// PageShort gives half of what was asked for, one at least, and a token.
	PageShort
	// PageEmptyLast gives a token with the last page too, though it is not full; what follows is empty.
	PageEmptyLast
	// PageRepeat begins every page but the first with the last row of the one before, as it comes about when rows move while
	// somebody counts them.
	PageRepeat
	// PageBadToken gives tokens that the server then refuses.
	PageBadToken
	// PageEmpty gives nothing, and no token: as if there were nothing.
	PageEmpty
	// PageHalf gives half of what there is to give, and no token: as if that were all.
	PageHalf
)

// A window is the rows of a page.
type window struct{ from, to int }

// cut finds a page among the rows that a query found. A limit of 0 is none.
func (p Page) cut(total, offset, limit int) (window, string) {
	if p == PageShort && limit > 1 {
		limit /= 2
	}
	w := window{from: min(offset, total), to: total}
	if limit > 0 {
		w.to = min(w.from+limit, total)
	}
	token := ""
	if n := w.to - w.from; n == limit || p == PageEmptyLast && n > 0 {
		token = strconv.Itoa(offset + n)
	}
	switch p {
	case PageRepeat:
		w.from = max(0, w.from-1)
	case PageBadToken:
		if token != "" {
			token = "bad"
		}
	case PageEmpty:
		w, token = window{}, ""
	case PageHalf:
		w.to, token = w.from+(w.to-w.from)/2, ""
	default:
	}
	return w, token
}
