package aws_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/aws/awstest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// cloud is a database whose time AWS keeps, and an AWS with a bad day at hand.
type cloud struct {
	t     *testing.T
	db    *sqlite.DB
	proxy *awstest.Proxy
	moto  string
	cfg   aws.SchedulerConfig
}

var prefixes atomic.Int64

func newCloud(t *testing.T, change ...func(*aws.SchedulerConfig)) *cloud {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.KeepTime(t.Context(), store.KeeperAWS, time.Now()); err != nil {
		t.Fatal(err)
	}
	moto := awstest.Moto(t)
	c := &cloud{t: t, db: db, moto: moto, proxy: awstest.NewProxy(t, moto), cfg: aws.SchedulerConfig{
		Region: awstest.Region, ScheduleRole: awstest.Role, TargetName: "arn:aws:sqs:us-east-1:123456789012:flyte-schedules",
		ScheduleNamePrefix: fmt.Sprintf("t%d-%d", os.Getpid(), prefixes.Add(1)),
	}}
	c.cfg.Endpoint = c.proxy.URL
	for _, f := range change {
		f(&c.cfg)
	}
	return c
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func planID(name, version string) ident.ID {
	return ident.ID{Key: key("flytesnacks", "development", name), Version: version}
}

func (c *cloud) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func by(now time.Time) store.Change { return store.Change{By: "ada", Why: "a test", At: now} }

// activate registers a version of a launch plan and activates it.
func (c *cloud) activate(id ident.ID, spec schedule.Spec) {
	c.t.Helper()
	now := time.Now()
	c.must(c.db.CreatePlan(c.t.Context(), store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: now, UpdatedAt: now}))
	c.must(c.db.Activate(c.t.Context(), id, &spec, by(now)))
}

// start runs a reconciler until the returned function is called.
func (c *cloud) start() (r *aws.Reconciler, stop func()) {
	c.t.Helper()
	r, err := aws.NewReconciler(c.db, c.cfg, quiet())
	c.must(err)
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		c.must(<-done)
	}
}

// settled waits until the rule of a launch plan is in step, or has an error if that is what is waited for.
func (c *cloud) settled(r *aws.Reconciler, plan ident.Key, failed bool) store.Rule {
	c.t.Helper()
	var rule store.Rule
	awstest.Until(c.t, 20*time.Second, "settled", func() bool {
		r.Wake()
		var err error
		rule, err = c.db.Rule(c.t.Context(), plan)
		c.must(err)
		return (failed && rule.Error != "") || (!failed && rule.InStep() && rule.DueAt.IsZero())
	})
	return rule
}

// rules are what AWS holds, a line each.
func (c *cloud) rules() (lines []string) {
	c.t.Helper()
	there := awstest.RulesOf(c.t, c.moto, c.cfg.ScheduleNamePrefix)
	if c.cfg.API == aws.Scheduler {
		there = awstest.SchedulesOf(c.t, c.moto, "default", c.cfg.ScheduleNamePrefix)
	}
	for _, r := range there {
		line := strings.TrimPrefix(r.Name, c.cfg.ScheduleNamePrefix+"_") + " " + r.Expression
		if r.Timezone != "" {
			line += " " + r.Timezone
		}
		if r.Disabled {
			line += " disabled"
		}
		if r.Target != c.cfg.TargetName || !strings.Contains(r.Template, `"payload":"`) {
			line += " without its target"
		}
		lines = append(lines, line)
	}
	return lines
}

func (c *cloud) expect(what string, want ...string) {
	c.t.Helper()
	if diff := cmp.Diff(want, c.rules()); diff != "" {
		c.t.Errorf("%s: AWS holds (-want +got):\n%s", what, diff)
	}
}

var apis = map[string]func(*aws.SchedulerConfig){
	aws.Rules:     func(*aws.SchedulerConfig) {},
	aws.Scheduler: func(c *aws.SchedulerConfig) { c.API = aws.Scheduler },
}

