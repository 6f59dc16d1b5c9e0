package aws

import (
	"cmp"
	"context"
	"fmt"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

// schedules are those of EventBridge Scheduler in one group. put and remove need
// scheduler:CreateSchedule, UpdateSchedule and DeleteSchedule.
type schedules struct {
	client     *scheduler.Client
	group      string
	deadLetter string // an ARN; empty means none
}

// defaultGroup is the group that is always there.
const defaultGroup = "default"

func newSchedules(cfg sdk.Config, url, group, deadLetter string) schedules {
	client := scheduler.NewFromConfig(cfg, func(o *scheduler.Options) { o.BaseEndpoint = endpoint(url) })
	return schedules{client, cmp.Or(group, defaultGroup), deadLetter}
}

// What EventBridge Scheduler does about a queue that it cannot reach: as much as it can.
const (
	mostRetries = 185
	mostAge     = 24 * time.Hour
)

func (s schedules) put(ctx context.Context, e entry) error {
	state := types.ScheduleStateEnabled
	if e.disabled {
		state = types.ScheduleStateDisabled
	}
	target := &types.Target{
		Arn: &e.target, RoleArn: &e.role, Input: &e.body,
		RetryPolicy: &types.RetryPolicy{MaximumRetryAttempts: sdk.Int32(mostRetries), MaximumEventAgeInSeconds: sdk.Int32(int32(mostAge / time.Second))},
	}
	if s.deadLetter != "" {
		target.DeadLetterConfig = &types.DeadLetterConfig{Arn: &s.deadLetter}
	}
	window := &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff}
	zone := cmp.Or(e.expression.Timezone, "UTC")
	var start, end *time.Time
	if t := e.expression.Start; t.After(time.Now()) { // One that is past says nothing, and AWS may refuse it.
		start = &t
	}
	if t := e.expression.End; !t.IsZero() {
		end = &t
	}
	// What is there is updated, as most changes are of what was there before; what is not is created.
	update := scheduler.UpdateScheduleInput{
		Name: &e.name, GroupName: &s.group, Description: &e.description, ScheduleExpression: &e.expression.Expression, ScheduleExpressionTimezone: &zone,
		StartDate: start, EndDate: end, State: state, FlexibleTimeWindow: window, Target: target,
	}
	_, err := s.client.UpdateSchedule(ctx, &update)
	if err == nil || kindOf(err) != gone {
		return err
	}
	create := scheduler.CreateScheduleInput(update)
	_, err = s.client.CreateSchedule(ctx, &create)
	return err // A conflict is somebody who was faster: again.
}

func (s schedules) remove(ctx context.Context, name string) error {
	_, err := s.client.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{Name: &name, GroupName: &s.group})
	if err != nil && kindOf(err) == gone {
		return nil
	}
	return err
}

func (s schedules) describe(ctx context.Context, name string) (description string, ok bool, err error) {
	e, ok, err := s.look(ctx, name)
	return e.description, ok, err
}

func (s schedules) look(ctx context.Context, name string) (e entry, ok bool, err error) {
	got, err := s.client.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: &name, GroupName: &s.group})
	if err != nil && kindOf(err) == gone {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	e = entry{
		name: name, description: sdk.ToString(got.Description), disabled: got.State == types.ScheduleStateDisabled,
		expression: Expression{Expression: sdk.ToString(got.ScheduleExpression), Timezone: sdk.ToString(got.ScheduleExpressionTimezone), Start: sdk.ToTime(got.StartDate), End: sdk.ToTime(got.EndDate)},
	}
	if e.expression.Timezone == "UTC" {
		e.expression.Timezone = ""
	}
	if t := got.Target; t != nil {
		e.target, e.role, e.body = sdk.ToString(t.Arn), sdk.ToString(t.RoleArn), sdk.ToString(t.Input)
	}
	e.besides = s.besides(got)
	return e, true, nil
}

// besides compares what put puts into every schedule.
func (s schedules) besides(got *scheduler.GetScheduleOutput) (differ []string) {
	if w := got.FlexibleTimeWindow; w != nil && w.Mode != types.FlexibleTimeWindowModeOff {
		differ = append(differ, fmt.Sprintf("flexible time window is %d minutes and is to be off", sdk.ToInt32(w.MaximumWindowInMinutes)))
	}
	if a := got.ActionAfterCompletion; a != "" && a != types.ActionAfterCompletionNone {
		differ = append(differ, fmt.Sprintf("action after completion is %s and is to be %s", a, types.ActionAfterCompletionNone))
	}
	dead := ""
	if t := got.Target; t != nil {
		if t.DeadLetterConfig != nil {
			dead = sdk.ToString(t.DeadLetterConfig.Arn)
		}
		if p := t.RetryPolicy; p != nil { // None is as much as there is.
			retries, age := sdk.ToInt32(p.MaximumRetryAttempts), time.Duration(sdk.ToInt32(p.MaximumEventAgeInSeconds))*time.Second
			if p.MaximumRetryAttempts != nil && retries != mostRetries || p.MaximumEventAgeInSeconds != nil && age != mostAge {
				differ = append(differ, fmt.Sprintf("retries are %d within %s and are to be %d within %s", retries, age, mostRetries, mostAge))
			}
		}
	}
	if dead != s.deadLetter {
		differ = append(differ, fmt.Sprintf("dead-letter queue is %q and is to be %q", dead, s.deadLetter))
	}
	return differ
}

func (s schedules) list(ctx context.Context, prefix string, visit func(name string)) error {
	in := &scheduler.ListSchedulesInput{GroupName: &s.group, MaxResults: sdk.Int32(100)}
	if prefix != "" {
		in.NamePrefix = &prefix
	}
	for {
		page, err := s.client.ListSchedules(ctx, in)
		if err != nil {
			return err
		}
		for _, x := range page.Schedules {
			visit(sdk.ToString(x.Name))
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return nil
		}
	}
}
