package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

func (c *client) flyteCommand() *cobra.Command {
	return Group("flyte", "See how the launch plans of a Flyte are followed",
		`With source: flyte the launch plans that are active on a Flyte are active here. These commands show how that goes.`,
		c.flyteStatusCommand(), c.flyteConfirmCommand())
}

func (c *client) flyteStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say when Flyte was asked, and which launch plans are held or cannot fire",
		Args:  Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(func(s *connection) error {
				f, err := s.flyte.GetFollowing(cmd.Context(), &tminusv1.GetFollowingRequest{})
				if err != nil {
					return err
				}
				return c.format.print(cmd, f, func(w io.Writer) {
					field(w, "Flyte", f.GetEndpoint())
					field(w, "Projects", cmp.Or(strings.Join(f.GetProjects(), ", "), "all"))
					field(w, "Schedules", strconv.FormatUint(uint64(f.GetSchedules()), 10))
					field(w, "Listed", cmp.Or(stamp(f.GetListedAt()), "never"))
					field(w, "Asked", cmp.Or(stamp(f.GetAskedAt()), "never"))
					field(w, "Problem", cmp.Or(f.GetProblem(), "none"))
					if n := f.GetOmitted(); n > 0 {
						field(w, "Left out", strconv.FormatUint(uint64(n), 10)+" active launch plans, by Flyte's last list; they stay active")
					}
					for _, p := range f.GetHeld() {
						field(w, "Held", planName(p)+": Flyte does not know it any more, or its project is not followed any more; it stays active until tminus flyte confirm")
					}
					for _, p := range f.GetRefused() {
						field(w, "Cannot fire", planName(p)+": "+p.GetReason())
					}
				})
			})
		},
	}
}

func planName(p *tminusv1.FollowedPlan) string {
	return p.GetProject() + "/" + p.GetDomain() + "/" + p.GetName() + "@" + p.GetVersion()
}

func (c *client) flyteConfirmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Confirm that launch plans which are gone from Flyte may stop here",
		Long: `Launch plans that were active and that Flyte does not know any more stay active: it may have lost its database, or be another
Flyte. So do those of projects that are not followed any more. This confirms that those which tminus flyte status shows as held are to be deactivated, with the next list.`,
		Args: Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(func(s *connection) error {
				answer, err := s.flyte.ConfirmGone(cmd.Context(), &tminusv1.ConfirmGoneRequest{})
				if err != nil {
					return err
				}
				return c.format.print(cmd, answer, func(w io.Writer) { fmt.Fprintf(w, "%d launch plans are to be deactivated\n", answer.GetLaunchPlans()) })
			})
		},
	}
}
