package postgres_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
)

// answering is a server that answers one query on each connection, with one row.
func answering(t *testing.T, row ...string) (url string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if err := answer(c, row); err != nil {
				t.Error(err)
			}
		}
	}()
	return fmt.Sprintf("postgres://u:hunter2@%s/d?sslmode=disable&target_session_attrs=any", l.Addr())
}

func answer(c net.Conn, row []string) error {
	defer c.Close()
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	fields := make([]pgproto3.FieldDescription, len(row))
	values := make([][]byte, len(row))
	for i, v := range row {
		fields[i], values[i] = pgproto3.FieldDescription{Name: fmt.Append(nil, "c", i), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}, []byte(v)
	}
	for {
		if err := b.Flush(); err != nil {
			return err
		}
		asked, err := b.Receive()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch asked.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
			b.Send(&pgproto3.RowDescription{Fields: fields})
			b.Send(&pgproto3.DataRow{Values: values})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Parse:
			b.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			b.Send(&pgproto3.BindComplete{})
		case *pgproto3.Terminate:
			return nil
		}
	}
}

func TestAnOldServerIsRefused(t *testing.T) {
	refused(t, postgres.Config{URL: answering(t, "12.22 (Debian 12.22-1)", "120022")}, "PostgreSQL 12.22", "13 or newer")
}

// TestCommitsLast has settings of the role under which commits need not.
func TestCommitsLast(t *testing.T) {
	server := postgrestest.Shared(t)
	for session, want := range map[string]string{"off": "on", "local": "local", "on": "on", "remote_apply": "remote_apply"} {
		url := server.Empty(t)
		set := `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = ` + session + `', current_database()); END $$`
		if err := open(t, url).Exec(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		for name, at := range map[string]string{"directly": url, "through a pooler": server.PgBouncer(t)(url)} {
			t.Run(session+" "+name, func(t *testing.T) {
				tx, err := open(t, at).Pool().BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback() //nolint:errcheck // It changed nothing.
				var got string
				if err := tx.QueryRowContext(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("synchronous_commit is %s, want %s", got, want)
				}
			})
		}
	}
}
