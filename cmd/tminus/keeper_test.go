package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/aws/awstest"
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

// cloudConfig is a configuration whose time the AWS at url keeps.
func cloudConfig(t *testing.T, data, url string, q *awstest.Queue, events, executor string) string {
	t.Helper()
	return save(t, "tminus.yaml", fmt.Sprintf(`
data: %s
scheduler:
  eventScheduler:
    scheme: %s
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
`, data, events, awstest.Role, q.ARN, q.Name, url, executor, q.Name, awstest.Account, url))
}

// TestServeKeepsTimeWithAWS goes the whole way, from a manifest to an execution:
// AWS is moto, and the test plays EventBridge.
func TestServeKeepsTimeWithAWS(t *testing.T) {
	for _, e := range awstest.Environ() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	moto := awstest.Moto(t)
	q := awstest.NewQueue(t, moto, nil)
	data := filepath.Join(t.TempDir(), "data")
	file := cloudConfig(t, data, moto, q, "aws", "aws")
	p := begin(t, "serve", "--config", file, "--apply", save(t, "beat.yaml", every))
	endpoint := p.wait(`gRPC (\S+)`)
	p.wait(`activated +beat`)
	awstest.Until(t, time.Minute, "told about the rule", func() bool { return len(awstest.RulesOf(t, moto, q.Name)) == 1 })
	rules := awstest.RulesOf(t, moto, q.Name)
	if rules[0].Expression != "rate(1 minute)" || rules[0].Target != q.ARN {
		t.Errorf("the rule is %+v", rules[0])
	}
	due := time.Now().UTC().Truncate(time.Second).Add(time.Second)
	q.Fire(t, due, rules[0], rules[0])
	q.Send(t, "}{ poison")
	p.wait(`succeeded +beat +\S+ +in \S+ +told=` + due.Format("2006-01-02T15:04:05"))
	awstest.Until(t, time.Minute, "empty", func() bool { return q.Size(t) == 0 })
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

	// Without an executor nobody reads the queue, and that is said.
	p = begin(t, "serve", "--config", cloudConfig(t, filepath.Join(t.TempDir(), "data"), moto, q, "aws", "noop"))
	p.wait(`nothing will fire: AWS sends to \S+, and no tminus with scheduler.workflowExecutor.scheme aws has read it`)
	p.end()

	// Tminus keeps time itself again, and takes its rules out of AWS.
	p = begin(t, "serve", "--config", cloudConfig(t, data, moto, q, "local", "local"))
	p.wait(`gRPC (\S+)`)
	awstest.Until(t, time.Minute, "without the rule", func() bool { return len(awstest.RulesOf(t, moto, q.Name)) == 0 })
	p.end()
}

func TestPoliciesAreOfAConfiguration(t *testing.T) {
	q := &awstest.Queue{Name: "flyte-schedules", ARN: "arn:aws:sqs:us-east-1:123456789012:flyte-schedules"}
	file := cloudConfig(t, t.TempDir(), "http://127.0.0.1:1", q, "aws", "noop")
	code, stdout, stderr := once(t, nil, "aws", "policy", "--config", file)
	if code != 0 || !strings.Contains(stdout, `"events:PutRule"`) || strings.Contains(stdout, "sqs:ReceiveMessage") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := once(t, nil, "aws", "policy"); code != 1 || !strings.Contains(stderr, "--config") {
		t.Errorf("without AWS: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := once(t, nil, "serve", "--config", cloudConfig(t, t.TempDir(), "http://127.0.0.1:1", q, "aws", "local")); code != 1 || !strings.Contains(stderr, "use aws, or noop where another process reads the queue") {
		t.Errorf("halves that do not belong together: exit code %d, %s", code, stderr)
	}
}