func TestAWSHoldsWhatPeopleActivate(t *testing.T) {
	t.Parallel()
	for api, change := range apis {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, change)
			r, stop := c.start()
			defer stop()
			zone := ""
			if api == aws.Scheduler {
				zone = " UTC"
			}
			const hash = "863337312034735171"
			v1, v2 := planID("nightly-report", "v1"), planID("nightly-report", "v2")
			c.activate(v1, schedule.Spec{Expression: "0 10 * * ? *", KickoffInput: "at"})
			c.settled(r, v1.Key, false)
			c.expect("activated", hash+" cron(0 10 * * ? *)"+zone)
			c.activate(v2, schedule.Spec{Expression: "rate(5 minutes)"})
			c.settled(r, v1.Key, false)
			c.expect("another version", hash+" rate(5 minutes)"+zone)
			before := len(c.proxy.Calls())
			c.must(c.db.Deactivate(t.Context(), v1, by(time.Now())))
			c.settled(r, v1.Key, false)
			c.expect("an inactive version deactivated", hash+" rate(5 minutes)"+zone)
			if after := len(c.proxy.Calls()); after != before {
				t.Errorf("deactivating what is inactive asked AWS for %s", c.proxy.Calls()[before:])
			}
			c.must(c.db.Pause(t.Context(), v1.Key, "maintenance", time.Time{}, by(time.Now())))
			c.settled(r, v1.Key, false)
			c.expect("paused", hash+" rate(5 minutes)"+zone+" disabled")
			c.must(c.db.Resume(t.Context(), v1.Key, by(time.Now())))
			c.settled(r, v1.Key, false)
			c.expect("resumed", hash+" rate(5 minutes)"+zone)
			c.must(c.db.Deactivate(t.Context(), v2, by(time.Now())))
			c.settled(r, v1.Key, false)
			c.expect("deactivated")
			if p := r.Problem(); p != "" {
				t.Errorf("problem: %s", p)
			}
		})
	}
}

// TestFourPermissionsAreEnough has AWS deny all but what Flyte's page asks for.
func TestFourPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.proxy.Allow("events:PutRule", "events:PutTargets", "events:DeleteRule", "events:RemoveTargets")
	r, stop := c.start()
	defer stop()
	plan := planID("nightly-report", "v1")
	c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
	c.settled(r, plan.Key, false)
	c.expect("activated", "863337312034735171 cron(0 10 * * ? *)")
	got, err := r.Diff(t.Context())
	if err != nil || len(got.Unknown) == 0 || len(got.Differences) != 0 {
		t.Errorf("the difference is %+v (%v)", got, err)
	}
	c.must(c.db.Deactivate(t.Context(), plan, by(time.Now())))
	c.settled(r, plan.Key, false)
	c.expect("deactivated")
	if p := r.Problem(); p != "" {
		t.Errorf("problem: %s", p)
	}
}

func TestWhatAWSDoesOnABadDayIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]awstest.Fault{
		"throttled": awstest.Throttled, "internal": awstest.Internal, "unavailable": awstest.Unavailable, "concurrent": awstest.Concurrent,
		"cut": awstest.Cut, "lost answer": awstest.Lost,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			r, stop := c.start()
			defer stop()
			plan := planID("nightly-report", "v1")
			for _, operation := range []string{"events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule", "events:DescribeRule"} {
				c.proxy.Fail(operation, fault)
			}
			c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
			c.settled(r, plan.Key, false)
			c.expect("activated", "863337312034735171 cron(0 10 * * ? *)")
			c.must(c.db.Deactivate(t.Context(), plan, by(time.Now())))
			c.settled(r, plan.Key, false)
			c.expect("deactivated")
		})
	}
	t.Run("a target that was not put", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t)
		r, stop := c.start()
		defer stop()
		plan := planID("nightly-report", "v1")
		c.proxy.Fail("events:PutTargets", awstest.PartlyFailed("ConcurrentModificationException"))
		c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
		if rule := c.settled(r, plan.Key, true); !strings.Contains(rule.Error, "ConcurrentModificationException: it did not work") {
			t.Errorf("the error is %q", rule.Error)
		}
		c.settled(r, plan.Key, false)
		c.expect("then", "863337312034735171 cron(0 10 * * ? *)")
	})
}

func TestWhatAPersonHasToDoIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		fault   awstest.Fault
		want    string
		problem bool
	}{
		{"a quota", awstest.Limit, "have the quota raised", false},
		{"credentials that expired", awstest.Expired, "valid credentials", true},
		{"a permission", awstest.Denied, "tminus aws policy", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newCloud(t)
			r, stop := w.start()
			defer stop()
			plan := planID("nightly-report", "v1")
			w.proxy.Always("events:PutRule", c.fault)
			w.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
			rule := w.settled(r, plan.Key, true)
			if !strings.Contains(rule.Error, c.want) || rule.DueAt.IsZero() {
				t.Errorf("the error is %q, again at %s", rule.Error, rule.DueAt)
			}
			if got := r.Problem() != ""; got != c.problem {
				t.Errorf("it is a problem of all: %t (%s)", got, r.Problem())
			}
			w.proxy.Always("events:PutRule", nil)
			if n, err := r.Sync(t.Context(), &plan.Key); err != nil || n != 1 {
				t.Errorf("sync: %d, %v", n, err)
			}
			w.settled(r, plan.Key, false)
			w.expect("once it works", "863337312034735171 cron(0 10 * * ? *)")
			if p := r.Problem(); p != "" {
				t.Errorf("the problem stays: %s", p)
			}
		})
	}
}

// TestNobodyElsesRuleIsTouched has rules in AWS that are not tminus's, and one of Flyte's that is.
func TestNobodyElsesRuleIsTouched(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	plan, gone := planID("nightly-report", "v1"), planID("gone", "v1")
	foreign := aws.RuleName(c.cfg.ScheduleNamePrefix, plan.Key)
	awstest.PutRule(t, c.moto, awstest.Rule{Name: foreign, Description: "somebody's", Expression: "rate(1 day)"})
	awstest.PutRule(t, c.moto, awstest.Rule{Name: c.cfg.ScheduleNamePrefix + "_else", Description: "else", Expression: "rate(1 day)"})
	flytes := aws.RuleName(c.cfg.ScheduleNamePrefix, gone.Key)
	awstest.PutRule(t, c.moto, awstest.Rule{Name: flytes, Description: aws.Description(gone.Key), Expression: "rate(2 days)"})
	r, stop := c.start()
	defer stop()
	c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
	if rule := c.settled(r, plan.Key, true); !strings.Contains(rule.Error, "somebody's") {
		t.Errorf("the error is %q", rule.Error)
	}
	c.must(c.db.Deactivate(t.Context(), plan, by(time.Now())))
	c.settled(r, plan.Key, false)
	taken := aws.RuleName("", gone.Key)
	c.expect("then", taken+" rate(2 days) without its target", "863337312034735171 rate(1 day) without its target", "else rate(1 day) without its target")

	diff, err := r.Diff(t.Context())
	if err != nil || len(diff.Differences) != 1 || diff.Differences[0].What != aws.Extra || diff.Differences[0].LaunchPlan != gone.Key {
		t.Errorf("the difference is %+v (%v)", diff, err)
	}
	c.activate(gone, schedule.Spec{Expression: "0 11 * * ? *"})
	c.settled(r, gone.Key, false)
	if got := c.rules(); !slices.Contains(got, taken+" cron(0 11 * * ? *)") {
		t.Errorf("Flyte's rule is not taken over: %q", got)
	}
}

