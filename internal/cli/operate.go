package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

// reasonFlag is why a change is made, which its revision keeps.
func reasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, for whoever reads it later")
}

// A point is a flag's value that is an instant; zero when it is not set.
type point struct{ time.Time }

// String is what was set.
func (p *point) String() string {
	if p.IsZero() {
		return ""
	}
	return p.UTC().Format(time.RFC3339Nano)
}

// Set takes an RFC 3339 time.
func (p *point) Set(text string) (err error) {
	if p.Time, err = time.Parse(time.RFC3339, text); err != nil {
		return errNoTime
	}
	return nil
}

// Type is what the help calls it.
func (p *point) Type() string { return "time" }

// wire is the instant on the wire, nil when it is not set.
func (p *point) wire() *timestamppb.Timestamp {
	if p.IsZero() {
		return nil
	}
	return timestamppb.New(p.Time)
}

// A warned call keeps the warnings that the server sends with its answer.
type warned struct{ header metadata.MD }

func (w *warned) option() grpc.HeaderCallOption { return grpc.HeaderCallOption{HeaderAddr: &w.header} }

// print writes them for people; about is what they are about.
func (w *warned) print(cmd *cobra.Command, about string) {
	for _, warning := range w.header.Get("tminus-warning") {
		if about != "" {
			warning = about + ": " + warning
		}
		line(cmd.ErrOrStderr(), "warning: %s", warning)
	}
}

// onSchedule makes a command that changes the schedule of a launch plan, and prints what the change came to.
func (c *client) onSchedule(use, short, long, example string, do func(*cobra.Command, *connection, []string, *warned) error, args ...string) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Long:              long,
		Example:           example,
		Args:              Exactly(append([]string{"LAUNCHPLAN"}, args...)...),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				var w warned
				err := do(cmd, s, args, &w)
				w.print(cmd, args[0])
				return err
			})
		},
	}
}

// coming says when a schedule fires next.
func coming(t *tminusv1.Schedule) string {
	if next := nextText(t); next != "" {
		return "next " + next
	}
	return "it does not fire again"
}

func (c *client) pauseCommand() *cobra.Command {
	var (
		reason string
		until  point
		span   time.Duration
	)
	cmd := c.onSchedule("pause LAUNCHPLAN --reason WHY", "Stop a schedule from firing, for a while or until it is resumed",
		`Stop a schedule from firing. The launch plan stays active. What was recorded and not launched yet is skipped, and no slot of
the pause launches later, unless a backfill asks for it. Pausing a paused schedule replaces the reason and the end.`,
		`  tminus schedules pause nightly-report --reason 'the warehouse moves'
  tminus schedules pause nightly-report --reason 'the warehouse moves' --until 2026-02-01T00:00:00Z
  tminus schedules pause nightly-report --reason 'looking into #42' --for 2h`,
		func(cmd *cobra.Command, s *connection, args []string, w *warned) error {
			switch {
			case reason == "":
				return misused(cmd, "--reason is missing: say why, for whoever finds the schedule paused")
			case span < 0:
				return misused(cmd, "--for %s: use a positive duration such as 2h", span)
			case span > 0 && !until.IsZero():
				return misused(cmd, "--for and --until both say when the pause ends; leave one of them out")
			case span > 0:
				until.Time = time.Now().Add(span)
			}
			answer, err := s.schedules.PauseSchedule(cmd.Context(), &tminusv1.PauseScheduleRequest{
				Project: c.project, Domain: c.domain, Name: args[0], Reason: reason, Until: until.wire(),
			}, w.option())
			if err != nil {
				return err
			}
			t := answer.GetSchedule()
			return c.format.print(cmd, t, func(out io.Writer) {
				if end := stamp(t.GetPausedUntil()); end != "" {
					line(out, "%s is paused until %s; %s", args[0], end, coming(t))
					return
				}
				line(out, "%s is paused; resume it with: tminus schedules resume -p %s -d %s %s", args[0], c.project, c.domain, args[0])
			})
		})
	reasonFlag(cmd, &reason)
	cmd.Flags().Var(&until, "until", "RFC 3339 time at which it resumes by itself")
	cmd.Flags().DurationVar(&span, "for", 0, "how long it is paused, such as 2h")
	return cmd
}

