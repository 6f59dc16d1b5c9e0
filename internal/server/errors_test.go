package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/cron"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// databaseError is an error with a result code of SQLite's.
type databaseError int

func (e databaseError) Error() string { return fmt.Sprintf("database error %d", int(e)) }

func (e databaseError) Code() int { return int(e) }

func TestClientError(t *testing.T) {
	t.Parallel()
	_, syntax := cron.Parse("* * *")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	now := t.Context()
	for _, row := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // It is what differs.
		err  error
		code codes.Code
		want string
	}{
		{"a field", now, fmt.Errorf("check: %w", invalid.Field("spec.x", "is 7")), codes.InvalidArgument, "spec.x: is 7"},
		{"an expression", now, fmt.Errorf("plan: %w", syntax), codes.InvalidArgument, "3 fields"},
		{"what is not there", now, fmt.Errorf("read task a/b/c@1: %w", store.ErrNotFound), codes.NotFound, "read task a/b/c@1"},
		{"what is there", now, fmt.Errorf("create x: %w", store.ErrExists), codes.AlreadyExists, "create x"},
		{"a status", now, fmt.Errorf("call: %w", status.Error(codes.FailedPrecondition, "not now")), codes.FailedPrecondition, "not now"},
		{"a status that says nothing", now, status.Error(codes.Unknown, "secret"), codes.Internal, "reference"},
		{"a client that went away", ended, errors.New("interrupted"), codes.Canceled, "cancelled"},
		{"a deadline", late, errors.New("interrupted"), codes.DeadlineExceeded, "too long"},
		{"a deadline within", now, context.DeadlineExceeded, codes.DeadlineExceeded, "too long"},
		{"a busy database", now, fmt.Errorf("write: %w", databaseError(5)), codes.Unavailable, "try again"},
		{"a busy snapshot", now, databaseError(5 | 2<<8), codes.Unavailable, "try again"},
		{"a full disk", now, databaseError(13), codes.Unavailable, "try again"},
		{"a broken constraint", now, databaseError(19), codes.Internal, "reference"},
		{"a closed connection", now, sql.ErrConnDone, codes.Unavailable, "try again"},
		{"anything else", now, errors.New("secret"), codes.Internal, "reference"},
		{"a long text", now, invalid.Field("name", "%s", strings.Repeat("ø", 1<<20)), codes.InvalidArgument, "name: øø"},
		{"a text that is no UTF-8", now, invalid.Field("name", "\xff\xfe"), codes.InvalidArgument, "name: "},
	} {
		var log strings.Builder
		s := &Server{cfg: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
		st := status.Convert(s.clientError(row.ctx, "/m", row.err))
		if st.Code() != row.code || !strings.Contains(st.Message(), row.want) {
			t.Errorf("%s: %v, want %s with %q", row.name, st, row.code, row.want)
		}
		if strings.Contains(st.Message(), "secret") || len(st.Message()) > maxMessage+10 || !utf8.ValidString(st.Message()) {
			t.Errorf("%s: says %.100s", row.name, st.Message())
		}
		logged := row.code == codes.Internal || row.code == codes.Unavailable
		if got := strings.Contains(log.String(), "level=ERROR"); got != logged {
			t.Errorf("%s: logged %v, want %v", row.name, got, logged)
		}
	}
}
