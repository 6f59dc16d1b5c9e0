package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"tminus.dev/internal/cli"
	"tminus.dev/internal/config"
	"tminus.dev/internal/flyte"
)

const (
	// ahead is when a comparison of what comes begins: what is due sooner may be fired while both sides are asked.
	ahead = time.Minute
	// behind is when one of what was ends: what came due later may be being launched.
	behind = time.Minute
)

var (
	errBothWays = errors.New("--within looks ahead and --since looks back; give one of them")
	errTooShort = errors.New("--since has to be more than a minute: what came due in the last one may be being launched")
	errNegative = errors.New("--within and --show cannot be negative")
)

func compareCommand(environ []string) *cobra.Command {
	var (
		within, since time.Duration
		zone          string
		show          int
	)
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Compare what tminus fires, or fired, with the Flyte beside it",
		Long: `Compare this tminus (that of --endpoint, or else of server.grpcAddr) with the Flyte of admin.endpoint, slot by slot, of all projects or those of -p and -d.

With --within: what tminus is to fire from a minute from now on, against what Flyte's own scheduler is to fire by the launch
plans that are active there, whether either of them runs or not. With --since: what tminus launched up to a minute ago, against the
scheduled executions on Flyte, whoever launched them; a slot with two executions is one of the differences.

  here       tminus fires it, and Flyte does not
  there      Flyte fires it, and tminus does not
  differs    both fire it, under different names of executions: twice, on the same Flyte
  doubled    one of them fires it more than once
  uncertain  tminus fires it; when Flyte does, it does not tell

The exit code is 1 if there are differences.`,
		Example: `  tminus compare --config tminus.yaml
  tminus compare --config tminus.yaml --within 24h -p shop -d production
  tminus compare --config tminus.yaml --since 6h --show 100 -o json`,
		Args: cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			misused := func(err error) error { return &cli.UsageError{Command: cmd.CommandPath(), Err: err} }
			if cmd.Flags().Changed("within") && cmd.Flags().Changed("since") {
				return misused(errBothWays)
			}
			if cmd.Flags().Changed("since") && since <= behind {
				return misused(errTooShort)
			}
			if within < 0 || show < 0 {
				return misused(errNegative)
			}
			location, err := time.LoadLocation(zone)
			if err != nil {
				return misused(fmt.Errorf("--flyte-timezone: %w", err))
			}
			return beside(cmd, environ, func(ctx context.Context, _ *config.Config, here, there grpc.ClientConnInterface) error {
				now := time.Now().UTC().Truncate(time.Second)
				c := flyte.CompareConfig{Project: given(cmd, "project"), Domain: given(cmd, "domain"), Zone: location, Few: show}
				var found flyte.Comparison
				if since > 0 {
					c.From, c.Until = now.Add(-since), now.Add(-behind)
					found, err = flyte.ComparePast(ctx, here, there, c)
				} else {
					c.From, c.Until = now.Add(ahead), now.Add(ahead+within)
					found, err = flyte.CompareComing(ctx, here, there, c)
				}
				if err != nil {
					return err
				}
				if err := cli.Print(cmd, found, func(w io.Writer) { printComparison(w, found, show) }); err != nil {
					return err
				}
				if len(found.Differences) > 0 {
					return cli.ErrReported
				}
				return nil
			})
		},
	}
	settingsFlags(cmd)
	cmd.Flags().DurationVar(&within, "within", time.Hour, "compare what comes in this time")
	cmd.Flags().DurationVar(&since, "since", 0, "compare what became of the slots of this time, up to now, rather than what comes")
	cmd.Flags().StringVar(&zone, "flyte-timezone", "UTC", "zone of Flyte's scheduler, which is UTC if its useUTCTz is set, else its pod's")
	cmd.Flags().IntVar(&show, "show", 20, "how many launch plans, and how many slots, to list that differ")
	return cmd
}

var verdicts = []flyte.Verdict{flyte.Same, flyte.OnlyHere, flyte.OnlyThere, flyte.Differs, flyte.Doubled, flyte.Uncertain}

// printComparison writes a comparison for people, with the first few launch plans and slots that differ.
func printComparison(w io.Writer, c flyte.Comparison, few int) {
	counts := make([]string, len(verdicts))
	for i, v := range verdicts {
		counts[i] = fmt.Sprintf("%d %s", c.Slots[v], v)
	}
	fmt.Fprintf(w, "slots after %s, up to %s, of %d launch plans: %s\n",
		c.From.Format(time.RFC3339), c.Until.Format(time.RFC3339), c.LaunchPlans, strings.Join(counts, ", "))
	for _, warning := range c.Warnings {
		fmt.Fprintln(w, "warning: this tminus: "+warning)
	}
	if len(c.Differences) == 0 {
		return
	}
	fmt.Fprintln(w, "\nLAUNCH PLAN\tSAME\tHERE\tTHERE\tDIFFERS\tDOUBLED\tUNCERTAIN\tWHY")
	type line struct {
		flyte.SlotComparison
		plan string
	}
	var lines []line
	for i, p := range c.Differences {
		for _, s := range p.First {
			lines = append(lines, line{s, p.LaunchPlan})
		}
		if i >= few {
			continue
		}
		cells := []string{p.LaunchPlan}
		for _, v := range verdicts {
			cells = append(cells, strconv.Itoa(p.Slots[v]))
		}
		fmt.Fprintln(w, strings.Join(append(cells, cmp.Or(strings.Join(p.Why, "; "), "-")), "\t"))
	}
	if more := len(c.Differences) - few; more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.Slot.Compare(b.Slot) })
	if len(lines) == 0 || few == 0 {
		return
	}
	fmt.Fprintln(w, "\nSLOT\tLAUNCH PLAN\tIS\tTMINUS\tFLYTE")
	for _, l := range lines[:min(few, len(lines))] {
		fmt.Fprintln(w, strings.Join([]string{l.Slot.Format(time.RFC3339), l.plan, string(l.Verdict), cmp.Or(l.Here, "-"), cmp.Or(l.There, "-")}, "\t"))
	}
	total := 0
	for _, v := range verdicts[1:] {
		total += c.Slots[v]
	}
	if more := total - few; more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
}
