package aws

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

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

// On has e, which does not run yet, send its requests by another client.
func (e *Executor) On(client sqs.HTTPClient) {
	e.client = sqs.New(sqs.Options{
		Region: e.cfg.Region, BaseEndpoint: &e.cfg.Endpoint, HTTPClient: client, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
}
