// Package postgrestest runs real PostgreSQL servers, and poolers before them,
// for tests. They listen on loopback only, and end with the process that started
// them however it ends.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tminus.dev/internal/store/postgres"
)

// Server is a PostgreSQL server of its own.
type Server struct {
	bin, dir, data string
	port           int
	settings       []string
	held           io.Closer
	process        *exec.Cmd
	ended          chan struct{}

	databases atomic.Int64
	template  func() error
}

// Mode is how a server stops.
type Mode os.Signal

// The modes.
var (
	Fast      Mode = syscall.SIGINT  // transactions are rolled back
	Immediate Mode = syscall.SIGQUIT // as in a crash: the next start recovers
)

// shared is the server of those who need no other.
var shared = sync.OnceValues(func() (*Server, error) {
	return start(map[string]string{"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0"})
})

// URL is a database of its own for tb, with the schema in it, on a server that
// all tests of a binary share.
func URL(tb testing.TB) string {
	tb.Helper()
	return Shared(tb).URL(tb)
}

// Shared is the server that all tests of a binary share. It is not for those who
// stop it.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Start starts a server with settings besides those of postgresql.conf. It ends
// with the test.
func Start(tb testing.TB, settings map[string]string) *Server {
	tb.Helper()
	s, err := start(settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Stop(tb, Immediate)
		if err := s.held.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Run starts a server for a program that is no test, with settings besides those
// of postgresql.conf. It ends with Close, or with the program.
func Run(settings map[string]string) (*Server, error) { return start(settings) }

// Close ends a server that Run has started.
func (s *Server) Close() error {
	err := s.process.Process.Signal(Fast)
	<-s.ended
	return errors.Join(err, s.held.Close())
}

// PID is the server's process, the parent of those that serve connections.
func (s *Server) PID() int { return s.process.Process.Pid }

// Create makes a database of its own with the schema in it, which stays as long
// as the server, and returns its URL.
func (s *Server) Create() (string, error) {
	if err := s.template(); err != nil {
		return "", err
	}
	database := fmt.Sprint("test", s.databases.Add(1))
	return at(s.port, database), s.exec("CREATE DATABASE " + database + " TEMPLATE migrated")
}

// bounds are how long a server may take to start and to stop.
const bounds = time.Minute

func start(settings map[string]string) (_ *Server, err error) {
	s := &Server{}
	s.template = sync.OnceValue(s.makeTemplate)
	if s.bin, err = find("postgres", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"); err != nil {
		return nil, err
	}
	if s.dir, s.held, err = directory("tminus-postgres-"); err != nil {
		return nil, err
	}
	s.data = filepath.Join(s.dir, "data")
	initdb := command(filepath.Join(s.bin, "initdb"), "--pgdata="+s.data, "--username=tminus", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
	initdb.Dir = s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s.settings = []string{"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=300"}
	for name, value := range settings {
		s.settings = append(s.settings, "-c", name+"="+value)
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.run()
}

// Standby starts a synchronous standby of s, with the settings of s: what is
// committed from now on is on both. It ends with the test.
func (s *Server) Standby(tb testing.TB) *Server {
	tb.Helper()
	standby := &Server{bin: s.bin, settings: s.settings}
	var err error
	if standby.dir, standby.held, err = directory("tminus-standby-"); err != nil {
		tb.Fatal(err)
	}
	standby.data = filepath.Join(standby.dir, "data")
	backup := command(filepath.Join(s.bin, "pg_basebackup"), "--pgdata="+standby.data, "--dbname="+at(s.port, "postgres"),
		"--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	backup.Dir = standby.dir
	if out, err := backup.CombinedOutput(); err != nil {
		tb.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	if standby.port, err = freePort(); err != nil {
		tb.Fatal(err)
	}
	standby.Resume(tb)
	tb.Cleanup(func() {
		standby.Stop(tb, Immediate)
		if err := standby.held.Close(); err != nil {
			tb.Error(err)
		}
	})
	s.Exec(tb, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	s.Exec(tb, "SELECT pg_reload_conf()")
	return standby
}

// Promote makes a standby take the place of its primary.
func (s *Server) Promote(tb testing.TB) {
	tb.Helper()
	s.Exec(tb, "SELECT pg_promote()")
}

// WithStandby is what a URL of s is that names a standby as well: connections
// go to the one of the two that can be written to.
func (s *Server) WithStandby(direct string, standby *Server) string {
	host := func(s *Server) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }
	return strings.Replace(direct, host(s), host(s)+","+host(standby), 1)
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	s.process = command(filepath.Join(s.bin, "postgres"), append([]string{"-D", s.data, "-p", strconv.Itoa(s.port)}, s.settings...)...)
	s.process.Dir = s.dir
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	process, ended := s.process, make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		_ = process.Wait() //nolint:errcheck // How it ends is the log's.
	}()
	return s.await()
}

// await waits until the server answers.
func (s *Server) await() error {
	deadline := time.After(bounds)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return fmt.Errorf("postgres ended at its start:\n%s", s.Log())
		case <-deadline:
			return fmt.Errorf("postgres does not answer:\n%s", s.Log())
		case <-tick.C:
			if err := s.exec("SELECT 1"); err == nil {
				return nil
			}
		}
	}
}

// Log is what the server has said.
func (s *Server) Log() string {
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// Stop stops the server and waits for its end.
func (s *Server) Stop(tb testing.TB, mode Mode) {
	tb.Helper()
	if err := s.process.Process.Signal(mode); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Error(err)
	}
	select {
	case <-s.ended:
	case <-time.After(bounds):
		tb.Errorf("postgres does not end:\n%s", s.Log())
	}
}

// Resume starts a server again that was stopped.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	if err := s.run(); err != nil {
		tb.Fatal(err)
	}
}

// Restart stops the server and starts it again.
func (s *Server) Restart(tb testing.TB, mode Mode) {
	tb.Helper()
	s.Stop(tb, mode)
	s.Resume(tb)
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(tb testing.TB, statement string) {
	tb.Helper()
	if err := s.exec(statement); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), bounds)
	defer cancel()
	c, err := pgx.Connect(ctx, at(s.port, "postgres"))
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}

