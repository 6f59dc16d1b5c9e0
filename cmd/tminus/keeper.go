package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/config"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
)

// keeper is this process's part in keeping time: the engine, what tells AWS which
// rules to hold, and what takes word from there; each is nil where another does it,
// or nobody.
type keeper struct {
	db     database
	log    *slog.Logger
	events config.EventScheduler
	queue  config.WorkflowExecutor

	engine    *engine.Engine
	launching func() string           // says why nothing is launched at present; empty means that all is
	dropped   func([]schedule.Firing) // is told of slots that never launch
	rules     *aws.Reconciler
	reader    *aws.Executor

	unread  atomic.Pointer[string]   // why nobody reads what AWS sends; nil while somebody does
	waiting atomic.Pointer[[]string] // what waits for people or for another process
}

// newKeeper settles who keeps the time of the schedules on a database.
func newKeeper(ctx context.Context, c *config.Config, db database, log *slog.Logger) (*keeper, error) {
	k := &keeper{db: db, log: log, events: c.Scheduler.EventScheduler, queue: c.Scheduler.WorkflowExecutor}
	who := store.KeeperLocal
	switch {
	case k.events.Scheme == config.AWS || k.queue.Scheme == config.AWS:
		who = store.KeeperAWS
	case k.events.Scheme != config.Local || k.queue.Scheme != config.Local:
		return k, nil // Nothing fires.
	}
	now, err := db.Now(ctx)
	if err != nil {
		return nil, err
	}
	held, err := db.KeepTime(ctx, who, now)
	if errors.Is(err, store.ErrKept) {
		return nil, fmt.Errorf("scheduler.eventScheduler.scheme: %w: use the same as they do, or stop them first", err)
	}
	if err != nil {
		return nil, err
	}
	if k.events.Scheme == config.AWS || held > 0 {
		if err := k.tellAWS(ctx, held); err != nil {
			return nil, err
		}
	}
	if k.queue.Scheme == config.Noop {
		k.lookForReaders(ctx)
	}
	if k.queue.Scheme == config.AWS {
		if k.reader, err = aws.NewExecutor(db, k.queue.AWS(), log); err != nil {
			return nil, err
		}
		k.reader.Delivered = func(d store.Delivered) {
			if d.Recorded > 0 {
				k.engine.Wake()
			}
			if len(d.Dropped) > 0 {
				k.dropped(d.Dropped)
			}
		}
	}
	return k, nil
}

// tellAWS makes what tells AWS which rules to hold: those of active schedules or,
// where it does not keep time any more, none.
func (k *keeper) tellAWS(ctx context.Context, held int) (err error) {
	if k.events.Scheme == config.AWS {
		k.rules, err = aws.NewReconciler(k.db, k.events.AWS(), k.log)
		return err
	}
	if k.events.Scheme != config.Local {
		return nil // Another process does it.
	}
	if k.rules, err = aws.NewReconciler(k.db, k.events.AWS(), k.log); err != nil {
		k.log.WarnContext(ctx, "AWS still holds rules of before, which send messages that nobody needs; leave the keys of scheduler.eventScheduler as they were beside scheme local, and tminus removes them",
			slog.Int("rules", held), slog.Any("error", err))
		return nil
	}
	k.log.InfoContext(ctx, "removing the rules that AWS holds from before", slog.Int("rules", held))
	return nil
}

// serve gives the API what it needs to know of those who keep time elsewhere.
func (k *keeper) serve(c *server.Config) {
	if k.events.Scheme == config.AWS {
		api := k.events.API
		c.Express = func(plan ident.Key, spec schedule.Spec) error {
			_, err := aws.Express(plan, spec, api)
			return err
		}
		c.Rules = ruleBook{k.rules}
	}
	if k.reader != nil {
		c.Decode = aws.Decode
	}
}

// ruleBook is a reconciler as the API sees it.
type ruleBook struct{ *aws.Reconciler }

func (r ruleBook) Diff(ctx context.Context) ([]server.RuleDifference, int, []string, error) {
	c, err := r.Reconciler.Diff(ctx)
	differences := make([]server.RuleDifference, len(c.Differences))
	for i, d := range c.Differences {
		differences[i] = server.RuleDifference(d)
	}
	return differences, c.Compared, c.Unknown, err
}

// The ages from which on it is said that something waits.
const (
	// idleRule is how long a rule may be due that nobody applies.
	idleRule = time.Minute
	// oldMessage is how old a message may be when it is taken.
	oldMessage = 10 * time.Minute
)

// warnings says what does not work that leaves schedules firing.
func (k *keeper) warnings() (all []string) {
	if k.reader != nil {
		if s := k.reader.Status(); s.Oldest > oldMessage {
			all = append(all, fmt.Sprintf("queue %s: messages are %s old when they are taken; %s wait", k.queue.ScheduleQueueName, s.Oldest.Round(time.Second), count(s.Waiting)))
		}
	}
	if k.reader != nil && k.reader.Deaf() > oldMessage {
		all = append(all, fmt.Sprintf("queue %s: it has been unknown for %s whether messages are missing, as others wait for more than a minute before they are taken; until then slots without a message are not caught up",
			k.queue.ScheduleQueueName, k.reader.Deaf().Round(time.Second)))
	}
	if w := k.waiting.Load(); w != nil {
		all = append(all, *w...)
	}
	return all
}

