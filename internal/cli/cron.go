package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tminus.dev/cron"
)

// maxSlots bounds how many slots a command prints for one expression.
const maxSlots = 100_000

const cronLong = `Try out cron and rate expressions. None of these commands needs a server.

An EXPRESSION is AWS cron (six fields, or cron(…)), unix cron (five fields, or an alias such as @daily), rate(…),
@every with a duration, or at(…). Quote it: the shell has plans of its own for *.

--except and --only take files of dates, such as the holidays of an exchange: iCalendar (.ics), or YAML (.yaml), which is a
list of dates (2026-12-25) and ranges (2026-12-24/2026-12-31), or names with such lists; calendars.yaml#nyse picks one of several.

With - in its place, expressions come from standard input, one JSON object a line, and the answers go out one a line,
in the same order:

  {"expr": "0 9 * * MON-FRI", "timezone": "Europe/Berlin", "from": "2026-01-01T00:00:00Z", "n": 3}
  {"times":["2026-01-01T09:00:00+01:00","2026-01-02T09:00:00+01:00","2026-01-05T09:00:00+01:00"]}

The keys are those of the flags (dstGap for --dst-gap, n for --number); what a line leaves out, the flags say. A line that
cannot be answered gets {"error": …, "field": …, "span": [from, to]}, and the exit code is 1. The span is in bytes of the expression.`

func (c *client) cronCommand() *cobra.Command {
	return Group("cron", "Try out cron and rate expressions; needs no server", cronLong,
		c.cronValidateCommand(), c.cronNextCommand(), c.cronPrevCommand(), c.cronBetweenCommand(),
		c.cronExplainCommand(), c.cronConvertCommand(), c.cronLoadCommand())
}

func (c *client) cronValidateCommand() *cobra.Command {
	cmd := c.cronAskCommand(cronAsk{
		answer: func(q *cronQuestion, s cron.Schedule) (a cronAnswer, err error) {
			if s.Never() {
				why, ok := strings.CutPrefix(s.Explain(), "Never: ")
				if !ok {
					why = "all its slots are left out"
				}
				return a, fmt.Errorf("%s can never fire: %s", s, why)
			}
			a.Expr, a.Dialect = s.String(), s.Dialect().String()
			if s.Dialect() == cron.Rate {
				return a, nil
			}
			a.Timezone = s.Location().String()
			if next := s.Next(q.now); !next.IsZero() {
				a.Next = next.Format(time.RFC3339)
			}
			return a, nil
		},
		people: func(w io.Writer, a cronAnswer) {
			field(w, "Expression", a.Expr)
			field(w, "Dialect", a.Dialect)
			field(w, "Timezone", a.Timezone)
			field(w, "Next", a.Next)
		},
	})
	cmd.Use = "validate EXPRESSION"
	cmd.Short = "Say whether an expression is right, and what is wrong with it"
	cmd.Long = `Say whether an expression is right: the exit code is 0, and what it is read as is printed, in its canonical form. If it
is wrong, or can never fire, the exit code is 1, and the error shows where.`
	cmd.Example = "  tminus cron validate '0 10 ? * MON-FRI *'\n  tminus cron validate - < expressions.jsonl"
	return cmd
}

func (c *client) cronNextCommand() *cobra.Command {
	cmd := c.cronAskCommand(cronAsk{
		from: true, anchored: true, number: 5,
		answer: func(q *cronQuestion, s cron.Schedule) (cronAnswer, error) { return q.times(s.Next) },
		people: printTimes,
		none:   "after",
	})
	cmd.Use = "next EXPRESSION"
	cmd.Short = "Print the next slots of an expression"
	cmd.Long = `Print the next slots of an expression after --from, one RFC 3339 time a line, in the zone of the expression.
A rate counts from --from, unless there is an --anchor. If there is no slot any more, the exit code is 1.`
	cmd.Example = `  tminus cron next '0 10 * * ? *'
  tminus cron next '0 9 * * MON-FRI' --timezone Europe/Berlin -n 10
  tminus cron next '0 9 * * MON-FRI' --except holidays.ics
  tminus cron next '0 10 L * ? *' --from 2026-01-01T00:00:00Z -o json`
	return cmd
}

