package aws_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/aws/awstest"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// bubble is an executor on a queue and a database, all of it in a bubble of
// synctest, where hours take no time.
type bubble struct {
	*testing.T
	db    *sqlite.DB
	stub  *awstest.Stub
	e     *aws.Executor
	ended chan error
	end   context.CancelFunc
}

// inBubble runs a test with an executor whose ledger is what wrap makes of a
// database; nil leaves it as it is.
func inBubble(t *testing.T, wrap func(*sqlite.DB) aws.Intake, test func(b *bubble)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, stub: awstest.Unserved(), ended: make(chan error, 1)}
		var err error
		b.db, err = sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		b.must(err)
		_, err = b.db.KeepTime(t.Context(), store.KeeperAWS, time.Now())
		b.must(err)
		b.beat()
		intake := aws.Intake(b.db)
		if wrap != nil {
			intake = wrap(b.db)
		}
		b.e, err = aws.NewExecutor(intake, aws.ExecutorConfig{
			Region: awstest.Region, ScheduleQueueName: "q", AccountID: awstest.Account, Endpoint: "http://queue", ReconnectDelay: time.Second, Workers: 1,
		}, quiet())
		b.must(err)
		b.e.On(b.stub)
		ctx, cancel := context.WithCancel(t.Context())
		b.end = cancel
		go func() { b.ended <- b.e.Run(ctx) }()
		test(b)
		cancel()
		b.must(<-b.ended)
		b.must(b.db.Close())
	})
}

func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// beat is a sign of life of an engine.
func (b *bubble) beat() {
	b.Helper()
	_, err := b.db.Beat(b.Context(), 0, time.Now(), time.Hour)
	b.must(err)
}

// schedule activates a launch plan.
func (b *bubble) schedule(name, expression string) {
	b.Helper()
	id, now := planID(name, "v1"), time.Now()
	b.must(b.db.CreatePlan(b.Context(), store.Plan{ID: id, Workflow: id, CreatedAt: now, UpdatedAt: now}))
	b.must(b.db.Activate(b.Context(), id, &schedule.Spec{Expression: expression}, store.Change{At: now}))
}

// ledger lists firings and dead letters.
func (b *bubble) ledger() (all []string) {
	b.Helper()
	fs, err := b.db.Firings(b.Context(), store.Query{Limit: 100, SortBy: "slot", Ascending: true})
	b.must(err)
	for _, f := range fs {
		all = append(all, fmt.Sprintf("%s %s %s", f.LaunchPlan.Name, f.Slot.Format(time.TimeOnly), f.Outcome))
	}
	ls, err := b.db.DeadLetters(b.Context(), store.Query{Limit: 100, SortBy: "id", Ascending: true})
	b.must(err)
	for _, l := range ls {
		all = append(all, "letter: "+l.Reason)
	}
	return all
}

// TestWhenAllWordHasCome lists what has been in the queue, and whether it is known
// then that no word is missing of what came due six minutes ago.
func TestWhenAllWordHasCome(t *testing.T) {
	t.Parallel()
	const minutes = 10
	for name, c := range map[string]struct {
		every, age time.Duration // of messages
		stale      func(minute int) time.Duration
		from, to   int // the minutes at whose ends it is known
	}{
		"nothing":                           {0, 0, nil, 1, minutes},
		"a message every two seconds":       {2 * time.Second, 0, nil, 6, minutes},
		"a message that took half a minute": {2 * time.Second, 30 * time.Second, nil, 6, minutes},
		"a backlog":                         {2 * time.Second, 10 * time.Minute, nil, 0, 0},
		"one that had waited, in the fourth": {2 * time.Second, 0, func(minute int) time.Duration {
			if minute == 4 {
				return 2 * time.Minute
			}
			return 0
		}, 9, minutes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(b *bubble) {
				begun := time.Now()
				for minute := 1; minute <= minutes; minute++ {
					for n := 0; time.Since(begun) < time.Duration(minute)*time.Minute; n++ {
						if c.every == 0 {
							time.Sleep(time.Minute)
							continue
						}
						age := c.age
						if n == 0 && c.stale != nil {
							age += c.stale(minute)
						}
						b.stub.PutOld(age, body(t, "nobody", time.Now()))
						time.Sleep(c.every)
					}
					known := !b.e.Heard().Before(time.Now().Add(-6 * time.Minute))
					if want := minute >= c.from && minute <= c.to; known != want {
						t.Errorf("after %d minutes: %t, want %t (heard %s, now %s)", minute, known, want, b.e.Heard().Format(time.TimeOnly), time.Now().Format(time.TimeOnly))
					}
				}
			})
		})
	}
}