// TestWhatSomebodyElseMadeOfARuleIsTheirs has somebody put a rule under the name of one of tminus's, before it or after it.
func TestWhatSomebodyElseMadeOfARuleIsTheirs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// after says that tminus had put its own before.
		after bool
		do    func(c *cloud, r *aws.Reconciler, plan ident.ID)
		// refused says that tminus says so; else it is done with the rule.
		refused bool
	}{
		{"deactivated after it was refused", false, func(c *cloud, r *aws.Reconciler, plan ident.ID) {
			c.settled(r, plan.Key, true)
			c.must(c.db.Deactivate(c.t.Context(), plan, by(time.Now())))
		}, false},
		{"put again", true, func(c *cloud, r *aws.Reconciler, _ ident.ID) {
			_, err := r.Sync(c.t.Context(), nil)
			c.must(err)
		}, true},
		{"paused", true, func(c *cloud, _ *aws.Reconciler, plan ident.ID) {
			c.must(c.db.Pause(c.t.Context(), plan.Key, "maintenance", time.Time{}, by(time.Now())))
		}, true},
		{"deactivated", true, func(c *cloud, _ *aws.Reconciler, plan ident.ID) {
			c.must(c.db.Deactivate(c.t.Context(), plan, by(time.Now())))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newCloud(t)
			w.proxy.Always("events:ListTargetsByRule", awstest.Denied) // It can be told without.
			r, stop := w.start()
			defer stop()
			plan := planID("nightly-report", "v1")
			theirs := awstest.Rule{Name: aws.RuleName(w.cfg.ScheduleNamePrefix, plan.Key), Description: "somebody's", Expression: "rate(1 day)"}
			if !c.after {
				awstest.PutRule(t, w.moto, theirs)
			}
			w.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
			if c.after {
				w.settled(r, plan.Key, false)
				awstest.PutRule(t, w.moto, theirs)
			}
			c.do(w, r, plan)
			if rule := w.settled(r, plan.Key, c.refused); c.refused && !strings.Contains(rule.Error, "it is not tminus's") {
				t.Errorf("the error is %q", rule.Error)
			}
			there := awstest.RulesOf(t, w.moto, w.cfg.ScheduleNamePrefix)
			if len(there) != 1 || there[0].Description != theirs.Description || there[0].Expression != theirs.Expression || there[0].Disabled {
				t.Errorf("AWS holds %+v, want somebody's", there)
			}
		})
	}
}

// TestAnotherConfigurationMovesRules restarts with another prefix, API and role.
func TestAnotherConfigurationMovesRules(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	plan := planID("nightly-report", "v1")
	c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
	r, stop := c.start()
	c.settled(r, plan.Key, false)
	stop()
	first := c.cfg.ScheduleNamePrefix
	for _, change := range []func(){
		func() { c.cfg.ScheduleNamePrefix = first + "b" },
		func() { c.cfg.API = aws.Scheduler },
		func() { c.cfg.API = aws.Rules },
		func() { c.cfg.TargetName += "2" },
	} {
		change()
		r, stop := c.start()
		want := []string{"863337312034735171 cron(0 10 * * ? *)"}
		if c.cfg.API == aws.Scheduler {
			want[0] += " UTC"
		}
		awstest.Until(t, 20*time.Second, "moved", func() bool {
			r.Wake()
			return slices.Equal(c.rules(), want)
		})
		c.settled(r, plan.Key, false)
		stop()
		c.expect("moved", want...)
	}
	if left := awstest.RulesOf(t, c.moto, first+"_"); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
	if left := awstest.SchedulesOf(t, c.moto, "default", first); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
}

