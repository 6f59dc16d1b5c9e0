package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store/postgres/postgrestest"
	"tminus.dev/internal/workflow"
)

// flyteadmin is a server with launch plans.
type flyteadmin struct {
	*flytetest.Server

	address string
	stop    func()
}

// projects are how many the launch plans are spread over.
const projects = 10

func newFlyteadmin(ctx context.Context, plans int, active bool) (*flyteadmin, error) {
	f := &flyteadmin{Server: flytetest.New()}
	at := &core.Variable{Type: &core.LiteralType{Type: &core.LiteralType_Simple{Simple: core.SimpleType_DATETIME}}}
	for i := range plans {
		id := workflow.Identifier(core.ResourceType_LAUNCH_PLAN, planID(i))
		f.PutLaunchPlan(id, launchPlan(planID(i)), &core.TypedInterface{Inputs: &core.VariableMap{Variables: map[string]*core.Variable{kickoff: at}}})
		if active {
			f.Activate(id)
		}
	}
	f.Propel(flytetest.Propeller{Run: flytetest.For(time.Hour)})
	var err error
	f.address, f.stop, err = f.Serve(ctx)
	return f, err
}

// kickoff is the input that gets the slot.
const kickoff = "kickoff_time"

func planID(i int) ident.ID {
	return ident.ID{Key: ident.Key{Project: "project-" + strconv.Itoa(i%projects), Domain: "production", Name: "plan-" + strconv.Itoa(i)}, Version: "v1"}
}

func launchPlan(id ident.ID) *admin.LaunchPlanSpec {
	return &admin.LaunchPlanSpec{
		WorkflowId: workflow.Identifier(core.ResourceType_WORKFLOW, id),
		EntityMetadata: &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{
			KickoffTimeInputArg: kickoff, ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: "0 3 29 2 *"}},
		}},
		Labels: &admin.Labels{Values: map[string]string{"team": "sales"}},
	}
}

// created says how late executions were there, in order, and how many slots have several.
func (f *flyteadmin) created() (lateness []time.Duration, doubles int) {
	slots := make(map[string]bool)
	for _, x := range f.Executions() {
		slot := x.GetSpec().GetMetadata().GetScheduledAt().AsTime()
		lateness = append(lateness, x.GetClosure().GetCreatedAt().AsTime().Sub(slot))
		of := x.GetSpec().GetLaunchPlan().GetName() + slot.String()
		if slots[of] {
			doubles++
		}
		slots[of] = true
	}
	slices.Sort(lateness)
	return lateness, doubles
}

// serverSettings are those that enginebench has.
var serverSettings = map[string]string{"shared_buffers": "1GB", "max_wal_size": "4GB"}

// measured is one measurement, and what it left on flyteadmin.
type measured struct {
	*result

	calls    map[string]int
	most     int
	accepted []time.Duration // how late executions were created, in order
	doubles  int
}

// tminus measures j on a database of its own.
func (b *bench) tminus(ctx context.Context, j job, database string, f *flyteadmin) (m *measured, err error) {
	switch database {
	case "sqlite":
	case "postgres":
		server, err := postgrestest.Run(serverSettings) //nolint:contextcheck // It ends with this process.
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		if j.URL, err = server.Create(); err != nil { //nolint:contextcheck // Likewise.
			return nil, err
		}
	default:
		return nil, fmt.Errorf("-databases: %q is none of sqlite and postgres", database)
	}
	return measure(ctx, j, f)
}

// measure has j done before a flyteadmin.
func measure(ctx context.Context, j job, f *flyteadmin) (*measured, error) {
	j.Address = f.address
	if j.Due.IsZero() {
		prepared := j.Plans
		if j.Kind != "launch" {
			prepared = 0
		}
		j.Due = soon(prepared)
	}
	r, err := j.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.Kind, err)
	}
	m := &measured{result: r, calls: f.Calls(), most: f.MostInFlight()}
	m.accepted, m.doubles = f.created()
	return m, nil
}

// soon is when slots are due for which so many launch plans are prepared before.
func soon(plans int) time.Time {
	return time.Now().Add(5*time.Second + time.Duration(plans)*10*time.Millisecond).Truncate(time.Second)
}

// last is how long it took until all were created.
func (m *measured) last() time.Duration { return m.accepted[len(m.accepted)-1] }

