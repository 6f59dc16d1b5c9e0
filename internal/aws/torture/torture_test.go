//go:build darwin || linux

// Package torture_test kills a whole tminus again and again while it takes messages
// from a queue: some delivered twice, some that nobody can read, in no order. In the
// end each slot has one firing and one execution, each message that cannot be read is
// kept once, and the queue is empty.
package torture_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/aws/awstest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

var (
	messages = flag.Int("messages", 1500, "how many slots there are messages about")
	kills    = flag.Int("kills", 5, "how often tminus is killed")
	seed     = flag.Uint64("seed", 1, "decides what is doubled, the order, and when to kill")
)

// manifest is a launch plan whose tasks take no time to speak of; the others are copies of it.
const manifest = `
launchPlan: template
version: v1
active: false
schedule: {cron: "* * * * ? *"}
workflow:
  nodes: [{id: n, command: ["true"]}]
`

func TestMain(m *testing.M) { awstest.Main(m) }

func TestKilledWhileItTakesMessages(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "tminus")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "tminus.dev/cmd/tminus").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	queue, err := awstest.NewStub()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := queue.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &process{t: t, binary: binary, dir: dir, url: queue.URL}
	p.configure()
	p.register(manifest)
	slot := p.copies(*messages)

	r := rand.New(rand.NewPCG(*seed, 0))
	var bodies []string
	poison := 0
	for i := range *messages {
		template, err := aws.Template(plan(i), "")
		if err != nil {
			t.Fatal(err)
		}
		body := awstest.Rule{Template: template}.Body(slot.Add(time.Duration(r.IntN(50)) * time.Second))
		bodies = append(bodies, body)
		if r.IntN(100) < 30 {
			bodies = append(bodies, body)
		}
		if r.IntN(100) < 10 {
			poison++
			bodies = append(bodies, fmt.Sprintf("}{ poison %d", poison))
		}
	}
	r.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	t.Logf("%d messages about %d slots, %d that nobody can read", len(bodies), *messages, poison)

	p.start()
	<-time.After(time.Until(slot)) // The slots have to come.
	left := bodies
	busy := 0
	for i := range *kills {
		n := len(left) / (*kills + 1 - i)
		queue.Put(left[:n]...)
		left = left[n:]
		// Until it has begun with them, and then a moment that leaves it in the middle more often than not.
		before := queue.Size()
		awstest.Until(t, time.Minute, "begun", func() bool { return queue.Size() < before || queue.Taken() })
		<-time.After(time.Duration(r.IntN(20)) * time.Millisecond)
		p.kill()
		if queue.Size() > 0 {
			busy++
		}
		p.start()
	}
	queue.Put(left...)
	awstest.Until(t, 5*time.Minute, "empty", func() bool { return queue.Size() == 0 })
	p.end()
	t.Logf("killed %d times, %d times with messages in the queue", *kills, busy)
	if busy == 0 {
		t.Error("it was never killed while it had something to do")
	}
	p.check(slot, poison)
}

func plan(i int) ident.Key {
	return ident.Key{Project: "default", Domain: "development", Name: "plan-" + strconv.Itoa(i)}
}

// process is a whole tminus.
type process struct {
	t                   *testing.T
	binary, dir, url    string
	config, local, data string
	cmd                 *exec.Cmd
	out                 *output
}

func (p *process) configure() {
	p.t.Helper()
	p.data = filepath.Join(p.dir, "data")
	common := fmt.Sprintf("data: %s\nserver: {httpAddr: \"127.0.0.1:0\", grpcAddr: \"127.0.0.1:0\"}\nscheduler:\n", p.data)
	p.local, p.config = filepath.Join(p.dir, "local.yaml"), filepath.Join(p.dir, "aws.yaml")
	for file, text := range map[string]string{
		p.local: common + "  eventScheduler: {scheme: noop}\n",
		p.config: common + fmt.Sprintf("  eventScheduler: {scheme: noop}\n  workflowExecutor: {scheme: aws, region: us-east-1, scheduleQueueName: queue, accountId: %q, endpoint: %q, visibility: 10s}\nrunner: {parallel: 1}\n",
			awstest.Account, p.url),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// register registers a manifest.
func (p *process) register(text string) {
	p.t.Helper()
	file := filepath.Join(p.dir, "manifest.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.run("serve", "--config", p.local, "--apply", file)
	p.end()
}

// copies makes and activates launch plans that come due in the next minute, and
// tells which that is.
func (p *process) copies(n int) (slot time.Time) {
	p.t.Helper()
	ctx := p.t.Context()
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: p.data})
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	original, err := db.Plan(ctx, ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: "template"}, Version: "v1"})
	if err != nil {
		p.t.Fatal(err)
	}
	now := time.Now()
	slot = now.UTC().Add(15 * time.Second).Add(time.Duration(n) * 2 * time.Millisecond).Truncate(time.Minute).Add(time.Minute)
	for i := range n {
		copied := original
		copied.Key = plan(i)
		if err := db.CreatePlan(ctx, copied); err != nil {
			p.t.Fatal(err)
		}
		spec := &schedule.Spec{Expression: fmt.Sprintf("%d %d * * ? *", slot.Minute(), slot.Hour())}
		if err := db.Activate(ctx, copied.ID, spec, store.Change{By: "torture", At: now}); err != nil {
			p.t.Fatal(err)
		}
	}
	if time.Until(slot) < 5*time.Second {
		p.t.Fatalf("it took until %s to make %d launch plans", time.Now(), n)
	}
	return slot
}

