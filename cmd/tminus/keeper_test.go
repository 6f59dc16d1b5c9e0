package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/aws/awstest"
	"tminus.dev/internal/store/postgres/postgrestest"
)

const every = `
launchPlan: beat
schedule: {rate: 1 minute, kickoffTimeInput: at}
workflow:
  inputs: {at: datetime}
  nodes:
    - id: tell
      inputs: {at: "${inputs.at}"}
      command: [sh, -c, 'echo "$1" > "$TMINUS_OUTPUT_DIR/told"', tell, "{{.inputs.at}}"]
      outputs: {told: string}
  outputs: {told: "${nodes.tell.told}"}
`

// cloud is an AWS, and where a tminus keeps its things.
type cloud struct {
	url, data, database, api string
	queue                    *awstest.Queue
}

// config is a configuration whose time AWS keeps.
func (c cloud) config(t *testing.T, events, executor string) string {
	t.Helper()
	return save(t, "tminus.yaml", fmt.Sprintf(`
data: %s
database: {url: %q}
scheduler:
  eventScheduler:
    scheme: %s
    api: %s
    aws:
      region: us-east-1
      scheduleRole: %s
      targetName: %s
      scheduleNamePrefix: %s
      endpoint: %s
  workflowExecutor:
    scheme: %s
    aws:
      region: us-east-1
      scheduleQueueName: %s
      accountId: "%s"
      endpoint: %s
`, c.data, c.database, events, cmp.Or(c.api, "rules"), awstest.Role, c.queue.ARN, c.queue.Name, c.url, executor, c.queue.Name, awstest.Account, c.url))
}

// rules are what AWS holds.
func (c cloud) rules(t *testing.T) []awstest.Rule {
	t.Helper()
	if c.api == "scheduler" {
		return awstest.SchedulesOf(t, c.url, "default", c.queue.Name)
	}
	return awstest.RulesOf(t, c.url, c.queue.Name)
}

// rule waits until AWS holds a rule that sends to the queue.
func (c cloud) rule(t *testing.T) (r awstest.Rule) {
	t.Helper()
	awstest.Until(t, time.Minute, "told about the rule", func() bool {
		rules := c.rules(t)
		if len(rules) == 1 {
			r = rules[0]
		}
		return r.Target == c.queue.ARN
	})
	return r
}

func TestMain(m *testing.M) { awstest.Main(m) }

// inTheCloud is an AWS with a queue, and a place for a tminus.
func inTheCloud(t *testing.T) cloud {
	t.Helper()
	moto := awstest.Moto(t)
	return cloud{url: moto, data: filepath.Join(t.TempDir(), "data"), queue: awstest.NewQueue(t, moto, nil)}
}

// TestServeKeepsTimeWithAWS goes the whole way, from a manifest to an execution:
// AWS is moto, and the test plays EventBridge.
func TestServeKeepsTimeWithAWS(t *testing.T) {
	for _, api := range []string{"rules", "scheduler"} {
		t.Run(api, func(t *testing.T) {
			c := inTheCloud(t)
			c.api = api
			p := begin(t, "serve", "--config", c.config(t, "aws", "aws"), "--apply", save(t, "beat.yaml", every))
			endpoint := p.wait(`gRPC (\S+)`)
			p.wait(`activated +beat`)
			rule := c.rule(t)
			if rule.Expression != "rate(1 minute)" {
				t.Errorf("the rule is %+v", rule)
			}
			due := time.Now().UTC().Truncate(time.Second).Add(time.Second)
			c.queue.Fire(t, due, rule, rule)
			c.queue.Send(t, "}{ poison")
			p.wait(`succeeded +beat +\S+ +in \S+ +told=` + due.Format("2006-01-02T15:04:05"))
			awstest.Until(t, time.Minute, "empty", func() bool { return c.queue.Size(t) == 0 })
			code, stdout, stderr := once(t, nil, "firings", "list", "beat", "--endpoint", endpoint)
			if n := strings.Count(stdout, "launched"); code != 0 || n != 1 {
				t.Errorf("%d are launched: exit code %d\n%s%s", n, code, stdout, stderr)
			}
			if code, stdout, stderr := once(t, nil, "dead-letters", "list", "--endpoint", endpoint); code != 0 || !strings.Contains(stdout, "no JSON object") {
				t.Errorf("dead letters: exit code %d\n%s%s", code, stdout, stderr)
			}
			if code, stdout, stderr := once(t, nil, "aws", "diff", "--endpoint", endpoint); code != 0 || !strings.Contains(stdout, "1 compared") {
				t.Errorf("diff: exit code %d\n%s%s", code, stdout, stderr)
			}
			p.end()

			// Tminus keeps time itself again, and takes its rules out of AWS.
			p = begin(t, "serve", "--config", c.config(t, "local", "local"))
			p.wait(`gRPC (\S+)`)
			awstest.Until(t, time.Minute, "without the rule", func() bool { return len(c.rules(t)) == 0 })
			p.end()
		})
	}
}