// speed measures launches a second, beside a bare client.
func (b *bench) speed(ctx context.Context) error {
	once := func(measuring func(f *flyteadmin) (*measured, error)) (*measured, error) {
		f, err := newFlyteadmin(ctx, b.slots, false)
		if err != nil {
			return nil, err
		}
		defer f.stop()
		m, err := measuring(f)
		if err == nil && len(m.accepted) != b.slots {
			err = fmt.Errorf("%d of %d were created", len(m.accepted), b.slots)
		}
		return m, err
	}
	bare := func(callers int) (*measured, error) {
		return once(func(f *flyteadmin) (*measured, error) {
			return measure(ctx, job{Kind: "bare", Plans: b.slots, Callers: callers}, f)
		})
	}
	callers, most := 0, 0.0
	for _, n := range []int{2, 4, 8, 16, 32, 64, 128} {
		m, err := bare(n)
		if err != nil {
			return err
		}
		if rate := float64(b.slots) / m.Took.Seconds(); rate > most {
			callers, most = n, rate
		}
	}
	b.table(fmt.Sprintf("%d slots due at once before a flyteadmin without limits, beside a bare client with %d callers", b.slots, callers),
		"database", "launches/s", "the bare client", "ratio", "CPU a launch", "of the client", "in flight at most", "ListExecutions", "resident (peak)")
	for _, database := range b.databases {
		var ours, theirs []*measured
		for range b.runs {
			m, err := bare(callers)
			if err != nil {
				return err
			}
			theirs = append(theirs, m)
			m, err = once(func(f *flyteadmin) (*measured, error) {
				return b.tminus(ctx, job{Kind: "launch", Plans: b.slots, Profile: b.profile(database + "-speed")}, database, f)
			})
			if err != nil {
				return err
			}
			ours = append(ours, m)
		}
		rate := func(m *measured) float64 { return float64(b.slots) / m.Took.Seconds() }
		cpu := func(m *measured) time.Duration { return m.CPU / time.Duration(b.slots) }
		o, t := median(ours, rate), median(theirs, rate)
		b.row(title(database), fmt.Sprintf("%.0f", o), fmt.Sprintf("%.0f", t), fmt.Sprintf("%.2f", o/t), median(ours, cpu).Round(time.Microsecond).String(), median(theirs, cpu).Round(time.Microsecond).String(),
			strconv.Itoa(median(ours, func(m *measured) int { return m.most })), strconv.Itoa(median(ours, func(m *measured) int { return m.calls["ListExecutions"] })),
			megabytes(median(ours, func(m *measured) int { return m.Peak })))
	}
	return nil
}

// burstSlots is how many slots come due at once in a burst.
const burstSlots = 5000

// burst measures bursts that a flyteadmin cannot serve within the time that its
// callers wait, beside launchers that do not look at how fast it answers.
func (b *bench) burst(ctx context.Context) error {
	b.table(fmt.Sprintf("%d slots due at once before a flyteadmin that goes on working for callers that are gone; they wait for 15 s, and stop after %s", burstSlots, b.limit),
		"flyteadmin", "launcher", "created", "all after", "calls", "timed out", "in flight at most", "slots launched twice")
	launchers := []launcher{
		{"tminus", job{Kind: "launch"}},
		{"100 a second, burst of 10", job{Kind: "fixed", PerSecond: 100, Callers: 10}},
		{"all at once", job{Kind: "fixed"}},
	}
	for _, load := range []struct {
		name string
		flytetest.Load
	}{
		{"200 a second", flytetest.Load{PerSecond: 200}},
		{"200 a second, 100 when crowded", flytetest.Load{PerSecond: 200, Crowded: 100}},
		{"60 a second", flytetest.Load{PerSecond: 60}},
	} {
		all := make([][]*measured, len(launchers))
		for range b.runs {
			for _, some := range [][]int{{0, 1}, {2}} { // What breaks the last one is not to be in the way of the others.
				if err := b.sideBySide(ctx, load.Load, launchers, some, all); err != nil {
					return err
				}
			}
		}
		for i, l := range launchers {
			created := median(all[i], func(m *measured) int { return len(m.accepted) })
			after := "never"
			if created == burstSlots {
				after = span(median(all[i], (*measured).last))
			}
			b.row(load.name, l.name, strconv.Itoa(created), after, strconv.Itoa(median(all[i], func(m *measured) int { return m.calls["CreateExecution"] })),
				strconv.Itoa(median(all[i], func(m *measured) int { return m.TimedOut })), strconv.Itoa(median(all[i], func(m *measured) int { return m.most })),
				strconv.Itoa(median(all[i], func(m *measured) int { return m.doubles })))
		}
	}
	return nil
}

