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
