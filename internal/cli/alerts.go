package cli

import (
	"cmp"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

func (c *client) alertsCommand() *cobra.Command {
	cmd := Group("alerts", "Read which schedules are in trouble, and try the channels that tell people", "", c.alertsListCommand(), c.alertsTestCommand())
	cmd.Aliases = []string{"alert"}
	return cmd
}

func (c *client) alertsListCommand() *cobra.Command {
	var everywhere bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list [LAUNCHPLAN]",
		Short: "List alerts, the newest first",
		Long: `List the alerts that last, and those that are over and of which people are about to be told.
What they mean is in docs/alerts.md.`,
		Example:           "  tminus alerts list -A",
		Args:              Exactly("[LAUNCHPLAN]"),
		ValidArgsFunction: c.completer(c.launchPlanNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &tminusv1.ListAlertsRequest{Project: c.project, Domain: c.domain}
			if everywhere {
				request.Project, request.Domain = "", ""
			}
			if len(args) > 0 {
				request.Name = args[0]
			}
			return c.with(func(s *connection) error {
				list := &tminusv1.ListAlertsResponse{}
				err := pages(limit, func(size uint32, token string) (int, string, error) {
					request.Limit, request.Token = size, token
					page, err := s.alerts.ListAlerts(cmd.Context(), request)
					list.Alerts = append(list.Alerts, page.GetAlerts()...)
					return len(page.GetAlerts()), page.GetToken(), err
				})
				if err != nil {
					return err
				}
				return c.format.print(cmd, list, func(w io.Writer) {
					row(w, "SINCE", "LAUNCH PLAN", "KIND", "SLOT", "ENDED", "REASON")
					for _, a := range list.GetAlerts() {
						ended := ""
						if a.GetEndedAt() != nil {
							ended = a.GetEndedAt().AsTime().Format(time.RFC3339)
						}
						row(w, a.GetSince().AsTime().Format(time.RFC3339), a.GetName(), a.GetKind(), a.GetSlot().AsTime().Format(time.RFC3339), ended, a.GetReason())
					}
				})
			})
		},
	}
	everywhereFlag(cmd, &everywhere)
	limitFlag(cmd, &limit, 50)
	return cmd
}

// errUntold is the end of a test that not every channel passed; which ones is said already.
var errUntold = errors.New("people would not be told through every channel")

func (c *client) alertsTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send a test message through every channel that the server has",
		Long: `Send a message that says it is a test through every channel of the server's configuration, and
say how each took it. At PagerDuty an incident is opened and resolved at once.`,
		Args: Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(func(s *connection) error {
				answer, err := s.alerts.TestAlerts(cmd.Context(), &tminusv1.TestAlertsRequest{})
				if err != nil {
					return err
				}
				if len(answer.GetChannels()) == 0 {
					return errors.New("the server has no channel for alerts; docs/alerts.md says how to configure one")
				}
				err = c.format.print(cmd, answer, func(w io.Writer) {
					row(w, "CHANNEL", "RESULT")
					for _, t := range answer.GetChannels() {
						row(w, t.GetChannel(), cmp.Or(t.GetError(), "sent"))
					}
				})
				for _, t := range answer.GetChannels() {
					if t.GetError() != "" && err == nil {
						err = errUntold
					}
				}
				return err
			})
		},
	}
}
