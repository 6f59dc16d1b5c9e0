package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

func (c *client) schedulesCommand() *cobra.Command {
	cmd := Group("schedules", "Read schedules and their next slots", "",
		c.schedulesListCommand(), c.schedulesGetCommand(), c.schedulesNextCommand())
	cmd.Aliases = []string{"schedule"}
	return cmd
}

func (c *client) schedulesListCommand() *cobra.Command {
	var (
		everywhere, inactive bool
		limit                int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the schedules of active launch plans, the one that fires next first",
		Args:  Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(func(s *connection) error {
				list, err := c.listSchedules(cmd, s, everywhere, !inactive, 1, limit)
				if err != nil {
					return err
				}
				c.warnOfProblems(cmd, list.GetSchedules(), everywhere)
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "LAUNCH PLAN", "VERSION", "EXPRESSION", "STATE", "NEXT")
					for _, t := range list.GetSchedules() {
						row(w, c.planName(t, everywhere), t.GetLaunchPlan().GetVersion(), timing(t), scheduleState(t), nextText(t))
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().BoolVar(&inactive, "inactive", false, "list those of inactive launch plans as well")
	limitFlag(cmd, &limit, 100)
	return cmd
}

func everywhereFlag(cmd *cobra.Command, everywhere *bool) {
	cmd.Flags().BoolVarP(everywhere, "all-projects", "A", false, "of all projects and domains")
}

// listSchedules asks for schedules with so many of their next slots.
func (c *client) listSchedules(cmd *cobra.Command, s *connection, everywhere, activeOnly bool, next, limit int) (*tminusv1.ListSchedulesResponse, error) {
	request := &tminusv1.ListSchedulesRequest{
		Project: c.project, Domain: c.domain, Next: uint32(next), ActiveOnly: activeOnly, //nolint:gosec // At most 100.
	}
	if everywhere {
		request.Project, request.Domain = "", ""
	}
	list := &tminusv1.ListSchedulesResponse{}
	err := pages(limit, func(size uint32, token string) (int, string, error) {
		request.Limit, request.Token = size, token
		page, err := s.schedules.ListSchedules(cmd.Context(), request)
		list.Schedules = append(list.Schedules, page.GetSchedules()...)
		return len(page.GetSchedules()), page.GetToken(), err
	})
	return list, err
}

// planName names a schedule's launch plan, with its project where several are listed.
func (c *client) planName(t *tminusv1.Schedule, everywhere bool) string {
	id := t.GetLaunchPlan()
	if everywhere {
		return id.GetProject() + "/" + id.GetDomain() + "/" + id.GetName()
	}
	return id.GetName()
}

// timing is a schedule's expression and its zone, where that says something.
func timing(t *tminusv1.Schedule) string {
	if zone := t.GetTimezone(); zone != "" && zone != "UTC" && !strings.Contains(t.GetExpression(), zone) {
		return t.GetExpression() + " " + zone
	}
	return t.GetExpression()
}

// scheduleState is whether a schedule fires.
func scheduleState(t *tminusv1.Schedule) string {
	switch {
	case !t.GetActive():
		return "inactive"
	case t.GetProblem() != "":
		return "will not fire"
	case t.GetPaused() != "":
		return "paused"
	default:
		return "active"
	}
}

// warnOfProblems says why active schedules will not fire, once for each reason.
func (c *client) warnOfProblems(cmd *cobra.Command, schedules []*tminusv1.Schedule, everywhere bool) {
	var reasons []string
	names := map[string][]string{}
	for _, t := range schedules {
		if !t.GetActive() || t.GetProblem() == "" {
			continue
		}
		if names[t.GetProblem()] == nil {
			reasons = append(reasons, t.GetProblem())
		}
		names[t.GetProblem()] = append(names[t.GetProblem()], c.planName(t, everywhere))
	}
	for _, reason := range reasons {
		who := names[reason][0]
		if others := len(names[reason]) - 1; others > 0 {
			who += fmt.Sprintf(" and %d more", others)
		}
		line(cmd.ErrOrStderr(), "warning: %s: %s", who, reason)
	}
}

// nextText is a schedule's next slot.
func nextText(t *tminusv1.Schedule) string {
	if len(t.GetNext()) == 0 {
		return ""
	}
	return stamp(t.GetNext()[0])
}

func (c *client) schedulesGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "get LAUNCHPLAN",
		Short:             "Show the schedule of a launch plan, with its next slots",
		Args:              Exactly("LAUNCHPLAN"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				answer, err := s.schedules.GetSchedule(cmd.Context(), &tminusv1.GetScheduleRequest{
					Project: c.project, Domain: c.domain, Name: args[0], Next: 5,
				})
				if err != nil {
					return err
				}
				t := answer.GetSchedule()
				return c.format.print(cmd, t, func(w io.Writer) {
					field(w, "Launch plan", t.GetLaunchPlan().GetName())
					field(w, "Version", t.GetLaunchPlan().GetVersion())
					field(w, "Expression", t.GetExpression())
					field(w, "Timezone", t.GetTimezone())
					field(w, "Kickoff input", t.GetKickoffInput())
					for _, key := range slices.Sorted(maps.Keys(t.GetPolicy())) {
						field(w, "Policy", key+" = "+t.GetPolicy()[key])
					}
					field(w, "State", scheduleState(t))
					field(w, "Problem", t.GetProblem())
					if t.GetPaused() != "" {
						field(w, "Paused", t.GetPaused())
						// Without a version, a newer one would take its place.
						field(w, "Resume with", "tminus launchplans activate "+t.GetLaunchPlan().GetName()+
							" --version "+t.GetLaunchPlan().GetVersion())
					}
					field(w, "Decided up to", stamp(t.GetCursor()))
					for _, slot := range t.GetNext() {
						field(w, "Next", stamp(slot))
					}
				})
			})
		},
	}
}

