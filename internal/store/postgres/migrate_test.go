package postgres_test

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
)

// TestReplicasMigrateOnce starts more replicas than a pooler has connections.
func TestReplicasMigrateOnce(t *testing.T) {
	server := postgrestest.Shared(t)
	for name, at := range map[string]string{
		"directly":         server.Empty(t),
		"through a pooler": server.PgBouncer(t)(server.Empty(t)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var g errgroup.Group
			for range 16 {
				g.Go(func() error {
					db, err := postgres.Open(ctx, postgres.Config{URL: at, Connections: 2})
					if err != nil {
						return err
					}
					return db.Close()
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
