package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/aws/awstest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// reader is a ledger that can fail, and the queue from which it is told.
type reader struct {
	*cloud
	queue *awstest.Queue
	cfg   aws.ExecutorConfig
	down  atomic.Bool
	// refuses says of a batch that the ledger does not take it.
	refuses func([]store.Message) error
	mu      sync.Mutex
	took    []int // how many messages each transaction had
}

var errDown = errors.New("connection refused")

func (r *reader) Now(ctx context.Context) (time.Time, error) {
	if r.down.Load() {
		return time.Time{}, errDown
	}
	return r.db.Now(ctx)
}

func (r *reader) Attend(ctx context.Context, now time.Time) error {
	if r.down.Load() {
		return errDown
	}
	return r.db.Attend(ctx, now)
}

func (r *reader) Deliver(ctx context.Context, now time.Time, messages []store.Message) (store.Delivered, error) {
	if r.down.Load() {
		return store.Delivered{}, errDown
	}
	r.mu.Lock()
	r.took = append(r.took, len(messages))
	r.mu.Unlock()
	if r.refuses != nil {
		if err := r.refuses(messages); err != nil {
			return store.Delivered{}, err
		}
	}
	return r.db.Deliver(ctx, now, messages)
}

func newReader(t *testing.T, attributes map[string]string) *reader {
	t.Helper()
	c := newCloud(t)
	q := awstest.NewQueue(t, c.moto, attributes)
	for ago := time.Hour; ago >= 0; ago -= 30 * time.Second { // Somebody has been there all the time.
		if _, err := c.db.Beat(t.Context(), 0, time.Now().Add(-ago), time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := c.db.Attend(t.Context(), time.Now().Add(-ago)); err != nil {
			t.Fatal(err)
		}
	}
	return &reader{cloud: c, queue: q, cfg: aws.ExecutorConfig{
		Region: awstest.Region, ScheduleQueueName: q.Name, AccountID: awstest.Account, Endpoint: c.proxy.URL, ReconnectDelay: 100 * time.Millisecond,
	}}
}

// run takes messages until the returned function is called.
func (r *reader) run() (e *aws.Executor, stop func() error) {
	r.t.Helper()
	e, err := aws.NewExecutor(r, r.cfg, quiet())
	r.must(err)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return e, func() error {
		cancel()
		return <-done
	}
}

// until waits for something to become true.
func (r *reader) until(what string, is func() bool) {
	r.t.Helper()
	awstest.Until(r.t, 40*time.Second, what, is)
}

func (r *reader) empty() bool { return r.queue.Size(r.t) == 0 }

// body is a message about a launch plan.
func body(t *testing.T, name string, at time.Time) string {
	t.Helper()
	template, err := aws.Template(key("flytesnacks", "development", name), "kickoff")
	if err != nil {
		t.Fatal(err)
	}
	return awstest.Rule{Template: template}.Body(at)
}

func (r *reader) firings() (lines []string) {
	r.t.Helper()
	fs, err := r.db.Firings(r.t.Context(), store.Query{Limit: 10_000, SortBy: "slot", Ascending: true})
	r.must(err)
	for _, f := range fs {
		lines = append(lines, f.LaunchPlan.Name+" "+string(f.Outcome))
	}
	slices.Sort(lines)
	return lines
}

func (r *reader) letters() (lines []string) {
	r.t.Helper()
	ls, err := r.db.DeadLetters(r.t.Context(), store.Query{Limit: 10_000, SortBy: "id", Ascending: true})
	r.must(err)
	for _, l := range ls {
		l, err := r.db.DeadLetter(r.t.Context(), l.ID)
		r.must(err)
		lines = append(lines, string(l.Body)+": "+l.Reason)
	}
	slices.Sort(lines)
	return lines
}

// plans makes n launch plans that come due in the minute that began at the returned time.
func (r *reader) plans(n int) (slot time.Time) {
	r.t.Helper()
	slot = time.Now().UTC().Truncate(time.Minute)
	long := slot.Add(-30 * time.Minute)
	for i := range n {
		id := planID(fmt.Sprintf("p%03d", i), "v1")
		r.must(r.db.CreatePlan(r.t.Context(), store.Plan{ID: id, Workflow: id, CreatedAt: long, UpdatedAt: long}))
		r.must(r.db.Activate(r.t.Context(), id, &schedule.Spec{Expression: fmt.Sprintf("%d %d * * ? *", slot.Minute(), slot.Hour())}, store.Change{At: long}))
	}
	return slot
}

func (r *reader) want(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("p%03d pending", i))
	}
	return lines
}

func (r *reader) check(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.firings()); diff != "" {
		r.t.Errorf("firings (-want +got):\n%s", diff)
	}
}

