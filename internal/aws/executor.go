package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// Intake is the ledger as an executor sees it; package storetest says what each
// method promises.
type Intake interface {
	Now(ctx context.Context) (time.Time, error)
	Attend(ctx context.Context, now time.Time) error
	Deliver(ctx context.Context, now time.Time, messages []store.Message) (store.Delivered, error)
}

// Executor takes messages from an SQS queue to the ledger. A message is deleted
// once the ledger has it, and not before, so that it may end at any point; what
// is delivered again then comes to nothing. Any number of them may read a queue.
type Executor struct {
	intake Intake
	cfg    ExecutorConfig
	log    *slog.Logger
	client *sqs.Client
	url    string // of the queue

	// Delivered is told what messages came to, before they are deleted. It is set
	// before Run and must not block; nil means nobody is.
	Delivered func(store.Delivered)

	received chan []*held // what workers took
	recorded chan []*held // what is to be deleted, at most deletions each
	told     atomic.Int64 // when the ledger was last told that messages are taken, by this machine's clock
	failures int          // of the ledger in a row; the committing goroutine's own
	offset   atomic.Int64 // by how much the database's clock is ahead of this machine's
	heard    atomic.Int64 // in microseconds; 0 is never
	begun    atomic.Int64 // when it connected, in microseconds
	fresh    fresh        // since when nothing old was taken
	open     *gate        // while the database answers
	hands    hands        // what was taken and is not deleted yet
	unread   trouble      // with the queue
	unkept   trouble      // with the database
	status   status
}

// NewExecutor makes an executor; Run starts it. Its error is that of cfg.Validate.
func NewExecutor(intake Intake, cfg ExecutorConfig, log *slog.Logger) (*Executor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Workers = cmp.Or(cfg.Workers, 4)
	cfg.Visibility = cmp.Or(cfg.Visibility, time.Minute)
	cfg.ReconnectDelay = cmp.Or(cfg.ReconnectDelay, 30*time.Second)
	return &Executor{
		intake: intake, cfg: cfg, log: log, open: newGate(),
		received: make(chan []*held, mostTaken/receiveMost), recorded: make(chan []*held, mostTaken/receiveMost),
	}, nil
}

const (
	// receiveMost is how many messages one request gives, and deletions how many one deletes.
	receiveMost = 10
	deletions   = 10
	// mostTaken is about how many messages are recorded in one transaction, and how many wait for that.
	mostTaken = 1000
	// longPoll is how long a request waits for messages.
	longPoll = 20 * time.Second
	// deleters is how many requests that delete are open at once.
	deleters = 8
	// drainTime is how long what was taken has to be recorded and deleted at the end.
	drainTime = 10 * time.Second
	// leastGrace is how late messages may be that are not lost.
	leastGrace = 5 * time.Minute
	// mostBackoff is how long a message stays hidden at most that could not be recorded: less than the grace.
	mostBackoff = 2 * time.Minute
)

// grace is how long before a queue was empty a message about it must have been sent to be expected no more.
func (e *Executor) grace() time.Duration { return max(2*e.cfg.Visibility, leastGrace) }

// Heard is the instant, by the database's clock, up to which all messages about
// slots have been taken, if they ever will; zero until the queue was empty once,
// or nothing old was in it for the grace.
func (e *Executor) Heard() time.Time {
	if at := e.heard.Load(); at != 0 {
		return time.UnixMicro(at).UTC()
	}
	return time.Time{}
}

// Deaf is for how long it has not been known whether messages are missing, beyond
// the grace; 0 where that is known.
func (e *Executor) Deaf() time.Duration {
	begun := e.begun.Load()
	if begun == 0 {
		return 0 // It has not begun, and Problem says why.
	}
	return max(e.now().Sub(time.UnixMicro(max(begun, e.heard.Load())))-e.grace(), 0)
}

// Problem says why messages cannot be taken or recorded at present; empty means that they can.
func (e *Executor) Problem() string {
	return cmp.Or(e.unkept.text(), e.unread.text())
}

