package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/schedule"
)

func (c *client) launchPlansCommand() *cobra.Command {
	cmd := Group("launchplans", "Read launch plans, activate and deactivate them", "",
		c.launchPlansListCommand(), c.launchPlansGetCommand(), c.activateCommand(), c.deactivateCommand())
	cmd.Aliases = []string{"launchplan", "lp"}
	return cmd
}

func (c *client) launchPlansListCommand() *cobra.Command {
	var (
		all, onlyActive bool
		limit           int
	)
	cmd := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List launch plans, or the versions of one",
		Long: `List launch plans, each in its active version or, if none is active, in its newest. With a NAME, list
all versions of that launch plan, the newest first.`,
		Args:              Exactly("[NAME]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &admin.ResourceListRequest{
				Id: &admin.NamedEntityIdentifier{Project: c.project, Domain: c.domain}, SortBy: newestFirst(),
			}
			if len(args) > 0 {
				request.Id.Name, all = args[0], true
			}
			if onlyActive {
				request.Filters = "eq(state,1)"
			}
			return c.with(func(s *connection) error {
				list := &admin.LaunchPlanList{}
				most := limit
				if !all {
					most = 0 // Versions are left out below.
				}
				err := pages(most, func(size uint32, token string) (int, string, error) {
					request.Limit, request.Token = size, token
					page, err := s.admin.ListLaunchPlans(cmd.Context(), request)
					list.LaunchPlans = append(list.LaunchPlans, page.GetLaunchPlans()...)
					return len(page.GetLaunchPlans()), page.GetToken(), err
				})
				if err != nil {
					return err
				}
				if !all {
					list.LaunchPlans = current(list.GetLaunchPlans(), limit)
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "NAME", "VERSION", "STATE", "SCHEDULE", "CREATED")
					for _, p := range list.GetLaunchPlans() {
						row(w, p.GetId().GetName(), p.GetId().GetVersion(), stateName(p.GetClosure().GetState()),
							expression(p.GetSpec()), stamp(p.GetClosure().GetCreatedAt()))
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all-versions", false, "list every version of every launch plan")
	cmd.Flags().BoolVar(&onlyActive, "active", false, "list only active launch plans")
	limitFlag(cmd, &limit, 100)
	return cmd
}

// limitFlag is how long a list may be.
func limitFlag(cmd *cobra.Command, limit *int, usual int) {
	*limit = usual
	cmd.Flags().Var((*count)(limit), "limit", "how many to list at most; 0 means all")
}

// A count is a flag's value that is not negative.
type count int

// String is the number.
func (c *count) String() string { return strconv.Itoa(int(*c)) }

// Set takes a number from 0 on.
func (c *count) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return errNoCount
	}
	*c = count(n)
	return nil
}

// Type is what the help calls it.
func (c *count) Type() string { return "int" }

// errNoCount says that a count is something else.
var errNoCount = errors.New("use a number from 0 on")

// errNoTime says that an instant is something else.
var errNoTime = errors.New("use an RFC 3339 time such as 2026-01-31T09:00:00Z")

// current keeps of each launch plan the active version or else the newest, in
// the order of names. plans are newest first.
func current(plans []*admin.LaunchPlan, limit int) []*admin.LaunchPlan {
	place := map[string]int{}
	var kept []*admin.LaunchPlan
	for _, p := range plans {
		i, known := place[p.GetId().GetName()]
		switch {
		case !known:
			place[p.GetId().GetName()] = len(kept)
			kept = append(kept, p)
		case p.GetClosure().GetState() == admin.LaunchPlanState_ACTIVE:
			kept[i] = p
		}
	}
	slices.SortFunc(kept, func(a, b *admin.LaunchPlan) int { return cmp.Compare(a.GetId().GetName(), b.GetId().GetName()) })
	if limit > 0 && len(kept) > limit {
		kept = kept[:limit]
	}
	return kept
}

func stateName(s admin.LaunchPlanState) string { return strings.ToLower(s.String()) }

// expression is a launch plan's schedule, as people write it.
func expression(spec *admin.LaunchPlanSpec) string {
	s := spec.GetEntityMetadata().GetSchedule()
	text := ""
	switch e := s.GetScheduleExpression().(type) {
	case *admin.Schedule_CronSchedule:
		text = e.CronSchedule.GetSchedule()
	case *admin.Schedule_CronExpression:
		text = e.CronExpression
	case *admin.Schedule_Rate:
		text = fmt.Sprintf("rate(%d %s", e.Rate.GetValue(), strings.ToLower(e.Rate.GetUnit().String()))
		if e.Rate.GetValue() != 1 {
			text += "s"
		}
		text += ")"
	}
	if zone := spec.GetAnnotations().GetValues()[schedule.AnnotationPrefix+"timezone"]; zone != "" && text != "" {
		text += " " + zone
	}
	return text
}

// onVersion makes a command that does something with one version of a launch
// plan: the one that --version names, or else the one that otherwise finds.
func (c *client) onVersion(
	use, short, usage string,
	otherwise func(*connection, context.Context, *client, string) (*admin.LaunchPlan, error),
	do func(*cobra.Command, *connection, *admin.LaunchPlan) error,
) *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:               use + " NAME",
		Short:             short,
		Args:              Exactly("NAME"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				p, err := s.version(cmd.Context(), c, args[0], version, otherwise)
				if err != nil {
					return err
				}
				return do(cmd, s, p)
			})
		},
	}
	cmd.Flags().StringVar(&version, "version", "", usage)
	return cmd
}