func (c *client) cronPrevCommand() *cobra.Command {
	cmd := c.cronAskCommand(cronAsk{
		from: true, number: 5,
		answer: func(q *cronQuestion, s cron.Schedule) (cronAnswer, error) { return q.times(s.Prev) },
		people: printTimes,
		none:   "before",
	})
	cmd.Use = "prev EXPRESSION"
	cmd.Short = "Print the last slots of an expression"
	cmd.Long = `Print the last slots of an expression before --from, the latest first, one RFC 3339 time a line. A rate counts from
--anchor, or from 1970. If there is no slot, the exit code is 1.`
	cmd.Example = "  tminus cron prev '0 10 L * ? *' -n 3"
	return cmd
}

func (c *client) cronBetweenCommand() *cobra.Command {
	cmd := c.cronAskCommand(cronAsk{
		from: true, anchored: true, to: "RFC 3339 time until which to look", number: maxSlots,
		answer: func(q *cronQuestion, s cron.Schedule) (cronAnswer, error) {
			a := cronAnswer{Times: []string{}}
			from, to, err := q.window()
			if err != nil {
				return a, err
			}
			if err := q.checkNumber(); err != nil {
				return a, err
			}
			for t := range s.Between(from, to) {
				if len(a.Times) == q.N {
					return a, q.numberErr(fmt.Sprintf("there are %d slots; narrow the window, or ask for up to %d", s.Count(from, to), maxSlots))
				}
				a.Times = append(a.Times, t.Format(time.RFC3339))
			}
			return a, nil
		},
		people: printTimes,
	})
	cmd.Use = "between EXPRESSION"
	cmd.Short = "Print the slots of an expression in a window of time"
	cmd.Long = `Print the slots of an expression after --from, up to and including --to, one RFC 3339 time a line.
A rate counts from --from, unless there is an --anchor. That there are none is no error; that there are more than --number is.`
	cmd.Example = "  tminus cron between '0 9 * * MON' --from 2026-01-01T00:00:00Z --to 2026-04-01T00:00:00Z"
	return cmd
}

func (c *client) cronExplainCommand() *cobra.Command {
	cmd := c.cronAskCommand(cronAsk{
		answer: func(_ *cronQuestion, s cron.Schedule) (cronAnswer, error) {
			return cronAnswer{Explanation: s.Explain()}, nil
		},
		people: func(w io.Writer, a cronAnswer) { line(w, "%s", a.Explanation) },
	})
	cmd.Use = "explain EXPRESSION"
	cmd.Short = "Say in plain English when an expression fires"
	cmd.Example = "  tminus cron explain '15 10 ? * 6L 2030-2035'"
	return cmd
}

func (c *client) cronConvertCommand() *cobra.Command {
	cmd := c.cronAskCommand(cronAsk{
		to: "the dialect: aws, unix or rate",
		answer: func(q *cronQuestion, s cron.Schedule) (cronAnswer, error) {
			dialect := map[string]cron.Dialect{"aws": cron.AWS, "unix": cron.Unix, "rate": cron.Rate}[q.To]
			if dialect == 0 {
				return cronAnswer{}, &questionError{"to", "to", q.To, "use aws, unix or rate"}
			}
			converted, err := s.Convert(dialect)
			if err != nil {
				return cronAnswer{}, err
			}
			return cronAnswer{Expr: converted.String(), Dialect: converted.Dialect().String()}, nil
		},
		people: func(w io.Writer, a cronAnswer) { line(w, "%s", a.Expr) },
	})
	cmd.Use = "convert EXPRESSION"
	cmd.Short = "Write an expression in another dialect"
	cmd.Long = `Write an expression in the dialect --to: aws, unix or rate. It is printed if it has an exact equivalent there; if it has none, the
exit code is 1, and the error says why. Zones, anchors, and the rules for changes of clocks are no part of an expression: --dst-repeat
is first for AWS cron and both for unix cron, if it is not set.`
	cmd.Example = "  tminus cron convert '0 9 * * MON-FRI' --to aws"
	complete(cmd, "to", "aws", "unix", "rate")
	return cmd
}

func printTimes(w io.Writer, a cronAnswer) {
	for _, t := range a.Times {
		line(w, "%s", t)
	}
}

// A cronAsk is a command that is asked about an expression.
type cronAsk struct {
	from     bool   // it has the flag --from
	anchored bool   // from which rates count
	to       string // it has --to, which means this
	number   int    // and --number, which is this if it is not set
	answer   func(*cronQuestion, cron.Schedule) (cronAnswer, error)
	people   func(io.Writer, cronAnswer)
	none     string // if it is an error that there are no times: where from --from they should be
}