// TestRulesMoveWithoutThePermissionsOfBefore changes the prefix and the policy with
// it, so that nothing under the old names may be touched until somebody allows it.
func TestRulesMoveWithoutThePermissionsOfBefore(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *cloud, r *aws.Reconciler, plan ident.ID) []string{
		"and are removed once somebody allows it": func(c *cloud, r *aws.Reconciler, plan ident.ID) []string {
			c.proxy.DenyNames("")
			_, err := r.Sync(c.t.Context(), nil)
			c.must(err)
			c.settled(r, plan.Key, false)
			return []string{"863337312034735171 cron(0 10 * * ? *)"}
		},
		"and are deactivated meanwhile": func(c *cloud, r *aws.Reconciler, plan ident.ID) []string {
			c.must(c.db.Deactivate(c.t.Context(), plan, by(time.Now())))
			if rule := c.settled(r, plan.Key, true); !strings.Contains(rule.Error, "which another configuration put and whose permissions it takes: AccessDenied") {
				c.t.Errorf("the error is %q", rule.Error)
			}
			c.expect("deactivated")
			c.proxy.DenyNames("")
			_, err := r.Sync(c.t.Context(), &plan.Key)
			c.must(err)
			c.settled(r, plan.Key, false)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			plan := planID("nightly-report", "v1")
			c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
			r, stop := c.start()
			c.settled(r, plan.Key, false)
			stop()
			before := aws.RuleName(c.cfg.ScheduleNamePrefix, plan.Key)
			c.proxy.DenyNames(before)
			c.cfg.ScheduleNamePrefix += "b"
			r, stop = c.start()
			defer stop()
			var rule store.Rule
			awstest.Until(t, 20*time.Second, "put under its new name", func() bool {
				r.Wake()
				var err error
				rule, err = c.db.Rule(t.Context(), plan.Key)
				c.must(err)
				return rule.InStep() && rule.Attempts > 0
			})
			c.expect("moved", "863337312034735171 cron(0 10 * * ? *)")
			if rule.DueAt.IsZero() || !strings.Contains(rule.Held, before) {
				t.Errorf("what is left is not tried again: %+v", rule)
			}
			diff, err := r.Diff(t.Context())
			if err != nil || len(diff.Differences) != 1 || diff.Differences[0].What != aws.Unwanted || diff.Differences[0].Name != before {
				t.Errorf("the difference is %+v (%v)", diff, err)
			}
			want := end(c, r, plan)
			c.expect("in the end", want...)
			if left := awstest.RulesOf(t, c.moto, before); len(left) > 0 {
				t.Errorf("left behind: %+v", left)
			}
			if diff, err := r.Diff(t.Context()); err != nil || len(diff.Differences) != 0 {
				t.Errorf("the difference is %+v (%v)", diff, err)
			}
		})
	}
}

// TestItMayEndBetweenAnyTwoCalls stops a reconciler at each of its calls in turn,
// so that nobody records what it did, and has another one go on.
func TestItMayEndBetweenAnyTwoCalls(t *testing.T) {
	t.Parallel()
	for calls := range 8 {
		t.Run(strconv.Itoa(calls), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			plan := planID("nightly-report", "v1")
			c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
			now := time.Now()
			claimed, err := c.db.ClaimRules(t.Context(), now, time.Minute, 10) // It dies with the claim.
			c.must(err)
			crash := func(rules []store.Rule) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				made := 0
				for _, operation := range []string{"events:DescribeRule", "events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule"} {
					c.proxy.Always(operation, awstest.After(func() {
						if made++; made > calls {
							cancel()
						}
					}))
				}
				r, err := aws.NewReconciler(c.db, c.cfg, quiet())
				c.must(err)
				aws.ApplyAll(ctx, r, rules, now)
				for _, operation := range []string{"events:DescribeRule", "events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule"} {
					c.proxy.Always(operation, nil)
				}
			}
			crash(claimed)
			c.must(c.db.Deactivate(t.Context(), plan, by(now)))
			claimed, err = c.db.ClaimRules(t.Context(), now.Add(time.Hour), time.Minute, 10) // The lease is over.
			c.must(err)
			crash(claimed)
			c.must(c.db.Activate(t.Context(), plan, &schedule.Spec{Expression: "0 12 * * ? *"}, by(now)))
			claimed, err = c.db.ClaimRules(t.Context(), now.Add(2*time.Hour), time.Minute, 10)
			c.must(err)
			r, err := aws.NewReconciler(c.db, c.cfg, quiet())
			c.must(err)
			aws.ApplyAll(t.Context(), r, claimed, now)
			c.must(c.db.SettleRules(t.Context(), now, claimed))
			c.expect("in the end", "863337312034735171 cron(0 12 * * ? *)")
			if rule, err := c.db.Rule(t.Context(), plan.Key); err != nil || !rule.InStep() {
				t.Errorf("the rule is %+v (%v)", rule, err)
			}
		})
	}
}

