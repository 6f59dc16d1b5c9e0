package awstest

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	etypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	stypes "github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

// Rule is what AWS holds under a name: a rule with its target, or a schedule.
type Rule struct {
	Name, Description, Expression, Timezone, Role string
	Disabled                                      bool
	// Target is the ARN that it sends to, Template what it sends; both are empty without a target.
	Target, Template string
}

// rulesAt and schedulesAt are the APIs of rules and schedules in the AWS at url.
func rulesAt(url string) *eventbridge.Client {
	return eventbridge.NewFromConfig(Config(), func(o *eventbridge.Options) { o.BaseEndpoint = &url })
}

func schedulesAt(url string) *scheduler.Client {
	return scheduler.NewFromConfig(Config(), func(o *scheduler.Options) { o.BaseEndpoint = &url })
}

// RulesOf are the rules in the AWS at url whose names begin with a prefix, by name.
func RulesOf(tb testing.TB, url, prefix string) (rules []Rule) {
	tb.Helper()
	client := rulesAt(url)
	in := &eventbridge.ListRulesInput{NamePrefix: &prefix}
	for {
		page, err := client.ListRules(tb.Context(), in)
		if err != nil {
			tb.Fatal(err)
		}
		for _, r := range page.Rules {
			rule := Rule{
				Name: *r.Name, Description: sdk.ToString(r.Description), Expression: sdk.ToString(r.ScheduleExpression), Role: sdk.ToString(r.RoleArn),
				Disabled: r.State == etypes.RuleStateDisabled,
			}
			targets, err := client.ListTargetsByRule(tb.Context(), &eventbridge.ListTargetsByRuleInput{Rule: r.Name})
			if _, gone := errors.AsType[*etypes.ResourceNotFoundException](err); gone {
				continue // It was removed in between.
			}
			if err != nil {
				tb.Fatal(err)
			}
			for _, t := range targets.Targets {
				rule.Target = sdk.ToString(t.Arn)
				if t.InputTransformer != nil {
					rule.Template = sdk.ToString(t.InputTransformer.InputTemplate)
				}
			}
			rules = append(rules, rule)
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Name, b.Name) })
			return rules
		}
	}
}

// SchedulesOf are the schedules of EventBridge Scheduler in a group.
func SchedulesOf(tb testing.TB, url, group, prefix string) (rules []Rule) {
	tb.Helper()
	client := schedulesAt(url)
	page, err := client.ListSchedules(tb.Context(), &scheduler.ListSchedulesInput{GroupName: &group})
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range page.Schedules {
		if !strings.HasPrefix(*s.Name, prefix) {
			continue
		}
		got, err := client.GetSchedule(tb.Context(), &scheduler.GetScheduleInput{Name: s.Name, GroupName: &group})
		if _, gone := errors.AsType[*stypes.ResourceNotFoundException](err); gone {
			continue // It was removed in between.
		}
		if err != nil {
			tb.Fatal(err)
		}
		rules = append(rules, Rule{
			Name: *got.Name, Description: sdk.ToString(got.Description), Expression: sdk.ToString(got.ScheduleExpression), Timezone: sdk.ToString(got.ScheduleExpressionTimezone),
			Role: sdk.ToString(got.Target.RoleArn), Disabled: got.State == stypes.ScheduleStateDisabled, Target: sdk.ToString(got.Target.Arn), Template: sdk.ToString(got.Target.Input),
		})
	}
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Name, b.Name) })
	return rules
}

// Body is what r sends when it comes due at an instant.
func (r Rule) Body(at time.Time) string {
	stamp := at.UTC().Format("2006-01-02T15:04:05Z")
	quoted, _ := json.Marshal(stamp) //nolint:errcheck,errchkjson // A string.
	return strings.NewReplacer("<time>", string(quoted), "<aws.scheduler.scheduled-time>", stamp).Replace(r.Template)
}

// Fire has rules that are not disabled send to a queue, if it is theirs, as they do when they come due at an instant.
func (q *Queue) Fire(tb testing.TB, at time.Time, rules ...Rule) {
	tb.Helper()
	var bodies []string
	for _, r := range rules {
		if !r.Disabled && r.Target == q.ARN {
			bodies = append(bodies, r.Body(at))
		}
	}
	q.Send(tb, bodies...)
}