func (c *client) launchPlansGetCommand() *cobra.Command {
	return c.onVersion("get", "Show a launch plan: its schedule, policies and inputs",
		"version (default: the active one or, if none is, the newest)", (*connection).active,
		func(cmd *cobra.Command, s *connection, p *admin.LaunchPlan) error {
			next := s.nextOf(cmd.Context(), p)
			return c.format.print(cmd, p, func(w io.Writer) { describePlan(w, p, next) })
		})
}

// nextOf is the schedule of p if it is active and the server is one that knows, else nil.
func (s *connection) nextOf(ctx context.Context, p *admin.LaunchPlan) *tminusv1.Schedule {
	if p.GetClosure().GetState() != admin.LaunchPlanState_ACTIVE {
		return nil
	}
	answer, err := s.schedules.GetSchedule(ctx, &tminusv1.GetScheduleRequest{
		Project: p.GetId().GetProject(), Domain: p.GetId().GetDomain(), Name: p.GetId().GetName(), Next: 1,
	})
	if err != nil {
		return nil
	}
	return answer.GetSchedule()
}

func describePlan(w io.Writer, p *admin.LaunchPlan, timed *tminusv1.Schedule) {
	spec := p.GetSpec()
	field(w, "Name", p.GetId().GetName())
	field(w, "Version", p.GetId().GetVersion())
	field(w, "Project", p.GetId().GetProject()+"/"+p.GetId().GetDomain())
	field(w, "State", stateName(p.GetClosure().GetState()))
	field(w, "Workflow", spec.GetWorkflowId().GetName()+"@"+spec.GetWorkflowId().GetVersion())
	field(w, "Schedule", expression(spec))
	field(w, "Kickoff input", spec.GetEntityMetadata().GetSchedule().GetKickoffTimeInputArg())
	if timed != nil {
		field(w, "Next", nextText(timed))
	}
	annotations := spec.GetAnnotations().GetValues()
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		field(w, "Annotation", key+" = "+annotations[key])
	}
	if p := spec.GetConcurrencyPolicy(); p != nil {
		field(w, "Running at most", strconv.Itoa(int(p.GetMax())))
	}
	fixed := spec.GetFixedInputs().GetLiterals()
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		field(w, "Input", name+" = "+literal.Text(fixed[name])+" (fixed)")
	}
	expected := p.GetClosure().GetExpectedInputs().GetParameters()
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		kind := literal.TypeName(expected[name].GetVar().GetType())
		if d := expected[name].GetDefault(); d != nil {
			field(w, "Input", name+" = "+literal.Text(d)+" ("+kind+")")
		} else {
			field(w, "Input", name+" ("+kind+", required)")
		}
	}
	field(w, "Created", stamp(p.GetClosure().GetCreatedAt()))
	field(w, "Updated", stamp(p.GetClosure().GetUpdatedAt()))
}