// A cronAnswer is what a command says to programs, of one expression and in a stream.
type cronAnswer struct {
	Expr        string   `json:"expr,omitempty"`
	Dialect     string   `json:"dialect,omitempty"`
	Timezone    string   `json:"timezone,omitempty"`
	Next        string   `json:"next,omitempty"`
	Times       []string `json:"times,omitzero"`
	Explanation string   `json:"explanation,omitempty"`
	cronProblem
}

// cronAskCommand makes a command of ask, without its texts.
func (c *client) cronAskCommand(ask cronAsk) *cobra.Command {
	var q cronQuestion
	cmd := &cobra.Command{Args: oneExpression}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.reader, q.now, q.anchored = newCronReader(), time.Now().Truncate(time.Second), ask.anchored
		if args[0] == "-" {
			return untilDone(cmd.Context(), func() error { return streamCron(cmd, q, ask.answer) })
		}
		q.Expr = args[0]
		a, err := q.ask(ask.answer)
		if err == nil && ask.none != "" && len(a.Times) == 0 {
			err = fmt.Errorf("%s has no slot %s %s", q.Expr, ask.none, q.from.Format(time.RFC3339))
		}
		if err != nil {
			return c.cronFailed(cmd, err)
		}
		return c.format.print(cmd, a, func(w io.Writer) { ask.people(w, a) })
	}
	q.addFlags(cmd, ask.from, ask.to)
	if ask.number > 0 {
		cmd.Flags().IntVarP(&q.N, "number", "n", ask.number, "how many slots at the most")
	}
	return cmd
}

// cronFailed shows what is wrong with an expression under it, and tells misuse from other errors.
func (c *client) cronFailed(cmd *cobra.Command, err error) error {
	if syntax, ok := errors.AsType[*cron.SyntaxError](err); ok && c.format == table {
		line(cmd.ErrOrStderr(), "%s", underline(syntax))
	}
	if wrong, ok := errors.AsType[*questionError](err); ok {
		return misused(cmd, "%s", wrong.onCommandLine())
	}
	return err
}

// oneExpression takes an expression as one argument.
func oneExpression(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		// The shell has put file names in the place of *, so the arguments are not shown.
		return misused(cmd, "EXPRESSION came as %d arguments; quote the expression, as in '0 10 * * ? *'", len(args))
	}
	return Exactly("EXPRESSION")(cmd, args)
}

// untilDone runs do until it returns, or until ctx is done: what waits for standard input cannot be woken.
func untilDone(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ErrReported
	}
}

// addFlags adds the flags that say how to read an expression, and if it has them, --from, and --to with what it means.
func (q *cronQuestion) addFlags(cmd *cobra.Command, from bool, to string) {
	flags := cmd.Flags()
	flags.StringVar(&q.Dialect, "dialect", "auto", "what the expression is in: aws, unix, rate, or auto, which tells by its form")
	flags.StringVar(&q.Timezone, "timezone", "", "IANA name of the zone to read the expression in (default: UTC, or that of its CRON_TZ=)")
	flags.StringVar(&q.DSTGap, "dst-gap", "", "what becomes of times that clocks skip: skip, or next, the first instant after (default: skip)")
	flags.StringVar(&q.DSTRepeat, "dst-repeat", "", "which of times that come twice fire: first, second, both (default: first for AWS, both for unix)")
	flags.StringVar(&q.Anchor, "anchor", "", "RFC 3339 time from which a rate counts")
	flags.StringArrayVar(&q.Or, "or", nil, "another expression, whose slots are added; may be repeated")
	flags.StringArrayVar(&q.Except, "except", nil, "an expression whose minutes are left out, or a file of dates (.yaml, .ics); may be repeated")
	flags.StringArrayVar(&q.Only, "only", nil, "a file of dates (.yaml, .ics) to which slots are kept; may be repeated")
	complete(cmd, "dialect", "auto", "aws", "unix", "rate")
	complete(cmd, "dst-gap", "skip", "next")
	complete(cmd, "dst-repeat", "first", "second", "both")
	if from {
		flags.StringVar(&q.From, "from", "", "RFC 3339 time from which to look (default: now)")
	}
	if to != "" {
		flags.StringVar(&q.To, "to", "", to)
	}
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
