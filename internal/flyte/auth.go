package flyte

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// anonymous begins the methods that Flyte answers without a token, to say where tokens come from.
const anonymous = "/flyteidl.service.AuthMetadataService/"

const (
	// fetchTimeout bounds the fetching of a token, which no caller's context does, as all of them wait for it.
	fetchTimeout = time.Minute
	// firstPause is the time between two attempts to get a token that fail; it doubles up to maxBackoffDelay.
	firstPause = time.Second
	// leastGrace is how long before its end a token is renewed at the latest: clocks differ, and calls take time.
	leastGrace = 10 * time.Second
)

// A credential is a token, and how it is sent.
type credential struct {
	// header is the metadata key, value the token with its type.
	header, value string
	// renew is from when on the next token is fetched while this one serves, end from when on it does not. Zero: unknown.
	renew, end time.Time
}

// newCredential has a token renewed a while before its end, never in its first half; replicas spread over part of that while.
func newCredential(header, value string, now, end time.Time, grace time.Duration) *credential {
	c := &credential{header: header, value: value, end: end}
	if end.IsZero() {
		return c
	}
	grace = max(grace, leastGrace)
	grace += rand.N(grace/4 + 1) //nolint:gosec // It spreads replicas, and keeps no secret.
	c.renew = end.Add(-max(0, min(grace, end.Sub(now)/2)))
	return c
}

func (c *credential) over(now time.Time) bool { return !c.end.IsZero() && !now.Before(c.end) }

// tokens is the one token that all calls of a connection share.
type tokens struct {
	// fetch gets a new token. refused is the one that is over or was refused, or nil.
	fetch func(ctx context.Context, refused *credential) (*credential, error)
	// most is the longest time between two attempts that fail.
	most time.Duration
	log  *slog.Logger

	flight singleflight.Group

	mu      sync.Mutex
	current *credential
	// accepted says that a server took current.
	accepted bool
	// failure is what calls get that need a new token before notBefore; failures counts in a row.
	failure   error
	failures  int
	notBefore time.Time
}

// get is the token to call with; nil while nobody has asked for one.
func (t *tokens) get(ctx context.Context) (*credential, error) {
	now := time.Now()
	t.mu.Lock()
	c := t.current
	t.mu.Unlock()
	if c == nil || c.renew.IsZero() || now.Before(c.renew) {
		return c, nil
	}
	if c.over(now) {
		return t.next(ctx, c)
	}
	t.start(ctx, c)
	return c, nil
}

// next is the token after refused, which is fetched unless another caller has.
func (t *tokens) next(ctx context.Context, refused *credential) (*credential, error) {
	select {
	case r := <-t.start(ctx, refused):
		c, _ := r.Val.(*credential) //nolint:errcheck // It is none where there is an error.
		return c, r.Err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// start has one fetch run, whoever waits for it, and however long.
func (t *tokens) start(ctx context.Context, refused *credential) <-chan singleflight.Result {
	return t.flight.DoChan("", func() (any, error) {
		t.mu.Lock()
		c, failure, notBefore := t.current, t.failure, t.notBefore
		t.mu.Unlock()
		if now := time.Now(); c != refused && c != nil && !c.over(now) {
			return c, nil
		} else if failure != nil && now.Before(notBefore) {
			return nil, failure
		}
		// What the caller sends with its call is none of the token endpoint's business.
		ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(context.WithoutCancel(ctx), nil), fetchTimeout)
		defer cancel()
		c, err := t.fetch(ctx, refused)
		if err != nil {
			t.log.WarnContext(ctx, "cannot get a token for flyteadmin", slog.Any("error", err))
			t.failed(refused, err)
			return nil, err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.current, t.accepted, t.failure = c, false, nil
		return c, nil
	})
}

// failed keeps what went wrong with c, or with getting the one after it, as the answer for a while.
func (t *tokens) failed(c *credential, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != c {
		return
	}
	pause := min(firstPause<<min(t.failures, 30), t.most)
	pause += rand.N(pause/4 + 1) //nolint:gosec // It spreads replicas, and keeps no secret.
	t.failures++
	t.failure, t.notBefore = err, time.Now().Add(pause)
}

// took notes that the server took c.
func (t *tokens) took(c *credential) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c != nil && t.current == c && !t.accepted {
		t.accepted, t.failure, t.failures = true, nil, 0
	}
}

// gate is who wants to see a token, and the tokens for it.
type gate struct {
	*tokens
	// name is the gate's and whose the token's, for errors.
	name, whose string
	// always sends a token with every call. Otherwise there is none until one is asked for, and none for what is anonymous.
	always bool
}

// proxyError is that there is no token for the proxy before flyteadmin. No other token would help.
type proxyError struct{ error }

// GRPCStatus is how the call fails.
func (e proxyError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// asksForToken says that a call failed for want of a token, or of a better one.
func asksForToken(err error) bool {
	_, proxy := errors.AsType[proxyError](err)
	return status.Code(err) == codes.Unauthenticated && !proxy
}

// intercept makes a call with a token. When that is refused it gets another, and makes the call once more.
func (g gate) intercept(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	send := func(c *credential) error {
		ctx := ctx
		if c != nil {
			ctx = metadata.AppendToOutgoingContext(ctx, c.header, c.value)
		}
		return call(ctx, method, request, answer, conn, options...)
	}
	if !g.always && strings.HasPrefix(method, anonymous) {
		return send(nil)
	}
	c, err := g.get(ctx)
	if err == nil && c == nil && g.always {
		c, err = g.next(ctx, nil)
	}
	if err != nil {
		return err
	}
	if err = send(c); !asksForToken(err) {
		g.took(c)
		return err
	}
	if c, err = g.next(ctx, c); err != nil {
		return err
	}
	if err = send(c); !asksForToken(err) {
		g.took(c)
		return err
	}
	err = status.Errorf(codes.Unauthenticated, "%s refuses the token of %s: %s", g.name, g.whose, status.Convert(err).Message())
	g.failed(c, err)
	return err
}
