package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

func (c *client) schedulesCommand() *cobra.Command {
	cmd := Group("schedules", "Read schedules, pause and run them, see what comes and what was changed", "",
		c.schedulesListCommand(), c.schedulesGetCommand(), c.previewCommand(), c.herdCommand(),
		c.pauseCommand(), c.resumeCommand(), c.skipCommand(), c.unskipCommand(), c.runCommand(),
		c.historyCommand(), c.diffCommand(), c.rollbackCommand())
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
				list, err := c.listSchedules(cmd, s, everywhere, !inactive, limit)
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

// listSchedules asks for schedules, each with its next slot.
func (c *client) listSchedules(cmd *cobra.Command, s *connection, everywhere, activeOnly bool, limit int) (*tminusv1.ListSchedulesResponse, error) {
	request := &tminusv1.ListSchedulesRequest{Project: c.project, Domain: c.domain, ActiveOnly: activeOnly}
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
func timing(t interface {
	GetExpression() string
	GetTimezone() string
},
) string {
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
	case t.GetProblem() != "" && t.GetRule().GetError() != "":
		return "rule not applied"
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
						field(w, "Paused by", t.GetPausedBy())
						field(w, "Paused until", stamp(t.GetPausedUntil()))
						field(w, "Resume with", "tminus schedules resume "+t.GetLaunchPlan().GetName())
					}
					if n := t.GetRevision(); n > 0 {
						field(w, "Revision", strconv.FormatInt(n, 10))
					}
					if r := t.GetRule(); r != nil {
						field(w, "Rule in AWS", ruleText(r))
					}
					if l := t.GetLateness(); l != nil {
						field(w, "Lateness", fmt.Sprintf("%s; of the last %d: p50 %s, p99 %s", lasted(l.GetLast().AsDuration()), l.GetFirings(),
							lasted(l.GetP50().AsDuration()), lasted(l.GetP99().AsDuration())))
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

// ruleText says whether AWS holds what it is to hold.
func ruleText(r *tminusv1.Rule) string {
	switch {
	case r.GetInStep():
		return "in step since " + stamp(r.GetChangedAt())
	case r.GetError() != "":
		return fmt.Sprintf("not applied (%d times): %s; again at %s", r.GetAttempts(), r.GetError(), stamp(r.GetDueAt()))
	default:
		return "being applied"
	}
}