func at(port int, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("tminus", "secret"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// URL is a database of its own for tb, with the schema in it.
func (s *Server) URL(tb testing.TB) string {
	tb.Helper()
	if err := s.template(); err != nil {
		tb.Fatal(err)
	}
	return s.create(tb, " TEMPLATE migrated")
}

// Empty is a database of its own for tb, with nothing in it.
func (s *Server) Empty(tb testing.TB) string {
	tb.Helper()
	return s.create(tb, "")
}

func (s *Server) create(tb testing.TB, how string) string {
	tb.Helper()
	database := fmt.Sprint("test", s.databases.Add(1))
	s.Exec(tb, "CREATE DATABASE "+database+how)
	tb.Cleanup(func() {
		select {
		case <-s.ended:
		default:
			s.Exec(tb, "DROP DATABASE "+database+" WITH (FORCE)")
		}
	})
	return at(s.port, database)
}

func (s *Server) makeTemplate() error {
	if err := s.exec("CREATE DATABASE migrated"); err != nil {
		return err
	}
	db, err := postgres.Open(context.Background(), postgres.Config{URL: at(s.port, "migrated")})
	if err != nil {
		return err
	}
	return db.Close()
}

// PgBouncer starts a PgBouncer before the server that pools by the transaction,
// and returns what a URL of the server is through it. It ends with the test.
func (s *Server) PgBouncer(tb testing.TB) func(direct string) string {
	tb.Helper()
	port, stop, err := s.bouncer()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := stop(); err != nil {
			tb.Error(err)
		}
	})
	return func(direct string) string {
		u, err := url.Parse(direct)
		if err != nil {
			tb.Fatal(err)
		}
		u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		return u.String()
	}
}

func (s *Server) bouncer() (port int, stop func() error, err error) {
	bin, err := find("pgbouncer", "/usr/sbin", "/opt/homebrew/bin")
	if err != nil {
		return 0, nil, err
	}
	dir, held, err := directory("tminus-pgbouncer-")
	if err != nil {
		return 0, nil, err
	}
	if port, err = freePort(); err != nil {
		return 0, nil, err
	}
	ini := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d user=tminus
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 8
`, s.port, port)
	if err := os.WriteFile(filepath.Join(dir, "pgbouncer.ini"), []byte(ini), 0o644); err != nil { //nolint:gosec // Another user reads it.
		return 0, nil, err
	}
	cmd := command(filepath.Join(bin, "pgbouncer"), "-q", "pgbouncer.ini")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		return 0, nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	// What watches over the directory ends what this file names.
	if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil { //nolint:gosec // Likewise.
		return 0, nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() //nolint:errcheck // It was told to end.
	}()
	stop = func() error {
		if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-ended
		return held.Close()
	}
	return port, stop, answers(port, ended)
}

// answers waits until something listens on a port.
func answers(port int, ended <-chan struct{}) error {
	deadline := time.After(bounds)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var d net.Dialer
	for {
		select {
		case <-ended:
			return errors.New("pgbouncer ended at its start")
		case <-deadline:
			return errors.New("pgbouncer does not answer")
		case <-tick.C:
			if c, err := d.DialContext(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
				return c.Close()
			}
		}
	}
}

// find is the folder of a program: the newest in one of the places, or that in PATH.
func find(program string, places ...string) (string, error) {
	for _, place := range places {
		found, err := filepath.Glob(filepath.Join(place, program))
		if err == nil && len(found) > 0 {
			return filepath.Dir(slices.Max(found)), nil
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: `make test` installs it where there is apt-get; elsewhere install PostgreSQL (13 or newer) and PgBouncer", program)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It takes no time.
	if err != nil {
		return 0, err
	}
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("%s is no TCP address", l.Addr())
	}
	return a.Port, l.Close()
}

// watch waits for the end of its standard input, which comes when whoever
// started it has ended, however that was. Then it ends the server that a
// directory is of, and the directory.
const watch = `read -r _
for file in data/postmaster.pid pid; do
	[ -f "$file" ] || continue
	pid=$(head -n 1 "$file")
	kill -QUIT "$pid" 2>/dev/null
	while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
done
rm -rf "$PWD"`

// directory makes a directory that is removed, once what runs in it has ended,
// when held is closed or collected, or this process ends.
func directory(name string) (dir string, held io.Closer, err error) {
	if dir, err = os.MkdirTemp("", name); err != nil {
		return "", nil, err
	}
	if user := unprivileged(); user != nil {
		if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
			return "", nil, err
		}
	}
	watcher := command("/bin/sh", "-c", watch)
	watcher.Dir = dir
	if held, err = watcher.StdinPipe(); err != nil {
		return "", nil, err
	}
	if err := watcher.Start(); err != nil {
		return "", nil, err
	}
	go func() { _ = watcher.Wait() }() //nolint:errcheck // What is left is the system's to clean.
	return dir, held, nil
}
