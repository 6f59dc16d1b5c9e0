package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tminus.dev/cron"
)

// defaultWindow is how much time load looks at if it is not told until when.
const defaultWindow = 24 * time.Hour

// A cronMinute is a minute in which schedules fire.
type cronMinute struct {
	Minute string `json:"minute"`
	Count  int    `json:"count"`
}

// A cronLoad is what many schedules come to.
type cronLoad struct {
	Schedules int          `json:"schedules"`
	Slots     int          `json:"slots"`
	From      string       `json:"from"`
	To        string       `json:"to"`
	Minutes   []cronMinute `json:"minutes"` // in order, those in which something fires
}

func (c *client) cronLoadCommand() *cobra.Command {
	var q cronQuestion
	var top int
	cmd := &cobra.Command{
		Use:   "load EXPRESSION...",
		Short: "Count how many expressions fire in each minute",
		Long: `Count how many of many expressions fire in each minute after --from, up to and including --to, and print the busiest: the herd that
comes at nine o'clock. A rate counts from --from, unless there is an --anchor.

With - they come from standard input, one JSON object a line, such as {"expr": "0 9 * * ? *", "timezone": "Europe/Berlin"}, and
each minute in which something fires is written as one a line, in order: {"minute": …, "count": …}. What cannot be read comes first, as
{"error": …, "line": …}, and the exit code is 1. Lines cannot have a window of their own.`,
		Example: `  tminus cron load '0 9 * * ? *' '0 9 ? * MON-FRI *' 'rate(15 minutes)'
  tminus cron load - --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z < schedules.jsonl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misused(cmd, "EXPRESSION is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if top < 1 {
				return misused(cmd, "--top %d: 1 is the least", top)
			}
			q.reader, q.now, q.anchored = newCronReader(), time.Now().Truncate(time.Second), true
			if err := q.readFrom(); err != nil {
				return c.cronFailed(cmd, err)
			}
			if q.To == "" {
				q.To = q.from.Add(defaultWindow).Format(time.RFC3339)
			}
			if args[0] == "-" && len(args) == 1 {
				return untilDone(cmd.Context(), func() error { return c.loadStream(cmd, q) })
			}
			var schedules []cron.Schedule
			for _, expr := range args {
				q.Expr = expr
				s, err := q.schedule()
				if err != nil {
					return c.cronFailed(cmd, err)
				}
				schedules = append(schedules, s)
			}
			load, err := q.collide(schedules)
			if err != nil {
				return c.cronFailed(cmd, err)
			}
			return c.format.print(cmd, load, func(w io.Writer) { load.print(w, top) })
		},
	}
	q.addFlags(cmd, true, "RFC 3339 time until which to look (default: a day after --from)")
	cmd.Flags().IntVar(&top, "top", 10, "how many of the busiest minutes to print")
	return cmd
}

// loadStream reads schedules, one a line, and writes the minutes in which they fire.
func (c *client) loadStream(cmd *cobra.Command, defaults cronQuestion) error {
	w := bufio.NewWriter(cmd.OutOrStdout())
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	var schedules []cron.Schedule
	lines, failed := 0, 0
	err := eachLine(cmd.InOrStdin(), w.Flush, func(line []byte) error {
		lines++
		q, err := defaults.line(line)
		if err == nil && (q.From != defaults.From || q.To != defaults.To) {
			err = errors.New("a line has no window of its own: leave out from and to, and set --from and --to")
		}
		if err == nil {
			var s cron.Schedule
			if s, err = q.schedule(); err == nil {
				schedules = append(schedules, s)
				return nil
			}
		}
		failed++
		problem := problemOf(err)
		problem.Line = lines
		return out.Encode(problem)
	})
	if err != nil {
		return errors.Join(w.Flush(), err)
	}
	load, err := defaults.collide(schedules)
	if err != nil {
		return c.cronFailed(cmd, err)
	}
	for _, minute := range load.Minutes {
		if err := out.Encode(minute); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d lines cannot be read, and were not counted", failed, lines)
	}
	return nil
}

// collide counts how many schedules fire in each minute of the window.
func (q *cronQuestion) collide(schedules []cron.Schedule) (cronLoad, error) {
	from, to, err := q.window()
	if err != nil {
		return cronLoad{}, err
	}
	herd, err := cron.Collide(from, to, schedules...)
	if err != nil {
		return cronLoad{}, &questionError{"to", "to", q.To, err.Error()}
	}
	load := cronLoad{
		Schedules: len(schedules), Slots: herd.Total(),
		From: from.Format(time.RFC3339), To: to.Format(time.RFC3339), Minutes: []cronMinute{},
	}
	for minute, n := range herd.All() {
		load.Minutes = append(load.Minutes, cronMinute{minute.Format(time.RFC3339), n})
	}
	return load, nil
}

// print writes the busiest minutes, as many as asked for.
func (l *cronLoad) print(w io.Writer, top int) {
	line(w, "%d slots of %d schedules in %d minutes, after %s, until %s", l.Slots, l.Schedules, len(l.Minutes), l.From, l.To)
	busiest := slices.Clone(l.Minutes)
	slices.SortStableFunc(busiest, func(a, b cronMinute) int { return cmp.Compare(b.Count, a.Count) })
	if len(busiest) > 0 {
		line(w, "")
		row(w, "MINUTE", "SCHEDULES")
	}
	for _, minute := range busiest[:min(top, len(busiest))] {
		row(w, minute.Minute, strconv.Itoa(minute.Count))
	}
}
