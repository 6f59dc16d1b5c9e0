// Package cli is the client commands of tminus: they speak to a server over
// gRPC, as any Flyte client does, and cron works without one.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"tminus.dev/internal/manifest"
)

// What the program's exit code says.
const (
	// ExitDone says that the command did what was asked.
	ExitDone = 0
	// ExitFailed says that it could not, or that the answer is no, such as for
	// the validation of a bad expression.
	ExitFailed = 1
	// ExitMisused says that the command line itself is wrong: an unknown
	// command or flag, a missing argument, a flag's value of the wrong form.
	ExitMisused = 2
)

// A UsageError says that the command line is wrong. Commands beside those of
// this package may return it as well.
type UsageError struct {
	// Command is the command that was misused, such as "tminus cron next".
	Command string
	Err     error
}

// Error is what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *UsageError) Unwrap() error { return e.Err }

// misused is the UsageError of cmd.
func misused(cmd *cobra.Command, format string, args ...any) error {
	return &UsageError{Command: cmd.CommandPath(), Err: fmt.Errorf(format, args...)}
}

// ErrReported says that a command failed and has printed why. Commands beside
// those of this package may return it as well.
var ErrReported = errors.New("failed")

// New makes the command tminus with every command of this package. version is
// what it was built as, such as v1.2.3. The program adds its own commands.
func New(version string) *cobra.Command {
	c := &client{}
	root := Group("tminus", "Launch Flyte launch plans on time",
		`tminus launches Flyte launch plans on time.

Exit codes: 0 done; 1 failed, or the answer is no; 2 misused (unknown command or flag, wrong arguments).`,
		c.applyCommand(),
		c.launchPlansCommand(),
		c.schedulesCommand(),
		c.firingsCommand(),
		c.backfillCommand(),
		c.calendarsCommand(),
		c.alertsCommand(),
		c.deadLettersCommand(),
		c.awsCommand(),
		c.flyteCommand(),
		c.executionsCommand(),
		c.cronCommand(),
		c.versionCommand(version),
	)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misused(cmd, "%w", err) })

	flags := root.PersistentFlags()
	flags.StringVar(&c.endpoint, "endpoint", cmp.Or(os.Getenv("TMINUS_ENDPOINT"), defaultEndpoint),
		"gRPC address of the server, host:port, or https://host:port for TLS (environment: TMINUS_ENDPOINT)")
	flags.StringVarP(&c.project, "project", "p", "default", "Flyte project")
	flags.StringVarP(&c.domain, "domain", "d", "development", "Flyte domain")
	flags.StringVarP((*string)(&c.format), "output", "o", string(table), "output format: table, json or yaml")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return c.format.check(cmd) }
	complete(root, "output", string(table), string(jsonFormat), string(yamlFormat))
	complete(root, "domain", "development", "staging", "production")
	return root
}

// Run executes root, prints its error for people, and returns the program's exit code.
func Run(ctx context.Context, root *cobra.Command) int {
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitDone
	}
	var usage *UsageError
	switch {
	case errors.Is(err, ErrReported):
	case errors.As(err, &usage):
		fmt.Fprintf(root.ErrOrStderr(), "%s: %v\nSee '%s --help'.\n", root.Name(), err, cmp.Or(usage.Command, cmd.CommandPath()))
	default:
		fmt.Fprintf(root.ErrOrStderr(), "%s: %s\n", root.Name(), explain(err))
	}
	return ExitCode(err)
}

// ExitCode is the exit code that err, which a command returned, stands for.
func ExitCode(err error) int {
	var usage *UsageError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &usage):
		return ExitMisused
	default:
		return ExitFailed
	}
}

// explain is err as people read it: without what gRPC puts around a server's answer.
func explain(err error) string {
	if st, ok := errors.AsType[*manifest.StatusError](err); ok {
		return st.Error()
	}
	var answered interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &answered) {
		return err.Error()
	}
	return answered.GRPCStatus().Code().String() + ": " + answered.GRPCStatus().Message()
}

// Group makes a command that only holds others.
func Group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean " + near[0] + "?"
			}
			return misused(cmd, "unknown command %q%s", args[0], hint)
		},
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(commands...)
	return cmd
}

// Exactly takes arguments of these names, all of which are required, unless
// they are in brackets, as in a usage line.
func Exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return misused(cmd, "unexpected argument %q", args[len(names)])
		}
		for _, name := range names[len(args):] {
			if !strings.HasPrefix(name, "[") {
				return misused(cmd, "%s is missing", name)
			}
		}
		return nil
	}
}

// complete offers values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // The flag is not there: a mistake in this package.
	}
}
