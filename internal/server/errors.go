package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/cron"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// maxMessage bounds an error's text, in bytes. It travels in headers, twice and
// escaped, and clients take no more than 8 to 16 KiB of those.
const maxMessage = 1500

// clientError is err as its client gets it: a status with a code that means
// something to Flyte's clients. flytekit treats Unknown as a call to log in, so
// that code is never used; what is nobody's fault but tminus's is logged, and
// the client gets a reference to the line.
func (s *Server) clientError(ctx context.Context, method string, err error) error {
	if st, ok := direct(err); ok {
		return shortened(st)
	}
	if st, ok := known(ctx, err); ok {
		return shortened(st)
	}
	reference := newReference()
	s.cfg.Log.ErrorContext(ctx, "call failed", slog.String("method", method), slog.String("reference", reference), slog.Any("error", err))
	if unavailable(err) {
		return status.Errorf(codes.Unavailable, "the database cannot be used just now; try again (reference %s in the server's log)", reference)
	}
	return internalError(reference)
}

func internalError(reference string) error {
	return status.Errorf(codes.Internal, "tminus failed; the server's log says more, under reference %s", reference)
}

// direct is the status that a handler chose itself.
func direct(err error) (*status.Status, bool) {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) {
		return nil, false
	}
	st := s.GRPCStatus()
	return st, st.Code() != codes.OK && st.Code() != codes.Unknown
}

// known translates the errors that have a meaning.
func known(ctx context.Context, err error) (*status.Status, bool) {
	var (
		bad    *invalid.Error
		syntax *cron.SyntaxError
	)
	switch {
	case errors.As(err, &bad):
		return violation(bad.Field, bad.Problem), true
	case errors.As(err, &syntax):
		return violation("schedule", syntax.Error()), true
	case errors.Is(err, store.ErrNotFound):
		return status.New(codes.NotFound, strings.TrimSuffix(err.Error(), ": "+store.ErrNotFound.Error())), true
	case errors.Is(err, store.ErrExists):
		return status.New(codes.AlreadyExists, err.Error()), true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the request took too long"), true
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled):
		return status.New(codes.Canceled, "the request was cancelled"), true
	}
	return nil, false
}

// violation is InvalidArgument for one field, also as a google.rpc.BadRequest.
func violation(field, problem string) *status.Status {
	st := status.New(codes.InvalidArgument, fmt.Sprintf("%s: %s", field, problem))
	detailed, err := st.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: short(field, maxMessage/4), Description: short(problem, maxMessage)},
	}})
	if err != nil {
		return st // The text says it all.
	}
	return detailed
}

// shortened bounds the text of st and makes it valid UTF-8, as the wire requires.
func shortened(st *status.Status) error {
	p := st.Proto()
	p.Message = short(p.GetMessage(), maxMessage)
	return status.FromProto(p).Err()
}

func short(text string, most int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// The result codes of SQLite that say that the database is what fails: busy,
// locked, out of memory, read-only, I/O error, full, cannot open, out of range of its protocol.
var failingDatabase = map[int]bool{5: true, 6: true, 7: true, 8: true, 10: true, 13: true, 14: true, 15: true}

// unavailable says that err comes from a database that does not work for now: trying again may help.
func unavailable(err error) bool {
	if errors.Is(err, sql.ErrConnDone) || strings.Contains(err.Error(), "sql: database is closed") {
		return true // The second has no error of its own.
	}
	var coded interface {
		error
		Code() int
	}
	return errors.As(err, &coded) && failingDatabase[coded.Code()&0xff]
}

// notFound says that something is not there.
func notFound(format string, args ...any) error {
	return status.Errorf(codes.NotFound, format, args...)
}

// exists says that something is there already.
func exists(format string, args ...any) error {
	return status.Errorf(codes.AlreadyExists, format, args...)
}
