// Package torture runs several engines as processes of their own on a real
// PostgreSQL and does to them what happens in production: SIGKILL, SIGSTOP for
// longer than a lease, cut and silent networks, restarts of the database, killed
// connections, and a clock that is minutes off. Then it counts: no slot may be
// lost, none doubled. `make torture` takes half an hour; the test by itself a
// part of a minute.
package torture_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
)

var (
	lasts     = flag.Duration("for", 20*time.Second, "how long the torture lasts")
	schedules = flag.Int("schedules", 300, "schedules, each of which is due every minute")
	skew      = flag.Duration("skew", 0, "how far off the first replica's clock is")
	seed      = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the torture")
)

const replicas = 3

func TestThreeReplicasLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	t.Logf("seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	server := postgrestest.Start(t, map[string]string{"fsync": "on", "max_connections": "100"})
	database := server.URL(t)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	begin := activate(t, db)

	dir := t.TempDir()
	binaries := build(t, *skew)
	all := make([]*replica, replicas)
	for i := range all {
		binary := binaries[0]
		if i == 0 {
			binary = binaries[len(binaries)-1]
		}
		proxy := listen(t, database)
		all[i] = &replica{t: t, binary: binary, dir: dir, database: proxy.url, proxy: proxy, number: i}
		all[i].start()
	}
	watch := time.Now()
	torture(t, r, server, db, all, watch.Add(*lasts))

	for _, x := range all {
		x.proxy.be(passing)
	}
	settled := finish(t, db)
	for _, x := range all {
		x.stop()
	}
	launches := collect(all)
	check(t, db, dir, begin, settled)
	report(t, launches, all)
}

// TestAFailoverLosesAndDoublesNothing kills the primary for good, in the middle
// of what it does, and promotes its standby.
func TestAFailoverLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t, map[string]string{"fsync": "on"})
	database := primary.URL(t)
	standby := primary.Standby(t)
	database = primary.WithStandby(database, standby)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	begin := activate(t, db)
	dir := t.TempDir()
	all := make([]*replica, replicas)
	binary := build(t, 0)[0]
	for i := range all {
		all[i] = &replica{t: t, binary: binary, dir: dir, database: database, number: i}
		all[i].start()
	}
	<-time.After(5 * time.Second)
	primary.Stop(t, postgrestest.Immediate)
	away := time.Now()
	<-time.After(3 * time.Second)
	standby.Promote(t)
	promoted := time.Now()
	<-time.After(7 * time.Second)
	settled := finish(t, db)
	for _, x := range all {
		x.stop()
	}
	check(t, db, dir, begin, settled)
	first := time.Duration(-1)
	for _, at := range collect(all) {
		n, _ := slices.BinarySearchFunc(at, away.Add(time.Second), func(a, b time.Time) int { return a.Compare(b) })
		if n < len(at) && (first < 0 || at[n].Sub(promoted) < first) {
			first = at[n].Sub(promoted)
		}
	}
	t.Logf("from the promotion to the next launch: %s", first.Round(time.Millisecond))
}

// activate makes the schedules, and says from when each counts.
func activate(t *testing.T, db *postgres.DB) (begin map[string]time.Time) {
	t.Helper()
	begin = map[string]time.Time{}
	ctx := t.Context()
	check1 := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check1(db.CreateProject(ctx, store.Project{ID: "default", Name: "default", CreatedAt: time.Now()}))
	for i := range *schedules {
		id := planID(i)
		now, err := db.Now(ctx)
		check1(err)
		for _, version := range versions {
			id.Version = version
			check1(db.CreatePlan(ctx, store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: now, UpdatedAt: now}))
		}
		// Each counts from another second, so that something is due at every moment.
		begin[id.Name] = now.Add(-time.Duration(i%60) * time.Second)
		check1(db.Activate(ctx, id, &spec, store.Change{By: "torture", At: begin[id.Name]}))
	}
	return begin
}

// versions take turns, so that a slot which is launched under two of them shows as two executions.
var versions = []string{"v2", "v1"}

var spec = schedule.Spec{Expression: "rate(1 minute)", Policy: schedule.Policy{
	CatchUp: schedule.CatchUpAll, Jitter: 20 * time.Second, LaunchDeadline: 6 * time.Hour,
}}

func planID(i int) ident.ID {
	return ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: fmt.Sprint("plan-", i)}, Version: "v1"}
}

