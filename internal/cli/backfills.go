package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

func (c *client) backfillCommand() *cobra.Command {
	cmd := Group("backfill", "Launch slots of the past that were not launched",
		`Launch slots of the past that were not launched, bit by bit and beside those that come due. Executions have the names
that they would have had on time, so nothing is launched twice.`,
		c.backfillCreateCommand(), c.backfillListCommand(), c.backfillGetCommand(), c.backfillCancelCommand())
	cmd.Aliases = []string{"backfills"}
	return cmd
}

// again are the outcomes that a backfill can launch again.
var again = map[string]tminusv1.Outcome{
	"skipped": tminusv1.Outcome_OUTCOME_SKIPPED,
	"dead":    tminusv1.Outcome_OUTCOME_DEAD,
}

func (c *client) backfillCreateCommand() *cobra.Command {
	var (
		first, last       point
		newest, dry, wait bool
		perMinute, show   int
		include           []string
		reason            string
		request           = &tminusv1.CreateBackfillRequest{}
	)
	cmd := &cobra.Command{
		Use:   "create LAUNCHPLAN --first TIME --last TIME",
		Short: "Launch the slots of a range that were not launched",
		Long: `Launch the slots from --first to --last, both inclusive, that have no firing or were missed. Those that were skipped or are dead are
launched again only with --include. What was launched, or will be, is not launched again. The version that is launched is the active one.`,
		Example: `  tminus backfill create nightly-report --first 2026-01-01T00:00:00Z --last 2026-01-31T23:59:59Z --dry-run
  tminus backfill create nightly-report --first 2026-01-01T00:00:00Z --last 2026-01-31T23:59:59Z --per-minute 5 --wait
  tminus backfill create nightly-report --first 2026-01-31T03:00:00Z --last 2026-01-31T03:00:00Z --include dead,skipped`,
		Args:              Exactly("LAUNCHPLAN"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case first.IsZero():
				return misused(cmd, "--first is missing: the RFC 3339 time from which to launch slots, inclusive")
			case last.IsZero():
				return misused(cmd, "--last is missing: the RFC 3339 time up to which to launch slots, inclusive")
			}
			for _, name := range include {
				outcome, ok := again[name]
				if !ok {
					return misused(cmd, "--include %q: use skipped, dead or both", name)
				}
				request.Include = append(request.Include, outcome)
			}
			request.Project, request.Domain, request.Name = c.project, c.domain, args[0]
			request.First, request.Last, request.NewestFirst = first.wire(), last.wire(), newest
			request.PerMinute, request.Show = uint32(perMinute), uint32(show) //nolint:gosec // Counts are not negative, and have 31 bits.
			request.DryRun, request.Reason = dry, reason
			return c.with(func(s *connection) error {
				var w warned
				answer, err := s.schedules.CreateBackfill(cmd.Context(), request, w.option())
				if err != nil {
					return err
				}
				w.print(cmd, args[0])
				if wait && answer.GetBackfill() != nil {
					if answer.Backfill, err = s.await(cmd, answer.GetBackfill().GetId()); err != nil {
						return err
					}
				}
				if err := c.format.print(cmd, answer, func(w io.Writer) { describePlannedBackfill(w, request, answer) }); err != nil || !wait {
					return err
				}
				return shortcoming(answer.GetBackfill())
			})
		},
	}
	cmd.Flags().Var(&first, "first", "RFC 3339 time of the first slot, inclusive")
	cmd.Flags().Var(&last, "last", "RFC 3339 time of the last slot, inclusive")
	cmd.Flags().BoolVar(&newest, "newest-first", false, "launch the latest slots first")
	cmd.Flags().Var((*count)(&perMinute), "per-minute", "how many slots a minute at most; 0 leaves it to the server")
	cmd.Flags().StringSliceVar(&include, "include", nil, "also launch slots with these outcomes: skipped, dead")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing; say what would be launched")
	show = 10
	cmd.Flags().Var((*count)(&show), "show", "how many of the slots to print")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all slots are launched or settled, and show the progress; fail if some are dead")
	reasonFlag(cmd, &reason)
	complete(cmd, "include", "skipped", "dead")
	return cmd
}

// describePlannedBackfill writes for people what a backfill comes to.
func describePlannedBackfill(w io.Writer, r *tminusv1.CreateBackfillRequest, answer *tminusv1.CreateBackfillResponse) {
	p := answer.GetPlan()
	line(w, "%s %s has %s from %s to %s, both inclusive", p.GetLaunchPlan().GetName(), p.GetLaunchPlan().GetVersion(), slots(p.GetSlots()),
		r.GetFirst().AsTime().Format(time.RFC3339), r.GetLast().AsTime().Format(time.RFC3339))
	for _, kept := range p.GetKept() {
		if kept.GetSlots() == 1 {
			line(w, "1 is left as it is: %s", outcomeWord(kept.GetOutcome()))
		} else {
			line(w, "%d are left as they are: %s", kept.GetSlots(), outcomeWord(kept.GetOutcome()))
		}
	}
	b := answer.GetBackfill()
	switch {
	case p.GetToLaunch() == 0:
		line(w, "nothing to launch")
		return
	case b == nil:
		line(w, "would launch %s:", slots(p.GetToLaunch()))
	default:
		line(w, "backfill %d launches %s:", b.GetId(), slots(p.GetToLaunch()))
	}
	for _, slot := range p.GetNext() {
		line(w, "  %s", slot.AsTime().Format(time.RFC3339))
	}
	if more := p.GetToLaunch() - int64(len(p.GetNext())); more > 0 {
		line(w, "  … and %d more", more)
	}
	switch {
	case b == nil:
	case b.GetEndedAt() != nil:
		line(w, "%s", progress(b))
	default:
		line(w, "see how far it is with: tminus backfill get %d", b.GetId())
	}
}

