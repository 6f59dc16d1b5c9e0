package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

var (
	outcomes = []string{"pending", "launched", "skipped", "missed", "dead"}
	kinds    = []string{"scheduled", "catch-up", "backfill", "manual"}
)

func (c *client) firingsCommand() *cobra.Command {
	cmd := Group("firings", "Read what became of slots, and launch dead ones again", "", c.firingsListCommand(), c.redriveCommand())
	cmd.Aliases = []string{"firing"}
	return cmd
}

func (c *client) firingsListCommand() *cobra.Command {
	var (
		everywhere   bool
		outcome      string
		kind         string
		since, until point
		limit        int
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
			if kind != "" {
				filters = append(filters, "eq(kind,"+kind+")")
			}
			for _, bound := range []struct {
				op string
				at point
			}{{"gte", since}, {"lte", until}} {
				if !bound.at.IsZero() {
					filters = append(filters, bound.op+"(slot,"+bound.at.String()+")")
				}
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
					row(w, "SLOT", "LAUNCH PLAN", "KIND", "OUTCOME", "LATENESS", "EXECUTION", "REASON")
					for _, f := range list.GetFirings() {
						row(w, slotText(f), f.GetLaunchPlan().GetName(), kindName(f.GetKind()), outcomeName(f), latenessText(f), f.GetExecution(), f.GetReason())
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().StringVar(&outcome, "outcome", "", "only this outcome: "+strings.Join(outcomes, ", "))
	cmd.Flags().StringVar(&kind, "kind", "", "only what was recorded because of this: "+strings.Join(kinds, ", "))
	cmd.Flags().Var(&since, "since", "only slots from this RFC 3339 time on")
	cmd.Flags().Var(&until, "until", "only slots up to this RFC 3339 time")
	limitFlag(cmd, &limit, 50)
	complete(cmd, "outcome", outcomes...)
	complete(cmd, "kind", kinds...)
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
	name := outcomeWord(f.GetOutcome())
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

func (c *client) redriveCommand() *cobra.Command {
	var (
		everywhere bool
		slot       point
		limit      int
		reason     string
	)
	cmd := &cobra.Command{
		Use:   "redrive [LAUNCHPLAN]",
		Short: "Launch dead firings again, whose launches were refused or took too long",
		Long: `Launch dead firings again: their launch was refused for good, or did not succeed within the launch deadline, which begins anew.
'tminus firings list --outcome dead' lists them, with what the last attempt said.`,
		Example: `  tminus firings redrive nightly-report --reason 'the cluster is back'
  tminus firings redrive nightly-report --slot 2026-01-31T03:00:00Z
  tminus firings redrive -A`,
		Args:              Exactly("[LAUNCHPLAN]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > maxRedrive {
				return misused(cmd, "--limit %d: use a number from 1 to %d", limit, maxRedrive)
			}
			request := &tminusv1.RedriveFiringsRequest{
				Project: c.project, Domain: c.domain, Slot: slot.wire(), Limit: uint32(limit), Reason: reason,
			}
			if everywhere {
				request.Project, request.Domain = "", ""
			}
			if len(args) > 0 {
				request.Name = args[0]
			}
			return c.with(func(s *connection) error {
				var w warned
				answer, err := s.schedules.RedriveFirings(cmd.Context(), request, w.option())
				if err != nil {
					return err
				}
				w.print(cmd, "")
				return c.format.print(cmd, answer, func(w io.Writer) {
					switch n := answer.GetRedriven(); {
					case n == 0:
						line(w, "there are no dead firings")
					case n == request.GetLimit():
						line(w, "firings pending again: %d, as many as were asked for; there may be more", n)
					default:
						line(w, "firings pending again: %d", n)
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().Var(&slot, "slot", "only the firing of this RFC 3339 time")
	cmd.Flags().IntVar(&limit, "limit", maxRedrive, "how many at most")
	reasonFlag(cmd, &reason)
	return cmd
}

// maxRedrive is how many firings a server redrives at once.
const maxRedrive = 10_000
