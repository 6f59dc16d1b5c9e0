package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/workflow"
)

// job is what a process of its own is told.
type job struct {
	// Kind is launch and follow, which are tminus, or bare and fixed, which are others.
	Kind string
	// Address is flyteadmin's; URL is that of a PostgreSQL database, and "" means SQLite.
	Address, URL string
	// Plans is how many launch plans there are. All come due once at Due, or so many
	// EachSecond of them, from Due on, for two minutes.
	Plans, EachSecond int
	Due               time.Time
	// Limit is how long after Due it ends in any case; 0 is a quarter of an hour.
	Limit time.Duration
	// Callers is how many call at once; of fixed it is the burst.
	Callers int
	// PerSecond is how many slots are begun with in a second; 0 means no limit.
	PerSecond float64
	// Profile is the file for a profile; none if empty.
	Profile string
}

// result is what a job found.
type result struct {
	Took, CPU      time.Duration
	P50, P99       time.Duration // from the slot to the record of the launch
	TimedOut       int           // calls
	Peak, Resident int           // KiB
	// How long it took to follow all, the CPU time and the requests of that, and those after it.
	Ready, ReadyCPU  time.Duration
	Asked, AskedIdle int
}

// jobVariable makes this program the process that is measured.
const jobVariable = "FLYTEBENCH_JOB"

// start runs j in a process of its own.
func (j *job) start(ctx context.Context) (*result, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self) //nolint:gosec // It is this program itself.
	cmd.Env, cmd.Stderr = append(os.Environ(), jobVariable+"="+string(text)), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	r := &result{}
	return r, json.Unmarshal(out, r)
}

// work does a job that start has written, and prints the result.
func work(ctx context.Context, text string, w io.Writer) (err error) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, j.Due.Add(cmp.Or(j.Limit, 15*time.Minute)))
	defer cancel()
	conn, err := j.dial(ctx)
	if err != nil {
		return err
	}
	var r *result
	switch j.Kind {
	case "launch":
		r, err = j.launch(ctx, conn)
	case "follow":
		r, err = j.follow(ctx, conn)
	case "bare":
		r, err = j.bare(ctx, conn)
	default:
		r = j.fixed(ctx, conn)
	}
	if err != nil {
		return err
	}
	r.Peak, r.TimedOut = memory("VmHWM"), int(conn.timedOut.Load())
	return json.NewEncoder(w).Encode(r)
}

// profile writes a profile of what happens until stop is called, if one is asked for.
func (j *job) profile() (stop func() error, err error) {
	if j.Profile == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(j.Profile)
	if err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, pprof.StartCPUProfile(f)
}

// counted is a connection as tminus serve has it, whose calls are counted.
type counted struct {
	grpc.ClientConnInterface

	calls, timedOut atomic.Int64
}

func (j *job) dial(ctx context.Context) (*counted, error) {
	conn, err := flyte.Dial(ctx, flyte.Config{Endpoint: j.Address, Insecure: true, PerRetryTimeout: callTime}, slog.New(slog.DiscardHandler))
	return &counted{ClientConnInterface: conn}, err
}

// callTime is how long callers wait for an answer: so it is in Flyte's clients, and in tminus.
const callTime = 15 * time.Second

// Invoke makes a call.
func (c *counted) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	c.calls.Add(1)
	err := c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
	if status.Code(err) == codes.DeadlineExceeded {
		c.timedOut.Add(1)
	}
	return err
}

// ledger is what both databases are.
type ledger interface {
	engine.Ledger
	flyte.Executions
	flyte.Catalog
	Close() error
}

// tminus is what tminus serve runs beside a flyteadmin.
type tminus struct {
	db      ledger
	settled func([]schedule.Firing)
	closed  func() error
}

func (j *job) open(ctx context.Context) (*tminus, error) {
	if j.URL != "" {
		db, err := postgres.Open(ctx, postgres.Config{URL: j.URL})
		return &tminus{db: db, closed: db.Close}, err
	}
	dir, err := os.MkdirTemp("", "flytebench")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	return &tminus{db: db, closed: func() error { return errors.Join(db.Close(), os.RemoveAll(dir)) }}, err
}

// run runs the engine and the launcher, and others beside them, until ctx ends.
func (t *tminus) run(ctx context.Context, j *job, conn grpc.ClientConnInterface, others ...func(context.Context) error) (end func() error) {
	cfg := engine.Config{}
	if j.URL != "" {
		cfg = engine.Shared()
	}
	var e *engine.Engine
	launcher := flyte.NewLauncher(conn, t.db, flyte.LauncherConfig{
		CallTime: callTime, Settled: t.settled,
		Finished: func(x store.Execution) {
			if err := e.Ended(context.WithoutCancel(ctx), x); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		},
	})
	cfg.Room, cfg.Find, cfg.Settled = launcher.Room, launcher.Find, t.settled
	e = engine.New(t.db, launcher, cfg)
	ctx, stop := context.WithCancel(ctx)
	running, ctx := errgroup.WithContext(ctx)
	for _, run := range append(others, e.Run, launcher.Run) {
		running.Go(func() error { return run(ctx) })
	}
	return func() error {
		stop()
		return running.Wait()
	}
}

// activateMost is how many launch plans are activated in one transaction.
const activateMost = 200

