package aws_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/aws"
)

// TestPoliciesAreTheLeast lists whom the policies let do what.
func TestPoliciesAreTheLeast(t *testing.T) {
	t.Parallel()
	s, e := scheduler(), executor()
	big := s
	big.API, big.Group, big.DeadLetterQueue = aws.Scheduler, "tminus", "arn:aws:sqs:us-east-1:123456789012:dead"
	bare := s
	bare.ScheduleNamePrefix = ""
	const rules = "arn:aws:events:us-east-1:123456789012:rule/flyte_*"
	const queue = "arn:aws:sqs:us-east-1:123456789012:flyte-schedules"
	sends := []string{
		"the role " + s.ScheduleRole + ": service events.amazonaws.com may sts:AssumeRole if aws:SourceAccount is 123456789012",
		"the role " + s.ScheduleRole + ": sqs:SendMessage on " + queue,
		"the queue " + queue + ": service events.amazonaws.com may sqs:SendMessage on " + queue + " if aws:SourceArn is " + rules + " and aws:SourceAccount is 123456789012",
	}
	puts := []string{
		"tminus: events:PutRule events:PutTargets events:DeleteRule events:RemoveTargets on " + rules,
		"tminus: events:DescribeRule events:ListTargetsByRule on " + rules,
		"tminus: events:ListRules on *",
		"tminus: iam:PassRole on " + s.ScheduleRole + " if iam:PassedToService is events.amazonaws.com",
	}
	reads := []string{
		"tminus: sqs:ReceiveMessage sqs:DeleteMessage sqs:ChangeMessageVisibility sqs:GetQueueUrl on " + queue,
		"tminus: sqs:GetQueueAttributes on " + queue,
	}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, c := range []struct {
		name string
		s    *aws.SchedulerConfig
		e    *aws.ExecutorConfig
		want []string
	}{
		{"both halves", &s, &e, join(sends, puts, reads)},
		{"the event scheduler", &s, nil, join(sends, puts)},
		{"the executor", nil, &e, reads},
		{"EventBridge Scheduler", &big, nil, []string{
			"the role " + s.ScheduleRole + ": service scheduler.amazonaws.com may sts:AssumeRole if aws:SourceAccount is 123456789012",
			"the role " + s.ScheduleRole + ": sqs:SendMessage on " + queue + " " + big.DeadLetterQueue,
			"tminus: scheduler:CreateSchedule scheduler:UpdateSchedule scheduler:DeleteSchedule scheduler:GetSchedule on arn:aws:scheduler:us-east-1:123456789012:schedule/tminus/flyte_*",
			"tminus: scheduler:ListSchedules on *",
			"tminus: iam:PassRole on " + s.ScheduleRole + " if iam:PassedToService is scheduler.amazonaws.com",
		}},
	} {
		policies, err := aws.Policies(c.s, c.e)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range policies {
			got = append(got, tell(t, p)...)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	policies, err := aws.Policies(&bare, nil)
	if err != nil || !strings.Contains(policies[2].Document, "rule/*") {
		t.Errorf("without a prefix: %v (%v)", policies, err)
	}
	if _, err := aws.Policies(&aws.SchedulerConfig{}, nil); err == nil {
		t.Error("a configuration without anything has policies")
	}
}

func TestPoliciesAreOfThePartition(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"eu-central-1": "aws", "il-central-1": "aws", "xx-nowhere-9": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov",
		"us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b", "us-isof-south-1": "aws-iso-f", "eusc-de-east-1": "aws-eusc",
	} {
		e := executor()
		e.Region = region
		s := scheduler()
		s.Region, s.TargetName = region, "arn:aws-other:sqs:"+region+":123456789012:flyte-schedules"
		for _, c := range []struct {
			s    *aws.SchedulerConfig
			want string
		}{{nil, want}, {&s, "aws-other"}} {
			policies, err := aws.Policies(c.s, &e)
			if err != nil {
				t.Fatal(err)
			}
			if queue := "arn:" + c.want + ":sqs:" + region + ":"; !strings.Contains(policies[len(policies)-1].Document, queue) {
				t.Errorf("%s: want %s in %s", region, queue, policies[len(policies)-1].Document)
			}
		}
	}
}

var actions = regexp.MustCompile(`"([a-z]+:[A-Z][A-Za-z]+)"`)

// TestTheTerraformModuleAllowsTheSame compares the actions of deploy/terraform/aws with those of Policies.
func TestTheTerraformModuleAllowsTheSame(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("../../deploy/terraform/aws/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	of := func(text string) (all []string) {
		for _, m := range actions.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(m[1], "aws:") && m[1] != "iam:PassedToService" {
				all = append(all, m[1])
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	s, e := scheduler(), executor()
	big := s
	big.API = aws.Scheduler
	var documents strings.Builder
	for _, c := range []*aws.SchedulerConfig{&s, &big} {
		policies, err := aws.Policies(c, &e)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range policies {
			documents.WriteString(p.Document)
		}
	}
	if diff := cmp.Diff(of(documents.String()), of(string(module))); diff != "" {
		t.Errorf("(-tminus aws policy +the module):\n%s", diff)
	}
}

// tell says what each statement of a policy allows.
func tell(t *testing.T, p aws.Policy) (lines []string) {
	t.Helper()
	var d struct {
		Version   string
		Statement []struct {
			Effect           string
			Principal        map[string]string
			Action, Resource []string
			Condition        map[string]map[string]string
		}
	}
	if err := json.Unmarshal([]byte(p.Document), &d); err != nil || d.Version != "2012-10-17" {
		t.Fatalf("%s: %v\n%s", p.Name, err, p.Document)
	}
	where := strings.Replace(p.Where, "the identity that tminus runs as", "tminus", 1)
	for _, s := range d.Statement {
		line := where + ": "
		if service := s.Principal["Service"]; service != "" {
			line += "service " + service + " may "
		}
		line += strings.Join(s.Action, " ")
		if len(s.Resource) > 0 {
			line += " on " + strings.Join(s.Resource, " ")
		}
		var conditions []string
		for _, operator := range []string{"ArnLike", "StringEquals"} {
			for key, value := range s.Condition[operator] {
				conditions = append(conditions, key+" is "+value)
			}
		}
		if len(conditions) > 0 {
			line += " if " + strings.Join(conditions, " and ")
		}
		if s.Effect != "Allow" {
			line += " " + s.Effect
		}
		lines = append(lines, line)
	}
	return lines
}
