package flytetest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/flyte/flytetest"
)

var (
	planID     = &core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: "sales", Domain: "production", Name: "report", Version: "v1"}
	workflowID = &core.Identifier{ResourceType: core.ResourceType_WORKFLOW, Project: "sales", Domain: "production", Name: "report", Version: "v1"}
	sales      = &admin.NamedEntityIdentifier{Project: "sales", Domain: "production"}
)

// newServer has one active launch plan without inputs.
func newServer() *flytetest.Server {
	s := flytetest.New()
	s.AddProject("sales")
	s.PutLaunchPlan(planID, &admin.LaunchPlanSpec{WorkflowId: workflowID}, nil)
	s.Activate(planID)
	return s
}

func launch(name string) *admin.ExecutionCreateRequest {
	return &admin.ExecutionCreateRequest{
		Project: "sales", Domain: "production", Name: name, Spec: &admin.ExecutionSpec{LaunchPlan: planID},
	}
}

func executionID(name string) *core.WorkflowExecutionIdentifier {
	return &core.WorkflowExecutionIdentifier{Project: "sales", Domain: "production", Name: name}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

// within is a call's deadline, as a client sets it.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestExecutionLifeInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := service.NewAdminServiceClient(s.Pipe(t))
		s.Propel(flytetest.Propeller{Queue: time.Second, Start: time.Minute, Run: flytetest.For(time.Hour)})
		_, err := c.CreateExecution(t.Context(), launch("f1"))
		wantCode(t, err, codes.OK)
		_, err = c.CreateExecution(t.Context(), launch("f1"))
		wantCode(t, err, codes.AlreadyExists)

		for _, step := range []struct {
			after time.Duration
			want  core.WorkflowExecution_Phase
		}{
			{0, core.WorkflowExecution_UNDEFINED},
			{time.Second, core.WorkflowExecution_QUEUED},
			{time.Minute, core.WorkflowExecution_RUNNING},
			{time.Hour - time.Second, core.WorkflowExecution_RUNNING},
			{time.Second, core.WorkflowExecution_SUCCEEDED},
		} {
			time.Sleep(step.after)
			synctest.Wait()
			e, err := c.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: executionID("f1")})
			wantCode(t, err, codes.OK)
			if e.GetClosure().GetPhase() != step.want {
				t.Fatalf("after another %v: %v, want %v", step.after, e.GetClosure().GetPhase(), step.want)
			}
		}
		e := s.Executions()[0].GetClosure()
		if got := e.GetDuration().AsDuration(); got != time.Hour {
			t.Errorf("it ran %v, want 1h", got)
		}
		_, err = c.TerminateExecution(t.Context(), &admin.ExecutionTerminateRequest{Id: executionID("f1")})
		wantCode(t, err, codes.FailedPrecondition)
	})
}

func TestDownRefusesAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := service.NewAdminServiceClient(s.Pipe(t))
		_, err := c.CreateExecution(t.Context(), launch("f1"))
		wantCode(t, err, codes.OK)
		if err := s.Down(true); err != nil {
			t.Fatal(err)
		}
		_, err = c.CreateExecution(t.Context(), launch("f2"))
		wantCode(t, err, codes.Unavailable)
		if err := s.Down(false); err != nil {
			t.Fatal(err)
		}
		_, err = c.CreateExecution(within(t, time.Hour), launch("f1"), grpc.WaitForReady(true))
		wantCode(t, err, codes.AlreadyExists)
	})
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := service.NewAdminServiceClient(s.Pipe(t))
		s.LoseReplies(1)
		seen := map[codes.Code]int{}
		for i := range 40 {
			_, err := c.CreateExecution(within(t, time.Second), launch(fmt.Sprintf("f%d", i)))
			seen[status.Code(err)]++
		}
		if len(s.Executions()) != 40 || seen[codes.Unavailable] < 5 || seen[codes.DeadlineExceeded] < 5 || len(seen) != 2 {
			t.Errorf("%d executions, callers saw %v", len(s.Executions()), seen)
		}
	})
}

func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := service.NewAdminServiceClient(s.Pipe(t))
		s.Latency(func(string) time.Duration { return 3 * time.Second })
		_, err := c.CreateExecution(within(t, 2*time.Second), launch("f1"))
		wantCode(t, err, codes.DeadlineExceeded)
		begun := time.Now()
		_, err = c.CreateExecution(within(t, 4*time.Second), launch("f1"))
		wantCode(t, err, codes.OK)
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestToken(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.RequireToken("one")
	conn := dial(t, s.Start(t))
	c := service.NewAdminServiceClient(conn)
	call := func(token string) error {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		_, err := c.GetDomains(ctx, &admin.GetDomainRequest{})
		return err
	}
	wantCode(t, call("one"), codes.OK)
	s.RequireToken("two")
	wantCode(t, call("one"), codes.Unauthenticated)
	wantCode(t, call("two"), codes.OK)
}

var errCrowd = errors.New("still not launched")

// TestCongestion shows that callers who come all at once, and try again when they have waited long enough, get next to
// nothing from a server that eight callers get everything from.
func TestCongestion(t *testing.T) {
	t.Parallel()
	const calls, perSecond, deadline = 5000, 200, 15 * time.Second
	run := func(t *testing.T, callers int, giveUp time.Duration) (took time.Duration, launched int, timeouts int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			s.Work(flytetest.Load{PerSecond: perSecond})
			c := service.NewAdminServiceClient(s.Pipe(t))
			begun := time.Now()
			queue := make(chan int, calls)
			for i := range calls {
				queue <- i
			}
			close(queue)
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := range queue {
						err := errCrowd
						for err != nil && status.Code(err) != codes.AlreadyExists && time.Since(begun) < giveUp {
							ctx, cancel := context.WithTimeout(t.Context(), deadline)
							_, err = c.CreateExecution(ctx, launch(fmt.Sprintf("f%d", i)))
							cancel()
							if status.Code(err) == codes.DeadlineExceeded {
								mu.Lock()
								timeouts++
								mu.Unlock()
							}
						}
					}
				})
			}
			wg.Wait()
			took, launched = time.Since(begun), len(s.Executions())
		})
		return took, launched, timeouts
	}
	took, launched, timeouts := run(t, 8, time.Hour)
	if launched != calls || timeouts != 0 || took < 24*time.Second || took > 26*time.Second {
		t.Errorf("8 callers: %d launched in %v, %d timeouts; want 5000 in about 25s, 0", launched, took, timeouts)
	}
	t.Logf("8 callers: %d launched in %v, %d timeouts", launched, took, timeouts)
	took, launched, timeouts = run(t, calls, 30*time.Second)
	if launched > calls/10 || timeouts < 2*calls {
		t.Errorf("%d callers: %d launched in %v, %d timeouts; want hardly any in the time in which eight callers have them all", calls, launched, took, timeouts)
	}
	t.Logf("%d callers: %d launched in %v, %d timeouts", calls, launched, took, timeouts)
}

func dial(t *testing.T, endpoint string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}
