package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// Difference is one between what AWS is to hold and what it does.
type Difference struct {
	// Name is that of the rule or schedule in AWS.
	Name string
	// LaunchPlan is whose it is to be; zero where nobody here knows it.
	LaunchPlan ident.Key
	// What is missing, unwanted, differs, extra or foreign.
	What string
	// Detail is for people.
	Detail string
}

// What a Difference can be.
const (
	Missing  = "missing"  // it is to be there
	Unwanted = "unwanted" // tminus put it, and it is to go
	Differs  = "differs"  // it is there, and says something else
	Extra    = "extra"    // it has the form of tminus's, or Flyte's, and is of nobody here
	Foreign  = "foreign"  // it has a name of tminus's, and is somebody else's
)

// Comparison is what Diff comes to.
type Comparison struct {
	// Compared counts the launch plans that were compared.
	Compared    int
	Differences []Difference
	// Unknown says what could not be told, and why.
	Unknown []string
}

// Diff compares what AWS is to hold with what is there. It changes nothing.
func (r *Reconciler) Diff(ctx context.Context) (c Comparison, err error) {
	var rules []store.Rule
	if err := r.held.EachRule(ctx, func(rule store.Rule) error {
		rules = append(rules, rule)
		return nil
	}); err != nil {
		return c, err
	}
	s, err := r.service(ctx, r.place(ident.Key{}))
	if err != nil {
		return c, err
	}
	ours := make(map[string]bool)
	for _, rule := range rules {
		name := RuleName(r.cfg.ScheduleNamePrefix, rule.LaunchPlan.Key)
		ours[name] = true
		held, err := holdingOf(rule)
		if err != nil {
			return c, err
		}
		for _, at := range held.places() {
			if at != r.place(rule.LaunchPlan.Key) {
				c.Differences = append(c.Differences, Difference{at.Name, rule.LaunchPlan.Key, Unwanted,
					fmt.Sprintf("it is to be removed: another configuration put %s, whose permissions it takes", at)})
			}
		}
		if !rule.Active && rule.Held == "" && !rule.Tried {
			continue // Nothing was ever there.
		}
		d, err := r.compare(ctx, s, rule, name)
		if err != nil && kindOf(err) == denied {
			c.Unknown = append(c.Unknown, fmt.Sprintf("what is there: %v", explain("look at "+name, err)))
			return c, nil // Of the others no more can be told.
		}
		if err != nil {
			return c, explain("look at "+name, err)
		}
		c.Compared++
		if d.What != "" {
			c.Differences = append(c.Differences, d)
		}
	}
	var extra []string
	if err := s.list(ctx, r.cfg.ScheduleNamePrefix, func(name string) {
		if !ours[name] && ownForm(r.cfg.ScheduleNamePrefix, name) {
			extra = append(extra, name)
		}
	}); err != nil {
		if kindOf(err) != denied {
			return c, explain("list what is there", err)
		}
		c.Unknown = append(c.Unknown, fmt.Sprintf("whether there are others: %v", explain("list what is there", err)))
		return c, nil
	}
	slices.Sort(extra)
	for _, name := range extra {
		there, ok, err := s.look(ctx, name)
		if plan := describes(there.description); err == nil && ok && RuleName(r.cfg.ScheduleNamePrefix, plan) == name {
			c.Differences = append(c.Differences, Difference{name, plan, Extra, "its launch plan is not active here: remove it if no other installation uses the prefix"})
		}
	}
	return c, nil
}

// ownForm says that a name could be that of a rule with a prefix.
func ownForm(prefix, name string) bool {
	if prefix != "" {
		var ok bool
		if name, ok = strings.CutPrefix(name, prefix+"_"); !ok {
			return false
		}
	}
	return name != "" && strings.Trim(name, "0123456789") == ""
}

// describes is the launch plan of which a description speaks; zero if of none.
func describes(description string) ident.Key {
	project, rest, _ := strings.Cut(strings.TrimPrefix(description, "Schedule for Project:"), " Domain:")
	domain, name, _ := strings.Cut(strings.TrimSuffix(rest, " launch plan"), " Name:")
	plan := ident.Key{Project: project, Domain: domain, Name: name}
	if Description(plan) != description {
		return ident.Key{}
	}
	return plan
}

// compare is the difference of one rule; its What is empty where there is none.
func (r *Reconciler) compare(ctx context.Context, s service, rule store.Rule, name string) (d Difference, err error) {
	d = Difference{Name: name, LaunchPlan: rule.LaunchPlan.Key}
	there, ok, err := s.look(ctx, name)
	switch {
	case err != nil:
		return d, err
	case !ok && rule.Active:
		d.What, d.Detail = Missing, "it is to be put"
		if rule.Error != "" {
			d.Detail = rule.Error
		}
		return d, nil
	case !ok:
		return d, nil
	case there.description != Description(rule.LaunchPlan.Key):
		d.What, d.Detail = Foreign, fmt.Sprintf("it is somebody else's: %q", short(there.description))
		return d, nil
	case !rule.Active:
		d.What, d.Detail = Unwanted, "it is to be removed"
		return d, nil
	}
	want, err := r.entry(rule)
	if err != nil {
		d.What, d.Detail = Differs, err.Error()
		return d, nil //nolint:nilerr // The difference says so.
	}
	var differ []string
	for _, part := range []struct{ name, want, got string }{
		{"expression", want.expression.Expression, there.expression.Expression},
		{"time zone", want.expression.Timezone, there.expression.Timezone},
		{"start", bound(startOf(want, there)), bound(there.expression.Start)},
		{"end", bound(want.expression.End), bound(there.expression.End)},
		{"state", state(want.disabled), state(there.disabled)},
		{"role", want.role, there.role},
		{"target", want.target, there.target},
		{"message", want.body, there.body},
	} {
		if part.want != part.got && (part.name != "role" || there.role != "") {
			differ = append(differ, fmt.Sprintf("%s is %q and is to be %q", part.name, short(part.got), short(part.want)))
		}
	}
	if differ = append(differ, there.besides...); len(differ) > 0 {
		d.What, d.Detail = Differs, strings.Join(differ, "; ")
	}
	return d, nil
}

func state(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}

// startOf is when want is to begin. One that has passed is left out of what is put.
func startOf(want, there entry) time.Time {
	if there.expression.Start.IsZero() && !want.expression.Start.After(time.Now()) {
		return time.Time{}
	}
	return want.expression.Start
}

// bound is a start or an end, of which AWS keeps whole seconds.
func bound(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format(time.RFC3339)
}
