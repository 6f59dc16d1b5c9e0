package aws

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Policy is a document of IAM, or of a queue.
type Policy struct {
	// Name says what it is, Where what to attach it to.
	Name, Where string
	Document    string
}

// Policies are the least that a configuration needs: of the process, of the role
// with which AWS sends, and of the queue. A half that is nil is another process's.
func Policies(s *SchedulerConfig, e *ExecutorConfig) ([]Policy, error) {
	var all []Policy
	add := func(name, where string, statements ...statement) {
		all = append(all, Policy{name, where, document(statements)})
	}
	var process []statement
	var target arn
	if s != nil {
		var ok bool
		if target, ok = parseARN(s.TargetName); !ok {
			return nil, s.Validate()
		}
		things, sender := s.things(), "events.amazonaws.com"
		if s.api() == Scheduler {
			sender = "scheduler.amazonaws.com"
			process = append(process,
				statement{Sid: "Schedules", Action: []string{"scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule", "scheduler:GetSchedule"}, Resource: []string{things}},
				statement{Sid: "SchedulesList", Action: []string{"scheduler:ListSchedules"}, Resource: []string{"*"}})
		} else {
			process = append(process,
				statement{Sid: "Rules", Action: []string{"events:PutRule", "events:PutTargets", "events:DeleteRule", "events:RemoveTargets"}, Resource: []string{things}},
				statement{Sid: "RulesOptional", Action: []string{"events:DescribeRule", "events:ListTargetsByRule"}, Resource: []string{things}},
				statement{Sid: "RulesListOptional", Action: []string{"events:ListRules"}, Resource: []string{"*"}})
		}
		process = append(process, statement{
			Sid: "PassRole", Action: []string{"iam:PassRole"}, Resource: []string{s.ScheduleRole},
			Condition: condition{"StringEquals": {"iam:PassedToService": sender}},
		})
		add("trust policy", "the role "+s.ScheduleRole, statement{
			Sid: "Assume", Principal: map[string]string{"Service": sender}, Action: []string{"sts:AssumeRole"},
			Condition: condition{"StringEquals": {"aws:SourceAccount": target.account}},
		})
		send := statement{Sid: "Send", Action: []string{"sqs:SendMessage"}, Resource: []string{s.TargetName}}
		if s.DeadLetterQueue != "" {
			send.Resource = append(send.Resource, s.DeadLetterQueue)
		}
		add("policy", "the role "+s.ScheduleRole, send)
		if s.api() != Scheduler { // EventBridge Scheduler sends with the role alone.
			add("access policy", "the queue "+s.TargetName, statement{
				Sid: "FromRules", Principal: map[string]string{"Service": sender}, Action: []string{"sqs:SendMessage"}, Resource: []string{s.TargetName},
				Condition: condition{"ArnLike": {"aws:SourceArn": things}, "StringEquals": {"aws:SourceAccount": target.account}},
			})
		}
	}
	if e != nil {
		partition := partitionOf(e.Region)
		if s != nil {
			partition = target.partition
		}
		queue := fmt.Sprintf("arn:%s:sqs:%s:%s:%s", partition, e.Region, e.AccountID, e.ScheduleQueueName)
		process = append(process,
			statement{Sid: "Queue", Action: []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueUrl"}, Resource: []string{queue}},
			statement{Sid: "QueueOptional", Action: []string{"sqs:GetQueueAttributes"}, Resource: []string{queue}})
	}
	if len(process) > 0 {
		add("policy", "the identity that tminus runs as", process...)
	}
	return all, nil
}

// partitionOf is the part of AWS that a region is in, by the SDK's table: aws, aws-cn and so on.
func partitionOf(region string) string {
	at, err := sqs.NewDefaultEndpointResolver().ResolveEndpoint(region, sqs.EndpointResolverOptions{})
	if err != nil {
		return "aws" // It knows no endpoint in any other.
	}
	return at.PartitionID
}

// things are the ARNs of what tminus puts, with a * for what it does not know.
func (c SchedulerConfig) things() string {
	target, _ := parseARN(c.TargetName)
	name := prefixed(c.ScheduleNamePrefix, "*")
	if c.api() == Scheduler {
		return fmt.Sprintf("arn:%s:scheduler:%s:%s:schedule/%s/%s", target.partition, target.region, target.account, cmp.Or(c.Group, defaultGroup), name)
	}
	return fmt.Sprintf("arn:%s:events:%s:%s:rule/%s", target.partition, target.region, target.account, name)
}

// condition is operators, with the keys and values that each compares.
type condition map[string]map[string]string

type statement struct {
	Sid       string            `json:"Sid"`
	Effect    string            `json:"Effect"`
	Principal map[string]string `json:"Principal,omitempty"`
	Action    []string          `json:"Action"`
	Resource  []string          `json:"Resource,omitempty"`
	Condition condition         `json:"Condition,omitempty"`
}

// document is a policy with statements, each of which allows something.
func document(statements []statement) string {
	for i := range statements {
		statements[i].Effect = "Allow"
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(struct { //nolint:errcheck,errchkjson // Texts, into memory.
		Version   string
		Statement []statement
	}{"2012-10-17", statements})
	return strings.TrimSuffix(b.String(), "\n")
}
