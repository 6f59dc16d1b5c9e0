package aws

import (
	"context"
	"time"

	"tminus.dev/internal/store"
)

// ApplyAll applies claimed rules, and settles none of them.
func ApplyAll(ctx context.Context, r *Reconciler, rules []store.Rule, now time.Time) {
	r.applyAll(ctx, rules, now)
}

// Access is what a queue's policy means for rules.
type Access struct {
	Allowed               bool
	Denied, Wide, Unclear string
}

// AccessOf reads a queue's policy for rules.
func AccessOf(policy, queue, rules string) (Access, error) {
	a, err := accessOf(policy, queue, rules)
	return Access{a.allowed, a.denied, a.wide, a.unclear}, err
}
