// Command awsbench measures how many messages a second an executor takes from an
// SQS queue to the ledger, on SQLite and PostgreSQL, beside what the SDK can
// receive and delete at most, from the same queue in the same run: one in memory
// that answers at once. Runs of both take turns; medians are printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/aws/awstest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
	"tminus.dev/internal/store/sqlite"
)

func main() {
	messages := flag.Int("messages", 40_000, "messages of each run")
	runs := flag.Int("runs", 5, "runs of each")
	workers := flag.Int("workers", 4, "requests for messages that are open at once")
	profile := flag.String("profile", "", "file for a profile of the executor's runs; none if empty")
	flag.Parse()
	if err := awstest.Setenv(); err != nil {
		fail(err)
	}
	if err := run(context.Background(), os.Stdout, *messages, *runs, *workers, *profile); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "awsbench:", err)
	os.Exit(1)
}

// database is one to deliver to.
type database interface {
	aws.Intake
	CreatePlan(ctx context.Context, p store.Plan) error
	Activate(ctx context.Context, id ident.ID, spec *schedule.Spec, c store.Change) error
	Beat(ctx context.Context, session int64, now time.Time, lease time.Duration) (store.Beat, error)
	KeepTime(ctx context.Context, k store.Keeper, now time.Time) (int, error)
	Close() error
}

// slots is how many minutes each launch plan has a message about in one run: first
// all launch plans of the first minute, then all of the next.
const slots = 4

func run(ctx context.Context, out io.Writer, messages, runs, workers int, profile string) (err error) {
	queue, err := awstest.NewStub()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	if profile != "" {
		f, err := os.Create(filepath.Clean(profile))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Fprintf(out, "%d messages of each run, %d workers, medians of %d runs\n\n", messages, workers, runs)
	fmt.Fprintln(out, "| database | messages/s | the SDK alone | ratio |\n| --- | --- | --- | --- |")
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		if err := compare(ctx, out, name, queue, messages, runs, workers); err != nil {
			return err
		}
	}
	return nil
}

// compare measures one database.
func compare(ctx context.Context, out io.Writer, name string, queue *awstest.Stub, messages, runs, workers int) (err error) {
	db, closeAll, err := open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	if err := prepare(ctx, db, messages/slots); err != nil {
		return err
	}
	var ours, ceiling []float64
	first := time.Now().Truncate(time.Minute).Add(-time.Duration(slots*runs) * time.Minute)
	for r := range runs {
		all, err := bodies(messages, first.Add(time.Duration(r*slots)*time.Minute))
		if err != nil {
			return err
		}
		c, err := receiveAndDelete(ctx, queue, all, workers)
		if err != nil {
			return err
		}
		o, err := execute(ctx, db, queue, all, workers)
		if err != nil {
			return err
		}
		ours, ceiling = append(ours, o), append(ceiling, c)
	}
	slices.Sort(ours)
	slices.Sort(ceiling)
	o, c := ours[len(ours)/2], ceiling[len(ceiling)/2]
	fmt.Fprintf(out, "| %s | %.0f | %.0f | %.2f |\n", name, o, c, o/c)
	return nil
}

// bodies are messages about some minutes of launch plans.
func bodies(messages int, first time.Time) ([]string, error) {
	all := make([]string, 0, messages)
	for minute := range slots {
		for i := range messages / slots {
			template, err := aws.Template(plan(i), "kickoff_time")
			if err != nil {
				return nil, err
			}
			all = append(all, awstest.Rule{Template: template}.Body(first.Add(time.Duration(minute)*time.Minute)))
		}
	}
	return all, nil
}

func plan(i int) ident.Key {
	return ident.Key{Project: "default", Domain: "development", Name: "plan-" + strconv.Itoa(i)}
}