// trouble is why something does not work at present; nil means that it does.
type trouble struct{ atomic.Pointer[string] }

func (t *trouble) text() string {
	if p := t.Load(); p != nil {
		return *p
	}
	return ""
}

// begin says once that something does not work.
func (t *trouble) begin(ctx context.Context, log *slog.Logger, err error) {
	text := err.Error()
	if before := t.Swap(&text); before == nil || *before != text {
		log.ErrorContext(ctx, "cannot take messages; trying again", slog.Any("error", err))
	}
}

// end says that it works again, if it did not.
func (t *trouble) end(ctx context.Context, log *slog.Logger) {
	if t.Swap(nil) != nil {
		log.InfoContext(ctx, "messages are taken again")
	}
}

// Run takes messages until ctx ends, records and deletes what it has taken by
// then, and returns nil. It returns an error when the queue failed
// ReconnectAttempts times in a row.
func (e *Executor) Run(ctx context.Context) error {
	if err := e.connect(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	finish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })()

	var background sync.WaitGroup
	background.Go(func() { e.extend(finish) })
	background.Go(func() { e.measure(finish) })
	committed := make(chan struct{})
	go func() {
		defer close(committed)
		defer close(e.recorded)
		for batch := range e.received {
			e.commit(finish, e.gather(batch))
		}
	}()
	var deleted sync.WaitGroup
	for range deleters {
		deleted.Go(func() {
			for batch := range e.recorded {
				e.remove(finish, batch)
			}
		})
	}

	workers, working := errgroup.WithContext(ctx)
	for range e.cfg.Workers {
		workers.Go(func() error { return e.work(working) })
	}
	err := workers.Wait()
	close(e.received)
	<-committed
	deleted.Wait()
	e.release(context.WithoutCancel(ctx), e.hands.all(), 0)
	cancel()
	background.Wait()
	return err
}

// retrying calls do until it works or ctx ends, and gives up after ReconnectAttempts.
func (e *Executor) retrying(ctx context.Context, do func(context.Context) error) error {
	for attempts := 1; ; attempts++ {
		err := do(ctx)
		if err == nil {
			e.unread.end(ctx, e.log)
			return nil
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Told to stop.
		}
		e.unread.begin(ctx, e.log, err)
		if most := e.cfg.ReconnectAttempts; most > 0 && attempts >= most {
			return fmt.Errorf("gave up after %d attempts (scheduler.workflowExecutor.reconnectAttempts): %w", attempts, err)
		}
		wait := min(time.Second<<min(attempts-1, 20), e.cfg.ReconnectDelay)
		if sleep(ctx, wait+rand.N(wait/4+1)) != nil { //nolint:gosec // Spreads load.
			return nil //nolint:nilerr // Told to stop.
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// connect finds the queue.
func (e *Executor) connect(ctx context.Context) error {
	return e.retrying(ctx, func(ctx context.Context) error {
		if e.client == nil {
			cfg, err := session(ctx, e.cfg.Region, httpClient(e.cfg.Workers+2*deleters, longPoll+callTime), e.log)
			if err != nil {
				return err
			}
			e.client = sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = endpoint(e.cfg.Endpoint) })
		}
		queue, err := e.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &e.cfg.ScheduleQueueName, QueueOwnerAWSAccountId: &e.cfg.AccountID})
		if err != nil && kindOf(err) == gone {
			return fmt.Errorf("the queue %s is not in account %s and region %s: create it, or correct scheduler.workflowExecutor", e.cfg.ScheduleQueueName, e.cfg.AccountID, e.cfg.Region)
		}
		if err != nil {
			return explain("find the queue "+e.cfg.ScheduleQueueName, err)
		}
		e.url = *queue.QueueUrl
		now, err := e.syncClock(ctx)
		e.begun.Store(now.UnixMicro())
		return err
	})
}

// syncClock learns the database's time.
func (e *Executor) syncClock(ctx context.Context) (now time.Time, err error) {
	if now, err = e.intake.Now(ctx); err == nil {
		e.offset.Store(int64(time.Until(now)))
	}
	return now, err
}