// output is what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (p *process) start() {
	p.t.Helper()
	p.run("serve", "--config", p.config)
}

// run starts tminus, and returns once it says that it serves.
func (p *process) run(args ...string) {
	p.t.Helper()
	p.out = &output{}
	p.cmd = exec.CommandContext(p.t.Context(), p.binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	awstest.Until(p.t, time.Minute, "serving", func() bool { return strings.Contains(p.out.String(), "Look: tminus") })
}

func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatalf("%v\n%s", err, p.out)
	}
	_ = p.cmd.Wait() //nolint:errcheck // It was killed.
}

// end has it stop in good order.
func (p *process) end() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("%v\n%s", err, p.out)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("%v\n%s", err, p.out)
	}
}

// check proves what is promised from the ledger.
func (p *process) check(slot time.Time, poison int) {
	p.t.Helper()
	ctx := p.t.Context()
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: p.data})
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	firings := make(map[string]schedule.Firing)
	each(p.t, func(q store.Query) (int, error) {
		fs, err := db.Firings(ctx, q)
		for _, f := range fs {
			if _, twice := firings[f.LaunchPlan.Name]; twice || !f.Slot.Equal(slot) || f.Count != 1 {
				p.t.Errorf("a firing too many: %+v", f)
			}
			firings[f.LaunchPlan.Name] = f
		}
		return len(fs), err
	})
	executions := make(map[string]bool)
	each(p.t, func(q store.Query) (int, error) {
		xs, err := db.Executions(ctx, q)
		for _, x := range xs {
			if executions[x.LaunchPlan.Name] || !x.Slot.Equal(slot) {
				p.t.Errorf("an execution too many: %+v", x)
			}
			executions[x.LaunchPlan.Name] = true
		}
		return len(xs), err
	})
	for i := range *messages {
		name := plan(i).Name
		if f, ok := firings[name]; !ok || (f.Outcome == schedule.Launched) != executions[name] {
			p.t.Errorf("%s: firing %t, %s (%s), execution %t", name, ok, f.Outcome, f.Reason, executions[name])
		}
	}
	letters := make(map[string]bool)
	each(p.t, func(q store.Query) (int, error) {
		ls, err := db.DeadLetters(ctx, q)
		for _, l := range ls {
			whole, err := db.DeadLetter(ctx, l.ID)
			if err != nil {
				return 0, err
			}
			if body := string(whole.Body); letters[body] || !strings.HasPrefix(body, "}{ poison") {
				p.t.Errorf("a dead letter too many: %s: %s", body, l.Reason)
			} else {
				letters[body] = true
			}
		}
		return len(ls), err
	})
	if len(firings) != *messages || len(letters) != poison {
		p.t.Errorf("%d firings of %d slots, %d dead letters of %d", len(firings), *messages, len(letters), poison)
	}
	launched := 0
	for _, f := range firings {
		if f.Outcome == schedule.Launched {
			launched++
		}
	}
	p.t.Logf("%d slots, %d launched by then, %d executions, %d dead letters", len(firings), launched, len(executions), len(letters))
	if launched == 0 {
		p.t.Error("nothing was launched")
	}
}

// each reads a list page by page.
func each(t *testing.T, page func(store.Query) (int, error)) {
	t.Helper()
	for q := (store.Query{Limit: 1000}); ; q.Offset += q.Limit {
		n, err := page(q)
		if err != nil {
			t.Fatal(err)
		}
		if n < q.Limit {
			return
		}
	}
}