// count is a number that may not be known.
func count(n int) string {
	if n < 0 {
		return "nobody may know how many"
	}
	return strconv.Itoa(n)
}

// fires says that this process launches what is due.
func (k *keeper) fires() bool {
	return k.reader != nil || (k.events.Scheme == config.Local && k.queue.Scheme == config.Local)
}

// heard is engine.Config.Heard.
func (k *keeper) heard() func() time.Time {
	if k.reader == nil {
		return nil
	}
	return k.reader.Heard
}

// Wake tells those who have to know that schedules or firings changed.
func (k *keeper) Wake() {
	k.engine.Wake()
	if k.rules != nil {
		k.rules.Wake()
	}
}

// Problem says why nothing fires at present that should.
func (k *keeper) Problem() string {
	if k.fires() {
		if p := cmp.Or(k.engine.Problem(), k.launching()); p != "" {
			return p
		}
	}
	if k.reader != nil {
		if p := k.reader.Problem(); p != "" {
			return p
		}
	}
	if k.rules != nil {
		return k.rules.Problem()
	}
	return ""
}

// silence says why no schedule fires, or "" when they do.
func (k *keeper) silence() string {
	switch {
	case k.events.Scheme == config.Noop && k.queue.Scheme != config.AWS:
		return "nothing will fire: scheduler.eventScheduler.scheme is noop; set it to local or aws"
	case k.queue.Scheme == config.Noop && k.events.Scheme == config.Local:
		return "nothing will fire: scheduler.workflowExecutor.scheme is noop; set it to local"
	}
	if unread := k.unread.Load(); unread != nil {
		return *unread
	}
	return ""
}

// run does this process's part until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if k.fires() {
		g.Go(func() error { return k.engine.Run(ctx) })
	}
	if k.rules != nil {
		g.Go(func() error { return k.rules.Run(ctx) })
	}
	if k.reader != nil {
		g.Go(func() error { return k.reader.Run(ctx) })
	}
	if k.events.Scheme == config.AWS || k.reader != nil {
		g.Go(func() error { return k.watch(ctx) })
	}
	return g.Wait()
}

const (
	// watchEvery is how often it is looked whether others do their part.
	watchEvery = 10 * time.Second
	// absent is how long those who read may give no sign of life.
	absent = 2 * time.Minute
)

// watch keeps what is said about the others true: rules whose messages pile up in
// a queue that nobody reads look as if all was well.
func (k *keeper) watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if k.reader == nil {
			k.lookForReaders(ctx)
		}
		k.lookForWaiting(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// lookForWaiting finds dead letters, and rules that nobody applies.
func (k *keeper) lookForWaiting(ctx context.Context) {
	var all []string
	letters, err := k.db.DeadLetters(ctx, store.Query{Limit: mostLetters})
	if err != nil {
		return // Others say so.
	}
	if n := len(letters); n > 0 {
		many := strconv.Itoa(n)
		if n == mostLetters {
			many = "at least " + many
		}
		all = append(all, many+" dead letters: messages that launched nothing; look at them with tminus dead-letters list")
	}
	if k.rules == nil {
		now, err := k.db.Now(ctx)
		if err != nil {
			return
		}
		if due, err := k.db.NextRule(ctx); err == nil && !due.IsZero() && now.Sub(due) > idleRule {
			all = append(all, "rules wait since "+due.UTC().Format(time.RFC3339)+" to be applied to AWS: run a tminus with scheduler.eventScheduler.scheme aws on this database")
		}
	}
	k.waiting.Store(&all)
}

// mostLetters is how many dead letters are counted.
const mostLetters = 100

func (k *keeper) lookForReaders(ctx context.Context) {
	now, err := k.db.Now(ctx)
	if err != nil {
		return // Others say so.
	}
	seen, err := k.db.Awake(ctx)
	if err != nil {
		return
	}
	if !seen.IsZero() && now.Sub(seen) < absent {
		if k.unread.Swap(nil) != nil {
			k.log.InfoContext(ctx, "somebody reads the queue again")
		}
		return
	}
	since := "ever"
	if !seen.IsZero() {
		since = "since " + seen.UTC().Format(time.RFC3339)
	}
	why := fmt.Sprintf("nothing will fire: AWS sends to %s, and no tminus with scheduler.workflowExecutor.scheme aws has read it on this database %s", k.events.TargetName, since)
	if k.unread.Swap(&why) == nil {
		k.log.WarnContext(ctx, "nobody reads what AWS sends", slog.String("reason", why))
	}
}