// now is about the database's time.
func (e *Executor) now() time.Time { return time.Now().Add(time.Duration(e.offset.Load())) }

// held is a message that was taken.
type held struct {
	store.Message
	receipt  string
	refusal  string    // why the ledger did not take it
	extended time.Time // when it was hidden last
}

// work takes messages until ctx ends.
func (e *Executor) work(ctx context.Context) error {
	for ctx.Err() == nil {
		if e.open.wait(ctx) != nil {
			return nil //nolint:nilerr // Told to stop.
		}
		idle, before := e.hands.empty(), e.now()
		var got []types.Message
		if err := e.retrying(ctx, func(ctx context.Context) error {
			out, err := e.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
				QueueUrl: &e.url, MaxNumberOfMessages: receiveMost, WaitTimeSeconds: int32(longPoll / time.Second),
				VisibilityTimeout: seconds(e.cfg.Visibility),
				MessageSystemAttributeNames: []types.MessageSystemAttributeName{
					types.MessageSystemAttributeNameSentTimestamp, types.MessageSystemAttributeNameApproximateReceiveCount,
				},
			})
			if err != nil {
				e.fresh.end()
				return explain("receive from "+e.cfg.ScheduleQueueName, err)
			}
			got = out.Messages
			return nil
		}); err != nil {
			return err
		}
		if len(got) == 0 && ctx.Err() != nil {
			continue // Told to stop.
		}
		batch := make([]*held, len(got))
		for i := range got {
			batch[i] = e.hold(&got[i])
		}
		e.hands.take(batch)
		e.listen(idle, before, batch)
		if err := e.tellInTime(ctx); err != nil && ctx.Err() == nil {
			e.falter(ctx, err)
			e.recover(ctx)
		}
		if len(batch) == 0 {
			continue
		}
		e.received <- batch
	}
	return nil
}

// listen notes up to when there is word, after an answer to what was asked at an
// instant: nothing, with nothing in hand before and after it, means that the queue
// was empty then. One that is busy never is; but where nothing old was taken for
// as long as word may be late, nothing old is in it.
func (e *Executor) listen(idle bool, asked time.Time, batch []*held) {
	now := e.now()
	fresh := e.fresh.answered(now, batch)
	switch {
	case len(batch) == 0 && idle && e.hands.empty():
		e.heard.Store(asked.Add(-e.grace()).UnixMicro())
	case now.Sub(fresh) >= e.grace() && now.Sub(e.Heard()) >= e.grace()+heardEvery && now.Sub(e.hands.oldest(now)) <= old:
		e.heard.Store(now.Add(-e.grace()).UnixMicro())
	}
}

const (
	// old is the age at which a message that is taken for the first time says that others wait.
	old = time.Minute
	// heardEvery bounds how often it is looked through what is in hand.
	heardEvery = time.Second
)

