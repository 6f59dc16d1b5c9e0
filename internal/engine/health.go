package engine

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// health is how the last pass of each loop went.
type health struct {
	mu     sync.Mutex
	passes map[string]pass
}

type pass struct {
	due time.Time // when it should come to an end again, at the latest
	err error
}

// note says how a pass ended, and that the next one begins after wait.
func (h *health) note(operation string, err error, wait time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.passes == nil {
		h.passes = make(map[string]pass)
	}
	h.passes[operation] = pass{time.Now().Add(wait + stuckAfter), err}
}

// stuckAfter is how much longer than it sleeps a loop may take before it counts as stuck.
const stuckAfter = time.Minute

// Problem says why the engine cannot fire at present, "" when it can: it does
// not run, a loop failed, or one has not come to an end for much longer than it sleeps.
func (e *Engine) Problem() string {
	e.health.mu.Lock()
	defer e.health.mu.Unlock()
	if len(e.health.passes) == 0 {
		return "the engine does not run"
	}
	for _, operation := range slices.Sorted(maps.Keys(e.health.passes)) {
		p := e.health.passes[operation]
		if p.err != nil {
			return fmt.Sprintf("cannot %s: %v", operation, p.err)
		}
		if stuck := time.Since(p.due); stuck > 0 {
			return fmt.Sprintf("cannot %s: stuck for %s", operation, (stuck + stuckAfter).Round(time.Second))
		}
	}
	return ""
}