// launcher is one to measure.
type launcher struct {
	name string
	job  job
}

// sideBySide measures some launchers at the same time, each with a flyteadmin of its own.
func (b *bench) sideBySide(ctx context.Context, load flytetest.Load, launchers []launcher, some []int, all [][]*measured) error {
	due := soon(burstSlots)
	var side errgroup.Group
	for _, i := range some {
		j := launchers[i].job
		j.Plans, j.Due, j.Limit = burstSlots, due, b.limit
		side.Go(func() error {
			f, err := newFlyteadmin(ctx, burstSlots, false)
			if err != nil {
				return err
			}
			defer f.stop()
			f.Work(load)
			var m *measured
			if j.Kind == "launch" {
				m, err = b.tminus(ctx, j, b.databases[0], f)
			} else {
				m, err = measure(ctx, j, f)
			}
			all[i] = append(all[i], m)
			return err
		})
	}
	return side.Wait()
}

// follow measures what it takes to follow launch plans.
func (b *bench) follow(ctx context.Context) error {
	b.table(fmt.Sprintf("%d launch plans of %d projects are followed", b.plans, projects),
		"database", "followed after", "with requests", "CPU of that", "CPU a minute, nothing changes", "requests a minute", "resident", "peak")
	for _, database := range b.databases {
		var all []*measured
		for range b.runs {
			f, err := newFlyteadmin(ctx, b.plans, true)
			if err != nil {
				return err
			}
			m, err := b.tminus(ctx, job{Kind: "follow", Plans: b.plans, Profile: b.profile(database + "-follow")}, database, f)
			f.stop()
			if err != nil {
				return err
			}
			all = append(all, m)
		}
		b.row(title(database), span(median(all, func(m *measured) time.Duration { return m.Ready })), strconv.Itoa(median(all, func(m *measured) int { return m.Asked })),
			span(median(all, func(m *measured) time.Duration { return m.ReadyCPU })), span(median(all, func(m *measured) time.Duration { return m.CPU / idleMinutes })),
			strconv.Itoa(median(all, func(m *measured) int { return m.AskedIdle / idleMinutes })),
			megabytes(median(all, func(m *measured) int { return m.Resident })), megabytes(median(all, func(m *measured) int { return m.Peak })))
	}
	return nil
}

// lateness measures how late slots launch on a flyteadmin whose answers take 20 ms.
func (b *bench) lateness(ctx context.Context) error {
	b.table("Lateness with a flyteadmin whose answers take 20 ms", "slots", "database", "accepted p50", "p99", "recorded p50", "p99", "in flight at most", "CPU a launch")
	for _, w := range []struct {
		name string
		job  job
	}{
		{"100 each second, for two minutes", job{Kind: "launch", Plans: 6000, EachSecond: 100}},
		{"1,000 at once", job{Kind: "launch", Plans: 1000}},
	} {
		for _, database := range b.databases {
			var all []*measured
			for range b.runs {
				f, err := newFlyteadmin(ctx, w.job.Plans, false)
				if err != nil {
					return err
				}
				f.Latency(func(string) time.Duration { return 20 * time.Millisecond })
				w.job.Profile = b.profile(fmt.Sprintf("%s-lateness-%d", database, w.job.Plans))
				m, err := b.tminus(ctx, w.job, database, f)
				f.stop()
				if err != nil {
					return err
				}
				all = append(all, m)
			}
			accepted := func(share float64) string {
				return span(median(all, func(m *measured) time.Duration { return quantile(m.accepted, share) }))
			}
			b.row(w.name, title(database), accepted(0.50), accepted(0.99), span(median(all, func(m *measured) time.Duration { return m.P50 })), span(median(all, func(m *measured) time.Duration { return m.P99 })),
				strconv.Itoa(median(all, func(m *measured) int { return m.most })),
				median(all, func(m *measured) time.Duration { return m.CPU / time.Duration(len(m.accepted)) }).Round(time.Microsecond).String())
		}
	}
	return nil
}
