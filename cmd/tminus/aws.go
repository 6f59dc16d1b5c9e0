package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/cli"
)

// addAWS adds what of `tminus aws` needs the configuration, and no server.
func addAWS(root *cobra.Command, environ []string) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == "aws" {
			cmd.AddCommand(policyCommand(environ), doctorCommand(environ))
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
			s, e, err := halves(cmd, environ)
			if err != nil {
				return err
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

// halves are those of the configuration in force that AWS does.
func halves(cmd *cobra.Command, environ []string) (s *aws.SchedulerConfig, e *aws.ExecutorConfig, err error) {
	c, err := load(cmd, environ)
	if err != nil {
		return nil, nil, err
	}
	if s, e = c.Scheduler.AWS(); s == nil && e == nil {
		return nil, nil, errNoAWS
	}
	return s, e, nil
}

// errUnwell is the end of an examination that found something wrong; what is said already.
var errUnwell = errors.New("something is wrong; see FIX")

func doctorCommand(environ []string) *cobra.Command {
	var endToEnd bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the set-up in AWS by trying it, harmlessly",
		Long: `Check the configuration in force against AWS, with the credentials that this process finds: credentials, clock, role,
permissions, the queue and who may send to it. Permissions are tried with a rule that never fires, a receipt that is
nobody's, and a look at one message, which others see again a second later. What it puts it takes out again.

With --end-to-end a rule sends a message the whole way, which takes up to three minutes; a tminus that reads the queue
leaves it alone. It exits with 1 when a check fails.`,
		Example: "  tminus aws doctor --config tminus.yaml --end-to-end",
		Args:    cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, e, err := halves(cmd, environ)
			if err != nil {
				return err
			}
			var findings []aws.Finding
			ok := aws.Examine(cmd.Context(), s, e, endToEnd, func(f aws.Finding) { findings = append(findings, f) })
			if err := cli.Print(cmd, findings, func(w io.Writer) {
				fmt.Fprintln(w, "CHECK\tVERDICT\tSEEN\tFIX")
				for _, f := range findings {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Check, f.Verdict, f.Seen, cmp.Or(f.Fix, "-"))
				}
			}); err != nil {
				return err
			}
			if !ok {
				return errUnwell
			}
			return nil
		},
	}
	settingsFlags(cmd)
	cmd.Flags().BoolVar(&endToEnd, "end-to-end", false, "send a message the whole way, and wait for it")
	return cmd
}
