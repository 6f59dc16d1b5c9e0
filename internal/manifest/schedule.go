package manifest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"tminus.dev/cron"
	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/schedule"
)

// launchPlan adds the document's launch plan.
func (c *compiler) launchPlan(workflow *core.Identifier, face *core.TypedInterface) {
	spec := &admin.LaunchPlanSpec{
		WorkflowId:     workflow,
		EntityMetadata: &admin.LaunchPlanMetadata{},
		DefaultInputs:  &core.ParameterMap{Parameters: map[string]*core.Parameter{}},
		FixedInputs:    &core.LiteralMap{Literals: map[string]*core.Literal{}},
		MaxParallelism: int32(c.MaxParallelism), //nolint:gosec // The decoder keeps it within 32 bits.
	}
	for _, name := range slices.Sorted(maps.Keys(c.FixedInputs)) {
		if v, l := c.input("fixedInputs", name, c.FixedInputs[name], face); v != nil {
			spec.FixedInputs.Literals[name] = l
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.DefaultInputs)) {
		if _, ok := c.FixedInputs[name]; ok {
			c.problem(join("defaultInputs", name), "is among fixedInputs as well; keep one of them")
			continue
		}
		if v, l := c.input("defaultInputs", name, c.DefaultInputs[name], face); v != nil {
			spec.DefaultInputs.Parameters[name] = &core.Parameter{Var: v, Behavior: &core.Parameter_Default{Default: l}}
		}
	}
	if c.Concurrency != nil {
		spec.ConcurrencyPolicy = &admin.ConcurrencyPolicy{
			Max:      int32(c.Concurrency.Max), //nolint:gosec // The decoder keeps it within 32 bits.
			Behavior: admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP,
		}
	}
	if len(c.Labels) > 0 {
		spec.Labels = &admin.Labels{Values: c.Labels}
	}
	if len(c.Envs) > 0 {
		spec.Envs = &admin.Envs{Values: pairs(c.Envs)}
	}
	annotations := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(c.Annotations)) {
		if name, ours := strings.CutPrefix(key, schedule.AnnotationPrefix); ours {
			c.problem(join("annotations", key), "is a key of its own here: schedule.%s", camel(name))
		}
		annotations[key] = c.Annotations[key]
	}
	if c.Schedule != nil {
		spec.EntityMetadata.Schedule = c.schedule()
		maps.Copy(annotations, c.policy())
	}
	if len(annotations) > 0 {
		spec.Annotations = &admin.Annotations{Values: annotations}
	}
	p := plan{
		LaunchPlanCreateRequest: &admin.LaunchPlanCreateRequest{
			Id: c.identifier(core.ResourceType_LAUNCH_PLAN, c.LaunchPlan), Spec: spec,
		},
		activation: activate, description: c.Description,
	}
	if c.Active != nil && !*c.Active {
		p.activation = deactivate
	}
	c.unit.plans = append(c.unit.plans, p)
}

// input is an input's variable in the workflow and its value. Both are nil after a problem.
func (c *compiler) input(key, name string, v Value, face *core.TypedInterface) (*core.Variable, *core.Literal) {
	at := join(key, name)
	variable, ok := face.GetInputs().GetVariables()[name]
	if !ok {
		c.problem(at, "the workflow has no input %s%s", quote(name), meant(name, slices.Sorted(maps.Keys(face.GetInputs().GetVariables()))))
		return nil, nil
	}
	given, err := c.files(v.tree, variable.GetType())
	if err != nil {
		c.problem(at, "%v", err)
		return nil, nil
	}
	l, err := literal.FromValue(variable.GetType(), constant(given, variable.GetType()))
	if err != nil {
		c.invalid(at, err)
		return nil, nil
	}
	return variable, l
}