// prepare activates the launch plans. A rate counts from its activation, by which they come due when they are to.
func (j *job) prepare(ctx context.Context, db ledger) error {
	expression, every, groups := "rate(1 hour)", time.Hour, 1
	if j.EachSecond > 0 {
		expression, every, groups = "rate(1 minute)", time.Minute, j.Plans/j.EachSecond
	}
	each := j.Plans / groups
	for group := range groups {
		at := j.Due.Add(time.Duration(group) * time.Second).Add(-every)
		all := make([]store.Activation, each)
		for i := range all {
			id := planID(group*each + i)
			spec, err := proto.Marshal(launchPlan(id))
			if err != nil {
				return err
			}
			variable := &core.Variable{Type: &core.LiteralType{Type: &core.LiteralType_Simple{Simple: core.SimpleType_DATETIME}}}
			closure, err := proto.Marshal(&admin.LaunchPlanClosure{ExpectedInputs: &core.ParameterMap{Parameters: map[string]*core.Parameter{
				kickoff: {Var: variable, Behavior: &core.Parameter_Required{Required: true}},
			}}})
			if err != nil {
				return err
			}
			plan := store.Plan{ID: id, Workflow: id, ScheduleType: store.FixedRate, Spec: spec, Closure: closure, CreatedAt: at, UpdatedAt: at}
			all[i] = store.Activation{Plan: plan, Schedule: &schedule.Spec{Expression: expression, KickoffInput: kickoff}}
		}
		for some := range slices.Chunk(all, activateMost) {
			if err := db.ActivateAll(ctx, some, store.Change{At: at, By: "flytebench"}); err != nil {
				return err
			}
		}
	}
	if left := time.Until(j.Due); left < time.Second {
		return fmt.Errorf("preparing %d launch plans left %s until they are due", j.Plans, left)
	}
	return nil
}

// launch has tminus launch slots as they come due.
func (j *job) launch(ctx context.Context, conn *counted) (r *result, err error) {
	t, err := j.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.closed()) }()
	if err := j.prepare(ctx, t.db); err != nil {
		return nil, err
	}
	want := j.Plans
	if j.EachSecond > 0 {
		want *= 2
	}
	var (
		mu       sync.Mutex
		lateness []time.Duration
		done     = make(chan struct{})
	)
	t.settled = func(fs []schedule.Firing) {
		mu.Lock()
		defer mu.Unlock()
		for i := range fs {
			if fs[i].Outcome == schedule.Launched && len(lateness) < want {
				if lateness = append(lateness, fs[i].SettledAt.Sub(fs[i].Slot)); len(lateness) == want {
					close(done)
				}
			}
		}
	}
	end := t.run(ctx, j, conn)
	wait(ctx, j.Due)
	unprofile, err := j.profile()
	if err != nil {
		return nil, errors.Join(err, end())
	}
	before := cpu()
	select {
	case <-done:
	case <-ctx.Done():
	}
	r = &result{Took: time.Since(j.Due), CPU: cpu() - before, Resident: memory("VmRSS")}
	err = errors.Join(unprofile(), end())
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(lateness)
	r.P50, r.P99 = quantile(lateness, 0.50), quantile(lateness, 0.99)
	return r, err
}

// idleMinutes is how long tminus is watched while nothing changes.
const idleMinutes = 2

// follow has tminus follow launch plans that do not come due.
func (j *job) follow(ctx context.Context, conn *counted) (r *result, err error) {
	t, err := j.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.closed()) }()
	begun, before := time.Now(), cpu()
	r = &result{}
	follower := flyte.NewFollower(conn, t.db, flyte.FollowerConfig{})
	end := t.run(ctx, j, conn, follower.Run)
	defer func() { err = errors.Join(err, end()) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for follower.Following().Schedules < j.Plans {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%+v: %w", follower.Following(), ctx.Err())
		}
	}
	r.Ready, r.ReadyCPU, r.Asked = time.Since(begun), cpu()-before, int(conn.calls.Load())
	unprofile, err := j.profile()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unprofile()) }()
	before = cpu()
	wait(ctx, time.Now().Add(idleMinutes*time.Minute))
	r.CPU, r.AskedIdle, r.Resident = cpu()-before, int(conn.calls.Load())-r.Asked, memory("VmRSS")
	return r, nil
}

// wait waits for a time.
func wait(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// request is what Flyte's own scheduler asks for.
func request(i int, slot time.Time) *admin.ExecutionCreateRequest {
	id := planID(i)
	return &admin.ExecutionCreateRequest{
		Project: id.Project, Domain: id.Domain, Name: schedule.ExecutionName(id, slot),
		Spec: &admin.ExecutionSpec{
			LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id),
			Metadata:   &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: timestamppb.New(slot)},
		},
		Inputs: &core.LiteralMap{Literals: map[string]*core.Literal{kickoff: {Value: &core.Literal_Scalar{Scalar: &core.Scalar{Value: &core.Scalar_Primitive{
			Primitive: &core.Primitive{Value: &core.Primitive_Datetime{Datetime: timestamppb.New(slot)}},
		}}}}}},
	}
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is a field of /proc/self/status, in KiB; 0 where there is none.
func memory(field string) int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				return 0
			}
			return kb
		}
	}
	return 0
}
