// Command enginebench measures how fast tminus fires, on SQLite and on a
// PostgreSQL server that it starts, and prints the tables of
// docs/performance.md. Each figure comes from a process of its own, so that the
// memory and processor time are those of that one measurement.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if job := os.Getenv(jobVariable); job != "" {
		if err := work(context.Background(), job, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "enginebench:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.databases, "databases", "sqlite,postgres", "databases to measure, separated by commas")
	flag.StringVar(&o.only, "only", "", "measurements, separated by commas: rows, burst, steady, spread, idle, edit, outage; all if empty")
	flag.StringVar(&o.sizes, "sizes", "1000,10000,100000,1000000", "numbers of schedules, separated by commas")
	flag.DurationVar(&o.window, "window", 2*time.Minute, "how long schedules that are spread over the hour are watched, in whole minutes")
	flag.IntVar(&o.runs, "runs", 1, "how often each burst is measured; medians are printed")
	flag.StringVar(&o.dir, "dir", "", "directory for SQLite's databases; the system's temporary one if empty")
	flag.StringVar(&o.profiles, "profiles", "", "directory for a profile of each measurement, for go tool pprof; none if empty")
	flag.Parse()
	if err := run(context.Background(), &o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "enginebench:", err)
		os.Exit(1)
	}
}

type options struct {
	databases, only, sizes, dir, profiles string
	window                                time.Duration
	runs                                  int
}

// table is one measurement for several numbers of schedules.
type table struct {
	name, title string
	columns     []string
	// sizes picks from those that were asked for.
	sizes func(asked []int) []int
	row   func(r *result) []string
	// again says that it is worth running more than once.
	again bool
}

func all(asked []int) []int { return asked }

func only(n int) func([]int) []int { return func([]int) []int { return []int{n} } }

func largest(asked []int) []int { return []int{slices.Max(asked)} }

var tables = []table{
	{
		name: "rows", title: "Recording slots (reading what is due, planning it, firings, cursors), beside plain inserts of the same rows in the same batches and streams", sizes: only(200_000), again: true,
		columns: []string{"recorded/s", "plain inserts/s", "ratio", "plain inserts/s without secondary indexes", "ratio"},
		row: func(r *result) []string {
			return []string{rate(r.Recorded), rate(r.Plain), fmt.Sprintf("%.2f", r.Recorded/r.Plain), rate(r.Bare), fmt.Sprintf("%.2f", r.Recorded/r.Bare)}
		},
	},
	{
		name: "burst", title: "All due in one minute", sizes: all, again: true,
		columns: []string{"all launched after", "firings/s", "lateness p50", "p99", "CPU tminus", "CPU server", "resident (peak)"},
		row: func(r *result) []string {
			return []string{span(r.Took), rate(float64(r.Firings) / r.Took.Seconds()), span(r.P50), span(r.P99), span(r.CPU), span(r.Server), megabytes(r.Peak)}
		},
	},
	{
		name: "steady", title: "A thousand a second, for two minutes (60,000 schedules at `rate(1 minute)`)", sizes: only(60_000),
		columns: []string{"firings", "lateness p50", "p99", "CPU tminus a minute", "CPU server a minute", "resident (peak)"},
		row:     watched,
	},
	{
		name: "spread", title: "Spread over the minutes of the hour", sizes: all,
		columns: []string{"firings", "lateness p50", "p99", "CPU tminus a minute", "CPU server a minute", "resident (peak)"},
		row:     watched,
	},
	{
		name: "idle", title: "Idle", sizes: largest,
		columns: []string{"ready after", "idle CPU tminus", "idle CPU server", "one sweep", "resident (start)", "resident (after a sweep)"},
		row: func(r *result) []string {
			return []string{span(r.Ready), share(r.CPU, r.Took), share(r.Server, r.Took), span(r.Sweep), megabytes(r.Resident), megabytes(r.Peak)}
		},
	},
	{
		name: "edit", title: "One change among so many", sizes: all,
		columns: []string{"add, median", "p99", "edit, median", "p99", "remove, median", "p99"},
		row: func(r *result) []string {
			var cells []string
			for _, e := range r.Edits {
				cells = append(cells, span(e.Median), span(e.P99))
			}
			return cells
		},
	},
	{
		name: "outage", title: "An hour's outage, with every slot of it to be caught up", sizes: func([]int) []int { return []int{1_000, 16_667} },
		columns: []string{"slots", "all launched after", "slots/s", "CPU tminus", "CPU server", "resident (peak)"},
		row: func(r *result) []string {
			return []string{strconv.Itoa(r.Firings), span(r.Took), rate(float64(r.Firings) / r.Took.Seconds()), span(r.CPU), span(r.Server), megabytes(r.Peak)}
		},
	},
}