// hold reads what SQS says of a message.
func (e *Executor) hold(m *types.Message) *held {
	number := func(name types.MessageSystemAttributeName) int64 {
		n, err := strconv.ParseInt(m.Attributes[string(name)], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	h := &held{receipt: sdk.ToString(m.ReceiptHandle), extended: time.Now()}
	h.ID, h.Body = sdk.ToString(m.MessageId), []byte(sdk.ToString(m.Body))
	h.Receives = int(number(types.MessageSystemAttributeNameApproximateReceiveCount))
	if sent := number(types.MessageSystemAttributeNameSentTimestamp); sent > 0 {
		h.SentAt = time.UnixMilli(sent).UTC()
	}
	var err error
	if h.LaunchPlan, h.Time, err = Decode(h.Body); err != nil {
		h.LaunchPlan, h.Time, h.Problem = ident.Key{}, time.Time{}, err.Error()
	}
	return h
}

// gather adds to a batch what others have taken meanwhile. Where that is much,
// more is about to come, and a moment makes a larger transaction of it.
func (e *Executor) gather(batch []*held) []*held {
	var moment <-chan time.Time
	for len(batch) < mostTaken {
		select {
		case more, ok := <-e.received:
			if !ok {
				return batch
			}
			batch = append(batch, more...)
			continue
		default:
		}
		if len(batch) < much {
			return batch
		}
		if moment == nil {
			moment = time.After(linger)
		}
		select {
		case more, ok := <-e.received:
			if !ok {
				return batch
			}
			batch = append(batch, more...)
		case <-moment:
			return batch
		}
	}
	return batch
}

const (
	// linger is how long more messages are waited for where there were much already.
	linger = 5 * time.Millisecond
	much   = 5 * receiveMost
)

// tell tells the ledger that messages are taken. That is a write, and so says
// whether what comes of them can be recorded.
func (e *Executor) tell(ctx context.Context) error {
	now, err := e.syncClock(ctx)
	if err != nil {
		return err
	}
	if err = e.intake.Attend(ctx, now); err == nil {
		e.told.Store(time.Now().UnixMicro())
	}
	return err
}

// tellEvery is how often the ledger is told.
const tellEvery = 10 * time.Second

func (e *Executor) tellInTime(ctx context.Context) error {
	if time.Since(time.UnixMicro(e.told.Load())) < tellEvery {
		return nil
	}
	return e.tell(ctx)
}

// falter notes that the ledger takes nothing. Nothing is taken from the queue
// until it does.
func (e *Executor) falter(ctx context.Context, err error) {
	e.unkept.begin(ctx, e.log, fmt.Errorf("cannot record messages: %w", err))
	e.fresh.end()
	e.open.close()
}

// recover waits until the ledger can be written to.
func (e *Executor) recover(ctx context.Context) {
	wait := firstWait
	for e.tell(ctx) != nil && sleep(ctx, wait) == nil {
		wait = min(2*wait, lastWait)
	}
	e.unkept.end(ctx, e.log)
	e.open.open()
}

const (
	// The pauses before the ledger is tried again double from the first to the last.
	firstWait = 100 * time.Millisecond
	lastWait  = 2 * time.Second
	// What was taken is held for a while when the ledger fails, which uses up none of its
	// receives, before it goes back, for others to take: the first time, and the longest.
	firstHold = 5 * time.Second
	lastHold  = 5 * time.Minute
	// strangers is how many messages the ledger refuses, and takes none, when it is not about the messages.
	strangers = 3
	// patience is how often a message is received before it is blamed.
	patience = 3
)

// commit gives messages to the ledger and then to be deleted. What the ledger
// refuses while it takes others goes back to the queue for a while, and is set
// aside in the end. While it takes nothing, nothing is taken from the queue.
func (e *Executor) commit(ctx context.Context, batch []*held) {
	e.status.taken(batch)
	batch = e.leaveProbes(ctx, batch)
	if len(batch) == 0 {
		return
	}
	refused, err := e.deliver(ctx, batch)
	if err == nil {
		e.failures = 0
		e.giveBack(ctx, refused)
		return
	}
	e.falter(ctx, err)
	began, hold := time.Now(), min(firstHold<<min(e.failures, 20), lastHold)
	e.failures++
	for wait := firstWait; err != nil && time.Since(began) < hold && sleep(ctx, wait) == nil; wait = min(2*wait, lastWait) {
		if refused, err = e.deliver(ctx, refused); err == nil {
			e.failures = 0
		}
	}
	e.giveBack(ctx, refused)
	e.recover(ctx)
}

// giveBack gives messages back that could not be recorded, the longer the more often they were taken.
func (e *Executor) giveBack(ctx context.Context, batch []*held) {
	after := make(map[time.Duration][]*held)
	for _, h := range batch {
		backoff := min(time.Second<<min(max(h.Receives, 1)-1, 20), mostBackoff)
		after[backoff] = append(after[backoff], h)
	}
	for backoff, some := range after {
		e.release(ctx, some, backoff)
	}
}

// deliver is one transaction, or some where the ledger refuses something in it:
// then halves of it, until what is refused is alone. That is set aside when it was
// refused often enough. An error means that it is not about the messages: the
// ledger took nothing, or cannot be written to.
func (e *Executor) deliver(ctx context.Context, batch []*held) (refused []*held, err error) {
	parts, took := [][]*held{batch}, false
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		failure := e.deliverOnce(ctx, part)
		if failure == nil {
			took = true
			continue
		}
		err = failure
		down := ctx.Err() != nil || errors.Is(failure, store.ErrKept) || e.tell(ctx) != nil
		if half := len(part) / 2; half > 0 && !down {
			parts = slices.Insert(parts, 0, part[:half], part[half:])
			continue
		}
		refused = append(refused, part...)
		if down || (!took && len(refused) >= strangers) {
			return append(refused, slices.Concat(parts...)...), err
		}
		part[0].refusal = failure.Error()
	}
	if !took && len(batch) > 1 {
		return refused, err
	}
	left := refused[:0]
	for _, h := range refused {
		if h.Receives < patience || !e.setAside(ctx, h) {
			left = append(left, h)
		}
	}
	if !took && len(left) > 0 {
		return left, err
	}
	return left, nil
}

// setAside makes a dead letter of a message that the ledger refuses, with nothing
// of it but its body.
func (e *Executor) setAside(ctx context.Context, h *held) bool {
	before := h.Message
	if h.Problem == "" {
		h.Problem = "it could not be recorded: " + h.refusal
	}
	h.LaunchPlan, h.Time = ident.Key{}, time.Time{}
	if e.deliverOnce(ctx, []*held{h}) == nil {
		return true
	}
	h.Message = before
	return false
}

func (e *Executor) deliverOnce(ctx context.Context, batch []*held) error {
	messages := make([]store.Message, len(batch))
	for i, h := range batch {
		messages[i] = h.Message
	}
	now, err := e.syncClock(ctx)
	if err != nil {
		return err
	}
	d, err := e.intake.Deliver(ctx, now, messages)
	if err != nil {
		return err
	}
	e.status.delivered(d)
	if e.Delivered != nil {
		e.Delivered(d)
	}
	if d.SetAside > 0 {
		e.log.WarnContext(ctx, "messages came to nothing and are set aside; look at them with tminus dead-letters list", slog.Int("messages", d.SetAside))
	}
	done, early := split(batch, d.Early)
	e.await(ctx, early, now)
	e.delete(done)
	return nil
}

// delete has messages deleted, as many at once as one request does.
func (e *Executor) delete(batch []*held) {
	for some := range slices.Chunk(batch, deletions) {
		e.recorded <- some
	}
}

// await hides messages, whose slots have not come at now, until they have: each
// time that one is taken counts for those who give it up after some.
func (e *Executor) await(ctx context.Context, early []*held, now time.Time) {
	until := make(map[time.Duration][]*held)
	for _, h := range early {
		wait := h.Time.Sub(now).Truncate(time.Second) + time.Second
		until[wait] = append(until[wait], h)
	}
	for wait, some := range until {
		e.release(ctx, some, wait)
	}
}

// split takes the places out of a batch.
func split(batch []*held, places []int) (rest, taken []*held) {
	next := 0
	for i, h := range batch {
		if next < len(places) && places[next] == i {
			taken, next = append(taken, h), next+1
			continue
		}
		rest = append(rest, h)
	}
	return rest, taken
}

// deletes is how often it is tried to delete messages.
const deletes = 3

// remove deletes messages that the ledger has. What cannot be deleted comes
// again, which is harmless.
func (e *Executor) remove(ctx context.Context, batch []*held) {
	defer e.hands.drop(batch)
	for attempt := range deletes {
		if attempt > 0 && sleep(ctx, time.Duration(attempt)*200*time.Millisecond) != nil {
			return
		}
		entries := make([]types.DeleteMessageBatchRequestEntry, len(batch))
		for i, h := range batch {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: sdk.String(strconv.Itoa(i)), ReceiptHandle: &h.receipt}
		}
		out, err := e.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &e.url, Entries: entries})
		if err != nil {
			if attempt == deletes-1 && ctx.Err() == nil {
				e.log.WarnContext(ctx, "cannot delete messages that are recorded; they come again, and to nothing", slog.Any("error", explain("delete from "+e.cfg.ScheduleQueueName, err)))
			}
			continue
		}
		var left []*held
		for _, f := range out.Failed {
			if i, err := strconv.Atoi(sdk.ToString(f.Id)); err == nil && i >= 0 && i < len(batch) && !f.SenderFault {
				left = append(left, batch[i])
			}
		}
		if len(left) == 0 {
			return
		}
		e.hands.drop(slices.DeleteFunc(slices.Clone(batch), func(h *held) bool { return slices.Contains(left, h) }))
		batch = left
	}
}

