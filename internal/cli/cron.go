package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tminus.dev/cron"
)

// maxSlots bounds how many slots a command prints.
const maxSlots = 100_000

func (c *client) cronCommand() *cobra.Command {
	return Group("cron", "Try out cron and rate expressions; needs no server", "", c.cronNextCommand(), c.cronValidateCommand())
}

func (c *client) cronNextCommand() *cobra.Command {
	var (
		zone, from string
		n          int
	)
	cmd := &cobra.Command{
		Use:   "next EXPRESSION",
		Short: "Print the next slots of an expression",
		Long: `Print the next slots of an expression, one RFC 3339 time a line, in the zone of the expression.

The expression is AWS cron (six fields, or cron(…)), unix cron (five fields, or an alias such as @daily)
or rate(…). A rate counts from --from. If there is no slot any more, the exit code is 1.`,
		Example: `  tminus cron next '0 10 * * ? *'
  tminus cron next '0 9 * * MON-FRI' --timezone Europe/Berlin -n 10
  tminus cron next '0 10 L * ? *' --from 2026-01-01T00:00:00Z -o json`,
		Args: oneExpression,
		RunE: func(cmd *cobra.Command, args []string) error {
			start := time.Now().Truncate(time.Second)
			if from != "" {
				var err error
				if start, err = time.Parse(time.RFC3339, from); err != nil {
					return misused(cmd, "--from %q: use an RFC 3339 time such as 2026-01-31T09:00:00Z", from)
				}
			}
			if n < 1 || n > maxSlots {
				return misused(cmd, "-n %d: use a number from 1 to %d", n, maxSlots)
			}
			s, err := c.parseExpression(cmd, args[0], zone)
			if err != nil {
				return err
			}
			s = s.WithAnchor(start)
			var slots []string
			for t := s.Next(start); !t.IsZero() && len(slots) < n; t = s.Next(t) {
				slots = append(slots, t.Format(time.RFC3339))
			}
			if len(slots) == 0 {
				return fmt.Errorf("%s has no slot after %s", s, start.Format(time.RFC3339))
			}
			return c.format.print(cmd, slots, func(w io.Writer) {
				for _, slot := range slots {
					line(w, "%s", slot)
				}
			})
		},
	}
	cmd.Flags().StringVar(&zone, "timezone", "", "IANA name of the zone to read the expression in (default: UTC, or that of its CRON_TZ=)")
	cmd.Flags().StringVar(&from, "from", "", "RFC 3339 time after which the slots lie (default: now)")
	cmd.Flags().IntVarP(&n, "number", "n", 5, "how many slots")
	return cmd
}

func (c *client) cronValidateCommand() *cobra.Command {
	var zone string
	cmd := &cobra.Command{
		Use:   "validate EXPRESSION",
		Short: "Say whether an expression is right, and what is wrong with it",
		Long: `Say whether an expression is right: the exit code is 0, and what it is read as is printed. If it is
wrong, or can never fire, the exit code is 1, and the error shows where.`,
		Example: "  tminus cron validate '0 10 ? * MON-FRI *'",
		Args:    oneExpression,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := c.parseExpression(cmd, args[0], zone)
			if err != nil {
				return err
			}
			if s.Never() {
				return fmt.Errorf("%s can never fire: there is no such date", s)
			}
			read := struct {
				Expression string `json:"expression"`
				Dialect    string `json:"dialect"`
				Timezone   string `json:"timezone,omitempty"`
				Next       string `json:"next,omitempty"`
			}{Expression: s.String(), Dialect: s.Dialect().String()}
			if s.Dialect() != cron.Rate {
				read.Timezone = s.Location().String()
				if next := s.Next(time.Now()); !next.IsZero() {
					read.Next = next.Format(time.RFC3339)
				}
			}
			return c.format.print(cmd, read, func(w io.Writer) {
				field(w, "Expression", read.Expression)
				field(w, "Dialect", read.Dialect)
				field(w, "Timezone", read.Timezone)
				field(w, "Next", read.Next)
			})
		},
	}
	cmd.Flags().StringVar(&zone, "timezone", "", "IANA name of the zone to read the expression in")
	return cmd
}

// oneExpression takes an expression as one argument.
func oneExpression(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		// The shell has put file names in the place of *, so the arguments are not shown.
		return misused(cmd, "EXPRESSION came as %d arguments; quote the expression, as in '0 10 * * ? *'", len(args))
	}
	return Exactly("EXPRESSION")(cmd, args)
}

// parseExpression parses an expression, in a zone unless that is empty. What
// is wrong with it is shown under it.
func (c *client) parseExpression(cmd *cobra.Command, expression, zone string) (cron.Schedule, error) {
	s, err := cron.Parse(expression)
	if syntax, ok := errors.AsType[*cron.SyntaxError](err); ok && c.format == table {
		line(cmd.ErrOrStderr(), "%s", underline(syntax))
	}
	if err != nil || zone == "" {
		return s, err
	}
	where, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return s, misused(cmd, "--timezone %q: use an IANA name such as Europe/Berlin, or UTC", zone)
	}
	return s.In(where), nil
}

// underline shows the expression, and below it what is wrong in it.
func underline(e *cron.SyntaxError) string {
	// Anything but plain characters would not line up, or do things to a terminal.
	visible := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == utf8.RuneError {
				return '?'
			}
			return r
		}, s)
	}
	start := min(max(e.Start, 0), len(e.Expr))
	end := min(max(e.End, start), len(e.Expr))
	before, wrong := visible(e.Expr[:start]), visible(e.Expr[start:end])
	return "  " + visible(e.Expr) + "\n  " + strings.Repeat(" ", utf8.RuneCountInString(before)) +
		strings.Repeat("^", max(1, utf8.RuneCountInString(wrong)))
}
