package engine

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// session is the engine's place among those that share its ledger. What it
// claims is its own for as long as it renews the session; after that the others
// take it over, and the ledger refuses what this one still writes about it.
type session struct {
	id    atomic.Int64 // 0 while it has none
	wake  chan struct{}
	doubt atomic.Int64 // a session that may have claimed firings without knowing of them
}

// doubt gives session up: a transaction of it failed in a way that leaves open
// whether it claimed firings. In a new session nobody owes them a launch, and
// they are released. What of it is being launched is launched again, which is harmless.
func (e *Engine) doubt(session int64) {
	e.session.doubt.Store(session)
	signal(e.session.wake)
}

// beat renews the session, or begins a new one.
func (e *Engine) beat(ctx context.Context) (time.Duration, error) {
	id := e.session.id.Load()
	if id != 0 && e.session.doubt.Load() == id {
		if err := e.ledger.Leave(ctx, id); err != nil {
			return 0, err
		}
		e.session.id.Store(0)
		id = 0
	}
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	b, err := e.ledger.Beat(ctx, id, now, e.cfg.Lease)
	if err != nil {
		return 0, err
	}
	if b.Session != id {
		if id != 0 {
			e.cfg.Log.WarnContext(ctx, "gave no sign of life for too long; others may have taken over what was being launched",
				slog.Duration("lease", e.cfg.Lease))
		}
		e.session.id.Store(b.Session)
	}
	e.shaper.share(b.Replicas)
	if b.Released > 0 {
		e.cfg.Log.InfoContext(ctx, "took over launches from a replica that is gone", slog.Int("firings", b.Released))
	}
	if b.Released > 0 || b.Session != id {
		e.Wake()
	}
	return e.cfg.Lease / 4, nil
}

// leaveTime bounds the end of a session while a database fails.
const leaveTime = 5 * time.Second

// leave ends the session, so that nobody has to wait for what it did not launch.
func (e *Engine) leave(ctx context.Context) {
	id := e.session.id.Swap(0)
	if id == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := e.ledger.Leave(ctx, id); err != nil {
		e.cfg.Log.WarnContext(ctx, "cannot release what was not launched; others take it over when the lease is over",
			slog.Any("error", err), slog.Duration("lease", e.cfg.Lease))
	}
}
