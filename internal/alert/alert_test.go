package alert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// The simulated clock of testing/synctest starts at midnight UTC 2000-01-01.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return midnight.Add(time.Duration(minutes) * time.Minute) }

func plan(name string) ident.Key {
	return ident.Key{Project: "default", Domain: "production", Name: name}
}

// quick is a configuration under which people are told soon.
var quick = alert.Config{LateAfter: 5 * time.Minute, GroupWait: 10 * time.Second, GroupInterval: time.Minute}

// people remembers what they were told, a line for each alert, and when.
type people struct {
	mu       sync.Mutex
	messages []store.AlertMessage
	lines    []string
	times    []time.Time
	refuse   error
}

func (p *people) tell(_ context.Context, m store.AlertMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times = append(p.times, time.Now())
	if p.refuse != nil {
		return p.refuse
	}
	p.messages = append(p.messages, m)
	var n alert.Notification
	if m.Channel == "pagerduty" {
		var i struct {
			Action       string             `json:"action"`
			DedupKey     string             `json:"dedup_key"`
			Notification alert.Notification `json:"notification"`
		}
		if err := json.Unmarshal(m.Body, &i); err != nil {
			return err
		}
		count := i.Notification.Began.Count + i.Notification.Lasting.Count + i.Notification.Ended.Count
		p.lines = append(p.lines, fmt.Sprintf("%s %s of %d", i.Action, i.DedupKey, count))
		return nil
	}
	if err := json.Unmarshal(m.Body, &n); err != nil {
		return err
	}
	for _, s := range []struct {
		verb string
		alert.Section
	}{{"began", n.Began}, {"lasts", n.Lasting}, {"ended", n.Ended}} {
		for _, a := range s.Alerts {
			p.lines = append(p.lines, fmt.Sprintf("%s %s %s: %s", s.verb, a.Kind, a.LaunchPlan, a.What))
		}
		if s.Rest() > 0 {
			p.lines = append(p.lines, fmt.Sprintf("%s and %d more", s.verb, s.Rest()))
		}
	}
	return nil
}

// told empties p's memory.
func (p *people) told() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := p.lines
	p.lines = nil
	return lines
}

// history is all that p was sent, and when each attempt was.
func (p *people) history() ([]store.AlertMessage, []time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.messages), slices.Clone(p.times)
}

func (p *people) refusing(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = err
}