func TestMessagesBecomeFiringsOnce(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	r.cfg.Workers = 1 // moto now and then gives a message to two who ask at once.
	const n = 45
	slot := r.plans(n)
	var bodies []string
	for i := range n {
		b := body(t, fmt.Sprintf("p%03d", i), slot)
		bodies = append(bodies, b)
		if i%3 == 0 {
			bodies = append(bodies, b)
		}
	}
	bodies = append(bodies, "}{ poison", body(t, "nobody", slot))
	r.queue.Send(t, bodies...)
	e, stop := r.run()
	r.until("empty", r.empty)
	r.must(stop())
	r.check(r.want(n)...)
	letters := r.letters()
	if len(letters) != 2 || !strings.HasPrefix(letters[1], "}{ poison: the body is no JSON object") || !strings.Contains(letters[0], "no active version with a schedule") {
		t.Errorf("dead letters: %q", letters)
	}
	s := e.Status()
	if s.Taken != int64(len(bodies)) || s.Recorded != n || s.Known != 15 || s.SetAside != 2 {
		t.Errorf("status: %+v of %d messages", s, len(bodies))
	}
	if !e.Heard().IsZero() && e.Heard().After(time.Now().Add(-5*time.Minute)) {
		t.Errorf("it has heard all up to %s", e.Heard())
	}
}

func TestNothingIsDeletedThatIsNotRecorded(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	r.cfg.Workers = 1
	slot := r.plans(12)
	for i := range 12 {
		r.queue.Send(t, body(t, fmt.Sprintf("p%03d", i), slot))
	}
	e, stop := r.run()
	r.until("empty", r.empty)
	r.down.Store(true)
	r.queue.Send(t, body(t, "nobody", slot))
	r.until("in trouble", func() bool { return strings.Contains(e.Problem(), "connection refused") })
	receives := r.proxy.Count("sqs:ReceiveMessage")
	if r.empty() || len(r.letters()) > 0 {
		t.Errorf("a message is gone that nobody recorded")
	}
	r.down.Store(false)
	r.until("well again", func() bool { return e.Problem() == "" })
	r.until("empty", r.empty)
	r.must(stop())
	if after := r.proxy.Count("sqs:ReceiveMessage"); receives < 1 || after-receives > 10 {
		t.Errorf("while the database was down it received %d times", after-receives)
	}
	r.check(r.want(12)...)
	if len(r.letters()) != 1 {
		t.Errorf("dead letters: %q", r.letters())
	}
}

func TestABatchWithSomethingInItThatTheLedgerRefuses(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	r.cfg.Workers = 1
	slot := r.plans(8)
	culprit := key("flytesnacks", "development", "p005")
	r.refuses = func(ms []store.Message) error {
		if slices.ContainsFunc(ms, func(m store.Message) bool { return m.LaunchPlan == culprit }) {
			return errors.New("a bug")
		}
		return nil
	}
	for i := range 8 {
		r.queue.Send(t, body(t, fmt.Sprintf("p%03d", i), slot))
	}
	_, stop := r.run()
	r.until("empty", r.empty)
	r.must(stop())
	r.check(slices.Delete(r.want(8), 5, 6)...)
	if l := r.letters(); len(l) != 1 || !strings.HasSuffix(l[0], "it could not be recorded: a bug") {
		t.Errorf("dead letters: %q", l)
	}
}

func TestTheQueueOnABadDay(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]awstest.Fault{
		"throttled": awstest.Throttled, "internal": awstest.Internal, "cut": awstest.Cut, "lost answer": awstest.Lost, "expired": awstest.Expired, "denied": awstest.Denied,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, map[string]string{"VisibilityTimeout": "10"})
			r.cfg.Visibility = 10 * time.Second
			slot := r.plans(25)
			for _, operation := range []string{"sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessageBatch"} {
				r.proxy.Fail(operation, fault)
				if name != "lost answer" { // Each hides what it answered with for ten seconds.
					r.proxy.Fail(operation, fault, fault)
				}
			}
			r.proxy.Always("sqs:GetQueueAttributes", fault)
			for i := range 25 {
				r.queue.Send(t, body(t, fmt.Sprintf("p%03d", i), slot))
			}
			e, stop := r.run()
			r.until("empty", r.empty)
			r.until("well", func() bool { return e.Problem() == "" })
			r.must(stop())
			r.check(r.want(25)...)
		})
	}
}

func TestItGivesUpWhenToldTo(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	r.cfg.ReconnectAttempts = 3
	r.proxy.Always("sqs:ReceiveMessage", awstest.Denied)
	e, err := aws.NewExecutor(r, r.cfg, quiet())
	r.must(err)
	if err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "gave up after 3 attempts") || !strings.Contains(err.Error(), "tminus aws policy") {
		t.Errorf("it ends with %v", err)
	}
	r.cfg.ScheduleQueueName = "nobodys-queue"
	e, err = aws.NewExecutor(r, r.cfg, quiet())
	r.must(err)
	if err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "nobodys-queue is not in account "+awstest.Account) {
		t.Errorf("it ends with %v", err)
	}
}

