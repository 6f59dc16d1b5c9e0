// Package awstest stands for AWS in tests: a real server of moto, which speaks
// AWS's wire, a proxy before it that can do what AWS does on a bad day, and a
// player of EventBridge, which moto does not make come due. All listens on
// loopback only, and ends with the process that started it, however that ends.
package awstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Account and Region are those of moto, and Role is a role that it takes.
const (
	Account = "123456789012"
	Region  = "us-east-1"
	Role    = "arn:aws:iam::" + Account + ":role/flyte-schedules"
)

// Setenv gives this process, and those that it starts, credentials that moto
// takes, in the variables of the SDK, and keeps the SDK from looking for others.
func Setenv() error {
	for name, value := range map[string]string{ //nolint:gosec // They open nothing.
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// Main runs the tests of a package after Setenv; its TestMain calls it.
func Main(m *testing.M) {
	if err := Setenv(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var (
	server = sync.OnceValues(start)
	held   io.Closer //nolint:unused // What the server reads: it ends when this does.
)

// Moto is the URL of a server of moto that all tests of a binary share.
func Moto(tb testing.TB) string {
	tb.Helper()
	url, err := server()
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// motoScript serves until its standard input ends, which it does with its parent.
const motoScript = `
import logging, sys
logging.getLogger("werkzeug").disabled = True
from moto.server import ThreadedMotoServer
s = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
s.start()
print("http://%s:%d" % s.get_host_and_port(), flush=True)
sys.stdin.read()
s.stop()
`

func start() (url string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start moto, which make test installs: %w", err)
		}
	}()
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	python, err := exec.CommandContext(ctx, filepath.Join(root, "scripts", "install-moto")).Output() //nolint:gosec // Our own script.
	if err != nil {
		return "", err
	}
	moto := exec.Command(strings.TrimSpace(string(python)), "-c", motoScript) //nolint:gosec,noctx // It ends with this process.
	moto.Stderr = io.Discard
	if held, err = moto.StdinPipe(); err != nil {
		return "", err
	}
	out, err := moto.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := moto.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", errors.Join(err, moto.Process.Kill())
	}
	return strings.TrimSpace(line), nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "scripts", "install-moto")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("there is no scripts/install-moto above this package")
		}
		dir = parent
	}
}

// Config is that of an SDK whose requests go to a URL.
func Config() sdk.Config {
	return sdk.Config{
		Region: Region, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient: &http.Client{Timeout: time.Minute},
	}
}

// Queue is an SQS queue for one test.
type Queue struct {
	Name, ARN, URL string
	Client         *sqs.Client
}

var queues atomic.Int64

// NewQueue makes a queue in the AWS at url, with attributes as SQS names them.
func NewQueue(tb testing.TB, url string, attributes map[string]string) *Queue {
	tb.Helper()
	client := sqs.NewFromConfig(Config(), func(o *sqs.Options) { o.BaseEndpoint = &url })
	name := fmt.Sprintf("flyte-schedules-%d-%d", os.Getpid(), queues.Add(1))
	out, err := client.CreateQueue(tb.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		tb.Fatal(err)
	}
	return &Queue{name, "arn:aws:sqs:" + Region + ":" + Account + ":" + name, *out.QueueUrl, client}
}

// Send puts bodies into the queue, in order, and returns the IDs of the messages.
func (q *Queue) Send(tb testing.TB, bodies ...string) (ids []string) {
	tb.Helper()
	for some := range slices.Chunk(bodies, mostEntries) {
		entries := make([]types.SendMessageBatchRequestEntry, len(some))
		for i := range some {
			entries[i] = types.SendMessageBatchRequestEntry{Id: sdk.String(strconv.Itoa(i)), MessageBody: &some[i]}
		}
		out, err := q.Client.SendMessageBatch(tb.Context(), &sqs.SendMessageBatchInput{QueueUrl: &q.URL, Entries: entries})
		if err != nil || len(out.Failed) > 0 {
			tb.Fatalf("send: %v %v", err, out)
		}
		for _, s := range out.Successful {
			ids = append(ids, *s.MessageId)
		}
	}
	return ids
}

// Size is how many messages the queue has, those included that somebody has taken.
func (q *Queue) Size(tb testing.TB) int {
	tb.Helper()
	out, err := q.Client.GetQueueAttributes(tb.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		tb.Fatal(err)
	}
	var visible, hidden int
	if _, err := fmt.Sscan(out.Attributes["ApproximateNumberOfMessages"], &visible); err != nil {
		tb.Fatal(err)
	}
	if _, err := fmt.Sscan(out.Attributes["ApproximateNumberOfMessagesNotVisible"], &hidden); err != nil {
		tb.Fatal(err)
	}
	return visible + hidden
}
