package aws_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/invalid"
)

func scheduler() aws.SchedulerConfig {
	return aws.SchedulerConfig{
		Region: "us-east-1", ScheduleRole: "arn:aws:iam::123456789012:role/flyte-schedules",
		TargetName: "arn:aws:sqs:us-east-1:123456789012:flyte-schedules", ScheduleNamePrefix: "flyte",
	}
}

func executor() aws.ExecutorConfig {
	return aws.ExecutorConfig{Region: "us-east-1", ScheduleQueueName: "flyte-schedules", AccountID: "123456789012"}
}

func TestConfigurationIsCheckedByKey(t *testing.T) {
	t.Parallel()
	type halves struct {
		s aws.SchedulerConfig
		e aws.ExecutorConfig
	}
	for _, c := range []struct {
		name, key, want string
		change          func(*halves)
	}{
		{"good", "", "", func(*halves) {}},
		{"China", "", "", func(h *halves) {
			h.s.Region, h.e.Region = "cn-north-1", "cn-north-1"
			h.s.ScheduleRole, h.s.TargetName = "arn:aws-cn:iam::123456789012:role/path/r", "arn:aws-cn:sqs:cn-north-1:123456789012:flyte-schedules"
		}},
		{"EventBridge Scheduler", "", "", func(h *halves) {
			h.s.API, h.s.Group, h.s.DeadLetterQueue = aws.Scheduler, "tminus", "arn:aws:sqs:us-east-1:123456789012:dead"
		}},
		{"no region", "scheduler.eventScheduler.region", "us-east-1", func(h *halves) { h.s.Region = "" }},
		{"a zone for a region", "scheduler.eventScheduler.region", "AWS region", func(h *halves) { h.s.Region = "us-east-1a" }},
		{"no role", "scheduler.eventScheduler.scheduleRole", "ARN of the role", func(h *halves) { h.s.ScheduleRole = "" }},
		{"the name of a role", "scheduler.eventScheduler.scheduleRole", "ARN of the role", func(h *halves) { h.s.ScheduleRole = "flyte-schedules" }},
		{"a user", "scheduler.eventScheduler.scheduleRole", "ARN of the role", func(h *halves) { h.s.ScheduleRole = "arn:aws:iam::123456789012:user/x" }},
		{"a short account", "scheduler.eventScheduler.scheduleRole", "ARN of the role", func(h *halves) { h.s.ScheduleRole = "arn:aws:iam::1234:role/x" }},
		{"another partition", "scheduler.eventScheduler.scheduleRole", "partition", func(h *halves) { h.s.ScheduleRole = "arn:aws-cn:iam::123456789012:role/x" }},
		{"the name of a queue", "scheduler.eventScheduler.targetName", "ARN of the SQS queue", func(h *halves) { h.s.TargetName = "flyte-schedules" }},
		{"the URL of a queue", "scheduler.eventScheduler.targetName", "ARN of the SQS queue", func(h *halves) { h.s.TargetName = "https://sqs.us-east-1.amazonaws.com/123456789012/q" }},
		{"a topic", "scheduler.eventScheduler.targetName", "ARN of the SQS queue", func(h *halves) { h.s.TargetName = "arn:aws:sns:us-east-1:123456789012:t" }},
		{"another region's queue", "scheduler.eventScheduler.targetName", "eu-west-1", func(h *halves) { h.s.TargetName = "arn:aws:sqs:eu-west-1:123456789012:flyte-schedules" }},
		{"a FIFO queue", "scheduler.eventScheduler.targetName", "standard queue", func(h *halves) { h.s.TargetName += ".fifo" }},
		{"a prefix with a space", "scheduler.eventScheduler.scheduleNamePrefix", "letters", func(h *halves) { h.s.ScheduleNamePrefix = "my flyte" }},
		{"a long prefix", "scheduler.eventScheduler.scheduleNamePrefix", "43 is the most", func(h *halves) { h.s.ScheduleNamePrefix = strings.Repeat("x", 44) }},
		{"an API", "scheduler.eventScheduler.api", "rules or scheduler", func(h *halves) { h.s.API = "pipes" }},
		{"a group of rules", "scheduler.eventScheduler.group", "api scheduler", func(h *halves) { h.s.Group = "x" }},
		{"dead letters of rules", "scheduler.eventScheduler.deadLetterQueue", "api scheduler", func(h *halves) { h.s.DeadLetterQueue = "x" }},
		{"dead letters in the queue itself", "scheduler.eventScheduler.deadLetterQueue", "another one", func(h *halves) {
			h.s.API, h.s.DeadLetterQueue = aws.Scheduler, h.s.TargetName
		}},
		{"no URL", "scheduler.eventScheduler.endpoint", "URL", func(h *halves) { h.s.Endpoint = "127.0.0.1:5000" }},
		{"a password in the URL", "scheduler.workflowExecutor.endpoint", "URL", func(h *halves) { h.e.Endpoint = "http://me:s3cret@127.0.0.1:5000" }},
		{"no queue", "scheduler.workflowExecutor.scheduleQueueName", "name of the queue", func(h *halves) { h.e.ScheduleQueueName = "" }},
		{"the ARN of a queue", "scheduler.workflowExecutor.scheduleQueueName", "not its URL or ARN", func(h *halves) { h.e.ScheduleQueueName = h.s.TargetName }},
		{"a FIFO queue to read", "scheduler.workflowExecutor.scheduleQueueName", "standard queue", func(h *halves) { h.e.ScheduleQueueName += ".fifo" }},
		{"an account without quotes", "scheduler.workflowExecutor.accountId", "12 digits", func(h *halves) { h.e.AccountID = "1.23456789012e+11" }},
		{"a short visibility", "scheduler.workflowExecutor.visibility", "10s to 12h", func(h *halves) { h.e.Visibility = time.Second }},
		{"another queue", "scheduler.workflowExecutor.scheduleQueueName", "not read from", func(h *halves) { h.e.ScheduleQueueName = "other" }},
		{"another account", "scheduler.workflowExecutor.accountId", "must be the same", func(h *halves) { h.e.AccountID = "999999999999" }},
		{"another region", "scheduler.workflowExecutor.region", "must be the same", func(h *halves) { h.e.Region = "eu-west-1" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := halves{scheduler(), executor()}
			c.change(&h)
			err := aws.Validate(&h.s, &h.e)
			if c.key == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*invalid.Error](err)
			if !ok || e.Field != c.key || !strings.Contains(e.Problem, c.want) || strings.Contains(e.Problem, "s3cret") {
				t.Errorf("got %v, want %q about %s", err, c.want, c.key)
			}
		})
	}
}
