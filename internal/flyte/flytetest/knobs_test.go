package flytetest_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/flyte/flytetest"
)

func TestKubernetesDown(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.Propel(flytetest.Propeller{})
	s.KubernetesDown(true)
	wantCode(t, call(t, s, launch("f1")), codes.OK)
	wantCode(t, call(t, s, launch("f1")), codes.AlreadyExists)
	c := s.Executions()[0].GetClosure()
	if c.GetPhase() != core.WorkflowExecution_FAILED || c.GetError().GetKind() != core.ExecutionError_SYSTEM || c.GetError().GetCode() != "Internal" ||
		!strings.HasPrefix(c.GetError().GetMessage(), "failed to create workflow in propeller ") {
		t.Errorf("got %v, %v", c.GetPhase(), c.GetError())
	}
	s.KubernetesDown(false)
	wantCode(t, call(t, s, launch("f2")), codes.OK)
	s.KubernetesDown(true)
	wantCode(t, call(t, s, &admin.ExecutionTerminateRequest{Id: executionID("f2")}), codes.Internal)
	if phase := s.Executions()[1].GetClosure().GetPhase(); phase != core.WorkflowExecution_ABORTING {
		t.Errorf("after the abort that failed: %v", phase)
	}
}

func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.DatabaseDown(true)
	c := service.NewAdminServiceClient(dial(t, s.Start(t)))
	_, err := c.CreateExecution(t.Context(), launch("f1"))
	wantCode(t, err, codes.InvalidArgument)
	_, err = c.ListActiveLaunchPlans(t.Context(), &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1})
	wantCode(t, err, codes.Internal)
	_, err = c.GetDomains(t.Context(), &admin.GetDomainRequest{})
	wantCode(t, err, codes.OK)
	s.DatabaseDown(false)
	_, err = c.CreateExecution(t.Context(), launch("f1"))
	wantCode(t, err, codes.OK)
}

// Launches that the Kubernetes client would not get to within their callers' deadline are accepted, and fail at once.
func TestKubernetesRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.KubernetesRate(100, 25)
		c := service.NewAdminServiceClient(s.Pipe(t))
		begun := time.Now()
		var wg sync.WaitGroup
		for i := range 2000 {
			wg.Go(func() {
				_, err := c.CreateExecution(within(t, 15005*time.Millisecond), launch(fmt.Sprintf("f%d", i)))
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		phases := map[core.WorkflowExecution_Phase]int{}
		for _, e := range s.Executions() {
			phases[e.GetClosure().GetPhase()]++
		}
		if took := time.Since(begun); phases[core.WorkflowExecution_UNDEFINED] < 1500 || phases[core.WorkflowExecution_FAILED] < 400 || took > 15*time.Second {
			t.Errorf("%v in %v, want about 1525 that run and 475 that failed, within 15s", phases, took)
		}
	})
}

func TestBreakHalfwayLeavesTags(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.BreakHalfway(1)
	labelled := launch("f1")
	labelled.Spec = &admin.ExecutionSpec{LaunchPlan: planID, Labels: &admin.Labels{Values: map[string]string{"team": "sales"}}}
	wantCode(t, call(t, s, labelled), codes.Unavailable)
	wantCode(t, call(t, s, launch("f2")), codes.Unavailable)
	s.BreakHalfway(0)
	wantCode(t, call(t, s, labelled), codes.AlreadyExists)
	wantCode(t, call(t, s, &admin.WorkflowExecutionGetRequest{Id: executionID("f1")}), codes.NotFound)
	wantCode(t, call(t, s, launch("f2")), codes.OK)
}

// TestKnobsHitTheSameCalls: what a knob with a probability does is a function of the seed and the request, in whatever order they come.
func TestKnobsHitTheSameCalls(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, step int) map[string]codes.Code {
		out := map[string]codes.Code{}
		s := newServer()
		s.Seed(seed)
		s.FailBefore(0.3, "CreateExecution")
		c := service.NewAdminServiceClient(dial(t, s.Start(t)))
		for i := range 97 {
			name := fmt.Sprintf("f%d", i*step%97)
			_, err := c.CreateExecution(t.Context(), launch(name))
			out[name] = status.Code(err)
			_, err = c.GetDomains(t.Context(), &admin.GetDomainRequest{})
			wantCode(t, err, codes.OK)
		}
		return out
	}
	failed := func(m map[string]codes.Code) (names []string) {
		for i := range 97 {
			if name := fmt.Sprintf("f%d", i); m[name] == codes.Unavailable {
				names = append(names, name)
			}
		}
		return names
	}
	one, two, other := failed(run(1, 1)), failed(run(1, 5)), failed(run(2, 1))
	if fmt.Sprint(one) != fmt.Sprint(two) || fmt.Sprint(one) == fmt.Sprint(other) || len(one) < 15 || len(one) > 45 {
		t.Errorf("seed 1: %v\nseed 1 in another order: %v\nseed 2: %v", one, two, other)
	}
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.Throttle(10)
		c := service.NewAdminServiceClient(s.Pipe(t))
		got := map[codes.Code]int{}
		for range 2 {
			for range 30 {
				_, err := c.GetDomains(t.Context(), &admin.GetDomainRequest{})
				got[status.Code(err)]++
			}
			time.Sleep(time.Second)
		}
		if got[codes.OK] != 20 || got[codes.ResourceExhausted] != 40 {
			t.Errorf("got %v, want 20 served and 40 refused", got)
		}
		if calls := s.Calls(); calls["GetDomains"] != 60 || len(calls) != 1 {
			t.Errorf("counted %v", calls)
		}
	})
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	s := newServer()
	c := service.NewAdminServiceClient(dial(t, s.Start(t)))
	list := func() error {
		_, err := c.ListActiveLaunchPlans(t.Context(), &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1})
		return err
	}
	s.Refuse(status.Error(codes.Unimplemented, "unknown method"), "ListActiveLaunchPlans")
	wantCode(t, list(), codes.Unimplemented)
	_, err := c.GetDomains(t.Context(), &admin.GetDomainRequest{})
	wantCode(t, err, codes.OK)
	s.Refuse(nil, "ListActiveLaunchPlans")
	wantCode(t, list(), codes.OK)
}