// receiveAndDelete is how many messages the SDK receives and deletes in a second,
// with as many requests at once as the executor has.
func receiveAndDelete(ctx context.Context, queue *awstest.Stub, all []string, workers int) (float64, error) {
	messages := len(all)
	queue.Put(all...)
	client := sqs.NewFromConfig(awstest.Config(), func(o *sqs.Options) { o.BaseEndpoint = &queue.URL })
	url := queue.URL + "/queue"
	begin := time.Now()
	var left atomic.Int64
	left.Store(int64(messages))
	received := make(chan []types.Message, 100)
	var receiving, deleting sync.WaitGroup
	var failed atomic.Pointer[error]
	for range workers {
		receiving.Go(func() {
			for left.Load() > 0 {
				out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
					QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 60, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
				})
				if err != nil {
					failed.Store(&err)
					return
				}
				left.Add(-int64(len(out.Messages)))
				received <- out.Messages
			}
		})
	}
	for range 8 {
		deleting.Go(func() {
			for some := range received {
				if len(some) == 0 {
					continue
				}
				entries := make([]types.DeleteMessageBatchRequestEntry, len(some))
				for i := range some {
					entries[i] = types.DeleteMessageBatchRequestEntry{Id: sdk.String(strconv.Itoa(i)), ReceiptHandle: some[i].ReceiptHandle}
				}
				if _, err := client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	receiving.Wait()
	close(received)
	deleting.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(messages) / time.Since(begin).Seconds(), nil
}

// execute is how many messages an executor takes to a database in a second.
func execute(ctx context.Context, db database, queue *awstest.Stub, all []string, workers int) (rate float64, err error) {
	messages := len(all)
	if _, err := db.Beat(ctx, 0, time.Now(), time.Hour); err != nil { // Somebody is still there.
		return 0, err
	}
	e, err := aws.NewExecutor(db, aws.ExecutorConfig{
		Region: awstest.Region, ScheduleQueueName: "queue", AccountID: awstest.Account, Endpoint: queue.URL, Workers: workers,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	begin := time.Now()
	queue.Put(all...)
	go func() { done <- e.Run(running) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for queue.Size() > 0 {
		<-tick.C
	}
	rate = float64(messages) / time.Since(begin).Seconds()
	stop()
	if err := <-done; err != nil {
		return 0, err
	}
	if s := e.Status(); s.Recorded != int64(messages) {
		return 0, fmt.Errorf("%d of %d messages were recorded: %+v", s.Recorded, messages, s)
	}
	return rate, nil
}

func open(ctx context.Context, name string) (database, func() error, error) { //nolint:ireturn // Which of the two it is matters to nobody.
	if name == "SQLite" {
		dir, err := os.MkdirTemp("", "awsbench")
		if err != nil {
			return nil, nil, err
		}
		db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
		return db, func() error { return errors.Join(db.Close(), os.RemoveAll(dir)) }, err
	}
	server, err := postgrestest.Run(map[string]string{"shared_buffers": "1GB", "max_wal_size": "4GB"}) //nolint:contextcheck // It ends with this process.
	if err != nil {
		return nil, nil, err
	}
	url, err := server.Create() //nolint:contextcheck // Likewise.
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: url})
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	return db, func() error { return errors.Join(db.Close(), server.Close()) }, nil
}

// prepare activates launch plans that come due every minute, two hours ago.
func prepare(ctx context.Context, db database, plans int) error {
	now := time.Now()
	begin := now.Add(-2 * time.Hour)
	if _, err := db.KeepTime(ctx, store.KeeperAWS, begin); err != nil {
		return err
	}
	for at := begin; !at.After(now); at = at.Add(30 * time.Second) { // Somebody has been there all the time.
		if _, err := db.Beat(ctx, 0, at, time.Hour); err != nil {
			return err
		}
	}
	for i := range plans {
		id := ident.ID{Key: plan(i), Version: "v1"}
		if err := db.CreatePlan(ctx, store.Plan{ID: id, Workflow: id, CreatedAt: begin, UpdatedAt: begin}); err != nil {
			return err
		}
		if err := db.Activate(ctx, id, &schedule.Spec{Expression: "* * * * ? *", KickoffInput: "kickoff_time"}, store.Change{At: begin}); err != nil {
			return err
		}
	}
	return nil
}