func (c *client) resumeCommand() *cobra.Command {
	var reason string
	cmd := c.onSchedule("resume LAUNCHPLAN", "Let a paused schedule fire again, from now on",
		"Let a paused schedule fire again, from now on: the slots of the pause do not launch. To launch them, backfill them.",
		"  tminus schedules resume nightly-report --reason 'the warehouse has moved'",
		func(cmd *cobra.Command, s *connection, args []string, w *warned) error {
			answer, err := s.schedules.ResumeSchedule(cmd.Context(), &tminusv1.ResumeScheduleRequest{
				Project: c.project, Domain: c.domain, Name: args[0], Reason: reason,
			}, w.option())
			if err != nil {
				return err
			}
			return c.format.print(cmd, answer.GetSchedule(), func(out io.Writer) {
				line(out, "%s is %s; %s", args[0], scheduleState(answer.GetSchedule()), coming(answer.GetSchedule()))
			})
		})
	reasonFlag(cmd, &reason)
	return cmd
}

func (c *client) skipCommand() *cobra.Command {
	var (
		reason string
		slot   point
	)
	cmd := c.onSchedule("skip LAUNCHPLAN", "Leave out one coming slot, the next if it is not said which",
		"Leave out one coming slot. The schedule goes on after it. Until the slot has come, unskip takes it back.",
		`  tminus schedules skip nightly-report --reason 'no data tonight'
  tminus schedules skip nightly-report --slot 2026-01-31T03:00:00Z`,
		func(cmd *cobra.Command, s *connection, args []string, w *warned) error {
			answer, err := s.schedules.SkipSlot(cmd.Context(), &tminusv1.SkipSlotRequest{
				Project: c.project, Domain: c.domain, Name: args[0], Slot: slot.wire(), Reason: reason,
			}, w.option())
			if err != nil {
				return err
			}
			return c.format.print(cmd, answer, func(out io.Writer) {
				line(out, "%s skips %s; %s", args[0], stamp(answer.GetSlot()), coming(answer.GetSchedule()))
			})
		})
	reasonFlag(cmd, &reason)
	cmd.Flags().Var(&slot, "slot", "RFC 3339 time of the slot (default: the next one)")
	return cmd
}

func (c *client) unskipCommand() *cobra.Command {
	var (
		reason string
		slot   point
	)
	cmd := c.onSchedule("unskip LAUNCHPLAN --slot TIME", "Let a slot fire that was skipped, as long as it is to come", "",
		"  tminus schedules unskip nightly-report --slot 2026-01-31T03:00:00Z",
		func(cmd *cobra.Command, s *connection, args []string, w *warned) error {
			if slot.IsZero() {
				return misused(cmd, "--slot is missing: the skipped slots are among those of `tminus schedules preview %s`", args[0])
			}
			answer, err := s.schedules.UnskipSlot(cmd.Context(), &tminusv1.UnskipSlotRequest{
				Project: c.project, Domain: c.domain, Name: args[0], Slot: slot.wire(), Reason: reason,
			}, w.option())
			if err != nil {
				return err
			}
			return c.format.print(cmd, answer.GetSchedule(), func(out io.Writer) {
				line(out, "%s does not skip %s any more; %s", args[0], moment(slot.Time), coming(answer.GetSchedule()))
			})
		})
	reasonFlag(cmd, &reason)
	cmd.Flags().Var(&slot, "slot", "RFC 3339 time of the slot")
	return cmd
}