// build makes the replica's program, and, for a clock that is off, another one
// whose time package adds an offset to what the machine says.
func build(t *testing.T, skew time.Duration) (binaries []string) {
	t.Helper()
	dir := t.TempDir()
	compile := func(name string, args ...string) {
		t.Helper()
		out := filepath.Join(dir, name)
		cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", out}, args...), "./replica")...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		binaries = append(binaries, out)
	}
	compile("replica")
	if skew == 0 {
		return binaries
	}
	source := filepath.Join(runtime.GOROOT(), "src/time/time.go") //nolint:staticcheck // The test runs where it was built.
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	// The monotonic reading stays: timers and deadlines are as long as ever.
	patched := strings.Replace(string(text), "func Now() Time {\n", `func Now() Time {
	right := rightNow()
	skewed := right.Add(`+strconv.FormatInt(int64(skew), 10)+`)
	if skewed.wall&hasMonotonic != 0 {
		skewed.ext = right.ext
	}
	return skewed
}

func rightNow() Time {
`, 1)
	if patched == string(text) {
		t.Fatal("time.Now is not where it was; look at " + source)
	}
	file, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	for name, content := range map[string]string{file: patched, overlay: fmt.Sprintf(`{"Replace": {%q: %q}}`, source, file)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compile("skewed", "-overlay", overlay)
	return binaries
}

// A replica is a process that is started again whenever it has ended.
type replica struct {
	t           *testing.T
	binary, dir string
	database    string
	proxy       *proxy
	number      int

	mu       sync.Mutex
	cmd      *exec.Cmd
	stopped  bool
	killed   []time.Time
	launches []time.Time
	over     chan struct{}
	log      *os.File
}

func (x *replica) start() {
	x.over = make(chan struct{})
	var err error
	if x.log, err = os.CreateTemp(x.t.ArtifactDir(), fmt.Sprintf("replica-%d-*.log", x.number)); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { x.log.Close() })
	go func() {
		defer close(x.over)
		for {
			x.mu.Lock()
			if x.stopped {
				x.mu.Unlock()
				return
			}
			cmd := exec.CommandContext(context.WithoutCancel(x.t.Context()), x.binary, x.database, x.dir)
			cmd.SysProcAttr = parental()
			cmd.Stderr = x.log
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			x.cmd = cmd
			x.mu.Unlock()
			if err != nil {
				x.t.Error(err)
				return
			}
			x.read(out)
			_ = cmd.Wait() //nolint:errcheck // It was killed, or could not reach the database.
			<-time.After(100 * time.Millisecond)
		}
	}()
}

func (x *replica) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		x.mu.Lock()
		x.launches = append(x.launches, time.Now())
		x.mu.Unlock()
	}
}

func (x *replica) signal(s syscall.Signal) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cmd == nil || x.cmd.Process == nil {
		return
	}
	if s == syscall.SIGKILL {
		x.killed = append(x.killed, time.Now())
	}
	if err := x.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		x.t.Error(err)
	}
}

func (x *replica) stop() {
	x.mu.Lock()
	x.stopped = true
	x.mu.Unlock()
	x.signal(syscall.SIGTERM)
	select {
	case <-x.over:
	case <-time.After(45 * time.Second):
		x.t.Errorf("replica %d does not stop; what it does is at the end of %s", x.number, x.log.Name())
		x.signal(syscall.SIGQUIT)
	}
}

// torture does one thing after the other until it is time to stop.
func torture(t *testing.T, r *rand.Rand, server *postgrestest.Server, db *postgres.DB, all []*replica, until time.Time) {
	t.Helper()
	counts := map[string]int{}
	for time.Now().Before(until) {
		<-time.After(time.Duration(500+r.IntN(3000)) * time.Millisecond)
		x := all[r.IntN(len(all))]
		seconds := func(least, most int) time.Duration {
			return time.Duration(1000*least+r.IntN(1000*(most-least))) * time.Millisecond
		}
		what := ""
		switch r.IntN(11) {
		case 0, 1, 2:
			what = "SIGKILL"
			x.signal(syscall.SIGKILL)
		case 3, 4:
			what = "SIGSTOP"
			x.signal(syscall.SIGSTOP)
			<-time.After(seconds(1, 9))
			x.signal(syscall.SIGCONT)
		case 5:
			what = "network silent"
			x.proxy.be(silent)
			<-time.After(seconds(1, 12))
			x.proxy.be(passing)
		case 6:
			what = "network cut"
			x.proxy.be(cut)
			<-time.After(seconds(1, 6))
			x.proxy.be(passing)
		case 7:
			what = "connections killed"
			// The one that kills is cut off with them, which is no error here.
			server.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		case 8:
			what = "database restarted fast"
			server.Restart(t, postgrestest.Fast)
		case 9:
			what = "database restarted immediately"
			server.Restart(t, postgrestest.Immediate)
		case 10:
			what = "versions changed"
			for range 20 {
				id := planID(r.IntN(*schedules))
				id.Version = versions[r.IntN(2)]
				now, err := db.Now(t.Context())
				if err == nil {
					err = db.Activate(t.Context(), id, &spec, store.Change{By: "torture", At: now})
				}
				if err != nil {
					t.Error(err)
				}
			}
		}
		counts[what]++
	}
	t.Logf("torture: %v", counts)
}