// PutRule makes a rule without a target, as somebody else might.
func PutRule(tb testing.TB, url string, r Rule) {
	tb.Helper()
	if _, err := rulesAt(url).PutRule(tb.Context(), &eventbridge.PutRuleInput{Name: &r.Name, Description: &r.Description, ScheduleExpression: &r.Expression}); err != nil {
		tb.Fatal(err)
	}
}

// Remove removes a rule, or a schedule of EventBridge Scheduler, as somebody in the console might.
func Remove(tb testing.TB, url string, schedule bool, name string) {
	tb.Helper()
	if schedule {
		if _, err := schedulesAt(url).DeleteSchedule(tb.Context(), &scheduler.DeleteScheduleInput{Name: &name}); err != nil {
			tb.Fatal(err)
		}
		return
	}
	client := rulesAt(url)
	if _, err := client.RemoveTargets(tb.Context(), &eventbridge.RemoveTargetsInput{Rule: &name, Ids: []string{name}}); err != nil {
		tb.Fatal(err)
	}
	if _, err := client.DeleteRule(tb.Context(), &eventbridge.DeleteRuleInput{Name: &name}); err != nil {
		tb.Fatal(err)
	}
}

// Disable disables one, as somebody in the console might.
func Disable(tb testing.TB, url string, schedule bool, name string) {
	tb.Helper()
	if schedule {
		client := schedulesAt(url)
		got, err := client.GetSchedule(tb.Context(), &scheduler.GetScheduleInput{Name: &name})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := client.UpdateSchedule(tb.Context(), &scheduler.UpdateScheduleInput{
			Name: &name, Description: got.Description, ScheduleExpression: got.ScheduleExpression, ScheduleExpressionTimezone: got.ScheduleExpressionTimezone,
			FlexibleTimeWindow: got.FlexibleTimeWindow, Target: got.Target, State: stypes.ScheduleStateDisabled,
		}); err != nil {
			tb.Fatal(err)
		}
		return
	}
	if _, err := rulesAt(url).DisableRule(tb.Context(), &eventbridge.DisableRuleInput{Name: &name}); err != nil {
		tb.Fatal(err)
	}
}

// Meddle changes what neither the expression nor the message of one shows, as
// somebody in the console might: where a rule finds the time, and a target more; or
// when a schedule begins, how long it may take, and how often it tries.
func Meddle(tb testing.TB, url string, schedule bool, name string) {
	tb.Helper()
	if schedule {
		client := schedulesAt(url)
		got, err := client.GetSchedule(tb.Context(), &scheduler.GetScheduleInput{Name: &name})
		if err != nil {
			tb.Fatal(err)
		}
		got.Target.RetryPolicy = &stypes.RetryPolicy{MaximumRetryAttempts: sdk.Int32(3), MaximumEventAgeInSeconds: sdk.Int32(60)}
		got.Target.DeadLetterConfig = &stypes.DeadLetterConfig{Arn: sdk.String("arn:aws:sqs:us-east-1:123456789012:theirs")}
		if _, err := client.UpdateSchedule(tb.Context(), &scheduler.UpdateScheduleInput{
			Name: &name, Description: got.Description, ScheduleExpression: got.ScheduleExpression, ScheduleExpressionTimezone: got.ScheduleExpressionTimezone,
			Target: got.Target, State: got.State, StartDate: sdk.Time(time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)),
			FlexibleTimeWindow: &stypes.FlexibleTimeWindow{Mode: stypes.FlexibleTimeWindowModeFlexible, MaximumWindowInMinutes: sdk.Int32(60)},
		}); err != nil {
			tb.Fatal(err)
		}
		return
	}
	client := rulesAt(url)
	targets, err := client.ListTargetsByRule(tb.Context(), &eventbridge.ListTargetsByRuleInput{Rule: &name})
	if err != nil {
		tb.Fatal(err)
	}
	targets.Targets[0].InputTransformer.InputPathsMap["time"] = "$.id"
	if _, err := client.PutTargets(tb.Context(), &eventbridge.PutTargetsInput{Rule: &name, Targets: append(targets.Targets, etypes.Target{
		Id: sdk.String("theirs"), Arn: sdk.String("arn:aws:sqs:us-east-1:123456789012:theirs"),
	})}); err != nil {
		tb.Fatal(err)
	}
}
