package cli

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

func (c *client) deadLettersCommand() *cobra.Command {
	cmd := Group("dead-letters", "Look at messages from AWS that launched nothing, and launch or drop them",
		`Messages that cannot be read, and those about launch plans or times for which nothing may launch, are set aside here, with
what they said and why, and leave the queue.`,
		c.deadLettersListCommand(), c.deadLettersShowCommand(), c.deadLettersRedriveCommand(), c.deadLettersDropCommand())
	cmd.Aliases = []string{"dead-letter"}
	return cmd
}

func (c *client) deadLettersListCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list [LAUNCHPLAN]",
		Short:   "List dead letters of all projects, the newest first",
		Example: "  tminus dead-letters list",
		Args:    Exactly("[LAUNCHPLAN]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &tminusv1.ListDeadLettersRequest{}
			if len(args) > 0 {
				request.Project, request.Domain, request.Name = c.project, c.domain, args[0]
			}
			return c.with(func(s *connection) error {
				list := &tminusv1.ListDeadLettersResponse{}
				err := pages(limit, func(size uint32, token string) (int, string, error) {
					request.Limit, request.Token = size, token
					page, err := s.keepers.ListDeadLetters(cmd.Context(), request)
					list.DeadLetters = append(list.DeadLetters, page.GetDeadLetters()...)
					return len(page.GetDeadLetters()), page.GetToken(), err
				})
				if err != nil {
					return err
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "ID", "RECEIVED", "LAUNCH PLAN", "TIME", "REASON")
					for _, l := range list.GetDeadLetters() {
						row(w, strconv.FormatInt(l.GetId(), 10), stamp(l.GetReceivedAt()), cmp.Or(l.GetName(), "-"), cmp.Or(stamp(l.GetTime()), "-"), l.GetReason())
					}
				})
			})
		},
	}
	limitFlag(cmd, &limit, 50)
	return cmd
}

func (c *client) deadLettersShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a dead letter, with the message as it was sent",
		Args:  Exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := letterIDs(cmd, args)
			if err != nil {
				return err
			}
			return c.with(func(s *connection) error {
				answer, err := s.keepers.GetDeadLetter(cmd.Context(), &tminusv1.GetDeadLetterRequest{Id: ids[0]})
				if err != nil {
					return err
				}
				l := answer.GetDeadLetter()
				return c.format.print(cmd, l, func(w io.Writer) {
					field(w, "Reason", l.GetReason())
					if l.GetName() != "" {
						field(w, "Launch plan", l.GetProject()+"/"+l.GetDomain()+"/"+l.GetName())
						field(w, "Time", stamp(l.GetTime()))
					}
					field(w, "Message", l.GetMessageId())
					field(w, "Sent", stamp(l.GetSentAt()))
					field(w, "Set aside", stamp(l.GetReceivedAt()))
					field(w, "Taken", strconv.FormatUint(uint64(l.GetReceives()), 10)+" times")
					if body := l.GetBody(); utf8.Valid(body) {
						field(w, "Body", string(body))
					} else {
						field(w, "Body", strconv.QuoteToASCII(string(body)))
					}
				})
			})
		},
	}
}

// letterIDs reads the numbers of dead letters.
func letterIDs(cmd *cobra.Command, args []string) ([]int64, error) {
	if len(args) == 0 {
		return nil, misused(cmd, "ID is missing: tminus dead-letters list shows them")
	}
	ids := make([]int64, len(args))
	for i, a := range args {
		var err error
		if ids[i], err = strconv.ParseInt(a, 10, 64); err != nil {
			return nil, misused(cmd, "%q is no ID: use the numbers that tminus dead-letters list shows", a)
		}
	}
	return ids, nil
}

// letterBatch is how many dead letters one request changes.
const letterBatch = 1000

// everyLetter is the numbers of all dead letters.
func (s *connection) everyLetter(cmd *cobra.Command) (ids []int64, err error) {
	request := &tminusv1.ListDeadLettersRequest{Limit: letterBatch}
	for {
		page, err := s.keepers.ListDeadLetters(cmd.Context(), request)
		if err != nil {
			return nil, err
		}
		for _, l := range page.GetDeadLetters() {
			ids = append(ids, l.GetId())
		}
		if request.Token = page.GetToken(); request.Token == "" {
			return ids, nil
		}
	}
}

