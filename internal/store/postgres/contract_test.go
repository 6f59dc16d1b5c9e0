package postgres_test

import (
	"testing"

	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
	"tminus.dev/internal/store/storetest"
)

var _ storetest.Store = (*postgres.DB)(nil)

// open opens a database until the end of the test.
func open(t *testing.T, url string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestContract(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) storetest.Store {
		t.Helper()
		return open(t, postgrestest.URL(t))
	})
}

// TestContractThroughAPooler has every transaction on another connection of the server.
func TestContractThroughAPooler(t *testing.T) {
	through := postgrestest.Shared(t).PgBouncer(t)
	storetest.Exercise(t, func(t *testing.T) storetest.Store {
		t.Helper()
		return open(t, through(postgrestest.URL(t)))
	})
}