// schedule is the schedule's expression on the wire.
func (c *compiler) schedule() *admin.Schedule {
	s := c.Schedule
	wire := &admin.Schedule{KickoffTimeInputArg: s.KickoffTimeInput}
	switch {
	case s.Cron != "" && s.Rate != "":
		c.problem("schedule.rate", "is one way to say when, and schedule.cron another; keep one of them")
	case s.Cron != "":
		parsed, err := cron.Parse(s.Cron)
		c.expression("schedule.cron", 0, err)
		if err == nil && parsed.Dialect() == cron.Rate {
			c.problem("schedule.cron", "%s is a rate; write it as rate: %s", quote(s.Cron), rateText(s.Cron))
		}
		wire.ScheduleExpression = &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: s.Cron}}
	case s.Rate != "":
		text := rateText(s.Rate)
		_, err := cron.Parse("rate(" + text + ")")
		c.expression("schedule.rate", len("rate(")-strings.Index(s.Rate, text), err)
		wire.ScheduleExpression = &admin.Schedule_Rate{Rate: fixedRate(text)}
	default:
		c.problem("schedule.cron", "is missing; say when with cron or rate")
	}
	return wire
}

// rateText is what a rate's parentheses hold; people write them or not.
func rateText(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(s, "rate("), ")")
}

// fixedRate is a well-formed rate's text on the wire.
func fixedRate(text string) *admin.FixedRate {
	value, unit, _ := strings.Cut(text, " ")
	n, _ := strconv.ParseUint(value, 10, 32) //nolint:errcheck // A rate that is not well-formed has been reported.
	rate := &admin.FixedRate{Value: uint32(n)}
	switch strings.TrimSuffix(unit, "s") {
	case "hour":
		rate.Unit = admin.FixedRateUnit_HOUR
	case "day":
		rate.Unit = admin.FixedRateUnit_DAY
	default:
		rate.Unit = admin.FixedRateUnit_MINUTE
	}
	return rate
}

// expression reports an error in an expression, at the very character where
// the manifest lets us say: key's text is the expression without its first skip bytes.
func (c *compiler) expression(key string, skip int, err error) {
	if err == nil {
		return
	}
	c.invalid(key, err)
	if wrong, ok := errors.AsType[*cron.SyntaxError](err); ok {
		if inset, ok := c.inset[key]; ok {
			c.problems[len(c.problems)-1].Column += inset + max(wrong.Start-skip, 0)
		}
	}
}

// policy is the schedule's policy as annotations.
func (c *compiler) policy() map[string]string {
	annotations := map[string]string{}
	set := func(key, name, value string) {
		annotations[schedule.AnnotationPrefix+name] = value
		_, err := schedule.ParsePolicy(map[string]string{schedule.AnnotationPrefix + name: value})
		c.invalid(key, err)
	}
	v := reflect.ValueOf(*c.Schedule)
	before := len(c.problems)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		key := join("schedule", name)
		_, given := c.at[key]
		if !given || slices.Contains([]string{"cron", "rate", "kickoffTimeInput"}, name) {
			continue
		}
		if list, ok := reflect.TypeAssert[[]string](v.Field(i)); ok {
			for n, item := range list {
				set(index(key, n), kebab(name)+"-"+strconv.Itoa(n+1), item)
				if schedule.IsCalendar(item) {
					continue // Whether there is one of that name, the server knows.
				}
				_, err := cron.Parse(item)
				c.expression(index(key, n), 0, err)
			}
			continue
		}
		set(key, kebab(name), fmt.Sprint(v.Field(i).Interface()))
	}
	if len(c.problems) == before {
		_, err := schedule.ParsePolicy(annotations)
		c.invalid(policyKey(err), err)
	}
	return annotations
}

// policyKey is the key that an error of schedule.ParsePolicy is about.
func policyKey(err error) string {
	field, ok := errors.AsType[*invalid.Error](err)
	if !ok {
		return "schedule"
	}
	_, name, ok := strings.Cut(field.Field, schedule.AnnotationPrefix)
	if !ok {
		return "schedule"
	}
	if suffix, ok := strings.CutPrefix(name, "exclude-"); ok {
		if n, err := strconv.Atoi(suffix); err == nil {
			return index("schedule.exclude", n-1)
		}
	}
	return join("schedule", camel(name))
}

// kebab is a key as annotations spell it: dstGap is dst-gap.
func kebab(key string) string {
	var b strings.Builder
	for i, r := range key {
		upper := 'A' <= r && r <= 'Z'
		if upper && i > 0 && (key[i-1] < 'A' || 'Z' < key[i-1]) {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// camel is the inverse of kebab.
func camel(name string) string {
	parts := strings.Split(name, "-")
	for i, part := range parts {
		if i > 0 && part != "" {
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}