// run runs a until the test, or what is returned, ends it.
func run(t *testing.T, a *alert.Alerter) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// listening makes an alerter with p as its webhook.
func listening(s alert.Store, cfg alert.Config, p *people) *alert.Alerter {
	return alert.NewSending(s, cfg, []string{"webhook"}, map[string]alert.Send{"webhook": p.tell})
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

// The events of one schedule, a.
func launched(slot int, late time.Duration) alert.Observation {
	return alert.Observation{Schedule: plan("a"), Event: alert.Launched, Slot: at(slot), Lateness: late}
}

func waiting(slot int, late time.Duration) alert.Observation {
	return alert.Observation{Schedule: plan("a"), Event: alert.Waiting, Slot: at(slot), Lateness: late}
}

func missed(slot, count int) alert.Observation {
	return alert.Observation{Schedule: plan("a"), Event: alert.Missed, Slot: at(slot), Count: count}
}

func died(slot int) alert.Observation {
	return alert.Observation{Schedule: plan("a"), Event: alert.Died, Slot: at(slot)}
}

func failing(slot, count int) alert.Observation {
	return alert.Observation{Schedule: plan("a"), Event: alert.Failing, Slot: at(slot), Count: count}
}

func succeeded(slot int) alert.Observation {
	return alert.Observation{Schedule: plan("a"), Event: alert.Succeeded, Slot: at(slot)}
}

var stopped = alert.Observation{Schedule: plan("a"), Event: alert.Stopped, Reason: "deactivated"}

func TestWhatPeopleAreTold(t *testing.T) {
	type step struct {
		observed []alert.Observation
		told     []string // within two minutes
	}
	const (
		late6   = "late a: slot 2000-01-01T00:01:00Z is 6m late, limit 5m"
		missed1 = "missed a: slot 2000-01-01T00:01:00Z was missed"
		dead1   = "dead a: the launch of slot 2000-01-01T00:01:00Z was given up"
		failed3 = "failing a: 3 executions failed in a row, that of slot 2000-01-01T00:01:00Z the last"
	)
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"a launch within the limit is no news", []step{{[]alert.Observation{launched(1, 5*time.Minute)}, nil}}},
		{"late, and then on time", []step{
			{[]alert.Observation{launched(1, 6*time.Minute)}, []string{"began " + late6}},
			{[]alert.Observation{launched(2, time.Second)}, []string{"ended " + late6}},
			{[]alert.Observation{launched(3, time.Second)}, nil},
		}},
		{"late again and again is said once", []step{
			{[]alert.Observation{launched(1, 6*time.Minute)}, []string{"began " + late6}},
			{[]alert.Observation{launched(2, 7*time.Minute)}, nil},
			{[]alert.Observation{launched(3, 8*time.Minute)}, nil},
			{[]alert.Observation{launched(4, 0)}, []string{"ended late a: slot 2000-01-01T00:03:00Z is 8m late, limit 5m"}},
		}},
		{"a slot that waits, is launched late, and the next is not", []step{
			{[]alert.Observation{waiting(1, 5*time.Minute)}, nil},
			{[]alert.Observation{waiting(1, 6*time.Minute)}, []string{"began " + late6}},
			{[]alert.Observation{waiting(1, 7*time.Minute), waiting(1, 8*time.Minute)}, nil},
			{[]alert.Observation{launched(1, 9*time.Minute)}, nil},
			{[]alert.Observation{launched(2, 0)}, []string{"ended late a: slot 2000-01-01T00:01:00Z is 9m late, limit 5m"}},
		}},
		{"the schedule's own limit", []step{
			{[]alert.Observation{{Schedule: plan("a"), Event: alert.Launched, Slot: at(1), Lateness: 6 * time.Minute, Limit: time.Hour}}, nil},
			{
				[]alert.Observation{{Schedule: plan("a"), Event: alert.Launched, Slot: at(2), Lateness: 2 * time.Second, Limit: time.Second}},
				[]string{"began late a: slot 2000-01-01T00:02:00Z is 2s late, limit 1s"},
			},
		}},
		{"missed, and then launched", []step{
			{[]alert.Observation{missed(1, 1)}, []string{"began " + missed1}},
			{[]alert.Observation{launched(2, 0)}, []string{"ended " + missed1}},
		}},
		{"missed slots add up, those seen twice do not", []step{
			{[]alert.Observation{missed(10, 3), missed(10, 3)}, []string{"began missed a: 3 slots were missed, 2000-01-01T00:10:00Z the last"}},
			{[]alert.Observation{missed(10, 3)}, nil},
			{[]alert.Observation{missed(20, 4), missed(21, 1)}, nil},
			{[]alert.Observation{launched(22, 0)}, []string{"ended missed a: 8 slots were missed, 2000-01-01T00:21:00Z the last"}},
		}},
		{"missed, and launched before anybody could be told", []step{
			{[]alert.Observation{missed(1, 1), launched(2, 0)}, []string{"began " + missed1, "ended " + missed1}},
			{[]alert.Observation{launched(3, 0)}, nil},
		}},
		{"dead, and then launched, however late", []step{
			{[]alert.Observation{died(1)}, []string{"began " + dead1}},
			{[]alert.Observation{launched(2, 10*time.Minute)}, []string{
				"began late a: slot 2000-01-01T00:02:00Z is 10m late, limit 5m", "ended " + dead1,
			}},
		}},
		{"failing, and then a success", []step{
			{[]alert.Observation{failing(1, 3)}, []string{"began " + failed3}},
			{[]alert.Observation{launched(2, 0)}, nil},
			{[]alert.Observation{succeeded(2)}, []string{"ended " + failed3}},
		}},
		{"an earlier slot ends nothing", []step{
			{[]alert.Observation{died(1)}, []string{"began " + dead1}},
			{[]alert.Observation{launched(0, 0), launched(1, 0)}, nil},
		}},
		{"stopped ends all", []step{
			{[]alert.Observation{died(1), missed(1, 1)}, []string{"began " + dead1, "began " + missed1}},
			{[]alert.Observation{stopped}, []string{"ended " + dead1, "ended " + missed1}},
		}},
		{"trouble after a stop", []step{
			{[]alert.Observation{died(1), stopped, missed(1, 1)}, []string{"began " + dead1, "began " + missed1, "ended " + dead1}},
		}},
		{"trouble again after it is over", []step{
			{[]alert.Observation{died(1)}, []string{"began " + dead1}},
			{[]alert.Observation{launched(2, 0)}, []string{"ended " + dead1}},
			{[]alert.Observation{died(3)}, []string{"began dead a: the launch of slot 2000-01-01T00:03:00Z was given up"}},
		}},
		{"what is over and begins again before people were told goes on", []step{
			{[]alert.Observation{died(1)}, []string{"began " + dead1}},
			{[]alert.Observation{launched(2, 0), died(3)}, nil},
			{[]alert.Observation{launched(4, 0)}, []string{"ended dead a: the launch of slot 2000-01-01T00:03:00Z was given up"}},
		}},
		{"what nobody knows", []step{{[]alert.Observation{{Schedule: plan("a")}, {Schedule: plan("a"), Event: 99}}, nil}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := &people{}, newMemory()
				a := listening(s, quick, p)
				run(t, a)
				for i, step := range tc.steps {
					a.Observe(step.observed...)
					time.Sleep(2 * time.Minute)
					same(t, fmt.Sprintf("step %d", i+1), p.told(), step.told)
				}
				if problems := a.Problems(); len(problems) > 0 {
					t.Errorf("problems: %v", problems)
				}
			})
		})
	}
}

func TestALimitOfNothingIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &people{}
		a := listening(newMemory(), alert.Config{}, p)
		run(t, a)
		a.Observe(launched(1, time.Hour), waiting(2, time.Hour))
		time.Sleep(time.Minute)
		same(t, "told", p.told(), []string(nil))
	})
}

func TestReminders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &people{}
		cfg := quick
		cfg.Remind = time.Hour
		a := listening(newMemory(), cfg, p)
		run(t, a)
		a.Observe(died(1))
		time.Sleep(time.Minute)
		const dead = "dead a: the launch of slot 2000-01-01T00:01:00Z was given up"
		same(t, "at first", p.told(), []string{"began " + dead})
		time.Sleep(58 * time.Minute)
		same(t, "within the hour", p.told(), []string(nil))
		time.Sleep(2 * time.Minute)
		same(t, "after an hour", p.told(), []string{"lasts " + dead})
		time.Sleep(time.Hour)
		same(t, "after two", p.told(), []string{"lasts " + dead})
		a.Observe(launched(2, 0))
		time.Sleep(2 * time.Hour)
		same(t, "in the end", p.told(), []string{"ended " + dead})
	})
}

// storm is the same event of n schedules.
func storm(n int, o alert.Observation) []alert.Observation {
	all := make([]alert.Observation, n)
	for i := range all {
		all[i] = o
		all[i].Schedule = plan(fmt.Sprintf("s%05d", i))
	}
	return all
}

func TestAStormIsOneMessageAndOneIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		hook, pager := &people{}, &people{}
		cfg := quick
		cfg.MaxListed = 2
		s := newMemory()
		a := alert.NewSending(s, cfg, []string{"webhook", "pagerduty"}, map[string]alert.Send{"webhook": hook.tell, "pagerduty": pager.tell})
		run(t, a)
		time.Sleep(time.Minute)
		a.Observe(storm(n, waiting(1, 6*time.Minute))...)
		time.Sleep(2 * time.Minute)
		same(t, "told", hook.told(), []string{
			"began late s00000: slot 2000-01-01T00:01:00Z is 6m late, limit 5m",
			"began late s00001: slot 2000-01-01T00:01:00Z is 6m late, limit 5m",
			"began and 9998 more",
		})
		incidents := pager.told()
		if len(incidents) != 1 || !strings.HasPrefix(incidents[0], "trigger tminus/storm/") || !strings.HasSuffix(incidents[0], " of 10000") {
			t.Fatalf("incidents: %q", incidents)
		}
		incident := strings.Fields(incidents[0])[1]

		// All but one recover: people are told, the incident stays.
		a.Observe(storm(n-1, launched(2, 0))...)
		time.Sleep(2 * time.Minute)
		same(t, "lines about recoveries", len(hook.told()), 3)
		same(t, "incidents", pager.told(), []string(nil))
		a.Observe(storm(n, launched(3, 0))...)
		time.Sleep(2 * time.Minute)
		same(t, "the last recovery", hook.told(), []string{"ended late s09999: slot 2000-01-01T00:01:00Z is 6m late, limit 5m"})
		same(t, "incidents at last", pager.told(), []string{"resolve " + incident + " of 1"})
		same(t, "alerts left", len(s.open()), 0)
	})
}

func TestIncidentsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pager := &people{}
		cfg := quick
		cfg.Name, cfg.Remind = "prod", time.Hour
		a := alert.NewSending(newMemory(), cfg, []string{"pagerduty"}, map[string]alert.Send{"pagerduty": pager.tell})
		run(t, a)
		long := waiting(1, 6*time.Minute)
		long.Schedule.Name = strings.Repeat("n", 255)
		a.Observe(died(1), long)
		time.Sleep(2 * time.Minute)
		triggered := pager.told()
		slices.Sort(triggered)
		same(t, "triggered", triggered, []string{
			"trigger prod/dead/default/production/a of 1",
			"trigger tminus/ecffbd8c49289a82111b86a0d2dcd3271b8818798a8d0b7aa1671ad8afad9919 of 1", // Too long to be spelled out.
		})
		a.Observe(launched(2, 0))
		time.Sleep(2 * time.Minute)
		same(t, "resolved", pager.told(), []string{"resolve prod/dead/default/production/a of 1"})
		time.Sleep(time.Hour)
		same(t, "triggered again", pager.told(), triggered[1:])
	})
}

func TestMessagesComeNoFasterThanTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &people{}
		a := listening(newMemory(), quick, p)
		run(t, a)
		for i := range 60 { // A storm that takes ten minutes to build up.
			o := died(1)
			o.Schedule.Name = fmt.Sprint("s", i)
			a.Observe(o)
			time.Sleep(10 * time.Second)
		}
		time.Sleep(2 * time.Minute)
		same(t, "schedules told", len(p.told()), 60)
		_, times := p.history()
		if n := len(times); n < 8 || n > 11 {
			t.Errorf("%d messages in ten minutes, one a minute expected", n)
		}
		for i, sent := range times[1:] {
			if gap := sent.Sub(times[i]); gap < time.Minute {
				t.Errorf("messages %s apart", gap)
			}
		}
	})
}

func TestReplicasTellOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &people{}, newMemory()
		one, two := listening(s, quick, p), listening(s, quick, p)
		run(t, one)
		stop := run(t, two)
		one.Observe(died(1))
		two.Observe(died(1))
		time.Sleep(2 * time.Minute)
		const dead = "dead a: the launch of slot 2000-01-01T00:01:00Z was given up"
		same(t, "told", p.told(), []string{"began " + dead})
		two.Observe(launched(2, 0)) // What one began the other ends.
		stop()                      // And what it observed in its last second is not lost.
		time.Sleep(2 * time.Minute)
		same(t, "told in the end", p.told(), []string{"ended " + dead})
	})
}

func TestGoodNewsThatCrossesAnotherReplicasBadNewsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &people{}, newMemory()
		one, two := listening(s, quick, p), listening(s, quick, p)
		run(t, one)
		run(t, two)
		time.Sleep(time.Minute)
		two.Observe(launched(2, 0)) // Nobody has heard of trouble yet.
		time.Sleep(time.Second)
		one.Observe(died(1))
		time.Sleep(2 * time.Minute)
		const dead = "dead a: the launch of slot 2000-01-01T00:01:00Z was given up"
		told := p.told()
		same(t, "told", told, []string{"began " + dead, "ended " + dead})
		same(t, "alerts left", len(s.open()), 0)
	})
}

func TestWhatWasSentButNotRecordedIsSentAgainAsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &people{}, newMemory()
		crashing := alert.NewSending(s, quick, []string{"webhook"}, map[string]alert.Send{
			"webhook": func(ctx context.Context, m store.AlertMessage) error {
				defer s.failing(errors.New("gone")) // At this point the process ends, as far as the store can tell.
				return p.tell(ctx, m)
			},
		})
		stop := run(t, crashing)
		crashing.Observe(died(1))
		time.Sleep(time.Minute)
		stop()
		s.failing(nil)
		run(t, listening(s, quick, p))
		time.Sleep(2 * time.Minute) // The lease runs out.
		messages, _ := p.history()
		same(t, "messages", len(messages), 2)
		if len(messages) == 2 {
			same(t, "the second", messages[1], messages[0])
		}
	})
}

func TestARestartSendsWhatWasRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &people{}, newMemory()
		first := listening(s, quick, p)
		stop := run(t, first)
		first.Observe(died(1))
		stop()
		same(t, "told at the stop", p.told(), []string(nil))
		run(t, listening(s, quick, p))
		time.Sleep(time.Minute)
		same(t, "told", p.told(), []string{"began dead a: the launch of slot 2000-01-01T00:01:00Z was given up"})
	})
}

func TestAFailingChannelIsTriedUntilItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &people{refuse: errors.New("503 Service Unavailable")}, newMemory()
		var log bytes.Buffer
		cfg := quick
		cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		a := listening(s, cfg, p)
		stop := run(t, a)
		a.Observe(died(1))
		time.Sleep(30 * time.Minute)
		problems := a.Problems()
		if len(problems) != 1 || problems[0].Where != "webhook" || problems[0].Error != "503 Service Unavailable" || problems[0].Lost != 0 || time.Since(problems[0].Since) < 29*time.Minute {
			t.Errorf("problems: %+v", problems)
		}
		time.Sleep(time.Hour)
		same(t, "messages", s.settled(), map[store.AlertResult]int{store.AlertLost: 1})
		if problems := a.Problems(); len(problems) != 1 || problems[0].Lost != 1 {
			t.Errorf("problems: %+v", problems)
		}
		// Pauses double from a second to five minutes, less a random half, up to the hour.
		_, times := p.history()
		for i, pause := 1, time.Second; i < len(times)-1; i, pause = i+1, min(2*pause, 5*time.Minute) {
			if got := times[i].Sub(times[i-1]); got < pause/2 || got > pause {
				t.Errorf("pause %d is %s, want %s to %s", i, got, pause/2, pause)
			}
		}
		if tried := times[len(times)-1].Sub(times[0]); tried.Round(time.Second) != time.Hour {
			t.Errorf("tried for %s", tried)
		}
		p.refusing(nil)
		a.Observe(died(2), launched(3, 0))
		time.Sleep(2 * time.Minute)
		same(t, "told once it works", p.told(), []string{"ended dead a: the launch of slot 2000-01-01T00:02:00Z was given up"})
		same(t, "problems once it works", a.Problems(), []alert.Problem(nil))
		stop()
		for _, line := range []string{"cannot send alerts; trying again", "cannot send alerts; given up", "channel=webhook"} {
			if !strings.Contains(log.String(), line) {
				t.Errorf("the log has no %q", line)
			}
		}
	})
}

func TestADeadChannelDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &people{}
		hang := func(ctx context.Context, _ store.AlertMessage) error {
			<-ctx.Done()
			return ctx.Err()
		}
		a := alert.NewSending(newMemory(), quick, []string{"slack", "webhook"}, map[string]alert.Send{"slack": hang, "webhook": p.tell})
		run(t, a)
		a.Observe(died(1))
		time.Sleep(15 * time.Second)
		same(t, "told", len(p.told()), 1)
		time.Sleep(time.Minute)
		if problems := a.Problems(); len(problems) != 1 || problems[0].Where != "slack" || !strings.Contains(problems[0].Error, "deadline") {
			t.Errorf("problems: %+v", problems)
		}
	})
}

func TestAStoreThatFailsLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := &people{}, newMemory()
		a := listening(s, quick, p)
		run(t, a)
		time.Sleep(time.Minute)
		s.failing(errors.New("read-only"))
		a.Observe(died(1))
		time.Sleep(time.Minute)
		a.Observe(missed(2, 1), died(3))
		time.Sleep(time.Minute)
		if problems := a.Problems(); len(problems) != 1 || problems[0].Where != "alerts" || !strings.Contains(problems[0].Error, "read-only") {
			t.Errorf("problems: %+v", problems)
		}
		s.failing(nil)
		time.Sleep(6 * time.Minute)
		same(t, "told", p.told(), []string{
			"began dead a: the launch of slot 2000-01-01T00:03:00Z was given up", "began missed a: slot 2000-01-01T00:02:00Z was missed",
		})
		same(t, "problems", a.Problems(), []alert.Problem(nil))
	})
}

func TestMoreThanFitsIsDroppedAloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		var log bytes.Buffer
		cfg := quick
		cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		a := listening(s, cfg, &people{})
		a.Observe(storm(alert.MaxPending+5, died(1))...) // Nothing takes them: it does not run yet.
		stop := run(t, a)
		time.Sleep(time.Second)
		if problems := a.Problems(); len(problems) != 1 || problems[0].Lost != 5 {
			t.Errorf("problems: %+v", problems)
		}
		same(t, "alerts", len(s.open()), alert.MaxPending)
		stop()
		if !strings.Contains(log.String(), "dropped=5") {
			t.Errorf("log: %s", log.String())
		}
	})
}

// TestStoriesAddUp has replicas that restart, a store and a channel that fail
// now and then, and random events; then it is quiet. Whatever happened, people
// were told of each alert that it began, then that it ended, in turn, and know in the end what lasts.
func TestStoriesAddUp(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { storiesAddUp(t, rand.New(rand.NewPCG(seed, 4))) })
		})
	}
}