func watched(r *result) []string {
	minutes := time.Duration(r.Took.Minutes())
	return []string{strconv.Itoa(r.Firings), span(r.P50), span(r.P99), span(r.CPU / minutes), span(r.Server / minutes), megabytes(r.Peak)}
}

func run(ctx context.Context, o *options, w io.Writer) error {
	var sizes []int
	for text := range strings.SplitSeq(o.sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-sizes: %q is no number of schedules", text)
		}
		sizes = append(sizes, n)
	}
	if o.window < time.Minute || o.window%time.Minute != 0 {
		return fmt.Errorf("-window: %s are no whole minutes", o.window)
	}
	for _, t := range tables {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), t.name) {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n\n| schedules | database | %s |\n|%s\n", t.title, strings.Join(t.columns, " | "), strings.Repeat(" --- |", len(t.columns)+2))
		for _, n := range t.sizes(sizes) {
			for name := range strings.SplitSeq(o.databases, ",") {
				if err := o.measure(ctx, w, &t, n, name); err != nil {
					return fmt.Errorf("%s of %d on %s: %w", t.name, n, name, err)
				}
			}
		}
	}
	return nil
}

// measure prints one row: the median run, by the time it took.
func (o *options) measure(ctx context.Context, w io.Writer, t *table, n int, name string) error {
	runs := 1
	if t.again {
		runs = o.runs
	}
	results := make([]*result, runs)
	for i := range results {
		var err error
		if results[i], err = o.once(ctx, t.name, n, name); err != nil {
			return err
		}
	}
	slices.SortFunc(results, func(a, b *result) int { return int(a.Took - b.Took) })
	median := results[len(results)/2]
	_, err := fmt.Fprintf(w, "| %d | %s | %s |\n", n, name, strings.Join(t.row(median), " | "))
	return err
}

func (o *options) once(ctx context.Context, measurement string, n int, name string) (r *result, err error) {
	d, err := openDatabase(name, o.dir) //nolint:contextcheck // It ends with close.
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	j := &job{Measurement: measurement, Schedules: n, Window: o.window, Dir: d.dir, URL: d.url}
	if o.profiles != "" {
		j.Profile = filepath.Join(o.profiles, fmt.Sprintf("%s-%s-%d.pprof", name, measurement, n))
	}
	if err := d.prepare(ctx, j); err != nil {
		return nil, err
	}
	var server []time.Duration
	mark := func() { server = append(server, d.cpu()) }
	if r, err = j.start(ctx, mark); err != nil {
		return nil, err
	}
	mark()
	r.Server = server[1] - server[0]
	if measurement == "rows" {
		r.Plain, r.Bare, err = d.plain(ctx, n)
		return r, err
	}
	r.P50, r.P99, err = d.lateness(ctx, j, r)
	return r, err
}

// jobVariable makes this program the process that is measured.
const jobVariable = "ENGINEBENCH_JOB"

// marked is what that process prints when what is measured begins, and when it ends.
const marked = "true"

// start runs j in a process of its own, and calls mark when what is measured
// begins, and when it ends where that is not the end of the process.
func (j *job) start(ctx context.Context, mark func()) (*result, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self) //nolint:gosec // It is this program itself.
	cmd.Env, cmd.Stderr = append(os.Environ(), jobVariable+"="+string(text)), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &result{}
	for lines := json.NewDecoder(out); ; mark() {
		var line json.RawMessage
		if err = lines.Decode(&line); err != nil || string(line) != marked {
			err = errors.Join(err, json.Unmarshal(line, r))
			break
		}
	}
	return r, errors.Join(err, cmd.Wait())
}

func rate(perSecond float64) string { return fmt.Sprintf("%.0f", perSecond) }

func share(used, of time.Duration) string {
	return fmt.Sprintf("%.2f %%", 100*float64(used)/float64(of))
}

func megabytes(kb int) string { return fmt.Sprintf("%d MB", kb>>10) }

// span is a duration to three digits or so.
func span(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}