// finish waits until all that has come due by now is settled, and says when that was.
func finish(t *testing.T, db *postgres.DB) (now time.Time) {
	t.Helper()
	now, err := db.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); <-time.After(time.Second) {
		pending, err := db.Firings(t.Context(), store.Query{Limit: 1, Filters: []store.Filter{
			{Field: "outcome", Op: store.Eq, Values: []string{"pending"}},
			{Field: "slot", Op: store.Lte, Values: []string{now.Format(time.RFC3339Nano)}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		planned, err := db.Schedules(t.Context(), store.Query{Limit: 1, Filters: []store.Filter{
			{Field: "next_at", Op: store.Lte, Values: []string{now.Format(time.RFC3339Nano)}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		open, err := db.Backlogs(t.Context(), store.Query{Limit: 1, Filters: []store.Filter{{Field: "ended", Op: store.Eq, Values: []string{""}}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(pending)+len(planned)+len(open) == 0 {
			return now
		}
	}
	t.Error("it never came to rest")
	return now
}

// check proves that each slot was launched, and once.
func check(t *testing.T, db *postgres.DB, dir string, begin map[string]time.Time, settled time.Time) {
	t.Helper()
	launched := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err // A draft is what a process that was killed left.
		}
		text, err := os.ReadFile(path)
		launched[strings.TrimSpace(string(text))]++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for at, n := range launched {
		if n > 1 {
			t.Errorf("%s was launched %d times", at, n)
		}
	}
	slots, lost := 0, 0
	for i := range *schedules {
		s, err := db.Schedule(t.Context(), planID(i).Key)
		if err != nil {
			t.Fatal(err)
		}
		timetable, err := s.Spec.Compile(s.Anchor)
		if err != nil {
			t.Fatal(err)
		}
		for slot := timetable.Next(begin[s.LaunchPlan.Name]); !slot.After(settled); slot = timetable.Next(slot) {
			slots++
			if launched[fmt.Sprintf("%s %d", s.LaunchPlan.Name, slot.Unix())] == 1 {
				continue
			}
			lost++
			t.Errorf("%s of %s was not launched", slot, s.LaunchPlan.Name)
			if lost > 20 {
				t.Fatal("and so on")
			}
		}
	}
	unlaunched, err := db.Firings(t.Context(), store.Query{Limit: 10, Filters: []store.Filter{{Field: "outcome", Op: store.ValueIn, Values: []string{"dead", "skipped", "missed"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range unlaunched {
		t.Errorf("%s of %s is %s: %s", f.Slot, f.LaunchPlan.Name, f.Outcome, f.Reason)
	}
	if slots == 0 {
		t.Error("no slot came due")
	}
	t.Logf("%d slots, %d executions, %d lost", slots, len(launched), lost)
}

// collect gathers when each replica launched something.
func collect(all []*replica) [][]time.Time {
	launches := make([][]time.Time, len(all))
	for i, x := range all {
		x.mu.Lock()
		launches[i] = x.launches
		x.mu.Unlock()
	}
	return launches
}

// report says how long after a kill the others launched something.
func report(t *testing.T, launches [][]time.Time, all []*replica) {
	t.Helper()
	var gaps []time.Duration
	for i, x := range all {
		for _, killed := range x.killed {
			gap := time.Duration(-1)
			for other, at := range launches {
				n, _ := slices.BinarySearchFunc(at, killed, func(a, b time.Time) int { return a.Compare(b) })
				if other != i && n < len(at) && (gap < 0 || at[n].Sub(killed) < gap) {
					gap = at[n].Sub(killed)
				}
			}
			if gap >= 0 {
				gaps = append(gaps, gap)
			}
		}
	}
	if len(gaps) == 0 {
		return
	}
	slices.Sort(gaps)
	t.Logf("from a kill to the next launch by another, of %d kills: median %s, p99 %s, longest %s", len(gaps),
		gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)*99/100].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond))
}

// A proxy is the network between a replica and the database.
type proxy struct {
	url    string
	target string

	mu    sync.Mutex
	state state
	conns map[net.Conn]bool
	turn  *sync.Cond
}

// state is what the network does.
type state int

const (
	passing state = iota
	silent        // nothing arrives, and nobody is told
	cut           // connections are reset, and refused
)

func listen(t *testing.T, database string) *proxy {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, conns: map[net.Conn]bool{}}
	p.turn = sync.NewCond(&p.mu)
	u.Host = l.Addr().String()
	p.url = u.String()
	t.Cleanup(func() {
		l.Close()
		p.be(cut)
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(context.WithoutCancel(t.Context()), client)
		}
	}()
	return p
}

func (p *proxy) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	refused := p.state == cut
	p.mu.Unlock()
	if refused {
		return
	}
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(client, server) })
	both.Go(func() { p.pass(server, client) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// pass carries bytes from one side to the other while the network does.
func (p *proxy) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for p.state == silent {
			p.turn.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) be(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	if s == cut {
		for c := range p.conns {
			c.Close()
		}
	}
	p.turn.Broadcast()
}
