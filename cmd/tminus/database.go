package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/aws"
	"tminus.dev/internal/cli"
	"tminus.dev/internal/config"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte"
	"tminus.dev/internal/runner"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/relational"
	"tminus.dev/internal/store/sqlite"
)

// database is what serve asks of one.
type database interface {
	engine.Ledger
	runner.Store
	server.Store
	alert.Store
	alert.Ledger
	elsewhere
	io.Closer
}

// elsewhere is what is asked of a database beside which others do a part.
type elsewhere interface {
	timeKeeping
	flyte.Executions
	flyte.Catalog
}

// timeKeeping is what is asked of a database whose time somebody else may keep.
type timeKeeping interface {
	aws.Held
	aws.Intake
	KeepTime(ctx context.Context, k store.Keeper, now time.Time) (held int, err error)
	Awake(ctx context.Context) (time.Time, error)
}

// listener calls wake, until its context ends, whenever another process gave the
// engine or the runner something to do.
type listener func(ctx context.Context, wake func()) error

// openDatabase opens PostgreSQL where the configuration has one, else SQLite in
// the data directory, which is no other process's.
//
//nolint:ireturn // Which of the two it is matters to nobody.
func openDatabase(ctx context.Context, c *config.Config) (database, listener, error) {
	if c.Database.URL == "" {
		db, err := sqlite.Open(ctx, sqlite.Config{Dir: c.Data, KeepSchema: !c.Database.Migrate})
		if err != nil {
			return nil, nil, err
		}
		return db, func(context.Context, func()) error { return nil }, nil
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil { // Uploads and the files of executions stay here.
		return nil, nil, err
	}
	db, err := postgres.Open(ctx, postgres.Config{
		URL: c.Database.URL, Connections: c.Database.Connections, KeepSchema: !c.Database.Migrate,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("database.url: %w", err)
	}
	return db, db.Listen, nil
}

// shared tunes an engine that has others beside it: how long the launches of one
// that died wait, and how soon it sees what no notification told it.
func shared(c *config.Config) engine.Config {
	if c.Database.URL == "" {
		return engine.Config{}
	}
	return engine.Shared()
}

func migrateCommand(environ []string) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date, or say which version it has",
		Long: `Bring the schema of the database up to the version that this tminus knows, and
say which one that is. serve does the same at its start unless database.migrate is
false. Any number of processes may do it at once.

With --check nothing is changed: it exits with 1 unless this tminus runs on the
schema: it is the one that it knows, or that of the next release of tminus.`,
		Args: cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, environ)
			if err != nil {
				return err
			}
			if !check {
				c.Database.Migrate = true
				db, _, err := openDatabase(cmd.Context(), c)
				if err != nil {
					return err
				}
				if err := db.Close(); err != nil {
					return err
				}
			}
			v, err := schemaVersions(cmd.Context(), c)
			if err != nil {
				return err
			}
			if err := cli.Print(cmd, v, func(w io.Writer) {
				fmt.Fprintf(w, "DATABASE\tKNOWN\n%d\t%d\n", v.Database, v.Known)
			}); err != nil {
				return err
			}
			if v.Database < v.Known {
				return errors.New("the schema is not up to date; run tminus migrate")
			}
			return v.Check(true)
		},
	}
	settingsFlags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; fail unless this tminus runs on the schema")
	return cmd
}

func schemaVersions(ctx context.Context, c *config.Config) (relational.Versions, error) {
	if c.Database.URL == "" {
		return sqlite.Versions(ctx, sqlite.Config{Dir: c.Data})
	}
	v, err := postgres.Versions(ctx, postgres.Config{URL: c.Database.URL})
	if err != nil {
		err = fmt.Errorf("database.url: %w", err)
	}
	return v, err
}
