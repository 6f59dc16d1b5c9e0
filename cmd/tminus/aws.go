package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/cli"
	"tminus.dev/internal/config"
)

// addAWS adds what of `tminus aws` needs the configuration, and no server.
func addAWS(root *cobra.Command, environ []string) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == "aws" {
			cmd.AddCommand(policyCommand(environ))
		}
	}
}

var errNoAWS = errors.New("neither scheduler.eventScheduler.scheme nor scheduler.workflowExecutor.scheme is aws in this configuration; name the one that is, with --config")

func policyCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Print the least policies that the configuration needs in AWS",
		Long: `Print the policies that the configuration in force needs, and no more: of the identity that tminus runs as, of the role with
which AWS sends, and of the queue. What is called optional lets tminus look before it overwrites, compare (tminus aws diff)
and see how many messages wait; it works without.`,
		Example: "  tminus aws policy --config tminus.yaml",
		Args:    cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, environ)
			if err != nil {
				return err
			}
			var s *aws.SchedulerConfig
			var e *aws.ExecutorConfig
			if events := c.Scheduler.EventScheduler; events.Scheme == config.AWS {
				a := events.AWS()
				s = &a
			}
			if executor := c.Scheduler.WorkflowExecutor; executor.Scheme == config.AWS {
				a := executor.AWS()
				e = &a
			}
			if s == nil && e == nil {
				return errNoAWS
			}
			policies, err := aws.Policies(s, e)
			if err != nil {
				return err
			}
			return cli.Print(cmd, policies, func(w io.Writer) {
				for i, p := range policies {
					if i > 0 {
						_, _ = io.WriteString(w, "\n") //nolint:errcheck // As with all output.
					}
					_, _ = io.WriteString(w, "# "+p.Name+" of "+p.Where+"\n"+p.Document+"\n") //nolint:errcheck // Likewise.
				}
			})
		},
	}
	settingsFlags(cmd)
	return cmd
}