func (c *client) activateCommand() *cobra.Command {
	var reason string
	cmd := c.onVersion("activate", "Activate a version of a launch plan, so that its schedule fires; resume a paused one",
		"version (default: the newest)", (*connection).newest,
		func(cmd *cobra.Command, s *connection, p *admin.LaunchPlan) error {
			return c.setState(cmd, s, p, admin.LaunchPlanState_ACTIVE, reason)
		})
	reasonFlag(cmd, &reason)
	return cmd
}

func (c *client) deactivateCommand() *cobra.Command {
	var reason string
	cmd := c.onVersion("deactivate", "Deactivate a launch plan, so that its schedule fires no more",
		"version (default: the active one)", (*connection).active,
		func(cmd *cobra.Command, s *connection, p *admin.LaunchPlan) error {
			return c.setState(cmd, s, p, admin.LaunchPlanState_INACTIVE, reason)
		})
	reasonFlag(cmd, &reason)
	return cmd
}

// setState brings a version into a state and says what came of it.
func (c *client) setState(cmd *cobra.Command, s *connection, p *admin.LaunchPlan, state admin.LaunchPlanState, reason string) error {
	before, err := s.admin.GetActiveLaunchPlan(cmd.Context(), &admin.ActiveLaunchPlanRequest{Id: &admin.NamedEntityIdentifier{
		Project: p.GetId().GetProject(), Domain: p.GetId().GetDomain(), Name: p.GetId().GetName(),
	}})
	if err != nil && status.Code(err) != codes.NotFound {
		return err
	}
	id := &core.Identifier{
		ResourceType: core.ResourceType_LAUNCH_PLAN,
		Project:      p.GetId().GetProject(), Domain: p.GetId().GetDomain(), Name: p.GetId().GetName(), Version: p.GetId().GetVersion(),
	}
	was := before.GetId().GetVersion()
	var resumed bool
	if state == admin.LaunchPlanState_ACTIVE && was == id.GetVersion() {
		resumed = s.nextOf(cmd.Context(), before).GetPaused() != ""
	}
	change := "is " + stateName(state) + " already"
	updated := p.GetClosure().GetState() != state || resumed
	if updated {
		var w warned
		request := &admin.LaunchPlanUpdateRequest{Id: id, State: state}
		if _, err := s.admin.UpdateLaunchPlan(withReason(cmd.Context(), reason), request, w.option()); err != nil {
			return err
		}
		w.print(cmd, id.GetName())
		change = "is now " + stateName(state)
	}
	after, err := s.admin.GetLaunchPlan(cmd.Context(), &admin.ObjectGetRequest{Id: id})
	if err != nil {
		return err
	}
	timed := s.nextOf(cmd.Context(), after)
	if !updated {
		c.warnOfProblems(cmd, []*tminusv1.Schedule{timed}, false)
	}
	return c.format.print(cmd, after, func(w io.Writer) {
		if resumed {
			line(w, "%s was paused; resumed, next %s", id.GetName(), cmp.Or(nextText(timed), "never"))
			return
		}
		text := fmt.Sprintf("%s %s %s", id.GetName(), id.GetVersion(), change)
		if was != "" && was != id.GetVersion() {
			text += cmp.Or(map[admin.LaunchPlanState]string{admin.LaunchPlanState_ACTIVE: ", in place of " + was}[state], "; "+was+" is active")
		}
		line(w, "%s", text)
		if next := nextText(timed); next != "" {
			line(w, "next: %s", next)
		}
	})
}