func (c *client) runCommand() *cobra.Command {
	var (
		reason string
		slot   point
	)
	cmd := c.onSchedule("run LAUNCHPLAN", "Launch a slot now: one that was missed, one that is to come, or the present time",
		`Launch a slot now, whether the schedule is paused or not. The kickoff input gets the slot. Without --slot it is the present second;
a slot of the past is launched if it has no firing, and one that is to come does not fire again at its time. The execution has
the name that it would have had on time, so nothing is launched twice. To launch many slots, backfill them.

It goes the way of every slot: the overlap policy and the concurrency limit apply. 'tminus executions create' launches without a slot.`,
		`  tminus schedules run nightly-report
  tminus schedules run nightly-report --slot 2026-01-31T03:00:00Z --reason 'the disk was full'`,
		func(cmd *cobra.Command, s *connection, args []string, w *warned) error {
			answer, err := s.schedules.RunSchedule(cmd.Context(), &tminusv1.RunScheduleRequest{
				Project: c.project, Domain: c.domain, Name: args[0], Slot: slot.wire(), Reason: reason,
			}, w.option())
			if err != nil {
				return err
			}
			f := answer.GetFiring()
			return c.format.print(cmd, f, func(out io.Writer) {
				line(out, "%s launches slot %s as execution %s", args[0], slotText(f), f.GetExecution())
			})
		})
	reasonFlag(cmd, &reason)
	cmd.Flags().Var(&slot, "slot", "RFC 3339 time of the slot (default: now)")
	return cmd
}

func (c *client) historyCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:               "history LAUNCHPLAN",
		Short:             "List the changes to a schedule, the newest first: who did what, when and why",
		Example:           "  tminus schedules history nightly-report",
		Args:              Exactly("LAUNCHPLAN"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &tminusv1.ListRevisionsRequest{Project: c.project, Domain: c.domain, Name: args[0]}
			return c.with(func(s *connection) error {
				list := &tminusv1.ListRevisionsResponse{}
				err := pages(limit, func(size uint32, token string) (int, string, error) {
					request.Limit, request.Token = size, token
					page, err := s.schedules.ListRevisions(cmd.Context(), request)
					list.Revisions = append(list.Revisions, page.GetRevisions()...)
					return len(page.GetRevisions()), page.GetToken(), err
				})
				if err != nil {
					return err
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "REVISION", "WHEN", "ACTION", "VERSION", "EXPRESSION", "STATE", "BY", "REASON")
					for _, r := range list.GetRevisions() {
						row(w, strconv.FormatInt(r.GetNumber(), 10), stamp(r.GetAt()), r.GetAction(), r.GetLaunchPlan().GetVersion(),
							timing(r), revisionState(r), r.GetBy(), r.GetReason())
					}
				})
			})
		},
	}
	limitFlag(cmd, &limit, 50)
	return cmd
}

func revisionState(r *tminusv1.Revision) string {
	switch {
	case !r.GetActive():
		return "inactive"
	case r.GetPaused() != "":
		return "paused"
	default:
		return "active"
	}
}

func (c *client) rollbackCommand() *cobra.Command {
	var reason string
	cmd := c.onSchedule("rollback LAUNCHPLAN REVISION", "Bring back the version of the launch plan that a revision had active",
		`Bring back the version of the launch plan that a revision had active, or deactivate it if there was none. The revisions are those of
'tminus schedules history'. A rollback is a new revision, and launches no slot of the past.`,
		"  tminus schedules rollback nightly-report 3 --reason 'v7 runs an hour late'",
		func(cmd *cobra.Command, s *connection, args []string, w *warned) error {
			number, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || number < 1 {
				return misused(cmd, "REVISION %q: use a number that `tminus schedules history %s` lists", args[1], args[0])
			}
			answer, err := s.schedules.RollbackSchedule(cmd.Context(), &tminusv1.RollbackScheduleRequest{
				Project: c.project, Domain: c.domain, Name: args[0], Revision: number, Reason: reason,
			}, w.option())
			if err != nil {
				return err
			}
			t := answer.GetSchedule()
			return c.format.print(cmd, t, func(out io.Writer) {
				line(out, "%s is as in revision %d: %s", args[0], number, stateText(t))
			})
		}, "REVISION")
	reasonFlag(cmd, &reason)
	return cmd
}

// stateText is the version and the state of a schedule, and when it fires next.
func stateText(t *tminusv1.Schedule) string {
	text := fmt.Sprintf("%s %s", t.GetLaunchPlan().GetVersion(), scheduleState(t))
	if t.GetActive() {
		text += "; " + coming(t)
	}
	return text
}
