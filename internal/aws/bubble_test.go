package aws_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
	db   *sqlite.DB
	stub *awstest.Stub
	e    *aws.Executor
}

// inBubble runs a test with an executor whose ledger is what wrap makes of a
// database; nil leaves it as it is.
func inBubble(t *testing.T, wrap func(*sqlite.DB) aws.Intake, test func(b *bubble)) {
	t.Helper()
	dir := t.TempDir() // Its cleanup is not the bubble's.
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, stub: awstest.Unserved()}
		var err error
		b.db, err = sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		b.must(err)
		_, err = b.db.KeepTime(t.Context(), store.KeeperAWS, time.Now())
		b.must(err)
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
		var running sync.WaitGroup
		running.Go(func() { b.beat(ctx) })
		running.Go(func() {
			if err := b.e.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		test(b)
		cancel()
		running.Wait()
		b.must(b.db.Close())
	})
}

func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// beat gives signs of life, as an engine does.
func (b *bubble) beat(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := b.db.Beat(context.WithoutCancel(ctx), 0, time.Now(), time.Hour); err != nil {
			b.Error(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
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
					if deaf := b.e.Deaf(); (deaf > time.Minute) != (minute > 6 && (minute < c.from || minute > c.to)) {
						t.Errorf("after %d minutes: deaf for %s", minute, deaf)
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

// moody is a ledger that now and then refuses to be written to.
type moody struct {
	*sqlite.DB
	behind  time.Duration // its clock
	refuses func([]store.Message) error
	locked  func() error // all of it
	tried   atomic.Int64 // transactions
	begun   time.Time    // its mood, if it has
	moody   atomic.Bool
}

func (m *moody) Now(context.Context) (time.Time, error) {
	return time.Now().Add(-m.behind).UTC().Truncate(time.Microsecond), nil
}

func (m *moody) Attend(ctx context.Context, now time.Time) error {
	if m.moody.Load() && m.locked != nil && m.locked() != nil {
		return m.locked()
	}
	return m.DB.Attend(ctx, now)
}

func (m *moody) Deliver(ctx context.Context, now time.Time, messages []store.Message) (store.Delivered, error) {
	m.tried.Add(1)
	if m.moody.Load() && m.locked != nil && m.locked() != nil {
		return store.Delivered{}, m.locked()
	}
	if m.moody.Load() && m.refuses != nil {
		if err := m.refuses(messages); err != nil {
			return store.Delivered{}, err
		}
	}
	return m.DB.Deliver(ctx, now, messages)
}

var errReadOnly = errors.New("cannot execute INSERT in a read-only transaction")

// TestALedgerThatDoesNotTakeMessages has 500 messages about a slot wait, and one
// of them about nobody, while the ledger does not take them all.
func TestALedgerThatDoesNotTakeMessages(t *testing.T) {
	t.Parallel()
	failing := func(is func() bool) error {
		if is() {
			return errReadOnly
		}
		return nil
	}
	nobody := "letter: launch plan flytesnacks/development/nobody has no active version with a schedule"
	for name, c := range map[string]struct {
		mood     func(m *moody)
		messages int // how many more about the slot
		wait     time.Duration
		receives int64 // at most, of all messages
		tried    int64
		want     []string
	}{
		"three times, of one message": {func(m *moody) {
			m.refuses = func([]store.Message) error { return failing(func() bool { return m.tried.Load() <= 3 }) }
		}, 0, time.Minute, 2, 6, []string{"a 00:01:00 pending", nobody}},
		"all of it, while it can be read, for half a minute": {func(m *moody) {
			m.locked = func() error { return failing(func() bool { return time.Since(m.begun) < 30*time.Second }) }
		}, 498, time.Minute, 2000, 20, []string{"a 00:01:00 pending", nobody}},
		"all of it, while it can be read, for three hours": {func(m *moody) {
			m.locked = func() error { return failing(func() bool { return time.Since(m.begun) < 3*time.Hour }) }
		}, 498, 3*time.Hour + time.Minute, 2000, 20, []string{nobody}}, // The slot is left to catch-up.
		"anything, though it can be written to, for an hour": {func(m *moody) {
			m.refuses = func([]store.Message) error { return failing(func() bool { return time.Since(m.begun) < time.Hour }) }
		}, 498, 70 * time.Minute, 500 * 20, 40_000, []string{"a 00:01:00 pending", nobody}},
		"one of them, ever": {func(m *moody) {
			m.refuses = func(all []store.Message) error {
				return failing(func() bool {
					return slices.ContainsFunc(all, func(m store.Message) bool { return m.LaunchPlan.Name == "nobody" })
				})
			}
		}, 498, time.Minute, 510, 100, []string{"a 00:01:00 pending", "letter: it could not be recorded: " + errReadOnly.Error()}},
		"the only one, ever": {func(m *moody) {
			m.refuses = func(all []store.Message) error {
				return failing(func() bool {
					return slices.ContainsFunc(all, func(m store.Message) bool { return m.LaunchPlan.Name == "a" })
				})
			}
		}, 0, time.Minute, 10, 100, []string{nobody, "letter: it could not be recorded: " + errReadOnly.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m *moody
			inBubble(t, func(db *sqlite.DB) aws.Intake { m = &moody{DB: db}; c.mood(m); return m }, func(b *bubble) {
				b.schedule("a", "* * * * ? *")
				slot := time.Now().Truncate(time.Minute).Add(time.Minute)
				time.Sleep(time.Until(slot.Add(time.Second)))
				m.begun = time.Now()
				m.moody.Store(true)
				messages := slices.Repeat([]string{body(t, "a", slot)}, c.messages+1)
				b.stub.Put(append(messages, body(t, "nobody", slot))...)
				time.Sleep(c.wait)
				if n := b.stub.Size(); n > 0 {
					t.Errorf("%d messages are left", n)
				}
				if diff := cmp.Diff(c.want, b.ledger()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if n := b.e.Status().Taken; n > c.receives {
					t.Errorf("it took %d messages, and %d are enough", n, c.receives)
				}
				if n := m.tried.Load(); n > c.tried {
					t.Errorf("it tried %d times, and %d are enough", n, c.tried)
				}
				if p := b.e.Problem(); p != "" {
					t.Error(p)
				}
			})
		})
	}
}

// TestWordThatComesBeforeItsSlotIsTakenTwice has a database whose clock is behind that of AWS.
func TestWordThatComesBeforeItsSlotIsTakenTwice(t *testing.T) {
	t.Parallel()
	for _, behind := range []time.Duration{300 * time.Millisecond, 100 * time.Second, 10 * time.Minute} {
		inBubble(t, func(db *sqlite.DB) aws.Intake { return &moody{DB: db, behind: behind} }, func(b *bubble) {
			b.schedule("a", "* * * * ? *")
			slot := time.Now().Truncate(time.Minute).Add(time.Minute)
			time.Sleep(time.Until(slot))
			b.stub.Put(body(t, "a", slot))
			time.Sleep(behind)
			if got := b.ledger(); len(got) > 0 {
				t.Errorf("before it: %q", got)
			}
			time.Sleep(3 * time.Second)
			if got := b.ledger(); !slices.Equal(got, []string{"a 00:01:00 pending"}) || b.e.Status().Taken != 2 {
				t.Errorf("%s behind: %q after it was taken %d times", behind, got, b.e.Status().Taken)
			}
		})
	}
}