// A slot is a due time of a launch plan, as it is printed for programs.
type slot struct {
	Slot    string `json:"slot"`
	Project string `json:"project"`
	Domain  string `json:"domain"`
	Name    string `json:"name"`
	Version string `json:"version"`
	at      time.Time
}

// maxNext is how many slots a server tells of one schedule.
const maxNext = 100

func (c *client) schedulesNextCommand() *cobra.Command {
	var (
		everywhere bool
		n          int
	)
	cmd := &cobra.Command{
		Use:               "next [LAUNCHPLAN]",
		Short:             "Print the next slots of one launch plan, or of all together in the order of time",
		Args:              Exactly("[LAUNCHPLAN]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 || n > maxNext {
				return misused(cmd, "-n %d: use a number from 1 to %d", n, maxNext)
			}
			return c.with(func(s *connection) error {
				schedules, err := c.someSchedules(cmd, s, args, everywhere, n)
				if err != nil {
					return err
				}
				c.warnOfProblems(cmd, schedules, everywhere)
				slots := merge(schedules, n)
				return c.format.print(cmd, slots, func(w io.Writer) {
					row(w, "SLOT", "LAUNCH PLAN")
					for _, next := range slots {
						name := next.Name
						if everywhere {
							name = next.Project + "/" + next.Domain + "/" + next.Name
						}
						row(w, moment(next.at), name)
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().IntVarP(&n, "number", "n", 10, "how many slots")
	return cmd
}

// someSchedules is the schedule of the launch plan that args name, or all of the active ones.
func (c *client) someSchedules(cmd *cobra.Command, s *connection, args []string, everywhere bool, next int) ([]*tminusv1.Schedule, error) {
	if len(args) == 0 {
		// They come in the order of their first slots, so that the first n hold the next n slots.
		list, err := c.listSchedules(cmd, s, everywhere, true, next, next)
		return list.GetSchedules(), err
	}
	answer, err := s.schedules.GetSchedule(cmd.Context(), &tminusv1.GetScheduleRequest{
		Project: c.project, Domain: c.domain, Name: args[0], Next: uint32(next), //nolint:gosec // At most maxNext.
	})
	return []*tminusv1.Schedule{answer.GetSchedule()}, err
}

// merge is the first n slots of all schedules.
func merge(schedules []*tminusv1.Schedule, n int) []slot {
	slots := []slot{}
	for _, t := range schedules {
		id := t.GetLaunchPlan()
		for _, next := range t.GetNext() {
			at := next.AsTime()
			slots = append(slots, slot{
				Slot: at.Format(time.RFC3339), at: at,
				Project: id.GetProject(), Domain: id.GetDomain(), Name: id.GetName(), Version: id.GetVersion(),
			})
		}
	}
	slices.SortStableFunc(slots, func(a, b slot) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.Name, b.Name)) })
	return slots[:min(n, len(slots))]
}