// TestDrainRecordsWhatWasTaken stops an executor while its ledger is slow.
func TestDrainRecordsWhatWasTaken(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	slot := r.plans(30)
	began := make(chan struct{})
	var once sync.Once
	proceed := make(chan struct{})
	r.refuses = func([]store.Message) error {
		once.Do(func() { close(began) })
		<-proceed
		return nil
	}
	for i := range 30 {
		r.queue.Send(t, body(t, fmt.Sprintf("p%03d", i), slot))
	}
	_, stop := r.run()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(proceed)
	r.must(<-stopped)
	recorded := len(r.firings())
	if left := r.queue.Size(t); recorded == 0 || recorded+left < 30 {
		t.Errorf("%d are recorded, and %d are left in the queue", recorded, left)
	}
}

// TestWordOfWhatHasNotComeStaysInTheQueue has a message come before its slot.
func TestWordOfWhatHasNotComeStaysInTheQueue(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	id := planID("soon", "v1")
	long := time.Now().Add(-time.Hour)
	r.must(r.db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: id, CreatedAt: long, UpdatedAt: long}))
	r.must(r.db.Activate(t.Context(), id, &schedule.Spec{Expression: "* * * * ? *"}, store.Change{At: long}))
	r.queue.Send(t, body(t, "soon", time.Now().Add(2*time.Minute)))
	e, stop := r.run()
	r.until("taken", func() bool { return e.Status().Taken > 0 })
	r.must(stop())
	r.check()
	if r.empty() || len(r.letters()) > 0 {
		t.Error("the message is gone")
	}
}

// TestProbesAreLeftToTheDoctor leaves the messages of tminus aws doctor in the queue.
func TestProbesAreLeftToTheDoctor(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	template, err := aws.Template(ident.Key{Project: "tminus-doctor", Domain: "doctor", Name: "1234"}, "")
	r.must(err)
	r.queue.Send(t, awstest.Rule{Template: template}.Body(time.Now()))
	e, stop := r.run()
	r.until("taken twice", func() bool { return e.Status().Taken >= 2 })
	r.must(stop())
	if r.empty() || len(r.letters()) > 0 {
		t.Error("the doctor's message is gone")
	}
}

// TestProbesAreTakenSeldom has a message of tminus aws doctor that was sent a while ago,
// so that the queue does not set it aside before nobody looks for it any more.
func TestProbesAreTakenSeldom(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	sent := regexp.MustCompile(`("SentTimestamp": ?)"\d+"`)
	ago := strconv.FormatInt(time.Now().Add(-80*time.Second).UnixMilli(), 10)
	r.proxy.Always("sqs:ReceiveMessage", awstest.Changed(func(answer []byte) []byte { return sent.ReplaceAll(answer, []byte(`$1"`+ago+`"`)) }))
	hidden := make(chan int, 1)
	r.proxy.Always("sqs:ChangeMessageVisibilityBatch", func(w http.ResponseWriter, request *http.Request, forward http.Handler) {
		var in struct {
			Entries []struct{ VisibilityTimeout int }
		}
		if err := json.NewDecoder(request.Body).Decode(&in); err != nil || len(in.Entries) != 1 {
			t.Errorf("%+v (%v)", in, err)
		} else {
			select {
			case hidden <- in.Entries[0].VisibilityTimeout:
			default: // The first one is enough.
			}
		}
		awstest.Internal(w, request, forward)
	})
	template, err := aws.Template(ident.Key{Project: "tminus-doctor", Domain: "doctor", Name: "1234"}, "")
	r.must(err)
	r.queue.Send(t, awstest.Rule{Template: template}.Body(time.Now()))
	_, stop := r.run()
	if n := <-hidden; n < 20 || n > 40 {
		t.Errorf("a probe of 80 s is hidden for %d s, want a quarter of its age", n)
	}
	r.must(stop())
}

// TestManyOldProbesAreDeleted takes more of them at once than one request deletes.
func TestManyOldProbesAreDeleted(t *testing.T) {
	t.Parallel()
	r := newReader(t, nil)
	const n = 45
	var taken atomic.Int64
	sent := regexp.MustCompile(`("SentTimestamp": ?)"\d+"`)
	ago := strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli(), 10)
	r.proxy.Always("sqs:ReceiveMessage", awstest.Changed(func(answer []byte) []byte {
		taken.Add(int64(len(sent.FindAll(answer, -1))))
		return sent.ReplaceAll(answer, []byte(`$1"`+ago+`"`))
	}))
	proceed := make(chan struct{})
	r.refuses = func([]store.Message) error { // Until they are taken.
		<-proceed
		return nil
	}
	slot := r.plans(1)
	r.queue.Send(t, body(t, "p000", slot))
	_, stop := r.run()
	r.until("held up", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.took) > 0
	})
	template, err := aws.Template(ident.Key{Project: "tminus-doctor", Domain: "doctor", Name: "1234"}, "")
	r.must(err)
	r.queue.Send(t, slices.Repeat([]string{awstest.Rule{Template: template}.Body(time.Now())}, n)...)
	r.until("taken", func() bool { return taken.Load() == n+1 })
	close(proceed)
	r.until("empty", r.empty)
	r.must(stop())
	r.check(r.want(1)...)
}

var _ aws.Intake = (*sqlite.DB)(nil)