func storiesAddUp(t *testing.T, r *rand.Rand) {
	t.Helper()
	hook, pager, s := &people{}, &people{}, newMemory()
	cfg := quick
	complete := r.IntN(2) == 0 // Every message names all of its alerts.
	if !complete {
		cfg.MaxListed = 1 + r.IntN(4)
	}
	start := func() (*alert.Alerter, func()) {
		a := alert.NewSending(s, cfg, []string{"pagerduty", "webhook"}, map[string]alert.Send{"pagerduty": pager.tell, "webhook": hook.tell})
		return a, run(t, a)
	}
	var replicas [2]*alert.Alerter
	var stops [2]func()
	for i := range replicas {
		replicas[i], stops[i] = start()
	}
	names := []string{"a", "b", "c", "d", "e"}
	slots := map[string]int{}
	observe := func(e alert.Event, name string) {
		slots[name]++
		late := time.Duration(r.IntN(10)) * time.Minute
		replicas[r.IntN(2)].Observe(alert.Observation{Schedule: plan(name), Event: e, Slot: at(slots[name]), Lateness: late, Count: 1 + r.IntN(3)})
	}
	for range 60 {
		for range r.IntN(4) {
			observe(alert.Event(1+r.IntN(7)), names[r.IntN(len(names))])
		}
		switch r.IntN(12) {
		case 0:
			i := r.IntN(2)
			stops[i]()
			replicas[i], stops[i] = start()
		case 1:
			s.failing(errors.New("down"))
		case 2:
			hook.refusing(errors.New("down"))
		case 3:
			pager.refusing(errors.New("down"))
		default:
			s.failing(nil)
			hook.refusing(nil)
			pager.refusing(nil)
		}
		time.Sleep(time.Duration(r.IntN(40_000)) * time.Millisecond)
	}
	s.failing(nil)
	hook.refusing(nil)
	pager.refusing(nil)
	time.Sleep(20 * time.Minute)
	for _, name := range names[1:] { // All but a recover.
		for _, e := range []alert.Event{alert.Launched, alert.Succeeded} {
			slots[name]++
			replicas[0].Observe(alert.Observation{Schedule: plan(name), Event: e, Slot: at(slots[name])})
		}
	}
	time.Sleep(20 * time.Minute)
	same(t, "messages", s.settled()[""], 0)

	lasts := map[store.AlertID]bool{}
	messages, _ := hook.history()
	seen := map[string]bool{}
	for _, m := range messages {
		if seen[m.ID] {
			continue // Sent again.
		}
		seen[m.ID] = true
		var n alert.Notification
		if err := json.Unmarshal(m.Body, &n); err != nil {
			t.Fatal(err)
		}
		tell := func(s alert.Section, begins bool) {
			for _, x := range s.Alerts {
				id := store.AlertID{Schedule: plan(x.LaunchPlan), Kind: x.Kind}
				if complete && lasts[id] == begins {
					t.Errorf("%s %s: told twice in a row that it lasts: %t", x.Kind, x.LaunchPlan, begins)
				}
				lasts[id] = begins
			}
		}
		tell(n.Began, true)
		tell(n.Ended, false)
	}
	left := s.open()
	for _, id := range left {
		if id.Schedule.Name != "a" {
			t.Errorf("%v lasts", id)
		}
		if complete && !lasts[id] {
			t.Errorf("nobody knows that %v lasts", id)
		}
		delete(lasts, id)
	}
	for id, believed := range lasts {
		if complete && believed {
			t.Errorf("people believe that %v lasts", id)
		}
	}

	incidents := map[string]bool{}
	messages, _ = pager.history()
	for _, m := range messages {
		var i struct{ Action, DedupKey string }
		if err := json.Unmarshal(bytes.Replace(m.Body, []byte("dedup_key"), []byte("DedupKey"), 1), &i); err != nil {
			t.Fatal(err)
		}
		if i.Action == "trigger" {
			incidents[i.DedupKey] = true
		} else {
			delete(incidents, i.DedupKey)
		}
	}
	if len(incidents) > len(left) || len(left) > 0 && len(incidents) == 0 {
		t.Errorf("%d alerts last, and these incidents: %v", len(left), incidents)
	}
}

func BenchmarkObserveGoodNews(b *testing.B) {
	a := listening(newMemory(), quick, &people{})
	news := storm(1000, launched(1, 0))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.Observe(news[i%len(news)])
	}
}
