package cli

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

// maxPreview is how many slots a server tells at once.
const maxPreview = 1000

func (c *client) previewCommand() *cobra.Command {
	var (
		everywhere  bool
		n           int
		from, until point
	)
	cmd := &cobra.Command{
		Use:     "preview [LAUNCHPLAN]",
		Aliases: []string{"next"},
		Short:   "Print the coming slots of one launch plan, or of all together in the order of time",
		Long: `Print the coming slots of one launch plan, or of all together in the order of time, with all policies applied: exclusions, bounds,
max-runs, jitter and skipped slots.`,
		Example: `  tminus schedules preview nightly-report
  tminus schedules preview -A -n 100 --until 2026-02-01T00:00:00Z`,
		Args:              Exactly("[LAUNCHPLAN]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 || n > maxPreview {
				return misused(cmd, "-n %d: use a number from 1 to %d", n, maxPreview)
			}
			request := &tminusv1.PreviewSchedulesRequest{
				Project: c.project, Domain: c.domain, From: from.wire(), Until: until.wire(), Limit: uint32(n),
			}
			if len(args) > 0 {
				request.Name, everywhere = args[0], false
			}
			if everywhere {
				request.Project, request.Domain = "", ""
			}
			return c.with(func(s *connection) error {
				var w warned
				preview, err := s.schedules.PreviewSchedules(cmd.Context(), request, w.option())
				if err != nil {
					return err
				}
				w.print(cmd, "")
				if len(args) > 0 {
					if err := c.warnOfSilence(cmd, s, args[0], &w); err != nil {
						return err
					}
				}
				return c.format.print(cmd, preview, func(w io.Writer) {
					row(w, "SLOT", "LAUNCH PLAN", "NOTE")
					for _, next := range preview.GetComing() {
						id := next.GetLaunchPlan()
						name := id.GetName()
						if everywhere {
							name = id.GetProject() + "/" + id.GetDomain() + "/" + name
						}
						row(w, stamp(next.GetSlot()), name, note(next))
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().IntVarP(&n, "number", "n", 10, "how many slots")
	cmd.Flags().Var(&from, "from", "RFC 3339 time after which to look (default: now)")
	cmd.Flags().Var(&until, "until", "RFC 3339 time up to which to look, inclusive")
	return cmd
}

// note is what there is to say of a coming slot.
func note(c *tminusv1.Coming) string {
	if c.GetSkipped() {
		return "skipped, or run already"
	}
	if d := c.GetLaunchAt().AsTime().Sub(c.GetSlot().AsTime()); d > 0 {
		return "launches " + lasted(d) + " later"
	}
	return ""
}

// warnOfSilence says why a schedule has no coming slots, or not from now on,
// unless the server has said so already.
func (c *client) warnOfSilence(cmd *cobra.Command, s *connection, name string, said *warned) error {
	answer, err := s.schedules.GetSchedule(cmd.Context(), &tminusv1.GetScheduleRequest{Project: c.project, Domain: c.domain, Name: name})
	if err != nil {
		return err
	}
	t := answer.GetSchedule()
	switch {
	case !t.GetActive():
		line(cmd.ErrOrStderr(), "warning: %s is not active", name)
	case t.GetPaused() != "" && t.GetPausedUntil() != nil:
		line(cmd.ErrOrStderr(), "warning: %s is paused until %s: %s", name, stamp(t.GetPausedUntil()), t.GetPaused())
	case t.GetPaused() != "":
		line(cmd.ErrOrStderr(), "warning: %s is paused: %s", name, t.GetPaused())
	case t.GetProblem() != "" && !slices.Contains(said.header.Get("tminus-warning"), t.GetProblem()):
		line(cmd.ErrOrStderr(), "warning: %s: %s", name, t.GetProblem())
	}
	return nil
}

func (c *client) herdCommand() *cobra.Command {
	var (
		everywhere  bool
		top         int
		from, until point
	)
	cmd := &cobra.Command{
		Use:   "herd",
		Short: "Count the launches in each minute to come, the busiest first",
		Long: `Count what all schedules launch in each minute to come, with all policies applied, and print the busiest minutes: the herd that comes
at nine o'clock. Jitter spreads it. 'tminus cron load' does the same for expressions.`,
		Example: `  tminus schedules herd -A
  tminus schedules herd --until 2026-02-01T00:00:00Z --top 20`,
		Args: Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if top < 1 {
				return misused(cmd, "--top %d: 1 is the least", top)
			}
			request := &tminusv1.PreviewHerdRequest{
				Project: c.project, Domain: c.domain, From: from.wire(), Until: until.wire(), Limit: uint32(top), //nolint:gosec // It is positive.
			}
			if everywhere {
				request.Project, request.Domain = "", ""
			}
			return c.with(func(s *connection) error {
				var w warned
				herd, err := s.schedules.PreviewHerd(cmd.Context(), request, w.option())
				if err != nil {
					return err
				}
				w.print(cmd, "")
				return c.format.print(cmd, herd, func(w io.Writer) {
					line(w, "%s of %s, of slots after %s, until %s", counted(herd.GetLaunches(), "launch"), counted(herd.GetSchedules(), "schedule"),
						stamp(herd.GetFrom()), stamp(herd.GetUntil()))
					if len(herd.GetMinutes()) > 0 {
						line(w, "")
						row(w, "MINUTE", "LAUNCHES")
					}
					for _, m := range herd.GetMinutes() {
						row(w, stamp(m.GetMinute()), strconv.FormatInt(m.GetLaunches(), 10))
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().IntVar(&top, "top", 10, "how many of the busiest minutes to print")
	cmd.Flags().Var(&from, "from", "RFC 3339 time after which to look (default: now)")
	cmd.Flags().Var(&until, "until", "RFC 3339 time up to which to look, inclusive (default: a day after --from; 31 days at most)")
	return cmd
}

func (c *client) diffCommand() *cobra.Command {
	var (
		version string
		n       int
	)
	cmd := &cobra.Command{
		Use:   "diff LAUNCHPLAN",
		Short: "Show what activating another version would change: the coming slots before and after",
		Long: `Show what activating another version of a launch plan would change in its schedule: the expression, the policies, and the coming
slots. A slot with - would not fire any more, one with + fires only afterwards. For manifests, 'tminus apply --diff' does the same.`,
		Example: `  tminus schedules diff nightly-report
  tminus schedules diff nightly-report --version v7 -n 20`,
		Args:              Exactly("LAUNCHPLAN"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 || n > maxNext {
				return misused(cmd, "-n %d: use a number from 1 to %d", n, maxNext)
			}
			return c.with(func(s *connection) error {
				to := version
				if to == "" {
					newest, err := s.newest(cmd.Context(), c, args[0])
					if err != nil {
						return err
					}
					to = newest.GetId().GetVersion()
				}
				var w warned
				diff, err := s.schedules.DiffSchedule(cmd.Context(), &tminusv1.DiffScheduleRequest{
					Project: c.project, Domain: c.domain, Name: args[0], Next: uint32(n), //nolint:gosec // At most maxNext.
					After: &tminusv1.DiffScheduleRequest_Version{Version: to},
				}, w.option())
				if err != nil {
					return err
				}
				w.print(cmd, args[0])
				return c.format.print(cmd, diff, func(w io.Writer) { describeDiff(w, diff, n) })
			})
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "version that would be activated (default: the newest)")
	cmd.Flags().IntVarP(&n, "number", "n", 10, "how many slots of each side to compare")
	return cmd
}

// maxNext is how many slots of one schedule a server compares.
const maxNext = 100

// describeDiff writes a difference of n slots of each side for people.
func describeDiff(w io.Writer, d *tminusv1.DiffScheduleResponse, n int) {
	before, after := d.GetBefore(), d.GetAfter()
	field(w, "Before", timingText(before))
	field(w, "After", timingText(after))
	policies := maps.Clone(before.GetPolicy())
	if policies == nil {
		policies = map[string]string{}
	}
	maps.Copy(policies, after.GetPolicy())
	for _, key := range slices.Sorted(maps.Keys(policies)) {
		was, is := before.GetPolicy()[key], after.GetPolicy()[key]
		if was != is && before.GetExpression() != "" {
			field(w, "Policy", key+": "+cmp.Or(was, "none")+" → "+cmp.Or(is, "none"))
		}
	}
	// Each side has the same number of slots, unless it ends. Behind the last of
	// one, the list has gaps.
	left := map[string]int{"Before": n, "After": n}
	for i, s := range d.GetSlots() {
		mark := " "
		switch {
		case !s.GetAfter():
			mark = "-"
		case !s.GetBefore():
			mark = "+"
		}
		line(w, "%s %s", mark, stamp(s.GetSlot()))
		for side, has := range map[string]bool{"Before": s.GetBefore(), "After": s.GetAfter()} {
			if !has {
				continue
			}
			if left[side]--; left[side] == 0 && i+1 < len(d.GetSlots()) {
				line(w, "  … from here on, those that only %s has are left out", side)
			}
		}
	}
	if len(d.GetSlots()) == 0 {
		line(w, "There are no slots, before or after.")
	}
}

// timingText is one side of a difference.
func timingText(t *tminusv1.Timing) string {
	if t.GetExpression() == "" {
		return "no schedule"
	}
	text := timing(t)
	if t.GetVersion() != "" {
		text = t.GetVersion() + ", " + text
	}
	if t.GetSilent() != "" {
		text += " (" + t.GetSilent() + ")"
	}
	return text
}
