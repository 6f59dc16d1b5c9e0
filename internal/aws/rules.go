package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"
)

// rules are CloudWatch Events rules on the default bus, each with one target of
// the same name. put and remove need events:PutRule, PutTargets, RemoveTargets
// and DeleteRule, as Flyte does, and no more.
type rules struct{ client *eventbridge.Client }

func newRules(cfg sdk.Config, url string) rules {
	return rules{eventbridge.NewFromConfig(cfg, func(o *eventbridge.Options) { o.BaseEndpoint = endpoint(url) })}
}

func (r rules) put(ctx context.Context, e entry) error {
	state := types.RuleStateEnabled
	if e.disabled {
		state = types.RuleStateDisabled
	}
	if _, err := r.client.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: &e.name, Description: &e.description, ScheduleExpression: &e.expression.Expression, RoleArn: &e.role, State: state,
	}); err != nil {
		return err
	}
	put, err := r.client.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &e.name, Targets: []types.Target{{
		Id: &e.name, Arn: &e.target,
		InputTransformer: &types.InputTransformer{InputPathsMap: inputPaths, InputTemplate: &e.body},
	}}})
	if err != nil {
		return err
	}
	if put.FailedEntryCount > 0 {
		for _, f := range put.FailedEntries {
			return failedEntry(f.ErrorCode, f.ErrorMessage)
		}
		return errors.New("the target was not put, and AWS does not say why")
	}
	return nil
}

// failedEntry is the error of an entry in an answer without one.
func failedEntry(code, message *string) error {
	return &smithy.GenericAPIError{Code: sdk.ToString(code), Message: sdk.ToString(message)}
}

func (r rules) remove(ctx context.Context, name string) error {
	removed, err := r.client.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &name, Ids: []string{name}})
	if err != nil && kindOf(err) == gone {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range removed.FailedEntries {
		if err := failedEntry(f.ErrorCode, f.ErrorMessage); kindOf(err) != gone {
			return err
		}
	}
	_, err = r.client.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: &name})
	if err != nil && kindOf(err) == gone {
		return nil
	}
	return err
}

func (r rules) describe(ctx context.Context, name string) (description string, ok bool, err error) {
	rule, err := r.client.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: &name})
	if err != nil && kindOf(err) == gone {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return sdk.ToString(rule.Description), true, nil
}

func (r rules) look(ctx context.Context, name string) (e entry, ok bool, err error) {
	rule, err := r.client.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: &name})
	if err != nil && kindOf(err) == gone {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	e = entry{
		name: name, description: sdk.ToString(rule.Description), role: sdk.ToString(rule.RoleArn),
		expression: Expression{Expression: sdk.ToString(rule.ScheduleExpression)}, disabled: rule.State == types.RuleStateDisabled,
	}
	if pattern := sdk.ToString(rule.EventPattern); pattern != "" {
		e.besides = append(e.besides, fmt.Sprintf("it has the event pattern %q, which is to go", short(pattern)))
	}
	targets, err := r.client.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &name})
	if err != nil {
		return e, true, fmt.Errorf("list the targets: %w", err)
	}
	for i := range targets.Targets {
		t := &targets.Targets[i]
		if sdk.ToString(t.Id) != name {
			e.besides = append(e.besides, fmt.Sprintf("it has the target %s (%s) besides, which is to go", sdk.ToString(t.Id), sdk.ToString(t.Arn)))
			continue
		}
		e.target = sdk.ToString(t.Arn)
		if t.InputTransformer != nil {
			e.body = sdk.ToString(t.InputTransformer.InputTemplate)
			if got := t.InputTransformer.InputPathsMap; !maps.Equal(got, inputPaths) {
				e.besides = append(e.besides, fmt.Sprintf("input paths are %v and are to be %v", got, inputPaths))
			}
		}
		if t.RetryPolicy != nil {
			e.besides = append(e.besides, "the target has a retry policy, which is to go")
		}
		if t.DeadLetterConfig != nil {
			e.besides = append(e.besides, fmt.Sprintf("the target has the dead-letter queue %s, which is to go", sdk.ToString(t.DeadLetterConfig.Arn)))
		}
	}
	return e, true, nil
}

// inputPaths say where in an event the variables of templates are.
var inputPaths = map[string]string{timeVariable: "$." + timeVariable}

func (r rules) list(ctx context.Context, prefix string, visit func(name string)) error {
	in := &eventbridge.ListRulesInput{}
	if prefix != "" {
		in.NamePrefix = &prefix
	}
	for {
		page, err := r.client.ListRules(ctx, in)
		if err != nil {
			return err
		}
		for _, rule := range page.Rules {
			visit(sdk.ToString(rule.Name))
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return nil
		}
	}
}