func TestDiffTellsWhatSomebodyChangedInAWS(t *testing.T) {
	t.Parallel()
	for api, change := range apis {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, change)
			r, stop := c.start()
			defer stop()
			plan, lost := planID("nightly-report", "v1"), planID("lost", "v1")
			for _, p := range []ident.ID{plan, lost} {
				c.activate(p, schedule.Spec{Expression: "0 10 * * ? *"})
				c.settled(r, p.Key, false)
			}
			if diff, err := r.Diff(t.Context()); err != nil || diff.Compared != 2 || len(diff.Differences)+len(diff.Unknown) != 0 {
				t.Errorf("before: %+v (%v)", diff, err)
			}
			awstest.Remove(t, c.moto, api == aws.Scheduler, aws.RuleName(c.cfg.ScheduleNamePrefix, lost.Key))
			awstest.Disable(t, c.moto, api == aws.Scheduler, aws.RuleName(c.cfg.ScheduleNamePrefix, plan.Key))
			diff, err := r.Diff(t.Context())
			c.must(err)
			var got []string
			for _, d := range diff.Differences {
				got = append(got, d.LaunchPlan.Name+" "+d.What+": "+d.Detail)
			}
			slices.Sort(got)
			want := []string{"lost missing: it is to be put", `nightly-report differs: state is "disabled" and is to be "enabled"`}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("the difference (-want +got):\n%s", d)
			}
			if n, err := r.Sync(t.Context(), nil); err != nil || n != 2 {
				t.Errorf("sync: %d, %v", n, err)
			}
			c.settled(r, plan.Key, false)
			c.settled(r, lost.Key, false)
			if diff, err := r.Diff(t.Context()); err != nil || len(diff.Differences) != 0 {
				t.Errorf("after: %+v (%v)", diff, err)
			}
		})
	}
}

func TestDiffTellsWhatIsBesides(t *testing.T) {
	t.Parallel()
	for api, want := range map[string]string{
		aws.Rules: "input paths are map[time:$.id] and are to be map[time:$.time]; it has the target theirs (arn:aws:sqs:us-east-1:123456789012:theirs) besides, which is to go",
		aws.Scheduler: `start is "2100-01-02T03:04:05Z" and is to be "none"; flexible time window is 60 minutes and is to be off; ` +
			`retries are 3 within 1m0s and are to be 185 within 24h0m0s; dead-letter queue is "arn:aws:sqs:us-east-1:123456789012:theirs" and is to be ""`,
	} {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, apis[api])
			r, stop := c.start()
			defer stop()
			plan, bounded := planID("nightly-report", "v1"), planID("bounded", "v1")
			c.activate(plan, schedule.Spec{Expression: "0 10 * * ? *"})
			c.activate(bounded, schedule.Spec{Expression: "0 10 * * ? *", Policy: schedule.Policy{
				StartAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), EndAt: time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC),
			}})
			c.settled(r, plan.Key, false)
			c.settled(r, bounded.Key, false)
			awstest.Meddle(t, c.moto, api == aws.Scheduler, aws.RuleName(c.cfg.ScheduleNamePrefix, plan.Key))
			diff, err := r.Diff(t.Context())
			c.must(err)
			if len(diff.Differences) != 1 || diff.Differences[0].What != aws.Differs || diff.Differences[0].LaunchPlan != plan.Key {
				t.Fatalf("the differences are %+v", diff.Differences)
			}
			if d := cmp.Diff(want, diff.Differences[0].Detail); d != "" {
				t.Errorf("the difference (-want +got):\n%s", d)
			}
		})
	}
}