// release gives messages back to the queue, to be taken again after a while.
func (e *Executor) release(ctx context.Context, batch []*held, after time.Duration) {
	defer e.hands.drop(batch)
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for some := range slices.Chunk(batch, deletions) {
		if err := e.hide(ctx, some, after); err != nil {
			e.log.DebugContext(ctx, "cannot give messages back; they come again when they are visible", slog.Any("error", err))
		}
	}
}

// seconds are those of a duration of 12 hours at most.
func seconds(d time.Duration) int32 { return int32(min(d, mostVisibility) / time.Second) } //nolint:gosec // Bounded in the line.

// hide sets for how long messages are hidden from now on.
func (e *Executor) hide(ctx context.Context, batch []*held, d time.Duration) error {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(batch))
	for i, h := range batch {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: sdk.String(strconv.Itoa(i)), ReceiptHandle: &h.receipt, VisibilityTimeout: seconds(d),
		}
	}
	_, err := e.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &e.url, Entries: entries})
	return err
}

// extend keeps what is in hand hidden for as long as it is.
func (e *Executor) extend(ctx context.Context) {
	every := e.cfg.Visibility / 3
	for sleep(ctx, every/2) == nil {
		now := time.Now()
		for some := range slices.Chunk(e.hands.since(now.Add(-every)), deletions) {
			if err := e.hide(ctx, some, e.cfg.Visibility); err != nil {
				e.log.WarnContext(ctx, "cannot keep messages hidden that are worked on; others may take them too, which is harmless", slog.Any("error", err))
				break
			}
			e.hands.extended(some, now)
		}
	}
}

