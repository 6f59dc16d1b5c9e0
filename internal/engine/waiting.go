package engine

import (
	"context"
	"sync"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// waits is the reason of a firing that its overlap policy holds back.
const waits = "waits for an earlier execution to end"

// Waits says that a pending firing is held back by its overlap policy.
func Waits(f schedule.Firing) bool { return f.Outcome == schedule.Pending && f.Reason == waits }

// waitPoll is how soon a firing that waits looks again if nobody tells the
// engine that the execution has ended, as when it ended while no engine ran.
const waitPoll = time.Minute

// waitingRoom remembers the launch plans whose firings wait for executions to
// end, and which of them have seen one end since.
type waitingRoom struct {
	mu    sync.Mutex
	plans map[ident.Key]bool
}

// enter is to be called before the running executions are read: an end that
// comes after the reading is then not missed.
func (w *waitingRoom) enter(plan ident.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plans[plan] = false
}

// leave says that no firing of plan waits any more.
func (w *waitingRoom) leave(plan ident.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.plans, plan)
}

// call says that an execution of plan has ended.
func (w *waitingRoom) call(plan ident.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waiting := w.plans[plan]; waiting {
		w.plans[plan] = true
	}
}

// called lists the plans that have seen an execution end.
func (w *waitingRoom) called() []ident.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var plans []ident.Key
	for plan, called := range w.plans {
		if called {
			plans = append(plans, plan)
		}
	}
	return plans
}

// recall makes due the firings that waited for an execution that has ended.
func (e *Engine) recall(ctx context.Context, now time.Time) error {
	for _, plan := range e.waiting.called() {
		pending, err := e.pending(ctx, plan)
		if err != nil {
			return err
		}
		var due []schedule.Firing
		for _, f := range pending {
			if Waits(f) && f.AttemptAt.After(now) {
				f.AttemptAt = now
				due = append(due, f)
			}
		}
		if err := e.ledger.Settle(ctx, due); err != nil {
			return err
		}
		e.waiting.leave(plan) // What still waits enters again when it is judged.
	}
	return nil
}
