package server

import (
	"cmp"
	"context"
	"net/url"
	"strings"
	"unicode"

	"google.golang.org/grpc/metadata"

	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// The request metadata in which a client says who makes a change, and why where
// the request has no field for that. REST has them as headers.
const (
	principalKey = "tminus-principal"
	reasonKey    = "tminus-reason"
)

const (
	// maxPrincipal bounds who made a change, in bytes.
	maxPrincipal = 255
	// maxReason bounds why, in bytes.
	maxReason = 1000
)

// change is the change that a request makes now, for a reason in the request.
func (s *Server) change(ctx context.Context, reason string) (store.Change, error) {
	by, err := principal(ctx)
	if err != nil {
		return store.Change{}, err
	}
	if err := checkText("reason", reason, maxReason); err != nil {
		return store.Change{}, err
	}
	now, err := s.store.Now(ctx)
	return store.Change{By: by, Why: reason, At: now}, err
}

// principal is who makes a request: who the client says, since nobody is asked
// to prove it, or else a word on the client's program.
func principal(ctx context.Context) (string, error) {
	by := first(ctx, principalKey)
	if len(by) > maxPrincipal {
		return "", invalid.Field(principalKey, "is %d bytes long; %d is the most", len(by), maxPrincipal)
	}
	if i := strings.IndexFunc(by, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }); i >= 0 {
		return "", invalid.Field(principalKey, "%q: use printable characters, such as ada@laptop", by)
	}
	if by != "" {
		return by, nil
	}
	program := cmp.Or(first(ctx, "grpcgateway-user-agent"), first(ctx, "user-agent"), "an unnamed program")
	return short("unknown, by "+program, maxPrincipal-len("…")), nil
}

// reasonOf is the reason for a request of Flyte's API.
func reasonOf(ctx context.Context) string { return first(ctx, reasonKey) }

// first is the first value of a key of the request's metadata. Metadata is
// ASCII; who needs more sends it percent-encoded.
func first(ctx context.Context, key string) string {
	values := metadata.ValueFromIncomingContext(ctx, key)
	if len(values) == 0 {
		return ""
	}
	if decoded, err := url.PathUnescape(values[0]); err == nil {
		return decoded
	}
	return values[0]
}
