package runner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// loop starts executions until ctx ends. They run under work.
func (r *Runner) loop(ctx, work context.Context, running *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	steps := []func(context.Context, context.Context, *sync.WaitGroup) (done bool, err error){r.clear, r.takeUp}
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		var err error
		for done := true; done && err == nil && ctx.Err() == nil; {
			if done, err = steps[0](ctx, work, running); done {
				steps, pause = steps[1:], firstPause
			}
		}
		wait := r.cfg.Poll
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.cfg.Log.ErrorContext(ctx, "cannot take up executions; trying again",
				slog.Any("error", err), slog.Duration("pause", pause))
			wait, pause = pause, min(2*pause, lastPause)
		default:
			pause = firstPause
		}
		timer.Reset(wait)
	}
}

// takeUp ends what is to be ended, goes on with what an earlier process of this
// runner left, and takes other executions while there is room. There may always be more.
func (r *Runner) takeUp(ctx, work context.Context, running *sync.WaitGroup) (bool, error) {
	r.mu.Lock()
	has := r.has()
	r.mu.Unlock()
	if !has {
		return false, nil // Who renews the lease wakes the loop.
	}
	idle, err := r.attend(ctx)
	if err != nil {
		return false, err
	}
	for _, key := range idle {
		e, err := r.store.Execution(ctx, key)
		switch {
		case err != nil:
			return false, err
		case e.Runner != r.id || e.Phase.Terminal():
			continue // Not any more.
		}
		if !r.start(work, e, running) {
			return false, nil
		}
	}
	room := r.room()
	if room == 0 {
		return false, nil
	}
	at, err := r.store.Now(ctx)
	if err != nil {
		return false, err
	}
	taken, err := r.store.TakeExecutions(ctx, r.id, at, room)
	for _, e := range taken {
		r.start(work, e, running) // What cannot start now is attended to later: it is this runner's.
	}
	return false, err
}

// room is how many executions to take. Where others could do with some too, none
// takes more at once than it has processes.
func (r *Runner) room() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := max(0, r.cfg.Executions-len(r.active))
	if r.cfg.Shared {
		room = min(room, r.cfg.Parallel)
	}
	return room
}

// start runs an execution of this runner unless they are full, or it may not be its own any more.
func (r *Runner) start(work context.Context, e store.Execution, running *sync.WaitGroup) bool {
	ctx, cancel := context.WithCancelCause(work)
	h := &holding{cancel: cancel, lost: make(chan struct{})}
	if !r.enter(e.Key, h) {
		cancel(nil)
		return false
	}
	running.Go(func() {
		defer cancel(nil)
		r.execute(ctx, &execution{Runner: r, holding: h, stored: e})
	})
	return true
}

func (r *Runner) enter(key ident.Key, h *holding) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, known := r.active[key]; known {
		before.lose() // It was another's in between, and begins anew when this has left.
		return false
	}
	if len(r.active) >= r.cfg.Executions || !r.has() {
		return false
	}
	r.active[key] = h
	return true
}

func (r *Runner) leave(key ident.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, key)
}

// queued says that an execution in phase p has not been taken up.
func queued(p store.Phase) bool { return p == store.Queued || p == store.Undefined }