// TestTheHalvesMayBeTwoProcesses has one tell AWS what to hold and another read
// the queue, on one database.
func TestTheHalvesMayBeTwoProcesses(t *testing.T) {
	c := inTheCloud(t)
	c.database = postgrestest.Shared(t).Empty(t)
	events := begin(t, "serve", "--config", c.config(t, "aws", "noop"), "--apply", save(t, "beat.yaml", every))
	events.wait(`nothing will fire: AWS sends to \S+, and no tminus with scheduler.workflowExecutor.scheme aws has read it`)
	endpoint := events.wait(`gRPC (\S+)`)
	events.wait(`activated +beat`)
	rule := c.rule(t)
	silent := func() bool {
		code, stdout, stderr := once(t, nil, "schedules", "get", "beat", "--endpoint", endpoint)
		if code != 0 {
			t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
		}
		return strings.Contains(stdout, "nothing will fire")
	}
	if !silent() {
		t.Error("it is not said that nobody reads the queue")
	}
	c.data = filepath.Join(t.TempDir(), "other")
	executor := begin(t, "serve", "--config", c.config(t, "noop", "aws"))
	executor.wait(`gRPC (\S+)`)
	awstest.Until(t, time.Minute, "read", func() bool { return !silent() })
	due := time.Now().UTC().Truncate(time.Second).Add(time.Second)
	c.queue.Fire(t, due, rule)
	executor.wait(`succeeded +beat +\S+ +in \S+ +told=` + due.Format("2006-01-02T15:04:05"))

	// One that keeps time itself has no business here.
	if code, _, stderr := once(t, nil, "serve", "--config", c.config(t, "local", "local"), "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"); code != 1 || !strings.Contains(stderr, "scheduler.eventScheduler.scheme: ") || !strings.Contains(stderr, "time is kept by another: aws") {
		t.Errorf("another keeper: exit code %d, %s", code, stderr)
	}
	executor.end()
	events.end()
}

func TestPoliciesAreOfAConfiguration(t *testing.T) {
	c := cloud{url: "http://127.0.0.1:1", data: t.TempDir(), queue: &awstest.Queue{Name: "flyte-schedules", ARN: "arn:aws:sqs:us-east-1:123456789012:flyte-schedules"}}
	file := c.config(t, "aws", "noop")
	code, stdout, stderr := once(t, nil, "aws", "policy", "--config", file)
	if code != 0 || !strings.Contains(stdout, `"events:PutRule"`) || strings.Contains(stdout, "sqs:ReceiveMessage") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := once(t, nil, "aws", "policy"); code != 1 || !strings.Contains(stderr, "--config") {
		t.Errorf("without AWS: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := once(t, nil, "serve", "--config", c.config(t, "aws", "local")); code != 1 || !strings.Contains(stderr, "use aws, or noop where another process reads the queue") {
		t.Errorf("halves that do not belong together: exit code %d, %s", code, stderr)
	}
}