// Those who try the whole path in AWS send messages about a launch plan that
// nobody has, and look for them in the queue themselves.
const (
	probeProject = "tminus-doctor"
	probeDomain  = "doctor"
	// probeAgain is how long a message is hidden from them at least. The older it is the longer,
	// so that it is received 20 times at most until nobody looks for it any more.
	probeAgain = 2 * time.Second
)

// leaveProbes leaves the messages of those who try the path in the queue.
func (e *Executor) leaveProbes(ctx context.Context, batch []*held) []*held {
	var rest, young, old []*held
	for _, h := range batch {
		switch {
		case h.LaunchPlan.Project != probeProject || h.LaunchPlan.Domain != probeDomain:
			rest = append(rest, h)
		case time.Since(h.SentAt) < probeLimit:
			young = append(young, h)
		default:
			old = append(old, h)
		}
	}
	for _, h := range young {
		e.release(ctx, []*held{h}, max(probeAgain, time.Since(h.SentAt)/4))
	}
	e.delete(old)
	return rest
}

// measure looks at the queue from outside, as far as that is allowed.
func (e *Executor) measure(ctx context.Context) {
	for {
		out, err := e.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &e.url, AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		}})
		if err != nil && kindOf(err) == denied {
			e.log.InfoContext(ctx, "AWS does not let tminus see how many messages there are (sqs:GetQueueAttributes); it does without")
			return
		}
		if err == nil {
			e.status.measured(out.Attributes)
		}
		if sleep(ctx, measureEvery) != nil {
			return
		}
	}
}

// measureEvery is how often the queue is looked at.
const measureEvery = 30 * time.Second

// gate holds up those who wait while it is closed.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
		g.opened = make(chan struct{})
	default:
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

// wait returns nil once the gate is open.
func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