// onLetters makes a command for some dead letters, or for all there are.
func (c *client) onLetters(use, short, long, example string, do func(*cobra.Command, *connection, []int64) error) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return misused(cmd, "--all means all of them; leave the IDs out, or the flag")
			}
			return c.with(func(s *connection) (err error) {
				var ids []int64
				if all {
					ids, err = s.everyLetter(cmd)
				} else {
					ids, err = letterIDs(cmd, args)
				}
				if err != nil {
					return err
				}
				return do(cmd, s, ids)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters there are")
	return cmd
}

// errNotRedriven is the end of a redrive in which not all launched; which ones is said already.
var errNotRedriven = errors.New("not all of them launch")

func (c *client) deadLettersRedriveCommand() *cobra.Command {
	var reason string
	cmd := c.onLetters("redrive ID...", "Launch what dead letters are about",
		`Launch the slots that dead letters are about, with the version of the launch plan that is active now, and drop the letters.
A slot that has an outcome already does not launch again; its letter is dropped. What still cannot launch stays.`,
		"  tminus dead-letters redrive 17 18\n  tminus dead-letters redrive --all --reason 'the launch plan is back'",
		func(cmd *cobra.Command, s *connection, ids []int64) error {
			answer := &tminusv1.RedriveDeadLettersResponse{}
			var w warned
			for some := range slices.Chunk(ids, letterBatch) {
				redriven, err := s.keepers.RedriveDeadLetters(cmd.Context(), &tminusv1.RedriveDeadLettersRequest{Ids: some, Reason: reason}, w.option())
				if err != nil {
					return err
				}
				answer.DeadLetters = append(answer.DeadLetters, redriven.GetDeadLetters()...)
			}
			w.print(cmd, "")
			err := c.format.print(cmd, answer, func(w io.Writer) {
				row(w, "ID", "EXECUTION", "PROBLEM")
				for _, l := range answer.GetDeadLetters() {
					row(w, strconv.FormatInt(l.GetId(), 10), cmp.Or(l.GetExecution(), "-"), l.GetProblem())
				}
			})
			for _, l := range answer.GetDeadLetters() {
				if !l.GetDropped() && err == nil {
					err = errNotRedriven
				}
			}
			return err
		})
	reasonFlag(cmd, &reason)
	return cmd
}

func (c *client) deadLettersDropCommand() *cobra.Command {
	return c.onLetters("drop ID...", "Delete dead letters for good", "", "  tminus dead-letters drop 17 18\n  tminus dead-letters drop --all",
		func(cmd *cobra.Command, s *connection, ids []int64) error {
			answer := &tminusv1.DropDeadLettersResponse{}
			for some := range slices.Chunk(ids, letterBatch) {
				dropped, err := s.keepers.DropDeadLetters(cmd.Context(), &tminusv1.DropDeadLettersRequest{Ids: some})
				if err != nil {
					return err
				}
				answer.Dropped += dropped.GetDropped()
			}
			return c.format.print(cmd, answer, func(w io.Writer) { line(w, "dropped %d", answer.GetDropped()) })
		})
}

func (c *client) awsCommand() *cobra.Command {
	return Group("aws", "Compare with AWS what it holds where it keeps time, and mend that",
		`Where scheduler.eventScheduler.scheme is aws, AWS keeps time: it holds a rule for each active schedule. docs/aws.md says how
to set that up.`, c.awsDiffCommand(), c.awsSyncCommand())
}

// errDiffers is the end of a comparison that found something; what is said already.
var errDiffers = errors.New("AWS does not hold what it is to hold; tminus aws sync mends that")

func (c *client) awsDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff",
		Short: "Compare what AWS is to hold with what is there, and change nothing",
		Long: `Compare what AWS is to hold with what is there: what is missing, what is to go (unwanted), what says something else (differs),
what has the form of tminus's own and belongs to nobody here (extra), and what is somebody else's under a name of tminus's
(foreign). It exits with 1 when there is something. What AWS does not let tminus see, it says.`,
		Args: Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(func(s *connection) error {
				answer, err := s.keepers.DiffRules(cmd.Context(), &tminusv1.DiffRulesRequest{})
				if err != nil {
					return err
				}
				err = c.format.print(cmd, answer, func(w io.Writer) {
					if len(answer.GetDifferences()) > 0 {
						row(w, "RULE", "LAUNCH PLAN", "WHAT", "DETAIL")
						for _, d := range answer.GetDifferences() {
							row(w, d.GetRule(), d.GetProject()+"/"+d.GetDomain()+"/"+d.GetName(), d.GetWhat(), d.GetDetail())
						}
					} else {
						line(w, "%d compared, and AWS holds what it is to hold", answer.GetCompared())
					}
				})
				for _, u := range answer.GetUnknown() {
					line(cmd.ErrOrStderr(), "warning: cannot tell %s", u)
				}
				if len(answer.GetDifferences()) > 0 && err == nil {
					err = errDiffers
				}
				return err
			})
		},
	}
}

func (c *client) awsSyncCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "sync [LAUNCHPLAN]",
		Short:             "Have AWS hold what it is to hold, of one launch plan or of all",
		Long:              "Put again what AWS is to hold, whatever somebody made of it there. What is not tminus's own stays as it is.",
		Example:           "  tminus aws sync\n  tminus aws sync nightly-report",
		Args:              Exactly("[LAUNCHPLAN]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &tminusv1.SyncRulesRequest{}
			if len(args) > 0 {
				request.Project, request.Domain, request.Name = c.project, c.domain, args[0]
			}
			return c.with(func(s *connection) error {
				answer, err := s.keepers.SyncRules(cmd.Context(), request)
				if err != nil {
					return err
				}
				return c.format.print(cmd, answer, func(w io.Writer) {
					line(w, "%d are put again; tminus aws diff tells when they are", answer.GetRules())
				})
			})
		},
	}
}