func slots(n int64) string { return counted(n, "slot") }

// counted is a number of things, whose plural ends in s or, behind ch, in es.
func counted(n int64, thing string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(thing, "ch"):
		thing += "es"
	default:
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// progress is how far a backfill has come.
func progress(b *tminusv1.Backfill) string {
	text := fmt.Sprintf("%d of %s looked at, %d recorded, %d launched", b.GetSlots()-b.GetSlotsLeft(), slots(b.GetSlots()), b.GetRecorded(), b.GetLaunched())
	if b.GetFailed() > 0 {
		text += fmt.Sprintf(", %d dead", b.GetFailed())
	}
	return text
}

// backfillState is whether a backfill goes on.
func backfillState(b *tminusv1.Backfill) string {
	switch {
	case b.GetEndedAt() == nil:
		return "running"
	case b.GetDone():
		return "done"
	default:
		return "cancelled"
	}
}

// awaitPoll is how often the progress of a backfill is asked for.
const awaitPoll = time.Second

func (s *connection) backfill(cmd *cobra.Command, id int64) (*tminusv1.Backfill, error) {
	answer, err := s.schedules.GetBackfill(cmd.Context(), &tminusv1.GetBackfillRequest{Id: id})
	return answer.GetBackfill(), err
}

// pending says that a firing of a backfill waits to be launched.
func (s *connection) pending(ctx context.Context, b *tminusv1.Backfill) (bool, error) {
	plan := b.GetLaunchPlan()
	list, err := s.schedules.ListFirings(ctx, &tminusv1.ListFiringsRequest{
		Project: plan.GetProject(), Domain: plan.GetDomain(), Name: plan.GetName(), Limit: 1,
		Filters: fmt.Sprintf("eq(outcome,pending)+eq(kind,%s)+gte(slot,%s)+lte(slot,%s)", kindName(b.GetKind()),
			b.GetFirst().AsTime().Format(time.RFC3339Nano), b.GetLast().AsTime().Format(time.RFC3339Nano)),
	})
	return len(list.GetFirings()) > 0, err
}

// shortcoming says what a backfill that has ended, if there is one, did not launch; nil when it did what it was to.
func shortcoming(b *tminusv1.Backfill) error {
	name := b.GetLaunchPlan().GetName()
	switch {
	case b.GetFailed() > 0:
		return fmt.Errorf("backfill %d: %s dead; see why with tminus firings list %s --outcome dead, and launch them again with tminus firings redrive %s",
			b.GetId(), slots(b.GetFailed()), name, name)
	case b.GetCancelled() != "":
		return fmt.Errorf("backfill %d was cancelled: %s", b.GetId(), b.GetCancelled())
	}
	return nil
}

// await waits until nothing of a backfill is left to record or to launch, and
// says on standard error how far it is.
func (s *connection) await(cmd *cobra.Command, id int64) (*tminusv1.Backfill, error) {
	ticker := time.NewTicker(awaitPoll)
	defer ticker.Stop()
	told := ""
	for {
		b, err := s.backfill(cmd, id)
		if err != nil {
			return nil, err
		}
		waits := true
		if b.GetEndedAt() != nil {
			if waits, err = s.pending(cmd.Context(), b); err != nil {
				return nil, err
			}
		}
		if !waits { // With what was launched since.
			if b, err = s.backfill(cmd, id); err != nil {
				return nil, err
			}
		}
		if now := progress(b); now != told {
			line(cmd.ErrOrStderr(), "%s", now)
			told = now
		}
		if !waits {
			return b, nil
		}
		select {
		case <-cmd.Context().Done():
			return nil, cmd.Context().Err()
		case <-ticker.C:
		}
	}
}

func (c *client) backfillListCommand() *cobra.Command {
	var (
		everywhere, open bool
		limit            int
	)
	cmd := &cobra.Command{
		Use:               "list [LAUNCHPLAN]",
		Short:             "List backfills, and the catch-ups after outages, the newest first",
		Args:              Exactly("[LAUNCHPLAN]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &tminusv1.ListBackfillsRequest{Project: c.project, Domain: c.domain, OpenOnly: open}
			if everywhere {
				request.Project, request.Domain = "", ""
			}
			if len(args) > 0 {
				request.Name = args[0]
			}
			return c.with(func(s *connection) error {
				list := &tminusv1.ListBackfillsResponse{}
				err := pages(limit, func(size uint32, token string) (int, string, error) {
					request.Limit, request.Token = size, token
					page, err := s.schedules.ListBackfills(cmd.Context(), request)
					list.Backfills = append(list.Backfills, page.GetBackfills()...)
					return len(page.GetBackfills()), page.GetToken(), err
				})
				if err != nil {
					return err
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "ID", "LAUNCH PLAN", "KIND", "FIRST", "LAST", "STATE", "PROGRESS", "BY", "REASON")
					for _, b := range list.GetBackfills() {
						row(w, strconv.FormatInt(b.GetId(), 10), b.GetLaunchPlan().GetName(), kindName(b.GetKind()),
							b.GetFirst().AsTime().Format(time.RFC3339), b.GetLast().AsTime().Format(time.RFC3339),
							backfillState(b), progress(b), b.GetBy(), b.GetReason())
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	cmd.Flags().BoolVar(&open, "open", false, "only those that have not ended")
	limitFlag(cmd, &limit, 50)
	return cmd
}

// backfillIDs are the backfills that have not ended.
func (c *client) backfillIDs(ctx context.Context, s *connection) ([]string, error) {
	list, err := s.schedules.ListBackfills(ctx, &tminusv1.ListBackfillsRequest{
		Project: c.project, Domain: c.domain, OpenOnly: true, Limit: pageSize,
	})
	var ids []string
	for _, b := range list.GetBackfills() {
		ids = append(ids, fmt.Sprintf("%d\t%s", b.GetId(), b.GetLaunchPlan().GetName()))
	}
	return ids, err
}

// backfillID reads an argument.
func backfillID(cmd *cobra.Command, text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, misused(cmd, "ID %q: use a number that `tminus backfill list` shows", text)
	}
	return id, nil
}

func (c *client) backfillGetCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:               "get ID",
		Short:             "Show a backfill, and how far it has come",
		Args:              Exactly("ID"),
		ValidArgsFunction: c.completer(c.backfillIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := backfillID(cmd, args[0])
			if err != nil {
				return err
			}
			return c.with(func(s *connection) error {
				get := s.backfill
				if wait {
					get = s.await
				}
				b, err := get(cmd, id)
				if err != nil {
					return err
				}
				if err := c.format.print(cmd, b, func(w io.Writer) { describeBackfill(w, b) }); err != nil || !wait {
					return err
				}
				return shortcoming(b)
			})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all slots are launched or settled, and show the progress; fail if some are dead")
	return cmd
}

// describeBackfill writes a backfill for people.
func describeBackfill(w io.Writer, b *tminusv1.Backfill) {
	field(w, "ID", strconv.FormatInt(b.GetId(), 10))
	field(w, "Launch plan", b.GetLaunchPlan().GetName())
	field(w, "Version", b.GetLaunchPlan().GetVersion())
	field(w, "Kind", kindName(b.GetKind()))
	field(w, "First", b.GetFirst().AsTime().Format(time.RFC3339)+" (inclusive)")
	field(w, "Last", b.GetLast().AsTime().Format(time.RFC3339)+" (inclusive)")
	if b.GetNewestFirst() {
		field(w, "Order", "newest first")
	}
	if n := b.GetPerMinute(); n > 0 {
		field(w, "Per minute", strconv.FormatUint(uint64(n), 10))
	}
	var include []string
	for _, outcome := range b.GetInclude() {
		include = append(include, outcomeWord(outcome))
	}
	field(w, "Includes", strings.Join(include, ", "))
	field(w, "State", backfillState(b))
	field(w, "Cancelled", b.GetCancelled())
	field(w, "Progress", progress(b))
	field(w, "By", b.GetBy())
	field(w, "Reason", b.GetReason())
	field(w, "Created", stamp(b.GetCreatedAt()))
	field(w, "Ended", stamp(b.GetEndedAt()))
}

func (c *client) backfillCancelCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:               "cancel ID",
		Short:             "End a backfill: what it has not recorded is left as it is, what it launched goes on",
		Args:              Exactly("ID"),
		ValidArgsFunction: c.completer(c.backfillIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := backfillID(cmd, args[0])
			if err != nil {
				return err
			}
			return c.with(func(s *connection) error {
				answer, err := s.schedules.CancelBackfill(cmd.Context(), &tminusv1.CancelBackfillRequest{Id: id, Reason: reason})
				if err != nil {
					return err
				}
				b := answer.GetBackfill()
				return c.format.print(cmd, b, func(w io.Writer) { line(w, "backfill %d is %s: %s", id, backfillState(b), progress(b)) })
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// kindName is why a slot was recorded, in a word.
func kindName(k tminusv1.FiringKind) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(k.String(), "FIRING_KIND_")), "_", "-")
}

// outcomeWord is an outcome in a word.
func outcomeWord(o tminusv1.Outcome) string {
	return strings.ToLower(strings.TrimPrefix(o.String(), "OUTCOME_"))
}
