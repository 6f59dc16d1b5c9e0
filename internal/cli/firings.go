package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

var outcomes = []string{"pending", "launched", "skipped", "missed", "dead"}

func (c *client) firingsCommand() *cobra.Command {
	cmd := Group("firings", "Read what became of slots", "", c.firingsListCommand())
	cmd.Aliases = []string{"firing"}
	return cmd
}

func (c *client) firingsListCommand() *cobra.Command {
	var (
		everywhere            bool
		outcome, since, until string
		limit                 int
	)
	cmd := &cobra.Command{
		Use:   "list [LAUNCHPLAN]",
		Short: "List what became of slots, the newest first",
		Example: `  tminus firings list nightly-report
  tminus firings list --outcome missed --since 2026-01-01T00:00:00Z`,
		Args:              Exactly("[LAUNCHPLAN]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &tminusv1.ListFiringsRequest{Project: c.project, Domain: c.domain}
			if everywhere {
				request.Project, request.Domain = "", ""
			}
			if len(args) > 0 {
				request.Name = args[0]
			}
			var filters []string
			if outcome != "" {
				filters = append(filters, "eq(outcome,"+outcome+")")
			}
			for _, bound := range []struct{ flag, op, value string }{{"since", "gte", since}, {"until", "lte", until}} {
				if bound.value == "" {
					continue
				}
				if _, err := time.Parse(time.RFC3339, bound.value); err != nil {
					return misused(cmd, "--%s %q: use an RFC 3339 time such as 2026-01-31T09:00:00Z", bound.flag, bound.value)
				}
				filters = append(filters, bound.op+"(slot,"+bound.value+")")
			}
			request.Filters = strings.Join(filters, "+")
			return c.with(func(s *connection) error {
				list := &tminusv1.ListFiringsResponse{}
				err := pages(limit, func(size uint32, token string) (int, string, error) {
					request.Limit, request.Token = size, token
					page, err := s.schedules.ListFirings(cmd.Context(), request)
					list.Firings = append(list.Firings, page.GetFirings()...)
					return len(page.GetFirings()), page.GetToken(), err
				})
				if err != nil {
					return err
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "SLOT", "LAUNCH PLAN", "OUTCOME", "LATENESS", "EXECUTION", "REASON")
					for _, f := range list.GetFirings() {
						row(w, slotText(f), f.GetLaunchPlan().GetName(), outcomeName(f), latenessText(f), f.GetExecution(), f.GetReason())
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().StringVar(&outcome, "outcome", "", "only this outcome: "+strings.Join(outcomes, ", "))
	cmd.Flags().StringVar(&since, "since", "", "only slots from this RFC 3339 time on")
	cmd.Flags().StringVar(&until, "until", "", "only slots up to this RFC 3339 time")
	limitFlag(cmd, &limit, 50)
	complete(cmd, "outcome", outcomes...)
	return cmd
}

// slotText is a firing's slot; a run of missed ones has an end and a number.
func slotText(f *tminusv1.Firing) string {
	text := f.GetSlot().AsTime().Format(time.RFC3339)
	if f.GetCount() > 1 {
		text += fmt.Sprintf(" … %s (%d)", f.GetLastSlot().AsTime().Format(time.RFC3339), f.GetCount())
	}
	return text
}

func outcomeName(f *tminusv1.Firing) string {
	name := strings.ToLower(strings.TrimPrefix(f.GetOutcome().String(), "OUTCOME_"))
	if f.GetOutcome() == tminusv1.Outcome_OUTCOME_PENDING && f.GetAttempts() > 0 {
		name += fmt.Sprintf(" (%d failed)", f.GetAttempts())
	}
	return name
}

func latenessText(f *tminusv1.Firing) string {
	if f.GetLateness() == nil {
		return ""
	}
	return lasted(f.GetLateness().AsDuration())
}