func TestDownOnTheNetwork(t *testing.T) {
	t.Parallel()
	s := newServer()
	entered := make(chan struct{}, 1)
	s.Latency(func(string) time.Duration {
		select {
		case entered <- struct{}{}:
		default:
		}
		return time.Hour
	})
	c := service.NewAdminServiceClient(dial(t, s.Start(t)))
	done := make(chan error)
	go func() {
		_, err := c.CreateExecution(t.Context(), launch("f1"))
		done <- err
	}()
	<-entered // It is being worked at.
	if err := s.Down(true); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-done, codes.Unavailable)
	if n := len(s.Executions()); n != 0 {
		t.Errorf("%d executions of the call that broke", n)
	}
	_, err := c.GetDomains(t.Context(), &admin.GetDomainRequest{})
	wantCode(t, err, codes.Unavailable)
	s.Latency(nil)
	if err := s.Down(false); err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateExecution(within(t, time.Minute), launch("f1"), grpc.WaitForReady(true))
	wantCode(t, err, codes.OK)
}

func TestPipeThatBeginsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		if err := errors.Join(s.Down(true), s.Down(true)); err != nil {
			t.Fatal(err)
		}
		c := service.NewAdminServiceClient(s.Pipe(t))
		_, err := c.GetDomains(t.Context(), &admin.GetDomainRequest{})
		wantCode(t, err, codes.Unavailable)
		if err := errors.Join(s.Down(false), s.Down(false)); err != nil {
			t.Fatal(err)
		}
		_, err = c.GetDomains(within(t, time.Hour), &admin.GetDomainRequest{}, grpc.WaitForReady(true))
		wantCode(t, err, codes.OK)
	})
}

// TestCrowd shows how a load falls off: eight callers do best.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		callers int
		want    float64 // Calls a second.
	}{
		{1, 550. / 8}, {4, 550. / 2}, {8, 550}, {20, 375}, {32, 200}, {64, 200},
	} {
		t.Run(fmt.Sprint(test.callers, " callers"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const calls = 2000
				s := newServer()
				s.Work(flytetest.Load{PerSecond: 550, Crowded: 200})
				c := service.NewAdminServiceClient(s.Pipe(t))
				begun := time.Now()
				var wg sync.WaitGroup
				for range test.callers {
					wg.Go(func() {
						for range calls / test.callers {
							if _, err := c.GetDomains(t.Context(), &admin.GetDomainRequest{}); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				if got := float64(calls/test.callers*test.callers) / time.Since(begun).Seconds(); got < test.want*0.9 || got > test.want*1.1 {
					t.Errorf("%.0f calls a second, want about %.0f", got, test.want)
				}
				if most := s.MostInFlight(); most != test.callers {
					t.Errorf("%d at most in flight", most)
				}
			})
		})
	}
}

// TestConnections: launches hold a database connection each while they wait for another. As many as there are connections wait for
// each other, and a list waits for them; with fewer all goes well.
func TestConnections(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		callers     int
		least, most int // Launched.
		list        codes.Code
	}{
		{99, 99, 99, codes.OK},
		{200, 0, 20, codes.DeadlineExceeded}, // A few have luck before the connections are all held.
	} {
		t.Run(fmt.Sprint(test.callers, " callers"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				s.Work(flytetest.Load{PerSecond: 200, Connections: 100})
				c := service.NewAdminServiceClient(s.Pipe(t))
				var wg sync.WaitGroup
				for i := range test.callers {
					wg.Go(func() {
						_, err := c.CreateExecution(within(t, 15*time.Second), launch(fmt.Sprintf("f%d", i)))
						if code := status.Code(err); code != codes.OK && code != codes.DeadlineExceeded {
							t.Error(err)
						}
					})
				}
				time.Sleep(3 * time.Second) // More than it takes to serve them all.
				_, err := c.ListActiveLaunchPlans(within(t, 10*time.Second), &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1})
				wantCode(t, err, test.list)
				wg.Wait()
				if n := len(s.Executions()); n < test.least || n > test.most {
					t.Errorf("%d launched, want %d to %d", n, test.least, test.most)
				}
			})
		})
	}
}
