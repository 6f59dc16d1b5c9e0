package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// lane launches one kind of firings: live ones and manual runs, or catch-up and
// backfills, which must never hold up the others.
type lane struct {
	behind bool
	wake   chan struct{}
	// handed takes firings that were claimed when they were recorded.
	handed chan []schedule.Firing
	// most is how many firings one launch takes; it follows the launcher's speed.
	most, limit int
	// taken tells that the lane took what was handed to it.
	taken chan struct{}
	// loaded says that more is due than was claimed.
	loaded atomic.Bool
	// slow says that the last launch took its time, or that this one does.
	slow atomic.Bool
}

// mostBehind bounds the launches behind: when a slot comes due, at most so many
// are in the way of its launch.
const mostBehind = 500

func newLane(behind bool, limit int) *lane {
	return &lane{behind: behind, wake: make(chan struct{}, 1), handed: make(chan []schedule.Firing, 1), taken: make(chan struct{}, 1), most: limit, limit: limit}
}

// patience is how long recording waits for a lane that is quick to take what was
// handed to it before: claiming in the same transaction as recording saves one.
const patience = 100 * time.Millisecond

// free says that the lane can take firings that are handed to it, now or in a moment.
func (l *lane) free(ctx context.Context) bool {
	if l.idle() {
		return true
	}
	if l.loaded.Load() || l.slow.Load() {
		return false
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !l.idle() {
		select {
		case <-l.taken:
		case <-ctx.Done():
			return false
		case <-timer.C:
			l.slow.Store(true) // It is in the middle of a launch: nobody else waits for it.
			return false
		}
	}
	return true
}

func (l *lane) idle() bool { return len(l.handed) == 0 && !l.loaded.Load() }

// hand gives firings to the lane, which is free, or was when another planner had
// the same thought. When ctx ends before it takes them, they are released with all else.
func (l *lane) hand(ctx context.Context, fs []schedule.Firing) {
	if len(fs) == 0 {
		return
	}
	select {
	case l.handed <- fs:
	case <-ctx.Done():
	}
}

// The lane takes fewer firings when a launch took longer than the second of
// these, so that what comes due meanwhile soon has its turn, and more when it
// took less than the first.
const (
	shortLaunch = 200 * time.Millisecond
	longLaunch  = time.Second
)

func (l *lane) adapt(fired int, took time.Duration) {
	l.slow.Store(took >= shortLaunch)
	switch {
	case took > longLaunch:
		l.most = max(1, min(l.most, fired)/2)
	case took < shortLaunch && fired >= l.most:
		l.most = min(2*l.most, l.limit)
	}
}

// launchDue launches the firings of a lane that are due and records what came of it. If
// the process ends between the two, the same launch is repeated under the same
// name by whoever takes the firing over.
func (e *Engine) launchDue(ctx context.Context, l *lane) (time.Duration, error) {
	session := e.session.id.Load()
	if session == 0 {
		return e.cfg.Poll, nil // The first beat wakes this loop.
	}
	select {
	case fs := <-l.handed:
		signal(l.taken)
		if err := e.attempt(ctx, l, fs); err != nil {
			return 0, err
		}
	default:
	}
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	next, err := e.ledger.NextAttempt(ctx, l.behind)
	if err != nil {
		return 0, err
	}
	if due(next, now) {
		return e.launchClaimed(ctx, l, session, now)
	}
	l.loaded.Store(false)
	if len(l.handed) > 0 {
		return 0, nil
	}
	if l.behind {
		step, err := e.ledger.NextStep(ctx)
		if err != nil {
			return 0, err
		}
		if due(step, now) {
			return 0, e.fill(ctx, l, session, now)
		}
		if next.IsZero() || (!step.IsZero() && step.Before(next)) {
			next = step
		}
	}
	return e.until(ctx, next)
}

func due(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// fill records the next slots of catch-up and backfills, and launches what it may
// launch at once.
func (e *Engine) fill(ctx context.Context, l *lane, session int64, now time.Time) error {
	room, _ := e.cfg.Room()
	claim := min(l.most, room)
	if e.shaper.limits() {
		claim = 0
	}
	filled, err := e.ledger.Fill(ctx, session, now, l.limit, claim)
	if err != nil {
		e.doubt(session) // It may have claimed firings all the same.
		return err
	}
	return e.attempt(ctx, l, filled.Launch)
}

// crowded is how soon the lane behind looks again when live firings use up the limit of launches.
const crowded = time.Second

func (e *Engine) launchClaimed(ctx context.Context, l *lane, session int64, now time.Time) (time.Duration, error) {
	if l.behind && e.shaper.limits() && e.live.loaded.Load() {
		return crowded, nil
	}
	room, wait := e.cfg.Room()
	if room == 0 {
		return max(wait, firstPause), nil
	}
	claimed, wait, err := e.shaper.claim(min(l.most, room), func(share func([]string) []int) (store.Claimed, error) {
		return e.ledger.Claim(ctx, store.Claim{Session: session, Now: now, Behind: l.behind, Share: share, Verify: e.cfg.Find != nil})
	})
	if err != nil {
		e.doubt(session) // It may have claimed firings all the same.
		return 0, err
	}
	l.loaded.Store(claimed.More)
	if len(claimed.Settled) > 0 {
		e.cfg.Settled(claimed.Settled)
	}
	if err := e.verify(ctx, claimed.Verify); err != nil {
		return 0, err
	}
	if err := e.end(ctx, claimed.End, now); err != nil {
		return 0, err
	}
	if err := e.attempt(ctx, l, claimed.Launch); err != nil {
		return 0, err
	}
	if nothing := len(claimed.Launch)+len(claimed.Verify)+len(claimed.Settled)+len(claimed.End) == 0; nothing && wait == 0 {
		wait = firstPause // Others hold what is due.
	}
	return wait, nil
}

// verify finds out whether firings that this engine has claimed were launched when
// they were tried before. Those that were not are judged as if it was the first time.
func (e *Engine) verify(ctx context.Context, fs []schedule.Firing) error {
	if len(fs) == 0 {
		return nil
	}
	looking, cancel := context.WithTimeout(ctx, e.cfg.LaunchTime)
	defer cancel()
	errs := e.cfg.Find(looking, fs)
	now, err := e.ledger.Now(ctx)
	if err != nil {
		e.doubt(fs[0].Owner)
		return err
	}
	settled := make([]schedule.Firing, len(fs))
	for i, f := range fs {
		switch {
		case errs[i] == nil:
			f.Outcome, f.Reason, f.SettledAt = schedule.Launched, "", now
		case errors.Is(errs[i], store.ErrNotFound):
			f.Tried, f.AttemptAt = false, now
		default:
			f.Reason, f.AttemptAt = errs[i].Error(), now.Add(schedule.Pause(1))
		}
		settled[i] = f
	}
	if _, err := e.ledger.Settle(ctx, settled); err != nil {
		e.doubt(fs[0].Owner)
		return err
	}
	e.cfg.Settled(settled)
	return nil
}

// end ends executions in favour of firings that wait for that. A firing whose
// rival cannot be ended has failed an attempt.
func (e *Engine) end(ctx context.Context, ends []store.End, now time.Time) error {
	var failed []schedule.Firing
	for _, x := range ends {
		cause := fmt.Sprintf("replaced by the slot %s (overlap is %s)", x.For.Slot.Format(time.RFC3339), x.For.Overlap)
		if err := e.launcher.Terminate(ctx, x.Execution, cause, "tminus"); err != nil && !errors.Is(err, store.ErrNotFound) {
			failed = append(failed, settle(x.For, fmt.Errorf("end execution %s: %w", x.Execution.Name, err), now))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	_, err := e.ledger.Settle(ctx, failed)
	return err
}

// settleTime bounds the recording of launches that were accepted while the
// engine was told to stop.
const settleTime = 10 * time.Second

// attempt launches firings that this engine has claimed, and records the outcomes.
func (e *Engine) attempt(ctx context.Context, l *lane, launch []schedule.Firing) error {
	if len(launch) == 0 {
		return nil
	}
	begin := time.Now()
	errs := e.ask(ctx, launch)
	l.adapt(len(launch), time.Since(begin))
	now, err := e.ledger.Now(context.WithoutCancel(ctx))
	if err != nil {
		e.doubt(launch[0].Owner)
		return err
	}
	settled := make([]schedule.Firing, 0, len(launch))
	for i, f := range launch {
		if errs[i] != nil && ctx.Err() != nil {
			continue // Told to stop; the firing stays as it is, and is released.
		}
		settled = append(settled, settle(f, errs[i], now))
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	written, err := e.ledger.Settle(record, settled)
	if err != nil {
		e.doubt(launch[0].Owner)
		return err
	}
	if written < len(settled) {
		e.cfg.Log.WarnContext(ctx, "others had taken over launches that took too long; what they record counts",
			slog.Int("firings", len(settled)-written))
	}
	e.cfg.Settled(settled)
	return nil
}

// ask launches fs. A launcher that panics on one of them fails that one alone.
func (e *Engine) ask(ctx context.Context, fs []schedule.Firing) (errs []error) {
	defer func() {
		p := recover()
		switch {
		case p == nil:
		case len(fs) == 1:
			e.cfg.Log.ErrorContext(ctx, "panic in a launch", slog.String("launch_plan", fs[0].LaunchPlan.String()),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			errs = []error{fmt.Errorf("the launch failed, which is a bug: %v", p)}
		default:
			errs = nil
			for i := range fs {
				errs = append(errs, e.ask(ctx, fs[i:i+1])...)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.LaunchTime)
	defer cancel()
	return e.launcher.Launch(ctx, fs)
}

// settle is what becomes of f after a launch that returned err.
func settle(f schedule.Firing, err error, now time.Time) schedule.Firing {
	if err == nil {
		f.Outcome, f.Reason, f.SettledAt = schedule.Launched, "", now
		return f
	}
	f.Reason = err.Error()
	if errors.Is(err, schedule.ErrSkipped) {
		f.Outcome, f.SettledAt = schedule.Skipped, now
		return f
	}
	held := errors.Is(err, schedule.ErrHeld)
	if !held {
		f.Attempts++
	}
	if !held && refused(err) || !now.Before(f.Deadline) {
		f.Outcome, f.SettledAt = schedule.Dead, now
		return f
	}
	pause := schedule.Pause(1) // Launches are asked for again when there is room.
	if !held {
		pause = schedule.Pause(f.Attempts)
	}
	// It varies by a quarter, so that many do not come back at once.
	pause += rand.N(pause/2) - pause/4 //nolint:gosec // Spreads load; nothing depends on its being secret.
	f.AttemptAt = now.Add(pause)
	if f.AttemptAt.After(f.Deadline) {
		f.AttemptAt = f.Deadline // The last attempt.
	}
	return f
}

// refused says that no retry can help: the launcher says so, or the gRPC code
// with which it was answered.
func refused(err error) bool {
	if errors.Is(err, schedule.ErrRefused) {
		return true
	}
	answer, ok := status.FromError(err)
	if !ok {
		return false
	}
	switch answer.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.PermissionDenied, codes.OutOfRange, codes.Unimplemented:
		return true
	default:
		return false
	}
}
