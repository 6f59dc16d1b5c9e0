package awstest

import (
	"testing"
	"time"
)

// Until waits for something to become true that nobody tells when it does, in
// another process or in AWS.
func Until(tb testing.TB, limit time.Duration, what string, is func() bool) {
	tb.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	over := time.After(limit)
	for !is() {
		select {
		case <-ticker.C:
		case <-over:
			tb.Fatalf("it is not %s after %s", what, limit)
		}
	}
}
